// Loops over vectors and rows, and what is around them.
#include <algorithm>

#include "cpu/jit/compiler.h"

namespace flowbook::cpu::jit {

void Compiler::emit() {
  assembler_ = Assembler();
  loads_.assign(nodes_.size(), 0);
  frame_ = fixed_frame_;
  detours_.clear();
  enter();
  const Assembler::Label row = begin_row();
  if (lanes_in_registers_) {
    body(kLaneRegisters);
    if (sums_in_registers()) body(kFewLaneRegisters);
  } else if (together_ > 1) {
    body(together_);
  }
  const Assembler::Label loop = body(1);
  end_row(loop);
  leave(row);
  take_detours();
  assembler_.patch(frame_patch_, frame_);
}

// A loop over passes of `copies` vectors, instruction by instruction in turns: what one waits for,
// the others use.
Assembler::Label Compiler::body(int copies) {
  Assembler& a = assembler_;
  a.load(Gpr::rsi, Gpr::rsp, kTotal);
  a.sub(Gpr::rsi, copies * kVector);
  a.compare(Gpr::rax, Gpr::rsi);
  const Assembler::Label too_short = a.jump(Assembler::kGreater);
  rest_ = copies == 1;
  const bool lanes = lanes_in_registers_ && !rest_;
  Assembler::Label other_lanes = 0;
  const bool choice = lanes && sums_in_registers();
  if (choice) {
    a.compare(Gpr::rdx, int32_t(copies == kLaneRegisters ? kManyLanes : kFewLanes));
    other_lanes = a.jump(Assembler::kNotEqual);
  }
  if (lanes) move_lanes(op::kLoad, copies);
  const Assembler::Label loop = a.here();
  for (const Ahead& x : ahead_)
    for (int line = 0; line < copies * kVector; line += 2 * kVector)
      a.prefetch(at(base(uint32_t(x.stream)), Gpr::rax, x.bytes + line));
  for (int first = 0; first < copies; first += together_) {
    const int together = std::min(copies - first, together_);
    const bool guarded = usual_.guarded && !rest_;
    if (guarded) detours_.push_back({first, together, {}, 0});
    group(guarded ? usual_ : general_, first, together);
    if (guarded) detours_.back().back = a.here();
  }
  a.add(Gpr::rax, copies * kVector);
  a.compare(Gpr::rax, Gpr::rsi);
  a.jump(Assembler::kLessEqual, loop);
  if (lanes) move_lanes(op::kStore, copies);
  if (choice) a.land(other_lanes);
  a.land(too_short);
  return loop;
}

// Some vectors of a pass, each instruction for all of them in turns.
void Compiler::group(const Way& way, int first, int copies) {
  way_ = &way;
  first_ = first, copies_ = copies, copy_ = 0;
  values_.assign(way.nodes.size() * size_t(copies), {});
  holder_.fill(-1);
  for (const auto& [i, r] : pinned_) value(i).reg = int8_t(r), value(i).pinned = true;
  for (const int32_t i : way.order) {
    const Node& n = way.nodes[size_t(i)];
    if (n.kind < Kind::kStore && (n.arity == 0 || fixed(i))) continue;
    for (copy_ = 0; copy_ < copies; ++copy_) {
      locked_ = 0;
      instruction(i, n);
    }
  }
  way_ = &general_;
  first_ = 0, copies_ = 1, copy_ = 0;
}

// Groups that a guard sends here; then on behind what the usual way would have computed. What they
// read most often does not decide which constants have registers.
void Compiler::take_detours() {
  rest_ = false;
  const auto loads = loads_;
  const int peak = peak_;
  for (const Detour& d : detours_) {
    for (const Assembler::Label from : d.from) assembler_.land(from);
    group(general_, d.first, d.copies);
    assembler_.jump_always(d.back);
  }
  loads_ = loads, peak_ = peak;
}

void Compiler::enter() {
  Assembler& a = assembler_;
  a.push(Gpr::rbp);
  a.move(Gpr::rbp, Gpr::rsp);
  for (const Gpr r : kSaved) a.push(r);
  a.sub(Gpr::rsp, 0);
  frame_patch_ = a.here() - 4;
  a.and_(Gpr::rsp, -kVector);
  a.shift_left(Gpr::rcx, 2);
  a.store(Gpr::rsp, kStreams, Gpr::rdi);
  a.store(Gpr::rsp, kSteps, Gpr::rsi);
  a.store(Gpr::rsp, kRows, Gpr::rdx);
  a.store(Gpr::rsp, kTotal, Gpr::rcx);
  a.move(Gpr::rdx, Gpr::r8);
}

// What differs from row to row: scalars and what is made of them, bases, lanes.
Assembler::Label Compiler::begin_row() {
  Assembler& a = assembler_;
  const Assembler::Label row = a.here();
  a.store(Gpr::rsp, kRest, 0);
  a.move(op::kLoad, 0, pool(rest_mask_at_));
  a.move(op::kStore, 0, at(Gpr::rsp, kMask));
  a.load(Gpr::rcx, Gpr::rsp, kStreams);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!is(int(i), Kind::kScalar) || !needed(int(i))) continue;
    a.load(Gpr::rax, Gpr::rcx, int32_t(8 * nodes_[i].bits));
    a.move(op::kBroadcast, 0, at(Gpr::rax, 0));
    a.move(op::kStore, 0, at(Gpr::rsp, fixed_slot_[i]));
  }
  make_fixed();
  for (size_t s = 0; s < streams_.size(); ++s)
    if (stage_of_[s] >= 0) a.load(base(uint32_t(s)), Gpr::rcx, int32_t(8 * s));
  a.clear(Gpr::rax);
  for (size_t s = 0; s < streams_.size(); ++s) {
    if (streams_[s] != Stream::kFold) continue;
    if (fold_of_[s] == Kind::kSum)
      a.vector(op::kXor, 0, 0, ymm(0));
    else
      a.move(op::kLoad, 0, pool(identity_at(fold_of_[s])));
    for (int k = 0; k < kLaneRegisters; ++k) a.move(op::kStore, 0, lane(uint32_t(s), k));
  }
  for (const auto& [i, r] : pinned_) a.move(op::kLoad, r, memory(i));
  return row;
}

// What is the same in each pass, into the frame.
void Compiler::make_fixed() {
  values_.assign(nodes_.size(), {});
  holder_.fill(-1);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& n = node(int(i));
    if (!made_once(int(i)) || !needed(int(i))) continue;
    locked_ = 0;
    instruction(int(i), n);
    assembler_.move(op::kStore, value(int(i)).reg, memory(int(i)));
    holder_.fill(-1);
    value(int(i)) = {};
    for (int k = 0; k < n.arity; ++k) value(n.arg[k]) = {};
  }
}

// The last vector may not be full: the loop runs once more, over copies of what is left.
void Compiler::end_row(Assembler::Label loop) {
  Assembler& a = assembler_;
  a.compare(Gpr::rsp, kRest, 0);
  const Assembler::Label was_rest = a.jump(Assembler::kNotEqual);
  a.load(Gpr::rcx, Gpr::rsp, kTotal);
  a.sub(Gpr::rcx, Gpr::rax);
  const Assembler::Label nothing_left = a.jump(Assembler::kEqual);
  stage_rest(loop);
  a.land(was_rest);
  write_rest();
  a.land(nothing_left);
  for (size_t s = 0; s < streams_.size(); ++s)
    if (streams_[s] == Stream::kFold) join_lanes(s);
}

// On to the next row, or back to the caller.
void Compiler::leave(Assembler::Label row) {
  Assembler& a = assembler_;
  a.load(Gpr::rcx, Gpr::rsp, kRows);
  a.sub(Gpr::rcx, 1);
  const Assembler::Label done = a.jump(Assembler::kEqual);
  a.store(Gpr::rsp, kRows, Gpr::rcx);
  a.load(Gpr::r8, Gpr::rsp, kStreams);
  a.load(Gpr::r9, Gpr::rsp, kSteps);
  for (size_t s = 0; s < streams_.size(); ++s) {
    a.load(Gpr::rcx, Gpr::r8, int32_t(8 * s));
    a.load(Gpr::rax, Gpr::r9, int32_t(8 * s));
    a.add(Gpr::rcx, Gpr::rax);
    a.store(Gpr::r8, int32_t(8 * s), Gpr::rcx);
  }
  a.jump_always(row);
  a.land(done);
  a.address(Gpr::rsp, Gpr::rbp, -int32_t(8 * std::size(kSaved)));
  for (size_t k = std::size(kSaved); k-- > 0;) a.pop(kSaved[k]);
  a.pop(Gpr::rbp);
  a.zero_upper();
  a.ret();
}

void Compiler::stage_rest(Assembler::Label loop) {
  Assembler& a = assembler_;
  a.store(Gpr::rsp, kRest, 1);
  a.pool_address(Gpr::rsi, rest_mask_at_ + kVector);
  a.sub(Gpr::rsi, Gpr::rcx);
  a.move(op::kLoad, 0, at(Gpr::rsi, 0));
  a.move(op::kStore, 0, at(Gpr::rsp, kMask));
  for (size_t s = 0; s < streams_.size(); ++s) {
    if (stage_of_[s] < 0) continue;
    const Gpr from = base(uint32_t(s));
    if (streams_[s] == Stream::kInput || streams_[s] == Stream::kBoth) {
      a.vector(op::kMaskedLoad, 1, 0, at(from, Gpr::rax));
      a.move(op::kStore, 1, at(Gpr::rsp, stage_of_[s]));
    }
    a.address(from, Gpr::rsp, stage_of_[s]);
    a.sub(from, Gpr::rax);
  }
  a.move(Gpr::rsi, Gpr::rax);  // once
  a.jump_always(loop);
}

void Compiler::write_rest() {
  Assembler& a = assembler_;
  a.sub(Gpr::rax, kVector);
  a.load(Gpr::rsi, Gpr::rsp, kStreams);
  a.move(op::kLoad, 0, at(Gpr::rsp, kMask));
  for (size_t s = 0; s < streams_.size(); ++s) {
    if (stage_of_[s] < 0 || streams_[s] == Stream::kInput) continue;
    a.load(Gpr::rcx, Gpr::rsi, int32_t(8 * s));
    a.move(op::kLoad, 1, at(Gpr::rsp, stage_of_[s]));
    a.vector(op::kMaskedStore, 1, 0, at(Gpr::rcx, Gpr::rax));
  }
}

// The tree over a fold's 64 lanes, to where its result is wanted.
void Compiler::join_lanes(size_t stream) {
  Assembler& a = assembler_;
  const Kind kind = fold_of_[stream];
  const auto with = [&](int to, int r, bool wide = true) { join(kind, to, r, 5, 6, wide); };
  for (int r = 0; r < 4; ++r) {
    a.move(op::kLoad, r, lane(uint32_t(stream), r));
    a.move(op::kLoad, 4, lane(uint32_t(stream), r + 4));
    with(r, 4);
  }
  with(0, 2), with(1, 3), with(0, 1);
  a.immediate_vector(op::kUpperHalf, 0, 0, ymm(4), 1);
  with(0, 4, false);
  a.vector(op::kHighPair, 4, 0, ymm(0), false);
  with(0, 4, false);
  a.move(op::kOddLanes, 4, ymm(0), false);
  with(0, 4, false);
  a.load(Gpr::rcx, Gpr::rsp, kStreams);
  a.load(Gpr::rcx, Gpr::rcx, int32_t(8 * stream));
  a.move(op::kStoreOne, 0, at(Gpr::rcx, 0), false);
}

}  // namespace flowbook::cpu::jit
