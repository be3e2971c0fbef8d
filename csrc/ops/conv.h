// Convolutions, channels last. A convolution is linear in the image and in the weights, so three
// ops are closed under differentiation: the convolution and its two gradients. The others are made
// of them.
#pragma once
#include <array>

#include "ops/windows.h"

namespace flowbook::ops {

// What a kernel needs to know: every number of one convolution.
struct ConvGeometry {
  int64_t n, h, w, c;  // image
  int64_t o;           // output channels
  Window rows, cols;
  int64_t groups;
};

struct Conv2d {
  Ints strides;
  std::string padding = "valid";
  Ints pads, dilation;
  int64_t groups = 1;
  static void describe(Schema<Conv2d>&);
  Spec infer(const Spec& x, const Spec& weights) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& dy) const;
  ConvGeometry geometry(const Shape& x, const Shape& weights) const;
};

// The gradient of conv2d with regard to an image of `size` rows and columns.
struct Conv2dInputGradient {
  Shape size;
  Ints strides;
  std::string padding = "valid";
  Ints pads, dilation;
  int64_t groups = 1;
  static void describe(Schema<Conv2dInputGradient>&);
  Spec infer(const Spec& dy, const Spec& weights) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& g) const;
  ConvGeometry geometry(const Shape& dy, const Shape& weights) const;
};

// The gradient of conv2d with regard to weights of `size` rows and columns.
struct Conv2dWeightsGradient {
  Shape size;
  Ints strides;
  std::string padding = "valid";
  Ints pads, dilation;
  int64_t groups = 1;
  static void describe(Schema<Conv2dWeightsGradient>&);
  Spec infer(const Spec& x, const Spec& dy) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& g) const;
  ConvGeometry geometry(const Shape& x, const Shape& dy) const;
};

struct Conv2dTranspose {
  Ints strides;
  std::string padding = "valid";
  Ints pads, dilation;
  int64_t groups = 1;
  static void describe(Schema<Conv2dTranspose>&);
  Spec infer(const Spec& x, const Spec& weights) const;
  Tensor expand(const Tensor& x, const Tensor& weights) const;
};

struct Conv1d {
  int64_t stride = 1;
  std::string padding = "valid";
  Ints pads;
  int64_t dilation = 1, groups = 1;
  static void describe(Schema<Conv1d>&);
  Spec infer(const Spec& x, const Spec& weights) const;
  Tensor expand(const Tensor& x, const Tensor& weights) const;
};

struct Conv1dTranspose {
  int64_t stride = 1;
  std::string padding = "valid";
  Ints pads;
  int64_t dilation = 1, groups = 1;
  static void describe(Schema<Conv1dTranspose>&);
  Spec infer(const Spec& x, const Spec& weights) const;
  Tensor expand(const Tensor& x, const Tensor& weights) const;
};

}  // namespace flowbook::ops
