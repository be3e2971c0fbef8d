// Attention: each query's mixture of the values, weighted by the softmax of its scores with the
// keys. Backends compute it by blocks, without ever holding the scores of all queries with all
// keys; the logarithm of each softmax's sum is all that the gradient needs to make them again.
#pragma once
#include <array>

#include "core/schema.h"

namespace flowbook::ops {

struct Attention {  // y, logsumexp
  double scale = 0;
  bool causal = false;
  static void describe(Schema<Attention>&);
  std::array<Spec, 2> infer(const Spec& query, const Spec& key, const Spec& value,
                            const Spec& mask) const;
  std::array<Tensor, 4> vjp(const Saved&, const Tensor* d) const;
  std::array<Tensor, 2> expand(const Tensor& query, const Tensor& key, const Tensor& value,
                               const Tensor& mask) const;
};
struct AttentionGradient {  // dquery, dkey, dvalue
  double scale = 0;
  bool causal = false;
  static void describe(Schema<AttentionGradient>&);
  std::array<Spec, 3> infer(const Spec& query, const Spec& key, const Spec& value, const Spec& mask,
                            const Spec& y, const Spec& logsumexp, const Spec& dy,
                            const Spec& dlogsumexp) const;
  std::array<Tensor, 3> expand(const Tensor& query, const Tensor& key, const Tensor& value,
                               const Tensor& mask, const Tensor& y, const Tensor& logsumexp,
                               const Tensor& dy, const Tensor& dlogsumexp) const;
};

// What scores are multiplied by where no scale is given: 1 / sqrt(size of a query).
double attention_scale(double scale, Dim size);

}  // namespace flowbook::ops
