// float32: the logistic function and the activations that are made of it.
#pragma once

// float32: 1 / (1 + exp(-y)) as k / d. Far below 0, where exp(-y) alone would overflow, k is 2^-64.
struct Logistic {
  f32 e, d;     // d = k + e, e = k exp(-y)
  f32 rest;     // what rounding left of d
  f32 inverse;  // 1 / d
};
// -y = f + j ln 2, j in the low bits of t.
FB_SCALAR Logistic logistic(f32 f, f32 t, i32 k_bits) {
  const f32 p = expm1_reduced(f), k = from_bits(k_bits);
  const f32 s = from_bits((bits(t) << 23) + k_bits), sum = k + s, d = fma(s, p, sum);
  return {fma(s, p, s), d, fma(s, p, sum - d) + (k - (sum - s)), 1.0f / d};
}
FB_SCALAR Logistic logistic(f32 c, i32 k_bits) {
  const f32 t = fma(c, -1.44269502f, kMagic);
  return logistic(reduce_exp(-c, t - kMagic), t, k_bits);
}
FB_SCALAR i32 k_bits_of(flag far) { return kOneBits - (ones(far) & (64 << 23)); }
// n / (d + rest): the quotient, corrected by what it leaves of n. A 0 keeps its sign.
FB_SCALAR f32 over(f32 n, const Logistic& l) {
  const f32 q = n * l.inverse;
  return fma(fma(q, l.rest, fma(q, l.d, -n)), -l.inverse, q);
}
FB_SCALAR f32 sigmoid(f32 x) {
  const Usual usual = within(x, 60.0f);
  const i32 k = k_bits_of(x < -60.0f);
  return either(usual, over(1.0f, logistic(x, kOneBits)),
                over(from_bits(k), logistic(clamp(x, -115.0f, 80.0f), k)));
}
FB_SCALAR f32 silu(f32 x) {
  const Usual usual = within(x, 60.0f);
  const i32 k = k_bits_of(x < -60.0f);
  const f32 y = over(at_least(x, -115.0f) * from_bits(k), logistic(clamp(x, -115.0f, 80.0f), k));
  return either(usual, over(x, logistic(x, kOneBits)), select(x > 80.0f, x, y));
}
FB_SCALAR f32 silu_slope(f32 x) {
  const Usual usual = within(x, 60.0f);
  const auto of = [](f32 q, f32 c, const Logistic& l) { return q * fma(c, l.e * l.inverse, 1.0f); };
  const i32 k = k_bits_of(x < -60.0f);
  const f32 c = clamp(x, -115.0f, 80.0f);
  const Logistic near = logistic(x, kOneBits), l = logistic(c, k);
  return either(usual, of(near.inverse, x, near), of(from_bits(k) * l.inverse, c, l));
}

// The tanh form of GELU is x times the logistic function of y = c0 x + c1 x^3. An error of y is an
// error of the result times its size, so y ln 2-reduced is made of pairs of floats: w + low is
// c0 + c1 x^2, where c0 has so few bits that w - c0 is exact.
FB_SCALAR Logistic gelu_logistic(f32 c, i32 k_bits) {
  const f32 z = c * c, z_low = fma(c, c, -z);
  const f32 c0 = 1.595768928527832f, c1 = 7.1354814e-02f, w = fma(c1, z, c0);
  const f32 low = fma(c1, z, -(w - c0)) + fma(c1, z_low, fma(2.3988325e-09f, z, 1.930779e-07f));
  const f32 t = fma(c * w, -1.44269502f, kMagic), j = t - kMagic;
  // ln 2 = 0.693145... + 1.4e-6; the first part times j is exact.
  const f32 f = fma(-c, w, j * -0.693145751953125f) + fma(j, -1.4286068e-06f, -(c * low));
  return logistic(f, t, k_bits);
}
inline constexpr float kGeluNear = 7.0f;
FB_SCALAR f32 gelu_clamp(f32 x) { return clamp(x, -11.5f, 9.0f); }
FB_SCALAR f32 gelu_tanh_gate(f32 x) {
  const Usual usual = within(x, kGeluNear);
  const i32 k = k_bits_of(x < -kGeluNear);
  return either(usual, over(1.0f, gelu_logistic(x, kOneBits)),
                over(from_bits(k), gelu_logistic(gelu_clamp(x), k)));
}
FB_SCALAR f32 gelu_tanh(f32 x) {
  const Usual usual = within(x, kGeluNear);
  const i32 k = k_bits_of(x < -kGeluNear);
  const f32 y = over(at_least(x, -11.5f) * from_bits(k), gelu_logistic(gelu_clamp(x), k));
  return either(usual, over(x, gelu_logistic(x, kOneBits)), select(x > 9.0f, x, y));
}
FB_SCALAR f32 gelu_tanh_slope(f32 x) {
  const Usual usual = within(x, kGeluNear);
  const auto of = [](f32 q, f32 c, const Logistic& l) {
    return q * fma(c * (l.e * l.inverse), fma(c * c, 0.214064449f, 1.59576917f), 1.0f);
  };
  const i32 k = k_bits_of(x < -kGeluNear);
  const f32 c = gelu_clamp(x);
  const Logistic near = gelu_logistic(x, kOneBits), l = gelu_logistic(c, k);
  return either(usual, of(near.inverse, x, near), of(from_bits(k) * l.inverse, c, l));
}

FB_SCALAR f32 softplus(f32 x) { return at_least(x, 0.0f) + log1p_inside(exp(-abs(x))); }
