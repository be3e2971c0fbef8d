// float64: the logistic function and the activations that are made of it.
#pragma once

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
FB_SCALAR double softplus(double x) { return at_least(x, 0.0) + log1p_inside(exp(-abs(x))); }
