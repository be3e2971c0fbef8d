// The operations of the machine under one name for float and double, bit patterns, polynomials, and
// what holds for any type.
#pragma once

#define FB_SCALAR static inline __attribute__((always_inline))

// The names that the float32 functions are written with. cpu/jit/traced.h gives them another
// meaning: there a function yields the instructions that compute it.
using f32 = float;
using i32 = int;
using flag = bool;

// ---- the machine's own operations -------------------------------------------------------------
FB_SCALAR float from_bits(int i) { return __builtin_bit_cast(float, i); }
FB_SCALAR double from_bits(long i) { return __builtin_bit_cast(double, i); }
FB_SCALAR double from_bits(long long i) { return __builtin_bit_cast(double, i); }
FB_SCALAR int bits(float x) { return __builtin_bit_cast(int, x); }
FB_SCALAR long bits(double x) { return __builtin_bit_cast(long, x); }
FB_SCALAR float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FB_SCALAR double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
FB_SCALAR float sqrt(float x) { return __builtin_sqrtf(x); }
FB_SCALAR double sqrt(double x) { return __builtin_sqrt(x); }
FB_SCALAR float floor(float x) { return __builtin_floorf(x); }
FB_SCALAR double floor(double x) { return __builtin_floor(x); }
FB_SCALAR float ceil(float x) { return __builtin_ceilf(x); }
FB_SCALAR double ceil(double x) { return __builtin_ceil(x); }
FB_SCALAR float trunc(float x) { return __builtin_truncf(x); }
FB_SCALAR double trunc(double x) { return __builtin_trunc(x); }
FB_SCALAR float round(float x) { return __builtin_rintf(x); }
FB_SCALAR double round(double x) { return __builtin_rint(x); }
FB_SCALAR float abs(float x) { return __builtin_fabsf(x); }
FB_SCALAR double abs(double x) { return __builtin_fabs(x); }
FB_SCALAR float copysign(float x, float y) { return __builtin_copysignf(x, y); }
FB_SCALAR double copysign(double x, double y) { return __builtin_copysign(x, y); }

template <class T>
inline constexpr T kInf = T(__builtin_inf());
template <class T>
inline constexpr T kNaN = T(__builtin_nan(""));
template <class T>
inline constexpr bool kIsFloat = false;
template <>
inline constexpr bool kIsFloat<float> = true;
template <>
inline constexpr bool kIsFloat<double> = true;

// c ? a : b, of values that both exist: arms that are computed only where they are needed are what
// keeps a loop from being vectorised.
template <class T>
FB_SCALAR T select(bool c, T a, T b) {
  return c ? a : b;
}
FB_SCALAR int ones(bool c) { return -int(c); }  // all bits, or none

// c0 + c1 x + c2 x^2 + ..., by Horner's rule.
template <class T>
FB_SCALAR T poly(T, T c0) {
  return c0;
}
template <class T, class... C>
FB_SCALAR T poly(T x, T c0, C... c) {
  return fma(poly(x, T(c)...), x, c0);
}

// A constant that the compiler does not see through. A compare-and-select against a literal becomes
// two instructions, and two of them in a row ten; against a value of unknown size it becomes the
// one instruction max or min. Loops fetch it once, in front.
#if defined(__GNUC__) && !defined(__clang__)
#define FB_OPAQUE __attribute__((noipa, const))
#else
#define FB_OPAQUE __attribute__((noinline, const))
#endif
template <class T>
FB_OPAQUE static T hidden(T x) {
  return x;
}
// x within the bound; NaN stays.
template <class T>
FB_SCALAR T at_least(T x, T lo) {
  const T bound = hidden(lo);
  return x < bound ? bound : x;
}
template <class T>
FB_SCALAR T at_most(T x, T hi) {
  const T bound = hidden(hi);
  return bound < x ? bound : x;
}
template <class T>
FB_SCALAR T clamp(T x, T lo, T hi) {
  return at_least(at_most(x, hi), lo);
}

// Two ways to the same bits: `usual` holds where |x| <= bound, `general` everywhere. A plain loop
// takes the latter; compiled ones (cpu/jit) look at some vectors at a time, and take the former if
// it holds for all of them.
struct Usual {};
FB_SCALAR Usual within(float, float) { return {}; }
FB_SCALAR float either(Usual, float, float general) { return general; }

// ---- any type ---------------------------------------------------------------------------------
template <class T>
FB_SCALAR T floor(T x) {
  return x;
}
template <class T>
FB_SCALAR T ceil(T x) {
  return x;
}
template <class T>
FB_SCALAR T trunc(T x) {
  return x;
}
template <class T>
FB_SCALAR T round(T x) {
  return x;
}
template <class T>
FB_SCALAR T abs(T x) {
  return x < T(0) ? T(-x) : x;
}
template <class T>
FB_SCALAR T sign(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : x == T(0) ? T(0) : x;
}
template <class T>
FB_SCALAR bool isnan(T x) {
  return x != x;
}
template <class T>
FB_SCALAR bool isinf(T x) {
  if constexpr (kIsFloat<T>) return abs(x) == kInf<T>;
  return false;
}
template <class T>
FB_SCALAR bool isfinite(T x) {
  if constexpr (kIsFloat<T>) return abs(x) < kInf<T>;
  return true;
}
FB_SCALAR bool signbit(float x) { return bits(x) < 0; }
FB_SCALAR bool signbit(double x) { return bits(x) < 0; }
template <class T>
FB_SCALAR T maximum(T x, T y) {
  return (x > y) | (x != x) ? x : y;
}
template <class T>
FB_SCALAR T minimum(T x, T y) {
  return (x < y) | (x != x) ? x : y;
}
