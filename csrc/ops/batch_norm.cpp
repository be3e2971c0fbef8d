// Records of batch normalisation.
#include "ops/batch_norm.h"

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook::ops {
namespace {

constexpr const char* kOperand = "Operand of rank 2 or more, channels last.";
constexpr const char* kVector = "A vector with an entry for each channel.";

void require_channels(const Spec& x,
                      std::initializer_list<std::pair<const char*, const Spec*>> vectors) {
  require_rank(x, "x", 2);
  const Dim c = x.shape[x.shape.rank - 1];
  for (const auto& [name, v] : vectors)
    if (v->shape.rank != 1 || v->shape[0] != c)
      shape_error(name, " is ", *v, " and x is ", x,
                  ". It must be a vector with an entry for each of the ", c, " channels.");
}
Spec channels(const Spec& x) { return like(x, {x.shape[x.shape.rank - 1]}); }
// All axes but the last, and how many entries of a channel they hold.
Axes rows(const Tensor& x) {
  Axes axes;
  axes.all = false;
  for (int i = 0; i + 1 < x.rank(); ++i) axes.push_back(i);
  return axes;
}
Tensor count(const Tensor& x) {
  Dim n = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) n = n * x.shape()[i];
  return dim(n);
}

}  // namespace

void BatchNorm::describe(Schema<BatchNorm>& op) {
  op.name("batch_norm")
      .doc(
          "Shifts and scales each channel to mean 0 and variance 1 over the batch, then times "
          "`weight` plus `bias`.")
      .family("nn")
      .input("x", kFloating, kOperand)
      .input("weight", kFloating, kVector)
      .input("bias", kFloating, kVector)
      .attr("epsilon", &BatchNorm::epsilon, "Added to the variance.")
      .output("y", "Shaped like `x`.")
      .output("mean", "Mean of each channel.")
      .output("variance", "Variance of each channel, the sum over the number of entries.")
      .gradient_reads("x", "weight", "mean", "variance")
      .example("nn.batch_norm([[1.], [3.]], [1.], [0.])", "([[-1.], [1.]], [2.], [1.])");
}
std::array<Spec, 3> BatchNorm::infer(const Spec& x, const Spec& weight, const Spec& bias) const {
  require_channels(x, {{"weight", &weight}, {"bias", &bias}});
  return {like(x, x.shape), channels(x), channels(x)};
}
std::array<Tensor, 3> BatchNorm::vjp(const Saved& saved, const Tensor* d) const {
  return call(BatchNormGradient{epsilon}, saved.input(0), saved.input(1), saved.output(1),
              saved.output(2), d[0], d[1], d[2]);
}
std::array<Tensor, 3> BatchNorm::expand(const Tensor& x, const Tensor& weight,
                                        const Tensor& bias) const {
  const Tensor m = mean(x, rows(x)), far = x - m, v = mean(square(far), rows(x));
  return {far * (rsqrt(v + epsilon) * weight) + bias, m, v};
}

void BatchNormGradient::describe(Schema<BatchNormGradient>& op) {
  op.name("batch_norm_gradient")
      .doc("Gradients of batch_norm.")
      .family("nn")
      .input("x", kFloating, "Operand of batch_norm.")
      .input("weight", kFloating, "Its weight.")
      .input("mean", kFloating, "Its second result.")
      .input("variance", kFloating, "Its third result.")
      .input("dy", kFloating, "Gradient of its first result.")
      .input("dmean", kFloating, "Gradient of its second result.")
      .input("dvariance", kFloating, "Gradient of its third result.")
      .attr("epsilon", &BatchNormGradient::epsilon, "Added to the variance.")
      .output("dx", "Shaped like `x`.")
      .output("dweight", "Shaped like `weight`.")
      .output("dbias", "Shaped like `weight`.");
}
std::array<Spec, 3> BatchNormGradient::infer(const Spec& x, const Spec& weight, const Spec& mean,
                                             const Spec& variance, const Spec& dy,
                                             const Spec& dmean, const Spec& dvariance) const {
  require_channels(x, {{"weight", &weight},
                       {"mean", &mean},
                       {"variance", &variance},
                       {"dmean", &dmean},
                       {"dvariance", &dvariance}});
  if (dy.shape != x.shape)
    shape_error("dy is ", dy, " and x is ", x, ". Their shapes must be equal.");
  return {like(x, x.shape), channels(x), channels(x)};
}
std::array<Tensor, 3> BatchNormGradient::expand(const Tensor& x, const Tensor& weight,
                                                const Tensor& mean_, const Tensor& variance,
                                                const Tensor& dy, const Tensor& dmean,
                                                const Tensor& dvariance) const {
  const Tensor n = count(x), far = x - mean_, scale = rsqrt(variance + epsilon);
  const Tensor dbias = sum(dy, rows(x)), dweight = sum(dy * far, rows(x)) * scale;
  const Tensor by_far = (dvariance * 2.0 - weight * scale * scale * dweight) / n;
  const Tensor shift = (dmean - weight * scale * dbias) / n;
  return {dy * (weight * scale) + far * by_far + shift, dweight, dbias};
}

void BatchNormInference::describe(Schema<BatchNormInference>& op) {
  op.name("batch_norm_inference")
      .doc(
          "Shifts and scales each channel by the given statistics, then times `weight` plus "
          "`bias`.")
      .family("nn")
      .input("x", kFloating, kOperand)
      .input("weight", kFloating, kVector)
      .input("bias", kFloating, kVector)
      .input("mean", kFloating, kVector)
      .input("variance", kFloating, kVector)
      .attr("epsilon", &BatchNormInference::epsilon, "Added to the variance.")
      .output("y", "Shaped like `x`.")
      .example("nn.batch_norm_inference([[1.], [3.]], [1.], [0.], [2.], [1.], epsilon=0.)",
               "[[-1.], [1.]]");
}
Spec BatchNormInference::infer(const Spec& x, const Spec& weight, const Spec& bias,
                               const Spec& mean, const Spec& variance) const {
  require_channels(
      x, {{"weight", &weight}, {"bias", &bias}, {"mean", &mean}, {"variance", &variance}});
  return like(x, x.shape);
}
Tensor BatchNormInference::expand(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                  const Tensor& mean, const Tensor& variance) const {
  return (x - mean) * (rsqrt(variance + epsilon) * weight) + bias;
}

void register_batch_norm(OpRegistry& r) {
  r.add<BatchNorm, BatchNormGradient, BatchNormInference>();
}

}  // namespace flowbook::ops
