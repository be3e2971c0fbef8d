// Loops over vectors and rows, and what is around them.
#include <algorithm>

#include "cpu/jit/compiler.h"

namespace flowbook::cpu::jit {

void Compiler::emit() {
  assembler_ = Assembler(target_.masks);
  loads_.assign(nodes_.size(), 0);
  frame_ = fixed_frame_;
  detours_.clear();
  enter();
  const Assembler::Label row = begin_row();
  if (lanes_in_registers_) {
    body(lane_registers_, lane_registers_);
    if (sums_in_registers()) body(together_, few_lane_registers_);
  } else if (together_ > 1) {
    body(together_, 0);
  }
  const Assembler::Label loop = body(1, 0);
  end_row(loop);
  leave(row);
  take_detours();
  assembler_.patch(frame_patch_, frame_);
}

// A loop over passes of `copies` vectors, instruction by instruction in turns: what one waits for,
// the others use. `lane_registers`: how many hold lanes meanwhile.
Assembler::Label Compiler::body(int copies, int lane_registers) {
  Assembler& a = assembler_;
  a.load(Gpr::rsi, Gpr::rsp, kTotal);
  a.sub(Gpr::rsi, copies * vector_);
  a.compare(Gpr::rax, Gpr::rsi);
  const Assembler::Label too_short = a.jump(Assembler::kGreater);
  rest_ = copies == 1;
  row_lanes_ = lane_registers;
  Assembler::Label other_lanes = 0;
  const bool choice = row_lanes_ > 0 && sums_in_registers();
  if (choice) {
    a.compare(Gpr::rdx, (row_lanes_ - 1) * vector_);
    other_lanes = a.jump(Assembler::kNotEqual);
  }
  move_lanes(op::kLoad, row_lanes_);
  const Assembler::Label loop = a.here();
  for (const Ahead& x : ahead_)
    for (int line = 0; line < copies * vector_; line += 64)
      a.prefetch(at(base(uint32_t(x.stream)), Gpr::rax, x.bytes + line));
  for (int first = 0; first < copies; first += together_) {
    const int together = std::min(copies - first, together_);
    const bool guarded = usual_.guarded && !rest_;
    if (guarded) detours_.push_back({first, together, row_lanes_, {}, 0});
    group(guarded ? usual_ : general_, first, together);
    if (guarded) detours_.back().back = a.here();
  }
  a.add(Gpr::rax, copies * vector_);
  a.compare(Gpr::rax, Gpr::rsi);
  a.jump(Assembler::kLessEqual, loop);
  move_lanes(op::kStore, row_lanes_);
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
    row_lanes_ = d.lane_registers;
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
  a.and_(Gpr::rsp, -64);
  a.shift_left(Gpr::rcx, 2);
  a.store(Gpr::rsp, kStreams, Gpr::rdi);
  a.store(Gpr::rsp, kSteps, Gpr::rsi);
  a.store(Gpr::rsp, kRows, Gpr::rdx);
  a.store(Gpr::rsp, kTotal, Gpr::rcx);
  a.move(Gpr::rdx, Gpr::r8);
  a.sub(Gpr::rdx, vector_);
}

// What differs from row to row: scalars and what is made of them, bases, lanes.
Assembler::Label Compiler::begin_row() {
  Assembler& a = assembler_;
  const Assembler::Label row = a.here();
  a.store(Gpr::rsp, kRest, 0);
  if (target_.masks) {
    a.vector(op::kMaskSame, kRestLanes, kRestLanes, in(kRestLanes), kHalf);
  } else {
    a.move(op::kLoad, 0, pool(rest_mask_at_));
    a.move(op::kStore, 0, at(Gpr::rsp, kMask));
  }
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
      a.vector(op::kXor, 0, 0, in(0));
    else
      a.move(op::kLoad, 0, pool(identity_at(fold_of_[s])));
    for (int k = 0; k < lane_registers_; ++k) a.move(op::kStore, 0, lane(uint32_t(s), k));
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
    put(value(int(i)).reg, memory(int(i)));
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
  a.pool_address(Gpr::rsi, rest_mask_at_ + vector_);
  a.sub(Gpr::rsi, Gpr::rcx);
  a.move(op::kLoad, 0, at(Gpr::rsi, 0));
  if (target_.masks)
    a.move(op::kSigns, kRestLanes, in(0));
  else
    a.move(op::kStore, 0, at(Gpr::rsp, kMask));
  for (size_t s = 0; s < streams_.size(); ++s) {
    if (stage_of_[s] < 0) continue;
    const Gpr from = base(uint32_t(s));
    if (streams_[s] == Stream::kInput || streams_[s] == Stream::kBoth) {
      if (target_.masks)
        a.move(op::kLoad, 1, at(from, Gpr::rax), under(kRestLanes, true));
      else
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
  a.sub(Gpr::rax, vector_);
  a.load(Gpr::rsi, Gpr::rsp, kStreams);
  if (!target_.masks) a.move(op::kLoad, 0, at(Gpr::rsp, kMask));
  for (size_t s = 0; s < streams_.size(); ++s) {
    if (stage_of_[s] < 0 || streams_[s] == Stream::kInput) continue;
    a.load(Gpr::rcx, Gpr::rsi, int32_t(8 * s));
    a.move(op::kLoad, 1, at(Gpr::rsp, stage_of_[s]));
    if (target_.masks)
      a.move(op::kStore, 1, at(Gpr::rcx, Gpr::rax), under(kRestLanes));
    else
      a.vector(op::kMaskedStore, 1, 0, at(Gpr::rcx, Gpr::rax));
  }
}

// The tree over a fold's 64 lanes, to where its result is wanted: those 32 apart first.
void Compiler::join_lanes(size_t stream) {
  Assembler& a = assembler_;
  const Kind kind = fold_of_[stream];
  const int half = lane_registers_ / 2;
  const auto with = [&](int to, int r, Lanes lanes = kAllLanes) {
    join(kind, to, r, 5, target_.masks && lanes.width == Lanes::kAll ? kMask0 + 1 : 6, lanes);
  };
  for (int r = 0; r < half; ++r) {
    a.move(op::kLoad, r, lane(uint32_t(stream), r));
    a.move(op::kLoad, 4, lane(uint32_t(stream), r + half));
    with(r, 4);
  }
  for (int n = half / 2; n > 0; n /= 2)
    for (int r = 0; r < n; ++r) with(r, r + n);
  if (vector_ == 64) {
    a.immediate_vector(op::kUpper256, 0, 0, in(4), 1);
    with(0, 4, kHalf);
  }
  a.immediate_vector(op::kUpperHalf, 0, 0, in(4), 1, kHalf);
  with(0, 4, kQuarter);
  a.vector(op::kHighPair, 4, 0, in(0), kQuarter);
  with(0, 4, kQuarter);
  a.move(op::kOddLanes, 4, in(0), kQuarter);
  with(0, 4, kQuarter);
  a.load(Gpr::rcx, Gpr::rsp, kStreams);
  a.load(Gpr::rcx, Gpr::rcx, int32_t(8 * stream));
  a.move(op::kStoreOne, 0, at(Gpr::rcx, 0), kQuarter);
}

}  // namespace flowbook::cpu::jit
