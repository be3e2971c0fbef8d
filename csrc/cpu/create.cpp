// Kernels of the ops that make tensors from nothing, and of the triangles.
#include "ops/create.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "cpu/cpu.h"
#include "cpu/loops.h"
#include "cpu/pool.h"
#include "cpu/rows.h"

namespace flowbook::cpu {

namespace {

constexpr int64_t kGrain = 32 << 10;  // elements a chunk
constexpr int64_t kBlock = 512;       // elements that pass through a buffer on the stack

// One number as `to`, at `out`.
void store(const Scalar& v, DType to, void* out) {
  const DType from = v.kind == Scalar::kFloat  ? DType::f64
                     : v.kind == Scalar::kBool ? DType::bool_
                                               : DType::i64;
  const bool flag = v.i != 0;
  const Operand in{v.kind == Scalar::kFloat  ? static_cast<const void*>(&v.d)
                   : v.kind == Scalar::kBool ? static_cast<const void*>(&flag)
                                             : &v.i,
                   0};
  loops().cast[int(from)][int(to)](&in, out, 1);
}

void full(const KernelArgs& a) {
  const Array& y = a.out[0];
  const int64_t bytes = size_of(y.spec->dtype);
  alignas(16) char value[16];
  store(static_cast<const ops::Full*>(a.attrs)->value, y.spec->dtype, value);
  const Loop copy = loops().copy[std::countr_zero(uint64_t(bytes))];
  parallel_ranges(y.size(), kGrain, [&](int64_t begin, int64_t end) {
    const Operand one{value, 0};
    copy(&one, y.as<char>() + begin * bytes, end - begin);
  });
}

void dim_value(const KernelArgs& a) {
  a.out[0].as<int64_t>()[0] = static_cast<const ops::DimValue*>(a.attrs)->size.value();
}

// y, of numbers that write(first, n, out) computes in From, cast.
template <class From, class F>
void number(const Array& y, DType from, F&& write) {
  const int64_t bytes = size_of(y.spec->dtype);
  const Loop cast = loops().cast[int(from)][int(y.spec->dtype)];
  parallel_ranges(y.size(), kGrain, [&](int64_t begin, int64_t end) {
    if (y.spec->dtype == from) return write(begin, end - begin, y.as<From>() + begin);
    From block[kBlock];
    for (int64_t i = begin; i < end; i += kBlock) {
      const int64_t n = std::min(kBlock, end - i);
      write(i, n, block);
      const Operand in{block, 1};
      cast(&in, y.as<char>() + i * bytes, n);
    }
  });
}
void count(const Array& y, uint64_t start, uint64_t step) {
  number<int64_t>(y, DType::i64, [=](int64_t i, int64_t n, int64_t* out) {
    row_loops().count(start + uint64_t(i) * step, step, n, out);
  });
}
void iota(const KernelArgs& a) { count(a.out[0], 0, 1); }
void arange(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Arange*>(a.attrs);
  const Array& y = a.out[0];
  const double start = op.start.as_double(), step = op.step.as_double();
  const bool whole = op.start.kind != Scalar::kFloat && op.step.kind != Scalar::kFloat;
  // Doubles hold whole numbers of 53 bits, and become float32 by vectors on every instruction set.
  const bool exact = std::abs(start) + std::abs(step) * double(y.size()) < 0x1p52;
  if (whole && !(exact && in(y.spec->dtype, set_of(DType::f32) | set_of(DType::f64))))
    return count(y, uint64_t(op.start.i), uint64_t(op.step.i));
  number<double>(y, DType::f64, [=](int64_t i, int64_t n, double* out) {
    row_loops().count_real(start, step, i, n, out);
  });
}
void linspace(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Linspace*>(a.attrs);
  const int64_t gaps = op.endpoint ? op.num - 1 : op.num;
  const double step = gaps > 0 ? (op.stop - op.start) / double(gaps) : 0;
  number<double>(a.out[0], DType::f64, [&, step, gaps](int64_t i, int64_t n, double* out) {
    row_loops().count_real(op.start, step, i, n, out);
    if (op.endpoint && gaps > 0 && i + n == op.num) out[n - 1] = op.stop;
  });
}

void eye(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Eye*>(a.attrs);
  const Array& y = a.out[0];
  const int64_t rows = y.spec->shape[0].value(), columns = y.spec->shape[1].value(),
                bytes = size_of(y.spec->dtype);
  alignas(16) char one[16];
  store(Scalar(1), y.spec->dtype, one);
  std::memset(y.data, 0, size_t(rows * columns * bytes));
  // k may be any 64-bit number: only rows whose column exists are looked at.
  if (op.k >= columns || op.k <= -rows) return;
  for (int64_t i = std::max<int64_t>(0, -op.k); i < rows && i + op.k < columns; ++i)
    std::memcpy(y.as<char>() + (i * columns + i + op.k) * bytes, one, size_t(bytes));
}

// The part of each row that stays: the first entries (lower triangle) or the last ones.
template <class Op, bool kLower>
void triangle(const KernelArgs& a) {
  const int64_t k = static_cast<const Op*>(a.attrs)->k;
  const Array &x = a.in[0], &y = a.out[0];
  const Shape& s = x.spec->shape;
  const int64_t rows = s[s.rank - 2].value(), columns = s[s.rank - 1].value(),
                bytes = size_of(x.spec->dtype);
  if (rows * columns == 0) return;
  const int64_t shift = std::clamp(k, -rows - 1, columns + 1);
  parallel_ranges(
      x.size() / columns, std::max<int64_t>(1, kGrain / columns), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t cut = std::clamp<int64_t>(r % rows + shift + (kLower ? 1 : 0), 0, columns) *
                              bytes,
                        all = columns * bytes;
          const char* from = x.as<char>() + r * all;
          char* to = y.as<char>() + r * all;
          if (kLower) {
            if (from != to) std::memcpy(to, from, size_t(cut));
            std::memset(to + cut, 0, size_t(all - cut));
          } else {
            std::memset(to, 0, size_t(cut));
            if (from != to) std::memcpy(to + cut, from + cut, size_t(all - cut));
          }
        }
      });
}

}  // namespace

void register_create(Backend& cpu) {
  cpu.kernel("full", full, kAll);
  cpu.kernel("dim", dim_value, set_of(DType::i64));
  cpu.kernel("iota", iota, kNumeric);
  cpu.kernel("arange", arange, kNumeric);
  cpu.kernel("linspace", linspace, kNumeric);
  cpu.kernel("eye", eye, kAll);
  const auto over_x = [](const void*, int, int) { return 0; };
  cpu.kernel("tril", triangle<ops::Tril, true>, kAll).in_place = over_x;
  cpu.kernel("triu", triangle<ops::Triu, false>, kAll).in_place = over_x;
}

}  // namespace flowbook::cpu
