// Reductions that have kernels of their own: sums, products, extrema, their positions, logic,
// running sums.
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

// The dtype in which sums and products of `t` come out: integers widen to 64 bits.
DType accumulator(DType t);

struct Sum {
  Axes axis;
  OptionalDType dtype;
  bool keepdims = false;
  static void describe(Schema<Sum>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
struct Prod {
  Axes axis;
  OptionalDType dtype;
  bool keepdims = false;
  static void describe(Schema<Prod>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
struct Max {
  Axes axis;
  bool keepdims = false;
  static void describe(Schema<Max>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
struct Min {
  Axes axis;
  bool keepdims = false;
  static void describe(Schema<Min>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
struct Argmax {
  Axes axis;
  bool keepdims = false;
  static void describe(Schema<Argmax>&);
  Spec infer(const Spec& x) const;
};
struct Argmin {
  Axes axis;
  bool keepdims = false;
  static void describe(Schema<Argmin>&);
  Spec infer(const Spec& x) const;
};
struct Any {
  Axes axis;
  bool keepdims = false;
  static void describe(Schema<Any>&);
  Spec infer(const Spec& x) const;
};
struct All {
  Axes axis;
  bool keepdims = false;
  static void describe(Schema<All>&);
  Spec infer(const Spec& x) const;
};
struct CumulativeSum {
  Axes axis;
  OptionalDType dtype;
  bool include_initial = false;
  static void describe(Schema<CumulativeSum>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};

}  // namespace flowbook::ops
