// Records of the neural-network ops. The plain activations are rows of elementwise.def; dropout is
// with the random ops.
#include "ops/nn.h"

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {

namespace {
constexpr const char* kAxisDoc = "The axis; negative counts from the end.";
constexpr DTypeSet kTargets = kIndexes | set_of(DType::u8);

void require_alike(const Spec& y, const Spec& dy) {
  if (!(y.shape == dy.shape))
    shape_error("y is ", y, ", dy is ", dy, ". They must have one shape.");
}
// A vector along `axis` of something of that rank: [1, n, 1] instead of [n].
Tensor along(const Tensor& v, int rank, int axis) {
  if (axis == rank - 1) return v;
  Shape s;
  for (int i = axis; i < rank; ++i) s.push_back(i == axis ? v.shape()[0] : Dim(1));
  return reshape(v, s);
}
// f(x...) with `axis` put last, and the result's axes put back. Rows of neighbouring entries are
// what programs run over.
template <class F, class... T>
Tensor over_last(int axis, F&& f, const T&... x) {
  const int rank = std::max({x.rank()...});
  if (axis == rank - 1) return f(x...);
  Ints order, back(size_t(rank), 0);
  for (int i = 0; i < rank; ++i)
    if (i != axis) order.push_back(i);
  order.push_back(axis);
  for (int i = 0; i < rank; ++i) back[size_t(order[size_t(i)])] = i;
  return permute_dims(f(permute_dims(x, order)...), back);
}
}  // namespace

// ---- softmax
// ------------------------------------------------------------------------------------------------------
void Softmax::describe(Schema<Softmax>& op) {
  op.name("softmax")
      .doc("Turns scores into probabilities along `axis`: exp(x) / sum(exp(x)).")
      .family("nn");
  op.input("x", kFloating, "Scores, rank 1 or more.");
  op.attr("axis", &Softmax::axis, "Axis whose entries sum to one; negative counts from the end.");
  op.output("y", "Probabilities, shaped and typed like `x`.").gradient_reads("y");
  op.as_program().example("nn.softmax([1., 2., 3.])", "[0.0900, 0.2447, 0.6652]");
}
Spec Softmax::infer(const Spec& x) const { return axis_of(axis, x), like(x, x.shape); }
Tensor Softmax::vjp(const Saved& saved, const Tensor& dy) const {
  return call(SoftmaxGradient{axis}, saved.output(), dy);
}
Tensor Softmax::expand(const Tensor& x) const {
  const int a = axis_of(axis, x.spec());
  if (x.shape()[a] == Dim(0)) return zeros_like(x);
  return over_last(
      a,
      [](const Tensor& t) {
        const Tensor e = exp(t - max(t, {-1}, true));
        return e * reciprocal(sum(e, {-1}, true));
      },
      x);
}

void SoftmaxGradient::describe(Schema<SoftmaxGradient>& op) {
  op.name("softmax_gradient")
      .doc("Gradient of softmax: y (dy - sum(y dy)).")
      .family("nn")
      .input("y", kFloating, "What softmax gave.");
  op.input("dy", kFloating, "Gradient of that.")
      .attr("axis", &SoftmaxGradient::axis, kAxisDoc)
      .output("dx", "Shaped like `y`.")
      .as_program();
}
Spec SoftmaxGradient::infer(const Spec& y, const Spec& dy) const {
  return axis_of(axis, y), require_alike(y, dy), like(y, y.shape);
}
Tensor SoftmaxGradient::expand(const Tensor& y, const Tensor& dy) const {
  return over_last(
      axis_of(axis, y.spec()),
      [](const Tensor& p, const Tensor& d) { return p * (d - sum(p * d, {-1}, true)); }, y, dy);
}

void LogSoftmax::describe(Schema<LogSoftmax>& op) {
  op.name("log_softmax")
      .doc("Logarithm of softmax, precise where probabilities vanish.")
      .family("nn");
  op.input("x", kFloating, "Scores, rank 1 or more.").attr("axis", &LogSoftmax::axis, kAxisDoc);
  op.output("y", "Shaped and typed like `x`.").gradient_reads("y");
  op.as_program().example("nn.log_softmax([1., 2., 3.])", "[-2.4076, -1.4076, -0.4076]");
}
Spec LogSoftmax::infer(const Spec& x) const { return axis_of(axis, x), like(x, x.shape); }
Tensor LogSoftmax::vjp(const Saved& saved, const Tensor& dy) const {
  return call(LogSoftmaxGradient{axis}, saved.output(), dy);
}
Tensor LogSoftmax::expand(const Tensor& x) const {
  const int a = axis_of(axis, x.spec());
  if (x.shape()[a] == Dim(0)) return zeros_like(x);
  return over_last(
      a,
      [](const Tensor& t) {
        const Tensor far = t - max(t, {-1}, true);
        return far - log(sum(exp(far), {-1}, true));
      },
      x);
}

void LogSoftmaxGradient::describe(Schema<LogSoftmaxGradient>& op) {
  op.name("log_softmax_gradient").doc("Gradient of log_softmax: dy - exp(y) sum(dy).").family("nn");
  op.input("y", kFloating, "What log_softmax gave.").input("dy", kFloating, "Gradient of that.");
  op.attr("axis", &LogSoftmaxGradient::axis, kAxisDoc)
      .output("dx", "Shaped like `y`.")
      .as_program();
}
Spec LogSoftmaxGradient::infer(const Spec& y, const Spec& dy) const {
  return axis_of(axis, y), require_alike(y, dy), like(y, y.shape);
}
Tensor LogSoftmaxGradient::expand(const Tensor& y, const Tensor& dy) const {
  return over_last(
      axis_of(axis, y.spec()),
      [](const Tensor& l, const Tensor& d) { return d - exp(l) * sum(d, {-1}, true); }, y, dy);
}

// ---- cross-entropy
// --------------------------------------------------------------------------------------------------
void SoftmaxCrossEntropy::describe(Schema<SoftmaxCrossEntropy>& op) {
  op.name("softmax_cross_entropy")
      .doc("Minus the logarithm of the probability that softmax gives to the right class.")
      .family("nn");
  op.input("logits", kFloating, "Scores; `axis` runs over the classes.");
  op.own_input("targets", kTargets,
               "Numbers of the right classes, shaped like `logits` without `axis`.");
  op.attr("axis", &SoftmaxCrossEntropy::axis, "Axis of the classes; negative counts from the end.");
  op.output("loss", "One loss for each target.").gradient_reads("logits", "targets", "loss");
  op.example("nn.softmax_cross_entropy([[0., 0.], [0., 100.]], [0, 1])", "[0.6931, 0.]");
}
Spec SoftmaxCrossEntropy::infer(const Spec& logits, const Spec& targets) const {
  const int a = axis_of(axis, logits);
  if (logits.shape[a] == Dim(0))
    shape_error("logits is ", logits, " and has no classes. Axis ", a,
                " must have size 1 or more.");
  const Shape rows = without(logits.shape, a);
  if (!(targets.shape == rows))
    shape_error("logits is ", logits, ", targets is ", targets, ". targets must have shape ", rows,
                ", one class number for each row.");
  return like(logits, rows);
}
std::array<Tensor, 2> SoftmaxCrossEntropy::vjp(const Saved& saved, const Tensor& dy) const {
  return {
      call(SoftmaxCrossEntropyGradient{axis}, saved.input(0), saved.input(1), saved.output(), dy),
      Tensor()};
}
Tensor SoftmaxCrossEntropy::expand(const Tensor& logits, const Tensor& targets) const {
  const int a = axis_of(axis, logits.spec());
  const Tensor at = expand_dims(cast(targets, DType::i64), a);
  return negative(squeeze(take_along_axis(log_softmax(logits, a), at, a), {a}));
}

void SoftmaxCrossEntropyGradient::describe(Schema<SoftmaxCrossEntropyGradient>& op) {
  op.name("softmax_cross_entropy_gradient")
      .doc("Gradient of softmax_cross_entropy: (softmax(logits) - one_hot(targets)) dloss.")
      .family("nn");
  op.input("logits", kFloating, "Scores.")
      .own_input("targets", kTargets, "Numbers of the right classes.");
  op.input("loss", kFloating, "What softmax_cross_entropy gave.")
      .input("dloss", kFloating, "Gradient of that.");
  op.attr("axis", &SoftmaxCrossEntropyGradient::axis, kAxisDoc)
      .output("dlogits", "Shaped like `logits`.");
}
Spec SoftmaxCrossEntropyGradient::infer(const Spec& logits, const Spec& targets, const Spec& loss,
                                        const Spec& dloss) const {
  SoftmaxCrossEntropy{axis}.infer(logits, targets);
  require_alike(loss, dloss);
  if (!(loss.shape == targets.shape))
    shape_error("loss is ", loss, ", targets is ", targets, ". They must have one shape.");
  return like(logits, logits.shape);
}
Tensor SoftmaxCrossEntropyGradient::expand(const Tensor& logits, const Tensor& targets,
                                           const Tensor&, const Tensor& dloss) const {
  const int a = axis_of(axis, logits.spec());
  const Tensor number = along(iota(logits.shape()[a]), logits.rank(), a);
  const Tensor right =
      cast(equal(expand_dims(cast(targets, DType::i64), a), number), logits.dtype());
  return (softmax(logits, a) - right) * expand_dims(dloss, a);
}

// ---- layer normalisation
// ----------------------------------------------------------------------------------------------
void LayerNorm::describe(Schema<LayerNorm>& op) {
  op.name("layer_norm")
      .doc(
          "Shifts and scales the entries along `axis` to mean 0 and variance 1, then times "
          "`weight` plus `bias`.")
      .family("nn");
  op.input("x", kFloating, "Operand of rank 1 or more.")
      .input("weight", kFloating, "A vector as long as the axis.");
  op.input("bias", kFloating, "A vector as long as the axis.")
      .attr("axis", &LayerNorm::axis, kAxisDoc);
  op.attr("epsilon", &LayerNorm::epsilon, "Added to the variance.")
      .output("y", "Shaped like `x`.")
      .gradient_reads("x", "weight");
  op.as_program().example("nn.layer_norm([1., 3.], [1., 1.], [0., 0.])", "[-1., 1.]");
}
Spec LayerNorm::infer(const Spec& x, const Spec& weight, const Spec& bias) const {
  const Shape want{x.shape[axis_of(axis, x)]};
  if (!(weight.shape == want && bias.shape == want))
    shape_error("x is ", x, ", weight is ", weight, ", bias is ", bias,
                ". weight and bias must have shape ", want, ".");
  return like(x, x.shape);
}
std::array<Tensor, 3> LayerNorm::vjp(const Saved& saved, const Tensor& dy) const {
  return call(LayerNormGradient{axis, epsilon}, saved.input(0), saved.input(1), dy);
}
Tensor LayerNorm::expand(const Tensor& x, const Tensor& weight, const Tensor& bias) const {
  return over_last(
      axis_of(axis, x.spec()),
      [&](const Tensor& t) {
        const Tensor far = t - mean(t, {-1}, true);
        return far * rsqrt(mean(square(far), {-1}, true) + epsilon) * weight + bias;
      },
      x);
}

void LayerNormGradient::describe(Schema<LayerNormGradient>& op) {
  op.name("layer_norm_gradient")
      .doc("Gradients of layer_norm.")
      .family("nn")
      .input("x", kFloating, "Operand of layer_norm.");
  op.input("weight", kFloating, "Its weight.").input("dy", kFloating, "Gradient of its result.");
  op.attr("axis", &LayerNormGradient::axis, kAxisDoc)
      .attr("epsilon", &LayerNormGradient::epsilon, "Added to the variance.");
  op.output("dx", "Shaped like `x`.")
      .output("dweight", "Shaped like `weight`.")
      .output("dbias", "Shaped like `weight`.")
      .as_program();
}
std::array<Spec, 3> LayerNormGradient::infer(const Spec& x, const Spec& weight,
                                             const Spec& dy) const {
  LayerNorm{axis, epsilon}.infer(x, weight, weight);
  require_alike(x, dy);
  return {like(x, x.shape), like(x, weight.shape), like(x, weight.shape)};
}
std::array<Tensor, 3> LayerNormGradient::expand(const Tensor& x, const Tensor& weight,
                                                const Tensor& dy) const {
  Tensor dweight, dbias;
  const Tensor dx = over_last(
      axis_of(axis, x.spec()),
      [&](const Tensor& t, const Tensor& d) {
        const Tensor far = t - mean(t, {-1}, true);
        const Tensor scale = rsqrt(mean(square(far), {-1}, true) + epsilon), y = far * scale;
        const Tensor dy_w = d * weight;
        const Axes rows = axes_of((1u << (t.rank() - 1)) - 1);
        dweight = rows.count ? sum(d * y, rows) : d * y;
        dbias = rows.count ? sum(d, rows) : d;
        return (dy_w - mean(dy_w, {-1}, true) - y * mean(dy_w * y, {-1}, true)) * scale;
      },
      x, dy);
  return {dx, dweight, dbias};
}

namespace {
// ---- activations with settings
// ----------------------------------------------------------------------------------------
struct Gelu {
  std::string approximate = "none";
  static void describe(Schema<Gelu>& op) {
    op.name("gelu")
        .doc(
            "`x` times the probability that a standard normal number is below `x` (Hendrycks and "
            "Gimpel 2016).")
        .family("nn");
    op.input("x", kFloating, "Operand of any shape.")
        .attr("approximate", &Gelu::approximate,
              "\"none\": by the error function; \"tanh\": the usual approximation.");
    op.output("y", "Shaped like `x`.").example("nn.gelu([1.])", "[0.8413]");
  }
  Spec infer(const Spec& x) const {
    if (approximate != "none" && approximate != "tanh")
      argument_error("`approximate` is \"", approximate, "\". It must be \"none\" or \"tanh\".");
    return like(x, x.shape);
  }
  Tensor expand(const Tensor& x) const {
    return approximate == "tanh" ? gelu_tanh(x) : gelu_erf(x);
  }
};
struct Elu {
  double alpha = 1;
  static void describe(Schema<Elu>& op) {
    op.name("elu")
        .doc("`x` where positive, else alpha (exp(x) - 1) (Clevert et al. 2016).")
        .family("nn")
        .input("x", kFloating, "Operand of any shape.");
    op.attr("alpha", &Elu::alpha, "Minus the value far below 0.")
        .output("y", "Shaped like `x`.")
        .gradient_reads("x", "y");
    op.as_program().example("nn.elu([1., -1.])", "[1., -0.6321]");
  }
  Spec infer(const Spec& x) const { return like(x, x.shape); }
  Tensor expand(const Tensor& x) const { return where(x > 0.0, x, expm1(minimum(x, 0.0)) * alpha); }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    return where(saved.input(0) > 0.0, dy, dy * (saved.output() + alpha));
  }
};
struct LeakyRelu {
  double negative_slope = 0.01;
  static void describe(Schema<LeakyRelu>& op) {
    op.name("leaky_relu")
        .doc("`x` where positive, else `x` times a small slope.")
        .family("nn")
        .input("x", kFloating, "Operand of any shape.");
    op.attr("negative_slope", &LeakyRelu::negative_slope, "Slope below 0.")
        .output("y", "Shaped like `x`.")
        .gradient_reads("x");
    op.as_program().example("nn.leaky_relu([1., -1.])", "[1., -0.01]");
  }
  Spec infer(const Spec& x) const { return like(x, x.shape); }
  Tensor expand(const Tensor& x) const { return where(x > 0.0, x, x * negative_slope); }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    return where(saved.input(0) > 0.0, dy, dy * negative_slope);
  }
};

// ---- classes and tables
// -------------------------------------------------------------------------------------------------
struct OneHot {
  Dim classes = 0;
  OptionalDType dtype;
  static void describe(Schema<OneHot>& op) {
    op.name("one_hot")
        .doc(
            "A new last axis with 1 at the given number and 0 elsewhere; numbers outside give "
            "zeros only.")
        .family("nn");
    op.own_input("indices", kIndexes | set_of(DType::u8), "Class numbers, any shape.")
        .attr("classes", &OneHot::classes, "How many classes there are.");
    op.attr("dtype", &OneHot::dtype, "Dtype of the result; None: float32.")
        .output("y", "One axis more than `indices`.");
    op.not_differentiable().example("nn.one_hot([1, 0], 2)", "[[0., 1.], [1., 0.]]");
  }
  Spec infer(const Spec& indices) const {
    if (classes == Dim(-1)) argument_error("`classes` is -1. It must not be negative.");
    return like(indices, join(indices.shape, 0, indices.shape.rank, {classes}),
                dtype.value_or(kDefaultFloat));
  }
  Tensor expand(const Tensor& indices) const {
    return cast(equal(expand_dims(cast(indices, DType::i64), -1), iota(classes)),
                dtype.value_or(kDefaultFloat));
  }
};
struct Embedding {
  static void describe(Schema<Embedding>& op) {
    op.name("embedding")
        .doc("The rows of a table at the given numbers.")
        .family("nn")
        .input("weight", kAll, "The table [n, ...], rank 2 or more.");
    op.own_input("indices", kIndexes, "Row numbers, any shape; negative ones count from the end.")
        .output("y", "`indices` with a row for each number.");
    op.example("nn.embedding([[1., 2.], [3., 4.]], [1])", "[[3., 4.]]");
  }
  Spec infer(const Spec& weight, const Spec& indices) const {
    require_rank(weight, "weight", 2);
    return like(weight, join(indices.shape, 0, indices.shape.rank, without(weight.shape, 0)));
  }
  Tensor expand(const Tensor& weight, const Tensor& indices) const {
    return take(weight, indices, {0});
  }
};
}  // namespace

void register_nn(OpRegistry& r) {
  r.add<Softmax, SoftmaxGradient, LogSoftmax, LogSoftmaxGradient, SoftmaxCrossEntropy,
        SoftmaxCrossEntropyGradient>();
  r.add<LayerNorm, LayerNormGradient, Gelu, Elu, LeakyRelu, OneHot, Embedding>();
}

}  // namespace ops

Tensor gelu(const Tensor& x, const std::string& approximate) {
  return call(ops::Gelu{approximate}, x);
}
Tensor elu(const Tensor& x, double alpha) { return call(ops::Elu{alpha}, x); }
Tensor leaky_relu(const Tensor& x, double negative_slope) {
  return call(ops::LeakyRelu{negative_slope}, x);
}
Tensor softmax(const Tensor& x, int64_t axis) { return call(ops::Softmax{axis}, x); }
Tensor log_softmax(const Tensor& x, int64_t axis) { return call(ops::LogSoftmax{axis}, x); }
Tensor softmax_cross_entropy(const Tensor& logits, const Tensor& targets, int64_t axis) {
  return call(ops::SoftmaxCrossEntropy{axis}, logits, targets);
}
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t axis,
                  double epsilon) {
  return call(ops::LayerNorm{axis, epsilon}, x, weight, bias);
}
Tensor one_hot(const Tensor& indices, Dim classes, OptionalDType dtype) {
  return call(ops::OneHot{classes, dtype}, indices);
}
Tensor embedding(const Tensor& weight, const Tensor& indices) {
  return call(ops::Embedding{}, weight, indices);
}

}  // namespace flowbook
