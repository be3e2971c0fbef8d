// Views and steps.
#include "core/plan.h"

#include <algorithm>

namespace flowbook {

void Planner::run() {
  for (const Value& v : g_.values) specs_.push_back(v.spec);
  make_views();
  write_into_joins();
  uses_.assign(g_.values.size(), 0);
  auto use = [&](int32_t v) { ++uses_[size_t(e_.views_[size_t(v)].root)]; };
  for (size_t k = 0; k < g_.nodes.size(); ++k)
    if (computes(int32_t(k)))
      for (int32_t v : g_.nodes[k].inputs) use(v);
  for (int32_t v : e_.lowered_.fetches) use(v);
  for (const Assignment& a : g_.assignments) {
    use(a.value);
    assigned_.insert(a.variable.get());
  }
  group_nodes();
  attach_products();
  for (size_t k = 0; k < g_.nodes.size(); ++k) {
    const Node& n = g_.nodes[k];
    if (!computes(int32_t(k))) continue;
    const int i = find_group(n.output);
    if (i >= 0) {
      if (groups_[size_t(i)].place == int32_t(k)) make_group_step(groups_[size_t(i)]);
    } else if (!attached_.count(int32_t(k))) {
      make_step(int32_t(k));
    }
  }
  order_commits();
  form_waves();
  place_values();
}

// Every value as a window on a root. Ops like reshape and slice cost nothing if their strides allow
// it; a dummy buffer lets each op's own `view` do the arithmetic.
void Planner::make_views() {
  e_.views_.assign(g_.values.size(), {});
  for (size_t v = 0; v < g_.values.size(); ++v) e_.views_[v].root = int32_t(v);
  for (const auto& [value, window] : inside_) e_.views_[size_t(value)] = window;
  for (size_t k = 0; k < g_.nodes.size(); ++k)
    if (const Node& n = g_.nodes[k];
        n.op && n.op->view && n.inputs.size() == 1 && !vanished_.count(int32_t(k)))
      try_view(n);
}
bool Planner::try_view(const Node& n) {
  const int32_t x = n.inputs[0];
  const Executable::View& from = e_.views_[size_t(x)];
  Buffer dummy;
  dummy.refs.store(1u << 30, std::memory_order_relaxed);  // never given back
  View v;
  v.buffer = Ref<Buffer>(&dummy);
  v.offset = from.offset;
  v.dense = from.dense;
  if (!from.dense) std::copy(std::begin(from.strides), std::end(from.strides), v.strides);
  Tensor placeholder = make_view(g_.values[size_t(x)].spec, std::move(v));
  View out;
  if (!n.op->view(n.attrs.get(), g_.values[size_t(n.output)].spec, placeholder, out)) return false;
  Executable::View& to = e_.views_[size_t(n.output)];
  to.root = from.root;
  to.offset = out.offset;
  to.dense = out.dense;
  if (!out.dense) std::copy(std::begin(out.strides), std::end(out.strides), to.strides);
  return true;
}

Step::Operand Planner::operand(int32_t value) const {
  const Executable::View& v = e_.views_[size_t(value)];
  Step::Operand o;
  o.value = v.root;
  o.spec = specs_[size_t(value)];
  o.offset = v.offset;
  o.dense = v.dense;
  if (!v.dense) std::copy(std::begin(v.strides), std::end(v.strides), o.strides);
  return o;
}

int32_t Planner::new_value(const Spec& spec) {
  const auto v = int32_t(specs_.size());
  specs_.push_back(spec);
  e_.views_.emplace_back();
  e_.views_.back().root = v;
  return v;
}

// A step that copies a strided or broadcast operand into dense memory of its own.
int32_t Planner::materialize(const Step::Operand& from, const Spec& spec) {
  const int32_t v = new_value(spec);
  Step copy;
  copy.op = &registry().find("copy");
  copy.attrs = AttrBox(*copy.op, copy.op->defaults.get());
  copy.entry = device(spec.device).find(*copy.op);
  if (!copy.entry) internal_error("the device ", device(spec.device).name(), " cannot copy.");
  Step::Operand window = from;  // the operand as a window of the wanted shape
  fit_strides({nullptr, &from.spec, from.dense ? nullptr : from.strides}, spec.shape,
              window.strides);
  window.dense = false;
  window.spec = spec;
  copy.in.push_back(window);
  copy.out.push_back(v);
  e_.steps_.push_back(std::move(copy));
  return v;
}

void Planner::make_step(int32_t node) { e_.steps_.push_back(kernel_step(node)); }

// The call of one node's kernel; operands that it cannot read are copied by steps before it.
Step Planner::kernel_step(int32_t node) {
  const Node& n = g_.nodes[size_t(node)];
  Step step;
  step.op = n.op;
  step.attrs = AttrBox(*n.op, n.attrs.get());
  step.nodes.push_back(node);
  const Backend& backend = device(g_.values[size_t(n.output)].spec.device);
  step.entry = backend.find(*n.op);
  DType deciding = g_.values[size_t(n.output)].spec.dtype;
  for (size_t i = n.inputs.size(); i-- > 0;)
    if (n.op->inputs[n.op->variadic ? 0 : i].role == Role::kValue)
      deciding = g_.values[size_t(n.inputs[i])].spec.dtype;
  if (!step.entry || !in(deciding, step.entry->dtypes))
    fail(ErrorKind::kMissingKernel, n.op->name, ": there is no ", backend.name(), " kernel for ",
         name_of(deciding),
         step.entry ? cat(". There are kernels for ", names_in(step.entry->dtypes),
                          "; cast with astype().")
                    : std::string("."));
  for (int32_t v : n.inputs) {
    Step::Operand o = operand(v);
    if (!o.dense && !step.entry->strided) o = operand(materialize(o, o.spec));
    step.in.push_back(o);
  }
  const bool windows = writes_windows(n);
  for (int o = 0; o < n.outputs; ++o) {
    const Step::Operand at = operand(n.output + o);
    if (windows) step.windows.push_back(at);
    if (std::find(step.out.begin(), step.out.end(), at.value) == step.out.end())
      step.out.push_back(at.value);
  }
  measure(step);
  return step;
}

// What a step's kernel asks for, by its shapes.
void Planner::measure(Step& step) const {
  const KernelEntry& entry = *step.entry;
  if (!entry.workspace && !entry.parts && !entry.packing.bytes) return;
  std::vector<Array> in, out;
  for (const Step::Operand& o : step.in)
    in.push_back({nullptr, &o.spec, o.dense ? nullptr : o.strides});
  if (step.windows.empty())
    for (int32_t v : step.out) out.push_back({nullptr, &specs_[size_t(v)], nullptr});
  for (const Step::Operand& o : step.windows)
    out.push_back({nullptr, &o.spec, o.dense ? nullptr : o.strides});
  if (entry.workspace) step.workspace = entry.workspace(*step.op, step.attrs.get(), in);
  const KernelArgs args{*step.op, step.attrs.get(), in, out, nullptr};
  if (entry.parts) step.parts = entry.parts(args);
  if (entry.packing.bytes && keeps_its_value(step.in[size_t(entry.packing.input)]))
    step.packed = entry.packing.bytes(args);
}

// A constant, or a variable that the run does not assign: what is derived from it can be kept.
bool Planner::keeps_its_value(const Step::Operand& o) const {
  if (size_t(o.value) >= g_.values.size()) return false;  // a copy made for this step
  const Node& n = g_.nodes[size_t(g_.values[size_t(o.value)].node)];
  if (n.op) return false;
  return n.source == SourceKind::kCapture ||
         (n.source == SourceKind::kVariable && !assigned_.count(n.variable.get()));
}

}  // namespace flowbook
