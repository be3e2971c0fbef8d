// Recording: sources, nodes, identity of values, and text.
#include "core/graph.h"

#include "core/apply.h"
#include "core/work.h"

namespace flowbook {

namespace {
std::atomic<uint64_t> next_tensor_id{1};
constinit thread_local int64_t t_work = 0;
}  // namespace

void count_work(int64_t steps) { t_work += steps; }
int64_t counted_work() { return t_work; }

Graph::Graph(bool symbolic, std::string name) : symbolic(symbolic), name(std::move(name)) {
  intern("");
}
Graph::~Graph() = default;

uint32_t Graph::intern(std::string_view s) {
  auto [it, fresh] = string_index_.try_emplace(std::string(s), uint32_t(strings_.size()));
  if (fresh) strings_.emplace_back(s);
  return it->second;
}

Graph::Identity Graph::identity(TensorImpl* t) {
  if (auto* s = std::get_if<Symbol>(&t->is)) return {s->graph.get(), uint64_t(s->value)};
  std::atomic_ref<uint64_t> id(t->id);
  uint64_t seen = id.load(std::memory_order_relaxed);
  if (!seen) {  // two threads may race for the first meeting; one number wins
    const uint64_t fresh = next_tensor_id.fetch_add(1, std::memory_order_relaxed);
    if (id.compare_exchange_strong(seen, fresh)) seen = fresh;
  }
  return {nullptr, seen};
}

Location Graph::here() {
  Location l;
  if (locate) l = locate();
  if (!scopes.empty()) {
    std::string path;
    for (auto& s : scopes) path += (path.empty() ? "" : "/") + s;
    l.scope = intern(path);
  }
  return l;
}

int32_t Graph::add_source(SourceKind kind, const Spec& spec) {
  if (sealed)
    fail(ErrorKind::kGraph, "graph `", name, "` is finished and records no more. Start a new one.");
  const auto v = int32_t(values.size());
  Node n;
  n.source = kind;
  n.output = v;
  n.location = here();
  values.push_back({spec, int32_t(nodes.size()), {}, 0});
  nodes.push_back(std::move(n));
  return v;
}
Tensor Graph::input(const Spec& spec, std::string_view label) {
  const int32_t v = add_source(SourceKind::kInput, spec);
  values[size_t(v)].name = intern(label);
  inputs.push_back(v);
  return tensor(v);
}
int32_t Graph::find(const TensorImpl* t) const {
  if (auto* s = std::get_if<Symbol>(&t->is); s && s->graph.get() == this) return s->value;
  auto it = known_.find(identity(const_cast<TensorImpl*>(t)));
  return it == known_.end() ? -1 : it->second;
}
int32_t Graph::value_of(TensorImpl* t) {
  if (int32_t v = find(t); v >= 0) return v;
  if (auto* s = std::get_if<Symbol>(&t->is); s && symbolic)
    fail(ErrorKind::kGraph, s->graph->describe(s->value),
         " is symbolic and belongs to another graph",
         s->graph->name.empty() ? std::string() : cat(" (`", s->graph->name, "`)"),
         ". Return it from that graph and use the value it returns.");
  const int32_t v = add_source(SourceKind::kCapture, t->spec);
  if (symbolic) {
    captures.push_back(v);
    values[size_t(v)].concrete = Tensor(t);
  }
  known_.emplace(identity(t), v);
  return v;
}
void Graph::bind(int32_t v, const Tensor& t, bool keep) {
  if (keep) values[size_t(v)].concrete = t;
  known_.emplace(identity(t.impl()), v);
}
Tensor Graph::tensor(int32_t v) {
  Value& value = values[size_t(v)];
  if (!symbolic) {
    if (!value.concrete)
      internal_error("the tape did not keep value %", v, " of ", value.spec, ".");
    return value.concrete;
  }
  Tensor t(new_impl(value.spec), false);
  t.impl()->is = Symbol{shared_from_this(), v};
  return t;
}

int32_t Graph::add(const OpDef& op, const void* attrs, Inputs in, const Spec* specs, int outputs) {
  if (sealed)
    fail(ErrorKind::kGraph, "graph `", name, "` is finished and records no more. Start a new one.");
  std::vector<int32_t> ids(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    ids[i] = value_of(in[i]);
    if (!symbolic && (op.reads_inputs >> std::min<size_t>(i, 63) & 1) && op.differentiable &&
        !values[size_t(ids[i])].concrete)
      values[size_t(ids[i])].concrete = Tensor(in[i]);
  }
  if (merge_equal) {
    size_t h = op.hash(attrs);
    for (int32_t i : ids) h = mix(h, uint64_t(i));
    for (auto [it, end] = seen_.equal_range(h); it != end; ++it) {
      count_work(1);
      if (const Node& n = nodes[size_t(it->second)];
          n.op == &op && n.inputs == ids && op.equal(n.attrs.get(), attrs))
        return n.output;
    }
    seen_.emplace(h, int32_t(nodes.size()));
  }
  const auto first = int32_t(values.size());
  for (int i = 0; i < outputs; ++i) values.push_back({specs[i], int32_t(nodes.size()), {}, 0});
  Node n;
  n.op = &op;
  n.attrs = AttrBox(op, attrs);
  n.inputs = std::move(ids);
  n.output = first;
  n.outputs = outputs;
  if (symbolic) n.location = here();
  n.forward = forward_node;
  nodes.push_back(std::move(n));
  return first;
}

Tensor Graph::read(Variable* v) {
  auto [it, fresh] = current_.try_emplace(v, -1);
  if (fresh) {
    const int32_t id = add_source(SourceKind::kVariable, v->spec());
    nodes.back().variable = Ref<Variable>(v);
    values.back().name = intern(v->name());
    it->second = id;
    variable_reads.push_back(id);
    reads_[v].push_back(id);
    read_order_.emplace_back(v);
  }
  return tensor(it->second);
}
void Graph::assign(Variable* v, const Tensor& value) {
  read(v);  // the node that knows the variable; also keeps it alive
  const int32_t id = value_of(value.impl());
  current_[v] = id;
  reads_[v].push_back(id);
  const auto [it, fresh] = assigned_.try_emplace(v, assignments.size());
  if (!fresh) return void(assignments[it->second].value = id);
  assignments.push_back({Ref<Variable>(v), id});
}
void Graph::note_read(const Variable* v, const Tensor& value) {
  const int32_t id = value_of(value.impl());
  auto& list = reads_[v];
  if (list.empty()) read_order_.emplace_back(const_cast<Variable*>(v));
  for (int32_t i : list)
    if (i == id) return;
  list.push_back(id);
}
std::vector<int32_t> Graph::values_of(const Variable* v) const {
  auto it = reads_.find(v);
  return it == reads_.end() ? std::vector<int32_t>() : it->second;
}
std::vector<Ref<Variable>> Graph::variables() const { return read_order_; }
Tensor Graph::key() {
  if (key_value < 0) {
    key_value = add_source(SourceKind::kKey, {{2}, DType::i64});
    values[size_t(key_value)].name = intern("random key");
  }
  return tensor(key_value);
}

std::string Graph::describe(int32_t v) const {
  const Value& value = values[size_t(v)];
  const Node& n = nodes[size_t(value.node)];
  std::string s = value.name ? string(value.name)
                  : n.op     ? cat("a result of ", n.op->name)
                             : std::string("an input");
  s += cat(" (", value.spec);
  if (n.location.execution) s += cat(", In [", n.location.execution, "]");
  if (n.location.line) s += cat(", line ", n.location.line);
  return s + ")";
}
std::string Graph::text() const {
  std::string s;
  for (const Node& n : nodes) {
    for (int o = 0; o < n.outputs; ++o)
      s += cat(o ? ", %" : "%", n.output + o, ": ", values[size_t(n.output + o)].spec);
    constexpr const char* kinds[] = {"input", "capture", "variable", "key"};
    s += cat(" = ", n.op ? n.op->name : symbolic ? kinds[int(n.source)] : "leaf");
    for (int32_t i : n.inputs) s += cat(" %", i);
    if (n.op && !n.op->attrs.empty()) s += ' ' + n.op->json(n.attrs.get());
    if (uint32_t label = values[size_t(n.output)].name) s += cat("  # ", string(label));
    s += '\n';
  }
  for (const Assignment& a : assignments)
    s += cat("assign ", a.variable->name().empty() ? "variable" : a.variable->name(), " = %",
             a.value, "\n");
  return s;
}

std::vector<int32_t> Graph::keep(const std::vector<char>& live) {
  count_work(int64_t(nodes.size()));
  std::vector<int32_t> number(values.size(), -1);
  std::deque<Node> old_nodes = std::exchange(nodes, {});
  std::deque<Value> old_values = std::exchange(values, {});
  for (size_t n = 0; n < old_nodes.size(); ++n) {
    if (!live[n]) continue;
    Node& node = old_nodes[n];
    for (int o = 0; o < node.outputs; ++o) {
      number[size_t(node.output + o)] = int32_t(values.size());
      values.push_back(std::move(old_values[size_t(node.output + o)]));
      values.back().node = int32_t(nodes.size());
    }
    node.output = number[size_t(node.output)];
    for (int32_t& v : node.inputs) v = number[size_t(v)];
    nodes.push_back(std::move(node));
  }
  auto renumber = [&](std::vector<int32_t>& list) {
    for (int32_t& v : list) v = number[size_t(v)];
    std::erase(list, -1);
  };
  renumber(inputs), renumber(captures), renumber(variable_reads);
  for (Assignment& a : assignments) a.value = number[size_t(a.value)];
  if (key_value >= 0) key_value = number[size_t(key_value)];
  known_.clear(), seen_.clear(), current_.clear(), reads_.clear(), assigned_.clear();
  return number;
}

void Graph::verify() const {
  auto self = const_cast<Graph*>(this);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Node& n = nodes[i];
    if (values[size_t(n.output)].node != int32_t(i))
      internal_error("graph `", name, "`: value %", n.output, " does not know its node.");
    if (!n.op) continue;
    std::vector<Tensor> held;
    std::vector<TensorImpl*> in;
    for (int32_t v : n.inputs) {
      if (v < 0 || v >= n.output)
        internal_error("graph `", name, "`: node ", i, " (", n.op->name, ") reads %", v,
                       " before it is made.");
      held.push_back(self->tensor(v));
      in.push_back(held.back().impl());
    }
    std::vector<Spec> specs;
    infer_only(*n.op, n.attrs.get(), in, specs);
    if (int(specs.size()) != n.outputs)
      internal_error("graph `", name, "`: node ", i, " (", n.op->name, ") has ", n.outputs,
                     " outputs.");
    for (int o = 0; o < n.outputs; ++o) {
      const Spec& have = values[size_t(n.output + o)].spec;
      if (have.dtype != specs[size_t(o)].dtype || !(have.shape == specs[size_t(o)].shape))
        internal_error("graph `", name, "`: %", n.output + o, " (", n.op->name, ") is ", have,
                       " but its rule says ", specs[size_t(o)], ".");
    }
  }
}

}  // namespace flowbook
