// Running a tape: chunks of rows and columns over the pool, in each the phases over blocks.
#include <algorithm>
#include <bit>
#include <cstring>

#include "core/cancel.h"
#include "cpu/fused_frame.h"
#include "cpu/pool.h"
#include "cpu/sums.h"

namespace flowbook::cpu {

namespace {

// Scratch memory of a thread, grown on demand and kept.
char* thread_scratch(int64_t bytes) {
  thread_local std::unique_ptr<char[]> memory;
  thread_local int64_t size = 0;
  if (size < bytes) {
    memory.reset(new char[size_t(bytes + 63)]);
    size = bytes;
  }
  return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory.get()) + 63) & ~uintptr_t(63));
}

}  // namespace

FusedCpu::Frame FusedCpu::frame(void* const* in, void* const* out, char* workspace,
                                const FusedBlock* given) const {
  Frame f;
  f.in = in, f.out = out, f.workspace = workspace, f.given = given;
  f.blocks = thread_scratch(block_slots_ * block_bytes_ + set_slots_ * set_bytes_ + row_bytes_);
  f.sets = f.blocks + block_slots_ * block_bytes_;
  f.row_slots = f.sets + set_slots_ * set_bytes_;
  return f;
}

void FusedCpu::run(void* const* in, void* const* out, void* workspace) const {
  const int64_t strips = ceil_div(cols_, chunk_cols_);
  char* ws = static_cast<char*>(workspace);
  auto one = [&](int64_t i) {
    Frame f = frame(in, out, ws, nullptr);
    const int64_t row = i / strips * chunk_rows_;
    f.first_col = i % strips * chunk_cols_;
    f.end_col = std::min(cols_, f.first_col + chunk_cols_);
    chunk(f, row, std::min(rows_, row + chunk_rows_));
  };
  if (const int64_t n = chunks(); n == 1) {
    check_cancelled();
    one(0);
  } else {
    parallel_for(n, one);
  }
  if (column_folds_ || long_rows_ || !last_.empty()) finish(in, out, ws);
}

bool FusedCpu::blockwise(int64_t rows, int64_t cols) const {
  if (long_rows_ || (row_values_ && cols < cols_)) return false;
  return !column_folds_ || rows >= rows_ || rows % rows_together(cols_) == 0;
}

void FusedCpu::run_block(void* const* in, void* const* out, void* workspace,
                         const FusedBlock& block) const {
  Frame f = frame(in, out, static_cast<char*>(workspace), &block);
  f.first_col = block.col, f.end_col = block.col + block.cols;
  chunk(f, block.row, block.row + block.rows);
}

void FusedCpu::finish_blocks(void* const* in, void* const* out, void* workspace) const {
  if (column_folds_ || !last_.empty()) finish(in, out, static_cast<char*>(workspace));
}

void FusedCpu::chunk(Frame& f, int64_t first_row, int64_t end_row) const {
  const bool all = f.first_col == 0 && f.end_col == cols_;
  const bool together =
      block_rows_ > 1 && all && (!f.given || f.given->given < 0 || f.given->stride == cols_);
  const int64_t step = together || block_rows_ == 1 ? set_rows_ : 1;
  if (together) repeat_inputs(f, std::min(step, end_row - first_row));
  const bool regular = regular_ && find_bases(f);
  for (f.row = first_row; f.row < end_row; f.row += step) {
    f.rows = std::min(step, end_row - f.row);
    f.apart = together ? 1 : f.rows;
    regular ? regular_set(f) : set(f);
  }
#ifdef __x86_64__
  // What was written past the caches is ordered with nothing else. Not after each set: the next one
  // is computed while such writes are on their way.
  if (past_) __builtin_ia32_sfence();
#endif
}

// Operands that repeat with each row, written out once for a set of rows.
void FusedCpu::repeat_inputs(Frame& f, int64_t rows) const {
  for (int r : periodic_) {
    const Register& x = registers_[size_t(r)];
    const int64_t period = (x.level == Level::kColumn ? cols_ : x.period) * x.width;
    const int64_t total = rows * cols_ * x.width;
    char* to = f.blocks + x.gather * block_bytes_;
    memcpy(to, f.in[r], size_t(std::min(period, total)));
    for (int64_t done = period; done < total;) {  // doubles what is there
      const int64_t n = std::min(done, total - done);
      memcpy(to + done, to, size_t(n));
      done += n;
    }
    f.at[r] = {to, 1};
  }
}

void FusedCpu::gather_rows(int r, const void* from, int64_t row, int64_t rows, char* to) const {
  const Register& x = registers_[size_t(r)];
  const char* p = static_cast<const char*>(from);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = x.access == Access::kPeriodic ? (row + i) % x.period : (row + i) / x.period;
    memcpy(to + i * x.width, p + at * x.width, size_t(x.width));
  }
}

// Makes a row value readable by elements.
void FusedCpu::show_row(Frame& f, int r) const {
  const Register& x = registers_[size_t(r)];
  if (!x.by_elements) return;
  f.step[r] = x.width;
  if (f.apart == f.rows) {
    f.at[r] = {f.rows_at[r], 0};
    return;
  }
  char* to = f.blocks + x.spread * block_bytes_;
  loops().repeat[std::countr_zero(unsigned(x.width))](f.rows_at[r], f.rows, cols_, to);
  f.at[r] = {to, 1};
}

void FusedCpu::maps_of_rows(Frame& f, const std::vector<Instruction>& maps) const {
  for (const Instruction& t : maps) {
    if (t.absorbed) continue;
    Operand operands[3];
    for (int i = 0; i < t.arity; ++i) {
      const Register& x = registers_[size_t(t.src[i])];
      operands[i] =
          x.level == Level::kTotal ? Operand{f.in[t.src[i]], 0} : Operand{f.rows_at[t.src[i]], 1};
    }
    t.loop(operands, f.rows_at[t.dst], f.rows);
    show_row(f, t.dst);
  }
}

void FusedCpu::set(Frame& f) const {
  for (int r : row_inputs_) {
    const Register& x = registers_[size_t(r)];
    if (x.access == Access::kDense) {
      f.rows_at[r] = static_cast<char*>(f.in[r]) + f.row * x.width;
    } else {
      f.rows_at[r] = f.row_slots + x.slot;
      gather_rows(r, f.in[r], f.row, f.rows, f.rows_at[r]);
    }
    show_row(f, r);
  }
  for (int r : row_results_) {
    const Register& x = registers_[size_t(r)];
    f.rows_at[r] =
        x.slot >= 0 ? f.row_slots + x.slot : whole(r, f.in, f.out, f.workspace) + f.row * x.width;
  }
  maps_of_rows(f, first_);
  const int64_t width = f.end_col - f.first_col;
  for (const Phase& phase : phases_) {
    if (one_block_) {
      elements(f, phase, f.first_col, f.rows / f.apart * width);
    } else {
      for (int64_t c = f.first_col; c < f.end_col; c += block_cols_)
        elements(f, phase, c, std::min(block_cols_, f.end_col - c));
    }
    if (row_folds_)
      for (const Instruction& t : phase.elements) {
        if (t.kind != Instruction::kFoldColumns) continue;
        const int w = registers_[size_t(t.dst)].width;
        if (!one_block_) f.counters[t.index].end(t.join, f.rows_at[t.dst], w);
        if (long_rows_)
          memcpy(f.workspace + t.at + (f.row * t.parts + f.first_col / kLongRow) * w,
                 f.rows_at[t.dst], size_t(w));
        else
          show_row(f, t.dst);
      }
    if (long_rows_) return;  // the rest when all of the row is there
    maps_of_rows(f, phase.rows);
  }
}

// Input r for the n elements from `begin` on, which stand in column `col`. Where rows are blocks of
// their own, it is as far from row to row as dense numbers are, or the same for all.
Operand FusedCpu::input(Frame& f, int r, int64_t begin, int64_t col, int64_t n) const {
  const Register& x = registers_[size_t(r)];
  const char* p = static_cast<const char*>(f.in[r]);
  f.step[r] = 0;
  if (f.given && f.given->given == r) {
    f.step[r] = f.given->stride * x.width;
    return {static_cast<const char*>(f.given->data) +
                ((f.row - f.given->row) * f.given->stride + col - f.given->col) * x.width,
            1};
  }
  if (x.level == Level::kTotal) return {p, 0};
  if (x.level == Level::kColumn) {
    if (f.rows > f.apart) return f.at[r];  // repeat_inputs()
    return {p + col * x.width, 1};
  }
  char* to = x.gather >= 0 ? f.blocks + x.gather * block_bytes_ : nullptr;
  switch (x.access) {
    case Access::kDense:
      f.step[r] = cols_ * x.width;
      return {p + begin * x.width, 1};
    case Access::kScalar:
      return {p, 0};
    case Access::kPeriodic: {
      const int64_t at = begin % x.period;
      if (at == 0 && f.rows > 1 &&
          std::find(periodic_.begin(), periodic_.end(), r) != periodic_.end())
        return f.at[r];  // repeat_inputs(); a block of run_block() may begin elsewhere
      if (at + n <= x.period) return {p + at * x.width, 1};
      for (int64_t done = 0, from = at; done < n; from = 0) {  // straddles an end
        const int64_t m = std::min(n - done, x.period - from);
        memcpy(to + done * x.width, p + from * x.width, size_t(m * x.width));
        done += m;
      }
      return {to, 1};
    }
    case Access::kStrided: {
      const int64_t at = begin % x.period;
      p += begin / x.period * x.stride * x.width;
      if (at + n <= x.period) return {p + at * x.width, 1};
      for (int64_t done = 0, from = at; done < n; from = 0, p += x.stride * x.width) {
        const int64_t m = std::min(n - done, x.period - from);
        memcpy(to + done * x.width, p + from * x.width, size_t(m * x.width));
        done += m;
      }
      return {to, 1};
    }
    case Access::kColumn: {
      const int64_t row = begin / x.period;
      if ((begin + n - 1) / x.period == row) return {p + row * x.width, 0};
      const Loop copy = loops().copy[std::countr_zero(unsigned(x.width))];
      for (int64_t done = 0; done < n;) {
        const int64_t i = (begin + done) / x.period,
                      m = std::min(n - done, (i + 1) * x.period - begin - done);
        const Operand value{p + i * x.width, 0};
        copy(&value, to + done * x.width, m);
        done += m;
      }
      return {to, 1};
    }
  }
  return {};
}

// Where the block's elements of register r are written; `begin` and `col` as for input().
char* FusedCpu::element(Frame& f, int r, int64_t begin, int64_t col) const {
  const Register& x = registers_[size_t(r)];
  char* to = x.home == Home::kOutput ? static_cast<char*>(f.out[x.output]) + begin * x.width
             : x.home == Home::kSet  ? f.sets + x.slot * set_bytes_ + (col - f.first_col) * x.width
                                     : f.blocks + x.slot * block_bytes_;
  f.at[r] = {to, 1};
  f.step[r] = (x.home == Home::kOutput ? cols_ : f.end_col - f.first_col) * x.width;
  return to;
}
// Elements of register r in the set's row `row`, or the block's, for a fold, which takes dense
// ones.
const char* FusedCpu::dense(Frame& f, int r, int64_t row, int64_t n) const {
  const Operand x{static_cast<const char*>(f.at[r].p) + row * f.step[r], f.at[r].stride};
  if (x.stride == 1) return static_cast<const char*>(x.p);
  char* to = f.blocks + scratch_slot_ * block_bytes_;
  loops().copy[std::countr_zero(unsigned(registers_[size_t(r)].width))](&x, to, n);
  return to;
}

// One compiled loop over the n elements of each block from column `col` on.
void FusedCpu::native(Frame& f, const Phase& phase, const Segment& s, int64_t col,
                      int64_t n) const {
  const int64_t begin = f.row * cols_ + col;
  float partial[kMaxRowFolds];  // of blocks that are not the first of their row
  void* streams[kMaxRegisters];
  int64_t steps[kMaxRegisters];
  const size_t count = s.operands.size();
  char* past = nullptr;  // where what is written past the caches has to be copied to,
  const int64_t past_step = (n * 4 + 63) / 64 * 64;  // from rows so far apart
  for (size_t i = 0; i < count; ++i) {
    const auto [kind, id] = s.operands[i];
    switch (kind) {
      case jit::Stream::kOutput:
        streams[i] = element(f, id, begin, col);
        steps[i] = f.step[id];
        break;
      case jit::Stream::kPast:
        streams[i] = past = element(f, id, begin, col);
        steps[i] = f.step[id];
        if (reinterpret_cast<uintptr_t>(past) % uintptr_t(past_))  // no memory of ours
          streams[i] = f.blocks + scratch_slot_ * block_bytes_, steps[i] = past_step;
        else
          past = nullptr;
        break;
      case jit::Stream::kFold: {
        const Instruction& t = phase.elements[size_t(id)];
        streams[i] = one_block_ ? f.rows_at[t.dst] : reinterpret_cast<char*>(partial + t.index);
        steps[i] = 4;
        break;
      }
      case jit::Stream::kBoth:
        streams[i] = column_sums(f, phase.elements[size_t(id)], col, n);
        steps[i] = 0;
        break;
      case jit::Stream::kScalar: {
        const bool row = registers_[size_t(id)].level == Level::kRow;
        streams[i] = row ? f.rows_at[id] : f.in[id];
        steps[i] = row ? 4 : 0;
        break;
      }
      case jit::Stream::kInput:
        if (f.at[id].stride == 0) {
          // One number for the whole block, which is rare where a block may have several.
          const Register& x = registers_[size_t(id)];
          char* to = f.blocks + (x.gather >= 0 ? x.gather : x.spread) * block_bytes_;
          loops().copy[2](&f.at[id], to, n);
          f.at[id] = {to, 1};
        }
        streams[i] = const_cast<void*>(f.at[id].p);
        steps[i] = f.step[id];
        break;
    }
  }
  const auto run = reinterpret_cast<jit::Loop32>(pages_.data() + s.at);
  for (int64_t done = 0; done < n;) {  // more than once only where a row is a block of its own
    const int64_t m = s.sums ? std::min(kSumBlock, n - done) : n;
    run(streams, steps, f.apart, m, m < 256 ? jit::kFewLanes : jit::kManyLanes);
    if (one_block_ && m == n) break;
    for (size_t i = 0; i < count; ++i) {
      const auto [kind, id] = s.operands[i];
      if (kind != jit::Stream::kFold) {
        if (kind != jit::Stream::kScalar) streams[i] = static_cast<char*>(streams[i]) + m * 4;
        continue;
      }
      const Instruction& t = phase.elements[size_t(id)];
      if (!one_block_)
        f.counters[t.index].add(t.join, static_cast<const char*>(streams[i]), 4);
      else if (done > 0)  // a block is at most two blocks of a sum
        t.join(f.rows_at[t.dst], streams[i], 1);
      streams[i] = partial + t.index;
    }
    done += m;
  }
  if (past)
    for (int64_t row = 0; row < f.apart; ++row)
      memcpy(past + row * cols_ * 4, f.blocks + scratch_slot_ * block_bytes_ + row * past_step,
             size_t(n * 4));
}
// The n elements from column `col` on of each block of the set.
void FusedCpu::elements(Frame& f, const Phase& phase, int64_t col, int64_t n) const {
  const int64_t begin = f.row * cols_ + col;
  for (int r : phase.entering) {
    const Register& x = registers_[size_t(r)];
    if (x.home == Home::kInput)
      f.at[r] = input(f, r, begin, col, n);
    else if (x.home == Home::kSet)
      f.at[r] = {f.sets + x.slot * set_bytes_ + (col - f.first_col) * x.width, 1};
    else if (x.home == Home::kOutput)
      f.at[r] = {static_cast<char*>(f.out[x.output]) + begin * x.width, 1};
  }
  for (size_t k = 0; k < phase.elements.size(); ++k) {
    const Instruction& t = phase.elements[k];
    if (t.segment >= 0) {
      const Segment& s = phase.segments[size_t(t.segment)];
      native(f, phase, s, col, n);
      k = s.end - 1;
      continue;
    }
    if (t.kind != Instruction::kMap) {
      for (int64_t i = 0; i < f.apart; ++i) fold(f, t, i, col, n);
      continue;
    }
    char* to = element(f, t.dst, begin, col);
    Operand operands[3] = {f.at[t.src[0]], f.at[t.src[1]], f.at[t.src[2]]};
    for (int64_t i = 0; i < f.apart; ++i) {
      t.loop(operands, to, n);
      to += f.step[t.dst];
      for (int j = 0; j < t.arity; ++j)
        operands[j].p = static_cast<const char*>(operands[j].p) + f.step[t.src[j]];
    }
  }
}

// Where a compiled loop adds up columns [col, col + n) of the set's rows: in the partial sums that
// they belong to, which begin as -0, for -0 + x is x.
char* FusedCpu::column_sums(const Frame& f, const Instruction& t, int64_t col, int64_t n) const {
  const int64_t together = rows_together(cols_);
  auto* sums = reinterpret_cast<float*>(f.workspace + t.at + f.row / together * t.part_bytes) + col;
  if (f.row % together == 0) std::fill(sums, sums + n, -0.0f);
  return reinterpret_cast<char*>(sums);
}

// A fold of the set's i-th block.
void FusedCpu::fold(Frame& f, const Instruction& t, int64_t i, int64_t col, int64_t n) const {
  const Register& x = registers_[size_t(t.dst)];
  const int64_t rows = f.rows / f.apart;
  switch (t.kind) {
    case Instruction::kFoldColumns: {
      const char* a = dense(f, t.src[0], i, n);
      const char* b = t.arity == 2 ? dense(f, t.src[1], i, n) : nullptr;
      alignas(8) char value[8];
      t.rows(a, b, rows, n / rows, one_block_ ? f.rows_at[t.dst] + i * rows * x.width : value);
      if (!one_block_) f.counters[t.index].add(t.join, value, x.width);
      break;
    }
    case Instruction::kFoldRows: {
      const char* a = dense(f, t.src[0], i, n);
      const int64_t together = rows_together(cols_), m = n / rows, bytes = m * x.width;
      const ColumnFold join = t.join;
      char* parts = f.workspace + t.at + col * x.width;
      const int64_t part_bytes = t.part_bytes, first = f.row + i * rows, end = first + rows;
      for (int64_t row = first; row < end; ++row, a += bytes) {
        char* acc = parts + row / together * part_bytes;
        if (row % together == 0)
          memcpy(acc, a, size_t(bytes));
        else
          join(acc, a, m);
      }
      break;
    }
    case Instruction::kMap:
    case Instruction::kFoldTotal:
      break;
  }
}

// Where all of a row, column or total value is.
char* FusedCpu::whole(int r, void* const* in, void* const* out, char* workspace) const {
  const Register& x = registers_[size_t(r)];
  if (x.output >= 0) return static_cast<char*>(out[x.output]);
  if (x.home == Home::kInput &&
      (x.level != Level::kRow || x.access == Access::kDense || !workspace))
    return static_cast<char*>(in[r]);
  return workspace + x.at;
}

// Rows that several chunks have folded: their partial results are folded, then come the row maps.
void FusedCpu::finish_long_rows(void* const* in, void* const* out, char* workspace) const {
  Frame f = frame(in, out, workspace, nullptr);
  for (f.row = 0; f.row < rows_; f.row += kBlock) {
    f.rows = std::min(kBlock, rows_ - f.row);
    for (int r : row_inputs_) {
      const Register& x = registers_[size_t(r)];
      f.rows_at[r] = static_cast<char*>(in[r]) + f.row * x.width;
      if (x.access == Access::kDense) continue;
      f.rows_at[r] = f.row_slots + x.slot;
      gather_rows(r, in[r], f.row, f.rows, f.rows_at[r]);
    }
    for (size_t r = size_t(inputs_); r < registers_.size(); ++r)
      if (const Register& x = registers_[r]; x.level == Level::kRow)
        f.rows_at[r] = x.home == Home::kRows ? f.row_slots + x.slot
                                             : whole(int(r), in, out, workspace) + f.row * x.width;
    auto maps = [&](const std::vector<Instruction>& all) {
      for (const Instruction& t : all) {
        Operand operands[3];
        for (int i = 0; i < t.arity; ++i)
          operands[i] = registers_[size_t(t.src[i])].level == Level::kTotal
                            ? Operand{in[t.src[i]], 0}
                            : Operand{f.rows_at[t.src[i]], 1};
        t.loop(operands, f.rows_at[t.dst], f.rows);
      }
    };
    maps(first_);
    for (const Phase& phase : phases_) {
      for (const Instruction& t : phase.elements)
        if (t.kind == Instruction::kFoldColumns) {
          const int w = registers_[size_t(t.dst)].width;
          for (int64_t i = 0; i < f.rows; ++i)
            t.fold(workspace + t.at + (f.row + i) * t.parts * w, t.parts, f.rows_at[t.dst] + i * w);
        }
      maps(phase.rows);
    }
  }
}

// What needs all rows: the sums over them, and what is made of these.
void FusedCpu::finish(void* const* in, void* const* out, char* workspace) const {
  if (long_rows_) finish_long_rows(in, out, workspace);
  for (const Phase& phase : phases_)
    for (const Instruction& t : phase.elements) {
      if (t.kind != Instruction::kFoldRows) continue;
      const int w = registers_[size_t(t.dst)].width;
      char* to = whole(t.dst, in, out, workspace);
      parallel_ranges(cols_, std::max<int64_t>(1024, kChunk / t.parts),
                      [&](int64_t begin, int64_t end) {
                        char* parts = workspace + t.at + begin * w;
                        join_pairwise(t.join, parts, t.parts, t.part_bytes, end - begin);
                        memcpy(to + begin * w, parts, size_t((end - begin) * w));
                      });
    }
  for (const Instruction& t : last_) {
    const Register& x = registers_[size_t(t.dst)];
    char* to = whole(t.dst, in, out, workspace);
    if (t.kind == Instruction::kFoldTotal) {
      const Register& src = registers_[size_t(t.src[0])];
      char* from = whole(t.src[0], in, out, workspace);
      if (src.home == Home::kInput && src.access != Access::kDense)
        gather_rows(t.src[0], in[t.src[0]], 0, rows_, from);
      if (rows_ <= kLongRow) {
        t.fold(from, rows_, to);
        continue;
      }
      const int64_t parts = (rows_ + kLongRow - 1) / kLongRow;
      std::vector<char> pieces(size_t(parts * x.width));
      for (int64_t i = 0; i < parts; ++i)
        t.fold(from + i * kLongRow * x.width, std::min(kLongRow, rows_ - i * kLongRow),
               pieces.data() + i * x.width);
      t.fold(pieces.data(), parts, to);
      continue;
    }
    Operand operands[3];
    for (int i = 0; i < t.arity; ++i)
      operands[i] = {whole(t.src[i], in, out, workspace),
                     registers_[size_t(t.src[i])].level == Level::kTotal ? 0 : 1};
    t.loop(operands, to, t.level == Level::kColumn ? cols_ : 1);
  }
}

}  // namespace flowbook::cpu
