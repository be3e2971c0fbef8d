// Joins: nodes that only put their operands together in one result, such as concat, or a reshape
// that is no view. Where every operand is what a kernel computes, and that kernel can fill a window
// with strides, the kernels write straight into the result, and the join vanishes.
#include <algorithm>

#include "core/plan.h"

namespace flowbook {

namespace {
struct Axis {
  int64_t size, from, to;  // strides in the operand and in the result
};

// Strides by which a dense value of shape `value` lies where its elements end up, if these are all
// elements of a view of it: of shape `view`, with strides `from` in the value and `to` in the
// result. False: no strides do that, or elements of the last axis would not be neighbours.
bool strides_in_result(const Shape& value, const Shape& view, const int64_t* from,
                       const int64_t* to, int64_t* strides) {
  std::vector<Axis> axes;
  for (int i = 0; i < view.rank; ++i)
    if (const int64_t n = view[i].value(); n != 1) axes.push_back({n, from[i], to[i]});
  std::sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.from < b.from; });
  int64_t covered = 1;
  for (const Axis& a : axes) {
    if (a.from != covered) return false;
    covered *= a.size;
  }
  if (covered != value.size()) return false;
  // Both numberings of the elements are walked from the innermost axis out.
  size_t k = 0;
  for (int i = value.rank - 1; i >= 0; --i) {
    int64_t left = value[i].value(), next = -1;  // where the axis must go on
    strides[i] = left == 1 ? 1 : -1;
    while (left > 1) {
      Axis& a = axes[k];
      if (strides[i] < 0) strides[i] = next = a.to;
      if (a.to != next) return false;
      const int64_t take = std::min(left, a.size);
      if (left % take || a.size % take) return false;
      next = a.to * take, left /= take;
      a.size /= take, a.to *= take;
      if (a.size == 1) ++k;
    }
  }
  return value.rank > 0 && strides[value.rank - 1] == 1;
}
}  // namespace

// Whether the node's call is a step or a part of one; the others are sources and what costs
// nothing.
bool Planner::computes(int32_t node) const {
  const Node& n = g_.nodes[size_t(node)];
  if (!n.op || vanished_.count(node)) return false;
  return e_.views_[size_t(n.output)].root == n.output || writes_windows(n);
}
bool Planner::writes_windows(const Node& n) const {
  for (int o = 0; o < n.outputs; ++o)
    if (inside_.count(n.output + o)) return true;
  return false;
}

// Finds the joins that vanish, and makes their operands windows on the result.
void Planner::write_into_joins() {
  if (!options_.fuse) return;
  std::vector<char> held(g_.values.size());  // roots that leave the run, or that others read whole
  for (int32_t v : e_.lowered_.fetches) held[size_t(e_.views_[size_t(v)].root)] = 1;
  for (const Assignment& a : g_.assignments) held[size_t(e_.views_[size_t(a.value)].root)] = 1;
  for (size_t k = 0; k < g_.nodes.size(); ++k) {
    const Node& n = g_.nodes[k];
    if (!computes(int32_t(k)) || n.op->joins) continue;
    const KernelEntry* entry = device(g_.values[size_t(n.output)].spec.device).find(*n.op);
    RowReduction r;
    if (entry && entry->strided && !fusable(n) && !row_reduction(g_, n, r)) continue;
    for (int32_t v : n.inputs) held[size_t(e_.views_[size_t(v)].root)] = 1;
  }
  for (size_t k = 0; k < g_.nodes.size(); ++k)
    if (const Node& n = g_.nodes[k]; n.op && n.op->joins && computes(int32_t(k)))
      join(int32_t(k), held);
  if (vanished_.empty()) return;
  const std::vector<Executable::View> before = e_.views_;
  while (!vanished_.empty()) {
    make_views();
    // Views that would now cost a copy: their operands stay where they were.
    std::vector<char> lost(g_.values.size());
    bool any = false;
    for (const Node& n : g_.nodes) {
      if (!n.op || before[size_t(n.output)].root == n.output ||
          e_.views_[size_t(n.output)].root != n.output)
        continue;
      const int32_t root = e_.views_[size_t(n.inputs[0])].root;
      if (lost[size_t(root)]) continue;
      if (!vanished_.erase(g_.values[size_t(root)].node)) {
        if (any) continue;  // a view of what is lost itself
        internal_error("a view of value ", root, " is lost.");
      }
      lost[size_t(root)] = 1, any = true;
    }
    if (!any) return;
    std::erase_if(inside_, [&](const auto& i) { return lost[size_t(i.second.root)] != 0; });
  }
  make_views();
}

// Makes this node vanish if it can.
void Planner::join(int32_t node, const std::vector<char>& held) {
  const Node& n = g_.nodes[size_t(node)];
  const Spec& y = g_.values[size_t(n.output)].spec;
  const int axis = n.op->joins(n.attrs.get(), y);
  if (y.shape.size() == 0) return;
  std::vector<std::pair<int32_t, Executable::View>> windows;
  int64_t at = 0;  // along the axis
  for (int32_t v : n.inputs) {
    const Spec& x = g_.values[size_t(v)].spec;
    const Executable::View& view = e_.views_[size_t(v)];
    const Spec& value = g_.values[size_t(view.root)].spec;
    const Node& maker = g_.nodes[size_t(g_.values[size_t(view.root)].node)];
    if (!maker.op || held[size_t(view.root)] || inside_.count(view.root)) return;
    if (view.offset || value.dtype != y.dtype || value.device != y.device) return;
    for (const auto& [other, _] : windows)
      if (other == view.root) return;
    const KernelEntry* entry = device(y.device).find(*maker.op);
    const int32_t output = view.root - maker.output;
    if (!entry || output >= 64 || !(entry->windows >> output & 1)) return;
    int64_t from[kMaxRank], to[kMaxRank];
    dense_strides(x.shape, from);
    if (!view.dense) std::copy_n(view.strides, x.shape.rank, from);
    dense_strides(axis < 0 ? x.shape : y.shape, to);
    Executable::View window;
    if (!strides_in_result(value.shape, x.shape, from, to, window.strides)) return;
    window.root = n.output;
    window.offset = axis < 0 ? 0 : at * to[axis] * size_of(y.dtype);
    int64_t dense[kMaxRank];
    dense_strides(value.shape, dense);
    window.dense = true;
    for (int i = 0; i < value.shape.rank; ++i)
      if (value.shape[i].value() != 1 && window.strides[i] != dense[i]) window.dense = false;
    if (axis >= 0) at += x.shape[axis].value();
    windows.emplace_back(view.root, window);
  }
  for (const auto& [value, window] : windows) inside_[value] = window;
  vanished_.insert(node);
}

}  // namespace flowbook
