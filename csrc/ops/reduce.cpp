// Records of the reductions. Those with kernels are declared in reduce.h; mean, var, std and
// logsumexp are made of them.
#include "ops/reduce.h"

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {

DType accumulator(DType t) {
  if (in(t, kSigned | kBoolean)) return DType::i64;
  if (in(t, kUnsigned)) return DType::u64;
  return t;
}

namespace {
template <class Op>
Schema<Op>& describe_reduction(Schema<Op>& op, const char* name, const char* doc,
                               DTypeSet accepts) {
  op.name(name).doc(doc).family("reduce").input("x", accepts, "Operand of any shape.");
  op.attr("axis", &Op::axis, "Axis or axes to reduce; None: all of them.");
  if constexpr (requires { &Op::dtype; })
    op.attr("dtype", &Op::dtype,
            "Dtype of the result; None: that of `x`, integers widen to 64 bits.");
  op.attr("keepdims", &Op::keepdims, "Whether reduced axes stay, with size 1.");
  return op.output("y", "`x` without the reduced axes.");
}
Spec reduce(const Spec& x, const Axes& axis, bool keepdims, DType dtype) {
  return like(x, reduced(x.shape, mask_of(axis, x), keepdims), dtype);
}
// Extrema have no identity: a reduction over nothing that leaves something is an error.
void require_entries(const Spec& x, const Axes& axis) {
  const uint32_t mask = mask_of(axis, x);
  bool nothing = false;
  for (int i = 0; i < x.shape.rank; ++i)
    if (x.shape[i] == Dim(0)) {
      if (!(mask >> i & 1)) return;
      nothing = true;
    }
  if (nothing)
    shape_error("x is ", x, " and has no entries to choose from. Reduce axes of size 1 or more.");
}
Spec position(const Spec& x, const Axes& axis, bool keepdims) {
  if (!axis.all && axis.count != 1)
    argument_error("`axis` names ", int(axis.count), " axes. It must name one, or be None.");
  require_entries(x, axis);
  return reduce(x, axis, keepdims, DType::i64);
}
Tensor spread(const Tensor& y, const Shape& x, const Axes& axis) {
  return broadcast_to(keep_axes(y, x, axis), x);
}

// The gradient of an extremum goes to the entries that reach it, in equal shares.
Tensor shares(const Saved& saved, const Tensor& dy, const Axes& axis) {
  const Tensor x = saved.input(0);
  const Tensor hit = cast(equal(x, keep_axes(saved.output(), x.shape(), axis)), dy.dtype());
  return multiply_no_nan(keep_axes(dy, x.shape(), axis), hit / sum(hit, axis, true));
}
}  // namespace

void Sum::describe(Schema<Sum>& op) {
  describe_reduction(op, "sum", "Sum of the entries along `axis`.", kNumeric | kBoolean)
      .gradient_reads();
  op.example("sum([[1., 2.], [3., 4.]], axis=0)", "[4., 6.]");
}
Spec Sum::infer(const Spec& x) const {
  return reduce(x, axis, keepdims, dtype.value_or(accumulator(x.dtype)));
}
Tensor Sum::vjp(const Saved& saved, const Tensor& dy) const {
  const Spec& x = saved.input_spec(0);
  return cast(spread(dy, x.shape, axis), x.dtype);
}

void Prod::describe(Schema<Prod>& op) {
  describe_reduction(op, "prod", "Product of the entries along `axis`.", kNumeric | kBoolean)
      .gradient_reads("x");
  op.example("prod([[1., 2.], [3., 4.]], axis=1)", "[2., 12.]");
}
Spec Prod::infer(const Spec& x) const {
  return reduce(x, axis, keepdims, dtype.value_or(accumulator(x.dtype)));
}
// Each entry's gradient is the product of all others, without dividing: right for any number of
// zeros, and so are the gradients of the gradient. The products are built in a tree of pairs over
// the reduced axes, put last.
Tensor Prod::vjp(const Saved& saved, const Tensor& dy) const {
  const Tensor x = cast(saved.input(0), dy.dtype());
  const int rank = x.rank();
  const uint32_t mask = axis.mask(rank);
  Ints order, back(size_t(rank), 0);
  Shape kept;
  Dim n = 1;
  for (int pass = 0; pass < 2; ++pass)
    for (int i = 0; i < rank; ++i)
      if (int(mask >> i & 1) == pass) {
        back[size_t(i)] = int64_t(order.size());
        order.push_back(i);
        if (pass)
          n = n * x.shape()[i];
        else
          kept.push_back(x.shape()[i]);
      }
  if (!n.known()) {  // a symbolic size: no tree of known depth
    const Tensor zero = equal(x, 0.0), ones = where(zero, 1.0, x);
    const Tensor p = prod(ones, axis, true), zeros = sum(cast(zero, dy.dtype()), axis, true);
    const Tensor others =
        where(equal(zeros, 0.0), p / ones, where(equal(zeros, 1.0), where(zero, p, 0.0), 0.0));
    return cast(keep_axes(dy, x.shape(), axis) * others, saved.input_spec(0).dtype);
  }
  if (n == Dim(0)) return zeros_like(saved.input(0));
  kept.push_back(n);
  const int last = kept.rank - 1;
  auto every_second = [&](const Tensor& t, int64_t first) {
    Ints starts(size_t(t.rank()), 0), stops(size_t(t.rank()), kSliceEnd),
        steps(size_t(t.rank()), 1);
    starts[size_t(last)] = first, steps[size_t(last)] = 2;
    return slice(t, starts, stops, steps);
  };
  std::vector<Tensor> levels{reshape(permute_dims(x, order), kept)};
  while (levels.back().shape()[last] != Dim(1)) {
    Tensor& top = levels.back();
    if (top.shape()[last].value() % 2) {
      Ints widths(size_t(2 * top.rank()), 0);
      widths.back() = 1;
      top = pad(top, widths, 1.0);
    }
    const Tensor pairs = every_second(top, 0) * every_second(top, 1);
    levels.push_back(pairs);
  }
  Shape top = kept;
  top[last] = 1;
  Tensor g = reshape(dy, top);
  for (size_t k = levels.size() - 1; k-- > 0;) {
    const Tensor& x_k = levels[k];
    if (g.shape()[last] != floor_div(x_k.shape()[last], 2))
      g = narrow(g, 0, floor_div(x_k.shape()[last], 2), last);
    const std::array<Tensor, 2> both{expand_dims(g * every_second(x_k, 1), last + 1),
                                     expand_dims(g * every_second(x_k, 0), last + 1)};
    g = reshape(concat(both, last + 1), x_k.shape());
  }
  if (g.shape()[last] != n) g = narrow(g, 0, n, last);
  Shape permuted;
  for (int64_t i : order) permuted.push_back(x.shape()[int(i)]);
  return cast(permute_dims(reshape(g, permuted), back), saved.input_spec(0).dtype);
}

void Max::describe(Schema<Max>& op) {
  describe_reduction(op, "max", "Largest entry along `axis`; NaN wins.", kReal | kBoolean)
      .gradient_reads("x", "y");
  op.example("max([[1., 4.], [3., 2.]], axis=1)", "[4., 3.]");
}
Spec Max::infer(const Spec& x) const {
  return require_entries(x, axis), reduce(x, axis, keepdims, x.dtype);
}
Tensor Max::vjp(const Saved& saved, const Tensor& dy) const { return shares(saved, dy, axis); }

void Min::describe(Schema<Min>& op) {
  describe_reduction(op, "min", "Smallest entry along `axis`; NaN wins.", kReal | kBoolean)
      .gradient_reads("x", "y");
  op.example("min([[1., 4.], [3., 2.]], axis=1)", "[1., 2.]");
}
Spec Min::infer(const Spec& x) const {
  return require_entries(x, axis), reduce(x, axis, keepdims, x.dtype);
}
Tensor Min::vjp(const Saved& saved, const Tensor& dy) const { return shares(saved, dy, axis); }

void Argmax::describe(Schema<Argmax>& op) {
  describe_reduction(op, "argmax",
                     "Position of the largest entry along `axis`, the first of equals; NaN wins.",
                     kReal | kBoolean);
  op.not_differentiable().example("argmax([[1., 4.], [3., 2.]], axis=1)", "[1, 0]");
}
Spec Argmax::infer(const Spec& x) const { return position(x, axis, keepdims); }

void Argmin::describe(Schema<Argmin>& op) {
  describe_reduction(op, "argmin",
                     "Position of the smallest entry along `axis`, the first of equals; NaN wins.",
                     kReal | kBoolean);
  op.not_differentiable().example("argmin([[1., 4.], [3., 2.]], axis=1)", "[0, 1]");
}
Spec Argmin::infer(const Spec& x) const { return position(x, axis, keepdims); }

void Any::describe(Schema<Any>& op) {
  describe_reduction(op, "any",
                     "Whether some entry along `axis` is nonzero; NaN counts as nonzero.", kAll)
      .not_differentiable();
  op.example("any([[0., 1.], [0., 0.]], axis=1)", "[True, False]");
}
Spec Any::infer(const Spec& x) const { return reduce(x, axis, keepdims, DType::bool_); }

void All::describe(Schema<All>& op) {
  describe_reduction(op, "all",
                     "Whether every entry along `axis` is nonzero; NaN counts as nonzero.", kAll)
      .not_differentiable();
  op.example("all([[0., 1.], [1., 1.]], axis=1)", "[False, True]");
}
Spec All::infer(const Spec& x) const { return reduce(x, axis, keepdims, DType::bool_); }

void CumulativeSum::describe(Schema<CumulativeSum>& op) {
  op.name("cumulative_sum").doc("Running sums along `axis`.").family("reduce");
  op.input("x", kReal | kBoolean, "Operand of rank 1 or more.");
  op.attr("axis", &CumulativeSum::axis, "Axis along which to sum; may be None for rank 1.");
  op.attr("dtype", &CumulativeSum::dtype,
          "Dtype of the result; None: that of `x`, integers widen to 64 bits.");
  op.attr("include_initial", &CumulativeSum::include_initial,
          "Whether to start with a 0, making the axis one longer.");
  op.output("y", "Shaped like `x`, apart from the initial 0.").gradient_reads();
  op.example("cumulative_sum([1., 2., 3.])", "[1., 3., 6.]");
}
Spec CumulativeSum::infer(const Spec& x) const {
  const int a = one_axis(axis, x.shape);
  Spec y = like(x, dtype.value_or(accumulator(x.dtype)));
  if (include_initial) y.shape[a] = y.shape[a] + 1;
  return y;
}
Tensor CumulativeSum::vjp(const Saved& saved, const Tensor& dy) const {
  const Spec& x = saved.input_spec(0);
  const int a = one_axis(axis, x.shape);
  const Tensor own = include_initial ? narrow(dy, 1, x.shape[a], a) : dy;
  return cast(flip(cumulative_sum(flip(own, {a}), {a}), {a}), x.dtype);
}

namespace {
// How many entries each result is made of, less `correction` (but not below 0), as a number for
// arithmetic.
Tensor entries(const Shape& x, const Axes& axis, double correction = 0) {
  const uint32_t mask = axis.mask(x.rank);
  Dim n = 1;
  for (int i = 0; i < x.rank; ++i)
    if (mask >> i & 1) n = n * x[i];
  if (correction == 0) return dim(n);
  return n.known() ? weak(std::max(double(n.value()) - correction, 0.0))
                   : maximum(dim(n) - correction, 0.0);
}

struct Mean {
  Axes axis;
  bool keepdims = false;
  static void describe(Schema<Mean>& op) {
    describe_reduction(op, "mean", "Arithmetic mean along `axis`; of nothing: NaN.", kFloating);
    op.gradient_reads().example("mean([[1., 2.], [3., 4.]])", "2.5");
  }
  Spec infer(const Spec& x) const { return reduce(x, axis, keepdims, x.dtype); }
  Tensor expand(const Tensor& x) const { return sum(x, axis, keepdims) / entries(x.shape(), axis); }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    const Shape& x = saved.input_spec(0).shape;
    return spread(dy / entries(x, axis), x, axis);
  }
};

struct Var {
  Axes axis;
  double correction = 0;
  bool keepdims = false;
  static void describe(Schema<Var>& op) {
    describe_reduction(op, "var", "Variance along `axis`: mean squared distance from the mean.",
                       kFloating);
    op.attr(
        "correction", &Var::correction,
        "Subtracted from the number of entries before dividing; 1 gives the unbiased estimate.");
    op.example("var([1., 2., 3., 4.])", "1.25");
  }
  Spec infer(const Spec& x) const { return reduce(x, axis, keepdims, x.dtype); }
  Tensor expand(const Tensor& x) const {
    const Tensor far = square(x - mean(x, axis, true));
    return sum(far, axis, keepdims) / entries(x.shape(), axis, correction);
  }
};

struct Std {
  Axes axis;
  double correction = 0;
  bool keepdims = false;
  static void describe(Schema<Std>& op) {
    describe_reduction(
        op, "std", "Standard deviation along `axis`: the square root of the variance.", kFloating);
    op.attr("correction", &Std::correction,
            "Subtracted from the number of entries before dividing; 1 gives the usual estimate.");
    op.example("std([1., 1., 3., 3.])", "1.0");
  }
  Spec infer(const Spec& x) const { return reduce(x, axis, keepdims, x.dtype); }
  Tensor expand(const Tensor& x) const { return sqrt(var(x, axis, correction, keepdims)); }
};

struct Logsumexp {
  Axes axis;
  bool keepdims = false;
  static void describe(Schema<Logsumexp>& op) {
    describe_reduction(op, "logsumexp", "log(sum(exp(x))) along `axis`, without overflow.",
                       kFloating);
    op.gradient_reads("x", "y").example("logsumexp([0., 0.])", "0.6931");
  }
  Spec infer(const Spec& x) const {
    return require_entries(x, axis), reduce(x, axis, keepdims, x.dtype);
  }
  Tensor expand(const Tensor& x) const {
    const Tensor m = max(x, axis, true), shift = where(isfinite(m), m, 0.0);
    const Tensor y = log(sum(exp(x - shift), axis, true)) + shift;
    return keepdims ? y : reshape(y, reduced(x.shape(), axis.mask(x.rank()), false));
  }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    const Tensor x = saved.input(0), y = keep_axes(saved.output(), x.shape(), axis);
    return keep_axes(dy, x.shape(), axis) * exp(x - where(isfinite(y), y, 0.0));
  }
};
}  // namespace

void register_reduce(OpRegistry& r) {
  r.add<Sum, Prod, Max, Min, Argmax, Argmin, Any, All, CumulativeSum, Mean, Var, Std, Logsumexp>();
}

}  // namespace ops

Tensor sum(const Tensor& x, const Axes& axis, bool keepdims, OptionalDType dtype) {
  return call(ops::Sum{axis, dtype, keepdims}, x);
}
Tensor mean(const Tensor& x, const Axes& axis, bool keepdims) {
  return call(ops::Mean{axis, keepdims}, x);
}
Tensor prod(const Tensor& x, const Axes& axis, bool keepdims, OptionalDType dtype) {
  return call(ops::Prod{axis, dtype, keepdims}, x);
}
Tensor max(const Tensor& x, const Axes& axis, bool keepdims) {
  return call(ops::Max{axis, keepdims}, x);
}
Tensor min(const Tensor& x, const Axes& axis, bool keepdims) {
  return call(ops::Min{axis, keepdims}, x);
}
Tensor argmax(const Tensor& x, const Axes& axis, bool keepdims) {
  return call(ops::Argmax{axis, keepdims}, x);
}
Tensor argmin(const Tensor& x, const Axes& axis, bool keepdims) {
  return call(ops::Argmin{axis, keepdims}, x);
}
Tensor any(const Tensor& x, const Axes& axis, bool keepdims) {
  return call(ops::Any{axis, keepdims}, x);
}
Tensor all(const Tensor& x, const Axes& axis, bool keepdims) {
  return call(ops::All{axis, keepdims}, x);
}
Tensor var(const Tensor& x, const Axes& axis, double correction, bool keepdims) {
  return call(ops::Var{axis, correction, keepdims}, x);
}
Tensor stddev(const Tensor& x, const Axes& axis, double correction, bool keepdims) {
  return call(ops::Std{axis, correction, keepdims}, x);
}
Tensor logsumexp(const Tensor& x, const Axes& axis, bool keepdims) {
  return call(ops::Logsumexp{axis, keepdims}, x);
}
Tensor cumulative_sum(const Tensor& x, const Axes& axis, bool include_initial,
                      OptionalDType dtype) {
  return call(ops::CumulativeSum{axis, dtype, include_initial}, x);
}
Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int extra = x.rank() - shape.rank;
  uint32_t mask = 0;
  for (int i = 0; i < x.rank(); ++i)
    if (i < extra || (shape[i - extra] == Dim(1) && x.shape()[i] != Dim(1))) mask |= 1u << i;
  return reshape(mask ? sum(x, ops::axes_of(mask), true, x.dtype()) : x, shape);
}

}  // namespace flowbook
