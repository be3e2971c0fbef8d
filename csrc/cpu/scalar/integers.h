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
// x / d, rounded towards zero. Quotients of up to 32 bits are never rounded to a whole number that
// they are not, and divisions of floats are made by vectors.
template <class T>
FB_SCALAR T quotient(T x, T d) {
  if constexpr (sizeof(T) == 4)
    return T(double(x) / double(d));
  else if constexpr (sizeof(T) == 1)
    return T(int(float(x) / float(d)));
  else
    return x / d;
}
template <class T>
FB_SCALAR T floor_divide(T x, T y) {
  const T d = safe_divisor(x, y), q = quotient(x, d);
  const T floored = T(q - T((T(x - T(q * d)) != T(0)) & ((x < T(0)) != (d < T(0)))));
  return y == T(0) ? T(0) : floored;
}
template <class T>
FB_SCALAR T remainder(T x, T y) {
  const T d = safe_divisor(x, y), r = T(x - T(quotient(x, d) * d)), moved = T(r + d);
  const T kept = (r != T(0)) & ((r < T(0)) != (d < T(0))) ? moved : r;
  return y == T(0) ? T(0) : kept;
}
FB_SCALAR bool is_near(int, int) { return true; }
// Of numbers of at most 51 bits, in doubles: so far a division is exact enough and 1.5 * 2^52,
// added and taken away, converts.
FB_SCALAR bool is_near(int64_t x, int64_t y) {
  constexpr uint64_t half = uint64_t(1) << 51;
  return (((uint64_t(x) + half) | (uint64_t(y) + half)) >> 52) == 0;
}
FB_SCALAR double near_double(int64_t x) { return from_bits(x + 0x4338000000000000) - 0x1.8p52; }
FB_SCALAR int64_t near_long(double x) { return bits(x + 0x1.8p52) - 0x4338000000000000; }
struct NearDivision {
  double quotient, rest;
};
FB_SCALAR NearDivision near_divide(double x, double y) {  // rounded down; y is not 0
  const double q = trunc(x / y), r = x - q * y;
  const bool down = (r != 0) & ((r < 0) != (y < 0));
  return {q - (down ? 1.0 : 0.0), r + (down ? y : 0.0)};
}
FB_SCALAR int64_t near_floor_divide(int64_t x, int64_t y) {
  return y == 0 ? 0 : near_long(near_divide(near_double(x), near_double(y == 0 ? 1 : y)).quotient);
}
FB_SCALAR int64_t near_remainder(int64_t x, int64_t y) {
  return y == 0 ? 0 : near_long(near_divide(near_double(x), near_double(y == 0 ? 1 : y)).rest);
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
// fmod where the quotient is small: what one division leaves is exact. The quotient may have been
// rounded up to a whole number, which the sign of the rest tells.
template <class T>
FB_SCALAR bool is_near(T x, T y) {
  constexpr T most = sizeof(T) == 4 ? T(0x1p22) : T(0x1p51);
  return (abs(x) < most * abs(y)) & (abs(y) < kInf<T>);
}
template <class T>
FB_SCALAR T near_fmod(T x, T y) {
  const T r = fma(-trunc(x / y), y, x), back = r + copysign(y, x);
  return copysign((r != T(0)) & ((r < T(0)) != (x < T(0))) ? back : r, x);
}
// r = fmod(x, y), exact and with the sign of x.
template <class T>
FB_SCALAR T remainder_of(T, T y, T r) {
  const T moved = r + y, kept = (r < T(0)) != (y < T(0)) ? moved : r;
  return r == T(0) ? copysign(r, y) : kept;
}
template <class T>
FB_SCALAR T quotient_of(T x, T y, T r) {
  const T all = (x - r) / y, less = all - T(1);
  const T q = (r != T(0)) & ((r < T(0)) != (y < T(0))) ? less : all;
  const T whole = floor(q), next = whole + T(1), rounded = q - whole > T(0.5) ? next : whole;
  return q == T(0) ? copysign(T(0), x / y) : rounded;
}
template <class T>
FB_SCALAR T float_remainder(T x, T y) {
  return remainder_of(x, y, fmod(x, y));
}
template <class T>
FB_SCALAR T float_floor_divide(T x, T y) {
  return y == T(0) ? x / y : quotient_of(x, y, fmod(x, y));
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
