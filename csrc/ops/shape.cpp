// Records that change shapes: windows on the same memory, and the ops that lay entries out anew.
#include "ops/shape.h"

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {

// ---- reshape ----------------------------------------------------------------------------------------------------
void Reshape::describe(Schema<Reshape>& op) {
  op.name("reshape").doc("The same entries, in row-major order, in another shape.").family("shape");
  op.input("x", kAll, "Operand of any shape.");
  op.attr("shape", &Reshape::shape, "New shape; one size may be -1 and follows from the others.");
  op.output("y", "Has the new shape.").gradient_reads().example("reshape([1, 2, 3, 4], (2, -1))", "[[1, 2], [3, 4]]");
}
Spec Reshape::infer(const Spec& x) const {
  Spec y = like(x, shape);
  const Dim have = x.shape.elements();
  int open = -1;
  Dim others = 1;
  for (int i = 0; i < shape.rank; ++i)
    if (shape[i] != Dim(-1)) others = others * shape[i];
    else if (open >= 0) shape_error("the shape asked for has two sizes of -1. At most one can follow from the others.");
    else open = i;
  if (open >= 0) {
    if (others == Dim(0)) shape_error("x is ", x, " and the size -1 could be anything beside a size of 0. Give it.");
    y.shape[open] = floor_div(have, others);
    others = others * y.shape[open];
  }
  if (have != others) {
    Shape asked = shape;
    if (open < 0) shape_error("x is ", x, " with ", have, " entries, ", asked, " has ", others, ". Both must have as many.");
    shape_error("x is ", x, " with ", have, " entries, which the other sizes do not divide. Choose sizes that do.");
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
    if (const int64_t size = x.shape()[i].value(); size != 1) old_size[n] = size, old_stride[n++] = from.strides[i];
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
Tensor Reshape::vjp(const Saved& saved, const Tensor& dy) const { return reshape(dy, saved.input_spec(0).shape); }

namespace {
// ---- windows ------------------------------------------------------------------------------------------------------
struct PermuteDims {
  Ints axes;
  static void describe(Schema<PermuteDims>& op) {
    op.name("permute_dims").doc("The axes in another order.").family("shape").input("x", kAll, "Operand of any shape.");
    op.attr("axes", &PermuteDims::axes, "For each axis of the result, the axis of `x` it is.").output("y", "`x` transposed.");
    op.gradient_reads().example("permute_dims([[1, 2], [3, 4]], (1, 0))", "[[1, 3], [2, 4]]");
  }
  int source(int i, const Shape& x) const { return normalize_axis(axes[size_t(i)], x.rank); }
  Spec infer(const Spec& x) const {
    if (int(axes.size()) != x.shape.rank) shape_error("`axes` has ", axes.size(), " entries for x: ", x, ". It must name every axis.");
    Spec y = like(x, x.shape);
    uint32_t seen = 0;
    for (int i = 0; i < x.shape.rank; ++i) {
      const int a = source(i, x.shape);
      if (seen >> a & 1) argument_error("`axes` names axis ", a, " twice. It must name every axis once.");
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
    op.name("matrix_transpose").doc("The last two axes swapped.").family("shape").input("x", kAll, "Matrices [..., m, n].");
    op.output("y", "Matrices [..., n, m].").gradient_reads().example("matrix_transpose([[1, 2], [3, 4]])", "[[1, 3], [2, 4]]");
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
    op.name("moveaxis").doc("Axes moved to new places; the others keep their order.").family("shape");
    op.input("x", kAll, "Operand of any shape.").attr("source", &Moveaxis::source, "Axes to move.");
    op.attr("destination", &Moveaxis::destination, "Where each of them goes.").output("y", "`x` transposed.");
  }
  Ints order(const Shape& x) const {
    if (source.size() != destination.size())
      argument_error("`source` names ", source.size(), " axes, `destination` ", destination.size(), ". They must be as many.");
    Ints axes(size_t(x.rank), -1);
    uint32_t moved = 0;
    for (size_t i = 0; i < source.size(); ++i) {
      const int from = normalize_axis(source[i], x.rank), to = normalize_axis(destination[i], x.rank);
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
    op.name("broadcast_to").doc("Repeats `x` along axes of size 1 and new leading axes.").family("shape").broadcasts();
    op.input("x", kAll, "Operand that broadcasts to the shape.").attr("shape", &BroadcastTo::shape, "The new shape.");
    op.output("y", "Has the new shape.").gradient_reads().example("broadcast_to([1, 2], (2, 2))", "[[1, 2], [1, 2]]");
  }
  Spec infer(const Spec& x) const {
    if (x.shape.rank > shape.rank || !(broadcast(x.shape, shape) == shape))
      shape_error("x is ", x, " and does not broadcast to ", shape, ". Its sizes must be those or 1, counted from the end.");
    return like(x, shape);
  }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const Strides from = strides_of(x);
    Strides s;
    for (int i = out.shape.rank - 1, j = x.rank() - 1; i >= 0; --i, --j) s[i] = j < 0 || x.shape()[j] == Dim(1) ? 0 : from[j];
    return window(out, x, 0, s, v);
  }
  Tensor vjp(const Saved&, const Tensor& dy) const { return dy; }  // the walk reduces it
};

struct ExpandDims {
  int64_t axis = 0;
  static void describe(Schema<ExpandDims>& op) {
    op.name("expand_dims").doc("Inserts an axis of size 1.").family("shape").input("x", kAll, "Operand of any shape.");
    op.attr("axis", &ExpandDims::axis, "Where the new axis stands in the result.").output("y", "`x` with one axis more.");
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
  Tensor vjp(const Saved& saved, const Tensor& dy) const { return reshape(dy, saved.input_spec(0).shape); }
};

struct Squeeze {
  Axes axis;
  static void describe(Schema<Squeeze>& op) {
    op.name("squeeze").doc("Removes axes of size 1.").family("shape").input("x", kAll, "Operand of any shape.");
    op.attr("axis", &Squeeze::axis, "Axis or axes to remove; None: every axis of size 1.").output("y", "`x` with fewer axes.");
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
      if (m >> i & 1 && x.shape[i] != Dim(1)) shape_error("axis ", i, " of x: ", x, " has size ", x.shape[i], ". Only axes of size 1 can go.");
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
  Tensor vjp(const Saved& saved, const Tensor& dy) const { return reshape(dy, saved.input_spec(0).shape); }
};

struct Flip {
  Axes axis;
  static void describe(Schema<Flip>& op) {
    op.name("flip").doc("Reverses the order of the entries along `axis`.").family("shape").input("x", kAll, "Operand of any shape.");
    op.attr("axis", &Flip::axis, "Axis or axes; None: all of them.").output("y", "Shaped like `x`.").gradient_reads();
    op.example("flip([1, 2, 3])", "[3, 2, 1]");
  }
  Spec infer(const Spec& x) const { return axis.mask(x.shape.rank), like(x, x.shape); }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const uint32_t m = axis.mask(x.rank());
    Strides s = strides_of(x);
    int64_t offset = 0;
    for (int i = 0; i < x.rank(); ++i)
      if (m >> i & 1 && x.shape()[i].value() > 0) offset += s[i] * (x.shape()[i].value() - 1), s[i] = -s[i];
    return window(out, x, offset, s, v);
  }
  Tensor vjp(const Saved&, const Tensor& dy) const { return flip(dy, axis); }
};

// A piece of one axis whose ends may be symbolic.
struct Narrow {
  Dim start = 0, length = 0;
  int64_t axis = 0;
  static void describe(Schema<Narrow>& op) {
    op.name("narrow").doc("`length` entries from `start` on along `axis`.").family("shape").input("x", kAll, "Operand of rank 1 or more.");
    op.attr("start", &Narrow::start, "First entry.").attr("length", &Narrow::length, "How many.");
    op.attr("axis", &Narrow::axis, "The axis; negative counts from the end.").output("y", "`x`, shorter along the axis.");
    op.gradient_reads().example("narrow([1, 2, 3, 4], 1, 2, 0)", "[2, 3]");
  }
  Spec infer(const Spec& x) const {
    const int a = normalize_axis(axis, x);
    Spec y = like(x, x.shape);
    y.shape[a] = length;
    const Dim n = x.shape[a];
    if (n.known() && start.known() && length.known() &&
        (start.value() > n.value() || length.value() > n.value() - start.value()))
      shape_error("entries ", start, " to ", start + length, " are asked of axis ", a, " of x: ", x, ". It has ", n, ".");
    return y;
  }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const Strides s = strides_of(x);
    return window(out, x, start.value() * s[normalize_axis(axis, x.spec())], s, v);
  }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    const Spec& x = saved.input_spec(0);
    const int a = normalize_axis(axis, x);
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
    op.name("stop_gradient").doc("`x` itself, which gradients treat as a constant.").family("shape").input("x", kAll, "Operand of any shape.");
    op.output("y", "Equal to `x`.").not_differentiable().gradient_reads().example("stop_gradient([1., 2.])", "[1., 2.]");
  }
  Spec infer(const Spec& x) const { return x; }
  bool view(const Spec& out, const Tensor& x, View& v) const { return window(out, x, 0, strides_of(x), v); }
};

// ---- joining and cutting --------------------------------------------------------------------------------------------
struct Stack {
  int64_t axis = 0;
  static void describe(Schema<Stack>& op) {
    op.name("stack").doc("Joins tensors of one shape along a new axis.").family("shape").input("xs", kAll, "Tensors of one shape.");
    op.attr("axis", &Stack::axis, "Where the new axis stands in the result.").output("y", "One axis more than each of `xs`.");
    op.gradient_reads().example("stack([[1, 2], [3, 4]])", "[[1, 2], [3, 4]]");
  }
  Spec infer(Specs xs) const {
    if (xs.size() == 0) argument_error("there is nothing to stack. Give at least one tensor.");
    for (size_t i = 1; i < xs.size(); ++i)
      if (!(xs[i].shape == xs[0].shape)) shape_error("tensor 0 is ", xs[0], " and tensor ", i, " is ", xs[i], ". All must have one shape.");
    const int a = normalize_axis(axis, xs[0].shape.rank + 1);
    Shape s;
    for (int i = 0; i <= xs[0].shape.rank; ++i) s.push_back(i == a ? Dim(int64_t(xs.size())) : xs[0].shape[i - (i > a)]);
    return like(xs[0], s);
  }
  Tensor expand(std::span<const Tensor> xs) const {
    std::vector<Tensor> wide;
    for (const Tensor& x : xs) wide.push_back(expand_dims(x, axis));
    return concat(wide, normalize_axis(axis, xs[0].rank() + 1));
  }
};

struct Split {
  Ints sizes;
  int64_t axis = 0;
  static void describe(Schema<Split>& op) {
    op.name("split").doc("Cuts `x` into pieces along `axis`.").family("shape").input("x", kAll, "Operand of rank 1 or more.");
    op.attr("sizes", &Split::sizes, "Size of each piece; they add up to the size of the axis.");
    op.attr("axis", &Split::axis, "The axis; negative counts from the end.").output("pieces", "One tensor for each size.").gradient_reads();
    op.example("split([1, 2, 3], (1, 2))", "[[1], [2, 3]]");
  }
  int outputs(int) const { return int(sizes.size()); }
  std::vector<Spec> infer(const Spec& x) const {
    const int a = normalize_axis(axis, x);
    int64_t total = 0;
    std::vector<Spec> out;
    for (int64_t n : sizes) {
      if (n < 0) shape_error("a piece of size ", n, " is asked for. Sizes must not be negative.");
      out.push_back(like(x, x.shape));
      out.back().shape[a] = n;
      total += n;
    }
    if (x.shape[a].known() && x.shape[a] != Dim(total))
      shape_error("the sizes add up to ", total, ", axis ", a, " of x: ", x, " has ", x.shape[a], ". They must be equal.");
    return out;
  }
  std::vector<Tensor> expand(const Tensor& x) const {
    std::vector<Tensor> pieces;
    int64_t at = 0;
    for (int64_t n : sizes) pieces.push_back(narrow(x, at, n, axis)), at += n;
    return pieces;
  }
  Tensor vjp(const Saved& saved, const Tensor* dy) const {
    std::vector<Tensor> parts;
    for (size_t i = 0; i < sizes.size(); ++i) {
      const Spec& s = saved.output_spec(int(i));
      parts.push_back(dy[i] ? dy[i] : full(s.shape, 0.0, s.dtype));
    }
    return concat(parts, axis);
  }
};
}  // namespace

void Concat::describe(Schema<Concat>& op) {
  op.name("concat").doc("Joins tensors along an axis they have.").family("shape").input("xs", kAll, "Tensors that differ along `axis` only.");
  op.attr("axis", &Concat::axis, "The axis; negative counts from the end.").output("y", "As long along `axis` as all of `xs` together.");
  op.gradient_reads().example("concat([[1, 2], [3]])", "[1, 2, 3]");
}
Spec Concat::infer(Specs xs) const {
  if (xs.size() == 0) argument_error("there is nothing to join. Give at least one tensor.");
  const int a = normalize_axis(axis, xs[0]);
  Spec y = like(xs[0], xs[0].shape);
  for (size_t i = 1; i < xs.size(); ++i) {
    Shape other = xs[i].shape;
    bool same = other.rank == y.shape.rank;
    for (int k = 0; same && k < other.rank; ++k) same = k == a || other[k] == y.shape[k];
    if (!same) shape_error("tensor 0 is ", xs[0], " and tensor ", i, " is ", xs[i], ". They may differ along axis ", a, " only.");
    y.shape[a] = y.shape[a] + other[a];
  }
  return y;
}
std::vector<Tensor> Concat::vjp(const Saved& saved, const Tensor& dy) const {
  const int a = normalize_axis(axis, dy.spec());
  std::vector<Tensor> parts(size_t(saved.inputs()));
  Dim at = 0;
  for (int i = 0; i < saved.inputs(); ++i) {
    const Dim n = saved.input_spec(i).shape[a];
    if (saved.wants(i)) parts[size_t(i)] = narrow(dy, at, n, a);
    at = at + n;
  }
  return parts;
}

void Pad::describe(Schema<Pad>& op) {
  op.name("pad").doc("Surrounds `x` with a constant.").family("shape").input("x", kAll, "Operand of any shape.");
  op.attr("widths", &Pad::widths, "For each axis how many entries come before it and how many after: (before, after, before, ...).");
  op.attr("value", &Pad::value, "The constant, cast to the dtype of `x`.").output("y", "`x`, longer along every axis.");
  op.gradient_reads().example("pad([1, 2], (1, 2))", "[0, 1, 2, 0, 0]");
}
Spec Pad::infer(const Spec& x) const {
  if (int(widths.size()) != 2 * x.shape.rank)
    shape_error("`widths` has ", widths.size(), " entries for x: ", x, ". It must have two for each axis.");
  Spec y = like(x, x.shape);
  for (int i = 0; i < x.shape.rank; ++i) {
    const int64_t before = widths[size_t(2 * i)], after = widths[size_t(2 * i) + 1];
    if (before < 0 || after < 0) argument_error("`widths` has a negative entry. Use a slice to cut off.");
    y.shape[i] = y.shape[i] + before + after;
  }
  return y;
}
Tensor Pad::vjp(const Saved& saved, const Tensor& dy) const {
  Tensor dx = dy;
  const Shape& x = saved.input_spec(0).shape;
  for (int i = 0; i < x.rank; ++i)
    if (dx.shape()[i] != x[i]) dx = narrow(dx, widths[size_t(2 * i)], x[i], i);
  return dx;
}

namespace {
// ---- repeating ------------------------------------------------------------------------------------------------------
struct Tile {
  Ints repetitions;
  static void describe(Schema<Tile>& op) {
    op.name("tile").doc("`x` laid side by side with itself.").family("shape").input("x", kAll, "Operand of any shape.");
    op.attr("repetitions", &Tile::repetitions, "How often along each axis, counted from the last; more than `x` has axes add leading ones.");
    op.output("y", "`x` repeated.").example("tile([1, 2], (2,))", "[1, 2, 1, 2]");
  }
  int rank(const Shape& x) const { return std::max(int(repetitions.size()), x.rank); }
  int64_t times(int i, int rank) const {
    const int at = i - (rank - int(repetitions.size()));
    return at < 0 ? 1 : repetitions[size_t(at)];
  }
  Spec infer(const Spec& x) const {
    Shape s;
    const int n = rank(x.shape), extra = n - x.shape.rank;
    for (int i = 0; i < n; ++i) {
      if (times(i, n) < 0) argument_error("`repetitions` has the entry ", times(i, n), ". Entries must not be negative.");
      s.push_back(times(i, n) * (i < extra ? Dim(1) : x.shape[i - extra]));
    }
    return like(x, s);
  }
  Tensor expand(const Tensor& x) const {
    Tensor y = x;
    const int n = rank(x.shape()), extra = n - x.rank();
    if (extra) y = reshape(y, with_leading(x.shape(), extra));
    for (int i = 0; i < n; ++i) {
      if (times(i, n) == 1) continue;
      Shape wide = y.shape(), flat = y.shape();
      wide = join(wide, 0, i, Shape{});
      wide.push_back(times(i, n));
      for (int k = i; k < n; ++k) wide.push_back(y.shape()[k]);
      flat[i] = flat[i] * times(i, n);
      y = reshape(broadcast_to(expand_dims(y, i), wide), flat);
    }
    return y;
  }
  static Shape with_leading(const Shape& x, int extra) {
    Shape s;
    for (int i = 0; i < extra; ++i) s.push_back(1);
    for (Dim d : x) s.push_back(d);
    return s;
  }
};

struct Repeat {
  int64_t repeats = 1;
  Axes axis;
  static void describe(Schema<Repeat>& op) {
    op.name("repeat").doc("Each entry several times in a row.").family("shape").input("x", kAll, "Operand of any shape.");
    op.attr("repeats", &Repeat::repeats, "How often.").attr("axis", &Repeat::axis, "Axis along which to repeat; None: of the flattened `x`.");
    op.output("y", "`x` repeated.").example("repeat([1, 2], 2)", "[1, 1, 2, 2]");
  }
  Spec infer(const Spec& x) const {
    if (repeats < 0) argument_error("`repeats` is ", repeats, ". It must not be negative.");
    if (axis.all) return like(x, Shape{x.shape.elements() * repeats});
    const int a = one_axis(axis, x.shape);
    Spec y = like(x, x.shape);
    y.shape[a] = y.shape[a] * repeats;
    return y;
  }
  Tensor expand(const Tensor& x) const {
    const Tensor flat = axis.all ? reshape(x, {x.shape().elements()}) : x;
    const int a = axis.all ? 0 : one_axis(axis, x.shape());
    Shape wide = join(flat.shape(), 0, a + 1, Shape{repeats});
    for (int i = a + 1; i < flat.rank(); ++i) wide.push_back(flat.shape()[i]);
    return reshape(broadcast_to(expand_dims(flat, a + 1), wide), infer(x.spec()).shape);
  }
};

struct Roll {
  Ints shift;
  Axes axis;
  static void describe(Schema<Roll>& op) {
    op.name("roll").doc("Moves the entries along `axis`; those pushed out come in at the other end.").family("shape");
    op.input("x", kAll, "Operand of any shape.").attr("shift", &Roll::shift, "By how many places, for each axis.");
    op.attr("axis", &Roll::axis, "Axis or axes; None: of the flattened `x`.").output("y", "Shaped like `x`.");
    op.example("roll([1, 2, 3], (1,))", "[3, 1, 2]");
  }
  Spec infer(const Spec& x) const {
    const size_t n = axis.all ? 1 : size_t(axis.count);
    if (shift.size() != n && shift.size() != 1) argument_error("`shift` has ", shift.size(), " entries for ", n, " axes. It must have one for each.");
    axis.mask(x.shape.rank);
    return like(x, x.shape);
  }
  Tensor expand(const Tensor& x) const {
    Tensor y = axis.all ? reshape(x, {x.shape().elements()}) : x;
    const int n = axis.all ? 1 : axis.count;
    for (int i = 0; i < n; ++i) {
      const int a = axis.all ? 0 : normalize_axis(axis.axis[i], x.rank());
      const Dim size = y.shape()[a];
      int64_t by = shift[shift.size() == 1 ? 0 : size_t(i)];
      if (size.known()) {
        if (size.value() == 0) continue;
        by = (by % size.value() + size.value()) % size.value();
      }
      if (by == 0) continue;
      const Dim first = by > 0 ? size - by : Dim(-by);  // what stays before the cut
      const std::array<Tensor, 2> parts{narrow(y, first, size - first, a), narrow(y, 0, first, a)};
      y = concat(parts, a);
    }
    return axis.all ? reshape(y, x.shape()) : y;
  }
};
}  // namespace

// ---- copies -----------------------------------------------------------------------------------------------------------
void Cast::describe(Schema<Cast>& op) {
  op.name("cast").doc("The entries as another dtype; floats to integers are cut towards zero.").family("shape");
  op.own_input("x", kAll, "Operand of any shape.").attr("dtype", &Cast::dtype, "The new dtype.").output("y", "Shaped like `x`.");
  op.gradient_reads();
}
Spec Cast::infer(const Spec& x) const {
  const DType to = dtype.value_or(x.dtype);
  if (in(x.dtype, kComplex) && !in(to, kComplex))
    dtype_error("x is ", x, " and ", to, " has no imaginary part. Take the real part first.");
  return like(x, to);
}
Tensor Cast::vjp(const Saved& saved, const Tensor& dy) const {
  const DType from = saved.input_spec(0).dtype;
  return in(from, kFloating | kComplex) ? cast(dy, from) : Tensor();
}

void Copy::describe(Schema<Copy>& op) {
  op.name("copy").doc("The same entries in memory of their own.").family("shape").own_input("x", kAll, "Operand of any shape.");
  op.output("y", "Equal to `x`.").gradient_reads().example("copy([1, 2])", "[1, 2]");
}
Spec Copy::infer(const Spec& x) const { return like(x, x.shape); }
Tensor Copy::vjp(const Saved&, const Tensor& dy) const { return dy; }

void register_shape(OpRegistry& r) {
  r.add<Reshape, PermuteDims, MatrixTranspose, Moveaxis, BroadcastTo, ExpandDims, Squeeze, Flip, Narrow, StopGradient>();
  r.add<Concat, Stack, Split, Pad, Tile, Repeat, Roll, Cast, Copy>();
}

}  // namespace ops

Tensor reshape(const Tensor& x, const Shape& shape) { return x.shape() == shape ? x : call(ops::Reshape{shape}, x); }
Tensor permute_dims(const Tensor& x, const Ints& axes) { return call(ops::PermuteDims{axes}, x); }
Tensor matrix_transpose(const Tensor& x) { return call(ops::MatrixTranspose{}, x); }
Tensor moveaxis(const Tensor& x, const Ints& source, const Ints& destination) { return call(ops::Moveaxis{source, destination}, x); }
Tensor broadcast_to(const Tensor& x, const Shape& shape) { return x.shape() == shape ? x : call(ops::BroadcastTo{shape}, x); }
Tensor expand_dims(const Tensor& x, int64_t axis) { return call(ops::ExpandDims{axis}, x); }
Tensor squeeze(const Tensor& x, const Axes& axis) { return call(ops::Squeeze{axis}, x); }
Tensor flip(const Tensor& x, const Axes& axis) { return call(ops::Flip{axis}, x); }
Tensor roll(const Tensor& x, const Ints& shift, const Axes& axis) { return call(ops::Roll{shift, axis}, x); }
Tensor concat(std::span<const Tensor> xs, int64_t axis) { return xs.size() == 1 ? xs[0] : call_list(ops::Concat{axis}, xs)[0]; }
Tensor stack(std::span<const Tensor> xs, int64_t axis) { return call_list(ops::Stack{axis}, xs)[0]; }
std::vector<Tensor> split(const Tensor& x, const Ints& sizes, int64_t axis) {
  return call_list(ops::Split{sizes, axis}, std::span(&x, 1));
}
Tensor narrow(const Tensor& x, Dim start, Dim length, int64_t axis) {
  if (start == Dim(0) && length == x.shape()[normalize_axis(axis, x.spec())]) return x;
  return call(ops::Narrow{start, length, axis}, x);
}
Tensor pad(const Tensor& x, const Ints& widths, Scalar value) { return call(ops::Pad{widths, value}, x); }
Tensor tile(const Tensor& x, const Ints& repetitions) { return call(ops::Tile{repetitions}, x); }
Tensor repeat(const Tensor& x, int64_t repeats, const Axes& axis) { return call(ops::Repeat{repeats, axis}, x); }
Tensor cast(const Tensor& x, DType dtype) { return x.dtype() == dtype ? x : call(ops::Cast{dtype}, x); }
Tensor copy(const Tensor& x) { return call(ops::Copy{}, x); }
Tensor stop_gradient(const Tensor& x) { return call(ops::StopGradient{}, x); }

}  // namespace flowbook
