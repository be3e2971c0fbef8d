// Kernels that read or write by index. All indices are checked before anything is written.
#include "ops/index.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <type_traits>

#include "cpu/copy.h"
#include "cpu/cpu.h"
#include "cpu/loops.h"
#include "cpu/pool.h"
#include "cpu/rounding.h"

namespace flowbook::cpu {

namespace {

constexpr int64_t kGrain = 64 << 10;     // bytes a chunk
constexpr int64_t kCopied = 512 << 10;   // bytes a chunk of a plain copy
constexpr int64_t kPositions = 8 << 10;  // elements a chunk that are moved one by one
constexpr int64_t kWorthCalling = 16;    // elements of a row that is added by a loop of loops.h
constexpr DTypeSet kArithmetic = set_of(DType::u8) | set_of(DType::i32) | set_of(DType::i64) |
                                 set_of(DType::f32) | set_of(DType::f64);

// Positions from 0 to size - 1; IndexOutOfRange names the first bad one.
class Positions {
 public:
  Positions(const Array& indices, int64_t size)
      : indices_(indices), size_(size), wide_(indices.spec->dtype == DType::i64) {
    if (!all_within()) complain();
  }
  int64_t operator[](int64_t i) const {
    const int64_t v = raw(i);
    return v < 0 ? v + size_ : v;
  }
  // Calls body(pointer to the indices from `first` on), of their own type.
  template <class Body>
  void from(int64_t first, Body&& body) const {
    if (wide_)
      body(indices_.as<int64_t>() + first);
    else
      body(indices_.as<int32_t>() + first);
  }

 private:
  int64_t raw(int64_t i) const {
    return wide_ ? indices_.as<int64_t>()[i] : indices_.as<int32_t>()[i];
  }
  bool all_within() const {
    const int slot = wide_ ? kSlotI64 : kSlotI32;
    std::atomic<bool> good = true;
    parallel_ranges(indices_.size(), kLooked, [&](int64_t begin, int64_t end) {
      from(begin, [&](const auto* p) {
        std::remove_cvref_t<decltype(*p)> least, most;
        loops().min[slot](p, end - begin, &least), loops().max[slot](p, end - begin, &most);
        if (least < -size_ || most >= size_) good = false;
      });
    });
    return good;
  }
  [[gnu::noinline, noreturn]] void complain() const {
    int64_t i = 0;
    while (raw(i) >= -size_ && raw(i) < size_) ++i;
    fail(ErrorKind::kIndex, "index ", raw(i), " (entry ", i,
         " of the indices) is out of range for an axis of size ", size_, ". It must be from ",
         -size_, " to ", size_ - 1, ".");
  }
  static constexpr int64_t kLooked = 64 << 10;  // indices a chunk
  const Array& indices_;
  int64_t size_;
  bool wide_;
};

// A tensor around one axis: [outer, size, inner].
struct Around {
  Around(const Shape& s, int axis) : size(s[axis].value()) {
    for (int i = 0; i < axis; ++i) outer *= s[i].value();
    for (int i = axis + 1; i < s.rank; ++i) inner *= s[i].value();
  }
  int64_t outer = 1, size, inner = 1;
};

template <class F>
void by_type(DType t, F&& f) {
  switch (t) {
    case DType::u8:
      return f(uint8_t());
    case DType::i32:
      return f(int32_t());
    case DType::i64:
      return f(int64_t());
    case DType::f32:
      return f(float());
    default:
      return f(double());
  }
}
// Sums of integers wrap, as in NumPy.
template <class T>
T add(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return T(std::make_unsigned_t<T>(a) + std::make_unsigned_t<T>(b));
  else
    return a + b;
}

void copy_all(const Array& from, const Array& to) {
  parallel_ranges(bytes_of(*to.spec), kCopied, [&](int64_t begin, int64_t end) {
    memcpy(to.as<char>() + begin, from.as<char>() + begin, size_t(end - begin));
  });
}

// Numbers of `width` bytes, moved as they are.
template <class F>
void by_width(int64_t width, F&& f) {
  struct Pair {
    uint64_t a, b;
  };
  switch (width) {
    case 1:
      return f(uint8_t());
    case 2:
      return f(uint16_t());
    case 4:
      return f(uint32_t());
    case 8:
      return f(uint64_t());
    default:
      return f(Pair());
  }
}
// y[i] = x[indices[i]]; x has `size` entries.
template <class T, class Index>
void gather(const T* x, int64_t size, const Index* indices, int64_t n, T* y) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t v = indices[i];
    y[i] = x[v < 0 ? v + size : v];
  }
}
// y = [outer, count] of x = [outer, size]; `indices` are [count] for all rows, or [outer, count].
void gather_rows(const Array& x, const Around& from, const Positions& at, int64_t count,
                 bool own_indices, const Array& y) {
  by_width(size_of(x.spec->dtype), [&](auto t) {
    using T = decltype(t);
    parallel_ranges(from.outer * count, kPositions, [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t row = begin / count, n = std::min(end, (row + 1) * count) - begin;
        at.from(own_indices ? begin : begin - row * count, [&](const auto* indices) {
          gather(x.as<T>() + row * from.size, from.size, indices, n, y.as<T>() + begin);
        });
        begin += n;
      }
    });
  });
}

void take(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Take*>(a.attrs);
  const Array &x = a.in[0], &y = a.out[0];
  const int64_t count = a.in[1].size();
  Shape flat{x.spec->shape.elements()};
  const Around from(op.axis.all ? flat : x.spec->shape,
                    op.axis.all ? 0 : normalize_axis(op.axis.axis[0], *x.spec));
  const Positions at(a.in[1], from.size);
  if (from.inner == 1) return gather_rows(x, from, at, count, false, y);
  const int64_t row = from.inner * size_of(x.spec->dtype);
  if (row == 0) return;
  parallel_ranges(
      from.outer * count, std::max<int64_t>(1, kGrain / row), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          memcpy(y.as<char>() + i * row,
                 x.as<char>() + (i / count * from.size + at[i % count]) * row, size_t(row));
      });
}

// Shared by set and add: rows of updates into rows of the result, in order. Parallel over the outer
// and inner axes only, so that equal indices keep their order; each part reads all indices, so that
// inner axes are cut only where there is much to do.
template <class Row>
void scatter(const Around& to, const Positions& at, int64_t count, Row&& row) {
  constexpr int64_t kPart = 16 << 10, kNarrowest = 256, kWidest = 4096;  // elements
  if (count == 0 || to.inner == 0) return;
  const int64_t parts = std::max<int64_t>(1, count * to.inner / kPart);
  const int64_t width =
      std::min(kWidest, round_up(std::max(kNarrowest, ceil_div(to.inner, parts)), kNarrowest));
  const int64_t blocks = ceil_div(to.inner, width);
  const int64_t grain = std::max<int64_t>(1, kPart / (count * std::min(width, to.inner)));
  parallel_ranges(to.outer * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t o = b / blocks, first = b % blocks * width,
                    n = std::min(width, to.inner - first);
      for (int64_t i = 0; i < count; ++i)
        row((o * to.size + at[i]) * to.inner + first, (o * count + i) * to.inner + first, n);
    }
  });
}
void scatter_add(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::ScatterAdd*>(a.attrs);
  const Array &x = a.in[0], &u = a.in[2], &y = a.out[0];
  const Around to(x.spec->shape, normalize_axis(op.axis, *x.spec));
  const Positions at(a.in[1], to.size);
  if (y.data != x.data) copy_all(x, y);
  const DType dtype = x.spec->dtype;
  const int64_t count = a.in[1].size();
  if (to.inner >= kWorthCalling && (dtype == DType::f32 || dtype == DType::f64)) {
    const ColumnFold add_row = loops().add_columns[slot_of(dtype)];
    const int64_t width = size_of(dtype);
    return scatter(to, at, count, [&](int64_t i, int64_t j, int64_t n) {
      add_row(y.as<char>() + i * width, u.as<char>() + j * width, n);
    });
  }
  by_type(dtype, [&](auto t) {
    using T = decltype(t);
    scatter(to, at, count, [&](int64_t i, int64_t j, int64_t n) {
      T* out = y.as<T>() + i;
      const T* in = u.as<T>() + j;
      for (int64_t k = 0; k < n; ++k) out[k] = add(out[k], in[k]);
    });
  });
}
void scatter_set(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::ScatterSet*>(a.attrs);
  const Array &x = a.in[0], &u = a.in[2], &y = a.out[0];
  const Around to(x.spec->shape, normalize_axis(op.axis, *x.spec));
  const Positions at(a.in[1], to.size);
  const int64_t width = size_of(x.spec->dtype);
  if (y.data != x.data) copy_all(x, y);
  scatter(to, at, a.in[1].size(), [&](int64_t i, int64_t j, int64_t n) {
    memcpy(y.as<char>() + i * width, u.as<char>() + j * width, size_t(n * width));
  });
}

// Element-wise positions along one axis; `indices` may be shorter than x along it. Parallel over
// the outer axes, so that equal positions keep their order.
template <class Element>
void along_axis(const Around& x, const Around& i, const Positions& at, Element&& element) {
  const int64_t each = std::max<int64_t>(1, i.size * i.inner);
  parallel_ranges(i.outer, std::max<int64_t>(1, kPositions / each), [&](int64_t o, int64_t end) {
    for (; o < end; ++o)
      for (int64_t k = 0; k < i.size; ++k)
        for (int64_t n = 0; n < i.inner; ++n) {
          const int64_t j = (o * i.size + k) * i.inner + n;
          element((o * x.size + at[j]) * x.inner + n, j);
        }
  });
}
void take_along_axis(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::TakeAlongAxis*>(a.attrs);
  const Array &x = a.in[0], &i = a.in[1], &y = a.out[0];
  const int axis = normalize_axis(op.axis, *x.spec);
  const Around from(x.spec->shape, axis), over(i.spec->shape, axis);
  const Positions at(i, from.size);
  if (from.inner == 1) return gather_rows(x, from, at, over.size, true, y);
  by_width(size_of(x.spec->dtype), [&](auto t) {
    using T = decltype(t);
    along_axis(from, over, at, [&](int64_t p, int64_t j) { y.as<T>()[j] = x.as<T>()[p]; });
  });
}
void add_along_axis(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::AddAlongAxis*>(a.attrs);
  const Array &x = a.in[0], &i = a.in[1], &u = a.in[2], &y = a.out[0];
  const int axis = normalize_axis(op.axis, *x.spec);
  const Around to(x.spec->shape, axis), over(i.spec->shape, axis);
  const Positions at(i, to.size);
  if (y.data != x.data) copy_all(x, y);
  by_type(x.spec->dtype, [&](auto t) {
    using T = decltype(t);
    along_axis(to, over, at,
               [&](int64_t p, int64_t j) { y.as<T>()[p] = add(y.as<T>()[p], u.as<T>()[j]); });
  });
}

// ---- slices
// ------------------------------------------------------------------------------------------------
// Where a slice of a dense tensor of `shape` begins, and its strides.
struct Window {
  template <class Op>
  Window(const Shape& shape, const Op& op)
      : ranges(ops::ranges_of(shape, op.starts, op.stops, op.steps)) {
    int64_t dense[kMaxRank];
    dense_strides(shape, dense);
    for (int i = 0; i < shape.rank; ++i) {
      strides[i] = dense[i] * ranges.at[i].step;
      if (ranges.at[i].count.value()) offset += dense[i] * ranges.at[i].begin.value();
    }
  }
  ops::Ranges ranges;
  int64_t offset = 0, strides[kMaxRank];
};

void place(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Place*>(a.attrs);
  const Array &x = a.in[0], &y = a.out[0];
  const Window w(y.spec->shape, op);
  const int width = size_of(y.spec->dtype);
  memset(y.data, 0, size_t(bytes_of(*y.spec)));
  int64_t from[kMaxRank];
  fit_strides(x, w.ranges.shape, from);
  copy_window(x.data, from, y.as<char>() + w.offset * width, w.strides, w.ranges.shape, width);
}
void set_slice(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::SetSlice*>(a.attrs);
  const Array &x = a.in[0], &u = a.in[1], &y = a.out[0];
  const Window w(y.spec->shape, op);
  const int width = size_of(y.spec->dtype);
  if (y.data != x.data) copy_all(x, y);
  int64_t from[kMaxRank];
  fit_strides(u, w.ranges.shape, from);
  copy_window(u.data, from, y.as<char>() + w.offset * width, w.strides, w.ranges.shape, width);
}
void add_slice(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::AddSlice*>(a.attrs);
  const Array &x = a.in[0], &u = a.in[1], &y = a.out[0];
  const Window w(y.spec->shape, op);
  if (y.data != x.data) copy_all(x, y);
  if (w.ranges.shape.size() == 0) return;
  int64_t strides[2][kMaxRank];
  fit_strides(u, w.ranges.shape, strides[0]);
  std::copy_n(w.strides, w.ranges.shape.rank, strides[1]);
  const Shape shape = join_axes<2>(w.ranges.shape, strides);
  const int last = shape.rank - 1;
  const int64_t* s[2] = {strides[0], strides[1]};
  const int64_t n = shape[last].value(), f = strides[0][last], g = strides[1][last];
  const Loop dense = loops().row[kCode_add][slot_of(y.spec->dtype)];
  by_type(y.spec->dtype, [&](auto t) {
    using T = decltype(t);
    auto row = [&](T* out, const T* in, int64_t count) {
      if (g == 1) {
        const Operand operands[] = {{out, 1}, {in, f}};
        return dense(operands, out, count);
      }
      for (int64_t k = 0; k < count; ++k) out[k * g] = add(out[k * g], in[k * f]);
    };
    const T* from = u.as<T>();
    T* to = y.as<T>() + w.offset;
    const int64_t rows = rows_of(shape), grain = kGrain / int64_t(sizeof(T));
    if (rows == 1)
      parallel_ranges(n, grain, [&](int64_t begin, int64_t end) {
        row(to + begin * g, from + begin * f, end - begin);
      });
    else
      parallel_ranges(rows, std::max<int64_t>(1, grain / n), [&](int64_t begin, int64_t end) {
        for_rows<2>(shape, s, begin, end,
                    [&](const int64_t* at) { row(to + at[1], from + at[0], n); });
      });
  });
}

int over_first(const void*, int, int) { return 0; }

}  // namespace

void register_index(Backend& cpu) {
  cpu.kernel("take", take, kAll);
  cpu.kernel("take_along_axis", take_along_axis, kAll);
  cpu.kernel("scatter_add", scatter_add, kArithmetic).in_place = over_first;
  cpu.kernel("scatter_set", scatter_set, kAll).in_place = over_first;
  cpu.kernel("add_along_axis", add_along_axis, kArithmetic).in_place = over_first;
  cpu.kernel("place", place, kAll).strided = true;
  cpu.kernel("set_slice", set_slice, kAll).in_place = over_first;
  cpu.kernel("add_slice", add_slice, kArithmetic).in_place = over_first;
}

}  // namespace flowbook::cpu
