// Records of the ops that lay entries out anew: joining, cutting, padding, repeating, copies.
#include <algorithm>

#include "ops/register.h"
#include "ops/rules.h"
#include "ops/shape.h"

namespace flowbook {

namespace ops {

namespace {
// ---- joining and cutting
// --------------------------------------------------------------------------------------------
struct Stack {
  int64_t axis = 0;
  static void describe(Schema<Stack>& op) {
    op.name("stack")
        .doc("Joins tensors of one shape along a new axis.")
        .family("shape")
        .input("xs", kAll, "Tensors of one shape.");
    op.attr("axis", &Stack::axis, "Where the new axis stands in the result.")
        .output("y", "One axis more than each of `xs`.");
    op.gradient_reads().example("stack([[1, 2], [3, 4]])", "[[1, 2], [3, 4]]");
  }
  Spec infer(Specs xs) const {
    if (xs.size() == 0) argument_error("there is nothing to stack. Give at least one tensor.");
    for (size_t i = 1; i < xs.size(); ++i)
      if (!(xs[i].shape == xs[0].shape))
        shape_error("tensor 0 is ", xs[0], " and tensor ", i, " is ", xs[i],
                    ". All must have one shape.");
    const int a = normalize_axis(axis, xs[0].shape.rank + 1);
    Shape s;
    for (int i = 0; i <= xs[0].shape.rank; ++i)
      s.push_back(i == a ? Dim(int64_t(xs.size())) : xs[0].shape[i - (i > a)]);
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
    op.name("split")
        .doc("Cuts `x` into pieces along `axis`.")
        .family("shape")
        .input("x", kAll, "Operand of rank 1 or more.");
    op.attr("sizes", &Split::sizes, "Size of each piece; they add up to the size of the axis.");
    op.attr("axis", &Split::axis, "The axis; negative counts from the end.")
        .output("pieces", "One tensor for each size.")
        .gradient_reads();
    op.example("split([1, 2, 3], (1, 2))", "[[1], [2, 3]]");
  }
  int outputs(int) const { return int(sizes.size()); }
  std::vector<Spec> infer(const Spec& x) const {
    const int a = axis_of(axis, x);
    int64_t total = 0;
    std::vector<Spec> out;
    for (int64_t n : sizes) {
      if (n < 0) shape_error("a piece of size ", n, " is asked for. Sizes must not be negative.");
      out.push_back(like(x, x.shape));
      out.back().shape[a] = n;
      if (__builtin_add_overflow(total, n, &total))
        shape_error("the sizes add up to more than 2^63. They must add up to ", x.shape[a], ".");
    }
    if (x.shape[a].known() && x.shape[a] != Dim(total))
      shape_error("the sizes add up to ", total, ", axis ", a, " of x: ", x, " has ", x.shape[a],
                  ". They must be equal.");
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
  op.name("concat")
      .doc("Joins tensors along an axis they have.")
      .family("shape")
      .input("xs", kAll, "Tensors that differ along `axis` only.");
  op.attr("axis", &Concat::axis, "The axis; negative counts from the end.")
      .output("y", "As long along `axis` as all of `xs` together.");
  op.gradient_reads().example("concat([[1, 2], [3]])", "[1, 2, 3]");
}
Spec Concat::infer(Specs xs) const {
  if (xs.size() == 0) argument_error("there is nothing to join. Give at least one tensor.");
  const int a = axis_of(axis, xs[0]);
  Spec y = like(xs[0], xs[0].shape);
  for (size_t i = 1; i < xs.size(); ++i) {
    Shape other = xs[i].shape;
    bool same = other.rank == y.shape.rank;
    for (int k = 0; same && k < other.rank; ++k) same = k == a || other[k] == y.shape[k];
    if (!same)
      shape_error("tensor 0 is ", xs[0], " and tensor ", i, " is ", xs[i],
                  ". They may differ along axis ", a, " only.");
    y.shape[a] = y.shape[a] + other[a];
  }
  return y;
}
std::vector<Tensor> Concat::vjp(const Saved& saved, const Tensor& dy) const {
  const int a = axis_of(axis, dy.spec());
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
  op.name("pad")
      .doc("Surrounds `x` with a constant.")
      .family("shape")
      .input("x", kAll, "Operand of any shape.");
  op.attr("widths", &Pad::widths,
          "For each axis how many entries come before it and how many after: (before, after, "
          "before, ...).");
  op.attr("value", &Pad::value, "The constant, cast to the dtype of `x`.")
      .output("y", "`x`, longer along every axis.");
  op.gradient_reads().example("pad([1, 2], (1, 2))", "[0, 1, 2, 0, 0]");
}
Spec Pad::infer(const Spec& x) const {
  if (int(widths.size()) != 2 * x.shape.rank)
    shape_error("`widths` has ", widths.size(), " entries for x: ", x,
                ". It must have two for each axis.");
  Spec y = like(x, x.shape);
  for (int i = 0; i < x.shape.rank; ++i) {
    const int64_t before = widths[size_t(2 * i)], after = widths[size_t(2 * i) + 1];
    if (before < 0 || after < 0)
      shape_error("`widths` has a negative entry. Use a slice to cut off.");
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
// ---- repeating
// ------------------------------------------------------------------------------------------------------
struct Tile {
  Ints repetitions;
  static void describe(Schema<Tile>& op) {
    op.name("tile")
        .doc("`x` laid side by side with itself.")
        .family("shape")
        .input("x", kAll, "Operand of any shape.");
    op.attr("repetitions", &Tile::repetitions,
            "How often along each axis, counted from the last; more than `x` has axes add leading "
            "ones.");
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
      if (times(i, n) < 0)
        shape_error("`repetitions` has the entry ", times(i, n), ". Entries must not be negative.");
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
    op.name("repeat")
        .doc("Each entry several times in a row.")
        .family("shape")
        .input("x", kAll, "Operand of any shape.");
    op.attr("repeats", &Repeat::repeats, "How often.")
        .attr("axis", &Repeat::axis, "Axis along which to repeat; None: of the flattened `x`.");
    op.output("y", "`x` repeated.").example("repeat([1, 2], 2)", "[1, 1, 2, 2]");
  }
  Spec infer(const Spec& x) const {
    if (repeats < 0) shape_error("`repeats` is ", repeats, ". It must not be negative.");
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
    op.name("roll")
        .doc("Moves the entries along `axis`; those pushed out come in at the other end.")
        .family("shape");
    op.input("x", kAll, "Operand of any shape.")
        .attr("shift", &Roll::shift, "By how many places, for each axis.");
    op.attr("axis", &Roll::axis, "Axis or axes; None: of the flattened `x`.")
        .output("y", "Shaped like `x`.");
    op.example("roll([1, 2, 3], (1,))", "[3, 1, 2]");
  }
  Spec infer(const Spec& x) const {
    const size_t n = axis.all ? 1 : size_t(axis.count);
    if (shift.size() != n && shift.size() != 1)
      argument_error("`shift` has ", shift.size(), " entries for ", n,
                     " axes. It must have one for each.");
    mask_of(axis, x);
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

// ---- copies
// -----------------------------------------------------------------------------------------------------------
void Cast::describe(Schema<Cast>& op) {
  op.name("cast")
      .doc("The entries as another dtype; floats to integers are cut towards zero.")
      .family("shape");
  op.own_input("x", kAll, "Operand of any shape.")
      .attr("dtype", &Cast::dtype, "The new dtype.")
      .output("y", "Shaped like `x`.");
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
  op.name("copy")
      .doc("The same entries in memory of their own.")
      .family("shape")
      .own_input("x", kAll, "Operand of any shape.");
  op.output("y", "Equal to `x`.").gradient_reads().example("copy([1, 2])", "[1, 2]");
}
Spec Copy::infer(const Spec& x) const { return like(x, x.shape); }
Tensor Copy::vjp(const Saved&, const Tensor& dy) const { return dy; }

void register_arrange(OpRegistry& r) {
  r.add<Concat, Stack, Split, Pad, Tile, Repeat, Roll, Cast, Copy>();
}

}  // namespace ops

Tensor roll(const Tensor& x, const Ints& shift, const Axes& axis) {
  return call(ops::Roll{shift, axis}, x);
}
Tensor concat(std::span<const Tensor> xs, int64_t axis) {
  return xs.size() == 1 ? xs[0] : call_list(ops::Concat{axis}, xs)[0];
}
Tensor stack(std::span<const Tensor> xs, int64_t axis) {
  return call_list(ops::Stack{axis}, xs)[0];
}
std::vector<Tensor> split(const Tensor& x, const Ints& sizes, int64_t axis) {
  return call_list(ops::Split{sizes, axis}, std::span(&x, 1));
}
Tensor pad(const Tensor& x, const Ints& widths, Scalar value) {
  return call(ops::Pad{widths, value}, x);
}
Tensor tile(const Tensor& x, const Ints& repetitions) { return call(ops::Tile{repetitions}, x); }
Tensor repeat(const Tensor& x, int64_t repeats, const Axes& axis) {
  return call(ops::Repeat{repeats, axis}, x);
}
Tensor cast(const Tensor& x, DType dtype) {
  return x.dtype() == dtype ? x : call(ops::Cast{dtype}, x);
}
Tensor copy(const Tensor& x) { return call(ops::Copy{}, x); }
}  // namespace flowbook
