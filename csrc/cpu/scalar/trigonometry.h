// float32: trigonometry.
#pragma once

// Sine and cosine go three ways, chosen by |x| alone. Below kTrigNear x - n pi/2 is made in float:
// the first product cancels exactly, and two more bring in the rest of pi/2. Below kTrigLimit it is
// made in double; beyond, by the C library. Loops look at a block's largest |x| first.
inline constexpr float kTrigNear = 30000.0f, kTrigLimit = 1e9f;
struct Quadrant {
  float s, c;  // sine and cosine of the reduced angle
  int n;
};
FB_SCALAR Quadrant quadrant(float x) {
  const float t = fma(x, 0.636619747f, kMagic), n = t - kMagic;
  const float r = fma(n, -5.3903025e-15f, fma(n, -7.54978942e-08f, fma(n, -1.5707963e+00f, x)));
  const float z = r * r;
  return {fma(r * z, poly(z, /*sin_f*/ -1.6666655e-01f, 8.332189e-03f, -1.9518292e-04f), r),
          poly(z, /*cos_f*/ 1.0e+00f, -5.0e-01f, 4.1666646e-02f, -1.388731e-03f, 2.4432327e-05f),
          bits(t)};
}
struct WideQuadrant {
  double s, c;
  long n;
};
FB_SCALAR WideQuadrant quadrant_w(float x) {
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
  return x == 0.0f ? x : from_bits(bits(q.n & 1 ? q.c : q.s) ^ (q.n & 2) << 30);
}
FB_SCALAR float cos_near(float x) {
  const Quadrant q = quadrant(x);
  return from_bits(bits(q.n & 1 ? q.s : q.c) ^ ((q.n + 1) & 2) << 30);
}
// Up to kTrigLimit; both ways are computed, so that a loop has no branch.
FB_SCALAR float sin_far(float x) {
  const WideQuadrant q = quadrant_w(x);
  const double r = q.n & 1 ? q.c : q.s;
  const float near = sin_near(x), far = float(from_bits(bits(r) ^ (q.n & 2) << 62));
  return abs(x) < kTrigNear ? near : far;
}
FB_SCALAR float cos_far(float x) {
  const WideQuadrant q = quadrant_w(x);
  const double r = q.n & 1 ? q.s : q.c;
  const float near = cos_near(x), far = float(from_bits(bits(r) ^ ((q.n + 1) & 2) << 62));
  return abs(x) < kTrigNear ? near : far;
}
FB_SCALAR float tan_far(float x) {
  const WideQuadrant q = quadrant_w(x);
  const bool odd = q.n & 1;
  const double r = (odd ? q.c : q.s) / (odd ? q.s : q.c);
  return x == 0.0f ? x : float(odd ? -r : r);
}
FB_SCALAR float sin(float x) {
  return abs(x) < kTrigNear    ? sin_near(x)
         : abs(x) < kTrigLimit ? sin_far(x)
                               : float(__builtin_sin(double(x)));
}
FB_SCALAR float cos(float x) {
  return abs(x) < kTrigNear    ? cos_near(x)
         : abs(x) < kTrigLimit ? cos_far(x)
                               : float(__builtin_cos(double(x)));
}
FB_SCALAR float tan(float x) {
  return abs(x) < kTrigLimit ? tan_far(x) : float(__builtin_tan(double(x)));
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
