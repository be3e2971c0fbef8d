// Grouping: maps of one number of elements, reductions of their rows and columns, and maps of the
// results become one step. One walk in node order. A group runs where its last member stands, so it
// grows until an outsider reads one of its members; after that a node still joins if all it reads
// is there when the group runs.
#include <algorithm>
#include <string_view>

#include "core/plan.h"

namespace flowbook {

namespace {
constexpr int kMaxOperands = 72;  // inputs and results; the instructions' registers are reused
constexpr size_t kMaxMembers = 96;
// Up to this many elements the one row of a reduction over everything may be read back by its
// elements, on one thread.
constexpr int64_t kShortWhole = 8 << 10;
// Shorter pieces of rows are better copied by a kernel than gathered block by block.
constexpr int64_t kMinPiece = 16;
constexpr DTypeSet kFusedDTypes = kBoolean | set_of(DType::u8) | set_of(DType::i32) |
                                  set_of(DType::i64) | set_of(DType::f32) | set_of(DType::f64);

bool is_cast(const OpDef& op) { return std::string_view(op.name) == "cast"; }

bool is_dense(const FusedInput& in, int64_t size) {  // one number is a scalar to classify()
  return in.access == Access::kDense || size == 1;
}
}  // namespace

bool classify(const Step::Operand& o, const Shape& shape, FusedInput& in) {
  in.dtype = o.spec.dtype;
  const int rank = shape.rank;
  int64_t strides[kMaxRank];
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
  int64_t step = 1, repeat = 1, piece = 0, stride = 0;
  for (int i = n - 1; i >= 0; --i) {
    const int64_t size = shape[axes[i]].value();
    if (i < zeros_front || i >= n - zeros_back) {
      repeat *= size;
      continue;
    }
    if (strides[axes[i]] != step) {  // here end the pieces of which rows have more
      if (piece || zeros_front || zeros_back || step < kMinPiece || strides[axes[i]] < step)
        return false;
      piece = step, stride = step = strides[axes[i]];
    }
    step *= size;
  }
  if (piece)
    in.access = Access::kStrided, in.period = piece, in.stride = stride;
  else if (repeat == 1)
    in.access = Access::kDense;
  else if (zeros_front)
    in.access = Access::kPeriodic, in.period = step;
  else
    in.access = Access::kColumn, in.period = repeat;
  return true;
}

bool row_reduction(const Graph& g, const Node& n, RowReduction& r) {
  if (!n.op || n.outputs != 1 || n.inputs.size() != 1) return false;
  const std::string_view name = n.op->name;
  r.kind = name == "sum"   ? Reduction::kSum
           : name == "max" ? Reduction::kMax
           : name == "min" ? Reduction::kMin
                           : Reduction::kNone;
  if (r.kind == Reduction::kNone) return false;
  const Spec &x = g.values[size_t(n.inputs[0])].spec, &y = g.values[size_t(n.output)].spec;
  if (x.device || x.dtype != y.dtype || !in(x.dtype, set_of(DType::f32) | set_of(DType::f64)))
    return false;
  uint32_t mask = 0;
  for (const AttrDef& a : n.op->attrs)
    if (a.type->kind == AttrKind::kAxes)
      mask = static_cast<const Axes*>(n.op->at(n.attrs.get(), a))->mask(x.shape.rank);
  // Axes of size one are of either kind.
  int first = 0, last = x.shape.rank;
  auto one = [&](int i) { return x.shape[i].value() == 1; };
  int64_t front = 1, back = 1;
  while (first < last && (mask >> first & 1 || one(first))) front *= x.shape[first++].value();
  while (last > first && (mask >> (last - 1) & 1 || one(last - 1))) back *= x.shape[--last].value();
  const int64_t size = x.shape.size();
  if (size < 2) return false;
  if (first == last) {
    r.over = RowReduction::kAll;
    return true;
  }
  for (int i = first; i < last; ++i)
    if (mask >> i & 1) return false;
  if (front > 1 && back > 1) return false;
  r.over = back > 1 ? RowReduction::kColumns : RowReduction::kRows;
  r.cols = back > 1 ? back : size / front;
  return size > r.cols && r.cols > 1;  // else nothing is reduced, or there is one column
}

bool Planner::fusable(const Node& n) const {
  if (!n.op || n.outputs != 1) return false;
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
  return merged(group_of_[size_t(g_.values[size_t(value)].node)]);
}
int Planner::merged(int group) const {
  while (group >= 0 && groups_[size_t(group)].merged >= 0) group = groups_[size_t(group)].merged;
  return group;
}

// Whether node k may still join: nobody outside has read a member, or all that k reads is there
// before the group runs.
bool Planner::in_time(const Group& g, int32_t k) const {
  if (g.limit > k) return true;
  for (int32_t v : g_.nodes[size_t(k)].inputs) {
    const int32_t root = e_.views_[size_t(v)].root;
    const int h = find_group(root);
    if (h >= 0 && &groups_[size_t(h)] == &g) continue;
    const int32_t ready = h >= 0 ? groups_[size_t(h)].place : g_.values[size_t(root)].node;
    if (ready >= g.place && g_.nodes[size_t(g_.values[size_t(root)].node)].op) return false;
  }
  return true;
}

// Whether `n`, as a member of `g` at this level, can read the member that `value` is or shows.
bool Planner::reads(const Node& n, int32_t value, const Group& g, Level level) const {
  const Step::Operand o = operand(value);
  const Level of = level_[size_t(g_.values[size_t(o.value)].node)];
  const int64_t size = specs_[size_t(o.value)].shape.size();
  FusedInput in;
  if (o.offset || !classify(o, g_.values[size_t(n.output)].spec.shape, in)) return false;
  if (of == level)
    return is_dense(in, size) && g_.values[size_t(n.output)].spec.shape.size() == size;
  if (level != Level::kElement || of != Level::kRow) return false;
  if (g.cols > (g.cols == g.n ? kShortWhole : kLongRow)) return false;
  return size == 1 ? in.access == Access::kScalar
                   : in.access == Access::kColumn && in.period == g.cols;
}

// The level at which map k fits into the group.
bool Planner::level_in(int i, int32_t k, Level& level) const {
  const Group& g = groups_[size_t(i)];
  const Node& n = g_.nodes[size_t(k)];
  const int64_t size = g_.values[size_t(n.output)].spec.shape.size();
  for (Level l : {Level::kElement, Level::kRow, Level::kColumn, Level::kTotal}) {
    const int64_t want = l == Level::kElement ? g.n
                         : l == Level::kTotal ? 1
                         : g.cols == 0        ? -1
                         : l == Level::kRow   ? g.n / g.cols
                                              : g.cols;
    if (size != want) continue;
    bool all = true;
    for (int32_t v : n.inputs)
      if (find_group(e_.views_[size_t(v)].root) == i) all = all && reads(n, v, g, l);
    if (all) return level = l, true;
  }
  return false;
}

// Joins two groups that nobody outside has read from yet; false where they do not fit.
bool Planner::merge(int into, int other) {
  Group &t = groups_[size_t(into)], &h = groups_[size_t(other)];
  if (t.nodes.size() + h.nodes.size() >= kMaxMembers || t.operands + h.operands > kMaxOperands)
    return false;
  if (t.n == h.n) {
    if (t.cols && h.cols && t.cols != h.cols) return false;
    t.cols = std::max(t.cols, h.cols);
  } else {  // maps of as many numbers as there are rows
    if (!t.cols || h.cols || h.n != t.n / t.cols) return false;
    for (int32_t k : h.nodes)
      if (level_[size_t(k)] == Level::kElement) level_[size_t(k)] = Level::kRow;
  }
  t.nodes.insert(t.nodes.end(), h.nodes.begin(), h.nodes.end());
  std::sort(t.nodes.begin(), t.nodes.end());
  t.operands += h.operands;
  t.place = std::max(t.place, h.place);
  h.merged = into;
  return true;
}

// The group that map k joins, -1 for one of its own.
int Planner::group_of_map(int32_t k, Level& level) {
  const Node& n = g_.nodes[size_t(k)];
  std::vector<int> candidates;
  for (int32_t v : n.inputs)
    if (const int i = find_group(e_.views_[size_t(v)].root); i >= 0)
      if (std::find(candidates.begin(), candidates.end(), i) == candidates.end())
        candidates.push_back(i);
  // The group with rows takes the one without in, not the other way round.
  std::stable_sort(candidates.begin(), candidates.end(), [&](int a, int b) {
    return (groups_[size_t(a)].cols != 0) > (groups_[size_t(b)].cols != 0);
  });
  const int more = int(n.inputs.size()) + 1;
  int into = -1;
  for (int i : candidates) {
    const Group& g = groups_[size_t(i)];
    if (g.nodes.size() >= kMaxMembers || g.operands + more > kMaxOperands || !in_time(g, k))
      continue;
    if (into < 0) {
      if (level_in(i, k, level)) into = i;
      continue;
    }
    // Merged only where the node can read both.
    const Group& t = groups_[size_t(into)];
    if (t.limit <= k || g.limit <= k || t.operands + g.operands + more > kMaxOperands) continue;
    const Level was = level;
    const bool rows = t.n != g.n;  // the other group's elements become rows
    bool all = true;
    for (int32_t v : n.inputs) {
      const int32_t root = e_.views_[size_t(v)].root;
      if (find_group(root) != i) continue;
      if (!rows) {
        Group joined = t;
        joined.cols = std::max(t.cols, g.cols);
        all = all && reads(n, v, joined, was);
        continue;
      }
      FusedInput in;
      const Step::Operand o = operand(v);
      all = all && level_[size_t(g_.values[size_t(root)].node)] == Level::kElement && !o.offset &&
            t.cols && t.cols <= kLongRow &&
            classify(o, g_.values[size_t(n.output)].spec.shape, in) &&
            (was == Level::kElement
                 ? in.access == Access::kColumn && in.period == t.cols
                 : was == Level::kRow && is_dense(in, specs_[size_t(root)].shape.size()));
    }
    if (all) merge(into, i);
  }
  if (into >= 0) return into;
  // Beside others who read the same elements.
  const int64_t size = g_.values[size_t(n.output)].spec.shape.size();
  for (int32_t v : n.inputs)
    if (auto it = reader_.find(v); it != reader_.end()) {
      const int i = merged(it->second);
      const Group& g = groups_[size_t(i)];
      if (g.n != size || g.limit <= k || g.nodes.size() >= kMaxMembers ||
          g.operands + more > kMaxOperands ||
          std::find(candidates.begin(), candidates.end(), i) != candidates.end())
        continue;
      return level = Level::kElement, i;
    }
  return -1;
}

// Whether reduction k of a value at level `of` fits into the group, and the level of its result.
bool Planner::takes(const Group& g, int32_t k, const RowReduction& r, Level of,
                    Level& level) const {
  const Node& n = g_.nodes[size_t(k)];
  const int64_t size = g_.values[size_t(n.inputs[0])].spec.shape.size();
  if (g.nodes.size() >= kMaxMembers || g.operands + 2 > kMaxOperands || !in_time(g, k))
    return false;
  if (of == Level::kRow) {
    level = Level::kTotal;
    return r.over == RowReduction::kAll && g.cols && size == g.n / g.cols && size > 1;
  }
  if (of != Level::kElement || size != g.n) return false;
  // All of them are one row: row by row the sum would come out in another order.
  const int64_t cols = r.over == RowReduction::kAll ? size : r.cols;
  level = r.over == RowReduction::kRows ? Level::kColumn : Level::kRow;
  return g.cols == 0 || g.cols == cols;
}

// The group that reduction k joins, which may be a new one.
int Planner::group_of_reduction(int32_t k, const RowReduction& r, Level& level) {
  const int32_t v = g_.nodes[size_t(k)].inputs[0];
  const Step::Operand o = operand(v);
  const int64_t size = o.spec.shape.size();
  int into = find_group(o.value);
  FusedInput in;
  if (into >= 0) {
    const Level of = level_[size_t(g_.values[size_t(o.value)].node)];
    if (o.offset || !classify(o, o.spec.shape, in) || !is_dense(in, size) ||
        specs_[size_t(o.value)].shape.size() != size ||
        !takes(groups_[size_t(into)], k, r, of, level))
      into = -1;
  }
  if (into < 0)  // beside others who read the same elements
    if (auto it = reader_.find(v); it != reader_.end()) {
      const int i = merged(it->second);
      if (takes(groups_[size_t(i)], k, r, Level::kElement, level)) into = i;
    }
  if (into < 0) {
    into = int(groups_.size());
    groups_.emplace_back().n = size;
    takes(groups_.back(), k, r, Level::kElement, level);
  }
  Group& g = groups_[size_t(into)];
  if (level != Level::kTotal) g.cols = r.over == RowReduction::kAll ? size : r.cols;
  return into;
}

void Planner::close_readers(const Node& n, int except, int32_t at) {
  for (int32_t v : n.inputs) {
    // Reading through a view reads its root.
    const int i = find_group(e_.views_[size_t(v)].root);
    if (i >= 0 && i != except) groups_[size_t(i)].limit = std::min(groups_[size_t(i)].limit, at);
  }
}

void Planner::join(int32_t k, int i, Level level) {
  Group& g = groups_[size_t(i)];
  const Node& n = g_.nodes[size_t(k)];
  if (g.limit > k) g.place = k;
  g.nodes.push_back(k);
  g.operands += int(n.inputs.size()) + 1;
  group_of_[size_t(k)] = i;
  level_[size_t(k)] = level;
  close_readers(n, i, g.place);
  for (int32_t v : n.inputs)
    if (g_.values[size_t(v)].spec.shape.size() == g.n && find_group(e_.views_[size_t(v)].root) != i)
      reader_[v] = i;
}

void Planner::group_nodes() {
  group_of_.assign(g_.nodes.size(), -1);
  level_.assign(g_.nodes.size(), Level::kElement);
  for (size_t k = 0; k < g_.nodes.size(); ++k) {
    const Node& n = g_.nodes[k];
    if (!computes(int32_t(k))) continue;
    Level level = Level::kElement;
    RowReduction r;
    int into = -1;
    if (options_.fuse && fusable(n)) {
      into = group_of_map(int32_t(k), level);
      if (into < 0) {
        into = int(groups_.size());
        groups_.emplace_back().n = g_.values[size_t(n.output)].spec.shape.size();
      }
    } else if (options_.fuse && row_reduction(g_, n, r)) {
      into = group_of_reduction(int32_t(k), r, level);
    }
    if (into < 0)
      close_readers(n, -1, int32_t(k));
    else
      join(int32_t(k), into, level);
  }
}

}  // namespace flowbook
