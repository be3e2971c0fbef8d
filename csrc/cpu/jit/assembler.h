// Machine code of x86-64 with AVX2 (VEX) or AVX-512 (EVEX): the few dozen instructions that loops
// over float32 are made of. Knows encodings, not what they are good for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace flowbook::cpu::jit {

// clang-format off
enum class Gpr : uint8_t { rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 };
// clang-format on

// A vector or mask register, or memory: [base + index + offset], or a constant of the pool behind
// the code.
struct Place {
  enum Kind : uint8_t { kRegister, kMemory, kPool } kind = kRegister;
  uint8_t number = 0;                     // of the register
  Gpr base = Gpr::rax, index = Gpr::rsp;  // rsp: no index
  int32_t offset = 0;                     // kPool: into the pool
  bool memory() const { return kind != kRegister; }
};
inline Place in(int number) { return {Place::kRegister, uint8_t(number)}; }
inline Place at(Gpr base, int32_t offset) { return {Place::kMemory, 0, base, Gpr::rsp, offset}; }
inline Place at(Gpr base, Gpr index, int32_t offset = 0) {
  return {Place::kMemory, 0, base, index, offset};
}
inline Place pool(int32_t offset) { return {Place::kPool, 0, Gpr::rax, Gpr::rsp, offset}; }

// Opcode, its map (1: 0F, 2: 0F38, 3: 0F3A), the prefix (0: none, 1: 66, 2: F3, 3: F2), and the
// bytes of an operand in memory where that is no whole vector.
struct Opcode {
  uint8_t code, map, prefix, bytes = 0;
};
namespace op {
inline constexpr Opcode kAdd{0x58, 1, 0}, kMul{0x59, 1, 0}, kSub{0x5c, 1, 0}, kMin{0x5d, 1, 0},
    kDiv{0x5e, 1, 0}, kMax{0x5f, 1, 0}, kSqrt{0x51, 1, 0}, kAnd{0x54, 1, 0}, kAndNot{0x55, 1, 0},
    kOr{0x56, 1, 0}, kXor{0x57, 1, 0}, kCompare{0xc2, 1, 0}, kRound{0x08, 3, 1}, kBlend{0x4a, 3, 1},
    kIntAdd{0xfe, 1, 1}, kIntSub{0xfa, 1, 1}, kIntGreater{0x66, 1, 1}, kIntMax{0x3d, 2, 1},
    kIntMin{0x39, 2, 1}, kUnsignedMax{0x3f, 2, 1}, kTest{0x17, 2, 1}, kToFloat{0x5b, 1, 0},
    kShift{0x72, 1, 1}, kStorePast{0x2b, 1, 0}, kLoad{0x10, 1, 0}, kStore{0x11, 1, 0},
    kMove{0x28, 1, 0}, kBroadcast{0x18, 2, 1, 4}, kMaskedLoad{0x2c, 2, 1}, kMaskedStore{0x2e, 2, 1},
    kUpperHalf{0x19, 3, 1}, kHighPair{0x12, 1, 0}, kOddLanes{0x16, 1, 2}, kStoreOne{0x11, 1, 2};
// With AVX-512: compares write masks, which others blend with. vpcmpud, vpmovd2m.
inline constexpr Opcode kMaskBlend{0x65, 2, 1}, kUnsignedCompare{0x1e, 3, 1}, kSigns{0x39, 2, 2},
    kUpper256{0x1b, 3, 1};
// Of mask registers alone: encoded as with AVX2, of 128 bits, or 256 where there are three.
inline constexpr Opcode kMaskAnd{0x41, 1, 0}, kMaskOr{0x45, 1, 0}, kMaskSame{0x46, 1, 0},
    kMaskLoad{0x90, 1, 0}, kMaskStore{0x91, 1, 0}, kMaskTest{0x98, 1, 0};
// a * b + c in the form 231: the target is c. 132 and 213 are 0x20 and 0x10 below.
inline constexpr Opcode kFma{0xb8, 2, 1}, kFms{0xba, 2, 1}, kFnma{0xbc, 2, 1}, kFnms{0xbe, 2, 1};
}  // namespace op

inline constexpr int kMask0 = 32;  // number of the first of 8 mask registers

// How much of a vector, and with AVX-512, under which mask: other lanes stay, or become 0. (Mask
// register 0 means none.)
struct Lanes {
  enum Width : uint8_t { kAll, k256, k128 } width = kAll;
  int mask = kMask0;
  bool zero = false;
};
inline constexpr Lanes kAllLanes{}, kHalf{Lanes::k256}, kQuarter{Lanes::k128};
constexpr Lanes under(int mask, bool zero = false) { return {Lanes::kAll, mask, zero}; }

class Assembler {
 public:
  using Label = size_t;  // a position in the code

  // `wide`: whole vectors are those of AVX-512.
  explicit Assembler(bool wide) : wide_(wide) {}

  // to = op(first, second): `second` may be memory.
  void vector(Opcode o, int to, int first, const Place& second, Lanes lanes = kAllLanes);
  void immediate_vector(Opcode o, int to, int first, const Place& second, uint8_t immediate,
                        Lanes lanes = kAllLanes);
  // One source, or a store (`reg` is the source then).
  void move(Opcode o, int reg, const Place& other, Lanes lanes = kAllLanes) {
    vector(o, reg, 0, other, lanes);
  }
  // to = from << bits: extension 6
  void shift(int extension, int to, int from, uint8_t bits);
  void zero_upper();
  void prefetch(const Place& where);

  void push(Gpr r);
  void pop(Gpr r);
  void ret() { byte(0xc3); }
  void load(Gpr to, Gpr base, int32_t offset);
  void store(Gpr base, int32_t offset, Gpr from);
  void store(Gpr base, int32_t offset, int32_t value);
  void address(Gpr to, Gpr base, int32_t offset);
  void pool_address(Gpr to, int32_t offset);
  void move(Gpr to, Gpr from) { two(0x8b, to, from); }
  void add(Gpr to, Gpr from) { two(0x03, to, from); }
  void sub(Gpr to, Gpr from) { two(0x2b, to, from); }
  void compare(Gpr a, Gpr b) { two(0x3b, a, b); }
  void compare(Gpr base, int32_t offset, int8_t value);
  void and_(Gpr to, Gpr from) { two(0x23, to, from); }
  void compare(Gpr a, int32_t n) { immediate(7, a, n); }
  void add(Gpr to, int32_t n) { immediate(0, to, n); }
  void and_(Gpr to, int32_t n) { immediate(4, to, n); }
  void sub(Gpr to, int32_t n) { immediate(5, to, n); }
  void shift_left(Gpr to, uint8_t bits);
  void clear(Gpr r) { two(0x33, r, r); }

  enum Condition : uint8_t {
    kEqual = 4,
    kNotEqual = 5,
    kLess = 12,
    kLessEqual = 14,
    kGreater = 15
  };
  Label here() const { return code_.size(); }
  void jump(Condition c, Label back);
  Label jump(Condition c);  // forward; land() says where to
  void land(Label from);
  void jump_always(Label back);
  void patch(size_t where, int32_t value);  // of an immediate

  // The code with the pool behind it, 64-byte aligned.
  std::vector<uint8_t> finish(const std::vector<uint8_t>& pool);

 private:
  void byte(int b) { code_.push_back(uint8_t(b)); }
  void word(int32_t w);
  // `unit`: of short displacements.
  void rm(int reg, const Place& other, int bytes_behind, int unit = 1);
  void rm(int reg, Gpr base, int32_t offset);
  void two(int opcode, Gpr reg, Gpr rm);
  void immediate(int extension, Gpr to, int32_t n);
  void encode(Opcode o, int reg, int first, const Place& other, Lanes lanes, int bytes_behind);
  void encode_wide(Opcode o, int reg, int first, const Place& other, Lanes lanes, int bytes_behind);
  void rex(int reg, int index, int base);

  struct Fix {
    size_t where, next;
    int32_t offset;
  };
  bool wide_;
  std::vector<uint8_t> code_;
  std::vector<Fix> fixes_;  // references to the pool
};

}  // namespace flowbook::cpu::jit
