// Lowering: a recorded graph becomes a smaller one that computes the same: only live nodes, sizes
// put in, composites expanded where the device has no kernel, constants folded, identities dropped,
// equal nodes merged. It is a replay through apply(), so that every rule of every op holds for the
// result, too.
#pragma once
#include "core/graph.h"

namespace flowbook {

// Recorded sizes read anew: where a shape holds `from`, or its first axis a multiple of it, as if
// it had been recorded with `to`. For questions such as what half the batch would need; it is right
// where the rules of all ops accept it.
struct Resize {
  int64_t from = 0, to = 0;
  Dim operator()(Dim d, bool first) const {
    if (!from || !d.known() || d.value() < from) return d;
    if (d.value() == from) return Dim(to);
    return first && d.value() % from == 0 ? Dim(d.value() / from * to) : d;
  }
};

struct LowerOptions {
  bool optimize = true;  // fold, simplify and merge; dead nodes are dropped anyway
  Resize resize = {};
};
struct Lowered {
  std::shared_ptr<Graph> graph;
  std::vector<int32_t> feeds;  // values of `graph`, in the order of the feeds given
  std::vector<int32_t> fetches;
  std::vector<int32_t> origin;  // node of the recorded graph that each node comes from
  std::vector<int32_t> values;  // what each recorded value has become; -1: it is not computed
};

// `feeds` are values of `from` replaced from outside, with their specs at run time; every input
// that a fetch or an assignment needs must be among them (FeedError otherwise, which names it).
FB_API Lowered lower(const Graph& from, std::span<const int32_t> feeds, std::span<const Spec> specs,
                     std::span<const int32_t> fetches, bool effects, const LowerOptions& options);

// If node `op` on inputs `in` is an identity or simpler than it looks, the tensor that it equals
// bit for bit (NaN, infinities and -0 included); else an empty tensor. `g` is the graph being
// built.
Tensor simplify(Graph& g, const OpDef& op, const void* attrs, Inputs in);

}  // namespace flowbook
