// Pooling over windows of rows and columns, channels last. What lies outside the image takes no
// part: it is never a maximum and does not count in an average. NaN wins a maximum; tied maxima
// share their gradient equally.
#pragma once
#include <array>

#include "ops/windows.h"

namespace flowbook::ops {

struct PoolGeometry {
  int64_t n, h, w, c;
  Window rows, cols;
};

struct MaxPool2d {
  Ints window = {2}, strides;
  std::string padding = "valid";
  Ints pads;
  static void describe(Schema<MaxPool2d>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
// Sends dy to the entries of x that were the maximum of their window.
struct MaxPool2dGradient {
  Ints window = {2}, strides;
  std::string padding = "valid";
  Ints pads;
  static void describe(Schema<MaxPool2dGradient>&);
  Spec infer(const Spec& x, const Spec& y, const Spec& dy) const;
  std::array<Tensor, 3> vjp(const Saved&, const Tensor& g) const;
};
// The reverse: the mean of g over the entries of x that were the maximum of their window.
struct MaxPool2dDoubleGradient {
  Ints window = {2}, strides;
  std::string padding = "valid";
  Ints pads;
  static void describe(Schema<MaxPool2dDoubleGradient>&);
  Spec infer(const Spec& x, const Spec& y, const Spec& g) const;
  std::array<Tensor, 3> vjp(const Saved&, const Tensor& d) const;
};

struct AvgPool2d {
  Ints window = {2}, strides;
  std::string padding = "valid";
  Ints pads;
  static void describe(Schema<AvgPool2d>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
struct AvgPool2dGradient {
  Shape size;
  Ints window = {2}, strides;
  std::string padding = "valid";
  Ints pads;
  static void describe(Schema<AvgPool2dGradient>&);
  Spec infer(const Spec& dy) const;
  Tensor vjp(const Saved&, const Tensor& g) const;
};

struct MaxPool1d {
  int64_t window = 2, stride = 0;
  std::string padding = "valid";
  Ints pads;
  static void describe(Schema<MaxPool1d>&);
  Spec infer(const Spec& x) const;
  Tensor expand(const Tensor& x) const;
};
struct AvgPool1d {
  int64_t window = 2, stride = 0;
  std::string padding = "valid";
  Ints pads;
  static void describe(Schema<AvgPool1d>&);
  Spec infer(const Spec& x) const;
  Tensor expand(const Tensor& x) const;
};

struct GlobalMaxPool {
  static void describe(Schema<GlobalMaxPool>&);
  Spec infer(const Spec& x) const;
  Tensor expand(const Tensor& x) const;
};
struct GlobalAvgPool {
  static void describe(Schema<GlobalAvgPool>&);
  Spec infer(const Spec& x) const;
  Tensor expand(const Tensor& x) const;
};

// For kernels: an op's windows over an image of this shape.
template <class Op>
PoolGeometry pool_geometry(const Op& op, const Shape& x) {
  const WindowAttrs a{op.strides.empty() ? op.window : op.strides, op.padding, op.pads, {}};
  const auto along = [&](int axis) {
    return window_of(a, axis, 2, x[1 + axis], entry_of(op.window, "window", axis, 2, 1));
  };
  return {x[0].known() ? x[0].value() : 0,
          x[1].known() ? x[1].value() : 0,
          x[2].known() ? x[2].value() : 0,
          x[3].known() ? x[3].value() : 0,
          along(0),
          along(1)};
}

}  // namespace flowbook::ops
