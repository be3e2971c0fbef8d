// float32: the logistic function and the activations that are made of it.
#pragma once

// float32: 1 / (1 + exp(-y)) as k / d. Far below 0, where exp(-y) alone would overflow, k is 2^-64.
struct Logistic {
  f32 k, e, d;  // d = k + e, e = k exp(-y)
  f32 rest;     // what rounding left of d
  f32 inverse;  // 1 / d within 12 %, to weigh such rests
};
// -y = f + j ln 2, j in the low bits of t.
FB_SCALAR Logistic logistic(f32 f, f32 t, flag far) {
  const i32 k_bits = kOneBits - (ones(far) & (64 << 23));
  const f32 p = expm1_reduced(f), k = from_bits(k_bits);
  const f32 s = from_bits((bits(t) << 23) + k_bits), sum = k + s, d = fma(s, p, sum);
  // inverse: the exponent changes its sign, the mantissa follows by a straight line.
  return {k, fma(s, p, s), d, fma(s, p, sum - d) + (k - (sum - s)),
          from_bits(0x7ef311c3 - bits(d))};
}
FB_SCALAR Logistic logistic(f32 x) {
  const f32 c = clamp(x, -115.0f, 80.0f), t = fma(c, -1.44269502f, kMagic);
  return logistic(reduce_exp(-c, t - kMagic), t, x < -60.0f);
}
// a k / (d + rest): the quotient, corrected by what it leaves of a k.
FB_SCALAR f32 times(f32 a, const Logistic& l) {
  const f32 n = a * l.k, q = n / l.d;
  return fma(fma(-q, l.rest, fma(-q, l.d, n)), l.inverse, q);
}
FB_SCALAR f32 sigmoid(f32 x) { return times(1.0f, logistic(x)); }
FB_SCALAR f32 silu(f32 x) {
  const f32 y = copysign(times(at_least(x, -115.0f), logistic(x)), x);
  return select(x > 80.0f, x, y);
}
FB_SCALAR f32 silu_slope(f32 x) {
  const Logistic l = logistic(x);
  const f32 q = 1.0f / l.d, c = clamp(x, -115.0f, 80.0f);
  return l.k * q * fma(c, l.e * q, 1.0f);
}

// The tanh form of GELU is x times the logistic function of y = c0 x + c1 x^3. An error of y is an
// error of the result times its size, so y ln 2-reduced is made of pairs of floats: w + low is
// c0 + c1 x^2, where c0 has so few bits that w - c0 is exact.
FB_SCALAR Logistic gelu_logistic(f32 x) {
  const f32 c = clamp(x, -11.5f, 9.0f), z = c * c, z_low = fma(c, c, -z);
  const f32 c0 = 1.595768928527832f, c1 = 7.1354814e-02f, w = fma(c1, z, c0);
  const f32 low = fma(c1, z, -(w - c0)) + fma(c1, z_low, fma(2.3988325e-09f, z, 1.930779e-07f));
  const f32 t = fma(c * w, -1.44269502f, kMagic), j = t - kMagic;
  // ln 2 = 0.693145... + 1.4e-6; the first part times j is exact.
  const f32 f = fma(c, w, j * 0.693145751953125f) + fma(j, 1.4286068e-06f, c * low);
  return logistic(-f, t, x < -7.0f);
}
FB_SCALAR f32 gelu_tanh_gate(f32 x) { return times(1.0f, gelu_logistic(x)); }
FB_SCALAR f32 gelu_tanh(f32 x) {
  const f32 y = copysign(times(at_least(x, -11.5f), gelu_logistic(x)), x);
  return select(x > 9.0f, x, y);
}
FB_SCALAR f32 gelu_tanh_slope(f32 x) {
  const Logistic l = gelu_logistic(x);
  const f32 q = 1.0f / l.d, c = clamp(x, -11.5f, 9.0f);
  return l.k * q * fma(c * (l.e * q), fma(c * c, 0.214064449f, 1.59576917f), 1.0f);
}

FB_SCALAR f32 softplus(f32 x) { return at_least(x, 0.0f) + log1p_inside(exp(-abs(x))); }
