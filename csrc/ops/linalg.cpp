// Records of matrix products.
#include "ops/linalg.h"

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {

void Matmul::describe(Schema<Matmul>& op) {
  op.name("matmul")
      .doc("Matrix product; leading axes broadcast, a vector counts as one row or one column.")
      .family("linalg");
  op.input("x", kNumeric, "Matrices [..., m, k] or a vector [k].")
      .input("y", kNumeric, "Matrices [..., k, n] or a vector [k].");
  op.output("z", "Matrices [..., m, n], without the axis of a vector.").broadcasts();
  op.gradient_reads("x", "y").example("matmul([[1., 2.], [3., 4.]], [1., 1.])", "[3., 7.]");
}
Spec Matmul::infer(const Spec& x, const Spec& y) const {
  if (x.shape.rank == 0 || y.shape.rank == 0)
    shape_error("x is ", x, ", y is ", y, ". Both must have at least 1 axis.");
  const int rx = x.shape.rank, ry = y.shape.rank;
  const Dim kx = x.shape[rx - 1], ky = y.shape[std::max(0, ry - 2)];
  if (kx != ky)
    shape_error("inner dimensions differ: x is ", x, ", y is ", y, " (", kx, " != ", ky, ").");
  Shape bx, by;
  for (int i = 0; i < rx - 2; ++i) bx.push_back(x.shape[i]);
  for (int i = 0; i < ry - 2; ++i) by.push_back(y.shape[i]);
  Spec z = like(x, broadcast(bx, by));
  if (rx > 1) z.shape.push_back(x.shape[rx - 2]);
  if (ry > 1) z.shape.push_back(y.shape[ry - 1]);
  return z;
}
// dx = dz yT and dy = xT dz, after vectors became matrices. Where one factor is a single matrix,
// the leading axes of the other join its rows: one product instead of many and a sum.
std::array<Tensor, 2> Matmul::vjp(const Saved& saved, const Tensor& dz) const {
  const Shape &sx = saved.input_spec(0).shape, &sy = saved.input_spec(1).shape;
  Tensor x = saved.input(0), y = saved.input(1), d = dz;
  if (sy.rank == 1) y = expand_dims(y, 1), d = expand_dims(d, -1);
  if (sx.rank == 1) x = expand_dims(x, 0), d = expand_dims(d, -2);
  std::array<Tensor, 2> out;
  auto rows = [](const Tensor& t) {
    Dim n = 1;
    for (int i = 0; i + 1 < t.rank(); ++i) n = n * t.shape()[i];
    return t.rank() == 2 ? t : reshape(t, {n, t.shape()[t.rank() - 1]});
  };
  if (saved.wants(0)) {
    Tensor dx = matmul(d, matrix_transpose(y));
    out[0] = sx.rank == 1 ? squeeze(dx, {-2}) : dx;
  }
  if (saved.wants(1)) {
    Tensor dy = y.rank() == 2 && x.rank() > 2 ? matmul(matrix_transpose(rows(x)), rows(d))
                                              : matmul(matrix_transpose(x), d);
    out[1] = sy.rank == 1 ? squeeze(dy, {-1}) : dy;
  }
  return out;
}

namespace {
struct Vecdot {
  int64_t axis = -1;
  static void describe(Schema<Vecdot>& op) {
    op.name("vecdot")
        .doc("Dot products of vectors along `axis`.")
        .family("linalg")
        .input("x", kReal, "Vectors along the axis.");
    op.input("y", kReal, "Vectors along the axis; the other axes broadcast.")
        .attr("axis", &Vecdot::axis, "A negative axis, counted from the end.");
    op.output("z", "The broadcast of both without the axis.")
        .example("vecdot([1., 2.], [3., 4.])", "11.0");
  }
  Spec infer(const Spec& x, const Spec& y) const {
    const Dim nx = x.shape[axis_of(axis, x)], ny = y.shape[axis_of(axis, y)];
    if (axis >= 0 && x.shape.rank != y.shape.rank)
      fail(ErrorKind::kAxis, "x is ", x, ", y is ", y,
           ". With different ranks `axis` must be negative.");
    if (nx != ny)
      shape_error("x is ", x, ", y is ", y, " (", nx, " != ", ny,
                  "). The axis must have one size.");
    const Shape s = broadcast(x.shape, y.shape);
    return like(x, without(s, normalize_axis(axis, s.rank)));
  }
  Tensor expand(const Tensor& x, const Tensor& y) const {
    const Tensor z = x * y;
    return sum(z, {axis}, false, z.dtype());
  }
};

struct Outer {
  static void describe(Schema<Outer>& op) {
    op.name("outer")
        .doc("Every product of an entry of `x` and one of `y`.")
        .family("linalg")
        .input("x", kNumeric, "A vector [m].");
    op.input("y", kNumeric, "A vector [n].")
        .output("z", "A matrix [m, n].")
        .example("outer([1., 2.], [3., 4.])", "[[3., 4.], [6., 8.]]");
  }
  Spec infer(const Spec& x, const Spec& y) const {
    if (x.shape.rank != 1 || y.shape.rank != 1)
      shape_error("x is ", x, ", y is ", y, ". Both must be vectors.");
    return like(x, {x.shape[0], y.shape[0]});
  }
  Tensor expand(const Tensor& x, const Tensor& y) const {
    return expand_dims(x, 1) * expand_dims(y, 0);
  }
};

struct Tensordot {
  Ints x_axes, y_axes;
  static void describe(Schema<Tensordot>& op) {
    op.name("tensordot")
        .doc("Sums products over pairs of axes.")
        .family("linalg")
        .input("x", kNumeric, "Operand of any shape.");
    op.input("y", kNumeric, "Operand of any shape.")
        .attr("x_axes", &Tensordot::x_axes, "Axes of `x` to sum over.");
    op.attr("y_axes", &Tensordot::y_axes, "The axes of `y` they meet.")
        .output("z", "The other axes of `x`, then those of `y`.");
    op.example("tensordot([[1., 2.], [3., 4.]], [1., 1.], (1,), (0,))", "[3., 7.]");
  }
  struct Plan {
    Ints x_order, y_order;
    Shape rest;
    Dim m = 1, k = 1, n = 1;
  };
  Plan plan(const Spec& x, const Spec& y) const {
    if (x_axes.size() != y_axes.size())
      argument_error("`x_axes` names ", x_axes.size(), " axes, `y_axes` ", y_axes.size(),
                     ". They must be as many.");
    Plan p;
    uint32_t mx = 0, my = 0;
    Ints kx, ky;
    for (size_t i = 0; i < x_axes.size(); ++i) {
      const int a = normalize_axis(x_axes[i], x), b = normalize_axis(y_axes[i], y);
      if (x.shape[a] != y.shape[b])
        shape_error("axis ", a, " of x: ", x, " meets axis ", b, " of y: ", y,
                    ". They must have one size.");
      if (mx >> a & 1 || my >> b & 1) argument_error("an axis is named twice.");
      mx |= 1u << a, my |= 1u << b, kx.push_back(a), ky.push_back(b), p.k = p.k * x.shape[a];
    }
    for (int i = 0; i < x.shape.rank; ++i)
      if (!(mx >> i & 1))
        p.x_order.push_back(i), p.rest.push_back(x.shape[i]), p.m = p.m * x.shape[i];
    p.x_order.insert(p.x_order.end(), kx.begin(), kx.end());
    p.y_order = ky;
    for (int i = 0; i < y.shape.rank; ++i)
      if (!(my >> i & 1))
        p.y_order.push_back(i), p.rest.push_back(y.shape[i]), p.n = p.n * y.shape[i];
    return p;
  }
  Spec infer(const Spec& x, const Spec& y) const { return like(x, plan(x, y).rest); }
  Tensor expand(const Tensor& x, const Tensor& y) const {
    const Plan p = plan(x.spec(), y.spec());
    return reshape(matmul(reshape(permute_dims(x, p.x_order), {p.m, p.k}),
                          reshape(permute_dims(y, p.y_order), {p.k, p.n})),
                   p.rest);
  }
};
}  // namespace

void register_linalg(OpRegistry& r) { r.add<Matmul, Vecdot, Outer, Tensordot>(); }

}  // namespace ops

Tensor matmul(const Tensor& x, const Tensor& y) { return call(ops::Matmul{}, x, y); }
Tensor vecdot(const Tensor& x, const Tensor& y, int64_t axis) {
  return call(ops::Vecdot{axis}, x, y);
}
Tensor outer(const Tensor& x, const Tensor& y) { return call(ops::Outer{}, x, y); }
Tensor tensordot(const Tensor& x, const Tensor& y, const Ints& x_axes, const Ints& y_axes) {
  return call(ops::Tensordot{x_axes, y_axes}, x, y);
}

}  // namespace flowbook
