// One pass over the nodes gives each its registers and its instructions. It is made twice: the
// first time tells how many registers and how much of a frame the values need, the second has
// constants and scalars in the registers that are left.
#include "cpu/jit/compile.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "cpu/jit/assembler.h"

namespace flowbook::cpu::jit {

namespace {

constexpr int kRegisters = 16, kVector = 32, kNever = 1 << 30;
constexpr int kLaneRegisters = 8;  // the last ones, where they hold the lanes of a fold
// Instructions from one use of a value to the next beyond which it leaves its register: an input is
// read again, another value costs a store and a load.
constexpr int kFarInput = 8, kFarValue = 28;
constexpr Gpr kStreamBases[kMaxStreams] = {Gpr::r8,  Gpr::r9,  Gpr::r10, Gpr::r11, Gpr::rdi,
                                           Gpr::rbx, Gpr::r12, Gpr::r13, Gpr::r14};
constexpr Gpr kSaved[] = {Gpr::rbx, Gpr::r12, Gpr::r13, Gpr::r14};  // by whoever is called
// rax: offset of the pass, in bytes. rcx: scratch. rdx: mask of sum lanes. rsi: last offset.
// The frame, from rsp: the arguments, whether this is the rest; then vectors.
constexpr int kStreams = 0, kSteps = 8, kRows = 16, kTotal = 24, kRest = 32, kMask = 64,
              kSlots = 96;

class Compiler {
 public:
  Compiler(const Graph& graph, const std::vector<Stream>& streams, const std::vector<Ahead>& ahead)
      : nodes_(graph.nodes()), streams_(streams), ahead_(ahead) {
    collect_uses();
    lay_out();
    // As many vectors at a time as registers allow: one alone waits for its own results. A fold of
    // what takes few registers has its lanes in the others.
    const int alive = std::max(1, most_alive());
    lanes_in_registers_ = std::count(streams_.begin(), streams_.end(), Stream::kFold) == 1 &&
                          2 * alive <= kRegisters - kLaneRegisters - 3;
    if (lanes_in_registers_) registers_ = kRegisters - kLaneRegisters;
    together_ = lanes_in_registers_ ? 2 : std::clamp(kRegisters / alive, 1, 4);
  }
  std::vector<uint8_t> run() {
    emit();
    pin();
    emit();
    return assembler_.finish(pool_);
  }

 private:
  // Where the value of a node is.
  struct Value {
    int8_t reg = -1;
    bool pinned = false;
    int32_t slot = -1;  // in the frame
    int32_t use = 0;    // how many of its uses are past
  };
  const Node& node(int i) const { return nodes_[size_t(i)]; }
  // Of the copy at work; constants and scalars are the same for all.
  Value& value(int i) { return values_[size_t(i * copies_ + (fixed(i) ? 0 : copy_))]; }
  bool is(int i, Kind k) const { return node(i).kind == k; }
  // The same in each pass: constants, scalars, and what is made of these alone.
  bool fixed(int i) const { return fixed_[size_t(i)]; }
  bool made_once(int i) const { return fixed(i) && node(i).arity > 0; }
  bool needed(int i) const { return first_use_[size_t(i)] < first_use_[size_t(i) + 1]; }
  Gpr base(uint32_t stream) const { return kStreamBases[base_of_[stream]]; }
  Place lane(uint32_t stream, int vector) const {
    return at(Gpr::rsp, lanes_of_[stream] + vector * kVector);
  }

  void collect_uses();
  void lay_out();
  int most_alive() const;
  void pin();
  int32_t take_slot();
  int32_t pool_vector(uint32_t bits);
  int32_t identity_at(Kind k) const {
    return k == Kind::kLargest ? minus_infinity_at_ : infinity_at_;
  }

  int next_use(int i);
  bool last_use(int i);
  bool in_memory(int i);
  Place memory(int i);
  bool far(int i);
  int take();
  void lock(int r) { locked_ |= 1u << r; }
  bool locked(int r) const { return locked_ >> r & 1; }
  void hold(int r, int i);
  int in_register(int i);
  Place operand(int i);
  void done_with(const Node& n);
  int target(const Node& n);

  void emit();
  Assembler::Label body(int copies);
  void enter();
  void make_fixed();
  Assembler::Label begin_row();
  void end_row(Assembler::Label loop);
  void leave(Assembler::Label row);
  void stage_rest(Assembler::Label loop);
  void write_rest();
  void join_lanes(size_t stream);
  void instruction(int i, const Node& n);
  void two(int i, const Node& n, Opcode o, bool commutes);
  void one(int i, const Node& n, Opcode o);
  void compare(int i, const Node& n, uint8_t predicate);
  void multiply_add(int i, const Node& n, Opcode form231);
  void move_lanes(Opcode o);
  void fold(const Node& n);
  void join(Kind kind, int to, int with, int a, int b, bool wide = true);

  const std::vector<Node>& nodes_;
  const std::vector<Stream>& streams_;
  const std::vector<Ahead>& ahead_;
  std::vector<int32_t> uses_, first_use_;  // the nodes that read a node, from first_use_[i] on
  std::vector<char> fixed_;
  std::vector<int32_t> fixed_slot_;  // of constants in the pool, of the others in the frame
  // Of streams: number of the base, slot for the rest, slots of the lanes.
  std::vector<int32_t> base_of_, stage_of_, lanes_of_;
  std::vector<Kind> fold_of_;                // of streams of lanes
  std::vector<std::pair<int, int>> pinned_;  // node, register
  std::vector<uint8_t> pool_;
  int32_t rest_mask_at_ = 0, infinity_at_ = 0, minus_infinity_at_ = 0, fixed_frame_ = 0,
          frame_ = kSlots;
  int bases_ = 0, registers_ = kRegisters, peak_ = 0;
  int together_ = 1;  // vectors that are worked at in turns
  bool lanes_in_registers_ = false;

  // Of the pass that is made.
  Assembler assembler_;
  std::vector<Value> values_;
  std::vector<int32_t> loads_;            // how often a constant or scalar was put into a register
  std::array<int, kRegisters> holder_{};  // node in each register, or -1
  uint32_t locked_ = 0;                   // registers of the instruction at work
  size_t frame_patch_ = 0;                // where the frame's size is written
  int copies_ = 1, copy_ = 0;             // vectors of a pass, the one at work
};

// ---- before the passes --------------------------------------------------------------------------

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

// ---- registers ----------------------------------------------------------------------------------

int Compiler::next_use(int i) {
  const int32_t at = first_use_[size_t(i)] + value(i).use;
  return at < first_use_[size_t(i) + 1] ? uses_[size_t(at)] : kNever;
}
bool Compiler::last_use(int i) {
  return first_use_[size_t(i)] + value(i).use + 1 == first_use_[size_t(i) + 1] &&
         (!fixed(i) || copy_ + 1 == copies_);
}
// Whether it can be read from memory as it is.
bool Compiler::in_memory(int i) { return fixed(i) || is(i, Kind::kInput) || value(i).slot >= 0; }
Place Compiler::memory(int i) {
  if (is(i, Kind::kConstant)) return pool(fixed_slot_[size_t(i)]);
  if (fixed(i)) return at(Gpr::rsp, fixed_slot_[size_t(i)]);
  if (is(i, Kind::kInput)) return at(base(node(i).bits), Gpr::rax, copy_ * kVector);
  return at(Gpr::rsp, value(i).slot);
}

// A register; what it held, if anything, is read again last of all.
int Compiler::take() {
  int best = -1, furthest = -1;
  const int mine = copy_;
  for (int r = 0; r < registers_; ++r) {
    if (locked(r)) continue;
    if (holder_[size_t(r)] < 0) {
      peak_ = std::max(peak_, r + 1);
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
    assembler_.move(op::kStore, best, memory(h));
  }
  value(h).reg = -1;
  holder_[size_t(best)] = -1;
  copy_ = mine;
  return best;
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
    const int r = take();
    assembler_.move(op::kLoad, r, memory(i));
    hold(r, i);
  }
  lock(v.reg);
  return v.reg;
}
// Whether its next use after this one is far off, for which no register should wait.
bool Compiler::far(int i) {
  const int32_t at = first_use_[size_t(i)] + value(i).use;
  return at + 1 < first_use_[size_t(i) + 1] &&
         uses_[size_t(at) + 1] - uses_[size_t(at)] > (is(i, Kind::kInput) ? kFarInput : kFarValue);
}
// As the last operand of an instruction, which may be memory; an input that is read again is
// loaded.
Place Compiler::operand(int i) {
  const bool loads = is(i, Kind::kInput) && !last_use(i) && !far(i);
  if (value(i).reg < 0 && in_memory(i) && !loads) return memory(i);
  return ymm(in_register(i));
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
    locked_ &= ~(1u << v.reg);
    v.reg = -1;
  }
}
int Compiler::target(const Node& n) {
  done_with(n);
  return take();
}

// ---- instructions -------------------------------------------------------------------------------

void Compiler::emit() {
  assembler_ = Assembler();
  loads_.assign(nodes_.size(), 0);
  frame_ = fixed_frame_;
  enter();
  const Assembler::Label row = begin_row();
  if (lanes_in_registers_)
    body(kLaneRegisters);
  else if (together_ > 1)
    body(together_);
  const Assembler::Label loop = body(1);
  end_row(loop);
  leave(row);
}

// A loop over passes of `copies` vectors, instruction by instruction in turns: what one waits for,
// the others use.
Assembler::Label Compiler::body(int copies) {
  Assembler& a = assembler_;
  copies_ = copies, copy_ = 0;
  values_.assign(nodes_.size() * size_t(copies), {});
  holder_.fill(-1);
  for (const auto& [i, r] : pinned_) value(i).reg = int8_t(r), value(i).pinned = true;
  a.load(Gpr::rsi, Gpr::rsp, kTotal);
  a.sub(Gpr::rsi, copies * kVector);
  a.compare(Gpr::rax, Gpr::rsi);
  const Assembler::Label too_short = a.jump(Assembler::kGreater);
  const bool lanes = lanes_in_registers_ && copies > 1;
  Assembler::Label few_lanes = 0;
  if (lanes) {
    a.compare(Gpr::rdx, int32_t(kManyLanes));
    few_lanes = a.jump(Assembler::kNotEqual);
    move_lanes(op::kLoad);
  }
  const Assembler::Label loop = a.here();
  for (const Ahead& x : ahead_)
    for (int line = 0; line < copies * kVector; line += 2 * kVector)
      a.prefetch(at(base(uint32_t(x.stream)), Gpr::rax, x.bytes + line));
  for (int first = 0; first < copies; first += together_)
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& n = nodes_[i];
      if (n.kind < Kind::kStore && (n.arity == 0 || !needed(int(i)) || fixed(int(i)))) continue;
      for (copy_ = first; copy_ < std::min(copies, first + together_); ++copy_) {
        locked_ = 0;
        instruction(int(i), n);
      }
    }
  copy_ = 0;
  a.add(Gpr::rax, copies * kVector);
  a.compare(Gpr::rax, Gpr::rsi);
  a.jump(Assembler::kLessEqual, loop);
  if (lanes) {
    move_lanes(op::kStore);
    a.land(few_lanes);
  }
  a.land(too_short);
  return loop;
}

void Compiler::instruction(int i, const Node& n) {
  switch (n.kind) {
    case Kind::kConstant:
    case Kind::kInput:
    case Kind::kScalar:
      return;
    case Kind::kStore:
      assembler_.move(streams_[n.bits] == Stream::kPast ? op::kStorePast : op::kStore,
                      in_register(n.arg[0]), at(base(n.bits), Gpr::rax, copy_ * kVector));
      return done_with(n);
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
      return two(i, n, op::kAnd, true);
    case Kind::kOr:
      return two(i, n, op::kOr, true);
    case Kind::kNegate:
      return two(i, n, op::kXor, true);
    case Kind::kAndNot:
      return two(i, n, op::kAndNot, false);
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
    case Kind::kSelect: {
      const int mask = in_register(n.arg[0]), otherwise = in_register(n.arg[2]);
      const Place then = operand(n.arg[1]);
      const int r = target(n);
      assembler_.immediate_vector(op::kBlend, r, otherwise, then, uint8_t(mask << 4));
      return hold(r, i);
    }
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
  const Place second = operand(b);
  const int r = target(n);
  assembler_.vector(o, r, first, second);
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
  const int r = target(n);
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
      assembler_.move(op::kLoad, r, loaded(c) ? ymm(value(c).reg) : memory(c));
    }
    assembler_.vector(form231, r, first, last);
  }
  done_with(n);
  hold(r, i);
}

void Compiler::move_lanes(Opcode o) {
  const auto lanes = std::find(streams_.begin(), streams_.end(), Stream::kFold);
  for (int k = 0; k < kLaneRegisters; ++k)
    assembler_.move(o, kRegisters - kLaneRegisters + k,
                    lane(uint32_t(lanes - streams_.begin()), k));
}
void Compiler::fold(const Node& n) {
  const int v = in_register(n.arg[0]);
  const Place lanes = at(Gpr::rsp, Gpr::rcx, lanes_of_[n.bits]);
  const auto temporary = [&] {
    const int r = take();
    lock(r);
    return r;
  };
  if (lanes_in_registers_ && copies_ > 1) {
    const bool sum = n.kind == Kind::kSum;
    const int a = sum ? -1 : temporary(), b = sum ? -1 : temporary();
    join(n.kind, kRegisters - kLaneRegisters + copy_, v, a, b);
    return done_with(n);
  }
  const int r = temporary();
  assembler_.address(Gpr::rcx, Gpr::rax, copy_ * kVector);
  if (n.kind == Kind::kSum) {
    assembler_.and_(Gpr::rcx, Gpr::rdx);
    // Beyond the rest's end 0 is added, which changes no lane: none is -0.
    if (copies_ == 1) assembler_.vector(op::kAnd, r, v, at(Gpr::rsp, kMask));
    assembler_.vector(op::kAdd, r, copies_ == 1 ? r : v, lanes);
  } else {
    assembler_.and_(Gpr::rcx, int32_t(kManyLanes));
    assembler_.move(op::kLoad, r, lanes);
    const int a = temporary(), b = temporary();
    if (copies_ == 1) {  // beyond the rest's end are numbers that are no larger, or no smaller
      assembler_.move(op::kLoad, a, pool(identity_at(n.kind)));
      assembler_.move(op::kLoad, b, at(Gpr::rsp, kMask));
      assembler_.immediate_vector(op::kBlend, a, a, ymm(v), uint8_t(b << 4));
    }
    join(n.kind, r, copies_ == 1 ? a : v, a, b);
  }
  assembler_.move(op::kStore, r, lanes);
  done_with(n);
}
// to = join(to, with), as sums, maximum() and minimum() of the plain loops do. a, b: temporaries.
void Compiler::join(Kind kind, int to, int with, int a, int b, bool wide) {
  if (kind == Kind::kSum) return assembler_.vector(op::kAdd, to, to, ymm(with), wide);
  assembler_.vector(kind == Kind::kLargest ? op::kMax : op::kMin, a, to, ymm(with), wide);
  assembler_.immediate_vector(op::kCompare, b, to, ymm(to), 0x03, wide);  // NaN stays
  assembler_.immediate_vector(op::kBlend, to, a, ymm(to), uint8_t(b << 4), wide);
}

// ---- around the loop ----------------------------------------------------------------------------

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
  copies_ = 1, copy_ = 0;
  values_.assign(nodes_.size(), {});
  holder_.fill(-1);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& n = nodes_[i];
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
  a.patch(frame_patch_, frame_);
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
    if (streams_[s] == Stream::kInput) {
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
    if (streams_[s] != Stream::kOutput && streams_[s] != Stream::kPast) continue;
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

}  // namespace

std::vector<uint8_t> compile(const Graph& graph, const std::vector<Stream>& streams,
                             const std::vector<Ahead>& ahead) {
  return Compiler(graph, streams, ahead).run();
}

}  // namespace flowbook::cpu::jit
