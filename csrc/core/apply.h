// apply(): the one way in. Every op on every kind of tensor goes through here: promote, infer, then
// record or run. call() is its typed form for C++.
#pragma once
#include "core/backend.h"

namespace flowbook {

// Fills op.outputs_of(attrs, in.size()) tensors. Strong guarantee: on an error nothing has changed.
FB_API void apply(const OpDef& op, const void* attrs, Inputs in, Tensor* out);

// Runs a composite on concrete inputs as the compiled program of its parts (as_program.cpp); plans
// are kept for the next call on equal specs.
void run_as_program(const OpDef& op, const void* attrs, Inputs in, int outputs, Tensor* out);

// The record of Op. Each shared library caches its own pointer; identity is the registry's.
template <class Op>
const OpDef& def() {
  static const OpDef* const d = [] {
    OpDef t;
    Schema<Op> s(t);
    Op::describe(s);
    return &registry().find(t.name);
  }();
  return *d;
}

template <class Op, std::same_as<Tensor>... T>
auto call(const Op& op, const T&... in) {
  constexpr int n = kCount<typename Signature<decltype(&Op::infer)>::Result>;
  std::array<TensorImpl*, sizeof...(T)> ins{in.impl()...};
  std::array<Tensor, n> out;
  apply(def<Op>(), &op, ins, out.data());
  if constexpr (n == 1)
    return std::move(out[0]);
  else
    return out;
}
// Variadic ops.
template <class Op>
std::vector<Tensor> call_list(const Op& op, std::span<const Tensor> in) {
  std::vector<TensorImpl*> ins;
  for (const Tensor& t : in) ins.push_back(t.impl());
  const OpDef& d = def<Op>();
  std::vector<Tensor> out(d.outputs_of(&op, int(in.size())));
  apply(d, &op, ins, out.data());
  return out;
}

// What core itself needs from the op library; the library fills it when it registers.
struct CoreOps {
  Tensor (*add)(const Tensor&, const Tensor&);
  Tensor (*full_like)(const Spec&, const Scalar&);  // a constant of that spec
  Tensor (*sum_to)(const Tensor&, const Shape&);    // undoes a broadcast
  Tensor (*cast)(const Tensor&, DType);
  void (*copy)(const Array& from, const Array& to);  // strided to dense, same dtype; runs at once
};
FB_API extern CoreOps g_core_ops;

// The number in a concrete real 0-d tensor: integers exactly, also beyond 2^53.
FB_API Scalar scalar_of(const Tensor& t);

// Called around kernels that may take about a millisecond or more; the Python binding releases the
// GIL there. `begin` returns a token for `end`; null where nothing is to be done.
struct LongRunHooks {
  void* (*begin)() = nullptr;
  void (*end)(void*) = nullptr;
};
FB_API extern LongRunHooks g_long_run;

// The dtype-promoted inputs as apply() would hand them to infer (`hold` owns the converted ones).
// Used where an op's specs are wanted without running it.
FB_API void infer_only(const OpDef& op, const void* attrs, Inputs in, std::vector<Spec>& out);

}  // namespace flowbook
