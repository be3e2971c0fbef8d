// Planner: turns a lowered graph into steps, groups and places. Used by Executable::compile alone.
#pragma once
#include <unordered_set>

#include "core/executable.h"

namespace flowbook {

// Elementwise nodes that run as one pass, in node order.
struct Group {
  std::vector<int32_t> nodes;
  bool open = true;     // nobody outside has read a member yet: more may join
  int32_t merged = -1;  // joined this other group
  int operands = 0;
};

class Planner {
 public:
  Planner(Executable& e, const CompileOptions& options)
      : e_(e), g_(*e.lowered_.graph), options_(options) {}
  void run();

 private:
  // -- grouping (fuse.cpp) --
  void group_nodes();
  bool fusable(const Node& n) const;
  int find_group(int32_t value) const;
  void make_group_step(const Group& group);

  // -- steps and views (plan.cpp) --
  void make_views();
  bool try_view(const Node& n);
  void make_step(int32_t node);
  void measure(Step& step) const;
  bool keeps_its_value(const Step::Operand& o) const;
  Step::Operand operand(int32_t value) const;
  int32_t materialize(const Step::Operand& from, const Spec& spec);
  int32_t new_value(const Spec& spec);

  // -- shared jobs (waves.cpp) --
  void form_waves();

  // -- places (place.cpp) --
  void order_commits();
  void place_values();

  Executable& e_;
  Graph& g_;
  const CompileOptions& options_;
  std::vector<Group> groups_;
  std::vector<int> group_of_;  // by node, -1
  std::vector<int> uses_;      // by value: readers, fetches and assignments
  std::vector<Spec> specs_;    // by value, those of materialised copies included
  std::unordered_set<const Variable*> assigned_;
};

}  // namespace flowbook
