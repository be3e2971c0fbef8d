// Ops that read or write parts of a tensor and have kernels of their own. Indices count from 0,
// negative ones from the end; a kernel checks all of them before it writes anything and raises
// IndexOutOfRange.
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

// One axis of a slice after Python's rules: entries begin, begin + step, ... (count of them).
struct Range {
  Dim begin, count;  // begin is known wherever the memory is
  int64_t step;
};
Range range_of(Dim size, int64_t start, int64_t stop, int64_t step);
// All axes of a slice of something shaped `x`; axes beyond the given ones are whole.
struct Ranges {
  Range at[kMaxRank];
  Shape shape;  // of the slice
};
Ranges ranges_of(const Shape& x, const Ints& starts, const Ints& stops, const Ints& steps);

// Zeros of `shape` apart from the slice, which is `x`: the transpose of slice.
struct Place {
  Shape shape;
  Ints starts, stops, steps;
  static void describe(Schema<Place>&);
  Spec infer(const Spec& x) const;
  Tensor vjp(const Saved&, const Tensor& dy) const;
};
// `updates` broadcast to the slice.
struct SetSlice {
  Ints starts, stops, steps;
  static void describe(Schema<SetSlice>&);
  Spec infer(const Spec& x, const Spec& updates) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& dy) const;
};
struct AddSlice {
  Ints starts, stops, steps;
  static void describe(Schema<AddSlice>&);
  Spec infer(const Spec& x, const Spec& updates) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& dy) const;
};
// y[a..., i..., b...] = x[a..., indices[i...], b...]
struct Take {
  Axes axis;
  static void describe(Schema<Take>&);
  Spec infer(const Spec& x, const Spec& indices) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& dy) const;
};
// The transpose of Take; `updates` is shaped as Take's result. Equal indices are served in the
// order in which they stand.
struct ScatterAdd {
  int64_t axis = 0;
  static void describe(Schema<ScatterAdd>&);
  Spec infer(const Spec& x, const Spec& indices, const Spec& updates) const;
  std::array<Tensor, 3> vjp(const Saved&, const Tensor& dy) const;
};
struct ScatterSet {  // of equal indices the last wins
  int64_t axis = 0;
  static void describe(Schema<ScatterSet>&);
  Spec infer(const Spec& x, const Spec& indices, const Spec& updates) const;
  std::array<Tensor, 3> vjp(const Saved&, const Tensor& dy) const;
};
// y[a, i, b] = x[a, indices[a, i, b], b]; indices have the rank of x and its sizes apart from
// `axis`.
struct TakeAlongAxis {
  int64_t axis = -1;
  static void describe(Schema<TakeAlongAxis>&);
  Spec infer(const Spec& x, const Spec& indices) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& dy) const;
};
struct AddAlongAxis {  // its transpose; `updates` is shaped like `indices`
  int64_t axis = -1;
  static void describe(Schema<AddAlongAxis>&);
  Spec infer(const Spec& x, const Spec& indices, const Spec& updates) const;
  std::array<Tensor, 3> vjp(const Saved&, const Tensor& dy) const;
};

}  // namespace flowbook::ops
