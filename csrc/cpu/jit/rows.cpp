#include "cpu/jit/rows.h"

#include <array>

#include "cpu/loops.h"

namespace flowbook::cpu::jit {
namespace {

#pragma GCC diagnostic ignored "-Wunused-function"
#include "cpu/jit/traced.h"
//
#include "cpu/scalar/exponential.h"
//
#include "cpu/scalar/logarithm.h"
//
#include "cpu/scalar/erf.h"
//
#include "cpu/scalar/normal.h"
//
#include "cpu/scalar/logistic.h"

// The ways to round, as the machine numbers them.
enum Round { kNearest = 8, kDown = 9, kUp = 10, kToZero = 11 };
f32 rounded(f32 x, Round way) {
  return f32::of(graph->make(Kind::kRound, x.in_graph(), -1, -1, way));
}
flag unordered(f32 x) { return less(Kind::kUnordered, x, x); }

// The node of a row's value, or -1 where it has none: what computes in double or calls the C
// library.
int value(int code, const int* a) {
  const f32 x = f32::of(a[0]), y = f32::of(a[1]);
#define ROW(NAME, VALUE) \
  case kCode_##NAME:     \
    return f32(VALUE).in_graph();
#define FLAG(NAME, VALUE) \
  case kCode_##NAME:      \
    return (VALUE).node;
  switch (code) {
    ROW(add, x + y)
    ROW(subtract, x - y)
    ROW(multiply, x * y)
    ROW(divide, x / y)
    ROW(positive, x)
    ROW(negative, -x)
    ROW(abs, abs(x))
    ROW(square, x * x)
    ROW(reciprocal, 1.0f / x)
    ROW(sqrt, sqrt(x))
    ROW(rsqrt, 1.0f / sqrt(x))
    ROW(multiply_no_nan, select(y == 0.0f, f32(0.0f), x * y))
    ROW(divide_no_nan, select(y == 0.0f, f32(0.0f), x / y))
    FLAG(equal, x == y)
    FLAG(not_equal, x != y)
    FLAG(less, x < y)
    FLAG(less_equal, x <= y)
    FLAG(greater, x > y)
    FLAG(greater_equal, x >= y)
    ROW(maximum, select(unordered(x), x, select(x > y, x, y)))
    ROW(minimum, select(unordered(x), x, select(x < y, x, y)))
    ROW(larger_share, select(x < y, f32(0.0f), select(x == y, f32(0.5f), f32(1.0f))))
    ROW(where, select(flag{a[0]}, y, f32::of(a[2])))
    ROW(floor, rounded(x, kDown))
    ROW(ceil, rounded(x, kUp))
    ROW(trunc, rounded(x, kToZero))
    ROW(round, rounded(x, kNearest))
    ROW(copysign, copysign(x, y))
    ROW(exp, exp(x))
    ROW(exp2, exp2(x))
    ROW(expm1, expm1(x))
    ROW(log, log(x))
    ROW(log2, log2(x))
    ROW(log10, log10(x))
    ROW(log1p, log1p(x))
    ROW(tanh, tanh(x))
    ROW(erf, erf(x))
    ROW(relu, select(x < 0.0f, f32(0.0f), x))
    ROW(relu_gradient, select(y <= 0.0f, f32(0.0f), x))
    ROW(sigmoid, sigmoid(x))
    ROW(softplus, softplus(x))
    ROW(silu, silu(x))
    ROW(silu_slope, silu_slope(x))
    ROW(gelu_erf, gelu_erf(x))
    ROW(gelu_erf_slope, gelu_erf_slope(x))
    ROW(gelu_tanh, gelu_tanh(x))
    ROW(gelu_tanh_gate, gelu_tanh_gate(x))
    ROW(gelu_tanh_slope, gelu_tanh_slope(x))
    default:
      return -1;
  }
#undef ROW
#undef FLAG
}

}  // namespace

bool has_row(int code) {
  static const std::array<bool, kCodeCount> known = [] {
    std::array<bool, kCodeCount> all{};
    for (int c = 0; c < kCodeCount; ++c) {
      Graph scratch;
      const int args[3] = {scratch.input(0), scratch.input(1), scratch.input(2)};
      all[size_t(c)] = trace_row(scratch, c, args) >= 0;
    }
    return all;
  }();
  return known[size_t(code)];
}
int trace_row(Graph& g, int code, const int* args) {
  graph = &g;
  const int node = value(code, args);
  graph = nullptr;
  return node;
}

}  // namespace flowbook::cpu::jit
