// float32: the error function.
#pragma once

FB_SCALAR f32 erf(f32 x) {
  const f32 a = abs(x), c = at_most(a, 4.0f), z = x * x;
  const f32 near = fma(a,
                       poly(z, /*erf_f*/ 1.2837917e-01f, -3.7612626e-01f, 1.1283579e-01f,
                            -2.6853347e-02f, 5.187162e-03f, -7.997853e-04f, 7.806904e-05f),
                       a);
  const f32 e = poly(c, /*erf_tail_f*/ -5.1031995e-04f, -1.625975e+00f, -9.2076516e-01f,
                     -1.4865132e-01f, 3.1458296e-02f, -4.2409115e-03f, 2.6772037e-04f),
            t = e + kMagic, f = e - (t - kMagic);
  const f32 far = fma(-power_of_two(t),
                      poly(f, /*exp2_f*/ 1.0e+00f, 6.931472e-01f, 2.402265e-01f, 5.5503666e-02f,
                           9.617931e-03f, 1.3389924e-03f, 1.5561853e-04f),
                      1.0f);
  return copysign(select(a < 1.0f, near, select(a == a, far, a)), x);
}
