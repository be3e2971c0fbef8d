// Planner: turns a lowered graph into steps, groups and places. Used by Executable::compile alone.
#pragma once
#include <unordered_set>

#include "core/executable.h"

namespace flowbook {

// Nodes that run as one pass, in node order: maps of `n` elements, reductions of them seen as rows
// of `cols`, maps of the results.
struct Group {
  std::vector<int32_t> nodes;
  int64_t n = 0;
  int64_t cols = 0;           // 0: no member cares
  int32_t place = -1;         // the node where it runs
  int32_t limit = INT32_MAX;  // it must run before this node, the first outsider to read a member
  int32_t merged = -1;        // joined this other group
  int operands = 0;
  int32_t product = -1;  // the node whose blocks it runs on
};
// A node that reduces its operand, seen as [rows, cols].
struct RowReduction {
  Reduction kind = Reduction::kNone;
  enum Over : uint8_t { kColumns, kRows, kAll } over = kAll;
  int64_t cols = 0;
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
  int merged(int group) const;  // the group that it has become part of
  bool in_time(const Group& g, int32_t k) const;
  bool reads(const Node& n, int32_t value, const Group& g, Level level) const;
  bool level_in(int g, int32_t k, Level& level) const;
  bool merge(int into, int other);
  int group_of_map(int32_t k, Level& level);
  bool takes(const Group& g, int32_t k, const RowReduction& r, Level of, Level& level) const;
  int group_of_reduction(int32_t k, const RowReduction& r, Level& level);
  void join(int32_t k, int group, Level level);
  void close_readers(const Node& n, int except, int32_t at);

  // -- products that groups run on (epilogue.cpp) --
  void attach_products();
  Blocks blocks_of(const Node& n) const;
  bool follows(const Group& g, int32_t product) const;
  bool append(Step& product, Step program, bool kept) const;

  // -- group steps (group_step.cpp) --
  void make_group_step(Group& group);
  bool fuse_group(const Group& group, Step* product);

  // -- results that are written where they are joined (joins.cpp) --
  void write_into_joins();
  void join(int32_t node, const std::vector<char>& held);
  bool computes(int32_t node) const;
  bool writes_windows(const Node& n) const;

  // -- steps and views (plan.cpp) --
  void make_views();
  bool try_view(const Node& n);
  void make_step(int32_t node);
  Step kernel_step(int32_t node);
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
  std::vector<int> group_of_;                // by node, -1
  std::vector<Level> level_;                 // by node, of members
  std::unordered_map<int32_t, int> reader_;  // root -> the last group that reads it as elements
  std::vector<int> uses_;    // by root: readers, also through views, fetches and assignments
  std::vector<Spec> specs_;  // by value, those of materialised copies included
  std::unordered_set<const Variable*> assigned_;
  std::unordered_set<int32_t> attached_;  // products that run with a group
  std::unordered_set<int32_t> vanished_;  // joins whose operands are written in place
  std::unordered_map<int32_t, Executable::View> inside_;  // such an operand -> where it lies
};

// Whether `n` is a sum or an extremum that programs compute, and of which form.
bool row_reduction(const Graph& g, const Node& n, RowReduction& r);
// How an operand with these strides runs against the row-major elements of `shape`; false: not in a
// way that programs read.
bool classify(const Step::Operand& o, const Shape& shape, FusedInput& in);

}  // namespace flowbook
