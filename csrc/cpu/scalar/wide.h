// Double inside, float32 outside: where float32 steps would lose too much.
#pragma once

inline constexpr double kMagicWide = 6755399441055744.0;
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
