// Kernels that put entries elsewhere: concat and pad.
#include "ops/shape.h"

#include <algorithm>
#include <cstring>

#include "core/tensor.h"
#include "cpu/copy.h"
#include "cpu/cpu.h"

namespace flowbook::cpu {

namespace {

void concat(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Concat*>(a.attrs);
  const Array& y = a.out[0];
  const int axis = normalize_axis(op.axis, *y.spec), width = size_of(y.spec->dtype);
  int64_t to[kMaxRank];
  dense_strides(y.spec->shape, to);
  int64_t at = 0;
  for (const Array& x : a.in) {
    int64_t from[kMaxRank];
    if (x.strides)
      std::copy_n(x.strides, x.spec->shape.rank, from);
    else
      dense_strides(x.spec->shape, from);
    copy_window(x.data, from, y.as<char>() + at * to[axis] * width, to, x.spec->shape, width);
    at += x.spec->shape[axis].value();
  }
}

void pad(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Pad*>(a.attrs);
  const Array &x = a.in[0], &y = a.out[0];
  const int width = size_of(y.spec->dtype);
  // The padding value as bits, broadcast over the result; then the inner block over it.
  const Tensor value = op.value.kind == Scalar::kFloat ? scalar(op.value.d, y.spec->dtype)
                                                       : scalar(op.value.i, y.spec->dtype);
  strided_copy({view_of(value).data(), &value.spec(), nullptr}, y);
  int64_t from[kMaxRank], to[kMaxRank], offset = 0;
  if (x.strides)
    std::copy_n(x.strides, x.spec->shape.rank, from);
  else
    dense_strides(x.spec->shape, from);
  dense_strides(y.spec->shape, to);
  // Negative widths crop.
  Shape inner = x.spec->shape;
  int64_t source = 0;
  for (int i = 0; i < inner.rank; ++i) {
    const int64_t before = op.widths[size_t(2 * i)], after = op.widths[size_t(2 * i + 1)];
    int64_t n = inner[i].value();
    if (before < 0)
      source -= before * from[i], n += before;
    else
      offset += before * to[i];
    if (after < 0) n += after;
    inner[i] = std::max<int64_t>(n, 0);
  }
  copy_window(x.as<char>() + source * width, from, y.as<char>() + offset * width, to, inner, width);
}

}  // namespace

void register_shape(Backend& cpu) {
  cpu.kernel("concat", concat, kAll).strided = true;
  cpu.kernel("pad", pad, kAll).strided = true;
}

}  // namespace flowbook::cpu
