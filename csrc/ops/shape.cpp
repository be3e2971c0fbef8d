// Records of the windows: ops whose result lies in the memory of their operand.
#include "ops/shape.h"

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {

// ---- reshape
// ----------------------------------------------------------------------------------------------------
void Reshape::describe(Schema<Reshape>& op) {
  op.name("reshape").doc("The same entries, in row-major order, in another shape.").family("shape");
  op.input("x", kAll, "Operand of any shape.");
  op.attr("shape", &Reshape::shape, "New shape; one size may be -1 and follows from the others.");
  op.output("y", "Has the new shape.")
      .gradient_reads()
      .example("reshape([1, 2, 3, 4], (2, -1))", "[[1, 2], [3, 4]]");
}
Spec Reshape::infer(const Spec& x) const {
  Spec y = like(x, shape);
  const Dim have = x.shape.elements();
  int open = -1;
  Dim others = 1;
  for (int i = 0; i < shape.rank; ++i)
    if (shape[i] != Dim(-1))
      others = others * shape[i];
    else if (open >= 0)
      shape_error(
          "the shape asked for has two sizes of -1. At most one can follow from the others.");
    else
      open = i;
  if (open >= 0) {
    if (others == Dim(0))
      shape_error("x is ", x, " and the size -1 could be anything beside a size of 0. Give it.");
    y.shape[open] = floor_div(have, others);
    others = others * y.shape[open];
  }
  if (have != others) {
    Shape asked = shape;
    if (open < 0)
      shape_error("x is ", x, " with ", have, " entries, ", asked, " has ", others,
                  ". Both must have as many.");
    shape_error("x is ", x, " with ", have,
                " entries, which the other sizes do not divide. Choose sizes that do.");
  }
  return y;
}
bool Reshape::view(const Spec& out, const Tensor& x, View& v) const {
  const View& from = view_of(x);
  if (from.dense || x.shape().size() == 0) {
    v.buffer = from.buffer, v.offset = from.offset, v.dense = true;
    return true;
  }
  // Runs of old axes that lie without gaps are cut anew; each run must match a run of new axes.
  Strides s;
  int64_t old_size[kMaxRank], old_stride[kMaxRank];
  int n = 0;
  for (int i = 0; i < x.rank(); ++i)
    if (const int64_t size = x.shape()[i].value(); size != 1)
      old_size[n] = size, old_stride[n++] = from.strides[i];
  int i = 0, j = 0;
  const int m = out.shape.rank;
  while (i < n && j < m) {
    int i_end = i + 1, j_end = j + 1;
    int64_t a = old_size[i], b = out.shape[j].value();
    while (a != b) {
      if (a < b) {
        if (i_end == n) return false;
        a *= old_size[i_end++];
      } else {
        if (j_end == m) return false;
        b *= out.shape[j_end++].value();
      }
    }
    for (int k = i; k + 1 < i_end; ++k)
      if (old_stride[k] != old_size[k + 1] * old_stride[k + 1]) return false;
    int64_t step = old_stride[i_end - 1];
    for (int k = j_end - 1; k >= j; --k) s[k] = step, step *= out.shape[k].value();
    i = i_end, j = j_end;
  }
  for (; j < m; ++j) s[j] = 1;  // sizes of 1
  return window(out, x, 0, s, v);
}
Tensor Reshape::vjp(const Saved& saved, const Tensor& dy) const {
  return reshape(dy, saved.input_spec(0).shape);
}

namespace {
// ---- windows
// ------------------------------------------------------------------------------------------------------
struct PermuteDims {
  Ints axes;
  static void describe(Schema<PermuteDims>& op) {
    op.name("permute_dims")
        .doc("The axes in another order.")
        .family("shape")
        .input("x", kAll, "Operand of any shape.");
    op.attr("axes", &PermuteDims::axes, "For each axis of the result, the axis of `x` it is.")
        .output("y", "`x` transposed.");
    op.gradient_reads().example("permute_dims([[1, 2], [3, 4]], (1, 0))", "[[1, 3], [2, 4]]");
  }
  int source(int i, const Shape& x) const { return normalize_axis(axes[size_t(i)], x.rank); }
  Spec infer(const Spec& x) const {
    if (int(axes.size()) != x.shape.rank)
      shape_error("`axes` has ", axes.size(), " entries for x: ", x, ". It must name every axis.");
    Spec y = like(x, x.shape);
    uint32_t seen = 0;
    for (int i = 0; i < x.shape.rank; ++i) {
      const int a = source(i, x.shape);
      if (seen >> a & 1)
        shape_error("`axes` names axis ", a, " twice. It must name every axis once.");
      seen |= 1u << a, y.shape[i] = x.shape[a];
    }
    return y;
  }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const Strides from = strides_of(x);
    Strides s;
    for (int i = 0; i < x.rank(); ++i) s[i] = from[source(i, x.shape())];
    return window(out, x, 0, s, v);
  }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    const Shape& x = saved.input_spec(0).shape;
    Ints back(axes.size());
    for (int i = 0; i < x.rank; ++i) back[size_t(source(i, x))] = i;
    return permute_dims(dy, back);
  }
};

struct MatrixTranspose {
  static void describe(Schema<MatrixTranspose>& op) {
    op.name("matrix_transpose")
        .doc("The last two axes swapped.")
        .family("shape")
        .input("x", kAll, "Matrices [..., m, n].");
    op.output("y", "Matrices [..., n, m].")
        .gradient_reads()
        .example("matrix_transpose([[1, 2], [3, 4]])", "[[1, 3], [2, 4]]");
  }
  Spec infer(const Spec& x) const {
    require_rank(x, "x", 2);
    Spec y = like(x, x.shape);
    std::swap(y.shape[x.shape.rank - 1], y.shape[x.shape.rank - 2]);
    return y;
  }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    Strides s = strides_of(x);
    std::swap(s[x.rank() - 1], s[x.rank() - 2]);
    return window(out, x, 0, s, v);
  }
  Tensor vjp(const Saved&, const Tensor& dy) const { return matrix_transpose(dy); }
};

struct Moveaxis {
  Ints source, destination;
  static void describe(Schema<Moveaxis>& op) {
    op.name("moveaxis")
        .doc("Axes moved to new places; the others keep their order.")
        .family("shape");
    op.input("x", kAll, "Operand of any shape.").attr("source", &Moveaxis::source, "Axes to move.");
    op.attr("destination", &Moveaxis::destination, "Where each of them goes.")
        .output("y", "`x` transposed.");
  }
  Ints order(const Shape& x) const {
    if (source.size() != destination.size())
      argument_error("`source` names ", source.size(), " axes, `destination` ", destination.size(),
                     ". They must be as many.");
    Ints axes(size_t(x.rank), -1);
    uint32_t moved = 0;
    for (size_t i = 0; i < source.size(); ++i) {
      const int from = normalize_axis(source[i], x.rank),
                to = normalize_axis(destination[i], x.rank);
      if (moved >> from & 1 || axes[size_t(to)] >= 0) argument_error("an axis is named twice.");
      moved |= 1u << from, axes[size_t(to)] = from;
    }
    int next = 0;
    for (int64_t& a : axes) {
      if (a >= 0) continue;
      while (moved >> next & 1) ++next;
      a = next++;
    }
    return axes;
  }
  Spec infer(const Spec& x) const { return PermuteDims{order(x.shape)}.infer(x); }
  Tensor expand(const Tensor& x) const { return permute_dims(x, order(x.shape())); }
};

struct BroadcastTo {
  Shape shape;
  static void describe(Schema<BroadcastTo>& op) {
    op.name("broadcast_to")
        .doc("Repeats `x` along axes of size 1 and new leading axes.")
        .family("shape")
        .broadcasts();
    op.input("x", kAll, "Operand that broadcasts to the shape.")
        .attr("shape", &BroadcastTo::shape, "The new shape.");
    op.output("y", "Has the new shape.")
        .gradient_reads()
        .example("broadcast_to([1, 2], (2, 2))", "[[1, 2], [1, 2]]");
  }
  Spec infer(const Spec& x) const {
    require_sizes(shape);
    if (x.shape.rank > shape.rank || !(broadcast(x.shape, shape) == shape))
      shape_error("x is ", x, " and does not broadcast to ", shape,
                  ". Its sizes must be those or 1, counted from the end.");
    return like(x, shape);
  }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const Strides from = strides_of(x);
    Strides s;
    for (int i = out.shape.rank - 1, j = x.rank() - 1; i >= 0; --i, --j)
      s[i] = j < 0 || x.shape()[j] == Dim(1) ? 0 : from[j];
    return window(out, x, 0, s, v);
  }
  Tensor vjp(const Saved&, const Tensor& dy) const { return dy; }  // the walk reduces it
};

struct ExpandDims {
  int64_t axis = 0;
  static void describe(Schema<ExpandDims>& op) {
    op.name("expand_dims")
        .doc("Inserts an axis of size 1.")
        .family("shape")
        .input("x", kAll, "Operand of any shape.");
    op.attr("axis", &ExpandDims::axis, "Where the new axis stands in the result.")
        .output("y", "`x` with one axis more.");
    op.gradient_reads().example("expand_dims([1, 2], axis=1)", "[[1], [2]]");
  }
  Spec infer(const Spec& x) const {
    const int a = normalize_axis(axis, x.shape.rank + 1);
    Shape s;
    for (int i = 0; i <= x.shape.rank; ++i) s.push_back(i == a ? Dim(1) : x.shape[i - (i > a)]);
    return like(x, s);
  }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const int a = normalize_axis(axis, out.shape.rank);
    const Strides from = strides_of(x);
    Strides s;
    for (int i = 0; i < out.shape.rank; ++i) s[i] = i == a ? 0 : from[i - (i > a)];
    return window(out, x, 0, s, v);
  }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    return reshape(dy, saved.input_spec(0).shape);
  }
};

struct Squeeze {
  Axes axis;
  static void describe(Schema<Squeeze>& op) {
    op.name("squeeze")
        .doc("Removes axes of size 1.")
        .family("shape")
        .input("x", kAll, "Operand of any shape.");
    op.attr("axis", &Squeeze::axis, "Axis or axes to remove; None: every axis of size 1.")
        .output("y", "`x` with fewer axes.");
    op.gradient_reads().example("squeeze([[1], [2]], axis=1)", "[1, 2]");
  }
  uint32_t mask(const Shape& x) const {
    if (!axis.all) return axis.mask(x.rank);
    uint32_t m = 0;
    for (int i = 0; i < x.rank; ++i)
      if (x[i] == Dim(1)) m |= 1u << i;
    return m;
  }
  Spec infer(const Spec& x) const {
    const uint32_t m = mask(x.shape);
    for (int i = 0; i < x.shape.rank; ++i)
      if (m >> i & 1 && x.shape[i] != Dim(1))
        shape_error("axis ", i, " of x: ", x, " has size ", x.shape[i],
                    ". Only axes of size 1 can go.");
    return like(x, reduced(x.shape, m, false));
  }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const uint32_t m = mask(x.shape());
    const Strides from = strides_of(x);
    Strides s;
    for (int i = 0, j = 0; i < x.rank(); ++i)
      if (!(m >> i & 1)) s[j++] = from[i];
    return window(out, x, 0, s, v);
  }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    return reshape(dy, saved.input_spec(0).shape);
  }
};

struct Flip {
  Axes axis;
  static void describe(Schema<Flip>& op) {
    op.name("flip")
        .doc("Reverses the order of the entries along `axis`.")
        .family("shape")
        .input("x", kAll, "Operand of any shape.");
    op.attr("axis", &Flip::axis, "Axis or axes; None: all of them.")
        .output("y", "Shaped like `x`.")
        .gradient_reads();
    op.example("flip([1, 2, 3])", "[3, 2, 1]");
  }
  Spec infer(const Spec& x) const { return mask_of(axis, x), like(x, x.shape); }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const uint32_t m = axis.mask(x.rank());
    Strides s = strides_of(x);
    int64_t offset = 0;
    for (int i = 0; i < x.rank(); ++i)
      if (m >> i & 1 && x.shape()[i].value() > 0)
        offset += s[i] * (x.shape()[i].value() - 1), s[i] = -s[i];
    return window(out, x, offset, s, v);
  }
  Tensor vjp(const Saved&, const Tensor& dy) const { return flip(dy, axis); }
};

// A piece of one axis whose ends may be symbolic.
struct Narrow {
  Dim start = 0, length = 0;
  int64_t axis = 0;
  static void describe(Schema<Narrow>& op) {
    op.name("narrow")
        .doc("`length` entries from `start` on along `axis`.")
        .family("shape")
        .input("x", kAll, "Operand of rank 1 or more.");
    op.attr("start", &Narrow::start, "First entry.").attr("length", &Narrow::length, "How many.");
    op.attr("axis", &Narrow::axis, "The axis; negative counts from the end.")
        .output("y", "`x`, shorter along the axis.");
    op.gradient_reads().example("narrow([1, 2, 3, 4], 1, 2, 0)", "[2, 3]");
  }
  Spec infer(const Spec& x) const {
    const int a = axis_of(axis, x);
    Spec y = like(x, x.shape);
    y.shape[a] = length;
    const Dim n = x.shape[a];
    if (n.known() && start.known() && length.known() &&
        (start.value() > n.value() || length.value() > n.value() - start.value()))
      shape_error("entries ", start, " to ", start + length, " are asked of axis ", a, " of x: ", x,
                  ". It has ", n, ".");
    return y;
  }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const Strides s = strides_of(x);
    return window(out, x, start.value() * s[axis_of(axis, x.spec())], s, v);
  }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    const Spec& x = saved.input_spec(0);
    const int a = axis_of(axis, x);
    Spec before = like(x, x.shape, dy.dtype()), after = before;
    before.shape[a] = start, after.shape[a] = x.shape[a] - start - length;
    std::vector<Tensor> parts;
    if (before.shape[a] != Dim(0)) parts.push_back(full(before.shape, 0.0, dy.dtype()));
    parts.push_back(dy);
    if (after.shape[a] != Dim(0)) parts.push_back(full(after.shape, 0.0, dy.dtype()));
    return concat(parts, a);
  }
};

// The identity to everyone but the gradient walk.
struct StopGradient {
  static void describe(Schema<StopGradient>& op) {
    op.name("stop_gradient")
        .doc("`x` itself, which gradients treat as a constant.")
        .family("shape")
        .input("x", kAll, "Operand of any shape.");
    op.output("y", "Equal to `x`.")
        .not_differentiable()
        .gradient_reads()
        .example("stop_gradient([1., 2.])", "[1., 2.]");
  }
  Spec infer(const Spec& x) const { return x; }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    return window(out, x, 0, strides_of(x), v);
  }
};
}  // namespace

void register_shape(OpRegistry& r) {
  r.add<Reshape, PermuteDims, MatrixTranspose, Moveaxis, BroadcastTo, ExpandDims, Squeeze, Flip,
        Narrow, StopGradient>();
}

}  // namespace ops

Tensor reshape(const Tensor& x, const Shape& shape) {
  return x.shape() == shape ? x : call(ops::Reshape{shape}, x);
}
Tensor permute_dims(const Tensor& x, const Ints& axes) { return call(ops::PermuteDims{axes}, x); }
Tensor matrix_transpose(const Tensor& x) { return call(ops::MatrixTranspose{}, x); }
Tensor moveaxis(const Tensor& x, const Ints& source, const Ints& destination) {
  return call(ops::Moveaxis{source, destination}, x);
}
Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  return x.shape() == shape ? x : call(ops::BroadcastTo{shape}, x);
}
Tensor expand_dims(const Tensor& x, int64_t axis) { return call(ops::ExpandDims{axis}, x); }
Tensor squeeze(const Tensor& x, const Axes& axis) { return call(ops::Squeeze{axis}, x); }
Tensor flip(const Tensor& x, const Axes& axis) { return call(ops::Flip{axis}, x); }
Tensor narrow(const Tensor& x, Dim start, Dim length, int64_t axis) {
  if (start == Dim(0) && length == x.shape()[ops::axis_of(axis, x.spec())]) return x;
  return call(ops::Narrow{start, length, axis}, x);
}
Tensor stop_gradient(const Tensor& x) { return call(ops::StopGradient{}, x); }

}  // namespace flowbook
