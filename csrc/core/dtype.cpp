// Names of dtypes, promotion, and the 16-bit storage formats.
#include "core/dtype.h"

#include <algorithm>

namespace flowbook {

namespace {
constexpr const char* kShort[kDTypes] = {"bool", "i8",  "i16",  "i32", "i64", "u8",  "u16", "u32",
                                         "u64",  "f16", "bf16", "f32", "f64", "c64", "c128"};
constexpr const char* kLong[kDTypes] = {
    "bool",   "int8",    "int16",    "int32",   "int64",   "uint8",     "uint16",    "uint32",
    "uint64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};

// Kinds in ascending order: a weak operand of a higher kind lifts the other to that kind's default.
enum Category { kBoolCategory, kIntCategory, kFloatCategory, kComplexCategory };
Category category(DType t) {
  if (t == DType::bool_) return kBoolCategory;
  if (in(t, kIntegral)) return kIntCategory;
  return in(t, kFloating) ? kFloatCategory : kComplexCategory;
}

DType promote_strong(DType a, DType b) {
  if (a == b) return a;
  Category ca = category(a), cb = category(b);
  if (ca > cb) std::swap(a, b), std::swap(ca, cb);  // now ca <= cb
  if (ca == kBoolCategory) return b;
  if (ca == kIntCategory && cb != kIntCategory) return b;  // integers take the float's dtype
  if (ca == kIntCategory) {
    const bool sa = in(a, kSigned), sb = in(b, kSigned);
    if (sa == sb) return size_of(a) > size_of(b) ? a : b;
    const DType s = sa ? a : b, u = sa ? b : a;
    if (size_of(u) == 8)
      dtype_error("there is no integer type that holds both ", name_of(s),
                  " and uint64. Cast one of them with astype().");
    constexpr DType wider[] = {DType::i16, DType::i32, DType::i64};  // for u8, u16, u32
    const DType w = wider[size_of(u) == 1 ? 0 : size_of(u) == 2 ? 1 : 2];
    return size_of(s) > size_of(u) ? s : w;
  }
  if (ca == kFloatCategory && cb == kFloatCategory) {
    if (size_of(a) == 2 && size_of(b) == 2) return DType::f32;  // float16 with bfloat16
    return size_of(a) > size_of(b) ? a : b;
  }
  if (ca == kFloatCategory) return a == DType::f64 ? DType::c128 : b;
  return DType::c128;
}

DType default_of(Category c) {
  constexpr DType d[] = {DType::bool_, kDefaultInt, kDefaultFloat, DType::c64};
  return d[c];
}
}  // namespace

const char* short_name(DType t) { return kShort[int(t)]; }
const char* name_of(DType t) { return kLong[int(t)]; }

DType parse_dtype(std::string_view name) {
  for (int i = 0; i < kDTypes; ++i)
    if (name == kShort[i] || name == kLong[i]) return DType(i);
  dtype_error("`", name, "` is no dtype. The dtypes are ", names_in(kAll), ".");
}

std::string names_in(DTypeSet s) {
  std::string text;
  for (int i = 0; i < kDTypes; ++i)
    if (in(DType(i), s)) text += (text.empty() ? "" : ", ") + std::string(kLong[i]);
  return text;
}

DType promote(DType a, bool weak_a, DType b, bool weak_b) {
  if (a == b) return a;
  if (weak_a == weak_b) return promote_strong(a, b);
  if (weak_b) std::swap(a, b);  // now a is the weak one
  const Category ca = category(a), cb = category(b);
  if (ca <= cb) return b;
  // A complex number with a strong double stays double precision.
  if (ca == kComplexCategory) return b == DType::f64 ? DType::c128 : DType::c64;
  return default_of(ca);
}

float half_to_float(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
  if (exponent == 31) return __builtin_bit_cast(float, sign | 0x7F800000u | mantissa << 13);
  if (exponent) return __builtin_bit_cast(float, sign | (exponent + 112) << 23 | mantissa << 13);
  const float v = float(mantissa) * 0x1p-24f;  // zero and subnormals
  return sign ? -v : v;
}

uint16_t float_to_half(float v) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, v);
  const uint16_t sign = uint16_t(bits >> 16 & 0x8000);
  const uint32_t a = bits & 0x7FFFFFFF;
  if (a > 0x7F800000)
    return uint16_t(sign | 0x7E00 | (a >> 13 & 0x3FF));  // NaN keeps its payload's top
  if (a >= 0x477FF000) return uint16_t(sign | 0x7C00);   // rounds to infinity
  if (a < 0x38800000) {  // subnormal or zero: let the float adder round at 2^-24
    const float m = __builtin_bit_cast(float, a) + 0.5f;
    return uint16_t(sign | (__builtin_bit_cast(uint32_t, m) - 0x3F000000u));
  }
  const uint32_t r = a + 0xFFF + (a >> 13 & 1);  // ties to even
  return uint16_t(sign | ((r - 0x38000000u) >> 13));
}

uint16_t float_to_bfloat(float v) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, v);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace flowbook
