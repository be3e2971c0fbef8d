// Ops that rearrange entries and have kernels of their own. The windows (transposes, slices,
// broadcasts ...) need none: their `view` says where the result lies in the operand's memory.
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

// The one window that may have to copy: strides of a strided operand don't always allow the new
// shape.
struct Reshape {
  Shape shape;
  static void describe(Schema<Reshape>&);
  Spec infer(const Spec& x) const;
  bool view(const Spec& out, const Tensor& x, View&) const;
  int joins(const Spec&) const { return -1; }
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
struct Concat {
  int64_t axis = 0;
  static void describe(Schema<Concat>&);
  Spec infer(Specs xs) const;
  int joins(const Spec& y) const { return normalize_axis(axis, y); }
  std::vector<Tensor> vjp(const Saved&, const Tensor& dy) const;
};
struct Pad {
  Ints widths;
  Scalar value = 0;
  static void describe(Schema<Pad>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
struct Cast {
  OptionalDType dtype;
  static void describe(Schema<Cast>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
struct Copy {
  static void describe(Schema<Copy>&);
  Spec infer(const Spec& x) const;
  int joins(const Spec&) const { return -1; }
  Tensor vjp(const Saved&, const Tensor& dy) const;
};

}  // namespace flowbook::ops
