// What follows from an op's record alone: equality, hash, text, signature, docs; and the registry.
#include "core/schema.h"

#include <algorithm>
#include <map>

#include "core/graph.h"

namespace flowbook {

bool OpDef::equal(const void* a, const void* b) const {
  for (const AttrDef& d : attrs)
    if (!d.type->equal(at(a, d), at(b, d))) return false;
  return true;
}
size_t OpDef::hash(const void* a) const {
  size_t h = mix(7, uint64_t(id));
  for (const AttrDef& d : attrs) h = mix(h, d.type->hash(at(a, d)));
  return h;
}
std::string OpDef::json(const void* a) const {
  std::string s = "{";
  for (const AttrDef& d : attrs) {
    s += cat(s.size() > 1 ? ", \"" : "\"", d.name, "\": ");
    d.type->json(s, at(a, d));
  }
  return s + "}";
}
std::string OpDef::signature() const {
  std::string s = "(";
  for (const InputDef& i : inputs) s += cat(s.size() > 1 ? ", " : "", i.name);
  for (const AttrDef& d : attrs) {
    std::string v;
    d.type->json(v, at(defaults.get(), d));
    if (v == "true") v = "True";
    if (v == "false") v = "False";
    if (v == "null") v = "None";
    s += cat(s.size() > 1 ? ", " : "", d.name, "=", v);
  }
  return s + ")";
}
std::string OpDef::docstring() const {
  std::string s = doc;
  if (!inputs.empty() || !attrs.empty()) s += "\n\nArgs:\n";
  for (const InputDef& i : inputs) s += cat("    ", i.name, ": ", i.doc, "\n");
  for (const AttrDef& d : attrs) s += cat("    ", d.name, ": ", d.doc, "\n");
  if (!outputs.empty()) s += "\nReturns:\n";
  for (const OutputDef& o : outputs)
    s += cat("    ", outputs.size() > 1 ? cat(o.name, ": ") : std::string(), o.doc, "\n");
  if (!examples.empty()) s += "\nExample:\n";
  for (auto& [call, result] : examples) s += cat("    >>> fb.", call, "\n    ", result, "\n");
  return s;
}

OpRegistry& registry() {
  static auto* r = new OpRegistry;  // never destroyed: tensors may outlive static destruction
  return *r;
}

namespace {
std::map<std::string_view, const OpDef*>& index() {
  static auto* m = new std::map<std::string_view, const OpDef*>;
  return *m;
}
int distance(std::string_view a, std::string_view b) {  // Levenshtein
  std::vector<int> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = int(j);
  for (size_t i = 0; i < a.size(); ++i) {
    int diagonal = row[0];
    row[0] = int(i) + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const int next = std::min({row[j + 1] + 1, row[j] + 1, diagonal + (a[i] != b[j])});
      diagonal = row[j + 1];
      row[j + 1] = next;
    }
  }
  return row[b.size()];
}
}  // namespace

const OpDef* OpRegistry::look(std::string_view name) const {
  auto it = index().find(name);
  return it == index().end() ? nullptr : it->second;
}
const OpDef& OpRegistry::find(std::string_view name) const {
  if (const OpDef* d = look(name)) return *d;
  const OpDef* best = nullptr;
  int least = 4;
  for (auto& d : defs_)
    if (int n = distance(name, d->name); n < least) least = n, best = d.get();
  argument_error("no op is called `", name, "`.",
                 best ? cat(" Did you mean `", best->name, "`?") : std::string());
}
void OpRegistry::insert(OpDef d) {
  if (!d.doc) internal_error(d.name, ": the record has no doc.");
  for (auto& i : d.inputs)
    if (!i.doc || !*i.doc) internal_error(d.name, ": input ", i.name, " has no doc.");
  for (auto& a : d.attrs)
    if (!a.doc || !*a.doc) internal_error(d.name, ": attribute ", a.name, " has no doc.");
  if (d.differentiable && !d.vjp && !d.expand)
    internal_error(d.name,
                   ": has neither vjp nor expand. Say .not_differentiable() if that is meant.");
  if (look(d.name)) internal_error(d.name, ": registered twice.");
  d.id = int(defs_.size());
  defs_.push_back(std::make_unique<OpDef>(std::move(d)));
  index().emplace(defs_.back()->name, defs_.back().get());
}

// ---- Saved
// ---------------------------------------------------------------------------------------------
namespace {
void check_declared(const OpDef& op, uint64_t mask, int i, const char* what) {
  if (!(mask >> std::min(i, 63) & 1))
    internal_error(op.name, ": its gradient reads ", what, " ", i,
                   ", which gradient_reads() does not name.");
}
}  // namespace
Tensor Saved::input(int i) const {
  const Node& n = graph.nodes[size_t(node)];
  check_declared(*n.op, n.op->reads_inputs, i, "input");
  Tensor t = graph.tensor(n.inputs[size_t(i)]);
  // A Python number has the dtype it was given in the op. Weak, it would fall back to the default
  // dtype in a rule that combines it with numbers only: log(2.0) in float32 beside float64.
  if (t.spec().weak && !t.symbolic() && !t.spec().device && n.inputs.size() > 1) {
    bool all_weak = true;
    for (int32_t v : n.inputs) all_weak = all_weak && graph.values[size_t(v)].spec.weak;
    if (all_weak) return t;
    Spec strong = t.spec();
    strong.weak = false;
    return make_view(strong, view_of(t));
  }
  return t;
}
Tensor Saved::output(int i) const {
  const Node& n = graph.nodes[size_t(node)];
  check_declared(*n.op, n.op->reads_outputs, i, "output");
  return graph.tensor(n.output + i);
}
const Spec& Saved::input_spec(int i) const {
  return graph.values[size_t(graph.nodes[size_t(node)].inputs[size_t(i)])].spec;
}
const Spec& Saved::output_spec(int i) const {
  return graph.values[size_t(graph.nodes[size_t(node)].output + i)].spec;
}
int Saved::inputs() const { return int(graph.nodes[size_t(node)].inputs.size()); }
bool Saved::wants(int i) const { return wanted[size_t(i)]; }
Tensor Saved::take_so_far(int i) const {
  return wants(i) ? take(graph.nodes[size_t(node)].inputs[size_t(i)]) : Tensor();
}

}  // namespace flowbook
