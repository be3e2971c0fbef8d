// Shape and Spec (dtype, shape, device, weakness): all that `infer` may look at. Knows no memory
// and no ops.
#pragma once
#include <initializer_list>

#include "core/dim.h"
#include "core/dtype.h"

namespace flowbook {

inline constexpr int kMaxRank = 8;

class FB_API Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> d) {
    for (Dim x : d) push_back(x);
  }
  void push_back(Dim d) {
    if (rank == kMaxRank) [[unlikely]]
      too_long();
    dims[rank++] = d;
  }
  Dim& operator[](int i) { return dims[i]; }
  Dim operator[](int i) const { return dims[i]; }
  Dim* begin() { return dims; }
  Dim* end() { return dims + rank; }
  const Dim* begin() const { return dims; }
  const Dim* end() const { return dims + rank; }
  bool known() const {
    for (Dim d : *this)
      if (!d.known()) return false;
    return true;
  }
  int64_t size() const {  // number of elements; every dim must be known. ShapeError beyond 2^63
    int64_t n = 1;
    for (Dim d : *this)
      if (__builtin_mul_overflow(n, d.value(), &n)) [[unlikely]]
        return too_many();
    return n;
  }
  Dim elements() const {  // the same, also with symbols
    Dim n = 1;
    for (Dim d : *this) n = n * d;
    return n;
  }
  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank != b.rank) return false;
    for (int i = 0; i < a.rank; ++i)
      if (a.dims[i] != b.dims[i]) return false;
    return true;
  }

  int rank = 0;
  Dim dims[kMaxRank];

 private:
  [[noreturn]] static void too_long();
  int64_t too_many() const;
};

struct Spec {
  Shape shape;
  DType dtype = kDefaultFloat;
  uint8_t device = 0;  // index into devices(); 0 is the CPU
  bool weak = false;   // made from a Python number: gives way in promotion

  friend bool operator==(const Spec&, const Spec&) = default;
};

FB_API void append(std::string& s, const Shape& shape);  // "[32, batch]"
FB_API void append(std::string& s, const Spec& spec);    // "f32[32, batch]"

// Throws OutOfMemoryError/ShapeError if the bytes of `spec` overflow 63 bits; every dim must be
// known.
FB_API int64_t bytes_of(const Spec& spec);

// ---- rules shared by the `infer` functions of ops
// -----------------------------------------------------------
FB_API Shape broadcast(const Shape& a, const Shape& b);  // ShapeError, names both shapes
FB_API int normalize_axis(int64_t axis, int rank);       // AxisError; negative counts from the end
inline int normalize_axis(int64_t axis, const Spec& x) {
  return normalize_axis(axis, x.shape.rank);
}
FB_API Shape substitute(const Shape& s, std::span<const DimBinding> values);

// Row-major strides in elements; every dim must be known.
FB_API void dense_strides(const Shape& shape, int64_t* strides);

// The axes of a reduction: every axis (Python's None), or a set.
class FB_API Axes {
 public:
  Axes() = default;
  Axes(std::initializer_list<int64_t> a) : all(false) {
    for (int64_t x : a) push_back(x);
  }
  void push_back(int64_t a);
  uint32_t mask(int rank) const;  // AxisError if out of range, ArgumentError if one is named twice
  friend bool operator==(const Axes&, const Axes&) = default;

  bool all = true;
  int8_t count = 0;
  int8_t axis[kMaxRank] = {};
};
// Shape after reducing the axes in `mask`.
FB_API Shape reduced(const Shape& x, uint32_t mask, bool keepdims);

}  // namespace flowbook
