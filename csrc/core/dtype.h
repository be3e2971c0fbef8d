// Element types and how they combine (array API standard 2024.12, type promotion rules).
#pragma once
#include "core/error.h"

namespace flowbook {

enum class DType : uint8_t {
  bool_,
  i8,
  i16,
  i32,
  i64,
  u8,
  u16,
  u32,
  u64,
  f16,
  bf16,
  f32,
  f64,
  c64,
  c128,
};
inline constexpr int kDTypes = 15;

// Sets of dtypes: what an op's input accepts.
using DTypeSet = uint16_t;
constexpr DTypeSet set_of(DType t) { return DTypeSet(1u << int(t)); }
inline constexpr DTypeSet kBoolean = set_of(DType::bool_);
inline constexpr DTypeSet kSigned =
    set_of(DType::i8) | set_of(DType::i16) | set_of(DType::i32) | set_of(DType::i64);
inline constexpr DTypeSet kUnsigned =
    set_of(DType::u8) | set_of(DType::u16) | set_of(DType::u32) | set_of(DType::u64);
inline constexpr DTypeSet kIntegral = kSigned | kUnsigned;
inline constexpr DTypeSet kFloating =
    set_of(DType::f16) | set_of(DType::bf16) | set_of(DType::f32) | set_of(DType::f64);
inline constexpr DTypeSet kComplex = set_of(DType::c64) | set_of(DType::c128);
inline constexpr DTypeSet kIntegralOrBool = kIntegral | kBoolean;
inline constexpr DTypeSet kReal = kIntegral | kFloating;  // ordered numbers
inline constexpr DTypeSet kNumeric = kReal | kComplex;
inline constexpr DTypeSet kAll = kNumeric | kBoolean;
inline constexpr DTypeSet kIndexes =
    set_of(DType::i32) | set_of(DType::i64);  // what gather and friends take
constexpr bool in(DType t, DTypeSet s) { return s >> int(t) & 1; }

inline constexpr DType kDefaultFloat = DType::f32;
inline constexpr DType kDefaultInt = DType::i64;

inline constexpr uint8_t kDTypeBytes[kDTypes] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
constexpr int size_of(DType t) { return kDTypeBytes[int(t)]; }
FB_API const char* short_name(DType t);           // "f32": in messages and drawings
FB_API const char* name_of(DType t);              // "float32": the array API's name
FB_API DType parse_dtype(std::string_view name);  // either form; DTypeError otherwise
FB_API std::string names_in(DTypeSet s);          // "float32, float64"
inline void append(std::string& s, DType t) { s += short_name(t); }

// The common dtype. A weak operand (a Python number) only decides if its kind is higher than the
// other's. DTypeError where the standard defines none (int64 with uint64).
FB_API DType promote(DType a, bool weak_a, DType b, bool weak_b);

// IEEE half and bfloat16 as storage: conversion rounds to nearest, ties to even.
FB_API float half_to_float(uint16_t bits);
FB_API uint16_t float_to_half(float v);
inline float bfloat_to_float(uint16_t bits) {
  return __builtin_bit_cast(float, uint32_t(bits) << 16);
}
FB_API uint16_t float_to_bfloat(float v);

}  // namespace flowbook
