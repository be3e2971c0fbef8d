// Fused programs on the CPU: a tape of the same block loops that run single ops, over blocks of
// 1,024 elements whose intermediate values stay in L1. Pairs of instructions that have a
// super-instruction become one; each row still rounds, so the bits are those of the single ops.
#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "cpu/cpu.h"
#include "cpu/loops.h"
#include "cpu/pool.h"

namespace flowbook::cpu {

namespace {

constexpr int64_t kBlock = 1024;      // elements
constexpr int64_t kChunkBlocks = 16;  // blocks of a chunk of the pool
constexpr int kMaxRegisters = 128;

// Scratch memory of a thread: slots of one block each. Grown on demand, kept.
char* thread_scratch(int64_t bytes) {
  thread_local std::unique_ptr<char[]> memory;
  thread_local int64_t size = 0;
  if (size < bytes) {
    memory.reset(new char[size_t(bytes + 63)]);
    size = bytes;
  }
  return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory.get()) + 63) & ~uintptr_t(63));
}

struct Instruction {
  Loop loop;
  int arity;
  int src[3];
  int dst;
  const char* name;
};

class FusedCpu : public FusedKernel {
 public:
  static std::unique_ptr<FusedCpu> make(const FusedSpec& spec) {
    auto k = std::make_unique<FusedCpu>();
    return k->build(spec) ? std::move(k) : nullptr;
  }

  void run(void* const* in, void* const* out) const override {
    const int64_t blocks = (n_ + kBlock - 1) / kBlock;
    if (blocks == 1) {
      check_cancelled();
      return chunk(in, out, 0, 1, nullptr);
    }
    // Short repeating operands, unrolled once so that any block finds its elements in a row.
    std::unique_ptr<char[]> unrolled;
    if (unrolled_bytes_) {
      unrolled.reset(new char[size_t(unrolled_bytes_)]);
      for (size_t i = 0; i < inputs_.size(); ++i)
        unroll(i, static_cast<const char*>(in[i]), unrolled.get());
    }
    parallel_ranges(blocks, kChunkBlocks, [&](int64_t begin, int64_t end) {
      chunk(in, out, begin, end, unrolled.get());
    });
  }

  std::string text() const override {
    std::string s;
    for (const Instruction& i : tape_) {
      s += cat("    r", i.dst, " = ", i.name);
      for (int k = 0; k < i.arity; ++k) s += cat(k ? ", r" : " r", i.src[k]);
      s += '\n';
    }
    return s;
  }

 private:
  struct Input {
    FusedInput spec;
    int width;
    int slot = -1;  // blocks that are not contiguous in memory are gathered here
    int64_t unrolled_at = -1;
  };

  bool build(const FusedSpec& spec) {
    n_ = spec.n;
    const size_t registers = spec.inputs.size() + spec.instructions.size();
    if (registers > kMaxRegisters) return false;
    for (const FusedInput& i : spec.inputs) inputs_.push_back({i, size_of(i.dtype), -1, -1});
    outputs_ = spec.outputs;
    for (const FusedInput& i : spec.inputs) types_.push_back(i.dtype);
    for (const FusedInstruction& i : spec.instructions) types_.push_back(i.dtype);
    output_of_.assign(registers, -1);
    for (size_t o = 0; o < outputs_.size(); ++o)
      if (output_of_[size_t(outputs_[o])] < 0) output_of_[size_t(outputs_[o])] = int(o);
    if (!translate(spec)) return false;
    assign_slots(registers);
    for (Input& i : inputs_) {
      if (i.spec.access == Access::kColumn ||
          (i.spec.access == Access::kPeriodic && i.spec.period >= kBlock))
        i.slot = slots_++;
      if (i.spec.access == Access::kPeriodic && i.spec.period < kBlock) {
        i.unrolled_at = unrolled_bytes_;
        unrolled_bytes_ += ((i.spec.period + kBlock) * i.width + 63) / 64 * 64;
      }
    }
    return true;
  }

  // Rows to loops, with pairs joined into super-instructions where the inner value is used once.
  bool translate(const FusedSpec& spec) {
    const int first = int(spec.inputs.size());
    std::vector<int> uses(types_.size());
    for (const FusedInstruction& i : spec.instructions)
      for (int k = 0; k < i.arity; ++k) ++uses[size_t(i.src[k])];
    for (int o : spec.outputs) uses[size_t(o)] += 2;
    std::vector<char> gone(spec.instructions.size());
    const Loops& table = loops();
    for (size_t k = 0; k < spec.instructions.size(); ++k) {
      const FusedInstruction& ins = spec.instructions[k];
      Instruction t{nullptr, ins.arity, {ins.src[0], ins.src[1], ins.src[2]}, first + int(k), ""};
      if (ins.row < 0) {
        t.loop = table.cast[int(ins.compute)][int(ins.dtype)];
        t.name = "cast";
      } else {
        const int slot = slot_of(ins.compute);
        if (slot == no_slot) return false;
        t.loop = table.row[ins.row][slot];
        t.name = row_name(ins.row);
      }
      if (!t.loop) return false;
      join(spec, k, uses, gone, t);
      tape_.push_back(t);
    }
    size_t kept = 0;
    for (size_t k = 0; k < tape_.size(); ++k)
      if (!gone[k]) tape_[kept++] = tape_[k];
    tape_.resize(kept);
    return true;
  }

  // outer(inner(a, b), c) as one loop, if there is such a super-instruction.
  void join(const FusedSpec& spec, size_t k, const std::vector<int>& uses, std::vector<char>& gone,
            Instruction& t) {
    const FusedInstruction& outer = spec.instructions[k];
    if (outer.compute != DType::f32 && outer.compute != DType::f64) return;
    const int first = int(spec.inputs.size()), type = outer.compute == DType::f64;
    for (int side = 0; side < outer.arity; ++side) {
      const int r = outer.src[side];
      if (r < first || uses[size_t(r)] != 1 || gone[size_t(r - first)]) continue;
      const FusedInstruction& inner = spec.instructions[size_t(r - first)];
      if (inner.compute != outer.compute || tape_[size_t(r - first)].arity != inner.arity) continue;
      if (inner.arity != 2) continue;
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
      gone[size_t(r - first)] = 1;
      t.loop = loops().super[super][type];
      t.name = super_name(super);
      t.src[0] = inner.src[0], t.src[1] = inner.src[1];
      t.arity = 2;
      if (other >= 0) t.src[2] = other, t.arity = 3;
      return;
    }
  }

  // Registers that are neither inputs nor results share slots; a slot is free again after its last
  // reader.
  void assign_slots(size_t registers) {
    std::vector<int> last(registers, -1);
    for (size_t k = 0; k < tape_.size(); ++k)
      for (int i = 0; i < tape_[k].arity; ++i) last[size_t(tape_[k].src[i])] = int(k);
    slot_.assign(registers, -1);
    std::vector<int> idle;
    for (size_t k = 0; k < tape_.size(); ++k) {
      const auto dst = size_t(tape_[k].dst);
      if (output_of_[dst] < 0) {
        if (idle.empty()) idle.push_back(slots_++);
        slot_[dst] = idle.back();
        idle.pop_back();
      }
      for (int i = 0; i < tape_[k].arity; ++i) {
        const auto src = size_t(tape_[k].src[i]);
        if (slot_[src] >= 0 && last[src] == int(k)) {
          idle.push_back(slot_[src]);
          last[src] = -2;  // given back once, also if it is read twice
        }
      }
    }
  }

  void unroll(size_t i, const char* from, char* to) const {
    const Input& in = inputs_[i];
    if (in.unrolled_at < 0) return;
    char* out = to + in.unrolled_at;
    const int64_t total = (in.spec.period + kBlock) * in.width, period = in.spec.period * in.width;
    memcpy(out, from, size_t(period));
    for (int64_t done = period; done < total;) {  // doubles what is there
      const int64_t n = std::min(done, total - done);
      memcpy(out + done, out, size_t(n));
      done += n;
    }
  }

  // The operand of input i for elements [begin, begin + n).
  Operand operand(const Input& in, const char* p, int64_t begin, int64_t n, char* slots,
                  const char* unrolled) const {
    switch (in.spec.access) {
      case Access::kDense:
        return {p + begin * in.width, 1};
      case Access::kScalar:
        return {p, 0};
      case Access::kPeriodic: {
        const int64_t at = begin % in.spec.period;
        if (unrolled && in.unrolled_at >= 0) return {unrolled + in.unrolled_at + at * in.width, 1};
        if (at + n <= in.spec.period) return {p + at * in.width, 1};
        // Straddles an end: gathered piece by piece.
        char* to = slots + (in.slot >= 0 ? in.slot : slots_) * kBlock * 8;
        for (int64_t done = 0, from = at; done < n; from = 0) {
          const int64_t m = std::min(n - done, in.spec.period - from);
          memcpy(to + done * in.width, p + from * in.width, size_t(m * in.width));
          done += m;
        }
        return {to, 1};
      }
      case Access::kColumn: {
        const int64_t row = begin / in.spec.period;
        if ((begin + n - 1) / in.spec.period == row) return {p + row * in.width, 0};
        char* to = slots + in.slot * kBlock * 8;
        const Loop copy = loops().copy[std::countr_zero(unsigned(in.width))];
        for (int64_t done = 0; done < n;) {
          const int64_t r = (begin + done) / in.spec.period,
                        m = std::min(n - done, (r + 1) * in.spec.period - begin - done);
          const Operand value{p + r * in.width, 0};
          copy(&value, to + done * in.width, m);
          done += m;
        }
        return {to, 1};
      }
    }
    return {};
  }

  void chunk(void* const* in, void* const* out, int64_t first, int64_t last,
             const char* unrolled) const {
    // One more slot for each short repeating operand of a program that has a single block.
    const int extra = unrolled ? 0 : int(inputs_.size());
    char* slots = thread_scratch((slots_ + extra) * kBlock * 8);
    Operand at[kMaxRegisters];
    char* result[kMaxRegisters];
    for (int64_t b = first; b < last; ++b) {
      const int64_t begin = b * kBlock, n = std::min(kBlock, n_ - begin);
      for (size_t i = 0; i < inputs_.size(); ++i) {
        Input single = inputs_[i];
        if (!unrolled && single.unrolled_at >= 0) single.slot = slots_ + int(i);
        at[i] = operand(single, static_cast<const char*>(in[i]), begin, n, slots, unrolled);
      }
      for (const Instruction& t : tape_) {
        const auto dst = size_t(t.dst);
        result[dst] = output_of_[dst] >= 0
                          ? static_cast<char*>(out[output_of_[dst]]) + begin * size_of(types_[dst])
                          : slots + slot_[dst] * kBlock * 8;
        at[dst] = {result[dst], 1};
        const Operand operands[3] = {at[t.src[0]], at[t.src[1]], at[t.src[2]]};
        t.loop(operands, result[dst], n);
      }
    }
  }

  static const char* row_name(int row) {
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
  static const char* super_name(int super) {
    static constexpr const char* names[] = {
#define FLOWBOOK_SUPER(NAME, ARITY, VALUE) #NAME,
        FLOWBOOK_SUPERS(FLOWBOOK_SUPER)
#undef FLOWBOOK_SUPER
    };
    return names[super];
  }

  int64_t n_ = 0, unrolled_bytes_ = 0;
  std::vector<Input> inputs_;
  std::vector<Instruction> tape_;
  std::vector<int> outputs_, output_of_, slot_;
  std::vector<DType> types_;
  int slots_ = 0;
};

}  // namespace

std::unique_ptr<FusedKernel> make_fused(const FusedSpec& spec) { return FusedCpu::make(spec); }

}  // namespace flowbook::cpu
