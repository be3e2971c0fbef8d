// The one gradient walk: reverse mode over a recorded graph, symbolic or concrete.
#pragma once
#include "core/graph.h"

namespace flowbook {

struct Gradients {
  std::vector<Tensor> values;  // one per x: d(sum of seeds * ys)/dx; zeros where unconnected
  std::vector<bool> connected;
};

// On a program it appends nodes (the graph must be recording), on a tape it computes; whatever
// records meanwhile sees the ops, which is all that higher order needs. `xs` are value ids; several
// ids may stand for one x (reads of a Variable): they are summed. Seeds may be empty: then every y
// must be 0-d and is seeded with one.
FB_API Gradients gradients(Graph& g, std::span<const Tensor> ys,
                           std::span<const std::vector<int32_t>> xs,
                           std::span<const Tensor> seeds = {}, int32_t first_node = 0);

}  // namespace flowbook
