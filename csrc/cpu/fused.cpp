// From a FusedSpec to a tape. Pairs of instructions that have a super-instruction become one; each
// row still rounds, so the bits are those of the single ops.
#include "cpu/fused.h"

#include <algorithm>
#include <bit>

#include "cpu/cpu.h"
#include "cpu/jit/jit.h"
#include "cpu/rounding.h"
#include "cpu/sums.h"

namespace flowbook::cpu {

namespace {

const char* row_name(int row) {
  static constexpr const char* names[] = {
#define UNARY(NAME, ...) #NAME,
#define BINARY(NAME, ...) #NAME,
#define TERNARY(NAME, ...) #NAME,
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  };
  return names[row];
}
const char* super_name(int super) {
  static constexpr const char* names[] = {
#define FLOWBOOK_SUPER(NAME, ARITY, VALUE) #NAME,
      FLOWBOOK_SUPERS(FLOWBOOK_SUPER)
#undef FLOWBOOK_SUPER
  };
  return names[super];
}

}  // namespace

std::unique_ptr<FusedCpu> FusedCpu::make(const FusedSpec& spec) {
  auto k = std::make_unique<FusedCpu>();
  return k->build(spec) ? std::move(k) : nullptr;
}
std::unique_ptr<FusedKernel> make_fused(const FusedSpec& spec) { return FusedCpu::make(spec); }

bool FusedCpu::build(const FusedSpec& spec) {
  rows_ = spec.rows, cols_ = spec.cols;
  inputs_ = int(spec.inputs.size());
  const size_t count = spec.inputs.size() + spec.instructions.size();
  if (count > kMaxRegisters) return false;
  for (const FusedInput& i : spec.inputs) {
    Register r{i.dtype, i.level, size_of(i.dtype)};
    r.home = Home::kInput;
    r.access = i.access, r.period = i.period, r.stride = i.stride;
    registers_.push_back(r);
  }
  for (const FusedInstruction& i : spec.instructions)
    registers_.push_back({i.dtype, i.level, size_of(i.dtype)});
  outputs_ = spec.outputs;
  for (size_t o = 0; o < outputs_.size(); ++o)
    if (Register& r = registers_[size_t(outputs_[o])]; r.output < 0) r.output = int(o);
  choose_sets(spec);
  std::vector<Instruction> tape;
  if (!translate(spec, tape)) return false;
  make_phases(tape);
  if (row_folds_ > kMaxRowFolds) return false;
  cut(chunk_elements(spec));
  assign_homes(spec);
  compile();
  if (one_loop()) block_cols_ = chunk_cols_;
  return true;
}

// Compiled loops take several rows in one call, each with a scalar of its own where others would
// read a row value: what a call costs, and waiting for the sum of a row, is shared. No more than
// the nearest caches hold. Elsewhere short rows share a block.
void FusedCpu::choose_sets(const FusedSpec& spec) {
  const jit::Mode mode = jit::mode();
  compiles_ =
      mode >= jit::Mode::kAlways || (mode == jit::Mode::kOn && rows_ * cols_ >= kWorthCompiling);
  const auto dense = [](const FusedInput& i) {
    return i.level != Level::kElement || i.access == Access::kDense || i.access == Access::kScalar;
  };
  const auto of_row = [](const auto& x) { return x.level == Level::kRow; };
  const bool compiled =
      compiles_ && cols_ <= kBlock && std::all_of(spec.inputs.begin(), spec.inputs.end(), dense) &&
      std::all_of(spec.instructions.begin(), spec.instructions.end(),
                  [&](const auto& i) { return i.level >= Level::kColumn || can_compile(i); });
  const bool row_by_row =
      std::any_of(spec.inputs.begin(), spec.inputs.end(), of_row) ||
      std::any_of(spec.instructions.begin(), spec.instructions.end(), [&](const auto& i) {
        return of_row(i) || (i.level == Level::kColumn && can_compile(i));
      });
  const int64_t share = compiled && row_by_row ? kShareCompiled : kShare;
  if (cols_ < share)
    while (2 * block_rows_ * cols_ <= kBlock && block_rows_ < rows_) block_rows_ *= 2;
  set_rows_ = block_rows_;
  if (compiled && block_rows_ == 1)
    while (2 * set_rows_ * cols_ <= kAtOnce && set_rows_ < rows_) set_rows_ *= 2;
}

bool FusedCpu::translate(const FusedSpec& spec, std::vector<Instruction>& tape) {
  std::vector<int> uses(registers_.size());
  for (const FusedInstruction& i : spec.instructions)
    for (int k = 0; k < i.arity; ++k) ++uses[size_t(i.src[k])];
  for (int o : spec.outputs) uses[size_t(o)] += 2;
  const Loops& table = loops();
  for (size_t k = 0; k < spec.instructions.size(); ++k) {
    const FusedInstruction& ins = spec.instructions[k];
    Instruction t;
    t.level = ins.level;
    t.arity = ins.arity;
    std::copy(ins.src, ins.src + 3, t.src);
    t.dst = inputs_ + int(k);
    t.row = ins.row;
    t.native = compiles_ && can_compile(ins);
    const int slot = slot_of(ins.compute);
    if (ins.reduction != Reduction::kNone) {
      if (slot == no_slot) return false;
      const bool sum = ins.reduction == Reduction::kSum, max = ins.reduction == Reduction::kMax;
      t.fold = (sum ? table.sum : max ? table.max : table.min)[slot];
      if (slot == kSlotF32 || slot == kSlotF64)
        t.rows = (sum ? table.sum_rows : max ? table.max_rows : table.min_rows)[slot == kSlotF64];
      t.join = (sum ? table.add_columns : max ? table.max_columns : table.min_columns)[slot];
      t.name = sum ? "sum" : max ? "max" : "min";
      const Level from = registers_[size_t(ins.src[0])].level;
      t.kind = ins.level == Level::kRow      ? Instruction::kFoldColumns
               : ins.level == Level::kColumn ? Instruction::kFoldRows
                                             : Instruction::kFoldTotal;
      if (ins.level == Level::kTotal && from != Level::kRow) return false;
      if (!t.rows || !t.fold || !t.join) return false;
    } else if (ins.row < 0) {
      t.loop = table.cast[int(ins.compute)][int(ins.dtype)];
      t.name = "cast";
    } else {
      if (slot == no_slot) return false;
      t.loop = table.row[ins.row][slot];
      t.name = row_name(ins.row);
    }
    if (!t.loop && !t.fold) return false;
    tape.push_back(t);
    join(spec, k, tape, uses);
  }
  std::erase_if(tape, [](const Instruction& t) { return t.dst < 0; });
  return true;
}

// outer(inner(a, b), c) as one loop, if there is such a super-instruction and nobody else reads the
// inner value. The inner instruction stays behind with dst = -1.
void FusedCpu::join(const FusedSpec& spec, size_t k, std::vector<Instruction>& tape,
                    const std::vector<int>& uses) {
  const FusedInstruction& outer = spec.instructions[k];
  Instruction& t = tape[k];
  if (outer.compute != DType::f32 && outer.compute != DType::f64) return;
  const int type = outer.compute == DType::f64;
  for (int side = 0; side < outer.arity; ++side) {
    const int r = outer.src[side];
    if (r < inputs_ || uses[size_t(r)] != 1) continue;
    const FusedInstruction& inner = spec.instructions[size_t(r - inputs_)];
    Instruction& from = tape[size_t(r - inputs_)];
    if (t.native && from.native) continue;  // a compiled loop joins more than pairs
    if (from.dst < 0 || inner.compute != outer.compute || from.arity != inner.arity ||
        inner.reduction != Reduction::kNone)
      continue;
    if (outer.reduction != Reduction::kNone) {  // sums of squares and of products
      if (outer.reduction != Reduction::kSum || t.kind != Instruction::kFoldColumns ||
          inner.level != Level::kElement)
        continue;
      if (inner.row == kCode_square) {
        t.rows = loops().sum_squares_rows[type];
        t.name = "sum_squares";
        t.src[0] = inner.src[0];
        from.dst = -1;
      } else if (inner.row == kCode_multiply &&
                 registers_[size_t(inner.src[0])].level == Level::kElement &&
                 registers_[size_t(inner.src[1])].level == Level::kElement &&
                 registers_[size_t(inner.src[0])].access != Access::kScalar &&
                 registers_[size_t(inner.src[1])].access != Access::kScalar) {
        t.rows = loops().dot_rows[type];
        t.name = "dot";
        t.src[0] = inner.src[0], t.src[1] = inner.src[1];
        t.arity = 2;
        from.dst = -1;
      }
      return;
    }
    if (inner.level != outer.level || inner.arity != 2) continue;
    const int other = outer.arity == 2 ? outer.src[1 - side] : -1;
    int super = -1;
    const bool commutes = outer.row == kCode_add || outer.row == kCode_multiply;
    if (outer.arity == 2 && (side == 0 || commutes)) {
      if (inner.row == kCode_multiply && outer.row == kCode_add) super = kSuper_mul_add;
      if (inner.row == kCode_multiply && outer.row == kCode_subtract && side == 0)
        super = kSuper_mul_sub;
      if (inner.row == kCode_subtract && outer.row == kCode_multiply) super = kSuper_sub_mul;
      if (inner.row == kCode_add && outer.row == kCode_multiply) super = kSuper_add_mul;
      if (inner.row == kCode_multiply && outer.row == kCode_multiply && side == 0)
        super = kSuper_mul_mul;
      if (inner.row == kCode_add && outer.row == kCode_add && side == 0) super = kSuper_add_add;
      if (inner.row == kCode_subtract && outer.row == kCode_divide && side == 0)
        super = kSuper_sub_div;
    } else if (outer.arity == 1) {
      if (inner.row == kCode_add && outer.row == kCode_relu) super = kSuper_add_relu;
      if (inner.row == kCode_add && outer.row == kCode_tanh) super = kSuper_add_tanh;
      if (inner.row == kCode_subtract && outer.row == kCode_exp) super = kSuper_sub_exp;
    }
    if (super < 0 || !loops().super[super][type]) continue;
    from.dst = -1;
    t.loop = loops().super[super][type];
    t.name = super_name(super);
    t.src[0] = inner.src[0], t.src[1] = inner.src[1];
    t.arity = 2;
    if (other >= 0) t.src[2] = other, t.arity = 3;
    return;
  }
}

// An element instruction runs in the first phase in which all it reads is known; a row that a phase
// folds is known in the next one.
void FusedCpu::make_phases(const std::vector<Instruction>& tape) {
  std::vector<int> known(registers_.size());  // elements: the phase that computes them
  auto phase_at = [&](int p) -> Phase& {
    if (size_t(p) >= phases_.size()) phases_.resize(size_t(p) + 1);
    return phases_[size_t(p)];
  };
  phase_at(0);
  for (const Instruction& t : tape) {
    int p = 0;
    for (int i = 0; i < t.arity; ++i) p = std::max(p, known[size_t(t.src[i])]);
    Instruction ins = t;
    if (t.kind == Instruction::kFoldTotal ||
        (t.kind == Instruction::kMap && t.level >= Level::kColumn)) {
      last_.push_back(t);
      continue;
    }
    if (t.kind == Instruction::kFoldColumns) ins.index = row_folds_++;
    if (t.kind == Instruction::kFoldRows) ++column_folds_;
    if (t.level == Level::kRow) row_values_ = true;
    if (t.kind == Instruction::kMap && t.level == Level::kRow) {
      // Runs at the end of the phase before the one in which elements may read it.
      (p == 0 ? first_ : phase_at(p - 1).rows).push_back(ins);
      known[size_t(t.dst)] = p;
    } else {
      phase_at(p).elements.push_back(ins);
      known[size_t(t.dst)] = t.kind == Instruction::kFoldColumns ? p + 1 : p;
    }
  }
  if (block_rows_ == 1) repeat_cheap_maps();
  std::vector<int> defined(registers_.size(), -1);
  for (size_t p = 0; p < phases_.size(); ++p) {
    Phase& phase = phases_[p];
    for (const Instruction& t : phase.elements) {
      for (int i = 0; i < t.arity; ++i) {
        const Register& r = registers_[size_t(t.src[i])];
        if (r.level == Level::kRow) {
          registers_[size_t(t.src[i])].by_elements = true;
        } else if (defined[size_t(t.src[i])] != int(p) &&
                   std::find(phase.entering.begin(), phase.entering.end(), t.src[i]) ==
                       phase.entering.end()) {
          phase.entering.push_back(t.src[i]);
        }
      }
      defined[size_t(t.dst)] = int(p);
    }
  }
}

// A phase that reads what an earlier one made of one array by a few cheap instructions makes it
// again in its compiled loop, rather than have it stored by the one and loaded by the other.
void FusedCpu::repeat_cheap_maps() {
  constexpr int kFew = 3, kStored = 0;
  const auto cheap = [](const Instruction& t) {
    return t.native && t.kind == Instruction::kMap &&
           (t.row == kCode_add || t.row == kCode_subtract || t.row == kCode_multiply ||
            t.row == kCode_square || t.row == kCode_negative || t.row == kCode_abs);
  };
  struct Made {
    int phase = -1, cost = kStored;  // instructions to make it again
    int array = -1;                  // what they read
    Instruction by;
  };
  std::vector<Made> made(registers_.size());
  const auto array_of = [&](int r) { return made[size_t(r)].cost ? made[size_t(r)].array : r; };
  const auto is_array = [&](int r) {
    return registers_[size_t(r)].level == Level::kElement ||
           registers_[size_t(r)].level == Level::kColumn;
  };
  for (size_t p = 0; p < phases_.size(); ++p)
    for (const Instruction& t : phases_[p].elements) {
      Made& m = made[size_t(t.dst)];
      m.phase = int(p), m.by = t;
      if (!cheap(t) || registers_[size_t(t.dst)].output >= 0) continue;
      int cost = 1, array = -1;
      for (int i = 0; i < t.arity; ++i) {
        const Made& from = made[size_t(t.src[i])];
        if (!is_array(t.src[i])) continue;
        const int a = array_of(t.src[i]);
        const bool kept = from.cost || made[size_t(a)].phase < int(p);
        cost += kept && (array < 0 || array == a) ? from.cost : kFew;
        array = a;
      }
      if (array >= 0 && cost <= kFew) m.cost = cost, m.array = array;
    }
  for (size_t p = 1; p < phases_.size(); ++p) {
    std::vector<Instruction> all;
    std::vector<int> again(made.size(), -1);
    const auto make_again = [&](auto& self, int r) -> int {
      if (size_t(r) >= made.size() || !made[size_t(r)].cost || made[size_t(r)].phase >= int(p))
        return r;
      int& copy = again[size_t(r)];
      if (copy >= 0) return copy;
      Instruction t = made[size_t(r)].by;
      for (int i = 0; i < t.arity; ++i) t.src[i] = self(self, t.src[i]);
      if (registers_.size() >= kMaxRegisters) return r;
      copy = t.dst = int(registers_.size());
      registers_.push_back(Register(registers_[size_t(r)]));
      all.push_back(t);
      return copy;
    };
    for (Instruction t : phases_[p].elements) {
      for (int i = 0; i < t.arity; ++i) t.src[i] = make_again(make_again, t.src[i]);
      all.push_back(t);
    }
    phases_[p].elements = std::move(all);
  }
}

// Elements of a chunk of the pool, by program and size alone. Below kManyChunks a chunk may be
// smaller, down to a few microseconds of work, so that short programs between products don't
// leave all threads but one without any.
int64_t FusedCpu::chunk_elements(const FusedSpec& spec) const {
  constexpr int64_t kManyChunks = 16, kLeastWork = 96 << 10;
  constexpr int64_t kOfFunctions = 8, kOfGathered = 3;
  int64_t work = int64_t(spec.outputs.size());  // of an element, in tenths of a nanosecond at most
  for (const FusedInput& in : spec.inputs)
    if (in.level == Level::kElement) work += in.access == Access::kStrided ? kOfGathered : 1;
  for (const FusedInstruction& ins : spec.instructions)
    if (registers_[size_t(ins.src[0])].level == Level::kElement)
      work += ins.row >= 0 && calls_functions(ins.row) ? kOfFunctions : 1;
  const auto power_of_two = [](int64_t n) { return int64_t(std::bit_floor(uint64_t(n))); };
  const int64_t least = power_of_two(std::max(kBlock, kLeastWork / work));
  return std::clamp(power_of_two(rows_ * cols_ / kManyChunks | 1), std::min(least, kChunk), kChunk);
}

int64_t FusedCpu::chunks() const {
  return ceil_div(rows_, chunk_rows_) * ceil_div(cols_, chunk_cols_);
}

// Sets of rows and chunks of the pool, by shape alone.
void FusedCpu::cut(int64_t elements) {
  long_rows_ = row_folds_ > 0 && cols_ > kLongRow;
  const int64_t together = column_folds_ ? rows_together(cols_) : 1;
  if (long_rows_) {
    chunk_rows_ = column_folds_ ? together : 1, chunk_cols_ = kLongRow;
  } else {
    chunk_cols_ = row_values_ || block_rows_ > 1 ? cols_ : std::min(cols_, elements);
    const int64_t unit = std::max(together, set_rows_);  // both powers of two
    chunk_rows_ = std::max<int64_t>(1, elements / chunk_cols_);
    chunk_rows_ = (chunk_rows_ + unit - 1) / unit * unit;
  }
}

void FusedCpu::assign_homes(const FusedSpec& spec) {
  one_block_ = block_rows_ > 1 || cols_ <= kWholeRow;
  const int64_t block = one_block_ ? set_rows_ * cols_ : kBlock;
  // Widest element, so that slots can be shared.
  int width = 1;
  for (const Register& r : registers_) width = std::max(width, r.width);
  block_bytes_ = aligned(block * width + 64) + 64;  // repeat() writes a vector too many
  set_bytes_ = aligned(cols_ * width) + 64;
  auto take_workspace = [&](int64_t bytes) {
    const int64_t at = workspace_;
    workspace_ += aligned(bytes);
    return at;
  };
  auto take_rows = [&](int width_of_one) {
    const int64_t at = row_bytes_;
    row_bytes_ += aligned((long_rows_ ? kBlock : set_rows_) * width_of_one);
    return int(at);
  };
  // Row values that totals are made of exist as a whole.
  std::vector<char> whole(registers_.size());
  for (const Instruction& t : last_)
    if (t.kind == Instruction::kFoldTotal) whole[size_t(t.src[0])] = 1;
  for (size_t r = 0; r < registers_.size(); ++r) {
    Register& x = registers_[r];
    if (x.home == Home::kInput) {
      if (x.level == Level::kRow && x.access != Access::kDense) x.slot = take_rows(x.width);
      if (x.level == Level::kRow && x.access != Access::kDense && whole[r])
        x.at = take_workspace(rows_ * x.width);
      if (x.level == Level::kElement && x.access != Access::kDense && x.access != Access::kScalar)
        x.gather = block_slots_++;
      if (x.level == Level::kColumn && block_rows_ > 1) x.gather = block_slots_++;
    } else if (x.output >= 0) {
      x.home = Home::kOutput;
    } else if (x.level >= Level::kColumn || (x.level == Level::kRow && whole[r])) {
      x.home = Home::kWhole;
      x.at = take_workspace((x.level == Level::kRow      ? rows_
                             : x.level == Level::kColumn ? cols_
                                                         : 1) *
                            x.width);
    } else if (x.level == Level::kRow) {
      x.home = Home::kRows;
    }
    // Several chunks share a long row: what they know of it is their own until the end.
    if (x.home == Home::kRows || (x.level == Level::kRow && x.home != Home::kInput && long_rows_))
      x.slot = take_rows(x.width);
    if (x.level == Level::kRow && x.by_elements && block_rows_ > 1) x.spread = block_slots_++;
  }
  // Elements: a slot is free again after its last reader. Those read in a later phase live for the
  // set.
  scratch_slot_ = block_slots_++;
  std::vector<std::pair<int, int>> last(registers_.size(), {-1, -1});  // phase, instruction
  std::vector<int> born(registers_.size(), -1);
  for (size_t p = 0; p < phases_.size(); ++p)
    for (size_t k = 0; k < phases_[p].elements.size(); ++k) {
      const Instruction& t = phases_[p].elements[k];
      for (int i = 0; i < t.arity; ++i) last[size_t(t.src[i])] = {int(p), int(k)};
      born[size_t(t.dst)] = int(p);
    }
  std::vector<int> idle_block, idle_set;
  auto take = [](std::vector<int>& idle, int& count) {
    if (idle.empty()) return count++;
    const int slot = idle.back();
    idle.pop_back();
    return slot;
  };
  for (size_t p = 0; p < phases_.size(); ++p)
    for (size_t k = 0; k < phases_[p].elements.size(); ++k) {
      const Instruction& t = phases_[p].elements[k];
      Register& dst = registers_[size_t(t.dst)];
      if (dst.level == Level::kElement && dst.home == Home::kNone) {
        const bool crosses = !one_block_ && last[size_t(t.dst)].first > int(p);
        dst.home = crosses ? Home::kSet : Home::kBlock;
        dst.slot = crosses ? take(idle_set, set_slots_) : take(idle_block, block_slots_);
      }
      for (int i = 0; i < t.arity; ++i) {
        const auto s = size_t(t.src[i]);
        if (last[s] != std::pair{int(p), int(k)}) continue;
        last[s] = {-2, -2};  // given back once, also if it is read twice
        if (registers_[s].home == Home::kBlock) idle_block.push_back(registers_[s].slot);
        // Other blocks of this phase may still need theirs; so a set's slot is not given to a value
        // of the same phase.
        if (registers_[s].home == Home::kSet && born[s] < int(p)) registers_[s].gather = -2;
      }
      if (k + 1 == phases_[p].elements.size())
        for (Register& r : registers_)
          if (r.home == Home::kSet && r.gather == -2) idle_set.push_back(r.slot), r.gather = -1;
    }
  for (size_t r = size_t(inputs_); r < registers_.size(); ++r)
    if (registers_[r].level == Level::kRow) row_results_.push_back(int(r));
  for (size_t r = 0; r < size_t(inputs_); ++r) {
    if (registers_[r].level == Level::kRow) row_inputs_.push_back(int(r));
    const Register& x = registers_[r];
    const bool repeats =
        (x.level == Level::kColumn && block_rows_ > 1) ||
        (x.level == Level::kElement && x.access == Access::kPeriodic && x.period < block &&
         block_rows_ > 1 && (block_rows_ * cols_) % x.period == 0);
    if (repeats) periodic_.push_back(int(r));
  }
  // Partial sums: of columns, and of long rows.
  for (Phase& phase : phases_)
    for (Instruction& t : phase.elements) {
      const int w = registers_[size_t(t.dst)].width;
      if (t.kind == Instruction::kFoldRows) {
        const int64_t parts = (rows_ + rows_together(cols_) - 1) / rows_together(cols_);
        t.part_bytes = aligned(cols_ * w);
        t.parts = parts;
        t.at = take_workspace(parts * t.part_bytes);
      } else if (t.kind == Instruction::kFoldColumns && long_rows_) {
        t.parts = (cols_ + kLongRow - 1) / kLongRow;
        t.at = take_workspace(rows_ * t.parts * w);
      }
    }
  static_cast<void>(spec);
}

bool FusedCpu::in_place(int input, int output) const {
  if (outputs_.size() == 1) return true;
  const int written = outputs_[size_t(output)];
  const Register &x = registers_[size_t(input)], &y = registers_[size_t(written)];
  if (x.level != Level::kElement || x.access != Access::kDense || y.level != Level::kElement)
    return false;
  bool there = false;
  for (const Phase& phase : phases_) {
    for (const Instruction& t : phase.elements) {
      if (there && std::find(t.src, t.src + t.arity, input) != t.src + t.arity) return false;
      there = there || t.dst == written;
    }
    for (const Segment& s : phase.segments) {  // may read it where the instructions do not
      int read = -1, stored = INT32_MAX;
      for (size_t i = 0; i < s.operands.size(); ++i) {
        const auto [kind, id] = s.operands[i];
        if (kind == jit::Stream::kInput && id == input) read = s.last[i];
        if ((kind == jit::Stream::kOutput || kind == jit::Stream::kPast) && id == written)
          stored = s.last[i];
      }
      if (read > stored) return false;
    }
  }
  return true;
}

std::string FusedCpu::text() const {
  std::string s;
  auto line = [&](const Instruction& t, const char* indent) {
    s += cat(indent, "r", t.dst, " = ", t.name);
    if (t.kind == Instruction::kFoldColumns) s += " of each row";
    if (t.kind == Instruction::kFoldRows) s += " of each column";
    if (t.kind == Instruction::kFoldTotal) s += " of all rows";
    for (int k = 0; k < t.arity; ++k) s += cat(k ? ", r" : " r", t.src[k]);
    s += '\n';
  };
  const bool plain = phases_.size() == 1 && phases_[0].rows.empty() && last_.empty() &&
                     row_folds_ == 0 && column_folds_ == 0;
  if (!plain) s += cat("    [", rows_, ", ", cols_, "]\n");
  if (chunks() > 1) s += cat("    ", chunks(), " chunks\n");
  for (const Instruction& t : first_) line(t, "    row ");
  for (const Phase& p : phases_) {
    const Segment* segment = nullptr;
    for (size_t k = 0; k < p.elements.size(); ++k) {
      if (p.elements[k].segment >= 0) {
        segment = &p.segments[size_t(p.elements[k].segment)];
        s += segment->past ? "    compiled, past the caches\n" : "    compiled\n";
      }
      line(p.elements[k], segment && k < segment->end ? "      " : "    ");
    }
    for (const Instruction& t : p.rows) line(t, "    row ");
    if (&p != &phases_.back()) s += "    --\n";
  }
  for (const Instruction& t : last_) line(t, "    end ");
  return s;
}

}  // namespace flowbook::cpu
