// Which values are in registers: what makes room is read again last of all.
#include <algorithm>

#include "cpu/jit/compiler.h"

namespace flowbook::cpu::jit {

int Compiler::next_use(int i) {
  const int32_t at = way_->first_use[size_t(i)] + value(i).use;
  return at < way_->first_use[size_t(i) + 1] ? way_->uses[size_t(at)] : kNever;
}
bool Compiler::last_use(int i) {
  return way_->first_use[size_t(i)] + value(i).use + 1 == way_->first_use[size_t(i) + 1] &&
         (!fixed(i) || copy_ + 1 == copies_);
}
// Whether it can be read from memory as it is.
bool Compiler::in_memory(int i) { return fixed(i) || is(i, Kind::kInput) || value(i).slot >= 0; }
Place Compiler::memory(int i) {
  if (is(i, Kind::kConstant)) return pool(fixed_slot_[size_t(i)]);
  if (fixed(i)) return at(Gpr::rsp, fixed_slot_[size_t(i)]);
  if (is(i, Kind::kInput)) return at(base(node(i).bits), Gpr::rax, (first_ + copy_) * vector_);
  return at(Gpr::rsp, value(i).slot);
}

// A register; what it held, if anything, is read again last of all.
int Compiler::take(bool mask) {
  int best = -1, furthest = -1;
  const int mine = copy_;
  for (int r = mask ? kMask0 + 1 : 0; r < (mask ? kRestLanes : registers_); ++r) {
    if (locked(r)) continue;
    if (holder_[size_t(r)] < 0) {
      if (!mask) peak_ = std::max(peak_, r + 1);
      copy_ = mine;
      return r;
    }
    const int h = holder_[size_t(r)] / copies_;
    copy_ = holder_[size_t(r)] % copies_;
    const int distance = 2 * std::min(next_use(h), kNever / 4) + int(in_memory(h));
    if (distance > furthest) furthest = distance, best = r;
  }
  const int h = holder_[size_t(best)] / copies_;
  copy_ = holder_[size_t(best)] % copies_;
  if (!in_memory(h)) {
    value(h).slot = take_slot();
    put(best, memory(h));
  }
  value(h).reg = -1;
  holder_[size_t(best)] = -1;
  copy_ = mine;
  return best;
}
int Compiler::temporary(bool mask) {
  const int r = take(mask);
  lock(r);
  return r;
}
// Into the frame.
void Compiler::put(int r, const Place& slot) {
  if (r >= kMask0)
    assembler_.move(op::kMaskStore, r, slot, kQuarter);
  else
    assembler_.move(op::kStore, r, slot);
}
void Compiler::hold(int r, int i) {
  value(i).reg = int8_t(r);
  holder_[size_t(r)] = i * copies_ + copy_;
  lock(r);
}
// It stays there until the instruction at work is done.
int Compiler::in_register(int i) {
  Value& v = value(i);
  if (v.reg < 0) {
    if (fixed(i)) ++loads_[size_t(i)];
    const int r = take(masks(i));
    if (r >= kMask0)
      assembler_.move(op::kMaskLoad, r, memory(i), kQuarter);
    else
      assembler_.move(op::kLoad, r, memory(i));
    hold(r, i);
  }
  lock(v.reg);
  return v.reg;
}
// Whether its next use after this one is far off, for which no register should wait.
bool Compiler::far(int i) {
  const int32_t at = way_->first_use[size_t(i)] + value(i).use;
  return !masks(i) && at + 1 < way_->first_use[size_t(i) + 1] &&
         way_->uses[size_t(at) + 1] - way_->uses[size_t(at)] >
             (is(i, Kind::kInput) ? kFarInput : kFarValue);
}
// As the last operand of an instruction, which may be memory; an input that is read again is
// loaded.
Place Compiler::operand(int i) {
  const bool loads = is(i, Kind::kInput) && !last_use(i) && !far(i);
  if (value(i).reg < 0 && in_memory(i) && !loads) return memory(i);
  return in(in_register(i));
}
// The operands have been read: registers of those that nobody reads again are free.
void Compiler::done_with(const Node& n) {
  for (int k = 0; k < n.arity; ++k) {
    Value& v = value(n.arg[k]);
    if (fixed(n.arg[k]) && copy_ + 1 < copies_) continue;  // the other copies read it too
    const bool leaves = !fixed(n.arg[k]) && far(n.arg[k]);
    ++v.use;
    if (v.reg < 0 || v.pinned || (next_use(n.arg[k]) != kNever && !leaves)) continue;
    if (next_use(n.arg[k]) != kNever && !in_memory(n.arg[k])) {
      v.slot = take_slot();
      assembler_.move(op::kStore, v.reg, memory(n.arg[k]));
    }
    holder_[size_t(v.reg)] = -1;
    locked_ &= ~(uint64_t{1} << v.reg);
    v.reg = -1;
  }
}
int Compiler::target(const Node& n, bool mask) {
  done_with(n);
  return take(mask);
}

}  // namespace flowbook::cpu::jit
