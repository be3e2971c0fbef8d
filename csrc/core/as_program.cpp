// Eager calls of composites as compiled programs: recorded, planned and kept by op, attributes and
// specs.
#include <list>
#include <mutex>
#include <unordered_map>

#include "core/apply.h"
#include "core/executable.h"

namespace flowbook {

namespace {

constexpr size_t kMostPlans = 512;

struct Plan {
  const OpDef* op;
  AttrBox attrs;
  std::vector<Spec> specs;
  std::shared_ptr<Executable> executable;
};

class Plans {
 public:
  std::shared_ptr<Executable> find(const OpDef& op, const void* attrs, Inputs in, int outputs) {
    const size_t h = hash(op, attrs, in);
    {
      std::lock_guard lock(mutex_);
      for (auto [it, end] = by_hash_.equal_range(h); it != end; ++it)
        if (equal(*it->second, op, attrs, in)) return it->second->executable;
    }
    Plan plan{&op, AttrBox(op, attrs), {}, nullptr};
    for (TensorImpl* t : in) plan.specs.push_back(t->spec);
    plan.executable = compile(op, attrs, plan.specs, outputs);
    std::lock_guard lock(mutex_);
    if (by_hash_.size() >= kMostPlans) by_hash_.clear(), plans_.clear();
    plans_.push_front(std::move(plan));
    by_hash_.emplace(h, plans_.begin());
    return plans_.front().executable;
  }

 private:
  static size_t hash(const OpDef& op, const void* attrs, Inputs in) {
    size_t h = op.hash(attrs);
    for (TensorImpl* t : in) {
      h = mix(h, uint64_t(t->spec.dtype) << 8 | t->spec.device);
      for (Dim d : t->spec.shape) h = mix(h, uint64_t(d.value()));
    }
    return h;
  }
  static bool equal(const Plan& p, const OpDef& op, const void* attrs, Inputs in) {
    if (p.op != &op || p.specs.size() != in.size() || !op.equal(p.attrs.get(), attrs)) return false;
    for (size_t i = 0; i < in.size(); ++i)
      if (!(p.specs[i] == in[i]->spec)) return false;
    return true;
  }
  static std::shared_ptr<Executable> compile(const OpDef& op, const void* attrs,
                                             const std::vector<Spec>& specs, int outputs) {
    auto graph = std::make_shared<Graph>(true, op.name);
    std::vector<int32_t> fetches;
    {
      Recorder recorder(graph);
      std::vector<Tensor> inputs, results{size_t(outputs)};
      std::vector<TensorImpl*> in;
      for (const Spec& s : specs) {
        inputs.push_back(graph->input(s));
        in.push_back(inputs.back().impl());
      }
      op.expand(attrs, in, results.data());
      for (Tensor& t : results) fetches.push_back(graph->value_of(t.impl()));
      recorder.end();
    }
    return Executable::compile(*graph, graph->inputs, specs, fetches, false);
  }

  std::mutex mutex_;
  std::list<Plan> plans_;
  std::unordered_multimap<size_t, std::list<Plan>::iterator> by_hash_;
};

}  // namespace

void run_as_program(const OpDef& op, const void* attrs, Inputs in, int outputs, Tensor* out) {
  static Plans& plans = *new Plans;  // outlives whatever runs at exit
  std::vector<Tensor> feeds;
  feeds.reserve(in.size());
  for (TensorImpl* t : in) feeds.emplace_back(t);
  std::vector<Tensor> results = plans.find(op, attrs, in, outputs)->run(feeds);
  for (int i = 0; i < outputs; ++i) out[i] = std::move(results[size_t(i)]);
}

}  // namespace flowbook
