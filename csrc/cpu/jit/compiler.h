// One pass over the nodes gives each its registers and its instructions. It is made twice: the
// first time tells how many registers and how much of a frame the values need, the second has
// constants and scalars in the registers that are left.
//
//   ways.cpp          before the passes: what each way through the graph computes, and who uses it
//   compile.cpp       where streams, constants and row values lie
//   registers.cpp     which values are in registers
//   instructions.cpp  from a node to instructions
//   loop.cpp          loops over vectors and rows, the rest of a row, joining folds
#pragma once
#include <array>

#include "cpu/jit/assembler.h"
#include "cpu/jit/compile.h"
#include "cpu/jit/ways.h"

namespace flowbook::cpu::jit {

inline constexpr int kNever = 1 << 30;
// Of mask registers, behind those for vectors: all lanes but those beyond the rest's end.
inline constexpr int kRestLanes = kMask0 + 7;
// Instructions from one use of a value to the next beyond which it leaves its register: an input is
// read again, another value costs a store and a load.
inline constexpr int kFarInput = 8, kFarValue = 28;
inline constexpr Gpr kStreamBases[kMaxStreams] = {Gpr::r8,  Gpr::r9,  Gpr::r10, Gpr::r11, Gpr::rdi,
                                                  Gpr::rbx, Gpr::r12, Gpr::r13, Gpr::r14};
inline constexpr Gpr kSaved[] = {Gpr::rbx, Gpr::r12, Gpr::r13, Gpr::r14};  // by whoever is called
// rax: offset of the pass, in bytes. rcx: scratch. rdx: mask of sum lanes' offsets. rsi: last
// offset.
// The frame, from rsp: the arguments, whether this is the rest, without mask registers its lanes;
// then vectors.
inline constexpr int kStreams = 0, kSteps = 8, kRows = 16, kTotal = 24, kRest = 32, kMask = 64,
                     kSlots = 128;

class Compiler {
 public:
  Compiler(const Graph& graph, const std::vector<Stream>& streams, const std::vector<Ahead>& ahead,
           const Target& target)
      : target_(target),
        nodes_(graph.nodes()),
        streams_(streams),
        ahead_(ahead),
        fixed_(fixed_nodes(nodes_)),
        masks_(mask_nodes()),
        general_(nodes_, fixed_, false),
        usual_(nodes_, fixed_, true),
        assembler_(target.masks) {
    lay_out();
    // As many vectors at a time as registers allow: one alone waits for its own results. A fold of
    // what takes few registers has its lanes in the others.
    const int alive = std::max(1, most_alive());
    lanes_in_registers_ = std::count(streams_.begin(), streams_.end(), Stream::kFold) == 1 &&
                          2 * alive <= all_registers_ - lane_registers_ - 3;
    if (lanes_in_registers_) registers_ = all_registers_ - lane_registers_;
    together_ = lanes_in_registers_ ? 2 : std::clamp(all_registers_ / alive, 1, 4);
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
  const Node& node(int i) const { return way_->nodes[size_t(i)]; }
  // Of the copy at work; constants and scalars are the same for all.
  Value& value(int i) { return values_[size_t(i * copies_ + (fixed(i) ? 0 : copy_))]; }
  bool is(int i, Kind k) const { return node(i).kind == k; }
  // The same in each pass: constants, scalars, and what is made of these alone.
  bool fixed(int i) const { return fixed_[size_t(i)]; }
  bool made_once(int i) const { return fixed(i) && node(i).arity > 0; }
  bool masks(int i) const { return masks_[size_t(i)]; }
  bool needed(int i) const { return general_.reads(i) || usual_.reads(i); }
  // The way of the vectors that are worked at in turns.
  const Way& main() const { return usual_.guarded ? usual_ : general_; }
  Gpr base(uint32_t stream) const { return kStreamBases[base_of_[stream]]; }
  Place lane(uint32_t stream, int vector) const {
    return at(Gpr::rsp, lanes_of_[stream] + vector * vector_);
  }

  std::vector<char> mask_nodes() const;
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
  int take(bool mask = false);
  int temporary(bool mask = false);
  void put(int r, const Place& slot);
  void lock(int r) { locked_ |= uint64_t{1} << r; }
  bool locked(int r) const { return (locked_ >> r & 1) || r == guarded_in_; }
  void hold(int r, int i);
  int in_register(int i);
  Place operand(int i);
  void done_with(const Node& n);
  int target(const Node& n, bool mask = false);

  void emit();
  Assembler::Label body(int copies, int lane_registers);
  void group(const Way& way, int first, int copies);
  void take_detours();
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
  bool sums_in_registers() const;
  void move_lanes(Opcode o, int count);
  void fold(const Node& n);
  void fold_rest(const Node& n, int to, int v);
  void guard(int i, const Node& n);
  void join(Kind kind, int to, int with, int a, int b, Lanes lanes = kAllLanes);
  void select(int i, const Node& n);
  void and_mask(int i, const Node& n);

  const Target target_;
  const int vector_ = target_.vector, all_registers_ = target_.registers;
  // The last ones, where they hold the lanes of a fold; of these, for sums of short rows.
  const int lane_registers_ = int(kManyLanes) / vector_,
            few_lane_registers_ = int(kFewLanes) / vector_;
  const std::vector<Node>& nodes_;
  const std::vector<Stream>& streams_;
  const std::vector<Ahead>& ahead_;
  std::vector<char> fixed_, masks_;
  const Way general_, usual_;
  // Of constants and bounds of guards in the pool, of the others in the frame.
  std::vector<int32_t> fixed_slot_;
  // Of streams: number of the base, slot for the rest, slots of the lanes.
  std::vector<int32_t> base_of_, stage_of_, lanes_of_;
  std::vector<Kind> fold_of_;                // of streams of lanes
  std::vector<std::pair<int, int>> pinned_;  // node, register
  std::vector<uint8_t> pool_;
  int32_t rest_mask_at_ = 0, infinity_at_ = 0, minus_infinity_at_ = 0, fixed_frame_ = 0,
          frame_ = kSlots;
  int bases_ = 0, registers_ = all_registers_, peak_ = 0;
  int together_ = 1;  // vectors that are worked at in turns
  bool lanes_in_registers_ = false;

  // Of the pass that is made.
  Assembler assembler_;
  const Way* way_ = &general_;
  std::vector<Value> values_;
  std::vector<int32_t> loads_;            // how often a constant or scalar was put into a register
  std::array<int, kMask0 + 8> holder_{};  // node in each register, or -1
  uint64_t locked_ = 0;                   // registers of the instruction at work
  int guarded_in_ = -1;                   // register of a guard that has not seen all copies
  size_t frame_patch_ = 0;                // where the frame's size is written
  int copies_ = 1, copy_ = 0;             // vectors of a group, the one at work
  int first_ = 0;                         // vectors of the pass before the group
  int row_lanes_ = 0;                     // registers that hold lanes, or none
  bool rest_ = false;                     // the vector may not be full
  struct Detour {
    int first, copies, lane_registers;
    std::vector<Assembler::Label> from;
    Assembler::Label back;
  };
  std::vector<Detour> detours_;  // groups that a guard sends the general way
};

}  // namespace flowbook::cpu::jit
