// float32: the tail of the normal distribution, and what stands on it: the exact form of GELU and
// its slope.
//
// What lies above a >= 0 is the density at a times q / (a q + p), with polynomials q and p of a:
// the larger a, the less do errors of p / q weigh, which falls from 0.8 like 1 / a. What lies above
// x < 0 is 1 less what lies above -x, where nothing cancels. So a result is a simple number (0, 1
// or x) and one product, whose factors are known better than floats are.
#pragma once

struct NormalTail {
  f32 q, u, u_low;        // u + u_low = a q
  f32 d, d_low, inverse;  // d + d_low = a q + p, inverse = 1 / d
};
FB_SCALAR NormalTail normal_tail(f32 a) {  // a in [0, 14.6]
  const f32 q0 = 1.8677318f, p0 = 1.4902344f;
  const f32 q1 = poly(a, /*normal_q_f from x on*/ 2.0290184f, 1.0584148f, 0.31963766f, 0.05589446f,
                      0.0046767686f),
            p1 = poly(a, /*normal_p_f from x on*/ 0.94022554f, 0.3107843f, 0.055871613f,
                      0.004677226f);
  // What rounding leaves of both counts most where a is small, and is exact there.
  const f32 q = fma(q1, a, q0), q_low = fma(q1, a, q0 - q);
  const f32 p = fma(p1, a, p0), p_low = fma(p1, a, p0 - p);
  const f32 u = a * q, d = u + p;
  return {q, u, fma(a, q_low, fma(a, q, -u)), d, (u - d) + p + p_low, 1.0f / d};
}

// The density at a, with a^2 = 2 half a, is 1 + f + rest times 2^j times a float near 1 / sqrt(2
// pi), j in the low bits of t; what that float lacks is in the rest. Half of the square is taken as
// a pair of floats, as its error would be one of the result times its size; ln 2 = 0.693145...
// + 1.4e-6, of which the first part times j is exact, and f is.
struct Bell {
  f32 f, rest, t;
};
inline constexpr int kBellBits = 0x3ecc4229;  // of that float
FB_SCALAR Bell bell(f32 half, f32 a) {
  const f32 square = half * a, low = fma(half, a, -square) - 4.6290287e-08f;
  const f32 t = fma(square, -1.44269502f, kMagic), j = t - kMagic;
  const f32 f = fma(j, -0.693145751953125f, -square), less = fma(j, 1.4286068e-06f, low);
  const f32 g = f - less;
  return {f, fma(g * g, expm1_curve(g), -less), t};
}
struct Parts {
  f32 high, low;
};
// (high - missing) (1 + f + rest)
FB_SCALAR Parts of_bell(f32 high, f32 missing, const Bell& b) {
  return {high, fma(b.f, high, fma(b.rest, high, -missing))};
}
// base - (high + low) 2^j with the float of bell(), or plus where `minus` is not the sign bit. A
// float holds the exponent where a is at most kNormalNear; beyond, the parts take some of it.
inline constexpr float kNormalNear = 13.0f, kNormalEnd = 14.6f;
inline constexpr int kSignBit = -0x7fffffff - 1;
FB_SCALAR f32 sum(f32 base, Parts v, f32 s) {
  const f32 y = fma(v.high, s, base);
  return y + fma(v.low, s, fma(v.high, s, -(y - base)));
}
FB_SCALAR f32 near_sum(f32 base, Parts v, i32 minus, f32 t) {
  return sum(base, v, from_bits(((bits(t) << 23) + kBellBits) | minus));
}
FB_SCALAR f32 any_sum(f32 base, Parts v, i32 minus, f32 t, flag far) {
  const i32 up = ones(far) & (64 << 23);
  const f32 k = from_bits(kOneBits - up);
  return sum(base, {v.high * k, v.low * k},
             from_bits(((bits(t) << 23) + (up + kBellBits)) | minus));
}

FB_SCALAR f32 gelu_erf(f32 x) {
  const auto of = [](f32 a, const Bell& b) {
    const NormalTail l = normal_tail(a);
    const f32 w = l.u * l.inverse;
    const f32 e = fma(w, l.d_low, fma(w, l.d, -l.u)) - fma(-w, l.u_low, l.u_low);
    return of_bell(w, e * l.inverse, b);
  };
  const Usual usual = within(x, kNormalNear);
  const f32 a = abs(x), c = at_most(a, kNormalEnd), base = at_least(x, -0.0f);
  const Bell near = bell(0.5f * a, a), any = bell(0.5f * c, c);
  return either(
      usual, near_sum(base, of(a, near), kSignBit, near.t),
      select(x > kNormalEnd, x,
             from_bits(bits(any_sum(base, of(c, any), kSignBit, any.t, a > kNormalNear)) |
                       (bits(x) & kSignBit))));  // where it underflows, the sum has any sign
}
FB_SCALAR f32 gelu_erf_slope(f32 x) {
  const auto of = [](f32 a, const Bell& b) {
    const NormalTail l = normal_tail(a);
    return of_bell(fma(l.q, l.inverse, -a), 0.0f, b);
  };
  const Usual usual = within(x, kNormalNear);
  const f32 a = abs(x), c = at_most(a, kNormalEnd);
  const auto right = ones(x >= 0.0f);
  const f32 base = from_bits(right & kOneBits);
  const i32 minus = right & kSignBit;
  const Bell near = bell(0.5f * a, a), any = bell(0.5f * c, c);
  return either(usual, near_sum(base, of(a, near), minus, near.t),
                any_sum(base, of(c, any), minus, any.t, a > kNormalNear));
}
