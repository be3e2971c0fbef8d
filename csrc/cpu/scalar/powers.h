// float32: pow, hypot, logaddexp, and the hyperbolic functions but tanh.
#pragma once

// Exponents whose power is some products, a root or a quotient. Loops take these for a whole row
// where all of it has one exponent, and pow() for single elements, so that the bits are the same.
FB_SCALAR float square(float x) { return x * x; }
FB_SCALAR float cube(float x) { return float(double(x) * double(x) * double(x)); }
FB_SCALAR float inverse(float x) { return 1.0f / x; }
FB_SCALAR float root(float x) {  // unlike sqrt, never -0, and infinite for -infinity
  return sqrt(x == -kInf<float> ? kInf<float> : x + 0.0f);
}
FB_SCALAR float general_pow(float x, float y) {
  const float a = abs(x);
  const double l = (a > 0.0f) & (a < kInf<float>) ? log_w(double(a))
                   : a == 0.0f                    ? -kInf<double>
                                                  : double(a);
  const double p = exp2_w(double(y) * (l * 1.4426950408889634));
  const bool whole = floor(y) == y, odd = whole & (floor(y * 0.5f) != y * 0.5f);
  const float r = odd & signbit(x) ? -float(p) : float(p);
  const bool undefined = (x < 0.0f) & !whole & (a < kInf<float>)&(y == y);
  const bool one = (y == 0.0f) | (x == 1.0f) | ((a == 1.0f) & (abs(y) == kInf<float>));
  return one ? 1.0f : undefined ? kNaN<float> : r;
}
FB_SCALAR float pow(float x, float y) {
  const float r = general_pow(x, y);
  const float odd = y == 1.0f ? x : y == 3.0f ? cube(x) : y == -1.0f ? inverse(x) : r;
  return y == 2.0f ? square(x) : y == 0.5f ? root(x) : odd;
}
FB_SCALAR float hypot(float x, float y) {
  const double a = x, b = y;
  return (abs(x) == kInf<float>) | (abs(y) == kInf<float>) ? kInf<float>
                                                           : float(sqrt(a * a + b * b));
}
FB_SCALAR float logaddexp(float x, float y) {
  const double a = x, b = y, hi = a > b ? a : b, d = abs(a - b);
  const double r = hi + log1p_w(exp_w(-d));
  // equal infinities have no difference; NaNs reach r through d or hi
  return float(a == b ? a + 0.6931471805599453 : d == d ? r : a + b);
}
FB_SCALAR float sinh(float x) {
  const double a = x, z = a * a;
  const double near =
      fma(a * z,
          poly(z, /*sinh_w*/ 0.166666666670473, 0.00833333327847236, 0.00019841295398985106,
               2.7552141273221643e-06, 2.552664332402637e-08),
          a);
  const double far = 0.5 * (exp_w(a) - exp_w(-a));
  return abs(x) < 1.0f ? float(near) : float(far);
}
FB_SCALAR float cosh(float x) {
  const double a = x;
  return float(0.5 * (exp_w(a) + exp_w(-a)));
}
FB_SCALAR float asinh(float x) {
  const double a = abs(double(x)), z = a * a;
  const float r = float(log1p_w(a + z / (1.0 + sqrt(z + 1.0))));
  return abs(x) < kInf<float> ? copysign(r, x) : x;
}
FB_SCALAR float acosh(float x) {
  const double t = double(x) - 1.0;
  const float r = float(log1p_w(t + sqrt(t * (t + 2.0))));
  return x >= 1.0f ? (x < kInf<float> ? r : x) : kNaN<float>;
}
FB_SCALAR float atanh(float x) {
  const double a = abs(double(x));
  const float r = float(0.5 * log1p_w((a + a) / (1.0 - a)));
  const float edge = a == 1.0 ? kInf<float> : kNaN<float>;
  return copysign(a < 1.0 ? r : edge, x);
}
