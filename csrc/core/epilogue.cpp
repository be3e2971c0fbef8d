// Epilogues: a group that reads a matrix product or convolution runs on the product's blocks, each
// just computed and still in cache. The product then moves to where the group runs, and no memory
// is kept for it: its blocks go where one of the group's results will be.
#include <algorithm>

#include "core/plan.h"

namespace flowbook {

namespace {
// A program is shared among threads in chunks of about this many elements. A product of fewer
// blocks than that would take threads away from it, up to as many blocks as even small products
// are cut into.
constexpr int64_t kChunk = 16 << 10, kEnoughBlocks = 4;
// A program takes each row of a block by itself where the block is a part of wider rows; shorter
// ones are not worth the way into the program.
constexpr int64_t kMinColumns = 256;
}  // namespace

// How the call of this node comes in blocks, if it is one that epilogues follow.
Blocks Planner::blocks_of(const Node& n) const {
  if (!n.op || n.outputs != 1 || e_.views_[size_t(n.output)].root != n.output) return {};
  const Spec& spec = g_.values[size_t(n.output)].spec;
  if (spec.device || spec.shape.rank == 0) return {};
  const KernelEntry* entry = device(0).find(*n.op);
  if (!entry || !entry->blocks) return {};
  std::vector<Step::Operand> operands;
  for (int32_t v : n.inputs) operands.push_back(operand(v));
  std::vector<Array> in;
  for (const Step::Operand& o : operands)
    in.push_back({nullptr, &o.spec, o.dense || !entry->strided ? nullptr : o.strides});
  const Array out{nullptr, &spec, nullptr};
  return entry->blocks({*n.op, n.attrs.get(), in, {&out, 1}, nullptr});
}

// Whether all that the group reads of the product are its elements, one by one.
bool Planner::follows(const Group& g, int32_t product) const {
  const Node& p = g_.nodes[size_t(product)];
  const Shape& shape = g_.values[size_t(p.output)].spec.shape;
  const int64_t cols = shape[shape.rank - 1].value();
  if (g.n != shape.size() || (g.cols && g.cols != cols)) return false;
  bool whole_rows = false;
  for (int32_t k : g.nodes) {
    const Node& n = g_.nodes[size_t(k)];
    whole_rows |= level_[size_t(k)] == Level::kRow;
    RowReduction r;
    const bool reduces = row_reduction(g_, n, r);
    for (int32_t v : n.inputs) {
      const Step::Operand o = operand(v);
      FusedInput in;
      const bool fits =
          classify(o, reduces ? o.spec.shape : g_.values[size_t(n.output)].spec.shape, in);
      if (o.value != p.output) {
        if (!fits && g.nodes.size() == 1) return false;  // its kernel needs no copy
        continue;
      }
      if (!reduces && level_[size_t(k)] != Level::kElement) return false;
      if (o.offset || o.spec.shape.size() != g.n || !fits || in.access != Access::kDense)
        return false;
    }
  }
  const Blocks blocks = blocks_of(p);
  if (blocks.columns < cols && (whole_rows || blocks.columns < kMinColumns)) return false;
  return blocks.count >= std::min((g.n + kChunk - 1) / kChunk, kEnoughBlocks);
}

// Gives groups a product to run on. It is computed where the group runs, so nobody else may read it
// earlier; of several products that a group reads the last one is taken.
void Planner::attach_products() {
  if (!options_.fuse || !options_.epilogues || groups_.empty()) return;
  std::unordered_map<int32_t, std::vector<int32_t>> readers;  // product -> nodes, in order
  std::vector<int32_t> products;
  for (size_t k = 0; k < g_.nodes.size(); ++k) {
    const Node& n = g_.nodes[k];
    if (!computes(int32_t(k))) continue;
    for (int32_t v : n.inputs)
      if (auto it = readers.find(e_.views_[size_t(v)].root); it != readers.end())
        it->second.push_back(int32_t(k));
    if (blocks_of(n).count) products.push_back(int32_t(k)), readers[n.output];
  }
  for (size_t i = products.size(); i-- > 0;) {
    int group = -1;
    int32_t first = INT32_MAX;  // where it is read first
    for (int32_t k : readers[g_.nodes[size_t(products[i])].output]) {
      const int h = merged(group_of_[size_t(k)]);
      const int32_t place = h >= 0 ? groups_[size_t(h)].place : k;
      if (place < first) first = place, group = h;
    }
    if (group < 0) continue;
    Group& g = groups_[size_t(group)];
    if (g.product >= 0 || !follows(g, products[i])) continue;
    g.product = products[i];
    attached_.insert(products[i]);
  }
}

// Makes `program`, whose first input is the product's blocks, the epilogue of `product`; false if
// it cannot run block by block, or if the blocks have no memory to be in.
bool Planner::append(Step& product, Step program, bool kept) const {
  const int32_t value = product.out[0];
  const Spec& spec = specs_[size_t(value)];
  const Blocks blocks = blocks_of(g_.nodes[size_t(product.nodes[0])]);
  const int64_t cols = spec.shape[spec.shape.rank - 1].value();
  if (!program.fused->blockwise(blocks.rows, std::min(blocks.columns, cols))) return false;
  int target = -1;
  for (size_t o = 0; o < program.out.size() && target < 0 && !kept; ++o) {
    const Spec& out = specs_[size_t(program.out[o])];
    if (out.shape.size() == spec.shape.size() && size_of(out.dtype) == size_of(spec.dtype) &&
        program.fused->in_place(0, int(o)))
      target = int(o);
  }
  if (target < 0 && !kept) return false;
  if (kept) target = int(program.out.size()), program.out.push_back(value);
  const int64_t own = (product.workspace + 63) / 64 * 64;
  product.product = {value, int(product.in.size()), target, own};
  if (const int64_t more = program.fused->workspace()) product.workspace = own + more;
  product.in.insert(product.in.end(), program.in.begin(), program.in.end());
  product.out = std::move(program.out);
  product.nodes.insert(product.nodes.end(), program.nodes.begin(), program.nodes.end());
  product.fused = std::move(program.fused);
  return true;
}

}  // namespace flowbook
