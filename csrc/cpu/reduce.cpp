// Reductions over any axes, on the folds of loops.h. Runs of reduced axes are taken one at a time,
// the last first: each is either a fold of dense rows or a fold of columns. All cuts depend on
// shapes only.
#include "ops/reduce.h"

#include <algorithm>
#include <cstring>

#include "cpu/cpu.h"
#include "cpu/loops.h"
#include "cpu/pool.h"
#include "cpu/rounding.h"
#include "cpu/sums.h"

namespace flowbook::cpu {

namespace {

constexpr int64_t kGrain = 32 << 10;    // elements a chunk
constexpr int64_t kColumnWidth = 2048;  // columns a chunk

struct Folds {
  Fold row[kSlots];
  ColumnFold column[kSlots];  // null where columns are gathered
};

// Memory between stages.
struct Scratch {
  explicit Scratch(int64_t bytes)
      : buffer(allocate(std::max<int64_t>(bytes, 1), BufferKind::kWorkspace)) {}
  void* data() const { return buffer->data; }
  Ref<Buffer> buffer;
};

// x seen as [outer, n, inner]; out as [outer, inner].
struct Stage {
  int64_t outer, n, inner;
  DType in, out;
};

// Rows of n dense elements. A row too long for one chunk is cut at fixed places and its parts are
// folded once more.
void fold_rows(const Stage& s, Fold fold, Fold again, const char* x, char* y) {
  const int64_t in_bytes = size_of(s.in), out_bytes = size_of(s.out);
  if (s.n > kLongRow && again) {
    const int64_t pieces = (s.n + kLongRow - 1) / kLongRow;
    Scratch parts(s.outer * pieces * out_bytes);
    char* p = static_cast<char*>(parts.data());
    parallel_for(s.outer * pieces, [&](int64_t i) {
      const int64_t row = i / pieces, begin = i % pieces * kLongRow;
      fold(x + (row * s.n + begin) * in_bytes, std::min(kLongRow, s.n - begin), p + i * out_bytes);
    });
    for (int64_t row = 0; row < s.outer; ++row)
      again(p + row * pieces * out_bytes, pieces, y + row * out_bytes);
    return;
  }
  const int64_t rows = std::max<int64_t>(1, kGrain / std::max<int64_t>(s.n, 1));
  parallel_ranges(s.outer, rows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) fold(x + i * s.n * in_bytes, s.n, y + i * out_bytes);
  });
}

// Columns: blocks of rows are added up one by one, the blocks' results pairwise, as in a tree.
void fold_columns(const Stage& s, Fold identity, ColumnFold fold, ColumnFold again, const char* x,
                  char* y) {
  const int64_t in_bytes = size_of(s.in), out_bytes = size_of(s.out);
  const int64_t together = rows_together(s.inner);
  const int64_t blocks = std::max<int64_t>(1, (s.n + together - 1) / together);
  const int64_t width = std::min(s.inner, kColumnWidth), strips = (s.inner + width - 1) / width;
  const bool empty = s.n == 0;
  const Loop cast = loops().cast[int(s.in)][int(s.out)];
  // What each column starts from: the first row, or what an empty one gives.
  auto start = [&](char* acc, const char* row, int64_t n) {
    const Operand first{row, 1};
    if (!empty) return cast(&first, acc, n);
    for (int64_t j = 0; j < n; ++j) identity(row, 0, acc + j * out_bytes);
  };
  auto block = [&](int64_t o, int64_t b, int64_t strip, char* acc) {
    const int64_t from = strip * width, n = std::min(width, s.inner - from),
                  end = std::min(s.n, (b + 1) * together);
    const char* row = x + ((o * s.n + b * together) * s.inner + from) * in_bytes;
    start(acc, row, n);
    for (int64_t i = b * together + 1; i < end; ++i) fold(acc, row += s.inner * in_bytes, n);
  };
  if (blocks == 1) {
    const int64_t work = std::max<int64_t>(1, s.n) * width;
    parallel_ranges(s.outer * strips, std::max<int64_t>(1, kGrain / work),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i)
                        block(i / strips, 0, i % strips,
                              y + (i / strips * s.inner + i % strips * width) * out_bytes);
                    });
    return;
  }
  const int64_t part = aligned(width * out_bytes);
  const int64_t wave =
      std::max<int64_t>(1, (16 << 20) / (part * blocks));  // keeps the scratch memory in bounds
  for (int64_t first = 0; first < s.outer * strips; first += wave) {
    const int64_t count = std::min(wave, s.outer * strips - first);
    Scratch parts(count * blocks * part);
    char* p = static_cast<char*>(parts.data());
    parallel_ranges(count * blocks, std::max<int64_t>(1, kGrain / (together * width)),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i)
                        block((first + i / blocks) / strips, i % blocks,
                              (first + i / blocks) % strips, p + i * part);
                    });
    for (int64_t i = 0; i < count; ++i) {
      const int64_t strip = (first + i) % strips, n = std::min(width, s.inner - strip * width);
      char* mine = p + i * blocks * part;
      join_pairwise(again, mine, blocks, part, n);
      memcpy(y + ((first + i) / strips * s.inner + strip * width) * out_bytes, mine,
             size_t(n * out_bytes));
    }
  }
}

// Columns by gathering each into a dense row: positions and logic.
void fold_gathered(const Stage& s, Fold fold, const char* x, char* y) {
  const int64_t in_bytes = size_of(s.in), out_bytes = size_of(s.out);
  const Loop copy = loops().copy[in_bytes == 1 ? 0 : in_bytes == 2 ? 1 : in_bytes == 4 ? 2 : 3];
  parallel_ranges(s.outer * s.inner, std::max<int64_t>(1, kGrain / std::max<int64_t>(s.n, 1)),
                  [&](int64_t begin, int64_t end) {
                    Scratch row(s.n * in_bytes);
                    for (int64_t i = begin; i < end; ++i) {
                      const Operand column{
                          x + (i / s.inner * s.n * s.inner + i % s.inner) * in_bytes, s.inner};
                      copy(&column, row.data(), s.n);
                      fold(row.data(), s.n, y + i * out_bytes);
                    }
                  });
}

void run_stage(const Stage& s, const Folds& f, const char* x, char* y) {
  const int from = slot_of(s.in), to = slot_of(s.out);
  if (s.inner == 1)
    return fold_rows(s, f.row[from], f.column[from] || s.out == DType::bool_ ? f.row[to] : nullptr,
                     x, y);
  if (f.column[from] && f.column[to])
    return fold_columns(s, f.row[from], f.column[from], f.column[to], x, y);
  fold_gathered(s, f.row[from], x, y);
}

// Folds the axes in `mask` of dense x. `out` is what the folds give; y is dense.
void reduce(const Shape& shape, uint32_t mask, const Folds& f, DType in, DType out, const char* x,
            char* y) {
  // Runs of axes that are all reduced or all kept.
  int64_t size[kMaxRank + 1];
  bool folded[kMaxRank + 1];
  int runs = 0;
  for (int i = 0; i < shape.rank; ++i) {
    const int64_t n = shape[i].value();
    const bool m = mask >> i & 1;
    if (n == 0 && !m) return;  // no results
    if (n == 1) continue;
    if (runs && folded[runs - 1] == m)
      size[runs - 1] *= n;
    else
      size[runs] = n, folded[runs++] = m;
  }
  bool any = false;
  for (int i = 0; i < runs; ++i) any = any || folded[i];
  if (!any) size[runs] = 1, folded[runs++] = true;  // still converts
  Ref<Buffer> held;
  for (int r = runs - 1; r >= 0; --r) {
    if (!folded[r]) continue;
    Stage s{1, size[r], 1, in, out};
    for (int i = 0; i < r; ++i) s.outer *= size[i];
    for (int i = r + 1; i < runs; ++i) s.inner *= folded[i] ? 1 : size[i];
    bool last = true;
    for (int i = 0; i < r; ++i) last = last && !folded[i];
    if (last) return run_stage(s, f, x, y);
    Scratch next(s.outer * s.inner * size_of(out));
    run_stage(s, f, x, static_cast<char*>(next.data()));
    held = next.buffer;
    x = static_cast<const char*>(held->data);
    in = out;
  }
}

// x converted to `to` in memory of its own.
Ref<Buffer> converted(const Array& x, DType to) {
  const int64_t n = x.size(), from_bytes = size_of(x.spec->dtype), to_bytes = size_of(to);
  Ref<Buffer> b = allocate(std::max<int64_t>(n * to_bytes, 1), BufferKind::kWorkspace);
  const Loop cast = loops().cast[int(x.spec->dtype)][int(to)];
  parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
    const Operand in{x.as<char>() + begin * from_bytes, 1};
    cast(&in, static_cast<char*>(b->data) + begin * to_bytes, end - begin);
  });
  return b;
}

// ---- the ops
// ----------------------------------------------------------------------------------------------------------
DType wide(DType t) {
  return in(t, kIntegralOrBool) ? DType::i64 : t == DType::f64 ? t : DType::f32;
}

Folds sums() {
  Folds f;
  std::copy_n(loops().sum, kSlots, f.row), std::copy_n(loops().add_columns, kSlots, f.column);
  return f;
}
Folds products() {
  Folds f;
  std::copy_n(loops().prod, kSlots, f.row), std::copy_n(loops().mul_columns, kSlots, f.column);
  return f;
}

// Sum and product: in the accumulator of the result's dtype, then cast to that.
template <class Op, Folds (*kFolds)()>
void accumulate(const KernelArgs& a) {
  const Array &x = a.in[0], &y = a.out[0];
  const uint32_t mask = static_cast<const Op*>(a.attrs)->axis.mask(x.spec->shape.rank);
  const DType acc = wide(y.spec->dtype),
              natural = slot_of(x.spec->dtype) == no_slot ? x.spec->dtype : wide(x.spec->dtype);
  const Folds f = kFolds();
  Ref<Buffer> held, result;
  const void* data = x.data;
  DType in = x.spec->dtype;
  if (natural != acc || slot_of(in) == no_slot) held = converted(x, in = acc), data = held->data;
  const bool direct = size_of(acc) == size_of(y.spec->dtype) && wide(y.spec->dtype) == acc &&
                      (y.spec->dtype == acc || y.spec->dtype == DType::u64);
  void* to = y.data;
  if (!direct)
    result = allocate(std::max<int64_t>(y.size() * size_of(acc), 1), BufferKind::kWorkspace),
    to = result->data;
  reduce(x.spec->shape, mask, f, in, acc, static_cast<const char*>(data), static_cast<char*>(to));
  if (direct) return;
  const Operand from{to, 1};
  loops().cast[int(acc)][int(y.spec->dtype)](&from, y.data, y.size());
}

template <class Op>
void extremum(const KernelArgs& a) {
  constexpr bool max = std::is_same_v<Op, ops::Max>;
  const Array& x = a.in[0];
  Folds f;
  std::copy_n(max ? loops().max : loops().min, kSlots, f.row);
  std::copy_n(max ? loops().max_columns : loops().min_columns, kSlots, f.column);
  const DType t = x.spec->dtype;
  reduce(x.spec->shape, static_cast<const Op*>(a.attrs)->axis.mask(x.spec->shape.rank), f, t, t,
         x.as<char>(), a.out[0].as<char>());
}

template <class Op>
void logic(const KernelArgs& a) {
  const Array& x = a.in[0];
  Folds f{};
  std::copy_n(std::is_same_v<Op, ops::Any> ? loops().any : loops().all, kSlots, f.row);
  reduce(x.spec->shape, static_cast<const Op*>(a.attrs)->axis.mask(x.spec->shape.rank), f,
         x.spec->dtype, DType::bool_, x.as<char>(), a.out[0].as<char>());
}

template <class Op>
void position(const KernelArgs& a) {
  const Array& x = a.in[0];
  const Shape& shape = x.spec->shape;
  const Axes& axis = static_cast<const Op*>(a.attrs)->axis;
  Stage s{1, x.size(), 1, x.spec->dtype, DType::i64};
  if (!axis.all) {
    const int at = normalize_axis(axis.axis[0], shape.rank);
    s.n = shape[at].value();
    for (int i = 0; i < at; ++i) s.outer *= shape[i].value();
    for (int i = at + 1; i < shape.rank; ++i) s.inner *= shape[i].value();
  }
  if (s.outer * s.inner == 0) return;
  const Fold fold =
      (std::is_same_v<Op, ops::Argmax> ? loops().argmax : loops().argmin)[slot_of(s.in)];
  if (s.inner == 1)
    fold_rows(s, fold, nullptr, x.as<char>(), a.out[0].as<char>());
  else
    fold_gathered(s, fold, x.as<char>(), a.out[0].as<char>());
}

// Running sums of kRows dense rows, x and y `n` and `m` elements apart, side by side: each element
// waits for the one before it, so that several rows of floats take as long as one. Sums stay in
// registers.
template <int kRows, class T, class Acc>
void running_rows(const T* x, T* y, int64_t n, int64_t m, bool initial) {
  Acc acc[kRows] = {};
  if (initial)
    for (int r = 0; r < kRows; ++r) y[r * m] = T(0);
  y += initial;
  for (int64_t k = 0; k < n; ++k)
    for (int r = 0; r < kRows; ++r) acc[r] += Acc(x[r * n + k]), y[r * m + k] = T(acc[r]);
}

// Running sums; float32 is added up in double. [outer, n, inner], the columns of a block side by
// side.
template <class T, class Acc>
void running(const T* x, T* y, int64_t outer, int64_t n, int64_t inner, bool initial) {
  const int64_t m = n + initial;
  if (inner == 1) {
    constexpr int kTogether = std::is_integral_v<Acc> ? 1 : 8;  // integers wait a cycle
    const int64_t grain = std::max<int64_t>(1, kGrain / (m + 1) / kTogether) * kTogether;
    return parallel_ranges(outer, grain, [&](int64_t row, int64_t end) {
      for (; row + kTogether <= end; row += kTogether)
        running_rows<kTogether, T, Acc>(x + row * n, y + row * m, n, m, initial);
      for (; row < end; ++row) running_rows<1, T, Acc>(x + row * n, y + row * m, n, m, initial);
    });
  }
  const int64_t width = std::min<int64_t>(inner, 64),
                strips = inner ? (inner + width - 1) / width : 0;
  parallel_ranges(outer * strips, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, m * width)),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i) {
                      const int64_t from = i % strips * width,
                                    count = std::min(width, inner - from);
                      const T* in = x + i / strips * n * inner + from;
                      T* out = y + i / strips * m * inner + from;
                      Acc acc[64] = {};
                      if (initial) std::fill_n(out, count, T(0)), out += inner;
                      for (int64_t k = 0; k < n; ++k, in += inner, out += inner)
                        for (int64_t j = 0; j < count; ++j)
                          acc[j] += Acc(in[j]), out[j] = T(acc[j]);
                    }
                  });
}
void cumulative_sum(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::CumulativeSum*>(a.attrs);
  const Array &x = a.in[0], &y = a.out[0];
  const Shape& shape = x.spec->shape;
  const int axis = op.axis.all ? 0 : normalize_axis(op.axis.axis[0], shape.rank);
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= shape[i].value();
  for (int i = axis + 1; i < shape.rank; ++i) inner *= shape[i].value();
  const int64_t n = shape[axis].value();
  const DType acc = wide(y.spec->dtype);
  Ref<Buffer> held, result;
  const void* in = x.data;
  if (x.spec->dtype != acc) held = converted(x, acc), in = held->data;
  const bool direct = y.spec->dtype == acc || y.spec->dtype == DType::u64;
  void* to = y.data;
  if (!direct)
    result = allocate(std::max<int64_t>(y.size() * size_of(acc), 1), BufferKind::kWorkspace),
    to = result->data;
  const bool initial = op.include_initial;
  if (acc == DType::f32)
    running<float, double>(static_cast<const float*>(in), static_cast<float*>(to), outer, n, inner,
                           initial);
  else if (acc == DType::f64)
    running<double, double>(static_cast<const double*>(in), static_cast<double*>(to), outer, n,
                            inner, initial);
  else
    running<uint64_t, uint64_t>(static_cast<const uint64_t*>(in), static_cast<uint64_t*>(to), outer,
                                n, inner, initial);
  if (direct) return;
  const Operand from{to, 1};
  loops().cast[int(acc)][int(y.spec->dtype)](&from, y.data, y.size());
}

}  // namespace

void register_reduce(Backend& cpu) {
  constexpr DTypeSet kOrdered = set_of(DType::bool_) | set_of(DType::u8) | set_of(DType::i32) |
                                set_of(DType::i64) | set_of(DType::f32) | set_of(DType::f64);
  constexpr DTypeSet kSummable = kReal | kBoolean;
  cpu.kernel("sum", accumulate<ops::Sum, sums>, kSummable);
  cpu.kernel("prod", accumulate<ops::Prod, products>, kSummable);
  cpu.kernel("max", extremum<ops::Max>, kOrdered);
  cpu.kernel("min", extremum<ops::Min>, kOrdered);
  cpu.kernel("any", logic<ops::Any>, kOrdered);
  cpu.kernel("all", logic<ops::All>, kOrdered);
  cpu.kernel("argmax", position<ops::Argmax>, kOrdered);
  cpu.kernel("argmin", position<ops::Argmin>, kOrdered);
  cpu.kernel("cumulative_sum", cumulative_sum, kSummable);
}

}  // namespace flowbook::cpu
