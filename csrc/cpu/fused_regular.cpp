// Sets of rows that are compiled loops throughout, over arrays that go on from row to row. Where an
// operand is are two numbers then, known beforehand: a base and what a row adds. What set() has to
// ask about each register took 9 % of softmax and layer norm, most of it jumps that no processor
// foresees between loops of hundreds.
#include <algorithm>

#include "cpu/fused_frame.h"

namespace flowbook::cpu {

bool FusedCpu::is_regular() const {
  if (block_rows_ > 1 || cols_ > kBlock || long_rows_) return false;
  for (const Phase& phase : phases_) {
    size_t covered = 0;
    for (const Segment& s : phase.segments) covered += s.end - s.first;
    if (covered < phase.elements.size()) return false;
  }
  return std::all_of(registers_.begin(), registers_.begin() + inputs_, [](const Register& x) {
    return x.level > Level::kRow || x.access == Access::kDense ||
           (x.level == Level::kElement && x.access == Access::kScalar);
  });
}

// Bytes from one row's numbers of register r to the next one's.
int64_t FusedCpu::row_step(int r) const {
  const Register& x = registers_[size_t(r)];
  if (x.home == Home::kInput && x.access == Access::kScalar) return 0;
  return x.level == Level::kElement ? cols_ * x.width : x.level == Level::kRow ? x.width : 0;
}

void FusedCpu::prepare_regular() {
  const auto left = [](const std::vector<Instruction>& maps) {
    return std::any_of(maps.begin(), maps.end(), [](const Instruction& t) { return !t.absorbed; });
  };
  row_maps_ = left(first_);
  for (Phase& phase : phases_) {
    row_maps_ |= left(phase.rows);
    for (Segment& s : phase.segments)
      for (const auto [kind, id] : s.operands) {
        const bool fold = kind == jit::Stream::kFold || kind == jit::Stream::kBoth;
        const int r = fold ? phase.elements[size_t(id)].dst : id;
        const Home home = registers_[size_t(r)].home;
        s.registers.push_back(r);
        s.steps.push_back(row_step(r));
        // A slot holds one set.
        s.strides.push_back(home == Home::kBlock || home == Home::kRows ? 0 : row_step(r));
      }
  }
}

// False for parts of rows, and if what is to be written past the caches is no memory of ours.
bool FusedCpu::find_bases(Frame& f) const {
  if (f.given && (f.end_col - f.first_col < cols_ || f.given->stride != cols_)) return false;
  for (size_t r = 0; r < registers_.size(); ++r) {
    const Register& x = registers_[r];
    f.base[r] = x.home == Home::kInput    ? static_cast<char*>(f.in[r])
                : x.home == Home::kOutput ? static_cast<char*>(f.out[x.output])
                : x.home == Home::kBlock  ? f.blocks + x.slot * block_bytes_
                : x.home == Home::kRows   ? f.row_slots + x.slot
                : x.home == Home::kWhole  ? f.workspace + x.at
                                          : nullptr;
    if (past_ && x.home == Home::kOutput && x.level == Level::kElement &&
        reinterpret_cast<uintptr_t>(f.base[r]) % uintptr_t(past_))
      return false;
  }
  if (f.given && f.given->given >= 0) {
    const int r = f.given->given;
    f.base[r] =
        const_cast<char*>(static_cast<const char*>(f.given->data)) - f.given->row * row_step(r);
  }
  return true;
}

void FusedCpu::regular_set(Frame& f) const {
  const auto show = [&](int r) {
    f.rows_at[r] =
        f.base[r] + (registers_[size_t(r)].home == Home::kRows ? 0 : f.row * row_step(r));
  };
  if (row_maps_) {
    for (int r : row_inputs_) show(r);
    for (int r : row_results_) show(r);
    maps_of_rows(f, first_);
  }
  for (const Phase& phase : phases_) {
    for (const Segment& s : phase.segments) {
      void* streams[kMaxRegisters];
      for (size_t i = 0; i < s.registers.size(); ++i)
        streams[i] = f.base[s.registers[i]] + f.row * s.strides[i];
      if (s.columns)
        for (size_t i = 0; i < s.registers.size(); ++i)
          if (const auto [kind, id] = s.operands[i]; kind == jit::Stream::kBoth)
            streams[i] = column_sums(f, phase.elements[size_t(id)], 0, cols_);
      const auto run = reinterpret_cast<jit::Loop32>(pages_.data() + s.at);
      run(streams, s.steps.data(), f.rows, cols_, cols_ < 256 ? jit::kFewLanes : jit::kManyLanes);
    }
    if (row_maps_) maps_of_rows(f, phase.rows);
  }
}

}  // namespace flowbook::cpu
