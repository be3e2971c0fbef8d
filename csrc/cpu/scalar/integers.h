// Integers with NumPy's results at every edge, and the remainders and neighbours of floats.
#pragma once

// ---- integers: NumPy's results, never a trap --------------------------------------------------
template <class T>
struct Unsigned {
  using Type = T;
};
template <>
struct Unsigned<int> {
  using Type = unsigned;
};
template <>
struct Unsigned<long> {
  using Type = unsigned long;
};
template <>
struct Unsigned<long long> {
  using Type = unsigned long long;
};
template <class T>
FB_SCALAR T safe_divisor(T x, T y) {  // 1 in place of the divisors that trap
  if constexpr (T(-1) < T(0)) {
    const T lowest = T(typename Unsigned<T>::Type(1) << (sizeof(T) * 8 - 1));
    return (y == T(0)) | ((y == T(-1)) & (x == lowest)) ? T(1) : y;
  }
  return y == T(0) ? T(1) : y;
}
template <class T>
FB_SCALAR T floor_divide(T x, T y) {
  const T d = safe_divisor(x, y), q = T(x / d);
  const T floored = T(q - T((T(x - T(q * d)) != T(0)) & ((x < T(0)) != (d < T(0)))));
  return y == T(0) ? T(0) : floored;
}
template <class T>
FB_SCALAR T remainder(T x, T y) {
  const T d = safe_divisor(x, y), r = T(x % d);
  return y == T(0) ? T(0) : (r != T(0)) & ((r < T(0)) != (d < T(0))) ? T(r + d) : r;
}
template <class T>
FB_SCALAR T pow(T x, T y) {  // wraps around on overflow
  using U = typename Unsigned<T>::Type;
  U result = 1, power = U(x);
  for (U n = U(y); n != 0 && y > T(0); n >>= 1) {
    if (n & 1) result = U(result * power);
    power = U(power * power);
  }
  if (y < T(0)) return x == T(1) ? T(1) : x == T(-1) ? (y & 1 ? T(-1) : T(1)) : T(0);
  return T(result);
}
template <class T>
FB_SCALAR T left_shift(T x, T y) {
  using U = typename Unsigned<T>::Type;
  const U n = U(y), width = sizeof(T) * 8;
  return n < width ? T(U(x) << (n < width ? n : U(0))) : T(0);
}
template <class T>
FB_SCALAR T right_shift(T x, T y) {
  using U = typename Unsigned<T>::Type;
  const U n = U(y), width = sizeof(T) * 8;
  return T(x >> (n < width ? n : U(width - 1))) & (n < width || T(-1) < T(0) ? T(-1) : T(0));
}
template <class T>
FB_SCALAR T bitwise_invert(T x) {
  return T(~x);
}
FB_SCALAR bool bitwise_invert(bool x) { return !x; }

// ---- remainders and neighbours ----------------------------------------------------------------
FB_SCALAR float fmod(float x, float y) { return __builtin_fmodf(x, y); }
FB_SCALAR double fmod(double x, double y) { return __builtin_fmod(x, y); }
template <class T>
FB_SCALAR T float_remainder(T x, T y) {
  const T r = fmod(x, y);  // exact; the sign of x
  return r == T(0) ? copysign(r, y) : (r < T(0)) != (y < T(0)) ? r + y : r;
}
template <class T>
FB_SCALAR T float_floor_divide(T x, T y) {
  if (y == T(0)) return x / y;
  const T r = fmod(x, y);
  T q = (x - r) / y;
  if (r != T(0) && (r < T(0)) != (y < T(0))) q -= T(1);
  if (q == T(0)) return copysign(T(0), x / y);
  const T whole = floor(q);
  return q - whole > T(0.5) ? whole + T(1) : whole;
}
FB_SCALAR float remainder(float x, float y) { return float_remainder(x, y); }
FB_SCALAR double remainder(double x, double y) { return float_remainder(x, y); }
FB_SCALAR float floor_divide(float x, float y) { return float_floor_divide(x, y); }
FB_SCALAR double floor_divide(double x, double y) { return float_floor_divide(x, y); }
template <class T>
FB_SCALAR T nextafter(T x, T y) {
  const auto i = bits(x);
  const auto step = (x < y) == (x > T(0)) ? i + 1 : i - 1;  // away from 0, or towards it
  const T moved = x == T(0) ? copysign(from_bits(decltype(i)(1)), y) : from_bits(step);
  return x == y ? y : (x != x) | (y != y) ? x + y : moved;
}
