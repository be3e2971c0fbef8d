// float32: logarithms.
#pragma once

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
  const float y = x > 0.0f ? r : x == 0.0f ? -kInf<float> : kNaN<float>;
  return x < kInf<float> ? y : x;
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
  const float r = log1p_inside(x), y = x > -1.0f ? r : x == -1.0f ? -kInf<float> : kNaN<float>;
  return (x < kInf<float>)&(x != 0.0f) ? y : x;
}
