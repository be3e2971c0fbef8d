// Shapes, specs and the shape rules that ops share.
#include "core/shape.h"

namespace flowbook {

void Shape::too_long() {
  shape_error("a tensor has at most ", kMaxRank, " axes. Merge some of them with reshape().");
}

int64_t Shape::too_many() const {
  for (Dim d : *this)
    if (d.value() == 0) return 0;
  shape_error("a tensor of shape ", *this, " has more than 2^63 entries. Use smaller sizes.");
}

void append(std::string& s, const Shape& shape) {
  s += '[';
  for (int i = 0; i < shape.rank; ++i) {
    if (i) s += ", ";
    append(s, shape[i]);
  }
  s += ']';
}
void append(std::string& s, const Spec& spec) {
  append(s, spec.dtype);
  append(s, spec.shape);
}

namespace {
// Zero where an axis is empty, however long the others are.
[[gnu::noinline, gnu::cold]] int64_t bytes_of_many(const Spec& spec) {
  for (Dim d : spec.shape)
    if (d.value() == 0) return 0;
  fail(ErrorKind::kOutOfMemory, "a tensor of ", spec,
       " needs more than 2^62 bytes. Check its shape.");
}
}  // namespace

int64_t bytes_of(const Spec& spec) {
  int64_t n = size_of(spec.dtype);
  bool many = false;
  for (Dim d : spec.shape) many |= __builtin_mul_overflow(n, d.value(), &n);
  return many || n > (int64_t(1) << 62) ? bytes_of_many(spec) : n;
}

Shape broadcast(const Shape& a, const Shape& b) {
  if (a == b) return a;
  const Shape &hi = a.rank >= b.rank ? a : b, &lo = a.rank >= b.rank ? b : a;
  Shape out = hi;
  for (int i = 0; i < lo.rank; ++i) {
    Dim& o = out[hi.rank - 1 - i];
    const Dim l = lo[lo.rank - 1 - i];
    if (o == Dim(1))
      o = l;
    else if (!(l == Dim(1) || l == o))
      shape_error("cannot broadcast ", a, " with ", b, " (", a.rank >= b.rank ? o : l, " against ",
                  a.rank >= b.rank ? l : o, ", axis ", -1 - i, "). Sizes must be equal or 1.");
  }
  return out;
}

int normalize_axis(int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    if (rank == 0)
      fail(ErrorKind::kAxis, "axis ", axis, " is out of range for a tensor without axes (0-d).");
    fail(ErrorKind::kAxis, "axis ", axis, " is out of range for rank ", rank, ". It must be from ",
         -rank, " to ", rank - 1, ".");
  }
  return int(axis < 0 ? axis + rank : axis);
}

Shape substitute(const Shape& s, std::span<const DimBinding> values) {
  Shape out = s;
  for (Dim& d : out) d = substitute(d, values);
  return out;
}

void dense_strides(const Shape& shape, int64_t* strides) {
  uint64_t step = 1;  // may wrap where another size is 0: then nobody uses it
  for (int i = shape.rank - 1; i >= 0; --i) {
    strides[i] = int64_t(step);
    step *= uint64_t(shape[i].value());
  }
}

void Axes::push_back(int64_t a) {
  all = false;
  if (count == kMaxRank)
    argument_error("more than ", kMaxRank, " axes are named. A tensor has at most ", kMaxRank, ".");
  if (a < -kMaxRank || a >= kMaxRank)
    fail(ErrorKind::kAxis, "axis ", a, " is out of range. A tensor has at most ", kMaxRank,
         " axes.");
  axis[count++] = int8_t(a);
}
uint32_t Axes::mask(int rank) const {
  if (all) return (1u << rank) - 1;
  uint32_t m = 0;
  for (int i = 0; i < count; ++i) {
    const uint32_t bit = 1u << normalize_axis(axis[i], rank);
    if (m & bit) argument_error("axis ", int(axis[i]), " is named twice.");
    m |= bit;
  }
  return m;
}
Shape reduced(const Shape& x, uint32_t mask, bool keepdims) {
  Shape y;
  for (int i = 0; i < x.rank; ++i)
    if (!(mask >> i & 1))
      y.push_back(x[i]);
    else if (keepdims)
      y.push_back(1);
  return y;
}

}  // namespace flowbook
