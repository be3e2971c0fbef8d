// apply(): promote, infer, then record or run.
#include "core/apply.h"

#include "core/blocks.h"
#include "core/graph.h"

namespace flowbook {

CoreOps g_core_ops;
LongRunHooks g_long_run;

namespace {

constexpr int kFewInputs = 4, kStackInputs = 16, kStackOutputs = 8;
// Work below this many bytes touched is not worth giving up the GIL for.
constexpr int64_t kLongRunBytes = 512 << 10;

// Temporary arrays that stay on the stack for ordinary ops; not initialised there, whoever uses
// them fills them.
template <class T, int kInline>
class Scratch {
 public:
  explicit Scratch(size_t n) : n_(n) {
    if (n > kInline) heap_.reset(new T[n]);
  }
  T* data() { return heap_ ? heap_.get() : inline_; }
  T& operator[](size_t i) { return data()[i]; }
  size_t size() const { return n_; }

 private:
  static_assert(std::is_trivially_destructible_v<T>);
  size_t n_;
  union {
    T inline_[kInline];
  };
  std::unique_ptr<T[]> heap_;
};

const InputDef& input_def(const OpDef& op, size_t i) { return op.inputs[op.variadic ? 0 : i]; }
std::string input_label(const OpDef& op, size_t i) {
  return op.variadic ? cat(op.inputs[0].name, "[", i, "]") : std::string(op.inputs[i].name);
}

// ---- promotion
// -------------------------------------------------------------------------------------------
DType default_kind(DType t) {  // what a lone Python number becomes
  return in(t, kFloating)    ? kDefaultFloat
         : in(t, kComplex)   ? DType::c64
         : t == DType::bool_ ? t
                             : kDefaultInt;
}

Tensor convert(const Tensor& t, DType to) {
  if (t.spec().weak && t.rank() == 0 &&
      !t.symbolic()) {  // a Python number: converted exactly, or refused
    if (in(t.dtype(), kIntegralOrBool) && t.dtype() == DType::i64)
      return scalar(*static_cast<const int64_t*>(view_of(t).data()), to, true);
    return scalar(scalar_value(t), to, true);
  }
  return g_core_ops.cast(t, to);
}

// The common dtype of all value inputs; then, for ops on floats only, the default float for
// integers.
[[gnu::noinline]] void promote_inputs(const OpDef& op, Inputs in, Tensor* hold, TensorImpl** out) {
  bool any = false, all_weak = true;
  DType common = DType::bool_;
  bool weak = true;
  for (size_t i = 0; i < in.size(); ++i) {
    const InputDef& d = input_def(op, i);
    const Spec& s = in[i]->spec;
    if (d.role == Role::kOwn) {
      if (!flowbook::in(s.dtype, d.accepts))
        dtype_error(input_label(op, i), " is ", s, ". It must have one of the dtypes ",
                    names_in(d.accepts), "; cast it with astype().");
      continue;
    }
    common = any ? promote(common, weak, s.dtype, s.weak) : s.dtype;
    weak = any ? weak && s.weak : s.weak;
    all_weak = all_weak && s.weak;
    any = true;
  }
  if (!any) return;
  if (all_weak) common = default_kind(common);
  const DTypeSet accepts = input_def(op, 0).role == Role::kValue ? input_def(op, 0).accepts : [&] {
    for (size_t i = 0; i < in.size(); ++i)
      if (input_def(op, i).role == Role::kValue) return input_def(op, i).accepts;
    return kAll;
  }();
  if (!flowbook::in(common, accepts)) {
    if (flowbook::in(kDefaultFloat, accepts) && flowbook::in(common, kIntegralOrBool)) {
      common = kDefaultFloat;
    } else {
      std::string specs;
      for (size_t i = 0; i < in.size(); ++i)
        if (input_def(op, i).role == Role::kValue)
          specs += cat(specs.empty() ? "" : ", ", input_label(op, i), " is ", in[i]->spec);
      dtype_error(specs, ". The op takes ", names_in(accepts), "; cast with astype().");
    }
  }
  for (size_t i = 0; i < in.size(); ++i)
    if (input_def(op, i).role == Role::kValue && in[i]->spec.dtype != common) {
      hold[i] = convert(Tensor(in[i]), common);
      out[i] = hold[i].impl();
    }
}

// What most calls are: inputs of one dtype that the op takes, on one device, not all of them Python
// numbers. Nothing is left to promote or to check then.
inline bool agree(const OpDef& op, Inputs in) {
  if (op.variadic || in.empty()) return false;
  const Spec& first = in[0]->spec;
  bool all_weak = true;
  for (size_t i = 0; i < in.size(); ++i) {
    const Spec& s = in[i]->spec;
    const InputDef& d = op.inputs[i];
    if (s.dtype != first.dtype || s.device != first.device || !flowbook::in(s.dtype, d.accepts) ||
        (s.weak && d.role == Role::kOwn))
      return false;
    all_weak = all_weak && s.weak;
  }
  return !all_weak;
}

bool needs_promotion(const OpDef& op, Inputs in) {
  const Spec* first = nullptr;
  for (size_t i = 0; i < in.size(); ++i) {
    const InputDef& d = input_def(op, i);
    const Spec& s = in[i]->spec;
    if (!flowbook::in(s.dtype, d.accepts) || (s.weak && d.role == Role::kValue)) return true;
    if (d.role == Role::kOwn) continue;
    if (first && first->dtype != s.dtype) return true;
    first = &s;
  }
  return false;
}

void check_devices(Inputs in) {
  for (TensorImpl* t : in)
    if (t->spec.device != in[0]->spec.device && !(t->spec.weak && t->spec.shape.rank == 0))
        [[unlikely]]
      fail(ErrorKind::kDevice, "the inputs are on ", device(in[0]->spec.device).name(), " and ",
           device(t->spec.device).name(), ". Move one of them with .to(\"",
           device(in[0]->spec.device).name(), "\").");
}

void finish_specs(const OpDef& op, Inputs in, Spec* specs, int outputs) {
  if (in.empty()) return;
  bool weak = op.elementwise >= 0;
  for (TensorImpl* t : in) weak = weak && t->spec.weak;
  for (int i = 0; i < outputs; ++i) specs[i].device = in[0]->spec.device, specs[i].weak = weak;
}

// ---- running
// ---------------------------------------------------------------------------------------------
struct LongRun {
  explicit LongRun(bool yes) : token(yes && g_long_run.begin ? g_long_run.begin() : nullptr) {}
  ~LongRun() {
    if (token) g_long_run.end(token);
  }
  void* token;
};

[[noreturn, gnu::noinline, gnu::cold]] void no_kernel(const OpDef& op, const KernelEntry* e,
                                                      const Backend& b, DType t) {
  if (!e)
    fail(ErrorKind::kMissingKernel, "device `", b.name(),
         "` has no kernel for it. Move the inputs to the CPU with .to(\"cpu\").");
  fail(ErrorKind::kMissingKernel, "there is no ", b.name(), " kernel for ", name_of(t),
       ". There are kernels for ", names_in(e->dtypes), "; cast with astype()",
       op.inputs.empty() ? "" : " before the op", ".");
}

DType deciding_dtype(const OpDef& op, Inputs in, const Spec* specs) {
  for (size_t i = 0; i < in.size(); ++i)
    if (input_def(op, i).role == Role::kValue) return in[i]->spec.dtype;
  return specs[0].dtype;
}

[[gnu::always_inline]] inline Backend& backend_of(const Spec& spec) {
  static Backend* const* const table = devices().data();  // it grows, but never moves
  return *table[spec.device];
}

// The kernel for these inputs; null where the op runs as what it is made of.
const KernelEntry* kernel_for(const OpDef& op, Inputs in, const Spec* specs) {
  const Backend& backend = backend_of(specs[0]);
  const KernelEntry* entry = backend.find(op);
  if (entry && flowbook::in(deciding_dtype(op, in, specs), entry->dtypes)) [[likely]]
    return entry;
  if (entry || !op.expand) no_kernel(op, entry, backend, deciding_dtype(op, in, specs));
  return nullptr;
}

const View& concrete(const TensorImpl* t) {
  if (const View* v = std::get_if<View>(&t->is)) [[likely]]
    return *v;
  return view_of(t);  // says what the symbol is
}

// Memory of a tensor on the CPU, in line where that is a pop from a list.
[[gnu::always_inline]] inline Ref<Buffer> tensor_memory(int64_t bytes) {
  return bytes <= kJoinedBytes ? allocate_joined(bytes, BufferKind::kTensor)
                               : allocate(bytes, BufferKind::kTensor);
}

// Memory for a header that has none yet.
void give_memory(TensorImpl* t) {
  const int64_t bytes = bytes_of(t->spec);
  std::get_if<View>(&t->is)->buffer =
      t->spec.device ? device(t->spec.device).allocate(bytes, BufferKind::kTensor)
                     : tensor_memory(bytes);
}

[[gnu::noinline]] void run_long(const KernelEntry& entry, const KernelArgs& args) {
  LongRun guard(true);
  entry.run(args);
}

// A composite without a kernel.
[[gnu::noinline]] void run_parts(const OpDef& op, const void* attrs, Inputs in, int outputs,
                                 Tensor* out) {
  if (!op.as_program) {
    Recorder suspended(nullptr);
    return op.expand(attrs, in, out);
  }
  int64_t bytes = 0;
  for (TensorImpl* t : in) bytes += concrete(t).buffer->bytes;
  LongRun guard(bytes >= kLongRunBytes);
  run_as_program(op, attrs, in, outputs, out);
}

// Calls a kernel. `out` may hold headers already; else they are made from the specs. `arrays` and
// `results` have room for the arguments.
inline void run_kernel(const KernelEntry& entry, const OpDef& op, const void* attrs, Inputs in,
                       const Spec* specs, int outputs, Tensor* out, Array* arrays, Array* results) {
  std::vector<Tensor> copies;
  int64_t bytes = 0, written = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    const View* v = &concrete(in[i]);
    if (!v->dense && !entry.strided) [[unlikely]] {
      copies.push_back(dense(Tensor(in[i])));
      v = &view_of(copies.back());
    }
    arrays[i] = {v->data(), &in[i]->spec, v->dense ? nullptr : v->strides};
    bytes += v->buffer->bytes;
  }
  for (int i = 0; i < outputs; ++i) {
    if (!out[i]) out[i] = Tensor(new_impl(specs[i]), false);
    give_memory(out[i].impl());
    const View& v = concrete(out[i].impl());
    results[i] = {v.data(), &out[i].spec(), nullptr};
    written += v.buffer->bytes;
  }
  if (written == 0) return;
  Ref<Buffer> workspace;
  if (entry.workspace)
    if (int64_t n = entry.workspace(op, attrs, {arrays, in.size()}))
      workspace = allocate(n, BufferKind::kWorkspace);
  const KernelArgs args{op,
                        attrs,
                        {arrays, in.size()},
                        {results, size_t(outputs)},
                        workspace ? workspace->data : nullptr};
  if (bytes + written < kLongRunBytes) [[likely]]
    return entry.run(args);
  run_long(entry, args);
}

[[gnu::noinline]] void run_many(const KernelEntry& entry, const OpDef& op, const void* attrs,
                                Inputs in, const Spec* specs, int outputs, Tensor* out) {
  Scratch<Array, kStackInputs> arrays(in.size());
  Scratch<Array, kStackOutputs> results{size_t(outputs)};
  run_kernel(entry, op, attrs, in, specs, outputs, out, arrays.data(), results.data());
}

void run(const OpDef& op, const void* attrs, Inputs in, const Spec* specs, int outputs,
         Tensor* out) {
  if (op.view && !in.empty()) {
    View v;
    if (op.view(attrs, specs[0], Tensor(in[0]), v)) {
      view_of(in[0]);
      out[0] = make_view(specs[0], std::move(v));
      return;
    }
  }
  const KernelEntry* entry = kernel_for(op, in, specs);
  if (!entry) [[unlikely]]
    return run_parts(op, attrs, in, outputs, out);
  if (in.size() > kFewInputs || outputs != 1) [[unlikely]]
    return run_many(*entry, op, attrs, in, specs, outputs, out);
  Array arrays[kFewInputs], result;
  run_kernel(*entry, op, attrs, in, specs, 1, out, arrays, &result);
}

// A Python number in a recording is a constant of the graph, not a capture.
[[gnu::noinline]] void constants(Inputs in, std::vector<Tensor>& held,
                                 std::vector<TensorImpl*>& ins) {
  for (TensorImpl* t : in) {
    if (t->spec.weak && t->spec.shape.rank == 0 && std::holds_alternative<View>(t->is)) {
      held.push_back(g_core_ops.full_like(t->spec, scalar_of(Tensor(t))));
    } else {
      held.emplace_back(t);
    }
    ins.push_back(held.back().impl());
  }
}

[[gnu::noinline]] void record(const OpDef& op, const void* attrs, Inputs in, const Spec* specs,
                              int outputs, Tensor* out) {
  Graph* program = Recorder::program();
  std::vector<Tensor> held;
  std::vector<TensorImpl*> ins;
  if (program) {
    constants(in, held, ins);
    in = ins;
    if (program->replace && program->replace(op, attrs, in, out)) return;
    const int32_t v = program->add(op, attrs, in, specs, outputs);
    for (int i = 0; i < outputs; ++i) out[i] = program->tensor(v + i);
  } else if (Recorder::current() && op.differentiable && !op.vjp && op.expand) {
    return op.expand(attrs, in, out);  // a composite without a rule: the tape notes its parts
  } else {
    run(op, attrs, in, specs, outputs, out);
  }
  for (Recorder* r = Recorder::top(); r && r->graph; r = r->outer) {
    Graph& tape = *r->graph;
    if (tape.symbolic) continue;
    const int32_t v = tape.add(op, attrs, in, specs, outputs);
    for (int i = 0; i < outputs; ++i)
      tape.bind(v + i, out[i], op.differentiable && (op.reads_outputs >> std::min(i, 63) & 1));
  }
}

// `agreed`: the inputs agree(), so that nothing that comes out stands for a Python number.
inline void infer_and_run(const OpDef& op, const void* attrs, Inputs in, bool agreed, Tensor* out) {
  const int outputs = op.outputs_of(attrs, int(in.size()));
  if (agreed && outputs == 1 && !op.view && !tls.recorder) [[likely]] {
    // The rule writes into the header of the result: a spec is too long to be copied for nothing.
    Tensor header(new_impl(), false);
    Spec& spec = header.impl()->spec;
    op.infer(attrs, in, &spec);
    spec.device = in[0]->spec.device, spec.weak = false;
    run(op, attrs, in, &spec, 1, &header);
    *out = std::move(header);
    return;
  }
  Scratch<Spec, kStackOutputs> specs{size_t(outputs)};
  op.infer(attrs, in, specs.data());
  if (outputs == 0) return;  // an empty list was asked for
  if (agreed) [[likely]] {
    for (int i = 0; i < outputs; ++i)
      specs[size_t(i)].device = in[0]->spec.device, specs[size_t(i)].weak = false;
  } else {
    finish_specs(op, in, specs.data(), outputs);
  }
  if (!tls.recorder) [[likely]]
    return run(op, attrs, in, specs.data(), outputs, out);
  record(op, attrs, in, specs.data(), outputs, out);
}

[[gnu::noinline]] void apply_promoted(const OpDef& op, const void* attrs, Inputs in, Tensor* out) {
  Scratch<TensorImpl*, kStackInputs> ins(in.size());
  std::vector<Tensor> hold;
  if (op.variadic && in.empty()) argument_error("needs at least one ", op.inputs[0].name, ".");
  if (needs_promotion(op, in)) {
    hold.resize(in.size());
    std::copy(in.begin(), in.end(), ins.data());
    promote_inputs(op, in, hold.data(), ins.data());
    in = {ins.data(), ins.size()};
  }
  check_devices(in);
  infer_and_run(op, attrs, in, false, out);
}

// What most small calls are: a map of dense tensors of one shape, or of one beside single numbers,
// that nobody records. Its result has the spec of its inputs, so there is nothing to infer. `in`
// agree(). False: it is something else, and nothing was done.
inline bool map_few(const OpDef& op, Inputs in, Tensor* out) {
  constexpr size_t kMost = 2;
  if (op.elementwise < 0 || in.size() > kMost || tls.recorder) return false;
  const Spec* spec = &in[0]->spec;
  if (spec->device) return false;
  for (TensorImpl* t : in)
    if (t->spec.shape.rank > spec->shape.rank) spec = &t->spec;
  const KernelEntry* entry = backend_of(*spec).find(op);
  if (!entry || !entry->few.loops || !flowbook::in(spec->dtype, entry->dtypes)) return false;
  uint64_t n = 1;  // wraps around only where a size is 0
  for (Dim d : spec->shape) n *= uint64_t(d.raw());
  if (n - 1 >= uint64_t(kFewEntries)) return false;
  Operand operands[kMost];
  for (size_t i = 0; i < in.size(); ++i) {
    const View* v = std::get_if<View>(&in[i]->is);
    if (!v || !v->dense) return false;
    const bool many = in[i]->spec.shape.rank != 0 || spec->shape.rank == 0;
    if (many && &in[i]->spec != spec && !(in[i]->spec.shape == spec->shape)) return false;
    operands[i] = {v->data(), many};
  }
  Tensor header(new_impl(), false);
  Spec& result = header.impl()->spec;
  result.shape = spec->shape;
  result.dtype = entry->few.flags ? DType::bool_ : spec->dtype;
  View& memory = *std::get_if<View>(&header.impl()->is);
  memory.buffer = tensor_memory(int64_t(n) * size_of(result.dtype));
  entry->few.loops[int(spec->dtype)](operands, memory.buffer->data, int64_t(n));
  *out = std::move(header);
  return true;
}

inline void apply_checked(const OpDef& op, const void* attrs, Inputs in, Tensor* out) {
  if (agree(op, in)) [[likely]] {
    if (map_few(op, in, out)) return;
    return infer_and_run(op, attrs, in, true, out);
  }
  apply_promoted(op, attrs, in, out);
}

// The op's name is put in front here, once: rules need not know it.
[[noreturn, gnu::cold]] void name_op(Error& e, const OpDef& op) {
  if (!e.located && e.kind != ErrorKind::kCancelled) {
    e.text = cat(op.name, ": ", e.text);
    e.op = op.name;
    e.located = true;
  }
  throw;
}

}  // namespace

void apply(const OpDef& op, const void* attrs, Inputs in, Tensor* out) {
  try {
    apply_checked(op, attrs, in, out);
  } catch (Error& e) {
    name_op(e, op);
  }
}

void infer_only(const OpDef& op, const void* attrs, Inputs in, std::vector<Spec>& out) {
  try {
    std::vector<Tensor> hold(in.size());
    std::vector<TensorImpl*> ins(in.begin(), in.end());
    if (needs_promotion(op, in)) promote_inputs(op, in, hold.data(), ins.data());
    check_devices(ins);
    out.resize(size_t(op.outputs_of(attrs, int(in.size()))));
    op.infer(attrs, ins, out.data());
    finish_specs(op, ins, out.data(), int(out.size()));
  } catch (Error& e) {
    name_op(e, op);
  }
}

}  // namespace flowbook
