// Ops that say something about a recording rather than compute: barriers, and links to a user's
// gradient rule.
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

// x itself, which the compiler must not merge with what x is: checkpoint() recomputes behind it.
struct Barrier {
  int64_t id = 0;
  static void describe(Schema<Barrier>&);
  Spec infer(const Spec& x) const { return x; }
  bool view(const Spec& out, const Tensor& x, View&) const;
  Tensor vjp(const Saved&, const Tensor& dy) const { return dy; }
};
// The first `inputs` inputs are arguments of a user's function, the others its results, which it
// returns. Its gradient is the rule that Graph::rules holds for the node.
struct Custom {
  int64_t inputs = 0;
  static void describe(Schema<Custom>&);
  int outputs(int count) const { return inputs < 0 || inputs > count ? 0 : count - int(inputs); }
  std::vector<Spec> infer(Specs in) const;
  std::vector<Tensor> expand(std::span<const Tensor> in) const;
  std::vector<Tensor> vjp(const Saved& saved, const Tensor* dy) const;
};

}  // namespace flowbook::ops
