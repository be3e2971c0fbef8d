// Records of pooling.
#include "ops/pooling.h"

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook::ops {
namespace {

constexpr const char* kImage = "Images, [n, height, width, channels].";

template <class Op>
void describe_windows(Schema<Op>& op) {
  op.attr("window", &Op::window, "Rows and columns of a window; one number for both.")
      .attr("strides", &Op::strides,
            "Step of the window along rows and columns; empty: the window's size.")
      .attr("padding", &Op::padding,
            "\"valid\": windows inside the image. \"same\": one window for each step.")
      .attr("pads", &Op::pads,
            "How far windows may reach out [top, bottom, left, right]; wins over `padding`.");
}

template <class Op>
std::array<Window, 2> windows(const Op& op, const Spec& x) {
  if (x.shape.rank != 4)
    shape_error("x is ", x, ". It must have 4 axes: [n, height, width, channels].");
  const PoolGeometry g = pool_geometry(op, x.shape);
  for (const Window& w : {g.rows, g.cols})
    if (w.pad >= w.size || w.pad_end >= w.size)
      argument_error("`pads` reach out by ", std::max(w.pad, w.pad_end), " entries, a window has ",
                     w.size, ". A window must see at least one entry of the image.");
  return {g.rows, g.cols};
}
template <class Op>
Spec pooled(const Op& op, const Spec& x) {
  const auto w = windows(op, x);
  return like(x, {x.shape[0], w[0].out, w[1].out, x.shape[3]});
}
template <class To, class Op>
To same_windows(const Op& op) {
  return {op.window, op.strides, op.padding, op.pads};
}
void require_like(const Spec& d, const char* name, const Shape& shape) {
  if (d.shape != shape) shape_error(name, " is ", d, ". Its shape must be ", shape, ".");
}

// One-dimensional signals are images of one row.
template <class Two, class One>
Two over_one_row(const One& op, const Spec& x) {
  if (x.shape.rank != 3) shape_error("x is ", x, ". It must have 3 axes: [n, length, channels].");
  Ints pads;
  if (op.pads.size() == 1)
    pads = {0, 0, op.pads[0], op.pads[0]};
  else if (op.pads.size() == 2)
    pads = {0, 0, op.pads[0], op.pads[1]};
  else if (!op.pads.empty())
    argument_error("`pads` has ", int64_t(op.pads.size()), " entries. It must have 2, or 1.");
  return {{1, op.window}, {1, op.stride == 0 ? op.window : op.stride}, op.padding, std::move(pads)};
}
Shape image(const Shape& x) { return {x[0], Dim(1), x[1], x[2]}; }
Shape signal(const Shape& y) { return {y[0], y[2], y[3]}; }
template <class Two, class One>
Spec infer_signal(const One& op, const Spec& x) {
  const Two two = over_one_row<Two>(op, x);
  return like(x, signal(two.infer(like(x, image(x.shape))).shape));
}
template <class Two, class One>
Tensor expand_signal(const One& op, const Tensor& x) {
  const Tensor y = call(over_one_row<Two>(op, x.spec()), reshape(x, image(x.shape())));
  return reshape(y, signal(y.shape()));
}
template <class Op>
void describe_signal(Schema<Op>& op) {
  op.family("nn")
      .input("x", kFloating, "Signals, [n, length, channels].")
      .output("y", "Signals, [n, positions, channels].")
      .attr("window", &Op::window, "Entries of a window.")
      .attr("stride", &Op::stride, "Step of the window; 0: its size.")
      .attr("padding", &Op::padding,
            "\"valid\": windows inside the signal. \"same\": one window for each step.")
      .attr("pads", &Op::pads,
            "How far windows may reach out [before, after]; wins over `padding`.");
}

// All axes but the first and the last.
Axes places(const Spec& x) {
  if (x.shape.rank < 3)
    shape_error("x is ", x, ". It must have at least 3 axes: [n, places ..., channels].");
  Axes axes;
  axes.all = false;
  for (int i = 1; i + 1 < x.shape.rank; ++i) axes.push_back(i);
  return axes;
}

}  // namespace

// ---- maxima
// ---------------------------------------------------------------------------------------------------------

void MaxPool2d::describe(Schema<MaxPool2d>& op) {
  op.name("max_pool2d")
      .doc("The largest entry of each window; NaN if one is in it.")
      .family("nn")
      .input("x", kFloating, kImage)
      .output("y", "Images, [n, rows, columns, channels].")
      .gradient_reads("x", "y")
      .example("nn.max_pool2d([[[[1.], [4.]], [[3.], [2.]]]])", "[[[[4.]]]]");
  describe_windows(op);
}
Spec MaxPool2d::infer(const Spec& x) const { return pooled(*this, x); }
Tensor MaxPool2d::vjp(const Saved& saved, const Tensor& dy) const {
  return call(same_windows<MaxPool2dGradient>(*this), saved.input(0), saved.output(), dy);
}

void MaxPool2dGradient::describe(Schema<MaxPool2dGradient>& op) {
  op.name("max_pool2d_gradient")
      .doc(
          "Gradient of max_pool2d: `dy` goes to the largest entries of each window, in equal "
          "shares.")
      .family("nn")
      .input("x", kFloating, kImage)
      .input("y", kFloating, "Result of max_pool2d for `x`.")
      .input("dy", kFloating, "Gradient of `y`.")
      .output("dx", "Gradient of `x`.")
      .gradient_reads("x", "y");
  describe_windows(op);
}
Spec MaxPool2dGradient::infer(const Spec& x, const Spec& y, const Spec& dy) const {
  const Spec p = pooled(*this, x);
  require_like(y, "y", p.shape), require_like(dy, "dy", p.shape);
  return like(x, x.shape);
}
std::array<Tensor, 3> MaxPool2dGradient::vjp(const Saved& saved, const Tensor& g) const {
  std::array<Tensor, 3> d;
  if (saved.wants(2))
    d[2] = call(same_windows<MaxPool2dDoubleGradient>(*this), saved.input(0), saved.input(1), g);
  return d;
}

void MaxPool2dDoubleGradient::describe(Schema<MaxPool2dDoubleGradient>& op) {
  op.name("max_pool2d_double_gradient")
      .doc("Mean of `g` over the largest entries of each window of `x`.")
      .family("nn")
      .input("x", kFloating, kImage)
      .input("y", kFloating, "Result of max_pool2d for `x`.")
      .input("g", kFloating, "What is picked from, shaped like `x`.")
      .output("d", "Picked entries, shaped like `y`.")
      .gradient_reads("x", "y");
  describe_windows(op);
}
Spec MaxPool2dDoubleGradient::infer(const Spec& x, const Spec& y, const Spec& g) const {
  const Spec p = pooled(*this, x);
  require_like(y, "y", p.shape), require_like(g, "g", x.shape);
  return p;
}
std::array<Tensor, 3> MaxPool2dDoubleGradient::vjp(const Saved& saved, const Tensor& d) const {
  std::array<Tensor, 3> out;
  if (saved.wants(2))
    out[2] = call(same_windows<MaxPool2dGradient>(*this), saved.input(0), saved.input(1), d);
  return out;
}

// ---- averages
// ---------------------------------------------------------------------------------------------------------

void AvgPool2d::describe(Schema<AvgPool2d>& op) {
  op.name("avg_pool2d")
      .doc("Mean of the entries of each window; what lies outside the image does not count.")
      .family("nn")
      .input("x", kFloating, kImage)
      .output("y", "Images, [n, rows, columns, channels].")
      .gradient_reads()
      .example("nn.avg_pool2d([[[[1.], [4.]], [[3.], [2.]]]])", "[[[[2.5]]]]");
  describe_windows(op);
}
Spec AvgPool2d::infer(const Spec& x) const { return pooled(*this, x); }
Tensor AvgPool2d::vjp(const Saved& saved, const Tensor& dy) const {
  const Shape& x = saved.input_spec(0).shape;
  return call(AvgPool2dGradient{{x[1], x[2]}, window, strides, padding, pads}, dy);
}

void AvgPool2dGradient::describe(Schema<AvgPool2dGradient>& op) {
  op.name("avg_pool2d_gradient")
      .doc("Gradient of avg_pool2d: `dy` spread evenly over the entries of each window.")
      .family("nn")
      .input("dy", kFloating, "Gradient of the result of avg_pool2d.")
      .output("dx", "Gradient of the images, [n, height, width, channels].")
      .gradient_reads()
      .attr("size", &AvgPool2dGradient::size, "Height and width of the images.");
  describe_windows(op);
}
Spec AvgPool2dGradient::infer(const Spec& dy) const {
  if (dy.shape.rank != 4)
    shape_error("dy is ", dy, ". It must have 4 axes: [n, rows, columns, channels].");
  if (size.rank != 2)
    argument_error("`size` is ", size, ". It must have two entries: rows and columns.");
  const Spec dx = like(dy, {dy.shape[0], size[0], size[1], dy.shape[3]});
  require_like(dy, "dy", pooled(*this, dx).shape);
  return dx;
}
Tensor AvgPool2dGradient::vjp(const Saved&, const Tensor& g) const {
  return call(same_windows<AvgPool2d>(*this), g);
}

// ---- made of these and of reductions
// ------------------------------------------------------------------------------------

void MaxPool1d::describe(Schema<MaxPool1d>& op) {
  op.name("max_pool1d")
      .doc("The largest entry of each window; NaN if one is in it.")
      .example("nn.max_pool1d([[[1.], [4.], [3.], [2.]]])", "[[[4.], [3.]]]");
  describe_signal(op);
}
Spec MaxPool1d::infer(const Spec& x) const { return infer_signal<MaxPool2d>(*this, x); }
Tensor MaxPool1d::expand(const Tensor& x) const { return expand_signal<MaxPool2d>(*this, x); }

void AvgPool1d::describe(Schema<AvgPool1d>& op) {
  op.name("avg_pool1d")
      .doc("Mean of the entries of each window; what lies outside the signal does not count.")
      .example("nn.avg_pool1d([[[1.], [4.], [3.], [2.]]])", "[[[2.5], [2.5]]]");
  describe_signal(op);
}
Spec AvgPool1d::infer(const Spec& x) const { return infer_signal<AvgPool2d>(*this, x); }
Tensor AvgPool1d::expand(const Tensor& x) const { return expand_signal<AvgPool2d>(*this, x); }

void GlobalMaxPool::describe(Schema<GlobalMaxPool>& op) {
  op.name("global_max_pool")
      .doc("The largest entry of each channel over all places.")
      .family("nn")
      .input("x", kFloating, "Signals, images or volumes, [n, places ..., channels].")
      .output("y", "One entry for each channel, [n, channels].")
      .example("nn.global_max_pool([[[[1.], [4.]], [[3.], [2.]]]])", "[[4.]]");
}
Spec GlobalMaxPool::infer(const Spec& x) const {
  return like(x, reduced(x.shape, places(x).mask(x.shape.rank), false));
}
Tensor GlobalMaxPool::expand(const Tensor& x) const { return max(x, places(x.spec())); }

void GlobalAvgPool::describe(Schema<GlobalAvgPool>& op) {
  op.name("global_avg_pool")
      .doc("Mean of each channel over all places.")
      .family("nn")
      .input("x", kFloating, "Signals, images or volumes, [n, places ..., channels].")
      .output("y", "One entry for each channel, [n, channels].")
      .example("nn.global_avg_pool([[[[1.], [4.]], [[3.], [2.]]]])", "[[2.5]]");
}
Spec GlobalAvgPool::infer(const Spec& x) const {
  return like(x, reduced(x.shape, places(x).mask(x.shape.rank), false));
}
Tensor GlobalAvgPool::expand(const Tensor& x) const { return mean(x, places(x.spec())); }

void register_pooling(OpRegistry& r) {
  r.add<MaxPool2d, MaxPool2dGradient, MaxPool2dDoubleGradient, AvgPool2d, AvgPool2dGradient,
        MaxPool1d, AvgPool1d, GlobalMaxPool, GlobalAvgPool>();
}

}  // namespace flowbook::ops
