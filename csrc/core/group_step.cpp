// From a group to a step: the program that computes its members, and its operands.
#include <algorithm>

#include "core/plan.h"

namespace flowbook {

namespace {

constexpr int64_t kShortPeriod = 2048;

class ProgramBuilder {
 public:
  FusedSpec spec;
  Step step;

  ProgramBuilder(int64_t rows, int64_t cols) { spec.rows = rows, spec.cols = cols; }

  // Makes the blocks of a product the first input; they are no operand of the step.
  void begin_with_product(int32_t value, DType dtype) {
    spec.inputs.push_back({Level::kElement, Access::kDense, dtype, 1});
    values_.push_back(value);
  }

  // The register of an operand that runs along the numbers of `level` as `in` says; -1: it must be
  // copied out first.
  int input(const Step::Operand& o, int32_t value, FusedInput in, Level level) {
    in.level = level;
    if (in.access == Access::kScalar) in.level = Level::kTotal;
    if (level == Level::kElement && in.access == Access::kColumn && spec.rows > 1 &&
        in.period % spec.cols == 0) {
      in.level = Level::kRow;
      if ((in.period /= spec.cols) == 1) in.access = Access::kDense;
    } else if (level == Level::kElement && in.access == Access::kPeriodic && spec.rows > 1 &&
               in.period == spec.cols) {
      in.level = Level::kColumn, in.access = Access::kDense;
    } else if (level == Level::kColumn && in.access != Access::kDense &&
               in.access != Access::kScalar) {
      return -1;
    } else if (level != Level::kElement && in.access == Access::kStrided) {
      return -1;
    }
    if (in.access == Access::kDense || in.access == Access::kScalar) in.period = 1;
    for (size_t i = 0; i < spec.inputs.size(); ++i)
      if (const FusedInput& x = spec.inputs[i]; values_[i] == value && x.level == in.level &&
                                                x.access == in.access && x.period == in.period)
        return int(i);
    spec.inputs.push_back(in);
    values_.push_back(value);
    step.in.push_back(o);
    return int(spec.inputs.size()) - 1;
  }

 private:
  std::vector<int32_t> values_;
};

}  // namespace

void Planner::make_group_step(Group& group) {
  if (group.product >= 0) {
    const size_t mark = e_.steps_.size();
    Step product = kernel_step(group.product);
    if (fuse_group(group, &product)) return;
    e_.steps_.erase(e_.steps_.begin() + long(mark), e_.steps_.end());
    make_step(group.product);
  }
  if (group.nodes.size() > 1 && fuse_group(group, nullptr)) return;
  for (int32_t k : group.nodes) make_step(k);
}

// Makes the step that runs the group as one program, on the blocks of `product` if that is given;
// false if the device cannot. It may then have made steps that copy operands.
bool Planner::fuse_group(const Group& group, Step* product) {
  // Elements without rows: cut where a short operand repeats, so that it is read as a column or
  // row.
  bool reduces = group.cols != 0;
  for (int32_t k : group.nodes) {
    RowReduction r;
    reduces = reduces || row_reduction(g_, g_.nodes[size_t(k)], r);
  }
  int64_t cols = group.cols;
  if (product) {
    const Shape& shape = specs_[size_t(product->out[0])].shape;
    cols = shape[shape.rank - 1].value();
    reduces = true;  // how it is cut is decided
  }
  if (!reduces)
    for (int32_t k : group.nodes)
      for (int32_t v : g_.nodes[size_t(k)].inputs) {
        FusedInput in;
        if (!classify(operand(v), g_.values[size_t(g_.nodes[size_t(k)].output)].spec.shape, in))
          continue;
        if (in.access == Access::kPeriodic && in.period <= kShortPeriod && group.n > in.period)
          cols = std::max(cols, in.period);
      }
  if (!reduces && cols == 0)
    for (int32_t k : group.nodes)
      for (int32_t v : g_.nodes[size_t(k)].inputs) {
        FusedInput in;
        if (classify(operand(v), g_.values[size_t(g_.nodes[size_t(k)].output)].spec.shape, in) &&
            in.access == Access::kColumn && cols == 0)
          cols = in.period;
      }
  if (cols == 0) cols = group.n;  // one row; what is whole is of that row
  const int64_t rows = group.n / cols;

  ProgramBuilder b(rows, cols);
  std::unordered_map<int32_t, int> left;  // member, product -> reads not yet seen inside
  if (product) {
    const int32_t v = product->out[0];
    left[v] = uses_[size_t(v)];
    b.begin_with_product(v, specs_[size_t(v)].dtype);
  }
  for (int32_t k : group.nodes)
    left[g_.nodes[size_t(k)].output] = uses_[size_t(g_.nodes[size_t(k)].output)];
  // Operands come first in the numbering, so they are found before the instructions are made.
  struct Source {
    int32_t member = -1;  // a root
    int input = -1;
  };
  std::vector<std::array<Source, 3>> sources;
  for (int32_t k : group.nodes) {
    const Node& n = g_.nodes[size_t(k)];
    RowReduction r;
    const bool reduction = row_reduction(g_, n, r);
    std::array<Source, 3>& from = sources.emplace_back();
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const int32_t v = n.inputs[i], root = e_.views_[size_t(v)].root;
      if (auto it = left.find(root); it != left.end()) {
        --it->second;
        if (product && root == product->out[0])
          from[i].input = 0;
        else
          from[i].member = root;
        continue;
      }
      const Shape& shape =
          reduction ? g_.values[size_t(v)].spec.shape : g_.values[size_t(n.output)].spec.shape;
      const Level level = reduction ? Level::kElement : level_[size_t(k)];
      Step::Operand o = operand(v);
      FusedInput in;
      const bool fits = classify(o, shape, in);
      from[i].input = fits ? b.input(o, v, in, level) : -1;
      if (from[i].input >= 0) continue;
      Spec full = o.spec;
      full.shape = shape;
      const int32_t copy = materialize(o, full);
      o = operand(copy);
      classify(o, shape, in);
      from[i].input = b.input(o, copy, in, level);
    }
  }
  std::unordered_map<int32_t, int> reg;  // member -> register
  auto emit = [&](const FusedInstruction& ins) {
    b.spec.instructions.push_back(ins);
    return int(b.spec.inputs.size() + b.spec.instructions.size()) - 1;
  };
  for (size_t m = 0; m < group.nodes.size(); ++m) {
    const int32_t k = group.nodes[m];
    const Node& n = g_.nodes[size_t(k)];
    FusedInstruction ins;
    ins.level = level_[size_t(k)];
    ins.arity = int(n.inputs.size());
    for (size_t i = 0; i < n.inputs.size(); ++i)
      ins.src[i] = sources[m][i].input >= 0 ? sources[m][i].input : reg.at(sources[m][i].member);
    ins.dtype = g_.values[size_t(n.output)].spec.dtype;
    ins.compute = ins.dtype;
    RowReduction r;
    if (row_reduction(g_, n, r)) {
      ins.reduction = r.kind;
    } else {
      ins.row = n.op->elementwise;
      for (size_t i = n.inputs.size(); i-- > 0;)
        if (n.op->inputs[i].role == Role::kValue ||
            ins.row < 0)  // a cast computes in what it is given
          ins.compute = g_.values[size_t(n.inputs[i])].spec.dtype;
    }
    reg[n.output] = emit(ins);
  }
  for (int32_t k : group.nodes) {
    const int32_t v = g_.nodes[size_t(k)].output;
    if (left[v] > 0) b.spec.outputs.push_back(reg[v]), b.step.out.push_back(v);
  }
  b.step.nodes = group.nodes;
  b.step.fused = device(0).fuse(b.spec);
  if (!b.step.fused) return false;
  if (product) {
    const bool kept = left[product->out[0]] > 0;
    if (!append(*product, std::move(b.step), kept)) return false;
    product->parts.cost += group.n * int64_t(group.nodes.size()) / 4;
    e_.steps_.push_back(std::move(*product));
  } else {
    b.step.workspace = b.step.fused->workspace();
    e_.steps_.push_back(std::move(b.step));
  }
  return true;
}

}  // namespace flowbook
