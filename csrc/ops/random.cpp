// Records of the random ops.
#include "ops/random.h"

#include <cmath>

#include "core/random.h"
#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {

namespace {
template <class Op>
Schema<Op>& describe_random(Schema<Op>& op) {
  op.family("random").own_input("key", set_of(DType::i64),
                                "Seed and counter of the generator, int64[2].");
  return op.random();
}
template <class Op>
void finish(Schema<Op>& op) {
  op.attr("stream", &Op::stream, "Tells the random ops of one key apart.");
}
void require_key(const Spec& key, const Shape& shape) {
  require_sizes(shape);
  if (key.shape.rank != 1 || (key.shape[0].known() && key.shape[0] != Dim(2)))
    shape_error("key is ", key, ". It must be i64[2]: seed and counter.");
}
DType floating(const OptionalDType& dtype) {
  const DType t = dtype.value_or(kDefaultFloat);
  if (!in(t, kFloating))
    dtype_error("`dtype` is ", t, ". It must be one of ", names_in(kFloating), ".");
  return t;
}
constexpr const char* kFloatDoc = "A floating dtype; None: float32.";
}  // namespace

void Uniform::describe(Schema<Uniform>& op) {
  op.name("uniform").doc("Random numbers, all equally likely from `low` to before `high`.");
  describe_random(op)
      .attr("shape", &Uniform::shape, "Shape of the result.")
      .attr("low", &Uniform::low, "Least number.");
  op.attr("high", &Uniform::high, "Upper bound, not contained.")
      .attr("dtype", &Uniform::dtype, kFloatDoc);
  op.output("y", "Has the given shape.").not_differentiable();
  finish(op);
}
Spec Uniform::infer(const Spec& key) const {
  require_key(key, shape);
  if (!std::isfinite(low) || !std::isfinite(high))
    argument_error("the bounds are ", low, " and ", high, ". They must be finite.");
  return like(key, shape, floating(dtype));
}

void Normal::describe(Schema<Normal>& op) {
  op.name("normal").doc("Random numbers of the normal distribution.");
  describe_random(op)
      .attr("shape", &Normal::shape, "Shape of the result.")
      .attr("mean", &Normal::mean, "Mean.");
  op.attr("std", &Normal::std, "Standard deviation.").attr("dtype", &Normal::dtype, kFloatDoc);
  op.output("y", "Has the given shape.").not_differentiable();
  finish(op);
}
Spec Normal::infer(const Spec& key) const {
  require_key(key, shape);
  if (!(std >= 0)) argument_error("`std` is ", std, ". It must not be negative.");
  return like(key, shape, floating(dtype));
}

void Randint::describe(Schema<Randint>& op) {
  op.name("randint").doc("Random whole numbers, all equally likely from `low` to before `high`.");
  describe_random(op)
      .attr("shape", &Randint::shape, "Shape of the result.")
      .attr("low", &Randint::low, "Least number.");
  op.attr("high", &Randint::high, "Upper bound, not contained.")
      .attr("dtype", &Randint::dtype, "An integer dtype; None: int64.");
  op.output("y", "Has the given shape.").not_differentiable();
  finish(op);
}
Spec Randint::infer(const Spec& key) const {
  require_key(key, shape);
  const DType t = dtype.value_or(kDefaultInt);
  if (!in(t, kIntegral))
    dtype_error("`dtype` is ", t, ". It must be one of ", names_in(kIntegral), ".");
  if (low >= high)
    argument_error("there is no number from ", low, " to before ", high,
                   ". `high` must be above `low`.");
  const int bits = 8 * size_of(t) - (in(t, kSigned) ? 1 : 0);  // without the sign
  const int64_t most = bits >= 63 ? INT64_MAX : (int64_t(1) << bits) - 1,
                least = !in(t, kSigned) ? 0 : -most - 1;
  if (low < least || high - 1 > most)
    argument_error("numbers from ", low, " to ", high, " do not fit ", name_of(t), ".");
  return like(key, shape, t);
}

void Bernoulli::describe(Schema<Bernoulli>& op) {
  op.name("bernoulli").doc("Random booleans, true with probability `p`.");
  describe_random(op)
      .attr("shape", &Bernoulli::shape, "Shape of the result.")
      .attr("p", &Bernoulli::p, "Probability, from 0 to 1.");
  op.output("y", "Has the given shape, bool.").not_differentiable();
  finish(op);
}
Spec Bernoulli::infer(const Spec& key) const {
  require_key(key, shape);
  if (!(p >= 0 && p <= 1)) argument_error("`p` is ", p, ". It must be from 0 to 1.");
  return like(key, shape, DType::bool_);
}

void Permutation::describe(Schema<Permutation>& op) {
  op.name("permutation").doc("The numbers 0 ... n - 1 in random order.");
  describe_random(op)
      .attr("n", &Permutation::n, "How many.")
      .output("y", "A vector of int64.")
      .not_differentiable();
  finish(op);
}
Spec Permutation::infer(const Spec& key) const {
  return require_key(key, {n}), like(key, {n}, DType::i64);
}

void Dropout::describe(Schema<Dropout>& op) {
  op.name("dropout").doc(
      "Zeroes each entry with probability `rate` and divides the others by 1 - rate, so that the "
      "mean stays.");
  describe_random(op).family("nn").input("x", kFloating, "Operand of any shape.");
  op.attr("rate", &Dropout::rate, "Probability of zero, from 0 to 1.")
      .output("y", "Shaped like `x`.")
      .gradient_reads("key");
  finish(op);
}
Spec Dropout::infer(const Spec& key, const Spec& x) const {
  require_key(key, {});
  if (!(rate >= 0 && rate <= 1)) argument_error("`rate` is ", rate, ". It must be from 0 to 1.");
  return like(x, x.shape);
}
std::array<Tensor, 2> Dropout::vjp(const Saved& saved, const Tensor& dy) const {
  return {Tensor(), call(Dropout{rate, stream}, saved.input(0),
                         dy)};  // the same key and stream: the same entries
}

void register_random(OpRegistry& r) {
  r.add<Uniform, Normal, Randint, Bernoulli, Permutation, Dropout>();
}

namespace {
template <class Op, class... T>
Tensor draw(Op op, const T&... in) {
  const Tensor key = next_key(&op.stream);
  return call(op, key, in...);
}
}  // namespace

}  // namespace ops

Tensor uniform(const Shape& shape, double low, double high, OptionalDType dtype) {
  return ops::draw(ops::Uniform{shape, low, high, dtype});
}
Tensor normal(const Shape& shape, double mean, double std, OptionalDType dtype) {
  return ops::draw(ops::Normal{shape, mean, std, dtype});
}
Tensor randint(const Shape& shape, int64_t low, int64_t high, OptionalDType dtype) {
  return ops::draw(ops::Randint{shape, low, high, dtype});
}
Tensor bernoulli(const Shape& shape, double p) { return ops::draw(ops::Bernoulli{shape, p}); }
Tensor permutation(Dim n) { return ops::draw(ops::Permutation{n}); }
Tensor dropout(const Tensor& x, double rate) { return ops::draw(ops::Dropout{rate}, x); }

}  // namespace flowbook
