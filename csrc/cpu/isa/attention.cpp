// The loops of attention_loops.h. Sums run in kLanes lanes that are joined in a fixed order: few of
// them, as rows are short. Maxima, whose lanes do nothing else, take more to hide what they wait.
#include "cpu/attention_loops.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#include "cpu/scalar.h"

constexpr int kLanes = 8, kWide = 32;

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

// Stores the scores, minus infinity behind them up to a whole number of kWide, and returns the
// largest that is not NaN: a NaN comes back through exp.
template <class T, class F>
inline T store_scores(T* s, int64_t n, F&& score) {
  T lane[kWide];
  for (int l = 0; l < kWide; ++l) lane[l] = -kInf<T>;
  int64_t i = 0;
  for (; i + kWide <= n; i += kWide) {
#pragma GCC ivdep
    for (int l = 0; l < kWide; ++l) {
      const T x = score(i + l);
      s[i + l] = x;
      lane[l] = lane[l] < x ? x : lane[l];
    }
  }
  if (const int rest = int(n - i); rest > 0) {
#pragma GCC ivdep
    for (int l = 0; l < rest; ++l) s[i + l] = score(i + l);
    for (int l = rest; l < kWide; ++l) s[i + l] = -kInf<T>;
    for (int l = 0; l < kWide; ++l) lane[l] = lane[l] < s[i + l] ? s[i + l] : lane[l];
  }
  for (int step = kWide / 2; step > 0; step /= 2)
    for (int l = 0; l < step; ++l) lane[l] = lane[l] < lane[l + step] ? lane[l + step] : lane[l];
  return lane[0];
}
template <class T>
inline T scores(const ScoreBlock& b, int64_t row) {
  T* s = static_cast<T*>(b.scores) + row * b.step;
  const int64_t n = b.seen(row), step = b.mask_stride;
  const T scale = T(b.scale);
  if (b.mask_kind == ScoreBlock::kBool) {
    const bool* mask = reinterpret_cast<const bool*>(b.mask + row * b.mask_row);
    if (step == 1)
      return store_scores(s, n, [&](int64_t i) { return mask[i] ? s[i] * scale : -kInf<T>; });
    return store_scores(s, n, [&](int64_t i) { return mask[i * step] ? s[i] * scale : -kInf<T>; });
  }
  if (b.mask_kind == ScoreBlock::kAdd) {
    const T* mask = reinterpret_cast<const T*>(b.mask + row * b.mask_row);
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
  static_assert(kWide % kLanes == 0 && kWide - 1 + kRowZeros <= kRowRoom);
  const int64_t whole = (n + kLanes - 1) / kLanes * kLanes;  // exp of minus infinity is 0
  const T sum = row_sum<T>(whole, [&](int64_t i) {
    const T e = exp(s[i] - shift);
    s[i] = e;
    return e;
  });
  for (int64_t i = whole; i < n + kRowZeros; ++i) s[i] = T(0);
  return sum;
}

// Two loops, so that the exponentials of a row need not wait for its maximum while the processor
// has nothing else to do.
template <class T>
void softmax(const ScoreBlock& b, bool first, void* maxv, void* sumv, void* keepv) {
  T *max = static_cast<T*>(maxv), *sum = static_cast<T*>(sumv), *keep = static_cast<T*>(keepv);
  for (int64_t i = 0; i < b.rows; ++i) {
    const T here = scores<T>(b, i), before = first ? -kInf<T> : max[i];
    keep[i] = before;
    max[i] = before < here ? here : before;
  }
  for (int64_t i = 0; i < b.rows; ++i) {
    const T shift = shift_of(max[i]);
    const T part = exponentials(static_cast<T*>(b.scores) + i * b.step, b.seen(i), shift);
    if (first) {
      sum[i] = part;
    } else {
      keep[i] = exp(keep[i] - shift);
      sum[i] = sum[i] * keep[i] + part;
    }
  }
}
template <class T>
void scale(void* yv, int64_t rows, int64_t n, const void* factors) {
  T* y = static_cast<T*>(yv);
  for (int64_t i = 0; i < rows; ++i, y += n) {
    const T f = static_cast<const T*>(factors)[i];
    for (int64_t j = 0; j < n; ++j) y[j] *= f;
  }
}
template <class T>
bool finish(void* yv, int64_t rows, int64_t n, const void* maxv, const void* sumv, void* lsev) {
  T *y = static_cast<T*>(yv), *logsumexp = static_cast<T*>(lsev);
  const T *max = static_cast<const T*>(maxv), *sum = static_cast<const T*>(sumv);
  bool nan = false;
  for (int64_t i = 0; i < rows; ++i, y += n) {
    const T share = T(1) / sum[i];
    if (sum[i] == T(0)) {
      for (int64_t j = 0; j < n; ++j) y[j] = T(0);
      continue;
    }
    int unlike = 0;
    for (int64_t j = 0; j < n; ++j) y[j] *= share, unlike |= y[j] != y[j];
    nan |= unlike != 0;
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < rows; ++i) logsumexp[i] = max[i] + log(sum[i]);
  return nan;
}

// score(i) is an entry as exp needs it but for the shift; p may be what it reads.
template <class T, class F>
inline void gradient_row(T* p, T* dp, int64_t n, T shift, T d, T scale, F&& score) {
  int64_t i = 0;
  const auto lanes = [&](auto&& shifted) {
#pragma GCC ivdep
    for (int l = 0; l < kLanes; ++l) {
      const T e = exp(shifted(l));
      p[i + l] = e;
      dp[i + l] = e * (dp[i + l] - d) * scale;
    }
  };
  for (; i + kLanes <= n; i += kLanes) lanes([&](int l) { return score(i + l) - shift; });
  if (i < n) {
    T last[kLanes];
    const int rest = int(n - i);
#pragma GCC ivdep
    for (int l = 0; l < rest; ++l) last[l] = score(i + l) - shift;
    for (int l = rest; l < kLanes; ++l) last[l] = -kInf<T>;
    lanes([&](int l) { return last[l]; });
  }
  for (i = n; i < n + kRowZeros; ++i) p[i] = dp[i] = T(0);
}
template <class T>
void gradient(const ScoreBlock& b, void* dpv, RowNumbers logsumexp, const void* shifts) {
  const T scale = T(b.scale);
  for (int64_t i = 0; i < b.rows; ++i) {
    T *p = static_cast<T*>(b.scores) + i * b.step, *dp = static_cast<T*>(dpv) + i * b.step;
    const T shift = shift_of(static_cast<const T*>(logsumexp.data)[i * logsumexp.stride]);
    const T d = static_cast<const T*>(shifts)[i];
    if (b.mask_kind == ScoreBlock::kNone) {
      gradient_row(p, dp, b.seen(i), shift, d, scale, [&](int64_t j) { return p[j] * scale; });
    } else {
      scores<T>(b, i);
      gradient_row(p, dp, b.seen(i), shift, d, scale, [&](int64_t j) { return p[j]; });
    }
  }
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
    {softmax<float>, softmax<double>}, {scale<float>, scale<double>},
    {finish<float>, finish<double>},   {gradient<float>, gradient<double>},
    {dot<float>, dot<double>},
};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
