// Matrix products.
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

struct Matmul {
  static void describe(Schema<Matmul>&);
  Spec infer(const Spec& x, const Spec& y) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& dz) const;
};

}  // namespace flowbook::ops
