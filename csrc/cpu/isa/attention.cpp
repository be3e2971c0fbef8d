// The loops of attention_loops.h. Sums run in kLanes lanes that are joined in a fixed order.
#include "cpu/attention_loops.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#include "cpu/scalar.h"

constexpr int kLanes = 32;

template <class T>
inline T join_sum(T* lane) {
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) lane[i] += lane[i + step];
  return lane[0];
}
// Sum over i of term(i), which may store on its way.
template <class T, class F>
inline T row_sum(int64_t n, F&& term) {
  T lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma GCC ivdep
    for (int l = 0; l < kLanes; ++l) lane[l] += term(i + l);
  }
  const int rest = int(n - i);
#pragma GCC ivdep
  for (int l = 0; l < rest; ++l) lane[l] += term(i + l);
  return join_sum(lane);
}

// Stores the scores, minus infinity behind them up to a whole number of lanes, and returns the
// largest that is not NaN: a NaN comes back through exp.
template <class T, class F>
inline T store_scores(T* s, int64_t n, F&& score) {
  T lane[kLanes];
  for (int l = 0; l < kLanes; ++l) lane[l] = -kInf<T>;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma GCC ivdep
    for (int l = 0; l < kLanes; ++l) {
      const T x = score(i + l);
      s[i + l] = x;
      lane[l] = lane[l] < x ? x : lane[l];
    }
  }
  if (const int rest = int(n - i); rest > 0) {
#pragma GCC ivdep
    for (int l = 0; l < rest; ++l) s[i + l] = score(i + l);
    for (int l = rest; l < kLanes; ++l) s[i + l] = -kInf<T>;
    for (int l = 0; l < kLanes; ++l) lane[l] = lane[l] < s[i + l] ? s[i + l] : lane[l];
  }
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int l = 0; l < step; ++l) lane[l] = lane[l] < lane[l + step] ? lane[l + step] : lane[l];
  return lane[0];
}
template <class T>
inline T scores(T* s, int64_t n, const ScoreRow& row) {
  const T scale = T(row.scale);
  const int64_t step = row.mask_stride;
  if (row.mask == ScoreRow::kBool) {
    const bool* mask = static_cast<const bool*>(row.mask_data);
    if (step == 1)
      return store_scores(s, n, [&](int64_t i) { return mask[i] ? s[i] * scale : -kInf<T>; });
    return store_scores(s, n, [&](int64_t i) { return mask[i * step] ? s[i] * scale : -kInf<T>; });
  }
  if (row.mask == ScoreRow::kAdd) {
    const T* mask = static_cast<const T*>(row.mask_data);
    if (step == 1) return store_scores(s, n, [&](int64_t i) { return s[i] * scale + mask[i]; });
    return store_scores(s, n, [&](int64_t i) { return s[i] * scale + mask[i * step]; });
  }
  return store_scores(s, n, [&](int64_t i) { return s[i] * scale; });
}
template <class T>
inline T shift_of(T x) {  // a row that may look nowhere subtracts nothing
  return x == -kInf<T> ? T(0) : x;
}

// s[i] = exp(s[i] - shift) of the n scores, and zeros behind them as kRowZeros asks; their sum.
template <class T>
inline T exponentials(T* s, int64_t n, T shift) {
  static_assert(kLanes - 1 + kRowZeros <= kRowRoom);
  const int64_t whole = (n + kLanes - 1) / kLanes * kLanes;  // exp of minus infinity is 0
  const T sum = row_sum<T>(whole, [&](int64_t i) {
    const T e = exp(s[i] - shift);
    s[i] = e;
    return e;
  });
  for (int64_t i = whole; i < n + kRowZeros; ++i) s[i] = T(0);
  return sum;
}

template <class T>
void softmax(void* sv, int64_t n, const ScoreRow& row, void* max, void* sum, void* keep) {
  T* s = static_cast<T*>(sv);
  T &m = *static_cast<T*>(max), &total = *static_cast<T*>(sum);
  const T here = scores(s, n, row), top = m < here ? here : m, shift = shift_of(top);
  const T part = exponentials(s, n, shift);
  const T factor = exp(m - shift);
  *static_cast<T*>(keep) = factor;
  total = total * factor + part;
  m = top;
}
template <class T>
void scale(void* yv, int64_t n, const void* factor) {
  T* y = static_cast<T*>(yv);
  const T f = *static_cast<const T*>(factor);
  for (int64_t i = 0; i < n; ++i) y[i] *= f;
}
template <class T>
void finish(void* yv, int64_t n, const void* max, const void* sum, void* logsumexp) {
  T* y = static_cast<T*>(yv);
  const T total = *static_cast<const T*>(sum), share = T(1) / total;
  if (total == T(0))
    for (int64_t i = 0; i < n; ++i) y[i] = T(0);
  else
    for (int64_t i = 0; i < n; ++i) y[i] *= share;
  *static_cast<T*>(logsumexp) = *static_cast<const T*>(max) + log(total);
}
template <class T>
void probabilities(void* sv, int64_t n, const ScoreRow& row, const void* logsumexp) {
  T* s = static_cast<T*>(sv);
  scores(s, n, row);
  exponentials(s, n, shift_of(*static_cast<const T*>(logsumexp)));
}
template <class T>
void gradient(void* pv, const void* dpv, int64_t n, double factor, const void* shift) {
  T* __restrict p = static_cast<T*>(pv);
  const T* __restrict dp = static_cast<const T*>(dpv);
  const T s = T(factor), d = *static_cast<const T*>(shift);
  for (int64_t i = 0; i < n; ++i) p[i] = p[i] * (dp[i] - d) * s;
}
template <class T>
void dot(const void* xv, int64_t x_stride, const void* yv, int64_t y_stride, int64_t n,
         const void* minus, void* out) {
  const T *x = static_cast<const T*>(xv), *y = static_cast<const T*>(yv);
  const T sum = x_stride == 1 && y_stride == 1
                    ? row_sum<T>(n, [&](int64_t i) { return x[i] * y[i]; })
                    : row_sum<T>(n, [&](int64_t i) { return x[i * x_stride] * y[i * y_stride]; });
  *static_cast<T*>(out) = sum - *static_cast<const T*>(minus);
}

}  // namespace

extern const AttentionLoops kAttention;
const AttentionLoops kAttention = {
    {softmax<float>, softmax<double>},   {scale<float>, scale<double>},
    {finish<float>, finish<double>},     {probabilities<float>, probabilities<double>},
    {gradient<float>, gradient<double>}, {dot<float>, dot<double>},
};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
