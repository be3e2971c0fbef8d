// The two ways through a graph. The general one always holds. Where values are the same either way,
// the usual one takes the short ones: guards look first whether it may, before any effect, so that
// whoever has to take the other way can begin again.
#pragma once
#include "cpu/jit/graph.h"

namespace flowbook::cpu::jit {

struct Way {
  // `fixed`: nodes that are made once for all passes, by the general way, which needs no guard.
  Way(const std::vector<Node>& graph, const std::vector<char>& fixed, bool usual);

  bool reads(int i) const { return first_use[size_t(i)] < first_use[size_t(i) + 1]; }

  std::vector<Node> nodes;     // those of the graph, reading what this way takes; then guards
  std::vector<int32_t> order;  // in which they are made
  // Where in the order a node is read: from first_use[i] on.
  std::vector<int32_t> uses, first_use;
  bool guarded = false;  // else it is the general way

 private:
  void choose(const std::vector<char>& fixed, bool usual);
  void arrange(const std::vector<char>& live, std::vector<Node> guards);
  void collect_uses();
};

// Which nodes are the same in each pass: constants, scalars, and what is made of these alone.
std::vector<char> fixed_nodes(const std::vector<Node>& graph);

}  // namespace flowbook::cpu::jit
