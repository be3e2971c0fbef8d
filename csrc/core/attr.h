// Attribute types: a closed list. Each has one table of functions (equality, hash, JSON, reading
// JSON) shared by all ops, so that an op's record needs to say no more than "this member, this
// name, this doc".
#pragma once
#include <concepts>
#include <string>
#include <vector>

#include "core/shape.h"

namespace flowbook {

using Ints = std::vector<int64_t>;

// A constant: bool, integer or float as the user wrote it.
struct Scalar {
  enum Kind : uint8_t { kBool, kInt, kFloat } kind = kFloat;
  int64_t i = 0;
  double d = 0;
  Scalar() = default;
  Scalar(double v) : kind(kFloat), d(v) {}
  Scalar(int64_t v) : kind(kInt), i(v) {}
  Scalar(int v) : Scalar(int64_t(v)) {}
  Scalar(bool v) : kind(kBool), i(v) {}
  double as_double() const { return kind == kFloat ? d : double(i); }
};

// A dtype that may be left out (Python's None).
struct OptionalDType {
  bool given = false;
  DType value = kDefaultFloat;
  OptionalDType() = default;
  OptionalDType(DType t) : given(true), value(t) {}
  DType value_or(DType other) const { return given ? value : other; }
  friend bool operator==(const OptionalDType& a, const OptionalDType& b) {
    return a.given == b.given && (!a.given || a.value == b.value);
  }
};

enum class AttrKind : uint8_t {
  kBool,
  kInt,
  kFloat,
  kString,
  kAxes,
  kShape,
  kDim,
  kDType,
  kInts,
  kScalar
};

struct AttrType {
  AttrKind kind;
  const char* python;  // for stubs: "int", "Sequence[int]"
  bool (*equal)(const void*, const void*);
  size_t (*hash)(const void*);
  void (*json)(std::string&, const void*);
};

template <class T>
consteval AttrKind attr_kind() {
  if constexpr (std::same_as<T, bool>)
    return AttrKind::kBool;
  else if constexpr (std::same_as<T, int64_t>)
    return AttrKind::kInt;
  else if constexpr (std::same_as<T, double>)
    return AttrKind::kFloat;
  else if constexpr (std::same_as<T, std::string>)
    return AttrKind::kString;
  else if constexpr (std::same_as<T, Axes>)
    return AttrKind::kAxes;
  else if constexpr (std::same_as<T, Shape>)
    return AttrKind::kShape;
  else if constexpr (std::same_as<T, Dim>)
    return AttrKind::kDim;
  else if constexpr (std::same_as<T, OptionalDType>)
    return AttrKind::kDType;
  else if constexpr (std::same_as<T, Ints>)
    return AttrKind::kInts;
  else if constexpr (std::same_as<T, Scalar>)
    return AttrKind::kScalar;
  else
    static_assert(!sizeof(T*), "not one of the attribute types");
}
FB_API const AttrType& attr_type(AttrKind kind);

// Order-sensitive mixing for cache keys.
inline size_t mix(size_t h, uint64_t v) { return (h ^ v) * 0x9E3779B97F4A7C15ull ^ (h >> 29); }

}  // namespace flowbook
