// Records of slices, and of reading and writing at indices.
#include "ops/index.h"

#include <algorithm>

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {

Range range_of(Dim size, int64_t start, int64_t stop, int64_t step) {
  if (step == 0) argument_error("a slice has step 0. Steps must not be 0.");
  const bool to_end = stop == kSliceEnd;
  if (size.known()) {
    const int64_t n = size.value(), lowest = step > 0 ? 0 : -1, highest = step > 0 ? n : n - 1;
    auto fit = [&](int64_t i) {
      return std::clamp(i < 0 ? (i < -n ? -n - 1 : i) + n : i, lowest, highest);
    };
    const int64_t begin = fit(start), end = to_end ? (step > 0 ? n : -1) : fit(stop);
    // Written without overflow for steps near the limits of 64 bits.
    const int64_t length = step > 0 ? end - begin : begin - end;
    const uint64_t pace = step > 0 ? uint64_t(step) : uint64_t(0) - uint64_t(step);
    const int64_t count = length <= 0 ? 0 : int64_t((uint64_t(length) - 1) / pace) + 1;
    return {count ? begin : 0, count, step};
  }
  // A symbolic size: what can be said without knowing it.
  if (step == -1 && start == -1 && to_end) return {size - 1, size, step};
  if (step < 0 || (!to_end && stop >= 0))
    shape_error("the slice ", start, ":", to_end ? std::string() : std::to_string(stop), ":", step,
                " of an axis of size ", size,
                " has a size that depends on it. Cut from the start or the end of the axis, or use "
                "take().");
  const Dim begin = start >= 0 ? Dim(start) : size - (-start), end = to_end ? size : size - (-stop);
  Dim count = end - begin;
  if (step > 1) count = floor_div(count + (step - 1), step);
  return {begin, count, step};
}
Ranges ranges_of(const Shape& x, const Ints& starts, const Ints& stops, const Ints& steps) {
  if (starts.size() != stops.size() || (!steps.empty() && steps.size() != starts.size()))
    argument_error("`starts` has ", starts.size(), " entries, `stops` ", stops.size(), ", `steps` ",
                   steps.size(), ". They must be as many.");
  if (int(starts.size()) > x.rank)
    fail(ErrorKind::kAxis, "a slice of ", starts.size(), " axes is asked of shape ", x, ". It has ",
         x.rank, ".");
  Ranges r;
  for (int i = 0; i < x.rank; ++i) {
    const size_t k = size_t(i);
    r.at[i] = k < starts.size() ? range_of(x[i], starts[k], stops[k], steps.empty() ? 1 : steps[k])
                                : Range{0, x[i], 1};
    r.shape.push_back(r.at[i].count);
  }
  return r;
}

namespace {
template <class Op>
Schema<Op>& describe_slice(Schema<Op>& op) {
  op.attr("starts", &Op::starts, "First entry of each axis; negative counts from the end.");
  op.attr("stops", &Op::stops,
          "Where each axis stops; 2**63 - 1: at its end in the direction of the step.");
  return op.attr("steps", &Op::steps, "Step of each axis; none: all 1.");
}
void require_updates(const Spec& updates, const Shape& place) {
  if (updates.shape.rank > place.rank || !(broadcast(updates.shape, place) == place))
    shape_error("updates is ", updates, " for a place of shape ", place,
                ". It must broadcast to that.");
}

struct Slice {
  Ints starts, stops, steps;
  static void describe(Schema<Slice>& op) {
    op.name("slice")
        .doc("The entries from `starts` to before `stops` in `steps`, as Python slices.")
        .family("index");
    op.input("x", kAll, "Operand of any shape.")
        .output("y", "`x` cut along each axis.")
        .gradient_reads();
    describe_slice(op).example("slice([1, 2, 3, 4], (1,), (4,), (2,))", "[2, 4]");
  }
  Spec infer(const Spec& x) const {
    return like(x, ranges_of(x.shape, starts, stops, steps).shape);
  }
  bool view(const Spec& out, const Tensor& x, View& v) const {
    const Ranges r = ranges_of(x.shape(), starts, stops, steps);
    Strides s = strides_of(x);
    int64_t offset = 0;
    for (int i = 0; i < x.rank(); ++i) {
      if (out.shape[i].value() > 0) offset += r.at[i].begin.value() * s[i];
      s[i] = out.shape[i].value() > 1 ? s[i] * r.at[i].step : 0;
    }
    return window(out, x, out.shape.size() ? offset : 0, s, v);
  }
  Tensor vjp(const Saved& saved, const Tensor& dy) const {
    const Tensor so_far = saved.take_so_far(0);  // a row of many costs a row, not all of them
    return so_far ? add_slice(so_far, dy, starts, stops, steps)
                  : place(dy, saved.input_spec(0).shape, starts, stops, steps);
  }
};
}  // namespace

void Place::describe(Schema<Place>& op) {
  op.name("place")
      .doc("Zeros of `shape` with `x` at the slice: what slice does to gradients.")
      .family("index");
  op.input("x", kAll, "What stands at the slice.")
      .attr("shape", &Place::shape, "Shape of the result.");
  describe_slice(op).output("y", "Has the given shape.").gradient_reads();
  op.example("place([1, 2], (4,), (1,), (4,), (2,))", "[0, 1, 0, 2]");
}
Spec Place::infer(const Spec& x) const {
  const Shape room = ranges_of(shape, starts, stops, steps).shape;
  if (!(room == x.shape))
    shape_error("x is ", x, " and the slice has shape ", room, ". They must be equal.");
  return like(x, shape);
}
Tensor Place::vjp(const Saved&, const Tensor& dy) const { return slice(dy, starts, stops, steps); }

void SetSlice::describe(Schema<SetSlice>& op) {
  op.name("set_slice")
      .doc("`x` with `updates` in place of the entries of a slice.")
      .family("index")
      .broadcasts();
  op.input("x", kAll, "Operand of any shape.")
      .input("updates", kAll, "Broadcasts to the slice.")
      .output("y", "Shaped like `x`.");
  describe_slice(op).gradient_reads().example("set_slice([1, 2, 3], 0, (1,), (3,))", "[1, 0, 0]");
}
Spec SetSlice::infer(const Spec& x, const Spec& updates) const {
  require_updates(updates, ranges_of(x.shape, starts, stops, steps).shape);
  return like(x, x.shape);
}
std::array<Tensor, 2> SetSlice::vjp(const Saved& saved, const Tensor& dy) const {
  return {saved.wants(0) ? set_slice(dy, weak(0.0), starts, stops, steps) : Tensor(),
          saved.wants(1) ? slice(dy, starts, stops, steps) : Tensor()};
}

void AddSlice::describe(Schema<AddSlice>& op) {
  op.name("add_slice")
      .doc("`x` with `updates` added to the entries of a slice.")
      .family("index")
      .broadcasts();
  op.input("x", kNumeric, "Operand of any shape.")
      .input("updates", kNumeric, "Broadcasts to the slice.")
      .output("y", "Shaped like `x`.");
  describe_slice(op).gradient_reads().example("add_slice([1, 2, 3], 10, (1,), (3,))",
                                              "[1, 12, 13]");
}
Spec AddSlice::infer(const Spec& x, const Spec& updates) const {
  require_updates(updates, ranges_of(x.shape, starts, stops, steps).shape);
  return like(x, x.shape);
}
std::array<Tensor, 2> AddSlice::vjp(const Saved& saved, const Tensor& dy) const {
  return {dy, saved.wants(1) ? slice(dy, starts, stops, steps) : Tensor()};
}

// ---- indices along one axis, the same for all other positions
// ---------------------------------------------------------
namespace {
Shape taken(const Shape& x, const Shape& indices, int axis) {
  Shape s = join(x, 0, axis, indices);
  for (int i = axis + 1; i < x.rank; ++i) s.push_back(x[i]);
  return s;
}
constexpr const char* kIndexDoc = "Positions along the axis; negative ones count from the end.";
Spec scattered(const Spec& x, const Spec& indices, const Spec& updates, int64_t axis) {
  const Shape want = taken(x.shape, indices.shape, axis_of(axis, x));
  if (!(updates.shape == want))
    shape_error("updates is ", updates, " for x: ", x, " and indices: ", indices,
                ". It must have shape ", want, ".");
  return like(x, x.shape);
}
template <class Op>
void describe_scatter(Schema<Op>& op) {
  op.family("index").input("x", std::is_same_v<Op, ScatterAdd> ? kNumeric : kAll,
                           "Operand of rank 1 or more.");
  op.own_input("indices", kIndexes, kIndexDoc)
      .input("updates", kAll, "One for each index, as `take` would give them.");
  op.attr("axis", &Op::axis, "The axis that the indices go along.")
      .output("y", "Shaped like `x`.")
      .gradient_reads("indices");
}
}  // namespace

void Take::describe(Schema<Take>& op) {
  op.name("take")
      .doc("The entries of `x` at `indices` along `axis`.")
      .family("index")
      .input("x", kAll, "Operand of rank 1 or more.");
  op.own_input("indices", kIndexes, kIndexDoc)
      .attr("axis", &Take::axis, "The axis; may be None for rank 1.");
  op.output("y", "`x` with the axis replaced by those of `indices`.").gradient_reads("indices");
  op.example("take([10, 20, 30], [2, 0], axis=0)", "[30, 10]");
}
Spec Take::infer(const Spec& x, const Spec& indices) const {
  return like(x, taken(x.shape, indices.shape, one_axis(axis, x.shape)));
}
std::array<Tensor, 2> Take::vjp(const Saved& saved, const Tensor& dy) const {
  const Spec& x = saved.input_spec(0);
  const Tensor so_far = saved.take_so_far(0);
  return {scatter_add(so_far ? so_far : full(x.shape, 0.0, dy.dtype()), saved.input(1), dy,
                      one_axis(axis, x.shape)),
          Tensor()};
}

void ScatterAdd::describe(Schema<ScatterAdd>& op) {
  op.name("scatter_add")
      .doc("`x` with `updates` added at `indices` along `axis`; those of equal indices add up.");
  describe_scatter(op);
  op.example("scatter_add([0, 0, 0], [2, 2, 0], [1, 2, 3])", "[3, 0, 3]");
}
Spec ScatterAdd::infer(const Spec& x, const Spec& indices, const Spec& updates) const {
  return scattered(x, indices, updates, axis);
}
std::array<Tensor, 3> ScatterAdd::vjp(const Saved& saved, const Tensor& dy) const {
  return {dy, Tensor(), saved.wants(2) ? take(dy, saved.input(1), {axis}) : Tensor()};
}

void ScatterSet::describe(Schema<ScatterSet>& op) {
  op.name("scatter_set")
      .doc(
          "`x` with `updates` in place of the entries at `indices` along `axis`; of equal indices "
          "the last wins.");
  describe_scatter(op);
  op.example("scatter_set([0, 0, 0], [2, 0], [1, 2])", "[2, 0, 1]");
}
Spec ScatterSet::infer(const Spec& x, const Spec& indices, const Spec& updates) const {
  return scattered(x, indices, updates, axis);
}
std::array<Tensor, 3> ScatterSet::vjp(const Saved& saved, const Tensor& dy) const {
  const Tensor at = saved.input(1);
  const Spec &x = saved.input_spec(0), &updates = saved.input_spec(2);
  const int a = axis_of(axis, x);
  std::array<Tensor, 3> d;
  if (saved.wants(0)) d[0] = scatter_set(dy, at, full(updates.shape, 0.0, dy.dtype()), a);
  if (saved.wants(2)) {
    // Only the last of equal indices was seen: numbers left on the axis tell which.
    const Tensor number = reshape(iota(at.shape().elements()), at.shape());
    const Tensor last = scatter_set(full({x.shape[a]}, int64_t{0}, DType::i64), at, number, 0);
    Shape wide = at.shape();
    for (int i = a + 1; i < x.shape.rank; ++i) wide.push_back(1);
    d[2] = where(reshape(equal(take(last, at, {0}), number), wide), take(dy, at, {a}), 0.0);
  }
  return d;
}

// ---- an index for each position
// ---------------------------------------------------------------------------------------
namespace {
void require_along(const Spec& x, const Spec& indices, int axis) {
  bool same = x.shape.rank == indices.shape.rank;
  for (int i = 0; same && i < x.shape.rank; ++i) same = i == axis || x.shape[i] == indices.shape[i];
  if (!same)
    shape_error("x is ", x, ", indices is ", indices, ". They may differ along axis ", axis,
                " only.");
}
}  // namespace

void TakeAlongAxis::describe(Schema<TakeAlongAxis>& op) {
  op.name("take_along_axis")
      .doc("For each position an entry of its own along `axis`.")
      .family("index");
  op.input("x", kAll, "Operand of rank 1 or more.").own_input("indices", kIndexes, kIndexDoc);
  op.attr("axis", &TakeAlongAxis::axis, "The axis; negative counts from the end.")
      .output("y", "Shaped like `indices`.");
  op.gradient_reads("indices").example("take_along_axis([[1, 2], [3, 4]], [[1], [0]], axis=1)",
                                       "[[2], [3]]");
}
Spec TakeAlongAxis::infer(const Spec& x, const Spec& indices) const {
  require_along(x, indices, axis_of(axis, x));
  return like(x, indices.shape);
}
std::array<Tensor, 2> TakeAlongAxis::vjp(const Saved& saved, const Tensor& dy) const {
  const Tensor so_far = saved.take_so_far(0);
  return {add_along_axis(so_far ? so_far : full(saved.input_spec(0).shape, 0.0, dy.dtype()),
                         saved.input(1), dy, axis),
          Tensor()};
}

void AddAlongAxis::describe(Schema<AddAlongAxis>& op) {
  op.name("add_along_axis")
      .doc("`x` with `updates` added where take_along_axis would read.")
      .family("index");
  op.input("x", kNumeric, "Operand of rank 1 or more.").own_input("indices", kIndexes, kIndexDoc);
  op.input("updates", kNumeric, "Shaped like `indices`.")
      .attr("axis", &AddAlongAxis::axis, "The axis; negative counts from the end.");
  op.output("y", "Shaped like `x`.").gradient_reads("indices");
  op.example("add_along_axis([[1, 2], [3, 4]], [[1], [0]], [[10], [20]], axis=1)",
             "[[1, 12], [23, 4]]");
}
Spec AddAlongAxis::infer(const Spec& x, const Spec& indices, const Spec& updates) const {
  require_along(x, indices, axis_of(axis, x));
  if (!(updates.shape == indices.shape))
    shape_error("updates is ", updates, ", indices is ", indices, ". They must have one shape.");
  return like(x, x.shape);
}
std::array<Tensor, 3> AddAlongAxis::vjp(const Saved& saved, const Tensor& dy) const {
  return {dy, Tensor(), saved.wants(2) ? take_along_axis(dy, saved.input(1), axis) : Tensor()};
}

void register_index(OpRegistry& r) {
  r.add<Slice, Place, SetSlice, AddSlice, Take, ScatterAdd, ScatterSet, TakeAlongAxis,
        AddAlongAxis>();
}

}  // namespace ops

Tensor slice(const Tensor& x, const Ints& starts, const Ints& stops, const Ints& steps) {
  return call(ops::Slice{starts, stops, steps}, x);
}
Tensor place(const Tensor& x, const Shape& shape, const Ints& starts, const Ints& stops,
             const Ints& steps) {
  return call(ops::Place{shape, starts, stops, steps}, x);
}
Tensor set_slice(const Tensor& x, const Tensor& updates, const Ints& starts, const Ints& stops,
                 const Ints& steps) {
  return call(ops::SetSlice{starts, stops, steps}, x, updates);
}
Tensor add_slice(const Tensor& x, const Tensor& updates, const Ints& starts, const Ints& stops,
                 const Ints& steps) {
  return call(ops::AddSlice{starts, stops, steps}, x, updates);
}
Tensor take(const Tensor& x, const Tensor& indices, const Axes& axis) {
  return call(ops::Take{axis}, x, indices);
}
Tensor take_along_axis(const Tensor& x, const Tensor& indices, int64_t axis) {
  return call(ops::TakeAlongAxis{axis}, x, indices);
}
Tensor add_along_axis(const Tensor& x, const Tensor& indices, const Tensor& updates, int64_t axis) {
  return call(ops::AddAlongAxis{axis}, x, indices, updates);
}
Tensor scatter_add(const Tensor& x, const Tensor& indices, const Tensor& updates, int64_t axis) {
  return call(ops::ScatterAdd{axis}, x, indices, updates);
}
Tensor scatter_set(const Tensor& x, const Tensor& indices, const Tensor& updates, int64_t axis) {
  return call(ops::ScatterSet{axis}, x, indices, updates);
}

}  // namespace flowbook
