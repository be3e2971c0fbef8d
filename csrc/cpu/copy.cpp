// Strided copies, and the kernels that are nothing else.
#include "cpu/copy.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "cpu/cpu.h"
#include "cpu/loops.h"
#include "cpu/pool.h"
#include "ops/shape.h"

namespace flowbook::cpu {

namespace {

constexpr int64_t kGrain = 64 << 10;  // bytes a chunk
constexpr int64_t kTile = 32;         // elements: a tile of a transpose stays in L1 on both sides

template <class T>
void transpose_tile(const T* from, int64_t row_stride, int64_t col_stride, T* to, int64_t to_row,
                    int64_t rows, int64_t cols) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) to[i * to_row + j] = from[i * row_stride + j * col_stride];
}

// The last two axes crossed: rows of the result are columns of the source. By tiles, or each
// element read would cost a cache line.
bool copy_transposed(const char* from, const int64_t* fs, char* to, const int64_t* ts,
                     const Shape& shape, int width) {
  const int r = shape.rank;
  if (r < 2 || ts[r - 1] != 1 || fs[r - 2] != 1 || fs[r - 1] < 4) return false;
  const int64_t rows = shape[r - 2].value(), cols = shape[r - 1].value();
  if (rows < 8 || cols < 8) return false;
  Shape outer = shape;
  outer.rank = r - 1;  // the last of these axes is walked in bands of kTile rows
  const int64_t batch = rows_of(outer), bands = (rows + kTile - 1) / kTile;
  const int64_t* strides[2] = {fs, ts};
  const int64_t per = std::max<int64_t>(1, kGrain / (kTile * cols * width));
  parallel_ranges(batch * bands, per, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for_rows<2>(outer, strides, i / bands, i / bands + 1, [&](const int64_t* at) {
        const int64_t row = i % bands * kTile, n = std::min(kTile, rows - row);
        for (int64_t col = 0; col < cols; col += kTile) {
          const int64_t m = std::min(kTile, cols - col);
          const int64_t f = at[0] + row * fs[r - 2] + col * fs[r - 1],
                        t = at[1] + row * ts[r - 2] + col;
          copy_tile(from + f * width, fs[r - 2], fs[r - 1], to + t * width, ts[r - 2], n, m, width);
        }
      });
    }
  });
  return true;
}

// n numbers of `width` bytes, f and t numbers apart.
template <class T>
void copy_apart(const char* from, int64_t f, char* to, int64_t t, int64_t n) {
  const T* x = reinterpret_cast<const T*>(from);
  T* y = reinterpret_cast<T*>(to);
  for (int64_t i = 0; i < n; ++i) y[i * t] = x[i * f];
}
void copy_apart(const char* from, int64_t f, char* to, int64_t t, int64_t n, int width) {
  struct Pair {
    uint64_t a, b;
  };
  if (width == 1) return copy_apart<uint8_t>(from, f, to, t, n);
  if (width == 2) return copy_apart<uint16_t>(from, f, to, t, n);
  if (width == 4) return copy_apart<uint32_t>(from, f, to, t, n);
  if (width == 8) return copy_apart<uint64_t>(from, f, to, t, n);
  copy_apart<Pair>(from, f, to, t, n);
}

// Many rows of few numbers each: all first numbers of some rows, then all second ones and so on.
bool copy_narrow(const char* from, const int64_t* fs, char* to, const int64_t* ts,
                 const Shape& shape, int width) {
  constexpr int64_t kNarrow = 8, kRows = 1024;
  const int r = shape.rank;
  const int64_t n = shape[r - 1].value(), rows = shape[r - 2].value();
  if (n > kNarrow || n >= rows) return false;
  Shape outer = shape;
  outer.rank = r - 1;
  const int64_t parts = (rows + kRows - 1) / kRows;
  const int64_t* strides[2] = {fs, ts};
  const int64_t per = std::max<int64_t>(1, kGrain / (std::min(kRows, rows) * n * width));
  parallel_ranges(rows_of(outer) * parts, per, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % parts * kRows, count = std::min(kRows, rows - first);
      for_rows<2>(outer, strides, i / parts, i / parts + 1, [&](const int64_t* at) {
        const int64_t f = at[0] + first * fs[r - 2], t = at[1] + first * ts[r - 2];
        for (int64_t j = 0; j < n; ++j)
          copy_apart(from + (f + j * fs[r - 1]) * width, fs[r - 2],
                     to + (t + j * ts[r - 1]) * width, ts[r - 2], count, width);
      });
    }
  });
  return true;
}

// A copy whose target begins a few bytes behind the source modulo 4 KB, as in a row moved by one:
// each load seems to need the store before it, unless it runs from the end.
void copy_dense(const char* from, char* to, int64_t bytes) {
  constexpr int64_t kPiece = 64;
  const auto behind = (reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from)) % 4096;
  if (behind > 0 && behind < uintptr_t(kPiece))
    for (; bytes >= kPiece; bytes -= kPiece) {
      char piece[kPiece];
      memcpy(piece, from + bytes - kPiece, kPiece);
      memcpy(to + bytes - kPiece, piece, kPiece);
    }
  memcpy(to, from, size_t(bytes));
}

void copy_kernel(const KernelArgs& a) {
  // A reshape: the operand's own shape decides the order of the elements.
  const Array from = a.in[0];
  Array to = a.out[0];
  Spec as_source = *to.spec;
  as_source.shape = from.spec->shape;
  to.spec = &as_source;
  strided_copy(from, to);
}

void cast_kernel(const KernelArgs& a) {
  const Array &x = a.in[0], &y = a.out[0];
  const Loop loop = loops().cast[int(x.spec->dtype)][int(y.spec->dtype)];
  if (!loop)
    dtype_error("complex numbers cannot be cast to ", name_of(y.spec->dtype),
                ". Take real() or imag() first.");
  const int from_width = size_of(x.spec->dtype), to_width = size_of(y.spec->dtype);
  const char* from = x.as<char>();
  char* to = y.as<char>();
  int64_t strides[2][kMaxRank];
  fit_strides(x, y.spec->shape, strides[0]);
  dense_strides(y.spec->shape, strides[1]);
  const Shape shape = join_axes<2>(y.spec->shape, strides);
  const int last = shape.rank - 1;
  const int64_t n = shape[last].value(), rows = rows_of(shape);
  if (rows == 1) {
    parallel_ranges(n, kGrain / to_width, [&](int64_t begin, int64_t end) {
      const Operand in{from + begin * strides[0][last] * from_width, strides[0][last]};
      loop(&in, to + begin * to_width, end - begin);
    });
    return;
  }
  const int64_t* s[2] = {strides[0], strides[1]};
  parallel_ranges(rows, std::max<int64_t>(1, kGrain / (n * to_width)),
                  [&](int64_t begin, int64_t end) {
                    for_rows<2>(shape, s, begin, end, [&](const int64_t* at) {
                      const Operand in{from + at[0] * from_width, strides[0][last]};
                      loop(&in, to + at[1] * to_width, n);
                    });
                  });
}

}  // namespace

void copy_tile(const void* from, int64_t row_stride, int64_t col_stride, void* to, int64_t to_row,
               int64_t rows, int64_t cols, int width) {
  const auto tile = [&](auto t) {
    transpose_tile(static_cast<const decltype(t)*>(from), row_stride, col_stride,
                   static_cast<decltype(t)*>(to), to_row, rows, cols);
  };
  if (width == 4)
    tile(uint32_t());
  else if (width == 8)
    tile(uint64_t());
  else if (width == 2)
    tile(uint16_t());
  else
    tile(uint8_t());
}

void copy_window(const void* source, const int64_t* from_strides, void* target,
                 const int64_t* to_strides, const Shape& whole, int width) {
  int64_t strides[2][kMaxRank];
  std::copy_n(from_strides, whole.rank, strides[0]);
  std::copy_n(to_strides, whole.rank, strides[1]);
  const Shape shape = join_axes<2>(whole, strides);
  const auto* from = static_cast<const char*>(source);
  auto* to = static_cast<char*>(target);
  const int last = shape.rank - 1;
  const int64_t n = shape[last].value(), rows = rows_of(shape);
  if (n == 0 || rows == 0) return;
  const int64_t f = strides[0][last], t = strides[1][last];
  const Loop loop = loops().copy[std::countr_zero(unsigned(width))];
  auto row = [&](const char* x, char* y, int64_t count) {
    if (f == 1 && t == 1) return copy_dense(x, y, count * width);
    if (t == 1) {
      const Operand in{x, f};
      return loop(&in, y, count);
    }
    copy_apart(x, f, y, t, count, width);
  };
  if (rows == 1) {
    parallel_ranges(n, kGrain / width, [&](int64_t begin, int64_t end) {
      row(from + begin * f * width, to + begin * t * width, end - begin);
    });
    return;
  }
  if (width <= 8 && copy_transposed(from, strides[0], to, strides[1], shape, width)) return;
  if (copy_narrow(from, strides[0], to, strides[1], shape, width)) return;
  const int64_t* s[2] = {strides[0], strides[1]};
  parallel_ranges(
      rows, std::max<int64_t>(1, kGrain / (n * width)), [&](int64_t begin, int64_t end) {
        for_rows<2>(shape, s, begin, end,
                    [&](const int64_t* at) { row(from + at[0] * width, to + at[1] * width, n); });
      });
}

void strided_copy(const Array& from, const Array& to) {
  int64_t strides[2][kMaxRank];
  fit_strides(from, to.spec->shape, strides[0]);
  dense_strides(to.spec->shape, strides[1]);
  copy_window(from.data, strides[0], to.data, strides[1], to.spec->shape, size_of(to.spec->dtype));
}

void register_copy(Backend& cpu) {
  for (const char* name : {"copy", "reshape"}) cpu.kernel(name, copy_kernel, kAll).strided = true;
  cpu.kernel("cast", cast_kernel, kAll).strided = true;
}

}  // namespace flowbook::cpu
