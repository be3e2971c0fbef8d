// Records of the convolutions.
#include "ops/conv.h"

#include <algorithm>

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook::ops {
namespace {

constexpr const char* kImage = "Images, [n, height, width, channels].";
constexpr const char* kWeights = "Weights, [height, width, channels / groups, outputs].";

template <class Op>
void describe_windows(Schema<Op>& op) {
  op.attr("strides", &Op::strides,
          "Step of the window along rows and columns; one number for both.")
      .attr("padding", &Op::padding,
            "\"valid\": none. \"same\": zeros, so that stride 1 keeps the size.")
      .attr("pads", &Op::pads,
            "Zeros [top, bottom, left, right], or one number for all; wins over `padding`.")
      .attr("dilation", &Op::dilation, "Distance of the weights' rows and columns in the image.")
      .attr("groups", &Op::groups,
            "Channels are cut into so many groups, each with its own weights.");
}
template <class Op>
WindowAttrs windows(const Op& op) {
  return {op.strides, op.padding, op.pads, op.dilation};
}

void require_rank_of(const Spec& x, const char* name, int rank, const char* layout) {
  if (x.shape.rank != rank)
    shape_error(name, " is ", x, ". It must have ", int64_t(rank), " axes: ", layout, ".");
}
void require_groups(int64_t groups, Dim channels, Dim inputs, Dim outputs, const Spec& x,
                    const Spec& w) {
  if (groups < 1) argument_error("`groups` is ", groups, ". It must be at least 1.");
  if (channels != inputs * Dim(groups))
    shape_error("x is ", x, " and weights are ", w, ": ", channels, " channels against ", inputs,
                " times ", groups, groups == 1 ? " group" : " groups", ". They must be equal.");
  if (outputs.known() && outputs.value() % groups != 0)
    shape_error("weights are ", w, " with ", groups,
                " groups. The outputs must divide evenly among them.");
}
void require_size(const Shape& size) {
  if (size.rank != 2)
    argument_error("`size` is ", size, ". It must have two entries: rows and columns.");
}

// Rows and columns of the convolution from an image of h x w with weights of kh x kw.
template <class Op>
std::array<Window, 2> both(const Op& op, Dim h, Dim w, Dim kh, Dim kw) {
  return {window_of(windows(op), 0, 2, h, kh.value()), window_of(windows(op), 1, 2, w, kw.value())};
}
void require_output(const Spec& dy, const std::array<Window, 2>& w) {
  if (dy.shape[1] != w[0].out || dy.shape[2] != w[1].out)
    shape_error("dy is ", dy, ", the windows have ", w[0].out, " x ", w[1].out,
                " positions. They must agree.");
}

// A gradient with the same windows as `op`.
template <class Gradient, class Op>
Gradient gradient_of(const Op& op, Dim rows, Dim cols) {
  return {{rows, cols}, op.strides, op.padding, op.pads, op.dilation, op.groups};
}
template <class Op>
Conv2d convolution_of(const Op& op) {
  return {op.strides, op.padding, op.pads, op.dilation, op.groups};
}

ConvGeometry geometry_of(int64_t n, Dim h, Dim w, int64_t c, int64_t o, int64_t groups,
                         const std::array<Window, 2>& windows) {
  return {n, h.value(), w.value(), c, o, windows[0], windows[1], groups};
}

}  // namespace

// ---- conv2d
// -----------------------------------------------------------------------------------------------------

void Conv2d::describe(Schema<Conv2d>& op) {
  op.name("conv2d")
      .doc(
          "Convolution of images with weights: each output is the weighted sum of what its window "
          "sees.")
      .family("nn")
      .input("x", kFloating, kImage)
      .input("weights", kFloating, kWeights)
      .output("y", "Images, [n, rows, columns, outputs].")
      .gradient_reads("x", "weights")
      .example("nn.conv2d([[[[1.], [2.], [3.]]]], [[[[1.]], [[10.]]]])", "[[[[21.], [32.]]]]");
  describe_windows(op);
}
Spec Conv2d::infer(const Spec& x, const Spec& weights) const {
  require_rank_of(x, "x", 4, "[n, height, width, channels]");
  require_rank_of(weights, "weights", 4, "[height, width, channels / groups, outputs]");
  require_groups(groups, x.shape[3], weights.shape[2], weights.shape[3], x, weights);
  const auto w = both(*this, x.shape[1], x.shape[2], weights.shape[0], weights.shape[1]);
  return like(x, {x.shape[0], w[0].out, w[1].out, weights.shape[3]});
}
std::array<Tensor, 2> Conv2d::vjp(const Saved& saved, const Tensor& dy) const {
  std::array<Tensor, 2> d;
  const Shape &x = saved.input_spec(0).shape, &w = saved.input_spec(1).shape;
  if (saved.wants(0))
    d[0] = call(gradient_of<Conv2dInputGradient>(*this, x[1], x[2]), dy, saved.input(1));
  if (saved.wants(1))
    d[1] = call(gradient_of<Conv2dWeightsGradient>(*this, w[0], w[1]), saved.input(0), dy);
  return d;
}
ConvGeometry Conv2d::geometry(const Shape& x, const Shape& w) const {
  return geometry_of(x[0].value(), x[1], x[2], x[3].value(), w[3].value(), groups,
                     both(*this, x[1], x[2], w[0], w[1]));
}

// ---- its gradients
// ------------------------------------------------------------------------------------------------

void Conv2dInputGradient::describe(Schema<Conv2dInputGradient>& op) {
  op.name("conv2d_input_gradient")
      .doc(
          "Gradient of conv2d with regard to its images; also the heart of transposed "
          "convolutions.")
      .family("nn")
      .input("dy", kFloating, "Gradient of the result of conv2d, [n, rows, columns, outputs].")
      .input("weights", kFloating, kWeights)
      .output("dx", "Gradient of the images, [n, height, width, channels].")
      .gradient_reads("dy", "weights")
      .attr("size", &Conv2dInputGradient::size, "Height and width of the images.");
  describe_windows(op);
}
Spec Conv2dInputGradient::infer(const Spec& dy, const Spec& weights) const {
  require_rank_of(dy, "dy", 4, "[n, rows, columns, outputs]");
  require_rank_of(weights, "weights", 4, "[height, width, channels / groups, outputs]");
  require_size(size);
  if (groups < 1) argument_error("`groups` is ", groups, ". It must be at least 1.");
  const Dim c = weights.shape[2] * Dim(groups);
  require_groups(groups, c, weights.shape[2], weights.shape[3], dy, weights);
  if (dy.shape[3] != weights.shape[3])
    shape_error("dy is ", dy, " and weights are ", weights,
                ". Their last axes, the outputs, must agree.");
  require_output(dy, both(*this, size[0], size[1], weights.shape[0], weights.shape[1]));
  return like(dy, {dy.shape[0], size[0], size[1], c});
}
std::array<Tensor, 2> Conv2dInputGradient::vjp(const Saved& saved, const Tensor& g) const {
  std::array<Tensor, 2> d;
  const Shape& w = saved.input_spec(1).shape;
  if (saved.wants(0)) d[0] = call(convolution_of(*this), g, saved.input(1));
  if (saved.wants(1))
    d[1] = call(gradient_of<Conv2dWeightsGradient>(*this, w[0], w[1]), g, saved.input(0));
  return d;
}
ConvGeometry Conv2dInputGradient::geometry(const Shape& dy, const Shape& w) const {
  return geometry_of(dy[0].value(), size[0], size[1], w[2].value() * groups, w[3].value(), groups,
                     both(*this, size[0], size[1], w[0], w[1]));
}

void Conv2dWeightsGradient::describe(Schema<Conv2dWeightsGradient>& op) {
  op.name("conv2d_weights_gradient")
      .doc("Gradient of conv2d with regard to its weights.")
      .family("nn")
      .input("x", kFloating, kImage)
      .input("dy", kFloating, "Gradient of the result of conv2d, [n, rows, columns, outputs].")
      .output("dw", "Gradient of the weights, [height, width, channels / groups, outputs].")
      .gradient_reads("x", "dy")
      .attr("size", &Conv2dWeightsGradient::size, "Height and width of the weights.");
  describe_windows(op);
}
Spec Conv2dWeightsGradient::infer(const Spec& x, const Spec& dy) const {
  require_rank_of(x, "x", 4, "[n, height, width, channels]");
  require_rank_of(dy, "dy", 4, "[n, rows, columns, outputs]");
  require_size(size);
  if (groups < 1) argument_error("`groups` is ", groups, ". It must be at least 1.");
  if (x.shape[0] != dy.shape[0])
    shape_error("x is ", x, " and dy is ", dy, ". Their first axes must agree.");
  const Dim inputs = floor_div(x.shape[3], Dim(groups));
  const Spec w = like(x, {size[0], size[1], inputs, dy.shape[3]});
  require_groups(groups, x.shape[3], inputs, dy.shape[3], x, w);
  require_output(dy, both(*this, x.shape[1], x.shape[2], size[0], size[1]));
  return w;
}
std::array<Tensor, 2> Conv2dWeightsGradient::vjp(const Saved& saved, const Tensor& g) const {
  std::array<Tensor, 2> d;
  const Shape& x = saved.input_spec(0).shape;
  if (saved.wants(0))
    d[0] = call(gradient_of<Conv2dInputGradient>(*this, x[1], x[2]), saved.input(1), g);
  if (saved.wants(1)) d[1] = call(convolution_of(*this), saved.input(0), g);
  return d;
}
ConvGeometry Conv2dWeightsGradient::geometry(const Shape& x, const Shape& dy) const {
  return geometry_of(x[0].value(), x[1], x[2], x[3].value(), dy[3].value(), groups,
                     both(*this, x[1], x[2], size[0], size[1]));
}

// ---- made of these
// --------------------------------------------------------------------------------------------------

namespace {

// Size of the image whose convolution has `positions` positions, the smallest that leaves no weight
// unused.
Dim transposed_size(const WindowAttrs& a, int axis, int axes, Dim positions, int64_t size) {
  const int64_t stride = entry_of(a.strides, "strides", axis, axes, 1);
  const int64_t reach = (size - 1) * entry_of(a.dilation, "dilation", axis, axes, 1) + 1;
  if (a.pads.empty() && a.padding == "same") return positions * Dim(stride);
  const Window w = window_of(a, axis, axes, Dim(int64_t{1} << 40),
                             size);  // checks the attributes, reads the pads
  if (a.pads.empty()) return positions * Dim(stride) + Dim(std::max<int64_t>(reach - stride, 0));
  const int64_t more = reach - stride - w.pad - w.pad_end;
  const Dim full = positions * Dim(stride);
  if (more >= 0) return full + Dim(more);
  if (full.known() && full.value() + more < 1)
    shape_error("padding of ", w.pad, " and ", w.pad_end, " leaves nothing of ", full.value(),
                " entries. Use less.");
  return full - Dim(-more);
}
template <class Op>
Shape transposed_shape(const Op& op, const Spec& x, const Spec& weights) {
  require_rank_of(x, "x", 4, "[n, height, width, channels]");
  require_rank_of(weights, "weights", 4, "[height, width, outputs / groups, channels]");
  return {transposed_size(windows(op), 0, 2, x.shape[1], weights.shape[0].value()),
          transposed_size(windows(op), 1, 2, x.shape[2], weights.shape[1].value())};
}

// One-dimensional signals are images of one row.
Spec image(const Spec& x) { return like(x, {x.shape[0], Dim(1), x.shape[1], x.shape[2]}); }
Spec one_row(const Spec& w) { return like(w, {Dim(1), w.shape[0], w.shape[1], w.shape[2]}); }
Shape signal(const Shape& y) { return {y[0], y[2], y[3]}; }

template <class Two, class One>
Two over_one_row(const One& op) {
  Ints pads;
  if (op.pads.size() == 1)
    pads = {0, 0, op.pads[0], op.pads[0]};
  else if (op.pads.size() == 2)
    pads = {0, 0, op.pads[0], op.pads[1]};
  else if (!op.pads.empty())
    argument_error("`pads` has ", int64_t(op.pads.size()), " entries. It must have 2, or 1.");
  return {{1, op.stride}, op.padding, std::move(pads), {1, op.dilation}, op.groups};
}
void require_signal(const Spec& x, const Spec& weights) {
  require_rank_of(x, "x", 3, "[n, length, channels]");
  require_rank_of(weights, "weights", 3, "[length, channels / groups, outputs]");
}

template <class Op>
void describe_signal(Schema<Op>& op) {
  op.attr("stride", &Op::stride, "Step of the window.")
      .attr("padding", &Op::padding,
            "\"valid\": none. \"same\": zeros, so that stride 1 keeps the size.")
      .attr("pads", &Op::pads,
            "Zeros [before, after], or one number for both; wins over `padding`.")
      .attr("dilation", &Op::dilation, "Distance of the weights' entries in the signal.")
      .attr("groups", &Op::groups,
            "Channels are cut into so many groups, each with its own weights.");
}

}  // namespace

void Conv2dTranspose::describe(Schema<Conv2dTranspose>& op) {
  op.name("conv2d_transpose")
      .doc(
          "Transposed convolution, which enlarges images by its strides: each entry of x adds its "
          "multiple of the "
          "weights to what its window covers.")
      .family("nn")
      .input("x", kFloating, kImage)
      .input("weights", kFloating, "Weights, [height, width, outputs / groups, channels].")
      .output("y", "Images, [n, rows, columns, outputs].")
      .example("nn.conv2d_transpose([[[[1.], [2.]]]], [[[[1.]], [[10.]]]])",
               "[[[[1.], [12.], [20.]]]]");
  describe_windows(op);
}
Spec Conv2dTranspose::infer(const Spec& x, const Spec& weights) const {
  const Shape size = transposed_shape(*this, x, weights);
  return gradient_of<Conv2dInputGradient>(*this, size[0], size[1]).infer(x, weights);
}
Tensor Conv2dTranspose::expand(const Tensor& x, const Tensor& weights) const {
  const Shape size = transposed_shape(*this, x.spec(), weights.spec());
  return call(gradient_of<Conv2dInputGradient>(*this, size[0], size[1]), x, weights);
}

void Conv1d::describe(Schema<Conv1d>& op) {
  op.name("conv1d")
      .doc(
          "Convolution of signals with weights: each output is the weighted sum of what its window "
          "sees.")
      .family("nn")
      .input("x", kFloating, "Signals, [n, length, channels].")
      .input("weights", kFloating, "Weights, [length, channels / groups, outputs].")
      .output("y", "Signals, [n, positions, outputs].")
      .example("nn.conv1d([[[1.], [2.], [3.]]], [[[1.]], [[10.]]])", "[[[21.], [32.]]]");
  describe_signal(op);
}
Spec Conv1d::infer(const Spec& x, const Spec& weights) const {
  require_signal(x, weights);
  return like(x, signal(over_one_row<Conv2d>(*this).infer(image(x), one_row(weights)).shape));
}
Tensor Conv1d::expand(const Tensor& x, const Tensor& weights) const {
  const Tensor y = call(over_one_row<Conv2d>(*this), reshape(x, image(x.spec()).shape),
                        reshape(weights, one_row(weights.spec()).shape));
  return reshape(y, signal(y.shape()));
}

void Conv1dTranspose::describe(Schema<Conv1dTranspose>& op) {
  op.name("conv1d_transpose")
      .doc("Transposed convolution of signals, which lengthens them by its stride.")
      .family("nn")
      .input("x", kFloating, "Signals, [n, length, channels].")
      .input("weights", kFloating, "Weights, [length, outputs / groups, channels].")
      .output("y", "Signals, [n, positions, outputs].")
      .example("nn.conv1d_transpose([[[1.], [2.]]], [[[1.]], [[10.]]])", "[[[1.], [12.], [20.]]]");
  describe_signal(op);
}
Spec Conv1dTranspose::infer(const Spec& x, const Spec& weights) const {
  require_signal(x, weights);
  return like(x,
              signal(over_one_row<Conv2dTranspose>(*this).infer(image(x), one_row(weights)).shape));
}
Tensor Conv1dTranspose::expand(const Tensor& x, const Tensor& weights) const {
  const Tensor y = call(over_one_row<Conv2dTranspose>(*this), reshape(x, image(x.spec()).shape),
                        reshape(weights, one_row(weights.spec()).shape));
  return reshape(y, signal(y.shape()));
}

void register_conv(OpRegistry& r) {
  r.add<Conv2d, Conv2dInputGradient, Conv2dWeightsGradient, Conv2dTranspose, Conv1d,
        Conv1dTranspose>();
}

}  // namespace flowbook::ops
