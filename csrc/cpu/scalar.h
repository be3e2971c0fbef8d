// The scalar functions that value texts of ops/elementwise.def may use, over float, double and the
// integers.
//
// Rules: explicit fma only (the compiler contracts nothing), no branches where a loop should
// vectorise, no tables, so that every instruction set, vector width, tail and fused program gives
// the same bits. At most 2 ulp in float32 (2.5 for silu and the tanh form of GELU), IEEE results at
// NaN, infinities, -0 and subnormals; tests/cpp/accuracy.cpp and tests/test_accuracy.py hold the
// bounds. Coefficients come from csrc/cpu/tools/coefficients.py under the names beside them.
// Functions named *_w ("wide") take and give double but are only as precise as a float32 result
// needs. In float64 exp, log, expm1, log1p, tanh and what stands on them are ours; the rest is the
// C library's, called element by element, one copy for all instruction sets.
//
// Included inside a namespace per instruction set; everything is static.
#pragma once

#define FB_SCALAR static inline __attribute__((always_inline))

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

// c0 + c1 x + c2 x^2 + ..., by Horner's rule.
template <class T>
FB_SCALAR T poly(T, T c0) {
  return c0;
}
template <class T, class... C>
FB_SCALAR T poly(T x, T c0, C... c) {
  return fma(poly(x, T(c)...), x, c0);
}

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

// ---- integers: NumPy's results, never a trap --------------------------------------------------
template <class T>
struct Unsigned {
  using Type = T;
};
template <>
struct Unsigned<int> {
  using Type = unsigned;
};
template <>
struct Unsigned<long> {
  using Type = unsigned long;
};
template <>
struct Unsigned<long long> {
  using Type = unsigned long long;
};
template <class T>
FB_SCALAR T safe_divisor(T x, T y) {  // 1 in place of the divisors that trap
  if constexpr (T(-1) < T(0)) {
    const T lowest = T(typename Unsigned<T>::Type(1) << (sizeof(T) * 8 - 1));
    return (y == T(0)) | ((y == T(-1)) & (x == lowest)) ? T(1) : y;
  }
  return y == T(0) ? T(1) : y;
}
template <class T>
FB_SCALAR T floor_divide(T x, T y) {
  const T d = safe_divisor(x, y), q = T(x / d);
  const T floored = T(q - T((T(x - T(q * d)) != T(0)) & ((x < T(0)) != (d < T(0)))));
  return y == T(0) ? T(0) : floored;
}
template <class T>
FB_SCALAR T remainder(T x, T y) {
  const T d = safe_divisor(x, y), r = T(x % d);
  return y == T(0) ? T(0) : (r != T(0)) & ((r < T(0)) != (d < T(0))) ? T(r + d) : r;
}
template <class T>
FB_SCALAR T pow(T x, T y) {  // wraps around on overflow
  using U = typename Unsigned<T>::Type;
  U result = 1, power = U(x);
  for (U n = U(y); n != 0 && y > T(0); n >>= 1) {
    if (n & 1) result = U(result * power);
    power = U(power * power);
  }
  if (y < T(0)) return x == T(1) ? T(1) : x == T(-1) ? (y & 1 ? T(-1) : T(1)) : T(0);
  return T(result);
}
template <class T>
FB_SCALAR T left_shift(T x, T y) {
  using U = typename Unsigned<T>::Type;
  const U n = U(y), width = sizeof(T) * 8;
  return n < width ? T(U(x) << (n < width ? n : U(0))) : T(0);
}
template <class T>
FB_SCALAR T right_shift(T x, T y) {
  using U = typename Unsigned<T>::Type;
  const U n = U(y), width = sizeof(T) * 8;
  return T(x >> (n < width ? n : U(width - 1))) & (n < width || T(-1) < T(0) ? T(-1) : T(0));
}
template <class T>
FB_SCALAR T bitwise_invert(T x) {
  return T(~x);
}
FB_SCALAR bool bitwise_invert(bool x) { return !x; }

// ---- remainders and neighbours ----------------------------------------------------------------
FB_SCALAR float fmod(float x, float y) { return __builtin_fmodf(x, y); }
FB_SCALAR double fmod(double x, double y) { return __builtin_fmod(x, y); }
template <class T>
FB_SCALAR T float_remainder(T x, T y) {
  const T r = fmod(x, y);  // exact; the sign of x
  return r == T(0) ? copysign(r, y) : (r < T(0)) != (y < T(0)) ? r + y : r;
}
template <class T>
FB_SCALAR T float_floor_divide(T x, T y) {
  if (y == T(0)) return x / y;
  const T r = fmod(x, y);
  T q = (x - r) / y;
  if (r != T(0) && (r < T(0)) != (y < T(0))) q -= T(1);
  if (q == T(0)) return copysign(T(0), x / y);
  const T whole = floor(q);
  return q - whole > T(0.5) ? whole + T(1) : whole;
}
FB_SCALAR float remainder(float x, float y) { return float_remainder(x, y); }
FB_SCALAR double remainder(double x, double y) { return float_remainder(x, y); }
FB_SCALAR float floor_divide(float x, float y) { return float_floor_divide(x, y); }
FB_SCALAR double floor_divide(double x, double y) { return float_floor_divide(x, y); }
template <class T>
FB_SCALAR T nextafter(T x, T y) {
  const auto i = bits(x);
  const auto step = (x < y) == (x > T(0)) ? i + 1 : i - 1;  // away from 0, or towards it
  const T moved = x == T(0) ? copysign(from_bits(decltype(i)(1)), y) : from_bits(step);
  return x == y ? y : (x != x) | (y != y) ? x + y : moved;
}

// ---- float32: exponentials --------------------------------------------------------------------
// j = round(x / ln 2) lands in the low bits of t = j + 1.5 * 2^23.
inline constexpr float kMagic = 12582912.0f;
FB_SCALAR float power_of_two(float t) {
  return from_bits((bits(t) << 23) + (127 << 23));
}  // 2^j, j in [-126, 127]
// r * 2^j for j in [-252, 254], in two steps, so that subnormal results round once and 2^128 is
// reached.
FB_SCALAR float scale(float r, float t) {
  const int j = bits(t) - 0x4b400000, half = j >> 1;
  return r * from_bits((half + 127) << 23) * from_bits((j - half + 127) << 23);
}
FB_SCALAR float clamp(float x, float lo, float hi) {  // NaN stays
  const float y = x > hi ? hi : x;
  return y < lo ? lo : y;
}
template <class T>
struct Scaled {  // r * 2^j, j in the low bits of t
  T r, t;
};
FB_SCALAR float exp_reduced(float f) {  // |f| <= ln 2 / 2
  return poly(f, /*exp_f*/ 1.0e+00f, 1.0e+00f, 5.0e-01f, 1.6666488e-01f, 4.166555e-02f,
              8.372286e-03f, 1.403587e-03f);
}
FB_SCALAR Scaled<float> exp_core(float c) {
  const float t = fma(c, 1.44269502f, kMagic), j = t - kMagic;
  const float f = fma(j, 1.90465421e-9f, fma(j, -6.93147182e-1f, c));
  return {exp_reduced(f), t};
}
FB_SCALAR float exp(float x) {
  const Scaled<float> e = exp_core(clamp(x, -104.0f, 89.0f));
  return scale(e.r, e.t);
}
FB_SCALAR float exp2(float x) {
  const float c = clamp(x, -151.0f, 129.0f), t = c + kMagic, f = c - (t - kMagic);
  return scale(poly(f, /*exp2_f*/ 1.0e+00f, 6.931472e-01f, 2.402265e-01f, 5.5503666e-02f,
                    9.617931e-03f, 1.3389924e-03f, 1.5561853e-04f),
               t);
}
FB_SCALAR float expm1(float x) {
  const float c = clamp(x, -18.0f, 89.0f), t = fma(c, 1.44269502f, kMagic), j = t - kMagic;
  const float f = fma(j, 1.90465421e-9f, fma(j, -6.93147182e-1f, c));
  const float p = fma(
      f * f,
      poly(f, /*expm1_f*/ 5.0e-01f, 1.6666532e-01f, 4.166616e-02f, 8.368054e-03f, 1.3974842e-03f),
      f);                                                    // exp(f) - 1
  const float s = from_bits((bits(t) << 23) + (126 << 23));  // 2^(j-1), as 2^128 is too large
  const float r = fma(s, p, s - 0.5f);
  return x == 0.0f ? x : j == 0.0f ? p : r + r;
}
// An odd polynomial near 0; beyond, (e - 1) / (e + 1) with e = exp(2 |x|), where e - 1 is made
// without cancellation.
FB_SCALAR float tanh(float x) {
  const float a = abs(x), c = a > 9.5f ? 9.5f : a;
  const float t = fma(c, 2.88539004f, kMagic), j = t - kMagic, f = fma(j, -3.46573591e-1f, c);
  const float p = fma(f * f,
                      poly(f, /*expm1_2x_f*/ 2.0e+00f, 1.3333225e+00f, 6.666586e-01f,
                           2.6777774e-01f, 8.943899e-02f),
                      f + f);
  const float s = power_of_two(t), e = fma(s, p, s - 1.0f), z = a * a;
  const float near =
      fma(a * z,
          poly(z, /*tanh_f*/ -3.3333322e-01f, 1.3332406e-01f, -5.372962e-02f, 1.9447912e-02f), a);
  return copysign(a < 0.35f ? near : e / (e + 2.0f), x);
}

// ---- float32: logarithms ----------------------------------------------------------------------
// x = 2^e (1 + f) with f in [-1/3, 1/3): `tail` is (log(1 + f) - f).
FB_SCALAR float log_tail(float f) {
  return f * f *
         poly(f, /*log_f*/ -5.0e-01f, 3.3333197e-01f, -2.499992e-01f, 2.0011432e-01f,
              -1.6674457e-01f, 1.3989775e-01f, -1.22729905e-01f, 1.405959e-01f, -1.2492635e-01f);
}
struct Split {
  float e, f;
};
FB_SCALAR Split split(float x) {
  const bool small = x < 1.17549435e-38f;
  const float y = small ? x * 8388608.0f : x;
  const int i = (bits(y) - 0x3f2aaaab) & -0x800000;  // by 2/3: the exponent of y's binade around 1
  return {fma(float(i), 1.1920929e-7f, small ? -23.0f : 0.0f), from_bits(bits(y) - i) - 1.0f};
}
FB_SCALAR float log_edges(float x, float r) {  // r, but at and beyond the ends of the domain
  const float edge = x == 0.0f ? -kInf<float> : x < 0.0f ? kNaN<float> : x;
  return (x > 0.0f) & (x < kInf<float>) ? r : edge;
}
FB_SCALAR float log(float x) {
  const Split s = split(x);
  return log_edges(x, fma(s.e, 6.93147182e-1f, s.f + log_tail(s.f)));
}
FB_SCALAR float log2(float x) {
  const Split s = split(x);
  const float tail = log_tail(s.f), low = fma(s.f, 1.92596303e-8f, tail * 1.44269502f);
  return log_edges(x, s.e + fma(s.f, 1.44269502f, low));
}
FB_SCALAR float log10(float x) {
  const Split s = split(x);
  const float low = fma(s.f, -1.01030500e-8f, log_tail(s.f) * 4.34294492e-1f);
  return log_edges(
      x, fma(s.e, 3.01030010e-1f, fma(s.e, -1.43209888e-8f, fma(s.f, 4.34294492e-1f, low))));
}
FB_SCALAR float log1p_inside(float x) {  // x > -1, finite
  const float u = x + 1.0f;
  const int i = (bits(u) - 0x3f2aaaab) & -0x800000;
  // 1 + f = 2^-e (1 + x), from x itself: 2^-e x by its exponent bits, 2^-e - 1 exactly.
  const float f = from_bits(bits(x) - i) + fma(0.25f, from_bits(0x40800000 - i), -1.0f);
  return fma(float(i), 8.26295848e-8f, f + log_tail(f));  // ln 2 / 2^23
}
FB_SCALAR float log1p(float x) {
  const float r = log1p_inside(x);
  const float edge = x == -1.0f ? -kInf<float> : x < -1.0f ? kNaN<float> : x;
  return (x > -1.0f) & (x < kInf<float>)&(x != 0.0f) ? r : edge;
}

// ---- wide: double inside, float32 outside -----------------------------------------------------
inline constexpr double kMagicWide = 6755399441055744.0;
FB_SCALAR double clamp(double x, double lo, double hi) {
  const double y = x > hi ? hi : x;
  return y < lo ? lo : y;
}
FB_SCALAR double power_of_two(double t) { return from_bits((bits(t) << 52) + (1023L << 52)); }
FB_SCALAR double exp2_w(double x) {  // beyond +-400 it stays at 2^+-400, infinite or 0 as a float
  const double c = clamp(x, -400.0, 400.0), t = c + kMagicWide, f = c - (t - kMagicWide);
  return poly(f, /*exp2_w*/ 0.9999999999616793, 0.6931471807284383, 0.24022651198167422,
              0.055504103534576424, 0.009618027252667853, 0.0013333922554173133,
              0.00015469291415675016, 1.5201924475326841e-05) *
         power_of_two(t);
}
FB_SCALAR double exp_w(double x) { return exp2_w(x * 1.4426950408889634); }
struct WideSplit {
  double e, f;
};
// i / 2^52 for multiples of 2^52 above -1023 * 2^52, without an integer conversion or an arithmetic
// shift
FB_SCALAR double exponent_w(long i) {
  const long biased = long((unsigned long)(i + (1023L << 52)) >> 52);
  return from_bits(biased + bits(kMagicWide)) - (kMagicWide + 1023.0);
}
FB_SCALAR double log1p_f_w(double f) {
  return fma(
      f * f,
      poly(f, /*log_w*/ -0.500000000016736, 0.3333333333902213, -0.2499999942100497,
           0.1999999876708771, -0.16666723174773426, 0.14285806578874594, -0.12497595541935184,
           0.1110781584582643, -0.10051972019246068, 0.09153673373610223, -0.07741590258834942,
           0.07043669839226412, -0.1044457430994514, 0.1001212601381823),
      f);
}
// log(x); at 0 about -745 or less, so call it with care for the edges.
FB_SCALAR double log_w(double x) {
  const long i = (bits(x) - 0x3fe5555555555555L) & -0x10000000000000L;
  return fma(exponent_w(i), 0.6931471805599453, log1p_f_w(from_bits(bits(x) - i) - 1.0));
}
FB_SCALAR double log1p_w(double x) {  // x > -1, finite
  const long i = (bits(x + 1.0) - 0x3fe5555555555555L) & -0x10000000000000L;
  const double f = from_bits(bits(x) - i) + (from_bits(0x3ff0000000000000L - i) - 1.0);
  return fma(exponent_w(i), 0.6931471805599453, log1p_f_w(f));
}

FB_SCALAR float pow(float x, float y) {
  const float a = abs(x);
  const double l = (a > 0.0f) & (a < kInf<float>) ? log_w(double(a))
                   : a == 0.0f                    ? -kInf<double>
                                                  : double(a);
  const double p = exp2_w(double(y) * (l * 1.4426950408889634));
  const bool whole = floor(y) == y, odd = whole & (floor(y * 0.5f) != y * 0.5f);
  const float r = odd & signbit(x) ? -float(p) : float(p);
  const bool undefined = (x < 0.0f) & !whole & (a < kInf<float>)&(y == y);
  const bool one = (y == 0.0f) | (x == 1.0f) | ((a == 1.0f) & (abs(y) == kInf<float>));
  return one ? 1.0f : undefined ? kNaN<float> : r;
}
FB_SCALAR float hypot(float x, float y) {
  const double a = x, b = y;
  return (abs(x) == kInf<float>) | (abs(y) == kInf<float>) ? kInf<float>
                                                           : float(sqrt(a * a + b * b));
}
FB_SCALAR float logaddexp(float x, float y) {
  const double a = x, b = y, hi = a > b ? a : b, d = abs(a - b);
  const double r = hi + log1p_w(exp_w(-d));
  // equal infinities have no difference; NaNs reach r through d or hi
  return float(a == b ? a + 0.6931471805599453 : d == d ? r : a + b);
}
FB_SCALAR float sinh(float x) {
  const double a = x, z = a * a;
  const double near =
      fma(a * z,
          poly(z, /*sinh_w*/ 0.166666666670473, 0.00833333327847236, 0.00019841295398985106,
               2.7552141273221643e-06, 2.552664332402637e-08),
          a);
  const double far = 0.5 * (exp_w(a) - exp_w(-a));
  return abs(x) < 1.0f ? float(near) : float(far);
}
FB_SCALAR float cosh(float x) {
  const double a = x;
  return float(0.5 * (exp_w(a) + exp_w(-a)));
}
FB_SCALAR float asinh(float x) {
  const double a = abs(double(x)), z = a * a;
  const float r = float(log1p_w(a + z / (1.0 + sqrt(z + 1.0))));
  return abs(x) < kInf<float> ? copysign(r, x) : x;
}
FB_SCALAR float acosh(float x) {
  const double t = double(x) - 1.0;
  const float r = float(log1p_w(t + sqrt(t * (t + 2.0))));
  return x >= 1.0f ? (x < kInf<float> ? r : x) : kNaN<float>;
}
FB_SCALAR float atanh(float x) {
  const double a = abs(double(x));
  const float r = float(0.5 * log1p_w((a + a) / (1.0 - a)));
  const float edge = a == 1.0 ? kInf<float> : kNaN<float>;
  return copysign(a < 1.0 ? r : edge, x);
}

// ---- float32: trigonometry --------------------------------------------------------------------
// x - n pi/2 in double; right to float32 precision for |x| < kTrigLimit. Loops look at a block's
// largest |x| first.
inline constexpr float kTrigLimit = 1e9f;
struct Quadrant {
  double s, c;  // sine and cosine of the reduced angle
  long n;
};
FB_SCALAR Quadrant quadrant(float x) {
  const double a = x, t = fma(a, 0.6366197723675814, kMagicWide), n = t - kMagicWide;
  const double r = fma(n, -6.123233995736766e-17, fma(n, -1.5707963267948966, a)), z = r * r;
  return {fma(r * z,
              poly(z, /*sin_w*/ -0.16666666640797076, 0.008333329304851221, -0.00019839312272203755,
                   2.7181216495619296e-06),
              r),
          poly(z, /*cos_w*/ 0.9999999999999344, -0.49999999999271333, 0.04166666653369775,
               -0.0013888879934502013, 2.4798844264985642e-05, -2.716798125721916e-07),
          bits(t)};
}
FB_SCALAR float sin_near(float x) {
  const Quadrant q = quadrant(x);
  const double r = q.n & 1 ? q.c : q.s;
  return x == 0.0f ? x : float(from_bits(bits(r) ^ (q.n & 2) << 62));
}
FB_SCALAR float cos_near(float x) {
  const Quadrant q = quadrant(x);
  const double r = q.n & 1 ? q.s : q.c;
  return float(from_bits(bits(r) ^ ((q.n + 1) & 2) << 62));
}
FB_SCALAR float tan_near(float x) {
  const Quadrant q = quadrant(x);
  const bool odd = q.n & 1;
  const double r = (odd ? q.c : q.s) / (odd ? q.s : q.c);
  return x == 0.0f ? x : float(odd ? -r : r);
}
FB_SCALAR float sin(float x) {
  return abs(x) < kTrigLimit ? sin_near(x) : float(__builtin_sin(double(x)));
}
FB_SCALAR float cos(float x) {
  return abs(x) < kTrigLimit ? cos_near(x) : float(__builtin_cos(double(x)));
}
FB_SCALAR float tan(float x) {
  return abs(x) < kTrigLimit ? tan_near(x) : float(__builtin_tan(double(x)));
}

// asin(sqrt(z)) for z in [0, 1/4], given r = sqrt(z)
FB_SCALAR float asin_core(float r, float z) {
  return fma(r * z,
             poly(z, /*asin_f*/ 1.6666752e-01f, 7.4953094e-02f, 4.5469154e-02f, 2.4184743e-02f,
                  4.2158388e-02f),
             r);
}
FB_SCALAR float asin(float x) {
  const float a = abs(x);
  const bool far = a > 0.5f;
  const float z = far ? fma(-0.5f, a, 0.5f) : a * a, r = far ? sqrt(z) : a, p = asin_core(r, z);
  return copysign(far ? fma(-2.0f, p, 1.57079637f) + -4.37113883e-8f : p, x);
}
FB_SCALAR float acos(float x) {
  const float a = abs(x);
  const bool far = a > 0.5f;
  const float z = far ? fma(-0.5f, a, 0.5f) : a * a, p = asin_core(far ? sqrt(z) : a, z);
  const float near = 1.57079637f - (copysign(p, x) - -4.37113883e-8f);
  return far ? (x > 0.0f ? p + p : fma(-2.0f, p, 3.14159274f) + -8.74227766e-8f) : near;
}
FB_SCALAR float atan_core(float r) {  // |r| <= 1
  const float z = r * r;
  return fma(r * z,
             poly(z, /*atan_f*/ -3.33333e-01f, 1.999853e-01f, -1.4264043e-01f, 1.0951187e-01f,
                  -8.400679e-02f, 5.7912596e-02f, -3.1135248e-02f, 1.0892815e-02f, -1.7889651e-03f),
             r);
}
FB_SCALAR float atan(float x) {
  const float a = abs(x), p = atan_core(a > 1.0f ? 1.0f / a : a);
  return copysign(a > 1.0f ? 1.57079637f - p : p, x);
}
FB_SCALAR float atan2(float y, float x) {
  const double a = abs(double(y)), b = abs(double(x));
  const bool steep = a > b;
  const double lo = steep ? b : a, hi = steep ? a : b;
  const float r = hi == 0.0 ? 0.0f : lo == kInf<double> ? 1.0f : float(lo / hi);
  const float p = atan_core(r);
  const float q = steep ? 1.57079637f - p : p;
  const float whole = signbit(x) ? 3.14159274f - q : q;
  return (x != x) | (y != y) ? x + y : copysign(whole, y);
}

// ---- float32: error function ------------------------------------------------------------------
FB_SCALAR float erf(float x) {
  const float a = abs(x), c = a > 4.0f ? 4.0f : a, z = x * x;
  const float near = fma(a,
                         poly(z, /*erf_f*/ 1.2837917e-01f, -3.7612626e-01f, 1.1283579e-01f,
                              -2.6853347e-02f, 5.187162e-03f, -7.997853e-04f, 7.806904e-05f),
                         a);
  const float e = poly(c, /*erf_tail_f*/ -5.1031995e-04f, -1.625975e+00f, -9.2076516e-01f,
                       -1.4865132e-01f, 3.1458296e-02f, -4.2409115e-03f, 2.6772037e-04f),
              t = e + kMagic, f = e - (t - kMagic);
  const float far = fma(-power_of_two(t),
                        poly(f, /*exp2_f*/ 1.0e+00f, 6.931472e-01f, 2.402265e-01f, 5.5503666e-02f,
                             9.617931e-03f, 1.3389924e-03f, 1.5561853e-04f),
                        1.0f);
  return copysign(a < 1.0f ? near : a == a ? far : a, x);
}
// erfc(a) exp(a^2) for a >= 0
FB_SCALAR double erfcx_w(double a) {
  const double q = 1.0 / (a + 3.0), t = fma(-6.0, q, 1.0);  // t = (a - 3) / (a + 3)
  return poly(t, /*erfcx_w*/ 1.074006907089972, -0.8833944541900941, 0.5902283574696918,
              -0.3104672109454745, 0.11952775940525107, -0.026827957090906258,
              -0.0012126727340976639, 0.0030383276842240636, -0.0005451324491614737,
              -0.000287749881354624, 9.483269882454421e-05, 3.909572981770059e-05) *
         q;
}
FB_SCALAR double erfc_w(double x) {
  const double a = abs(x), c = a > 11.0 ? 11.0 : a, r = exp_w(-c * c) * erfcx_w(c);
  return x < 0.0 ? 2.0 - r : r;
}
FB_SCALAR float erfc(float x) { return float(erfc_w(double(x))); }
FB_SCALAR float normal_cdf(float x) { return float(0.5 * erfc_w(double(x) * -0.7071067811865476)); }
FB_SCALAR float gelu_erf(float x) {
  const double a = x, r = 0.5 * a * erfc_w(a * -0.7071067811865476);
  return x < -20.0f ? -0.0f : float(r);
}
FB_SCALAR float gelu_erf_slope(float x) {
  const double a = clamp(double(x), -16.0, 16.0), u = abs(a) * 0.7071067811865476,
               e = exp_w(-u * u);
  const double half = 0.5 * e * erfcx_w(u), cdf = a < 0.0 ? half : 1.0 - half;
  return float(fma(a * 0.3989422804014327, e, cdf));
}
FB_SCALAR float erfinv(float x) {
  const double a = x, w = -log_w((1.0 - a) * (1.0 + a)), s = sqrt(w);
  const double near =
      a * poly(w, /*erfinv_w*/ 0.886226928754116, 0.23201349530404644, 0.011550785118291825,
               -0.0023397879327721376, -0.00012030655157532054, 3.9216536070647865e-05,
               6.3806372664754614e-06, -2.626670750030471e-06, 3.225954483933321e-07,
               -1.639451136601142e-08, 5.081771446400601e-11, 1.809913088214367e-11);
  const double far =
      poly(s, /*erfinv_tail_w*/ -0.09346380817163778, 1.184352351128606, -0.3961039441351012,
           0.29451624176340757, -0.11854316415765605, 0.0287903595743702, -0.004245020977539623,
           0.0003519495835906513, -1.2642709567715494e-05);
  const float r = w < 6.25 ? float(near) : copysign(float(far), x);
  return abs(x) < 1.0f ? r : abs(x) == 1.0f ? copysign(kInf<float>, x) : kNaN<float>;
}

// ---- float64 ----------------------------------------------------------------------------------
FB_SCALAR double scale(double r, double t) {
  const long j = bits(t) - bits(kMagicWide), half = j >> 1;
  return r * from_bits((half + 1023) << 52) * from_bits((j - half + 1023) << 52);
}
FB_SCALAR Scaled<double> exp_parts(double x) {
  const double c = clamp(x, -800.0, 710.0), t = fma(c, 1.4426950408889634, kMagicWide),
               j = t - kMagicWide;
  const double f = fma(j, -2.3190468138462996e-17, fma(j, -0.6931471805599453, c));
  return {poly(f, /*exp_d*/ 1.0, 1.0, 0.5, 0.16666666666666688, 0.041666666666666824,
               0.00833333333331389, 0.001388888888877775, 0.0001984126990338713,
               2.4801587559990613e-05, 2.755722865441829e-06, 2.755706683890395e-07,
               2.511394681612076e-08, 2.0978105609405662e-09),
          t};
}
FB_SCALAR double exp(double x) {
  const Scaled<double> e = exp_parts(x);
  return scale(e.r, e.t);
}
FB_SCALAR double expm1(double x) {
  const double c = clamp(x, -38.0, 710.0), t = fma(c, 1.4426950408889634, kMagicWide),
               j = t - kMagicWide;
  const double f = fma(j, -2.3190468138462996e-17, fma(j, -0.6931471805599453, c));
  const double p = fma(f * f,
                       poly(f, /*expm1_d*/ 0.5, 0.16666666666666677, 0.04166666666666669,
                            0.008333333333321745, 0.001388888888888318, 0.00019841269885332094,
                            2.4801587302968792e-05, 2.7557245244084835e-06, 2.755731124955105e-07,
                            2.510864357182014e-08, 2.0898106748138828e-09),
                       f);
  const double s = from_bits((bits(t) << 52) + (1022L << 52)), r = fma(s, p, s - 0.5);
  return x == 0.0 ? x : j == 0.0 ? p : r + r;
}
FB_SCALAR double tanh(double x) {
  const double a = abs(x), c = a > 20.0 ? 20.0 : a, e = expm1(c + c);
  return copysign(e / (e + 2.0), x);
}
// log(1 + f) - f for f in [sqrt(1/2) - 1, sqrt(2) - 1]: with s = f / (2 + f), it is s (f^2/2 +
// R(s^2) s^2) - f^2/2
FB_SCALAR double log_tail(double f) {
  const double s = f / (f + 2.0), z = s * s, half = 0.5 * f * f;
  return fma(s,
             half + z * poly(z, /*log_d*/ 0.6666666666666666, 0.40000000000004926,
                             0.2857142856940977, 0.2222222260724129, 0.18181778329641018,
                             0.15386990096036532, 0.13252118176872288, 0.13235060508039895),
             -half);
}
struct SplitD {
  double e, f;
};
FB_SCALAR SplitD split(double x) {
  const bool small = x < 2.2250738585072014e-308;
  const double y = small ? x * 4503599627370496.0 : x;
  const long i = (bits(y) - 0x3fe6a09e667f3bcdL) & -0x10000000000000L;
  return {exponent_w(i) - (small ? 52.0 : 0.0), from_bits(bits(y) - i) - 1.0};
}
FB_SCALAR double log_edges(double x, double r) {
  const double edge = x == 0.0 ? -kInf<double> : x < 0.0 ? kNaN<double> : x;
  return (x > 0.0) & (x < kInf<double>) ? r : edge;
}
FB_SCALAR double log(double x) {
  const SplitD s = split(x);
  return log_edges(
      x, fma(s.e, 0.6931471805599453, s.f + fma(s.e, 2.3190468138462996e-17, log_tail(s.f))));
}
FB_SCALAR double log1p_inside(double x) {
  const double u = x + 1.0;
  const long i = (bits(u) - 0x3fe6a09e667f3bcdL) & -0x10000000000000L;
  const double f = from_bits(bits(x) - i) + fma(0.25, from_bits(0x4010000000000000L - i), -1.0),
               e = exponent_w(i);
  return fma(e, 0.6931471805599453, f + fma(e, 2.3190468138462996e-17, log_tail(f)));
}
FB_SCALAR double log1p(double x) {
  const double r = log1p_inside(x);
  const double edge = x == -1.0 ? -kInf<double> : x < -1.0 ? kNaN<double> : x;
  return (x > -1.0) & (x < kInf<double>)&(x != 0.0) ? r : edge;
}
#define FB_LIBM(NAME) \
  FB_SCALAR double NAME(double x) { return __builtin_##NAME(x); }
FB_LIBM(exp2)
FB_LIBM(log2)
FB_LIBM(log10)
FB_LIBM(sin)
FB_LIBM(cos)
FB_LIBM(tan)
FB_LIBM(asin)
FB_LIBM(acos)
FB_LIBM(atan)
FB_LIBM(sinh)
FB_LIBM(cosh)
FB_LIBM(asinh)
FB_LIBM(acosh)
FB_LIBM(atanh)
FB_LIBM(erf)
FB_LIBM(erfc)
#undef FB_LIBM
FB_SCALAR double pow(double x, double y) { return __builtin_pow(x, y); }
FB_SCALAR double atan2(double y, double x) { return __builtin_atan2(y, x); }
FB_SCALAR double hypot(double x, double y) { return __builtin_hypot(x, y); }
FB_SCALAR double logaddexp(double x, double y) {
  const double r = (x > y ? x : y) + log1p(exp(-abs(x - y)));
  return x == y ? x + 0.6931471805599453 : (x != x) | (y != y) ? x + y : r;
}
FB_SCALAR double normal_cdf(double x) {
  const double a = x * -0.7071067811865476;  // and what rounding left of it, through the derivative
  const double rest = fma(x, -0.7071067811865476, -a) + x * 4.833646656726457e-17;
  const double r = fma(rest * -1.1283791670955126, exp(-a * a), erfc(a));
  return 0.5 * (abs(a) < 30.0 ? r : erfc(a));
}
FB_SCALAR double gelu_erf(double x) { return x < -40.0 ? -0.0 : x * normal_cdf(x); }
FB_SCALAR double gelu_erf_slope(double x) {
  const double a = clamp(x, -40.0, 40.0);
  return fma(a * 0.3989422804014327, exp(-0.5 * a * a), normal_cdf(a));
}
// The float32 value, then two of Halley's steps on erf (near) or erfc (far).
FB_SCALAR double erfinv(double x) {
  const double a = abs(x);
  if (!(a < 1.0)) return a == 1.0 ? copysign(kInf<double>, x) : kNaN<double>;
  const double w = -log((1.0 - a) * (1.0 + a)), s = sqrt(w);
  double y = w < 6.25 ? double(erfinv(float(a))) : s - 0.5 * log(s) / s - 0.3;
  for (int i = 0; i < (w < 6.25 ? 2 : 5); ++i) {
    const double error = a < 0.5 ? erf(y) - a : (1.0 - a) - erfc(y);
    const double step = error * 0.886226925452758 * exp(y * y);
    y -= step / (1.0 + y * step);
  }
  return a == 0.0 ? x : copysign(y, x);
}

// ---- logistic functions -----------------------------------------------------------------------
// 1 / (1 + e) as k / (e k + k): far below 0, where e = exp(-x) alone would overflow, k is 2^-64.
// One division each.
struct Logistic {
  float e, k;  // both times k
};
FB_SCALAR Logistic logistic(Scaled<float> e, bool far) {
  return {e.r * from_bits((bits(e.t) << 23) + (far ? (127 - 64) << 23 : 127 << 23)),
          far ? 0x1p-64f : 1.0f};
}
FB_SCALAR Logistic logistic(float x) {
  return logistic(exp_core(clamp(-x, -60.0f, 126.0f)), x < -60.0f);
}
FB_SCALAR float sigmoid(float x) {
  const Logistic l = logistic(x);
  const bool large = l.e > l.k;
  const float s = l.e + l.k, q = l.k / s;
  // What rounding left of the sum, and its part in the quotient (where k is not 1 it is nothing).
  const float rest = (large ? l.k : l.e) - (s - (large ? l.e : l.k));
  return fma(-q * q, rest, q);
}
FB_SCALAR float silu(float x) {
  const Logistic l = logistic(x);
  return (x < -1000.0f ? -1000.0f : x) * l.k / (l.e + l.k);  // -inf / inf is -0 here
}
FB_SCALAR float silu_slope(float x) {
  const Logistic l = logistic(x);
  const float q = 1.0f / (l.e + l.k), c = clamp(x, -1000.0f, 1000.0f);
  return l.k * q * fma(c, l.e * q, 1.0f);
}
FB_SCALAR double sigmoid(double x) {
  const double e = exp(-abs(x));
  return (x < 0.0 ? e : 1.0) / (e + 1.0);
}
FB_SCALAR double silu(double x) {
  const double c = x < -1000.0 ? -1000.0 : x;
  const Scaled<double> e = exp_parts(-abs(x));
  return (x < 0.0 ? scale(c * e.r, e.t) : x) / (scale(e.r, e.t) + 1.0);
}
FB_SCALAR double silu_slope(double x) {
  const double c = clamp(x, -1000.0, 1000.0), e = exp(-abs(c)), q = 1.0 / (e + 1.0);
  return (c < 0.0 ? e : 1.0) * q * fma(c, (c < 0.0 ? 1.0 : e) * q, 1.0);
}
template <class T>
FB_SCALAR T softplus(T x) {
  return x > T(1e4) ? x : (x < T(0) ? T(0) : x) + log1p_inside(exp(-abs(x)));
}

// The tanh form of GELU is x times a logistic function of a cubic. An error of the exponent is an
// error of the result times its size, so the exponent (to base 2) and its reduction are done in
// double.
FB_SCALAR Logistic gelu_logistic(float x) {
  const double a = x,
               y = clamp(a * fma(a * a, -0.1029432395800235, -2.3022081981443248), -60.0, 190.0);
  const double t = y + kMagicWide, j = t - kMagicWide;
  const float f = float((y - j) * 0.6931471805599453);
  return logistic(Scaled<float>{exp_reduced(f), float(j) + kMagic}, x < -8.0f);
}
FB_SCALAR float gelu_tanh_gate(float x) {
  const Logistic l = gelu_logistic(x);
  return l.k / (l.e + l.k);
}
FB_SCALAR float gelu_tanh(float x) {
  const Logistic l = gelu_logistic(x);
  return (x < -30.0f ? -30.0f : x) * l.k / (l.e + l.k);
}
FB_SCALAR float gelu_tanh_slope(float x) {
  const Logistic l = gelu_logistic(x);
  const float q = 1.0f / (l.e + l.k), c = clamp(x, -30.0f, 30.0f);
  return l.k * q * fma(c * (l.e * q), fma(c * c, 0.214064449f, 1.59576917f), 1.0f);
}
FB_SCALAR double gelu_tanh_gate(double x) {
  return sigmoid(x * fma(x * x, 0.07135481627260025, 1.5957691216057308));
}
FB_SCALAR double gelu_tanh(double x) { return x < -40.0 ? -0.0 : x * gelu_tanh_gate(x); }
FB_SCALAR double gelu_tanh_slope(double x) {
  const double c = clamp(x, -40.0, 40.0), z = c * c, s = gelu_tanh_gate(c),
               rest = gelu_tanh_gate(-c);
  return s * fma(c * rest, fma(z, 0.21406444881780073, 1.5957691216057308), 1.0);
}
