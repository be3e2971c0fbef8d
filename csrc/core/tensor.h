// Tensor: one intrusive pointer to TensorImpl{Spec, variant<View, Symbol>}. Tensors are immutable
// values.
#pragma once
#include <cstring>
#include <memory>
#include <span>
#include <variant>

#include "core/buffer.h"
#include "core/shape.h"

namespace flowbook {

class Graph;

// Concrete: a strided window on a buffer.
struct View {
  View() {}  // leaves `strides` as they are, where a defaulted one would have them cleared
  void* data() const { return static_cast<char*>(buffer->data) + offset; }
  Ref<Buffer> buffer;
  int64_t offset = 0;         // bytes
  bool dense = true;          // row-major without gaps; then `strides` is not even filled
  int64_t strides[kMaxRank];  // elements; may be 0 (broadcast) or negative (flip)
};
// Symbolic: value `value` of a graph.
struct Symbol {
  std::shared_ptr<Graph>
      graph;  // strong: a graph never holds symbols of its own values, so no cycle
  int32_t value;
};

struct TensorImpl {
  std::atomic<uint32_t> refs{1};
  Spec spec;
  uint64_t id = 0;  // given when a recording first meets the tensor; 0 before
  std::variant<View, Symbol> is;
};
FB_API void destroy(TensorImpl* t);
FB_API TensorImpl* new_impl(const Spec& spec);  // a View without buffer; reference count one

using Inputs = std::span<TensorImpl* const>;  // borrowed: passing inputs touches no reference count

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(TensorImpl* p, bool add = true) : impl_(p, add) {}

  TensorImpl* impl() const { return impl_.get(); }
  TensorImpl* release() { return impl_.release(); }
  const Spec& spec() const { return impl_->spec; }
  const Shape& shape() const { return impl_->spec.shape; }
  DType dtype() const { return impl_->spec.dtype; }
  int rank() const { return impl_->spec.shape.rank; }
  bool symbolic() const { return std::holds_alternative<Symbol>(impl_->is); }
  explicit operator bool() const { return bool(impl_); }

 private:
  Ref<TensorImpl> impl_;
};

// The view of a concrete tensor; GraphError for a symbol (it has a value only when its graph runs).
FB_API const View& view_of(const TensorImpl* t);
inline const View& view_of(const Tensor& t) { return view_of(t.impl()); }

FB_API Tensor empty(const Spec& spec, BufferKind kind = BufferKind::kTensor);
FB_API Tensor make_view(const Spec& spec, View view);
FB_API Tensor dense(const Tensor& t);      // itself, or a row-major copy
FB_API Tensor deep_copy(const Tensor& t);  // always fresh memory
inline void append(std::string& s, const Tensor& t) { append(s, t.spec()); }

// 0-d constants. The weak ones stand for Python numbers.
FB_API Tensor scalar(double v, DType dtype, bool weak = false);
FB_API Tensor scalar(int64_t v, DType dtype, bool weak = false);
FB_API double scalar_value(const Tensor& t);  // of a concrete real 0-d tensor, as double

}  // namespace flowbook
