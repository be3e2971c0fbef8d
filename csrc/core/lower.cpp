// Lowering by replay.
#include "core/lower.h"

#include <map>

#include "core/apply.h"

namespace flowbook {

namespace {

constexpr int64_t kFoldElements = 4096;  // larger constants are cheaper to make than to keep

// The values of symbols that follow from the run-time specs of the fed values.
std::vector<DimBinding> bind_symbols(const Graph& from, std::span<const int32_t> feeds,
                                     std::span<const Spec> specs) {
  std::vector<DimBinding> bound;
  for (size_t i = 0; i < feeds.size(); ++i) {
    const Shape &want = from.values[size_t(feeds[i])].spec.shape, &got = specs[i].shape;
    if (want.rank != got.rank) continue;  // reported where it does not fit
    for (int a = 0; a < want.rank; ++a) {
      if (want[a].known() || !got[a].known()) continue;
      bool seen = false;
      for (auto& [s, v] : bound) {
        if (s != want[a]) continue;
        seen = true;
        if (v != got[a])
          shape_error("`", s, "` is ", v, " in one input and ", got[a], " in ",
                      from.describe(feeds[i]), ". Feed equal sizes.");
      }
      if (!seen) bound.emplace_back(want[a], got[a]);
    }
  }
  return bound;
}

class Lowering {
 public:
  Lowering(const Graph& from, std::span<const int32_t> feeds, std::span<const Spec> specs,
           std::span<const int32_t> fetches, bool effects, const LowerOptions& options)
      : from_(from),
        options_(options),
        sizes_(bind_symbols(from, feeds, specs)),
        to_(from.values.size()) {
    out_.graph = std::make_shared<Graph>(true, from.name);
    graph_ = out_.graph.get();
    graph_->merge_equal = options.optimize;
    graph_->replace = [this](const OpDef& op, const void* attrs, Inputs in, Tensor* out) {
      return replaced(op, attrs, in, out);
    };
    mark_live(feeds, fetches, effects);
    Recorder recorder(out_.graph);
    for (size_t i = 0; i < feeds.size(); ++i) {
      to_[size_t(feeds[i])] = graph_->input(specs[i]);
      out_.feeds.push_back(graph_->inputs.back());
      mark_origins(from.values[size_t(feeds[i])].node);
    }
    for (size_t n = 0; n < from.nodes.size(); ++n)
      if (live_[n]) replay(n);
    for (int32_t v : fetches) out_.fetches.push_back(graph_->value_of(to_[size_t(v)].impl()));
    if (effects)
      for (const Assignment& a : from.assignments)
        graph_->assignments.push_back({a.variable, graph_->value_of(to_[size_t(a.value)].impl())});
    mark_origins(-1);
    recorder.end();
    graph_->replace = nullptr;
    out_.values.assign(to_.size(), -1);
    for (size_t v = 0; v < to_.size(); ++v)
      if (to_[v]) out_.values[v] = graph_->find(to_[v].impl());
    to_.clear();  // symbols hold the graph
    sweep();
  }
  Lowered take() { return std::move(out_); }

 private:
  void mark_live(std::span<const int32_t> feeds, std::span<const int32_t> fetches, bool effects) {
    live_.resize(from_.nodes.size());
    fed_.resize(from_.values.size());
    for (int32_t v : feeds) fed_[size_t(v)] = 1;
    auto want = [&](int32_t v) {
      if (!fed_[size_t(v)]) live_[size_t(from_.values[size_t(v)].node)] = 1;
    };
    for (int32_t v : fetches) want(v);
    if (effects)
      for (const Assignment& a : from_.assignments) want(a.value);
    for (size_t n = live_.size(); n-- > 0;)
      if (live_[n])
        for (int32_t i : from_.nodes[n].inputs) want(i);
  }
  // What rewriting has left without a reader goes; the inputs stay, they are the signature.
  void sweep() {
    std::vector<char> live(graph_->nodes.size());
    auto want = [&](int32_t v) { live[size_t(graph_->values[size_t(v)].node)] = 1; };
    for (int32_t v : out_.feeds) want(v);
    for (int32_t v : out_.fetches) want(v);
    for (const Assignment& a : graph_->assignments) want(a.value);
    for (size_t n = live.size(); n-- > 0;)
      if (live[n])
        for (int32_t v : graph_->nodes[n].inputs) want(v);
    size_t kept = 0;
    for (size_t n = 0; n < live.size(); ++n)
      if (live[n]) out_.origin[kept++] = out_.origin[n];
    out_.origin.resize(kept);
    const std::vector<int32_t> number = graph_->keep(live);
    for (int32_t& v : out_.feeds) v = number[size_t(v)];
    for (int32_t& v : out_.fetches) v = number[size_t(v)];
    for (int32_t& v : out_.values)
      if (v >= 0) v = number[size_t(v)];
  }
  void mark_origins(int32_t n) { out_.origin.resize(graph_->nodes.size(), n); }

  void replay(size_t n) {
    const Node& node = from_.nodes[n];
    if (!node.op) {
      source(node);
    } else {
      try {
        std::vector<TensorImpl*> in;
        for (int32_t i : node.inputs) in.push_back(to_[size_t(i)].impl());
        std::vector<Tensor> out(size_t(node.outputs));
        AttrBox attrs = substituted(node);
        apply(*node.op, attrs.get(), in, out.data());
        for (int o = 0; o < node.outputs; ++o)
          if (!fed_[size_t(node.output + o)])
            to_[size_t(node.output + o)] = std::move(out[size_t(o)]);
      } catch (Error& e) {
        const Location& l = node.location;
        if (l.line)
          e.text += cat(" (", l.execution ? cat("In [", l.execution, "], ") : std::string(),
                        "line ", l.line, ")");
        throw;
      }
    }
    mark_origins(int32_t(n));
  }

  void source(const Node& node) {
    const Value& value = from_.values[size_t(node.output)];
    Tensor& to = to_[size_t(node.output)];
    if (fed_[size_t(node.output)]) return;
    switch (node.source) {
      case SourceKind::kInput:
        fail(ErrorKind::kFeed, "input ", from_.describe(node.output),
             " is needed and was not given. Pass it by name.");
      case SourceKind::kCapture:
        to = value.concrete;
        graph_->value_of(to.impl());  // met here, it comes from this node and not from its reader
        return;
      case SourceKind::kVariable:
        to = graph_->read(node.variable.get());
        return;
      case SourceKind::kKey:
        to = graph_->key();
        return;
    }
  }

  AttrBox substituted(const Node& node) {
    AttrBox attrs(*node.op, node.attrs.get());
    const Resize& resize = options_.resize;
    if (sizes_.empty() && !resize.from) return attrs;
    for (const AttrDef& a : node.op->attrs) {
      if (a.type->kind == AttrKind::kShape) {
        auto& s = *static_cast<Shape*>(attrs.mutate(a));
        s = substitute(s, sizes_);
        for (int i = 0; i < s.rank; ++i) s[i] = resize(s[i], i == 0);
      } else if (a.type->kind == AttrKind::kDim) {
        auto& d = *static_cast<Dim*>(attrs.mutate(a));
        d = resize(substitute(d, sizes_), true);
      }
    }
    return attrs;
  }

  // Asked by apply() before it records an op on the new graph; true: `out` is known by other means.
  // Composites without a kernel are computed by their parts, which come back here.
  bool replaced(const OpDef& op, const void* attrs, Inputs in, Tensor* out) {
    if (options_.optimize) {
      const int outputs = op.outputs_of(attrs, int(in.size()));
      if (fold(op, attrs, in, out, outputs)) return true;
      if (outputs == 1)
        if (Tensor same = simplify(*graph_, op, attrs, in)) return out[0] = std::move(same), true;
    }
    const int where = in.empty() ? 0 : in[0]->spec.device;
    if (devices().empty() || !op.expand || device(where).find(op)) return false;
    op.expand(attrs, in, out);
    return true;
  }

  bool constant(const TensorImpl* t, Tensor& concrete) {
    const int32_t v = graph_->find(t);
    if (v < 0) return false;
    auto it = constants_.find(v);
    if (it == constants_.end()) return false;
    concrete = it->second;
    return true;
  }
  // All inputs known and the result small: computed now.
  bool fold(const OpDef& op, const void* attrs, Inputs in, Tensor* out, int outputs) {
    if (op.random || outputs != 1) return false;
    std::vector<Tensor> known(in.size());
    std::vector<TensorImpl*> raw;
    for (size_t i = 0; i < in.size(); ++i) {
      if (!constant(in[i], known[i])) return false;
      raw.push_back(known[i].impl());
    }
    std::vector<Spec> specs;
    infer_only(op, attrs, raw, specs);
    if (!specs[0].shape.known() || specs[0].shape.size() > kFoldElements) return false;
    if (specs[0].device) return false;
    Tensor value;
    {
      Recorder off(nullptr);
      apply(op, attrs, raw, &value);
    }
    value = dense(value);
    if (value.rank() == 0) {  // equal numbers are one value
      uint64_t bits = 0;
      memcpy(&bits, view_of(value).data(), size_t(std::min(8, size_of(value.dtype()))));
      Tensor& seen = scalars_[{value.dtype(), bits}];
      if (!seen) seen = value;
      value = seen;
    }
    const int32_t v = graph_->value_of(value.impl());
    constants_.emplace(v, value);
    out[0] = graph_->tensor(v);
    return true;
  }

  const Graph& from_;
  const LowerOptions& options_;
  std::vector<DimBinding> sizes_;
  std::vector<Tensor> to_;
  std::vector<char> live_, fed_;
  Lowered out_;
  Graph* graph_;
  std::unordered_map<int32_t, Tensor> constants_;
  std::map<std::pair<DType, uint64_t>, Tensor> scalars_;
};

}  // namespace

Lowered lower(const Graph& from, std::span<const int32_t> feeds, std::span<const Spec> specs,
              std::span<const int32_t> fetches, bool effects, const LowerOptions& options) {
  return Lowering(from, feeds, specs, fetches, effects, options).take();
}

}  // namespace flowbook
