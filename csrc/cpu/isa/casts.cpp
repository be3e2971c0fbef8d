// Conversions between storage types, and strided copies. Floats become integers as on x86 (and so
// as in NumPy): NaN and what does not fit give the lowest number of the converting width, of which
// narrower types keep the low bits. Floats are narrowed with one rounding, to nearest, ties to
// even.
#include "cpu/isa/tables.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {
#include "cpu/scalar.h"
//
#include "cpu/isa/rows.h"

struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};
template <class T>
struct Complex {
  T re, im;
};
struct Pair {  // 16 bytes to copy
  uint64_t a, b;
};

FB_SCALAR float widen(Half h) {
  const int magnitude = h.bits & 0x7fff, sign = (h.bits & 0x8000) << 16;
  const int finite =
      bits(from_bits(magnitude << 13) * 0x1p112f);  // subnormals are normalised by the product
  return from_bits(sign | (magnitude >= 0x7c00 ? magnitude << 13 | 0x7f800000 : finite));
}
FB_SCALAR int widen(bool b) { return b; }
FB_SCALAR float widen(Brain b) { return from_bits(int(uint32_t(b.bits) << 16)); }
template <class T>
FB_SCALAR T widen(T x) {
  return x;
}

FB_SCALAR Half to_half(float x) {
  const uint32_t b = uint32_t(bits(x)), sign = b >> 16 & 0x8000, m = b & 0x7fffffff;
  const uint32_t normal = (m + 0xfff + (m >> 13 & 1) - (112u << 23)) >> 13;
  const uint32_t subnormal =
      uint32_t(bits(from_bits(int(m)) + 0.5f)) - 0x3f000000u;  // the sum does the rounding
  const uint32_t nan = 0x7e00 | (m >> 13 & 0x3ff);
  const uint32_t r = m > 0x7f800000u    ? nan
                     : m >= 0x477ff000u ? 0x7c00u
                     : m < 0x38800000u  ? subnormal
                                        : normal;
  return {uint16_t(sign | r)};
}
FB_SCALAR Brain to_brain(float x) {
  const uint32_t b = uint32_t(bits(x));
  return {uint16_t((b & 0x7fffffff) > 0x7f800000u ? b >> 16 | 0x40
                                                  : (b + 0x7fff + (b >> 16 & 1)) >> 16)};
}
// To float, inexact results to the neighbour with an odd last bit: a second rounding then does no
// harm.
FB_SCALAR float to_odd(double x) {
  const float f = float(x);
  const int b = bits(f);
  const bool inexact = double(f) != x, even = (b & 1) == 0, finite = abs(f) < kInf<float>;
  const int moved = abs(double(f)) > abs(x) ? b - 1 : b + 1;
  return from_bits(inexact & even & finite & (x == x) ? moved : b);
}

// Whole numbers of a floating value in the range of I, else the lowest I.
template <class I, class T>
FB_SCALAR I to_whole(T x) {
  constexpr T limit = sizeof(I) == 4 ? T(2147483648.0) : T(9223372036854775808.0);
  const bool fits = (x >= -limit) & (x < limit);
  const I lowest = I(typename Unsigned<I>::Type(1) << (sizeof(I) * 8 - 1));
  return fits ? I(fits ? x : T(0)) : lowest;
}

template <class To>
struct Convert {  // integers and booleans are the target
  template <class F>
  static inline __attribute__((always_inline)) To from(F v) {
    const auto x = widen(v);
    using X = decltype(x + 0);
    if constexpr (!kIsFloat<X>)
      return To(x);
    else if constexpr (sizeof(To) < 4)
      return To(to_whole<int32_t>(x));
    else if constexpr (To(-1) < To(0))
      return to_whole<To>(x);
    else if constexpr (sizeof(To) == 4)
      return To(to_whole<int64_t>(x));
    else {  // the upper half of uint64 is reached by way of the lower
      constexpr X limit = X(9223372036854775808.0);
      const bool high = x >= limit;
      return uint64_t(to_whole<int64_t>(high ? x - limit : x)) ^ (high ? uint64_t(1) << 63 : 0);
    }
  }
};
template <>
struct Convert<bool> {
  template <class F>
  static inline __attribute__((always_inline)) bool from(F v) {
    return widen(v) != 0;
  }
};
template <>
struct Convert<float> {
  template <class F>
  static inline __attribute__((always_inline)) float from(F v) {
    return float(widen(v));
  }
};
template <>
struct Convert<double> {
  template <class F>
  static inline __attribute__((always_inline)) double from(F v) {
    return double(widen(v));
  }
};
template <>
struct Convert<Half> {
  template <class F>
  static inline __attribute__((always_inline)) Half from(F v) {
    const auto x = widen(v);
    if constexpr (sizeof(x) >= 4 && !__is_same(decltype(x), const float))
      return to_half(to_odd(double(x)));
    else
      return to_half(float(x));
  }
};
template <>
struct Convert<Brain> {
  template <class F>
  static inline __attribute__((always_inline)) Brain from(F v) {
    const auto x = widen(v);
    if constexpr (sizeof(x) >= 4 && !__is_same(decltype(x), const float))
      return to_brain(to_odd(double(x)));
    else
      return to_brain(float(x));
  }
};
template <class T>
struct Convert<Complex<T>> {
  template <class F>
  static inline __attribute__((always_inline)) Complex<T> from(F v) {
    return {Convert<T>::from(v), T(0)};
  }
  template <class F>
  static inline __attribute__((always_inline)) Complex<T> from(Complex<F> v) {
    return {T(v.re), T(v.im)};
  }
};

template <class F, class T>
void dense_cast(const F* x, T* out, int64_t n) {
  FB_LOOP
  for (int64_t i = 0; i < n; ++i) out[i] = Convert<T>::from(element(x, i));
}
template <class F, class T>
void cast(const Operand* in, void* to, int64_t n) {
  T* out = static_cast<T*>(to);
  if (in->stride == 1) return dense_cast(static_cast<const F*>(in->p), out, n);
  F block[kBlock];
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    gather(*in, block, i, m);
    dense_cast(block, out + i, m);
  }
}
template <class T>
void copy(const Operand* in, void* to, int64_t n) {
  T* out = static_cast<T*>(to);
  const T* x = static_cast<const T*>(in->p);
  if (in->stride == 1) {
    if (x != out) __builtin_memcpy(out, x, sizeof(T) * uint64_t(n));
    return;
  }
  gather(*in, out, 0, n);
}

// Whole vectors, the next row's numbers over the surplus of the last.
template <class T>
void repeat(const void* from, int64_t rows, int64_t cols, void* to) {
  constexpr int64_t W = 64 / int64_t(sizeof(T));
  const T* x = static_cast<const T*>(from);
  T* out = static_cast<T*>(to);
  for (int64_t r = 0; r < rows; ++r, out += cols) {
    const T value = x[r];
    for (int64_t c = 0; c < cols; c += W)
      for (int64_t j = 0; j < W; ++j) out[c + j] = value;
  }
}

template <class F>
constexpr void fill_row(Loop (&row)[kDTypeCount]) {  // in the order of DType
  const Loop loops[kDTypeCount] = {
      cast<F, bool>,     cast<F, int8_t>,         cast<F, int16_t>,        cast<F, int32_t>,
      cast<F, int64_t>,  cast<F, uint8_t>,        cast<F, uint16_t>,       cast<F, uint32_t>,
      cast<F, uint64_t>, cast<F, Half>,           cast<F, Brain>,          cast<F, float>,
      cast<F, double>,   cast<F, Complex<float>>, cast<F, Complex<double>>};
  for (int i = 0; i < kDTypeCount; ++i) row[i] = loops[i];
}
constexpr CastTable table() {
  CastTable t{};
  fill_row<bool>(t.cast[0]);
  fill_row<int8_t>(t.cast[1]);
  fill_row<int16_t>(t.cast[2]);
  fill_row<int32_t>(t.cast[3]);
  fill_row<int64_t>(t.cast[4]);
  fill_row<uint8_t>(t.cast[5]);
  fill_row<uint16_t>(t.cast[6]);
  fill_row<uint32_t>(t.cast[7]);
  fill_row<uint64_t>(t.cast[8]);
  fill_row<Half>(t.cast[9]);
  fill_row<Brain>(t.cast[10]);
  fill_row<float>(t.cast[11]);
  fill_row<double>(t.cast[12]);
  t.cast[13][13] = cast<Complex<float>, Complex<float>>;
  t.cast[13][14] = cast<Complex<float>, Complex<double>>;
  t.cast[14][13] = cast<Complex<double>, Complex<float>>;
  t.cast[14][14] = cast<Complex<double>, Complex<double>>;
  t.copy[0] = copy<uint8_t>;
  t.copy[1] = copy<uint16_t>;
  t.copy[2] = copy<uint32_t>;
  t.copy[3] = copy<uint64_t>;
  t.copy[4] = copy<Pair>;
  t.repeat[0] = repeat<uint8_t>;
  t.repeat[1] = repeat<uint16_t>;
  t.repeat[2] = repeat<uint32_t>;
  t.repeat[3] = repeat<uint64_t>;
  return t;
}
}  // namespace

const CastTable kCasts = table();

}  // namespace flowbook::cpu::FLOWBOOK_ISA
