#include "cpu/jit/assembler.h"

namespace flowbook::cpu::jit {

namespace {
constexpr int number(Gpr r) { return int(r); }
}  // namespace

void Assembler::word(int32_t w) {
  for (int i = 0; i < 4; ++i) byte(int(uint32_t(w) >> (8 * i) & 255));
}
void Assembler::patch(size_t where, int32_t value) {
  for (size_t i = 0; i < 4; ++i) code_[where + i] = uint8_t(uint32_t(value) >> (8 * i));
}

// ModRM, SIB and displacement. `bytes_behind`: of the instruction, after the displacement.
void Assembler::rm(int reg, const Place& other, int bytes_behind, int unit) {
  reg &= 7;
  if (other.kind == Place::kRegister) return byte(0xc0 | reg << 3 | (other.number & 7));
  if (other.kind == Place::kPool) {
    byte(reg << 3 | 5);
    fixes_.push_back({code_.size(), code_.size() + 4 + size_t(bytes_behind), other.offset});
    return word(0);
  }
  const int base = number(other.base) & 7, index = number(other.index) & 7;
  const bool indexed = other.index != Gpr::rsp, sib = indexed || base == 4;
  const bool small =
      other.offset % unit == 0 && other.offset >= -128 * unit && other.offset < 128 * unit;
  const int mod = other.offset == 0 && base != 5 ? 0 : small ? 1 : 2;
  byte(mod << 6 | reg << 3 | (sib ? 4 : base));
  if (sib) byte((indexed ? index : 4) << 3 | base);
  if (mod == 1) byte(other.offset / unit);
  if (mod == 2) word(other.offset);
}
void Assembler::rm(int reg, Gpr base, int32_t offset) { rm(reg, at(base, offset), 0); }

void Assembler::encode(Opcode o, int reg, int first, const Place& other, Lanes lanes,
                       int bytes_behind) {
  if (wide_ && lanes.width == Lanes::kAll)
    return encode_wide(o, reg, first, other, lanes, bytes_behind);
  const bool memory = other.kind == Place::kMemory;
  const int b = memory                           ? number(other.base) >> 3
                : other.kind == Place::kRegister ? other.number >> 3 & 1
                                                 : 0;
  const int x = memory && other.index != Gpr::rsp ? number(other.index) >> 3 : 0, r = reg >> 3 & 1;
  const int rest = (~first & 15) << 3 | int(lanes.width != Lanes::k128) << 2 | o.prefix;
  if (o.map == 1 && !b && !x) {
    byte(0xc5);
    byte((r ^ 1) << 7 | rest);
  } else {
    byte(0xc4);
    byte((r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | o.map);
    byte(rest);
  }
  byte(o.code);
  rm(reg, other, bytes_behind);
}
// With AVX-512 each number has two bits more than ModRM and SIB take, a register's second one where
// memory has its index.
void Assembler::encode_wide(Opcode o, int reg, int first, const Place& other, Lanes lanes,
                            int bytes_behind) {
  const bool memory = other.kind == Place::kMemory;
  const int b = memory ? number(other.base) : other.number;
  const int x =
      memory ? (other.index != Gpr::rsp ? number(other.index) >> 3 : 0) : other.number >> 4 & 1;
  const auto inverted = [](int bit) { return (bit & 1) ^ 1; };
  byte(0x62);
  byte(inverted(reg >> 3) << 7 | inverted(x) << 6 | inverted(b >> 3) << 5 |
       inverted(reg >> 4) << 4 | o.map);
  byte((~first & 15) << 3 | 4 | o.prefix);
  byte(int(lanes.zero) << 7 | 2 << 5 | inverted(first >> 4) << 3 | (lanes.mask & 7));
  byte(o.code);
  rm(reg, other, bytes_behind, o.bytes ? o.bytes : 64);
}
void Assembler::vector(Opcode o, int to, int first, const Place& second, Lanes lanes) {
  encode(o, to, first, second, lanes, 0);
}
void Assembler::immediate_vector(Opcode o, int to, int first, const Place& second,
                                 uint8_t immediate, Lanes lanes) {
  encode(o, to, first, second, lanes, 1);
  byte(immediate);
}
void Assembler::shift(int extension, int to, int from, uint8_t bits) {
  encode(op::kShift, extension, to, in(from), kAllLanes, 1);
  byte(bits);
}
void Assembler::zero_upper() { byte(0xc5), byte(0xf8), byte(0x77); }

void Assembler::prefetch(const Place& where) {
  rex(0, number(where.index), number(where.base));
  byte(0x0f), byte(0x18);
  rm(1, where, 0);  // into all caches
}

void Assembler::rex(int reg, int index, int base) {
  byte(0x48 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3);
}
void Assembler::two(int opcode, Gpr reg, Gpr rm) {
  rex(number(reg), 0, number(rm));
  byte(opcode);
  byte(0xc0 | (number(reg) & 7) << 3 | (number(rm) & 7));
}
void Assembler::immediate(int extension, Gpr to, int32_t n) {
  rex(0, 0, number(to));
  byte(0x81);
  byte(0xc0 | extension << 3 | (number(to) & 7));
  word(n);
}
void Assembler::shift_left(Gpr to, uint8_t bits) {
  rex(0, 0, number(to));
  byte(0xc1);
  byte(0xc0 | 4 << 3 | (number(to) & 7));
  byte(bits);
}
void Assembler::push(Gpr r) {
  if (number(r) >= 8) byte(0x41);
  byte(0x50 | (number(r) & 7));
}
void Assembler::pop(Gpr r) {
  if (number(r) >= 8) byte(0x41);
  byte(0x58 | (number(r) & 7));
}
void Assembler::load(Gpr to, Gpr base, int32_t offset) {
  rex(number(to), 0, number(base));
  byte(0x8b);
  rm(number(to), base, offset);
}
void Assembler::store(Gpr base, int32_t offset, Gpr from) {
  rex(number(from), 0, number(base));
  byte(0x89);
  rm(number(from), base, offset);
}
void Assembler::store(Gpr base, int32_t offset, int32_t value) {
  rex(0, 0, number(base));
  byte(0xc7);
  rm(0, at(base, offset), 4);
  word(value);
}
void Assembler::compare(Gpr base, int32_t offset, int8_t value) {
  rex(0, 0, number(base));
  byte(0x83);
  rm(7, at(base, offset), 1);
  byte(value);
}
void Assembler::address(Gpr to, Gpr base, int32_t offset) {
  rex(number(to), 0, number(base));
  byte(0x8d);
  rm(number(to), base, offset);
}
void Assembler::pool_address(Gpr to, int32_t offset) {
  rex(number(to), 0, 0);
  byte(0x8d);
  rm(number(to), pool(offset), 0);
}

void Assembler::jump(Condition c, Label back) {
  byte(0x0f), byte(0x80 | c);
  word(int32_t(int64_t(back) - int64_t(code_.size()) - 4));
}
Assembler::Label Assembler::jump(Condition c) {
  byte(0x0f), byte(0x80 | c);
  word(0);
  return code_.size();
}
void Assembler::jump_always(Label back) {
  byte(0xe9);
  word(int32_t(int64_t(back) - int64_t(code_.size()) - 4));
}
void Assembler::land(Label from) { patch(from - 4, int32_t(code_.size() - from)); }

std::vector<uint8_t> Assembler::finish(const std::vector<uint8_t>& pool) {
  while (code_.size() % 64) byte(0xcc);
  for (const Fix& f : fixes_) patch(f.where, int32_t(code_.size()) + f.offset - int32_t(f.next));
  code_.insert(code_.end(), pool.begin(), pool.end());
  fixes_.clear();
  return std::move(code_);
}

}  // namespace flowbook::cpu::jit
