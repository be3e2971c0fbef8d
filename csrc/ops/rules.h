// Small functions that the records of several families share: specs derived from others, windows on
// memory, axes put back after a reduction. For csrc/ops only.
#pragma once
#include "ops/ops.h"

namespace flowbook::ops {

// ---- specs
// ----------------------------------------------------------------------------------------------------
inline Spec like(const Spec& x, const Shape& shape) { return {shape, x.dtype, x.device, false}; }
inline Spec like(const Spec& x, DType dtype) { return {x.shape, dtype, x.device, false}; }
inline Spec like(const Spec& x, const Shape& shape, DType dtype) {
  return {shape, dtype, x.device, false};
}
inline Shape without(const Shape& x, int axis) { return reduced(x, 1u << axis, false); }
inline Shape join(const Shape& a, int a_begin, int a_end, const Shape& b) {  // a[begin:end] + b
  Shape s;
  for (int i = a_begin; i < a_end; ++i) s.push_back(a[i]);
  for (Dim d : b) s.push_back(d);
  return s;
}
// As normalize_axis() and Axes::mask(), with messages that show x.
inline int axis_of(int64_t axis, const Spec& x) {
  const int rank = x.shape.rank;
  if (axis < -rank || axis >= rank)
    fail(ErrorKind::kAxis, "axis ", axis, " is out of range for x: ", x, ". It must be from ",
         -rank, " to ", rank - 1, ".");
  return int(axis < 0 ? axis + rank : axis);
}
inline uint32_t mask_of(const Axes& axis, const Spec& x) {
  for (int i = 0; i < axis.count; ++i) axis_of(axis.axis[i], x);
  return axis.mask(x.shape.rank);
}
// The one axis of an op whose axis may be left out where there is no choice.
inline int one_axis(const Axes& axis, const Shape& x) {
  if (axis.all) {
    if (x.rank == 1) return 0;
    fail(ErrorKind::kAxis, "x has shape ", x,
         ", so `axis` must be given. It may be left out for rank 1 only.");
  }
  if (axis.count != 1) argument_error("`axis` names ", int(axis.count), " axes. It must name one.");
  return normalize_axis(axis.axis[0], x.rank);
}
inline Axes axes_of(uint32_t mask) {
  Axes a;
  a.all = false;
  for (int i = 0; i < kMaxRank; ++i)
    if (mask >> i & 1) a.push_back(i);
  return a;
}
inline void require_rank(const Spec& x, const char* name, int rank) {
  if (x.shape.rank < rank)
    shape_error(name, " is ", x, ". It must have at least ", rank, rank == 1 ? " axis." : " axes.");
}

// Only reshape() takes a size of -1.
inline void require_sizes(const Shape& s) {
  for (Dim d : s)
    if (d == Dim(-1))
      shape_error("the shape asked for has a size of -1. Sizes must not be negative.");
}

// Brings what a reduction over `axis` gave (or its gradient) back to the rank of `x`, with ones.
inline Tensor keep_axes(const Tensor& y, const Shape& x, const Axes& axis) {
  return reshape(y, reduced(x, axis.mask(x.rank), true));
}

// ---- windows
// ----------------------------------------------------------------------------------------------------
struct Strides {
  int64_t at[kMaxRank] = {};
  int64_t operator[](int i) const { return at[i]; }
  int64_t& operator[](int i) { return at[i]; }
};
inline Strides strides_of(const Tensor& x) {
  Strides s;
  const View& v = view_of(x);
  if (v.dense)
    dense_strides(x.shape(), s.at);
  else
    std::memcpy(s.at, v.strides, sizeof(int64_t) * size_t(x.rank()));
  return s;
}
// Whether elements at these strides lie row-major without gaps; axes of size 1 don't matter.
inline bool is_dense(const Shape& shape, const Strides& s) {
  int64_t step = 1;
  for (int i = shape.rank - 1; i >= 0; --i) {
    if (shape[i].value() == 0) return true;
    if (shape[i].value() != 1 && s[i] != step) return false;
    step *= shape[i].value();
  }
  return true;
}
// `out` as a window on the memory of `x`, `offset` elements further on.
inline bool window(const Spec& out, const Tensor& x, int64_t offset, const Strides& s, View& v) {
  const View& from = view_of(x);
  v.buffer = from.buffer;
  v.offset = from.offset + offset * size_of(out.dtype);
  v.dense = is_dense(out.shape, s);
  std::memcpy(v.strides, s.at, sizeof v.strides);
  return true;
}

// What an elementwise record without a gradient says.
inline const Tensor kNoGradient;

}  // namespace flowbook::ops
