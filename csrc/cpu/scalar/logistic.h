// The logistic function and the activations that are made of it.
#pragma once

// float32: 1 / (1 + exp(-y)) as k / d. Far below 0, where exp(-y) alone would overflow, k is 2^-64.
struct Logistic {
  float k, e, d;  // d = k + e, e = k exp(-y)
  float rest;     // what rounding left of d
  float inverse;  // 1 / d within 12 %, to weigh such rests
};
// -y = f + j ln 2, j in the low bits of t.
FB_SCALAR Logistic logistic(float f, float t, bool far) {
  const int k_bits = kOneBits - (-int(far) & (64 << 23));
  const float p = expm1_reduced(f), k = from_bits(k_bits);
  const float s = from_bits((bits(t) << 23) + k_bits), sum = k + s, d = fma(s, p, sum);
  // inverse: the exponent changes its sign, the mantissa follows by a straight line.
  return {k, fma(s, p, s), d, fma(s, p, sum - d) + (k - (sum - s)),
          from_bits(0x7ef311c3 - bits(d))};
}
FB_SCALAR Logistic logistic(float x) {
  const float c = clamp(x, -115.0f, 80.0f), t = fma(c, -1.44269502f, kMagic);
  return logistic(reduce_exp(-c, t - kMagic), t, x < -60.0f);
}
// a k / (d + rest): the quotient, corrected by what it leaves of a k.
FB_SCALAR float times(float a, const Logistic& l) {
  const float n = a * l.k, q = n / l.d;
  return fma(fma(-q, l.rest, fma(-q, l.d, n)), l.inverse, q);
}
FB_SCALAR float sigmoid(float x) { return times(1.0f, logistic(x)); }
FB_SCALAR float silu(float x) {
  const float y = copysign(times(at_least(x, -115.0f), logistic(x)), x);
  return x > 80.0f ? x : y;
}
FB_SCALAR float silu_slope(float x) {
  const Logistic l = logistic(x);
  const float q = 1.0f / l.d, c = clamp(x, -115.0f, 80.0f);
  return l.k * q * fma(c, l.e * q, 1.0f);
}

// The tanh form of GELU is x times the logistic function of y = c0 x + c1 x^3. An error of y is an
// error of the result times its size, so y ln 2-reduced is made of pairs of floats: w + low is
// c0 + c1 x^2, where c0 has so few bits that w - c0 is exact.
FB_SCALAR Logistic gelu_logistic(float x) {
  const float c = clamp(x, -11.5f, 9.0f), z = c * c, z_low = fma(c, c, -z);
  const float c0 = 1.595768928527832f, c1 = 7.1354814e-02f, w = fma(c1, z, c0);
  const float low = fma(c1, z, -(w - c0)) + fma(c1, z_low, fma(2.3988325e-09f, z, 1.930779e-07f));
  const float t = fma(c * w, -1.44269502f, kMagic), j = t - kMagic;
  // ln 2 = 0.693145... + 1.4e-6; the first part times j is exact.
  const float f = fma(c, w, j * 0.693145751953125f) + fma(j, 1.4286068e-06f, c * low);
  return logistic(-f, t, x < -7.0f);
}
FB_SCALAR float gelu_tanh_gate(float x) { return times(1.0f, gelu_logistic(x)); }
FB_SCALAR float gelu_tanh(float x) {
  const float y = copysign(times(at_least(x, -11.5f), gelu_logistic(x)), x);
  return x > 9.0f ? x : y;
}
FB_SCALAR float gelu_tanh_slope(float x) {
  const Logistic l = gelu_logistic(x);
  const float q = 1.0f / l.d, c = clamp(x, -11.5f, 9.0f);
  return l.k * q * fma(c * (l.e * q), fma(c * c, 0.214064449f, 1.59576917f), 1.0f);
}

// ---- float64 -----------------------------------------------------------------------------------
FB_SCALAR double sigmoid(double x) {
  const double e = exp(-abs(x));
  return (x < 0.0 ? e : 1.0) / (e + 1.0);
}
FB_SCALAR double silu(double x) {
  const double c = x < -1000.0 ? -1000.0 : x;
  const Scaled<double> e = exp_parts(-abs(x));
  return (x < 0.0 ? spread(c * e.r, e.t) : x) / (scale(e.r, e.t) + 1.0);
}
FB_SCALAR double silu_slope(double x) {
  const double c = clamp(x, -1000.0, 1000.0), e = exp(-abs(c)), q = 1.0 / (e + 1.0);
  return (c < 0.0 ? e : 1.0) * q * fma(c, (c < 0.0 ? 1.0 : e) * q, 1.0);
}
FB_SCALAR double gelu_tanh_gate(double x) {
  return sigmoid(x * fma(x * x, 0.07135481627260025, 1.5957691216057308));
}
FB_SCALAR double gelu_tanh(double x) {
  const double y = x * gelu_tanh_gate(x);
  return x < -40.0 ? -0.0 : y;
}
FB_SCALAR double gelu_tanh_slope(double x) {
  const double c = clamp(x, -40.0, 40.0), z = c * c, s = gelu_tanh_gate(c),
               rest = gelu_tanh_gate(-c);
  return s * fma(c * rest, fma(z, 0.21406444881780073, 1.5957691216057308), 1.0);
}

// ---- both -------------------------------------------------------------------------------------
template <class T>
FB_SCALAR T softplus(T x) {
  return at_least(x, T(0)) + log1p_inside(exp(-abs(x)));
}
