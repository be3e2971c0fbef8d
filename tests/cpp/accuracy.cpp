// How far the scalar functions are from the truth, in units in the last place, and what an element
// costs.
//   g++ -std=c++20 -O3 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math -Icsrc
//       tests/cpp/accuracy.cpp -o build/accuracy && build/accuracy [name...]
// float32: one value in 1021 of all bit patterns, and a dense grid on [-20, 20], against float64.
// float64: the same idea against long double.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace fb {
namespace {
#include "cpu/scalar.h"
}
}  // namespace fb

namespace {

using Real = long double;
Real normal_cdf(Real x) { return 0.5L * erfcl(-x * 0.70710678118654752440L); }
Real sigmoid(Real x) { return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x)); }
Real softplus(Real x) { return (x > 0 ? x : 0) + log1pl(expl(-fabsl(x))); }
Real silu(Real x) { return x < -20000 ? -0.0L : x * sigmoid(x); }
Real silu_slope(Real x) {
  if (fabsl(x) > 20000) return x > 0 ? 1.0L : -0.0L;
  const Real s = sigmoid(x);
  return s * (1 + x * sigmoid(-x));
}
Real gelu_erf(Real x) { return x < -200 ? -0.0L : x * normal_cdf(x); }
Real gelu_erf_slope(Real x) {
  if (fabsl(x) > 100) return x > 0 ? 1.0L : -0.0L;
  return normal_cdf(x) + x * expl(-x * x / 2) * 0.39894228040143267794L;
}
Real inner(Real x) { return x * (1.5957691216057307117L + 0.0713548162726002527L * x * x); }
Real gelu_tanh_gate(Real x) { return fabsl(x) > 1e6L ? Real(x > 0) : sigmoid(inner(x)); }
Real gelu_tanh(Real x) { return x < -200 ? -0.0L : x * gelu_tanh_gate(x); }
Real gelu_tanh_slope(Real x) {
  if (fabsl(x) > 100) return x > 0 ? 1.0L : -0.0L;
  const Real s = sigmoid(inner(x)), r = sigmoid(-inner(x));
  return s * (1 + x * r * (1.5957691216057307117L + 3 * 0.0713548162726002527L * x * x));
}
Real erfinv(Real x) {  // bisection: slow and sure
  if (!(fabsl(x) < 1)) return fabsl(x) == 1 ? copysignl(INFINITY, x) : NAN;
  if (fabsl(x) < 1e-5L) return x * 0.88622692545275801365L * (1 + 0.2617993877991494L * x * x);
  Real lo = 0, hi = 8, a = fabsl(x);
  for (int i = 0; i < 70; ++i) {
    const Real m = (lo + hi) / 2;
    ((a < 0.5L ? erfl(m) < a : erfcl(m) > 1 - a) ? lo : hi) = m;
  }
  return copysignl(lo, x);
}

template <class T>
double ulps(T got, Real want) {
  const T near = T(want);
  if (std::isnan(near) || std::isnan(got)) return std::isnan(near) == std::isnan(got) ? 0 : 1e9;
  if (want == 0 && got == 0)
    return std::signbit(T(want)) == std::signbit(got) ? 0 : 1e8;  // zeros have their sign
  if (std::isinf(near) && near == got) return 0;
  if (std::isinf(near) || std::isinf(got)) {  // allow the last finite number beside infinity
    const T a = std::isinf(near) ? std::copysign(std::numeric_limits<T>::max(), near) : near;
    const T b = std::isinf(got) ? std::copysign(std::numeric_limits<T>::max(), got) : got;
    return a == b ? 1 : 1e7;
  }
  const T m = std::fabs(near);
  const Real ulp =
      m == 0 ? std::numeric_limits<T>::denorm_min() : std::nextafter(m, T(INFINITY)) - m;
  return double(std::fabs((Real(got) - want) / ulp));
}

template <class T>
std::vector<T> samples(bool sparse) {
  std::vector<T> v;
  if constexpr (sizeof(T) == 4) {
    const uint32_t step = sparse ? 65521 : 1021;
    for (uint64_t u = 0; u < (1ull << 32); u += step) {
      const uint32_t w = uint32_t(u);
      T f;
      std::memcpy(&f, &w, 4);
      v.push_back(f);
    }
  } else {
    const uint64_t step = ((1ull << 63) / 200000) | 1;
    for (uint64_t u = 0; u < (1ull << 63) - step; u += step)
      for (const uint64_t w : {uint64_t(u), uint64_t(u | 1ull << 63)}) {
        T f;
        std::memcpy(&f, &w, 8);
        v.push_back(f);
      }
  }
  const int n = sparse ? 20000 : sizeof(T) == 4 ? 1000000 : 300000;
  for (int i = -n; i <= n; ++i)
    v.push_back(T(20.0L * i / n)), v.push_back(T(1.0L + 1e-3L * i / n)),
        v.push_back(T(1.2L * i / n)), v.push_back(T(110.0L * i / n));
  for (T s : {T(0), T(1), T(0.5), T(INFINITY), T(NAN), std::numeric_limits<T>::min(),
              std::numeric_limits<T>::max(), std::numeric_limits<T>::denorm_min()})
    v.push_back(s), v.push_back(-s);
  return v;
}

double worst_seen = 0;
bool chosen(const char* name, int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (!std::strcmp(argv[i], name)) return true;
  return argc == 1;
}

template <class T, class F, class R>
void unary(const char* name, double bound, F f, R reference, bool sparse = false) {
  const std::vector<T> x = samples<T>(sparse);
  double worst = 0;
  T at = 0;
  std::vector<T> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = f(x[i]);
  for (size_t i = 0; i < x.size(); ++i) {
    const double e = ulps<T>(y[i], reference(x[i]));
    if (e > worst) worst = e, at = x[i];
  }
  std::vector<T> a(4096), b(4096);
  for (int i = 0; i < 4096; ++i) a[i] = T(0.01 + 0.9 * i / 4096);
  double best = 1e9;
  for (int k = 0; k < 20; ++k) {
    const auto t = std::chrono::steady_clock::now();
    for (int rep = 0; rep < 20; ++rep) {
      for (int i = 0; i < 4096; ++i) b[i] = f(a[i]);
      asm volatile("" ::"r"(b.data()) : "memory");
    }
    best = std::min(
        best,
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t).count() /
            81920);
  }
  std::printf("%s %-16s %8.2f ulp at %-14.9g %6.2f ns%s\n", sizeof(T) == 4 ? "f32" : "f64", name,
              worst, double(at), best, worst > bound ? "   <-- above its bound" : "");
  if (worst > bound) worst_seen = worst;
}
template <class T, class F, class R>
void binary(const char* name, double bound, F f, R reference, T lo, T hi) {
  double worst = 0;
  T ax = 0, ay = 0;
  uint64_t state = 1;
  auto next = [&] {
    return state = state * 6364136223846793005ull + 1442695040888963407ull,
           T(state >> 40) / T(1 << 24);
  };
  const T special[] = {0,        T(-0.0), 1,           -1,           2,      -2,      3,
                       T(0.5),   T(-0.5), T(INFINITY), -T(INFINITY), T(NAN), T(1e30), T(-1e30),
                       T(1e-30), T(2.5),  T(-3)};
  auto check = [&](T x, T y) {
    const double e = ulps<T>(f(x, y), reference(x, y));
    if (e > worst) worst = e, ax = x, ay = y;
  };
  for (T x : special)
    for (T y : special) check(x, y);
  for (int i = 0; i < 400000; ++i) {
    const T x = lo + (hi - lo) * next(), y = lo + (hi - lo) * next();
    check(x, y);
  }
  for (int i = 0; i < 400000; ++i) {
    const T x = std::exp2(T(200) * (next() - T(0.5))) * (i & 1 ? 1 : -1),
            y = std::exp2(T(20) * (next() - T(0.5))) * (i & 2 ? 1 : -1);
    check(x, y);
  }
  std::vector<T> a(4096), b(4096), c(4096);
  for (int i = 0; i < 4096; ++i) a[i] = T(0.01 + 0.9 * i / 4096), b[i] = T(2.5 - a[i]);
  double best = 1e9;
  for (int k = 0; k < 20; ++k) {
    const auto t = std::chrono::steady_clock::now();
    for (int i = 0; i < 4096; ++i) c[i] = f(a[i], b[i]);
    asm volatile("" ::"r"(c.data()) : "memory");
    best = std::min(
        best,
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t).count() /
            4096);
  }
  std::printf("%s %-16s %8.2f ulp at (%.9g, %.9g) %6.2f ns%s\n", sizeof(T) == 4 ? "f32" : "f64",
              name, worst, double(ax), double(ay), best,
              worst > bound ? "   <-- above its bound" : "");
  if (worst > bound) worst_seen = worst;
}

}  // namespace

int main(int argc, char** argv) {
// float32 against double where the C library has the function (long double costs ten times as
// much), else long double
#define F32(NAME, BOUND, REFERENCE)                        \
  if (chosen(#NAME, argc, argv))                           \
    unary<float>(                                          \
        #NAME, BOUND, [](float x) { return fb::NAME(x); }, \
        [](double x) -> Real { return REFERENCE; });
#define F32S(NAME, BOUND, REFERENCE)                       \
  if (chosen(#NAME, argc, argv))                           \
    unary<float>(                                          \
        #NAME, BOUND, [](float x) { return fb::NAME(x); }, \
        [](Real x) -> Real { return REFERENCE; }, true);
#define F64(NAME, BOUND, REFERENCE)                         \
  if (chosen(#NAME, argc, argv))                            \
    unary<double>(                                          \
        #NAME, BOUND, [](double x) { return fb::NAME(x); }, \
        [](Real x) -> Real { return REFERENCE; });
  F32(exp, 1, std::exp(x));
  F32(exp2, 1, std::exp2(x));
  F32(expm1, 2, std::expm1(x));
  F32(log, 1, std::log(x));
  F32(log2, 2, std::log2(x));
  F32(log10, 2, std::log10(x));
  F32(log1p, 2, std::log1p(x));
  F32(tanh, 2, std::tanh(x));
  F32(sinh, 1, std::sinh(x));
  F32(cosh, 1, std::cosh(x));
  F32(asinh, 1, std::asinh(x));
  F32(acosh, 1, std::acosh(x));
  F32(atanh, 1, std::atanh(x));
  F32(sin, 1.6, std::sin(x));
  F32(cos, 1.6, std::cos(x));
  F32(tan, 1, std::tan(x));
  F32(asin, 2, std::asin(x));
  F32(acos, 2, std::acos(x));
  F32(atan, 2, std::atan(x));
  F32(erf, 2, std::erf(x));
  F32(erfc, 1, std::erfc(x));
  F32S(erfinv, 1, erfinv(x));
  F32S(normal_cdf, 1, normal_cdf(x));
  F32S(gelu_erf, 2, gelu_erf(x));
  F32S(gelu_erf_slope, 1e9, gelu_erf_slope(x));
  F32S(gelu_tanh, 2, gelu_tanh(x));
  F32S(gelu_tanh_gate, 2, gelu_tanh_gate(x));
  F32S(gelu_tanh_slope, 1e9, gelu_tanh_slope(x));
  F32S(sigmoid, 2, sigmoid(x));
  F32S(silu, 2, silu(x));
  F32S(silu_slope, 1e9, silu_slope(x));
  F32S(softplus, 2, softplus(x));
  if (chosen("pow", argc, argv))
    binary<float>(
        "pow", 1, [](float x, float y) { return fb::pow(x, y); },
        [](double x, double y) -> Real { return std::pow(x, y); }, -20, 20);
  if (chosen("atan2", argc, argv))
    binary<float>(
        "atan2", 2, [](float x, float y) { return fb::atan2(x, y); },
        [](double x, double y) -> Real { return std::atan2(x, y); }, -20, 20);
  if (chosen("hypot", argc, argv))
    binary<float>(
        "hypot", 1, [](float x, float y) { return fb::hypot(x, y); },
        [](double x, double y) -> Real { return std::hypot(x, y); }, -20, 20);
  if (chosen("logaddexp", argc, argv))
    binary<float>(
        "logaddexp", 1, [](float x, float y) { return fb::logaddexp(x, y); },
        [](Real x, Real y) -> Real {
          return x == y             ? x + logl(2)
                 : x != x || y != y ? x + y
                                    : fmaxl(x, y) + log1pl(expl(-fabsl(x - y)));
        },
        -20, 20);
  F64(exp, 1, expl(x));
  F64(expm1, 2, expm1l(x));
  F64(log, 2, logl(x));
  F64(log1p, 2, log1pl(x));
  F64(tanh, 2.5, tanhl(x));
  F64(sigmoid, 2.5, sigmoid(x));
  F64(silu, 3, silu(x));
  F64(softplus, 2.5, softplus(x));
  F64(erfinv, 1e6, erfinv(x));
  F64(normal_cdf, 1e9, normal_cdf(x));
  F64(gelu_erf, 1e9, gelu_erf(x));
  F64(gelu_tanh, 1e9, gelu_tanh(x));
  return worst_seen > 0;
}
