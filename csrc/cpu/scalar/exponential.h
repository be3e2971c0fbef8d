// float32: exponentials and tanh.
#pragma once

// j = round(x / ln 2) lands in the low bits of t = j + 1.5 * 2^23.
inline constexpr float kMagic = 12582912.0f;
inline constexpr int kOneBits = 127 << 23;  // of 1.0f
FB_SCALAR f32 power_of_two(f32 t) {
  return from_bits((bits(t) << 23) + kOneBits);
}  // 2^j, j in [-126, 127]
// r * 2^j for r in [1/2, 2) and j in [-252, 128], as far as it is below 2^128: j goes into the
// exponent bits of r, and what does not fit there of a subnormal result is a factor, so that it
// rounds once.
FB_SCALAR f32 scale(f32 r, f32 t) {
  const i32 j = bits(t) << 23, lowest = -125 * (1 << 23), most = select(j < lowest, lowest, j);
  return from_bits(bits(r) + most) * from_bits(j - most + kOneBits);
}
template <class T>
struct Scaled {  // r * 2^j, j in the low bits of t
  T r, t;
};
FB_SCALAR f32 exp_reduced(f32 f) {  // |f| <= ln 2 / 2
  return poly(f, /*exp_f*/ 1.0e+00f, 1.0e+00f, 5.0e-01f, 1.6666488e-01f, 4.166555e-02f,
              8.372286e-03f, 1.403587e-03f);
}
FB_SCALAR f32 expm1_curve(f32 f) {  // (exp(f) - 1 - f) / f^2, |f| <= ln 2 / 2
  return poly(f, /*expm1_f*/ 5.0e-01f, 1.6666532e-01f, 4.166616e-02f, 8.368054e-03f,
              1.3974842e-03f);
}
FB_SCALAR f32 expm1_reduced(f32 f) { return fma(f * f, expm1_curve(f), f); }
// x - j ln 2
FB_SCALAR f32 reduce_exp(f32 x, f32 j) {
  return fma(j, 1.90465421e-9f, fma(j, -6.93147182e-1f, x));
}
FB_SCALAR Scaled<f32> exp_scaled(f32 x) {
  const f32 t = fma(x, 1.44269502f, kMagic);
  return {exp_reduced(reduce_exp(x, t - kMagic)), t};
}
// exp(x) where |x| <= kUsualExp, for loops that know it.
inline constexpr float kUsualExp = 86.5f;
FB_SCALAR f32 usual_exp(f32 x) {
  const auto [r, t] = exp_scaled(x);
  return from_bits(bits(r) + (bits(t) << 23));
}
FB_SCALAR f32 exp(f32 x) {
  const Usual usual = within(x, kUsualExp);
  const f32 near = usual_exp(x);
  const auto [r, t] = exp_scaled(at_least(x, -104.0f));
  return either(usual, near, select(x < 88.7228394f, scale(r, t), x + kInf<float>));
}
FB_SCALAR Scaled<f32> exp2_scaled(f32 x) {
  const f32 t = x + kMagic;
  return {poly(x - (t - kMagic), /*exp2_f*/ 1.0e+00f, 6.931472e-01f, 2.402265e-01f, 5.5503666e-02f,
               9.617931e-03f, 1.3389924e-03f, 1.5561853e-04f),
          t};
}
FB_SCALAR f32 exp2(f32 x) {
  const Usual usual = within(x, 125.0f);
  const auto [near, j] = exp2_scaled(x);
  const auto [r, t] = exp2_scaled(at_least(x, -151.0f));
  return either(usual, from_bits(bits(near) + (bits(j) << 23)),
                select(x < 128.0f, scale(r, t), x + kInf<float>));
}
FB_SCALAR f32 expm1(f32 x) {
  const f32 c = at_least(x, -18.0f), t = fma(c, 1.44269502f, kMagic), j = t - kMagic;
  const f32 p = expm1_reduced(reduce_exp(c, j));
  const f32 s = from_bits((bits(t) << 23) + (126 << 23));  // 2^(j-1), as 2^128 is too large
  const f32 r = fma(s, p, s - 0.5f), y = select(j == 0.0f, p, r + r);
  return select(x <= 88.7228394f, select(x == 0.0f, x, y), x + kInf<float>);
}
// With x = j ln 2 / 2 + f, s = 2^j and r = tanh(f), the addition theorem gives
//   tanh(x) = ((1 + s) r - (1 - s)) / ((1 + s) - (1 - s) r),
// whose sums are exact, for only r is rounded: one short polynomial serves all x, and near 0, where
// j = 0, it is the result. Both sides of the fraction are multiplied by k, which keeps them where
// floats are dense: they lie around k for most x, and around 1 above it are half as many floats as
// below. Far out, k = 1 keeps 1 + s exact.
FB_SCALAR f32 tanh_of(f32 c, f32 k, f32 x) {
  const f32 t = fma(c, 2.88539004f, kMagic), j = t - kMagic, f = fma(j, -3.46573591e-1f, c);
  const f32 z = f * f;
  const f32 r =
      fma(f * z, poly(z, /*tanh_step_f*/ -3.3333322e-01f, 1.3331142e-01f, -5.271529e-02f), f);
  const f32 s = from_bits((bits(t) << 23) + bits(k)), u = k + s, v = k - s;
  return copysign(fma(u, r, -v) / fma(-v, r, u), x);
}
FB_SCALAR f32 tanh(f32 x) {
  const Usual usual = within(x, 7.0f);
  const f32 n = from_bits(bits(x) | (-0x7fffffff - 1));  // -|x|
  const f32 near = tanh_of(n, from_bits((kOneBits - 0x300000) + (ones(n > -0.52f) & 0x500000)), x);
  const f32 c = at_least(n, -9.5f);
  const f32 k =
      from_bits(kOneBits + (ones(c > -7.105f) & -0x300000) + (ones(c > -0.52f) & 0x500000));
  return either(usual, near, tanh_of(c, k, x));
}
