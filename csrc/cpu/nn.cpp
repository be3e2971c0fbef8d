// Cross-entropy on class numbers, along any axis.
#include "ops/nn.h"

#include <algorithm>

#include "cpu/cpu.h"
#include "cpu/pool.h"
#include "cpu/rounding.h"
#include "cpu/rows.h"

namespace flowbook::cpu {

namespace {

constexpr int64_t kGrain = 8 << 10;  // elements a chunk
constexpr DTypeSet kTypes = set_of(DType::f32) | set_of(DType::f64);

int pair_of(const Array& x) { return x.spec->dtype == DType::f64; }

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
  int64_t count = 1, n, inner = 1, bytes;
};

// body(rows, first row, bytes from the logits to theirs) for some rows at a time.
template <class F>
void for_rows(const RowsOf& all, const Array& logits, const Array& targets, F&& body) {
  if (all.n == 0 || all.count == 0) return;
  parallel_ranges(all.count, round_up(std::max<int64_t>(1, kGrain / all.n), kLossRows),
                  [&](int64_t begin, int64_t end) {
                    int64_t classes[kLossRows];
                    const bool apart = all.inner > 1;
                    LossRows x{nullptr, apart ? 1 : all.n, all.inner, 0, all.n, classes};
                    for (int64_t r = begin; r < end; r += x.rows) {
                      x.rows = std::min(kLossRows, end - r);
                      if (apart) x.rows = std::min(x.rows, all.inner - r % all.inner);
                      for (int64_t i = 0; i < x.rows; ++i) classes[i] = target_at(targets, r + i);
                      const int64_t at =
                          (r / all.inner * all.n * all.inner + r % all.inner) * all.bytes;
                      x.x = logits.as<char>() + at;
                      body(x, r, at);
                    }
                  });
}

void cross_entropy(const KernelArgs& a) {
  const Array &logits = a.in[0], &targets = a.in[1], &loss = a.out[0];
  const RowsOf all(logits, static_cast<const ops::SoftmaxCrossEntropy*>(a.attrs)->axis);
  check_targets(targets, all.n);
  const auto f = row_loops().cross_entropy[pair_of(logits)];
  for_rows(all, logits, targets,
           [&](const LossRows& x, int64_t r, int64_t) { f(x, loss.as<char>() + r * all.bytes); });
}
void cross_entropy_gradient(const KernelArgs& a) {
  const Array &logits = a.in[0], &targets = a.in[1], &loss = a.in[2], &dloss = a.in[3];
  const RowsOf all(logits, static_cast<const ops::SoftmaxCrossEntropyGradient*>(a.attrs)->axis);
  check_targets(targets, all.n);
  const auto f = row_loops().cross_entropy_gradient[pair_of(logits)];
  for_rows(all, logits, targets, [&](const LossRows& x, int64_t r, int64_t at) {
    f(x, loss.as<char>() + r * all.bytes, dloss.as<char>() + r * all.bytes,
      a.out[0].as<char>() + at);
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
