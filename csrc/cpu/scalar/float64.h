// float64: exp, log, expm1, log1p and tanh are ours; the rest is the C library's.
#pragma once

// r * 2^j for r in [1/2, 2), as in float32; `spread` for any r, at the price of a second product.
FB_SCALAR double scale(double r, double t) {
  const long j = bits(t) << 52, lowest = -1021 * (1L << 52), most = j < lowest ? lowest : j;
  return from_bits(bits(r) + most) * from_bits(j - most + (1023L << 52));
}
FB_SCALAR double spread(double r, double t) {
  const long j = bits(t) << 52, lowest = -1021 * (1L << 52), most = j < lowest ? lowest : j;
  return r * from_bits(most + (1023L << 52)) * from_bits(j - most + (1023L << 52));
}
FB_SCALAR Scaled<double> exp_parts(double x) {  // x at most 710
  const double c = at_least(x, -800.0), t = fma(c, 1.4426950408889634, kMagicWide),
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
  const double y = scale(e.r, e.t);
  return x <= 709.782712893384 ? y : x + kInf<double>;
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
  const double a = abs(x), c = at_most(a, 20.0), e = expm1(c + c);
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
  const double y = x > 0.0 ? r : x == 0.0 ? -kInf<double> : kNaN<double>;
  return x < kInf<double> ? y : x;
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
FB_SCALAR double square(double x) { return x * x; }
FB_SCALAR double inverse(double x) { return 1.0 / x; }
FB_SCALAR double root(double x) { return sqrt(x == -kInf<double> ? kInf<double> : x + 0.0); }
FB_SCALAR double pow(double x, double y) {  // powers.h tells what the single exponents are for
  return y == 2.0 ? square(x) : y == 0.5 ? root(x) : y == -1.0 ? inverse(x) : __builtin_pow(x, y);
}
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
