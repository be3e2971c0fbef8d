// Grouping: elementwise nodes of one shape whose results nobody else needs in between become one
// step. One walk in node order. A group runs where its last member stands, so it may grow until an
// outsider reads one of its members.
#include <algorithm>
#include <string_view>

#include "core/plan.h"

namespace flowbook {

namespace {
constexpr int kMaxOperands = 40;  // inputs and results; the instructions' registers are reused
constexpr size_t kMaxMembers = 48;
constexpr DTypeSet kFusedDTypes = kBoolean | set_of(DType::u8) | set_of(DType::i32) |
                                  set_of(DType::i64) | set_of(DType::f32) | set_of(DType::f64);

bool is_cast(const OpDef& op) { return std::string_view(op.name) == "cast"; }

// How an operand with these strides runs against the row-major elements of `shape`; false: needs a
// copy.
bool classify(const Step::Operand& o, const Shape& shape, FusedInput& in) {
  in.dtype = o.spec.dtype;
  const int rank = shape.rank;
  int64_t strides[kMaxRank], dense[kMaxRank];
  Array a{nullptr, &o.spec, o.dense ? nullptr : o.strides};
  fit_strides(a, shape, strides);
  // Axes of size one say nothing.
  int axes[kMaxRank], n = 0;
  for (int i = 0; i < rank; ++i)
    if (shape[i].value() != 1) axes[n++] = i;
  int zeros_front = 0, zeros_back = 0;
  while (zeros_front < n && strides[axes[zeros_front]] == 0) ++zeros_front;
  if (zeros_front == n) return in.access = Access::kScalar, true;
  while (zeros_back < n && strides[axes[n - 1 - zeros_back]] == 0) ++zeros_back;
  if (zeros_front && zeros_back) return false;
  int64_t step = 1, repeat = 1;
  for (int i = n - 1; i >= 0; --i) {
    const int64_t size = shape[axes[i]].value();
    if (i < zeros_front || i >= n - zeros_back) {
      repeat *= size;
      continue;
    }
    dense[i] = step;
    if (strides[axes[i]] != step) return false;
    step *= size;
  }
  (void)dense;
  if (repeat == 1)
    in.access = Access::kDense;
  else if (zeros_front)
    in.access = Access::kPeriodic, in.period = step;
  else
    in.access = Access::kColumn, in.period = repeat;
  return true;
}
}  // namespace

bool Planner::fusable(const Node& n) const {
  if (!options_.fuse || !n.op || n.outputs != 1) return false;
  if (n.op->elementwise < 0 && !is_cast(*n.op)) return false;
  const Spec& out = g_.values[size_t(n.output)].spec;
  if (out.device || !in(out.dtype, kFusedDTypes) || out.shape.size() == 0) return false;
  for (int32_t v : n.inputs)
    if (!in(g_.values[size_t(v)].spec.dtype, kFusedDTypes)) return false;
  const KernelEntry* entry = device(0).find(*n.op);
  if (!entry) return false;
  DType compute = out.dtype;  // the dtype whose kernel runs
  for (size_t i = 0; i < n.inputs.size(); ++i)
    if (n.op->inputs[i].role == Role::kValue) {
      compute = g_.values[size_t(n.inputs[i])].spec.dtype;
      break;
    }
  return in(compute, entry->dtypes);
}

int Planner::find_group(int32_t value) const {
  int i = group_of_[size_t(g_.values[size_t(value)].node)];
  while (i >= 0 && groups_[size_t(i)].merged >= 0) i = groups_[size_t(i)].merged;
  return i;
}

void Planner::group_nodes() {
  group_of_.assign(g_.nodes.size(), -1);
  auto shape_of = [&](int i) -> const Shape& {
    return g_.values[size_t(g_.nodes[size_t(groups_[size_t(i)].nodes[0])].output)].spec.shape;
  };
  auto close_readers = [&](const Node& n, int except) {
    for (int32_t v : n.inputs) {
      // Reading through a view reads its root.
      const int i = find_group(e_.views_[size_t(v)].root);
      if (i >= 0 && i != except) groups_[size_t(i)].open = false;
    }
  };
  for (size_t k = 0; k < g_.nodes.size(); ++k) {
    const Node& n = g_.nodes[k];
    if (!n.op || e_.views_[size_t(n.output)].root != n.output)
      continue;  // sources, and views that cost nothing
    if (!fusable(n)) {
      close_readers(n, -1);
      continue;
    }
    const Shape& shape = g_.values[size_t(n.output)].spec.shape;
    // Members of open groups of this shape that the node reads directly.
    std::vector<int> candidates;
    for (int32_t v : n.inputs) {
      const int i = e_.views_[size_t(v)].root == v ? find_group(v) : -1;
      if (i >= 0 && groups_[size_t(i)].open && shape_of(i) == shape &&
          std::find(candidates.begin(), candidates.end(), i) == candidates.end())
        candidates.push_back(i);
    }
    // Not if it also reads a member of such a group through a view.
    std::erase_if(candidates, [&](int i) {
      for (int32_t v : n.inputs)
        if (e_.views_[size_t(v)].root != v && find_group(e_.views_[size_t(v)].root) == i)
          return true;
      return false;
    });
    int into = -1;
    const int more = int(n.inputs.size()) + 1;
    for (int i : candidates) {
      Group& c = groups_[size_t(i)];
      if (into < 0) {
        if (c.nodes.size() < kMaxMembers && c.operands + more <= kMaxOperands) into = i;
        continue;
      }
      Group& target = groups_[size_t(into)];
      if (target.nodes.size() + c.nodes.size() >= kMaxMembers ||
          target.operands + c.operands + more > kMaxOperands)
        continue;
      target.nodes.insert(target.nodes.end(), c.nodes.begin(), c.nodes.end());
      std::sort(target.nodes.begin(), target.nodes.end());
      target.operands += c.operands;
      c.merged = into;
    }
    if (into < 0) {
      into = int(groups_.size());
      groups_.emplace_back();
    }
    groups_[size_t(into)].nodes.push_back(int32_t(k));
    groups_[size_t(into)].operands += more;
    group_of_[k] = into;
    close_readers(n, into);
  }
}

void Planner::make_group_step(const Group& group) {
  const Spec& out = g_.values[size_t(g_.nodes[size_t(group.nodes[0])].output)].spec;
  FusedSpec spec;
  spec.n = out.shape.size();
  Step step;
  std::unordered_map<int32_t, int> left;  // member value -> uses not yet seen inside
  std::unordered_map<int32_t, int> reg;   // value -> register
  for (int32_t k : group.nodes)
    left[g_.nodes[size_t(k)].output] = uses_[size_t(g_.nodes[size_t(k)].output)];
  for (int32_t k : group.nodes)
    for (int32_t v : g_.nodes[size_t(k)].inputs) {
      if (auto it = left.find(v); it != left.end()) {
        --it->second;
        continue;
      }
      if (reg.count(v)) continue;
      Step::Operand o = operand(v);
      FusedInput in;
      if (!classify(o, out.shape, in)) {
        Spec full = o.spec;
        full.shape = out.shape;
        o = operand(materialize(o, full));
        classify(o, out.shape, in);
      }
      reg[v] = int(spec.inputs.size());
      spec.inputs.push_back(in);
      step.in.push_back(o);
    }
  for (int32_t k : group.nodes) {
    const Node& n = g_.nodes[size_t(k)];
    FusedInstruction ins;
    ins.row = n.op->elementwise;
    ins.arity = int(n.inputs.size());
    for (size_t i = 0; i < n.inputs.size(); ++i) ins.src[i] = reg.at(n.inputs[i]);
    ins.dtype = g_.values[size_t(n.output)].spec.dtype;
    ins.compute = ins.dtype;
    for (size_t i = n.inputs.size(); i-- > 0;)
      if (n.op->inputs[i].role == Role::kValue ||
          ins.row < 0)  // a cast computes in what it is given
        ins.compute = g_.values[size_t(n.inputs[i])].spec.dtype;
    reg[n.output] = int(spec.inputs.size() + spec.instructions.size());
    spec.instructions.push_back(ins);
  }
  for (int32_t k : group.nodes) {
    const int32_t v = g_.nodes[size_t(k)].output;
    if (left[v] > 0) spec.outputs.push_back(reg[v]), step.out.push_back(v);
  }
  step.nodes = group.nodes;
  step.fused = device(0).fuse(spec);
  if (step.fused) {
    e_.steps_.push_back(std::move(step));
    return;
  }
  for (int32_t k : group.nodes) make_step(k);
}

}  // namespace flowbook
