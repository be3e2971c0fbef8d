#include "core/node_table.h"

#include <cstring>
#include <limits>
#include <unordered_set>

#include "core/backend.h"

namespace flowbook {
namespace {

constexpr const char* kSourceOps[] = {"input", "capture", "variable", "key"};
constexpr const char* kSourceKinds[] = {"input", "capture", "variable", "input"};

// Numbers words in the order in which they come. Those of the graph and of the op records are found
// by what they are, not by their text.
class Words {
 public:
  explicit Words(const Graph& graph, std::vector<std::string>& all) : graph_(graph), all_(all) {}

  int32_t of(std::string_view text) {
    auto found = by_text_.find(text);
    if (found != by_text_.end()) return found->second;
    const int32_t code = int32_t(all_.size());
    all_.emplace_back(text);
    by_text_.emplace(std::string(text), code);
    return code;
  }
  int32_t of_literal(const char* text) {  // one that outlives this
    auto [it, fresh] = by_address_.try_emplace(text, -1);
    return fresh ? it->second = of(text) : it->second;
  }
  int32_t of_interned(uint32_t i) {
    if (i >= by_interned_.size()) by_interned_.resize(i + 1, -1);
    return by_interned_[i] >= 0 ? by_interned_[i] : by_interned_[i] = of(graph_.string(i));
  }
  int32_t of_device(int32_t i) {
    auto [it, fresh] = by_device_.try_emplace(i, -1);
    return fresh ? it->second = of(device(i).name()) : it->second;
  }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  const Graph& graph_;
  std::vector<std::string>& all_;
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> by_text_;
  std::unordered_map<const void*, int32_t> by_address_;
  std::vector<int32_t> by_interned_;
  std::unordered_map<int32_t, int32_t> by_device_;
};

// Numbers the different attributes; equal ones of one op share a number. -1: the op has none.
class AttrIndex {
 public:
  AttrIndex(const Graph& graph, std::vector<int32_t>& nodes) : graph_(graph), nodes_(nodes) {}

  int32_t of(int32_t i) {
    const Node& node = graph_.nodes[size_t(i)];
    if (!node.op || node.op->attrs.empty()) return -1;
    const size_t hash = mix(node.op->hash(node.attrs.get()), reinterpret_cast<uintptr_t>(node.op));
    auto [from, to] = known_.equal_range(hash);
    for (auto it = from; it != to; ++it) {
      const Node& other = graph_.nodes[size_t(nodes_[size_t(it->second)])];
      if (other.op == node.op && node.op->equal(other.attrs.get(), node.attrs.get()))
        return it->second;
    }
    const int32_t code = int32_t(nodes_.size());
    nodes_.push_back(i);
    known_.emplace(hash, code);
    return code;
  }

 private:
  const Graph& graph_;
  std::vector<int32_t>& nodes_;
  std::unordered_multimap<size_t, int32_t> known_;
};

double bytes_or_nan(const Spec& spec) {
  if (!spec.shape.known()) return std::numeric_limits<double>::quiet_NaN();
  double n = size_of(spec.dtype);
  for (Dim d : spec.shape) n *= double(d.value());
  return n;
}

}  // namespace

NodeTable node_table(const Graph& g) {
  const size_t n = g.nodes.size();
  NodeTable t;
  for (auto* column : {&t.op, &t.family, &t.name, &t.spec, &t.dtype, &t.device, &t.kind, &t.scope,
                       &t.cell, &t.shape, &t.attrs, &t.execution, &t.line, &t.forward})
    column->reserve(n);
  t.bytes.reserve(n);
  t.start.reserve(n + 1);
  t.node_of.reserve(g.values.size());
  for (const Value& v : g.values) t.node_of.push_back(v.node);
  std::unordered_set<int32_t> assigned;
  for (const Assignment& a : g.assignments) assigned.insert(a.value);

  Words words(g, t.words);
  std::unordered_map<int32_t, int32_t> shape_of;  // by the word of the spec
  AttrIndex attrs(g, t.attrs_of);
  std::string spec;
  t.start.push_back(0);
  for (size_t i = 0; i < n; ++i) {
    const Node& node = g.nodes[i];
    const Value& first = g.values[size_t(node.output)];
    t.op.push_back(words.of_literal(node.op ? node.op->name : kSourceOps[int(node.source)]));
    t.family.push_back(words.of_literal(node.op ? node.op->family : ""));
    t.name.push_back(g.string(first.name).empty() ? -1 : words.of_interned(first.name));

    spec.clear();
    double bytes = 0;
    bool is_assigned = false;
    for (int32_t v = node.output; v < node.output + node.outputs; ++v) {
      const Spec& s = g.values[size_t(v)].spec;
      if (v > node.output) spec += ", ";
      append(spec, s);
      bytes += bytes_or_nan(s);
      is_assigned = is_assigned || assigned.contains(v);
    }
    t.spec.push_back(words.of(spec));
    auto [shape, fresh] = shape_of.try_emplace(t.spec.back(), int32_t(t.shapes.size()));
    if (fresh) t.shapes.push_back(first.spec.shape);
    t.shape.push_back(shape->second);
    t.attrs.push_back(attrs.of(int32_t(i)));
    t.dtype.push_back(words.of_literal(short_name(first.spec.dtype)));
    t.device.push_back(words.of_device(first.spec.device));
    t.bytes.push_back(bytes);

    const char* kind = "op";
    if (!node.op)
      kind = kSourceKinds[int(node.source)];
    else if (!std::strcmp(node.op->name, "full"))
      kind = "constant";
    else if (!std::strcmp(node.op->family, "optim"))
      kind = "optimizer";
    else if (node.forward >= 0)
      kind = "gradient";
    else if (is_assigned)
      kind = "output";
    t.kind.push_back(words.of_literal(kind));
    t.scope.push_back(words.of_interned(node.location.scope));
    t.cell.push_back(g.string(node.location.cell).empty() ? -1
                                                          : words.of_interned(node.location.cell));
    t.execution.push_back(node.location.execution);
    t.line.push_back(node.location.line);
    t.forward.push_back(node.forward);
    for (int32_t v : node.inputs) t.inputs.push_back(g.values[size_t(v)].node);
    t.start.push_back(int32_t(t.inputs.size()));
  }
  return t;
}

}  // namespace flowbook
