// float32: erfc, the normal distribution and the inverse of erf, computed in double.
#pragma once

// erfc(a) exp(a^2) for a >= 0
FB_SCALAR double erfcx_w(double a) {
  const double q = 1.0 / (a + 3.0), t = fma(-6.0, q, 1.0);  // t = (a - 3) / (a + 3)
  return poly(t, /*erfcx_w*/ 1.074006907089972, -0.8833944541900941, 0.5902283574696918,
              -0.3104672109454745, 0.11952775940525107, -0.026827957090906258,
              -0.0012126727340976639, 0.0030383276842240636, -0.0005451324491614737,
              -0.000287749881354624, 9.483269882454421e-05, 3.909572981770059e-05) *
         q;
}
FB_SCALAR double erfc_w(double x) {
  const double a = abs(x), c = at_most(a, 11.0), r = exp_w(-c * c) * erfcx_w(c);
  return x < 0.0 ? 2.0 - r : r;
}
FB_SCALAR float erfc(float x) { return float(erfc_w(double(x))); }
FB_SCALAR float normal_cdf(float x) { return float(0.5 * erfc_w(double(x) * -0.7071067811865476)); }
FB_SCALAR float erfinv(float x) {
  const double a = x, w = -log_w((1.0 - a) * (1.0 + a)), s = sqrt(w);
  const double near =
      a * poly(w, /*erfinv_w*/ 0.886226928754116, 0.23201349530404644, 0.011550785118291825,
               -0.0023397879327721376, -0.00012030655157532054, 3.9216536070647865e-05,
               6.3806372664754614e-06, -2.626670750030471e-06, 3.225954483933321e-07,
               -1.639451136601142e-08, 5.081771446400601e-11, 1.809913088214367e-11);
  const double far =
      poly(s, /*erfinv_tail_w*/ -0.09346380817163778, 1.184352351128606, -0.3961039441351012,
           0.29451624176340757, -0.11854316415765605, 0.0287903595743702, -0.004245020977539623,
           0.0003519495835906513, -1.2642709567715494e-05);
  const float r = w < 6.25 ? float(near) : copysign(float(far), x);
  return abs(x) < 1.0f ? r : abs(x) == 1.0f ? copysign(kInf<float>, x) : kNaN<float>;
}
