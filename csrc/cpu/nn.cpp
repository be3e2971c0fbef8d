// Cross-entropy on class numbers. A row along another axis than the last is gathered into dense
// memory and put back.
#include "ops/nn.h"

#include <algorithm>
#include <cstring>

#include "cpu/cpu.h"
#include "cpu/pool.h"
#include "cpu/rows.h"

namespace flowbook::cpu {

namespace {

constexpr int64_t kGrain = 8 << 10;  // elements a chunk
constexpr DTypeSet kTypes = set_of(DType::f32) | set_of(DType::f64);

int pair_of(const Array& x) { return x.spec->dtype == DType::f64; }

// Rows along one axis: row r starts at (r / inner) * n * inner + r % inner, its entries are `inner`
// apart.
struct RowsOf {
  RowsOf(const Array& x, int64_t axis) : bytes(size_of(x.spec->dtype)) {
    const Shape& s = x.spec->shape;
    const int a = normalize_axis(axis, s.rank);
    n = s[a].value();
    for (int i = 0; i < a; ++i) count *= s[i].value();
    for (int i = a + 1; i < s.rank; ++i) inner *= s[i].value();
    count *= inner;
  }
  int64_t start(int64_t r) const { return r / inner * n * inner + r % inner; }
  int64_t grain() const { return std::max<int64_t>(1, kGrain / std::max<int64_t>(n, 1)); }
  int64_t count = 1, n, inner = 1, bytes;
};

template <class T>
void move(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
}
void move(const void* from, int64_t from_step, void* to, int64_t to_step, int64_t n,
          int64_t bytes) {
  if (bytes == 4)
    move(static_cast<const uint32_t*>(from), from_step, static_cast<uint32_t*>(to), to_step, n);
  else
    move(static_cast<const uint64_t*>(from), from_step, static_cast<uint64_t*>(to), to_step, n);
}

// Calls row(r, in[], out) with dense rows of the inputs and of the output.
template <size_t kInputs, class Row>
void for_each_row(const RowsOf& rows, const std::array<const Array*, kInputs>& in, const Array& out,
                  Row&& row) {
  if (rows.n == 0 || rows.count == 0) return;
  parallel_ranges(rows.count, rows.grain(), [&](int64_t begin, int64_t end) {
    std::array<const void*, kInputs> x;
    if (rows.inner == 1) {
      for (int64_t r = begin; r < end; ++r) {
        for (size_t k = 0; k < kInputs; ++k)
          x[k] = in[k]->template as<char>() + r * rows.n * rows.bytes;
        row(r, x, out.as<char>() + r * rows.n * rows.bytes);
      }
      return;
    }
    const Ref<Buffer> held =
        allocate(rows.n * rows.bytes * int64_t(kInputs + 1), BufferKind::kWorkspace);
    char* dense = static_cast<char*>(held->data);
    char* y = dense + int64_t(kInputs) * rows.n * rows.bytes;
    for (size_t k = 0; k < kInputs; ++k) x[k] = dense + int64_t(k) * rows.n * rows.bytes;
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = rows.start(r) * rows.bytes;
      for (size_t k = 0; k < kInputs; ++k)
        move(in[k]->template as<char>() + at, rows.inner, const_cast<void*>(x[k]), 1, rows.n,
             rows.bytes);
      row(r, x, y);
      move(y, 1, out.as<char>() + at, rows.inner, rows.n, rows.bytes);
    }
  });
}

// ---- cross-entropy
// ----------------------------------------------------------------------------------------------------
int64_t target_at(const Array& targets, int64_t i) {
  switch (targets.spec->dtype) {
    case DType::u8:
      return targets.as<uint8_t>()[i];
    case DType::i32:
      return targets.as<int32_t>()[i];
    default:
      return targets.as<int64_t>()[i];
  }
}
// Every class number is looked at before anything is written.
void check_targets(const Array& targets, int64_t classes) {
  const int64_t n = targets.size();
  for (int64_t i = 0; i < n; ++i)
    if (const int64_t t = target_at(targets, i); t < 0 || t >= classes) [[unlikely]]
      fail(ErrorKind::kIndex, "target ", t, " (entry ", i, " of the targets) is out of range for ",
           classes, " classes. It must be from 0 to ", classes - 1, ".");
}

void cross_entropy(const KernelArgs& a) {
  const Array &logits = a.in[0], &targets = a.in[1], &loss = a.out[0];
  const RowsOf rows(logits, static_cast<const ops::SoftmaxCrossEntropy*>(a.attrs)->axis);
  check_targets(targets, rows.n);
  const auto f = row_loops().cross_entropy[pair_of(logits)];
  parallel_ranges(rows.count, rows.grain(), [&](int64_t begin, int64_t end) {
    Ref<Buffer> held;
    if (rows.inner > 1) held = allocate(rows.n * rows.bytes, BufferKind::kWorkspace);
    for (int64_t r = begin; r < end; ++r) {
      const void* x = logits.as<char>() + rows.start(r) * rows.bytes;
      if (held) move(x, rows.inner, held->data, 1, rows.n, rows.bytes), x = held->data;
      f(x, target_at(targets, r), loss.as<char>() + r * rows.bytes, rows.n);
    }
  });
}
void cross_entropy_gradient(const KernelArgs& a) {
  const Array &logits = a.in[0], &targets = a.in[1], &loss = a.in[2], &dloss = a.in[3];
  const RowsOf rows(logits, static_cast<const ops::SoftmaxCrossEntropyGradient*>(a.attrs)->axis);
  check_targets(targets, rows.n);
  const auto f = row_loops().cross_entropy_gradient[pair_of(logits)];
  for_each_row<1>(rows, {&logits}, a.out[0], [&](int64_t r, auto& x, void* y) {
    f(x[0], target_at(targets, r), loss.as<char>() + r * rows.bytes,
      dloss.as<char>() + r * rows.bytes, y, rows.n);
  });
}

int over_first(const void*, int, int) { return 0; }

}  // namespace

void register_nn(Backend& cpu) {
  cpu.kernel("softmax_cross_entropy", cross_entropy, kTypes);
  cpu.kernel("softmax_cross_entropy_gradient", cross_entropy_gradient, kTypes).in_place =
      over_first;
}

}  // namespace flowbook::cpu
