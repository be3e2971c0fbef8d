// Ops over rows with kernels of their own: softmax and its relatives, layer normalisation, and
// their gradients, which are ops as well (one pass over the row instead of several).
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

struct Softmax {
  int64_t axis = -1;
  static void describe(Schema<Softmax>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
  Tensor expand(const Tensor& x) const;
};
struct SoftmaxGradient {  // y (dy - sum(y dy))
  int64_t axis = -1;
  static void describe(Schema<SoftmaxGradient>&);
  Spec infer(const Spec& y, const Spec& dy) const;
  Tensor expand(const Tensor& y, const Tensor& dy) const;
};
struct LogSoftmax {
  int64_t axis = -1;
  static void describe(Schema<LogSoftmax>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
  Tensor expand(const Tensor& x) const;
};
struct LogSoftmaxGradient {  // dy - exp(y) sum(dy)
  int64_t axis = -1;
  static void describe(Schema<LogSoftmaxGradient>&);
  Spec infer(const Spec& y, const Spec& dy) const;
  Tensor expand(const Tensor& y, const Tensor& dy) const;
};
// loss = log(sum(exp(logits))) - logits[target], for each row. No one-hot matrix anywhere.
struct SoftmaxCrossEntropy {
  int64_t axis = -1;
  static void describe(Schema<SoftmaxCrossEntropy>&);
  Spec infer(const Spec& logits, const Spec& targets) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& dy) const;
  Tensor expand(const Tensor& logits, const Tensor& targets) const;
};
// (softmax(logits) - [target]) dloss. The loss is an input because it spares the sum of
// exponentials.
struct SoftmaxCrossEntropyGradient {
  int64_t axis = -1;
  static void describe(Schema<SoftmaxCrossEntropyGradient>&);
  Spec infer(const Spec& logits, const Spec& targets, const Spec& loss, const Spec& dloss) const;
  Tensor expand(const Tensor& logits, const Tensor& targets, const Tensor& loss,
                const Tensor& dloss) const;
};
struct LayerNorm {
  int64_t axis = -1;
  double epsilon = 1e-5;
  static void describe(Schema<LayerNorm>&);
  Spec infer(const Spec& x, const Spec& weight, const Spec& bias) const;
  std::array<Tensor, 3> vjp(const Saved&, const Tensor& dy) const;
  Tensor expand(const Tensor& x, const Tensor& weight, const Tensor& bias) const;
};
struct LayerNormGradient {  // dx, dweight, dbias
  int64_t axis = -1;
  double epsilon = 1e-5;
  static void describe(Schema<LayerNormGradient>&);
  std::array<Spec, 3> infer(const Spec& x, const Spec& weight, const Spec& dy) const;
  std::array<Tensor, 3> expand(const Tensor& x, const Tensor& weight, const Tensor& dy) const;
};

}  // namespace flowbook::ops
