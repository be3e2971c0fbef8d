// Tensor headers, views and constants.
#include "core/tensor.h"

#include "core/apply.h"
#include "core/backend.h"
#include "core/blocks.h"
#include "core/graph.h"

namespace flowbook {

TensorImpl* new_impl(const Spec& spec) {
  TensorImpl* t = new_impl();
  t->spec = spec;
  return t;
}
void destroy(TensorImpl* t) {
  t->~TensorImpl();
  give_small(t, kHeaderBucket);
}

const View& view_of(const TensorImpl* t) {
  if (auto* v = std::get_if<View>(&t->is)) [[likely]]
    return *v;
  const Symbol& s = std::get<Symbol>(t->is);
  fail(ErrorKind::kGraph, s.graph->describe(s.value),
       " is symbolic: it has a value only when its graph",
       s.graph->name.empty() ? std::string() : cat(" `", s.graph->name, "`"),
       " runs. Use the values the graph returns, or compute it under fb.outside_graph().");
}

Tensor empty(const Spec& spec, BufferKind kind) {
  const int64_t bytes = bytes_of(spec);
  Tensor t(new_impl(spec), false);
  std::get_if<View>(&t.impl()->is)->buffer =
      spec.device ? device(spec.device).allocate(bytes, kind) : allocate(bytes, kind);
  return t;
}
Tensor make_view(const Spec& spec, View view) {
  Tensor t(new_impl(spec), false);
  t.impl()->is = std::move(view);
  return t;
}

Tensor dense(const Tensor& t) { return view_of(t).dense ? t : deep_copy(t); }
Tensor deep_copy(const Tensor& t) {
  const View& v = view_of(t);
  Tensor out = empty(t.spec());
  Array from{v.data(), &t.spec(), v.dense ? nullptr : v.strides},
      to{view_of(out).data(), &out.spec(), nullptr};
  if (t.shape().size()) g_core_ops.copy(from, to);
  return out;
}

namespace {
template <class V>
void store(void* p, DType t, V v) {
  switch (t) {
    case DType::bool_:
      *static_cast<bool*>(p) = v != 0;
      return;
    case DType::i8:
      *static_cast<int8_t*>(p) = int8_t(v);
      return;
    case DType::i16:
      *static_cast<int16_t*>(p) = int16_t(v);
      return;
    case DType::i32:
      *static_cast<int32_t*>(p) = int32_t(v);
      return;
    case DType::i64:
      *static_cast<int64_t*>(p) = int64_t(v);
      return;
    case DType::u8:
      *static_cast<uint8_t*>(p) = uint8_t(v);
      return;
    case DType::u16:
      *static_cast<uint16_t*>(p) = uint16_t(v);
      return;
    case DType::u32:
      *static_cast<uint32_t*>(p) = uint32_t(v);
      return;
    case DType::u64:
      *static_cast<uint64_t*>(p) = uint64_t(v);
      return;
    case DType::f16:
      *static_cast<uint16_t*>(p) = float_to_half(float(v));
      return;
    case DType::bf16:
      *static_cast<uint16_t*>(p) = float_to_bfloat(float(v));
      return;
    case DType::f32:
      *static_cast<float*>(p) = float(v);
      return;
    case DType::f64:
      *static_cast<double*>(p) = double(v);
      return;
    case DType::c64:
      static_cast<float*>(p)[0] = float(v), static_cast<float*>(p)[1] = 0;
      return;
    case DType::c128:
      static_cast<double*>(p)[0] = double(v), static_cast<double*>(p)[1] = 0;
      return;
  }
}
}  // namespace

Tensor scalar(double v, DType dtype, bool weak) {
  if (in(dtype, kIntegral) && !(v >= -9.2e18 && v <= 9.2e18 && v == double(int64_t(v))))
    argument_error(v, " is no value of ", name_of(dtype),
                   ". Give an integer, or a floating dtype.");
  if (in(dtype, kIntegral)) return scalar(int64_t(v), dtype, weak);
  Tensor t = empty({{}, dtype, 0, weak});
  store(view_of(t).data(), dtype, v);
  return t;
}
Tensor scalar(int64_t v, DType dtype, bool weak) {
  if (in(dtype, kIntegral) && dtype != DType::i64) {
    const int bits = 8 * size_of(dtype);
    const bool is_signed = in(dtype, kSigned);
    const bool fits = is_signed ? v >= -(int64_t(1) << (bits - 1)) && v < int64_t(1) << (bits - 1)
                                : v >= 0 && (bits == 64 || v < int64_t(1) << bits);
    if (!fits) argument_error(v, " does not fit in ", name_of(dtype), ". Use a wider dtype.");
  }
  Tensor t = empty({{}, dtype, 0, weak});
  store(view_of(t).data(), dtype, v);
  return t;
}
double scalar_value(const Tensor& t) {
  const void* p = view_of(t).data();
  switch (t.dtype()) {
    case DType::bool_:
      return *static_cast<const bool*>(p);
    case DType::i8:
      return *static_cast<const int8_t*>(p);
    case DType::i16:
      return *static_cast<const int16_t*>(p);
    case DType::i32:
      return *static_cast<const int32_t*>(p);
    case DType::i64:
      return double(*static_cast<const int64_t*>(p));
    case DType::u8:
      return *static_cast<const uint8_t*>(p);
    case DType::u16:
      return *static_cast<const uint16_t*>(p);
    case DType::u32:
      return *static_cast<const uint32_t*>(p);
    case DType::u64:
      return double(*static_cast<const uint64_t*>(p));
    case DType::f16:
      return half_to_float(*static_cast<const uint16_t*>(p));
    case DType::bf16:
      return bfloat_to_float(*static_cast<const uint16_t*>(p));
    case DType::f32:
      return *static_cast<const float*>(p);
    case DType::f64:
      return *static_cast<const double*>(p);
    case DType::c64:
      return *static_cast<const float*>(p);
    case DType::c128:
      return *static_cast<const double*>(p);
  }
  return 0;
}

Scalar scalar_of(const Tensor& t) {
  if (t.dtype() == DType::i64) return Scalar(*static_cast<const int64_t*>(view_of(t).data()));
  const double v = scalar_value(t);
  if (t.dtype() == DType::bool_) return Scalar(v != 0);
  return in(t.dtype(), kIntegral) && v < 9.2e18 ? Scalar(int64_t(v)) : Scalar(v);
}

}  // namespace flowbook
