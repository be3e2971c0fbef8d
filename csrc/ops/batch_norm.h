// Batch normalisation: each channel (entry of the last axis) shifted and scaled to mean 0 and
// variance 1 over all other axes. With the statistics of the batch, and with given ones.
#pragma once
#include <array>

#include "core/schema.h"

namespace flowbook::ops {

struct BatchNorm {  // y, mean, variance
  double epsilon = 1e-5;
  static void describe(Schema<BatchNorm>&);
  std::array<Spec, 3> infer(const Spec& x, const Spec& weight, const Spec& bias) const;
  std::array<Tensor, 3> vjp(const Saved&, const Tensor* d) const;
  std::array<Tensor, 3> expand(const Tensor& x, const Tensor& weight, const Tensor& bias) const;
};
struct BatchNormGradient {  // dx, dweight, dbias
  double epsilon = 1e-5;
  static void describe(Schema<BatchNormGradient>&);
  std::array<Spec, 3> infer(const Spec& x, const Spec& weight, const Spec& mean,
                            const Spec& variance, const Spec& dy, const Spec& dmean,
                            const Spec& dvariance) const;
  std::array<Tensor, 3> expand(const Tensor& x, const Tensor& weight, const Tensor& mean,
                               const Tensor& variance, const Tensor& dy, const Tensor& dmean,
                               const Tensor& dvariance) const;
};
struct BatchNormInference {
  double epsilon = 1e-5;
  static void describe(Schema<BatchNormInference>&);
  Spec infer(const Spec& x, const Spec& weight, const Spec& bias, const Spec& mean,
             const Spec& variance) const;
  Tensor expand(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                const Tensor& variance) const;
};

}  // namespace flowbook::ops
