// float32: logarithms.
#pragma once

// x = 2^e (1 + f) with f in [-1/3, 1/3): `tail` is (log(1 + f) - f).
FB_SCALAR f32 log_tail(f32 f) {
  return f * f *
         poly(f, /*log_f*/ -5.0e-01f, 3.3333197e-01f, -2.499992e-01f, 2.0011432e-01f,
              -1.6674457e-01f, 1.3989775e-01f, -1.22729905e-01f, 1.405959e-01f, -1.2492635e-01f);
}
struct Split {
  f32 e, f;
};
FB_SCALAR Split split(f32 x) {
  const flag small = x < 1.17549435e-38f;
  const f32 y = select(small, x * 8388608.0f, x);
  const i32 i = (bits(y) - 0x3f2aaaab) & -0x800000;  // by 2/3: the exponent of y's binade around 1
  return {fma(f32(i), 1.1920929e-7f, select(small, f32(-23.0f), f32(0.0f))),
          from_bits(bits(y) - i) - 1.0f};
}
FB_SCALAR f32 log_edges(f32 x, f32 r) {  // r, but at and beyond the ends of the domain
  const f32 y = select(x > 0.0f, r, select(x == 0.0f, f32(-kInf<float>), f32(kNaN<float>)));
  return select(x < kInf<float>, y, x);
}
FB_SCALAR f32 log(f32 x) {
  const Split s = split(x);
  return log_edges(x, fma(s.e, 6.93147182e-1f, s.f + log_tail(s.f)));
}
FB_SCALAR f32 log2(f32 x) {
  const Split s = split(x);
  const f32 tail = log_tail(s.f), low = fma(s.f, 1.92596303e-8f, tail * 1.44269502f);
  return log_edges(x, s.e + fma(s.f, 1.44269502f, low));
}
FB_SCALAR f32 log10(f32 x) {
  const Split s = split(x);
  const f32 low = fma(s.f, -1.01030500e-8f, log_tail(s.f) * 4.34294492e-1f);
  return log_edges(
      x, fma(s.e, 3.01030010e-1f, fma(s.e, -1.43209888e-8f, fma(s.f, 4.34294492e-1f, low))));
}
FB_SCALAR f32 log1p_inside(f32 x) {  // x > -1, finite
  const f32 u = x + 1.0f;
  const i32 i = (bits(u) - 0x3f2aaaab) & -0x800000;
  // 1 + f = 2^-e (1 + x), from x itself: 2^-e x by its exponent bits, 2^-e - 1 exactly.
  const f32 f = from_bits(bits(x) - i) + fma(0.25f, from_bits(0x40800000 - i), -1.0f);
  return fma(f32(i), 8.26295848e-8f, f + log_tail(f));  // ln 2 / 2^23
}
FB_SCALAR f32 log1p(f32 x) {
  const f32 r = log1p_inside(x),
            y = select(x > -1.0f, r, select(x == -1.0f, f32(-kInf<float>), f32(kNaN<float>)));
  return select((x < kInf<float>)&(x != 0.0f), y, x);
}
