// Before the passes: the uses of each value, and the places of streams, constants and row values.
#include "cpu/jit/compile.h"

#include <algorithm>
#include <cstring>

#include "cpu/jit/compiler.h"

namespace flowbook::cpu::jit {

void Compiler::collect_uses() {
  const size_t n = nodes_.size();
  std::vector<char> live(n);
  std::vector<int32_t> count(n);
  for (size_t i = n; i-- > 0;) {
    const Node& x = nodes_[i];
    if (x.kind >= Kind::kStore) live[i] = 1;
    for (int k = 0; live[i] && k < x.arity; ++k)
      live[size_t(x.arg[k])] = 1, ++count[size_t(x.arg[k])];
  }
  first_use_.assign(n + 1, 0);
  for (size_t i = 0; i < n; ++i) first_use_[i + 1] = first_use_[i] + count[i];
  uses_.resize(size_t(first_use_[n]));
  std::vector<int32_t> fill(first_use_.begin(), first_use_.end() - 1);
  for (size_t i = 0; i < n; ++i)
    for (int k = 0; live[i] && k < nodes_[i].arity; ++k)
      uses_[size_t(fill[size_t(nodes_[i].arg[k])]++)] = int32_t(i);
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
      for (int k = 1; k < kLaneRegisters; ++k) take_slot();
    } else {
      base_of_[s] = bases_++;
      stage_of_[s] = take_slot();
    }
  }
  fixed_.assign(nodes_.size(), 0);
  fixed_slot_.assign(nodes_.size(), -1);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& n = nodes_[i];
    if (is_fold(n.kind)) fold_of_[n.bits] = n.kind;
    fixed_[i] = n.kind < Kind::kStore && n.kind != Kind::kInput &&
                std::all_of(n.arg, n.arg + n.arity, [&](int a) { return fixed(a); });
    if (!needed(int(i)) || !fixed(int(i))) continue;
    fixed_slot_[i] = n.kind == Kind::kConstant ? pool_vector(n.bits) : take_slot();
  }
  infinity_at_ = pool_vector(0x7f800000);
  minus_infinity_at_ = pool_vector(0xff800000);
  rest_mask_at_ = pool_vector(~0u);  // the rest's mask is cut out of ones and zeros
  pool_vector(0);
  fixed_frame_ = frame_;
}

// How many values of a vector, constants aside, are alive at once.
int Compiler::most_alive() const {
  int alive = 0, most = 0;
  std::vector<int32_t> deaths(nodes_.size() + 1);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    alive -= deaths[i];
    if (!needed(int(i)) || fixed(int(i))) continue;
    const int32_t last = uses_[size_t(first_use_[i + 1]) - 1];
    ++deaths[size_t(last)];
    most = std::max(most, ++alive);
  }
  return most;
}

int32_t Compiler::take_slot() {
  frame_ += kVector;
  return frame_ - kVector;
}
int32_t Compiler::pool_vector(uint32_t bits) {
  const size_t at = pool_.size();
  pool_.resize(at + kVector);
  for (size_t i = 0; i < kVector; i += 4) std::memcpy(pool_.data() + at + i, &bits, 4);
  return int32_t(at);
}

// Registers that the first pass left over keep constants and scalars: first those that had to be
// loaded most often.
void Compiler::pin() {
  registers_ = std::max(peak_, 4);  // what is outside the loop needs a few
  std::vector<std::pair<int, int>> wanted;
  for (size_t i = 0; i < nodes_.size(); ++i)
    if (needed(int(i)) && fixed(int(i)))
      wanted.push_back({-(4 * loads_[i] + (first_use_[i + 1] - first_use_[i])), int(i)});
  std::sort(wanted.begin(), wanted.end());
  int r = lanes_in_registers_ ? kRegisters - kLaneRegisters : kRegisters;
  for (const auto& [weight, i] : wanted)
    if (r > registers_) pinned_.push_back({i, --r});
}

std::vector<uint8_t> compile(const Graph& graph, const std::vector<Stream>& streams,
                             const std::vector<Ahead>& ahead) {
  return Compiler(graph, streams, ahead).run();
}

}  // namespace flowbook::cpu::jit
