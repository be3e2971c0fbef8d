#include "cpu/jit/ways.h"

#include <algorithm>

namespace flowbook::cpu::jit {

std::vector<char> fixed_nodes(const std::vector<Node>& graph) {
  std::vector<char> fixed(graph.size());
  for (size_t i = 0; i < graph.size(); ++i) {
    const Node& n = graph[i];
    fixed[i] = n.kind < Kind::kStore && n.kind != Kind::kInput &&
               std::all_of(n.arg, n.arg + n.arity, [&](int a) { return fixed[size_t(a)] != 0; });
  }
  return fixed;
}

Way::Way(const std::vector<Node>& graph, const std::vector<char>& fixed, bool usual)
    : nodes(graph) {
  choose(fixed, usual);
  collect_uses();
}

void Way::choose(const std::vector<char>& fixed, bool usual) {
  const auto short_one = [&](size_t i) { return usual && !fixed[i]; };
  std::vector<char> live(nodes.size());
  std::vector<Node> guards;
  for (size_t i = nodes.size(); i-- > 0;) {
    const Node& n = nodes[i];
    if (n.kind >= Kind::kStore) live[i] = 1;
    if (!live[i]) continue;
    const bool either = n.kind == Kind::kEither;
    for (int k = 0; k < n.arity; ++k)
      if (!either || (short_one(i) ? k < 2 : k == 2)) live[size_t(n.arg[k])] = 1;
    if (!either || !short_one(i)) continue;
    const Node guard{Kind::kGuard, 1, 0, {n.arg[0], -1, -1}, n.bits};
    if (std::find(guards.begin(), guards.end(), guard) == guards.end()) guards.push_back(guard);
  }
  std::vector<int32_t> taken(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    Node& n = nodes[i];
    for (int k = 0; k < n.arity; ++k) n.arg[k] = taken[size_t(n.arg[k])];
    taken[i] = n.kind != Kind::kEither ? int32_t(i) : n.arg[short_one(i) ? 1 : 2];
    if (n.kind == Kind::kEither) live[i] = 0;
  }
  for (Node& g : guards) g.arg[0] = taken[size_t(g.arg[0])];
  arrange(live, std::move(guards));
}

// A guard as soon as there is what it looks at; effects behind the last of them.
void Way::arrange(const std::vector<char>& live, std::vector<Node> guards) {
  guarded = !guards.empty();
  std::vector<int32_t> late;
  for (size_t i = 0; i < live.size(); ++i) {
    if (!live[i]) continue;
    (nodes[i].kind >= Kind::kStore && !guards.empty() ? late : order).push_back(int32_t(i));
    std::erase_if(guards, [&](const Node& g) {
      if (g.arg[0] != int32_t(i)) return false;
      order.push_back(int32_t(nodes.size()));
      nodes.push_back(g);
      return true;
    });
    if (guards.empty()) order.insert(order.end(), late.begin(), late.end()), late.clear();
  }
}

void Way::collect_uses() {
  std::vector<int32_t> fill(nodes.size() + 1);
  for (const int32_t i : order)
    for (int k = 0; k < nodes[size_t(i)].arity; ++k) ++fill[size_t(nodes[size_t(i)].arg[k]) + 1];
  for (size_t i = 0; i < nodes.size(); ++i) fill[i + 1] += fill[i];
  first_use = fill;
  uses.resize(size_t(fill.back()));
  for (size_t at = 0; at < order.size(); ++at) {
    const Node& n = nodes[size_t(order[at])];
    for (int k = 0; k < n.arity; ++k) uses[size_t(fill[size_t(n.arg[k])]++)] = int32_t(at);
  }
}

}  // namespace flowbook::cpu::jit
