// Before the passes: the places of streams, constants and row values.
#include "cpu/jit/compile.h"

#include <algorithm>
#include <cstring>

#include "cpu/jit/compiler.h"

namespace flowbook::cpu::jit {

// Which nodes' values have mask registers: comparisons, and what is made of two of them.
std::vector<char> Compiler::mask_nodes() const {
  std::vector<char> masks(nodes_.size());
  for (size_t i = 0; target_.masks && i < nodes_.size(); ++i) {
    const Node& n = nodes_[i];
    const auto of = [&](int k) { return masks[size_t(n.arg[k])] != 0; };
    masks[i] = n.kind == Kind::kIntGreater ||
               (n.kind >= Kind::kLess && n.kind <= Kind::kUnordered) ||
               ((n.kind == Kind::kAnd || n.kind == Kind::kOr) && of(0) && of(1));
  }
  return masks;
}

void Compiler::lay_out() {
  base_of_.assign(streams_.size(), 0);
  stage_of_.assign(streams_.size(), -1);
  lanes_of_.assign(streams_.size(), -1);
  fold_of_.assign(streams_.size(), Kind::kSum);
  for (size_t s = 0; s < streams_.size(); ++s) {
    if (streams_[s] == Stream::kScalar) continue;
    if (streams_[s] == Stream::kFold) {
      lanes_of_[s] = take_slot();
      for (int k = 1; k < lane_registers_; ++k) take_slot();
    } else {
      base_of_[s] = bases_++;
      stage_of_[s] = take_slot();
    }
  }
  fixed_slot_.assign(usual_.nodes.size(), -1);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& n = nodes_[i];
    if (is_fold(n.kind)) fold_of_[n.bits] = n.kind;
    if (!needed(int(i)) || !fixed(int(i))) continue;
    fixed_slot_[i] = n.kind == Kind::kConstant ? pool_vector(n.bits) : take_slot();
  }
  for (size_t i = nodes_.size(); i < usual_.nodes.size(); ++i)
    fixed_slot_[i] = pool_vector(usual_.nodes[i].bits);
  infinity_at_ = pool_vector(0x7f800000);
  minus_infinity_at_ = pool_vector(0xff800000);
  rest_mask_at_ = pool_vector(~0u);  // the rest's mask is cut out of ones and zeros
  pool_vector(0);
  fixed_frame_ = frame_;
}

// How many registers the values of a vector want at once, constants aside: from one use to the
// next, unless that is so far off that they leave theirs. Inputs are there from their first use on.
int Compiler::most_alive() const {
  const Way& way = main();
  std::vector<int32_t> change(way.order.size() + 1);
  for (size_t at = 0; at < way.order.size(); ++at) {
    const int i = way.order[at];
    if (!way.reads(i) || fixed(i) || masks(i)) continue;
    const bool input = way.nodes[size_t(i)].kind == Kind::kInput;
    const auto end = way.uses.begin() + way.first_use[size_t(i) + 1];
    auto use = way.uses.begin() + way.first_use[size_t(i)];
    for (int32_t from = input ? *use++ : int32_t(at); use != end; from = *use++)
      if (*use - from <= (input ? kFarInput : kFarValue))
        ++change[size_t(from)], --change[size_t(*use)];
  }
  int alive = 0, most = 0;
  for (const int32_t c : change) most = std::max(most, alive += c);
  return most;
}

int32_t Compiler::take_slot() {
  frame_ += vector_;
  return frame_ - vector_;
}
int32_t Compiler::pool_vector(uint32_t bits) {
  const size_t at = pool_.size();
  pool_.resize(at + size_t(vector_));
  for (size_t i = 0; i < size_t(vector_); i += 4) std::memcpy(pool_.data() + at + i, &bits, 4);
  return int32_t(at);
}

// Registers that the first pass left over keep constants and scalars: first those that had to be
// loaded most often.
void Compiler::pin() {
  registers_ = std::max(peak_, 4);  // what is outside the loop needs a few
  std::vector<std::pair<int, int>> wanted;
  for (size_t i = 0; i < nodes_.size(); ++i)
    if (main().reads(int(i)) && fixed(int(i)) && !masks(int(i)))
      wanted.push_back({-(4 * loads_[i] + main().first_use[i + 1] - main().first_use[i]), int(i)});
  std::sort(wanted.begin(), wanted.end());
  int r = lanes_in_registers_ ? all_registers_ - lane_registers_ : all_registers_;
  for (const auto& [weight, i] : wanted)
    if (r > registers_) pinned_.push_back({i, --r});
}

std::vector<uint8_t> compile(const Graph& graph, const std::vector<Stream>& streams,
                             const std::vector<Ahead>& ahead, const Target& target) {
  return Compiler(graph, streams, ahead, target).run();
}

}  // namespace flowbook::cpu::jit
