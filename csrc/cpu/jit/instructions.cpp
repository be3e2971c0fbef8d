// From a node to the instructions that compute it.
#include <algorithm>

#include "cpu/jit/compiler.h"

namespace flowbook::cpu::jit {

void Compiler::instruction(int i, const Node& n) {
  switch (n.kind) {
    case Kind::kConstant:
    case Kind::kInput:
    case Kind::kScalar:
    case Kind::kEither:  // no way has them
      return;
    case Kind::kStore:
      assembler_.move(streams_[n.bits] == Stream::kPast ? op::kStorePast : op::kStore,
                      in_register(n.arg[0]),
                      at(base(n.bits), Gpr::rax, (first_ + copy_) * vector_));
      return done_with(n);
    case Kind::kGuard:
      return guard(i, n);
    case Kind::kSum:
    case Kind::kLargest:
    case Kind::kSmallest:
      return fold(n);
    case Kind::kFma:
      return multiply_add(i, n, op::kFma);
    case Kind::kFms:
      return multiply_add(i, n, op::kFms);
    case Kind::kFnma:
      return multiply_add(i, n, op::kFnma);
    case Kind::kAdd:
      return two(i, n, op::kAdd, true);
    case Kind::kSub:
      return two(i, n, op::kSub, false);
    case Kind::kMul:
      return two(i, n, op::kMul, true);
    case Kind::kDiv:
      return two(i, n, op::kDiv, false);
    case Kind::kMax:
      return two(i, n, op::kMax, false);
    case Kind::kMin:
      return two(i, n, op::kMin, false);
    case Kind::kAnd:
      return masks(n.arg[0]) ? and_mask(i, n) : two(i, n, op::kAnd, true);
    case Kind::kOr:
      return two(i, n, masks(i) ? op::kMaskOr : op::kOr, true);
    case Kind::kNegate:
      return two(i, n, op::kXor, true);
    case Kind::kAndNot:
      return masks(n.arg[0]) ? select(i, n) : two(i, n, op::kAndNot, false);
    case Kind::kIntAdd:
      return two(i, n, op::kIntAdd, true);
    case Kind::kIntSub:
      return two(i, n, op::kIntSub, false);
    case Kind::kIntGreater:
      return two(i, n, op::kIntGreater, false);
    case Kind::kIntMax:
      return two(i, n, op::kIntMax, true);
    case Kind::kIntMin:
      return two(i, n, op::kIntMin, true);
    case Kind::kLess:
      return compare(i, n, 0x11);
    case Kind::kLessEqual:
      return compare(i, n, 0x12);
    case Kind::kEqual:
      return compare(i, n, 0x00);
    case Kind::kNotEqual:
      return compare(i, n, 0x04);
    case Kind::kUnordered:
      return compare(i, n, 0x03);
    case Kind::kSqrt:
      return one(i, n, op::kSqrt);
    case Kind::kToFloat:
      return one(i, n, op::kToFloat);
    case Kind::kRound: {
      const Place x = operand(n.arg[0]);
      const int r = target(n);
      assembler_.immediate_vector(op::kRound, r, 0, x, n.extra);
      return hold(r, i);
    }
    case Kind::kShiftLeft: {
      const int x = in_register(n.arg[0]), r = target(n);
      assembler_.shift(6, r, x, n.extra);
      return hold(r, i);
    }
    case Kind::kSelect:
      return select(i, n);
  }
}

void Compiler::one(int i, const Node& n, Opcode o) {
  const Place x = operand(n.arg[0]);
  const int r = target(n);
  assembler_.move(o, r, x);
  hold(r, i);
}
void Compiler::two(int i, const Node& n, Opcode o, bool commutes) {
  int a = n.arg[0], b = n.arg[1];
  if (commutes && value(a).reg < 0 && value(b).reg >= 0) std::swap(a, b);
  const int first = in_register(a);
  const Place second = masks(b) ? in(in_register(b)) : operand(b);
  const int r = target(n, masks(i));
  assembler_.vector(o, r, first, second, masks(b) ? kHalf : kAllLanes);
  hold(r, i);
}
// The kinds select and, with masks, andnot, which has 0 where the mask holds.
void Compiler::select(int i, const Node& n) {
  const int mask = in_register(n.arg[0]), otherwise = in_register(n.arg[n.arity - 1]);
  const Place then = n.arity == 3 ? operand(n.arg[1]) : pool(rest_mask_at_ + vector_);
  const int r = target(n);
  if (target_.masks)
    assembler_.vector(op::kMaskBlend, r, otherwise, then, under(mask));
  else
    assembler_.immediate_vector(op::kBlend, r, otherwise, then, uint8_t(mask << 4));
  hold(r, i);
}
// With another mask, or with numbers: 0 where it does not hold.
void Compiler::and_mask(int i, const Node& n) {
  if (masks(i)) return two(i, n, op::kMaskAnd, true);
  const int mask = in_register(n.arg[0]);
  const Place x = operand(n.arg[1]);
  const int r = target(n);
  assembler_.move(op::kLoad, r, x, under(mask, true));
  hold(r, i);
}
void Compiler::compare(int i, const Node& n, uint8_t predicate) {
  int a = n.arg[0], b = n.arg[1];
  if (value(a).reg < 0 && value(b).reg >= 0) {
    std::swap(a, b);
    if (predicate == 0x11) predicate = 0x1e;  // less than: greater than
    if (predicate == 0x12) predicate = 0x1d;
  }
  const int first = in_register(a);
  const Place second = operand(b);
  const int r = target(n, masks(i));
  assembler_.immediate_vector(op::kCompare, r, first, second, predicate);
  hold(r, i);
}

// The machine writes the result over an operand: over one that nobody reads again, or else a copy.
void Compiler::multiply_add(int i, const Node& n, Opcode form231) {
  int a = n.arg[0], b = n.arg[1];
  const int c = n.arg[2];
  const auto loaded = [&](int x) { return value(x).reg >= 0; };
  const auto dies = [&](int x) { return loaded(x) && !value(x).pinned && last_use(x); };
  if (dies(b) && !dies(a)) std::swap(a, b);
  int r;
  if (!dies(c) && dies(a)) {  // a = a b + c
    r = in_register(a);
    const bool b_last = !loaded(b) && loaded(c);
    const int first = in_register(b_last ? c : b);
    const Place last = operand(b_last ? b : c);
    const uint8_t code = uint8_t(form231.code - (b_last ? 0x20 : 0x10));  // form 132 or 213
    assembler_.vector({code, form231.map, form231.prefix}, r, first, last);
  } else {  // c = a b + c
    if (loaded(b) && !loaded(a)) std::swap(a, b);
    const bool there = loaded(c);
    if (there) lock(value(c).reg);
    const int first = in_register(a);
    const Place last = operand(b);
    if (dies(c)) {
      r = in_register(c);
    } else {
      r = take();
      lock(r);
      if (!there && fixed(c)) ++loads_[size_t(c)];
      assembler_.move(op::kLoad, r, loaded(c) ? in(value(c).reg) : memory(c));
    }
    assembler_.vector(form231, r, first, last);
  }
  done_with(n);
  hold(r, i);
}

// Whether the one fold with lanes in registers is a sum, which has fewer of them in short rows.
bool Compiler::sums_in_registers() const {
  return lanes_in_registers_ && std::any_of(nodes_.begin(), nodes_.end(),
                                            [](const Node& n) { return n.kind == Kind::kSum; });
}
void Compiler::move_lanes(Opcode o, int count) {
  const auto lanes = std::find(streams_.begin(), streams_.end(), Stream::kFold);
  for (int k = 0; k < count; ++k)
    assembler_.move(o, all_registers_ - lane_registers_ + k,
                    lane(uint32_t(lanes - streams_.begin()), k));
}
void Compiler::fold(const Node& n) {
  const int v = in_register(n.arg[0]);
  const Place lanes = at(Gpr::rsp, Gpr::rcx, lanes_of_[n.bits]);
  if (row_lanes_ > 0) {
    const bool sum = n.kind == Kind::kSum;
    const int a = sum || target_.masks ? -1 : temporary();
    const int b = sum ? -1 : temporary(target_.masks);
    join(n.kind, all_registers_ - lane_registers_ + (first_ + copy_) % row_lanes_, v, a, b);
    return done_with(n);
  }
  const int r = temporary();
  assembler_.address(Gpr::rcx, Gpr::rax, (first_ + copy_) * vector_);
  if (n.kind == Kind::kSum)
    assembler_.and_(Gpr::rcx, Gpr::rdx);
  else
    assembler_.and_(Gpr::rcx, int32_t(kManyLanes) - vector_);
  if (n.kind == Kind::kSum && !rest_) {
    assembler_.vector(op::kAdd, r, v, lanes);
  } else {
    assembler_.move(op::kLoad, r, lanes);
    if (rest_) {
      fold_rest(n, r, v);
    } else {
      const int a = target_.masks ? -1 : temporary();
      join(n.kind, r, v, a, temporary(target_.masks));
    }
  }
  assembler_.move(op::kStore, r, lanes);
  done_with(n);
}
// What is beyond the rest's end changes no lane.
void Compiler::fold_rest(const Node& n, int to, int v) {
  const bool sum = n.kind == Kind::kSum;
  if (target_.masks) {
    const int mask = sum ? -1 : temporary(true);
    return join(n.kind, to, v, -1, mask, under(kRestLanes));
  }
  const int a = temporary(), b = temporary();
  if (sum) {  // by 0: no lane is -0
    assembler_.vector(op::kAnd, a, v, at(Gpr::rsp, kMask));
  } else {  // by numbers that are no larger, or no smaller
    assembler_.move(op::kLoad, a, pool(identity_at(n.kind)));
    assembler_.move(op::kLoad, b, at(Gpr::rsp, kMask));
    assembler_.immediate_vector(op::kBlend, a, a, in(v), uint8_t(b << 4));
  }
  join(n.kind, to, a, a, b);
}
// The largest number of all copies and the bound is the bound, or the group takes the other way.
void Compiler::guard(int i, const Node& n) {
  const Place bound = pool(fixed_slot_[size_t(i)]);
  const int x = in_register(n.arg[0]);
  if (copy_ == 0) {
    guarded_in_ = take();
    assembler_.vector(op::kUnsignedMax, guarded_in_, x, bound);
  } else {
    assembler_.vector(op::kUnsignedMax, guarded_in_, guarded_in_, in(x));
  }
  done_with(n);
  if (copy_ + 1 < copies_) return;
  if (target_.masks) {
    const int above = take(true);
    assembler_.immediate_vector(op::kUnsignedCompare, above, guarded_in_, bound, 4);  // other than
    assembler_.move(op::kMaskTest, above, in(above), kQuarter);
  } else {
    assembler_.vector(op::kXor, guarded_in_, guarded_in_, bound);
    assembler_.vector(op::kTest, guarded_in_, 0, in(guarded_in_));
  }
  detours_.back().from.push_back(assembler_.jump(Assembler::kNotEqual));
  guarded_in_ = -1;
}
// to = join(to, with), as sums, maximum() and minimum() of the plain loops do. a, b: temporaries; b
// a mask register where whole vectors have those, and a nothing then.
void Compiler::join(Kind kind, int to, int with, int a, int b, Lanes lanes) {
  if (kind == Kind::kSum) return assembler_.vector(op::kAdd, to, to, in(with), lanes);
  const Opcode o = kind == Kind::kLargest ? op::kMax : op::kMin;
  if (b >= kMask0) {  // NaN stays
    assembler_.immediate_vector(op::kCompare, b, to, in(to), 0x07, lanes);
    return assembler_.vector(o, to, to, in(with), under(b));
  }
  assembler_.vector(o, a, to, in(with), lanes);
  assembler_.immediate_vector(op::kCompare, b, to, in(to), 0x03, lanes);
  assembler_.immediate_vector(op::kBlend, to, a, in(to), uint8_t(b << 4), lanes);
}

}  // namespace flowbook::cpu::jit
