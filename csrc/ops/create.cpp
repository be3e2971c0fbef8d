// Records of the ops that make tensors from nothing.
#include "ops/create.h"

#include <cmath>

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {

namespace {
constexpr const char* kDTypeDoc = "Dtype of the result; None: the default for the values.";
DType natural(const Scalar& v) {
  return v.kind == Scalar::kBool  ? DType::bool_
         : v.kind == Scalar::kInt ? kDefaultInt
                                  : kDefaultFloat;
}
}  // namespace

void Full::describe(Schema<Full>& op) {
  op.name("full")
      .doc("A tensor of one value.")
      .family("create")
      .attr("shape", &Full::shape, "Its shape.");
  op.attr("value", &Full::value, "The value, cast to the dtype.")
      .attr("dtype", &Full::dtype, kDTypeDoc);
  op.output("y", "Has the given shape.").not_differentiable().example("full((2,), 7)", "[7, 7]");
}
Spec Full::infer() const {
  return require_sizes(shape), Spec{shape, dtype.value_or(natural(value))};
}

void DimValue::describe(Schema<DimValue>& op) {
  op.name("dim")
      .doc("The size of an axis as a number.")
      .family("create")
      .attr("size", &DimValue::size, "The size, maybe symbolic.");
  op.output("y", "A 0-d integer that gives way in promotion.")
      .not_differentiable()
      .example("dim(3)", "3");
}
Spec DimValue::infer() const { return {{}, DType::i64, 0, true}; }

void Iota::describe(Schema<Iota>& op) {
  op.name("iota")
      .doc("The whole numbers from 0 on.")
      .family("create")
      .attr("size", &Iota::size, "How many, maybe symbolic.");
  op.attr("dtype", &Iota::dtype, "Dtype of the result; None: int64.")
      .output("y", "A vector.")
      .not_differentiable();
  op.example("iota(3)", "[0, 1, 2]");
}
Spec Iota::infer() const {
  return require_sizes({size}), Spec{{size}, dtype.value_or(kDefaultInt)};
}

void Arange::describe(Schema<Arange>& op) {
  op.name("arange").doc("Numbers from `start` to before `stop`, `step` apart.").family("create");
  op.attr("start", &Arange::start, "First number.")
      .attr("stop", &Arange::stop, "Where to stop; not contained.");
  op.attr("step", &Arange::step, "Distance, maybe negative.")
      .attr("dtype", &Arange::dtype, kDTypeDoc);
  op.output("y", "A vector of ceil((stop - start) / step) numbers.")
      .not_differentiable()
      .example("arange(1, 7, 2)", "[1, 3, 5]");
}
Spec Arange::infer() const {
  const bool whole =
      start.kind != Scalar::kFloat && stop.kind != Scalar::kFloat && step.kind != Scalar::kFloat;
  if (step.as_double() == 0) argument_error("`step` is 0. It must not be.");
  int64_t n = 0;
  if (whole) {
    // In 128 bits: no difference of two 64-bit numbers overflows.
    const __int128 length = __int128(stop.i) - start.i, step_i = step.i;
    const __int128 count = (length + step_i + (step_i > 0 ? -1 : 1)) / step_i;
    n = count < 0 || (length > 0) != (step_i > 0) ? 0
                                                  : int64_t(std::min<__int128>(count, INT64_MAX));
  } else {
    const double count = std::ceil((stop.as_double() - start.as_double()) / step.as_double());
    if (!(count < 0x1p62))
      argument_error("from ", start.as_double(), " to ", stop.as_double(), " in steps of ",
                     step.as_double(), " are too many numbers.");
    n = count > 0 ? int64_t(count) : 0;
  }
  return {{n}, dtype.value_or(whole ? kDefaultInt : kDefaultFloat)};
}

void Linspace::describe(Schema<Linspace>& op) {
  op.name("linspace").doc("Evenly spaced numbers from `start` to `stop`.").family("create");
  op.attr("start", &Linspace::start, "First number.")
      .attr("stop", &Linspace::stop, "Last number.")
      .attr("num", &Linspace::num, "How many.");
  op.attr("endpoint", &Linspace::endpoint, "Whether `stop` itself is the last one.")
      .attr("dtype", &Linspace::dtype, kDTypeDoc);
  op.output("y", "A vector.")
      .not_differentiable()
      .example("linspace(0., 1., 5)", "[0., 0.25, 0.5, 0.75, 1.]");
}
Spec Linspace::infer() const {
  if (num < 0) argument_error("`num` is ", num, ". It must not be negative.");
  return {{num}, dtype.value_or(kDefaultFloat)};
}

void Eye::describe(Schema<Eye>& op) {
  op.name("eye")
      .doc("A matrix of ones on a diagonal and zeros elsewhere.")
      .family("create")
      .attr("rows", &Eye::rows, "Number of rows.");
  op.attr("columns", &Eye::columns, "Number of columns.")
      .attr("k", &Eye::k, "Which diagonal: 0 the main one, above it positive.");
  op.attr("dtype", &Eye::dtype, "Dtype of the result; None: float32.")
      .output("y", "A matrix.")
      .not_differentiable();
  op.example("eye(2, 2)", "[[1., 0.], [0., 1.]]");
}
Spec Eye::infer() const {
  return require_sizes({rows, columns}), Spec{{rows, columns}, dtype.value_or(kDefaultFloat)};
}

void Tril::describe(Schema<Tril>& op) {
  op.name("tril")
      .doc("The lower triangle; zeros above diagonal `k`.")
      .family("create")
      .input("x", kAll, "Matrices [..., m, n].");
  op.attr("k", &Tril::k, "The last diagonal that stays: 0 the main one, above it positive.")
      .output("y", "Shaped like `x`.");
  op.gradient_reads().example("tril([[1, 2], [3, 4]])", "[[1, 0], [3, 4]]");
}
Spec Tril::infer(const Spec& x) const { return require_rank(x, "x", 2), like(x, x.shape); }
Tensor Tril::vjp(const Saved&, const Tensor& dy) const { return tril(dy, k); }

void Triu::describe(Schema<Triu>& op) {
  op.name("triu")
      .doc("The upper triangle; zeros below diagonal `k`.")
      .family("create")
      .input("x", kAll, "Matrices [..., m, n].");
  op.attr("k", &Triu::k, "The first diagonal that stays: 0 the main one, above it positive.")
      .output("y", "Shaped like `x`.");
  op.gradient_reads().example("triu([[1, 2], [3, 4]])", "[[1, 2], [0, 4]]");
}
Spec Triu::infer(const Spec& x) const { return require_rank(x, "x", 2), like(x, x.shape); }
Tensor Triu::vjp(const Saved&, const Tensor& dy) const { return triu(dy, k); }

namespace {
struct FullLike {
  Scalar value = 0.0;
  OptionalDType dtype;
  static void describe(Schema<FullLike>& op) {
    op.name("full_like")
        .doc("A tensor of one value, shaped like `x`.")
        .family("create")
        .own_input("x", kAll, "Gives the shape and the dtype.");
    op.attr("value", &FullLike::value, "The value, cast to the dtype.")
        .attr("dtype", &FullLike::dtype, "Dtype of the result; None: that of `x`.");
    op.output("y", "Shaped like `x`.")
        .not_differentiable()
        .example("full_like([1, 2], 7)", "[7, 7]");
  }
  Spec infer(const Spec& x) const { return like(x, dtype.value_or(x.dtype)); }
  Tensor expand(const Tensor& x) const { return full(x.shape(), value, dtype.value_or(x.dtype())); }
};
struct ZerosLike {
  OptionalDType dtype;
  static void describe(Schema<ZerosLike>& op) {
    op.name("zeros_like")
        .doc("Zeros, shaped like `x`.")
        .family("create")
        .own_input("x", kAll, "Gives the shape and the dtype.");
    op.attr("dtype", &ZerosLike::dtype, "Dtype of the result; None: that of `x`.")
        .output("y", "Shaped like `x`.");
    op.not_differentiable().example("zeros_like([1., 2.])", "[0., 0.]");
  }
  Spec infer(const Spec& x) const { return like(x, dtype.value_or(x.dtype)); }
  Tensor expand(const Tensor& x) const { return full(x.shape(), 0, dtype.value_or(x.dtype())); }
};
struct OnesLike {
  OptionalDType dtype;
  static void describe(Schema<OnesLike>& op) {
    op.name("ones_like")
        .doc("Ones, shaped like `x`.")
        .family("create")
        .own_input("x", kAll, "Gives the shape and the dtype.");
    op.attr("dtype", &OnesLike::dtype, "Dtype of the result; None: that of `x`.")
        .output("y", "Shaped like `x`.");
    op.not_differentiable().example("ones_like([3., 2.])", "[1., 1.]");
  }
  Spec infer(const Spec& x) const { return like(x, dtype.value_or(x.dtype)); }
  Tensor expand(const Tensor& x) const { return full(x.shape(), 1, dtype.value_or(x.dtype())); }
};
}  // namespace

void register_create(OpRegistry& r) {
  r.add<Full, DimValue, Iota, Arange, Linspace, Eye, Tril, Triu, FullLike, ZerosLike, OnesLike>();
}

}  // namespace ops

Tensor dim(Dim d) { return d.known() ? weak(d.value()) : call(ops::DimValue{d}); }
Tensor full(const Shape& shape, Scalar value, OptionalDType dtype) {
  return call(ops::Full{shape, value, dtype});
}
Tensor full_like(const Tensor& x, Scalar value) { return full(x.shape(), value, x.dtype()); }
Tensor zeros_like(const Tensor& x) { return full(x.shape(), 0, x.dtype()); }
Tensor iota(Dim size, DType dtype) { return call(ops::Iota{size, dtype}); }
Tensor arange(Scalar start, Scalar stop, Scalar step, OptionalDType dtype) {
  return call(ops::Arange{start, stop, step, dtype});
}
Tensor linspace(double start, double stop, int64_t num, bool endpoint, OptionalDType dtype) {
  return call(ops::Linspace{start, stop, num, endpoint, dtype});
}
Tensor eye(Dim rows, Dim columns, int64_t k, OptionalDType dtype) {
  return call(ops::Eye{rows, columns, k, dtype});
}
Tensor tril(const Tensor& x, int64_t k) { return call(ops::Tril{k}, x); }
Tensor triu(const Tensor& x, int64_t k) { return call(ops::Triu{k}, x); }

}  // namespace flowbook
