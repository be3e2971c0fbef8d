// The driver of the elementwise loops: strides, broadcasting, and sharing the work among threads.
// Small operands without strides go straight to their loop.
#include <algorithm>

#include "cpu/copy.h"
#include "cpu/cpu.h"
#include "cpu/loops.h"
#include "cpu/pool.h"

namespace flowbook::cpu {

namespace {

// Elements a chunk: about 10 microseconds of work. Formulas that call functions cost more an
// element.
constexpr int64_t kGrain = 32 << 10, kGrainOfFunctions = kFewEntries, kGrainOfCrossed = 8 << 10;
constexpr int kMostInputs = 3;

// All operands over the axes of the output, neighbouring axes joined where every operand allows it.
struct Plan {
  int rank = 0;
  int64_t size[kMaxRank];
  int64_t stride[kMostInputs][kMaxRank];
  int64_t bytes[kMostInputs];  // of an element
};

Plan plan(const KernelArgs& a) {
  Plan p;
  const Shape& shape = a.out[0].spec->shape;
  const size_t inputs = a.in.size();
  int64_t all[kMostInputs][kMaxRank];
  for (size_t k = 0; k < inputs; ++k)
    fit_strides(a.in[k], shape, all[k]), p.bytes[k] = size_of(a.in[k].spec->dtype);
  for (int i = 0; i < shape.rank; ++i) {
    const int64_t n = shape[i].value();
    if (n == 1) continue;
    const int last = p.rank - 1;
    bool joins = last >= 0;
    for (size_t k = 0; joins && k < inputs; ++k) joins = p.stride[k][last] == all[k][i] * n;
    const int at = joins ? last : p.rank++;
    p.size[at] = joins ? p.size[last] * n : n;
    for (size_t k = 0; k < inputs; ++k) p.stride[k][at] = all[k][i];
  }
  if (p.rank == 0) {
    p.rank = 1, p.size[0] = 1;
    for (size_t k = 0; k < inputs; ++k) p.stride[k][0] = 0;
  }
  return p;
}

// Elements [begin, end) of the output, row by row of the last axis.
void run_range(const Plan& p, const KernelArgs& a, Loop loop, int64_t begin, int64_t end) {
  const int last = p.rank - 1, inputs = int(a.in.size());
  const int64_t width = p.size[last], out_bytes = size_of(a.out[0].spec->dtype);
  int64_t index[kMaxRank] = {}, at[kMostInputs] = {};
  int64_t rest = begin;
  for (int i = last; i >= 0; --i) {
    index[i] = rest % p.size[i], rest /= p.size[i];
    for (int k = 0; k < inputs; ++k) at[k] += index[i] * p.stride[k][i];
  }
  while (begin < end) {
    const int64_t n = std::min(width - index[last], end - begin);
    Operand in[kMostInputs];
    for (int k = 0; k < inputs; ++k)
      in[k] = {a.in[size_t(k)].as<char>() + at[k] * p.bytes[k], p.stride[k][last]};
    loop(in, a.out[0].as<char>() + begin * out_bytes, n);
    begin += n;
    if (begin >= end) return;
    for (int k = 0; k < inputs; ++k)
      at[k] -= index[last] * p.stride[k][last];  // back to the start of the row
    index[last] = 0;
    for (int i = last - 1; i >= 0; --i) {
      for (int k = 0; k < inputs; ++k) at[k] += p.stride[k][i];
      if (++index[i] < p.size[i]) break;
      for (int k = 0; k < inputs; ++k) at[k] -= p.stride[k][i] * index[i];
      index[i] = 0;
    }
  }
}

// Operands whose neighbours lie along the axis before the last, as in a transposed matrix. Read row
// by row each element would cost a cache line: they pass through tiles on the stack.
struct Crossed {
  static constexpr int64_t kRows = 16, kCols = 128, kFewest = 8;
  explicit Crossed(const Plan& p, size_t inputs) {
    const int last = p.rank - 1;
    if (p.rank < 2 || p.size[last] < kFewest || p.size[last - 1] < kFewest) return;
    for (size_t k = 0; k < inputs; ++k) {
      operand[k] = p.stride[k][last - 1] == 1 && p.stride[k][last] >= kFewest;
      any = any || operand[k];
    }
  }
  bool any = false, operand[kMostInputs] = {};
};
// Bands [begin, end) of kRows rows each; the last band of a matrix may have fewer.
void run_bands(const Plan& p, const Crossed& crossed, const KernelArgs& a, Loop loop, int64_t begin,
               int64_t end) {
  constexpr int64_t kRows = Crossed::kRows, kCols = Crossed::kCols;
  alignas(64) char tiles[kMostInputs][kRows * kCols * 8];
  const int last = p.rank - 1, inputs = int(a.in.size());
  const int64_t rows = p.size[last - 1], cols = p.size[last], bands = ceil_div(rows, kRows);
  const int64_t out_bytes = size_of(a.out[0].spec->dtype);
  for (int64_t band = begin; band < end; ++band) {
    const int64_t row = band % bands * kRows, n = std::min(kRows, rows - row);
    int64_t at[kMostInputs] = {}, rest = band / bands;
    for (int i = last - 2; i >= 0; rest /= p.size[i--])
      for (int k = 0; k < inputs; ++k) at[k] += rest % p.size[i] * p.stride[k][i];
    char* out = a.out[0].as<char>() + (band / bands * rows + row) * cols * out_bytes;
    for (int64_t col = 0; col < cols; col += kCols) {
      const int64_t m = std::min(kCols, cols - col);
      Operand in[kMostInputs];
      int64_t step[kMostInputs];  // bytes to the next row
      for (int k = 0; k < inputs; ++k) {
        const int64_t down = p.stride[k][last - 1], right = p.stride[k][last], bytes = p.bytes[k];
        in[k] = {a.in[size_t(k)].as<char>() + (at[k] + row * down + col * right) * bytes, right};
        step[k] = down * bytes;
        if (!crossed.operand[k]) continue;
        copy_tile(in[k].p, down, right, tiles[k], kCols, n, m, int(bytes));
        in[k] = {tiles[k], 1}, step[k] = kCols * bytes;
      }
      for (int64_t i = 0; i < n; ++i) {
        loop(in, out + (i * cols + col) * out_bytes, m);
        for (int k = 0; k < inputs; ++k) in[k].p = static_cast<const char*>(in[k].p) + step[k];
      }
    }
  }
}

[[gnu::noinline]] void run_general(const KernelArgs& a, Loop loop, int64_t n, int64_t grain) {
  const Plan p = plan(a);
  if (const Crossed crossed(p, a.in.size()); crossed.any && n > 0) {
    const int64_t rows = p.size[p.rank - 2], cols = p.size[p.rank - 1];
    const int64_t each = std::min(Crossed::kRows, rows) * cols;
    return parallel_ranges(
        n / (rows * cols) * ceil_div(rows, Crossed::kRows),
        std::max<int64_t>(1, std::min(grain, kGrainOfCrossed) / each),
        [&](int64_t begin, int64_t end) { run_bands(p, crossed, a, loop, begin, end); });
  }
  parallel_ranges(n, grain, [&](int64_t begin, int64_t end) { run_range(p, a, loop, begin, end); });
}

// Entries of a shape whose memory exists: known sizes whose product fits.
inline int64_t entries(const Spec& spec) {
  int64_t n = 1;
  for (Dim d : spec.shape) n *= d.raw();
  return n;
}

void elementwise(const KernelArgs& a) {
  static const Loops& table = loops();
  const size_t inputs = a.in.size();
  const Array& deciding = a.in[inputs == 3];  // a condition comes first and is bool
  const Loop loop = table.row[a.op.elementwise][slot_of(deciding.spec->dtype)];
  const int64_t n = entries(*a.out[0].spec);
  Operand in[kMostInputs];
  bool plain = true;
  for (size_t k = 0; k < inputs; ++k) {
    const int64_t size = entries(*a.in[k].spec);
    in[k] = {a.in[k].data, size == 1 ? 0 : 1};
    plain = plain && (size == 1 || (size == n && a.in[k].dense()));
  }
  if (plain && n <= kGrainOfFunctions) [[likely]]
    return loop(in, a.out[0].data, n);
  const int64_t grain = calls_functions(a.op.elementwise) ? kGrainOfFunctions : kGrain;
  if (!plain) return run_general(a, loop, n, grain);
  if (n <= grain) return loop(in, a.out[0].data, n);
  int64_t bytes[kMostInputs];
  for (size_t k = 0; k < inputs; ++k) bytes[k] = in[k].stride * size_of(a.in[k].spec->dtype);
  const int64_t out_bytes = size_of(a.out[0].spec->dtype);
  parallel_ranges(n, grain, [&](int64_t begin, int64_t end) {
    Operand part[kMostInputs];
    for (size_t k = 0; k < inputs; ++k)
      part[k] = {static_cast<const char*>(in[k].p) + begin * bytes[k], in[k].stride};
    loop(part, a.out[0].as<char>() + begin * out_bytes, end - begin);
  });
}

// The loops of an op by dtype, kept for good.
const Loop* loops_of(int code) {
  static Loop all[kCodeCount][kDTypes];
  for (int t = 0; t < kDTypes; ++t)
    if (const int slot = slot_of(DType(t)); slot != no_slot) all[code][t] = loops().row[code][slot];
  return all[code];
}

bool gives_flags(int code) {
  enum Result { kSame, kBool };
  static constexpr Result results[] = {
#define UNARY(NAME, CLASS, RESULT, ...) RESULT,
#define BINARY(NAME, CLASS, RESULT, ...) RESULT,
#define TERNARY(NAME, CLASS, RESULT, ...) RESULT,
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  };
  return results[code] == kBool;
}

}  // namespace

bool calls_functions(int row) {
  static constexpr auto calls = [](const char* formula) {
    for (; *formula; ++formula)
      if (*formula == '(') return true;
    return false;
  };
  static constexpr bool all[] = {
#define UNARY(NAME, CLASS, RESULT, DOC, VALUE, ...) calls(#VALUE),
#define BINARY(NAME, CLASS, RESULT, DOC, VALUE, ...) calls(#VALUE),
#define TERNARY(NAME, CLASS, RESULT, DOC, VALUE, ...) calls(#VALUE),
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  };
  return all[row];
}

void register_elementwise(Backend& cpu) {
  for (auto& op : registry().all()) {
    if (op->elementwise < 0) continue;
    DTypeSet dtypes = 0;
    for (int t = 0; t < kDTypes; ++t)
      if (const int slot = slot_of(DType(t)); slot != no_slot && loops().row[op->elementwise][slot])
        dtypes |= set_of(DType(t));
    KernelEntry& entry = cpu.kernel(op->name, elementwise, dtypes);
    entry.strided = true;
    if (op->inputs.size() < 3)
      entry.few = {loops_of(op->elementwise), gives_flags(op->elementwise)};
    entry.in_place = [](const void*, int inputs, int) { return inputs == 3 ? 1 : 0; };
  }
}

}  // namespace flowbook::cpu
