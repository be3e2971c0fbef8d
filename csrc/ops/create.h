// Ops that make tensors from nothing, and the triangles.
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

struct Full {
  Shape shape;
  Scalar value = 0.0;
  OptionalDType dtype;
  static void describe(Schema<Full>&);
  Spec infer() const;
};
// A size as a weak 0-d integer: lets rules compute with symbolic sizes.
struct DimValue {
  Dim size = 0;
  static void describe(Schema<DimValue>&);
  Spec infer() const;
};
struct Iota {
  Dim size = 0;
  OptionalDType dtype;
  static void describe(Schema<Iota>&);
  Spec infer() const;
};
struct Arange {
  Scalar start = 0, stop = 0, step = 1;
  OptionalDType dtype;
  static void describe(Schema<Arange>&);
  Spec infer() const;
};
struct Linspace {
  double start = 0, stop = 1;
  int64_t num = 50;
  bool endpoint = true;
  OptionalDType dtype;
  static void describe(Schema<Linspace>&);
  Spec infer() const;
};
struct Eye {
  Dim rows = 0, columns = 0;
  int64_t k = 0;
  OptionalDType dtype;
  static void describe(Schema<Eye>&);
  Spec infer() const;
};
struct Tril {
  int64_t k = 0;
  static void describe(Schema<Tril>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
struct Triu {
  int64_t k = 0;
  static void describe(Schema<Triu>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};

}  // namespace flowbook::ops
