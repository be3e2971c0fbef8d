// The loops of attention_loops.h. Queries lie side by side and keys below each other, so that
// maxima and sums over keys never leave their lane, and the edge of a triangle is a comparison of
// lanes.
#include "cpu/attention_loops.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#include "cpu/isa/panels.h"
#include "cpu/scalar.h"

// A vector has one number of each of a group of queries, which lie side by side.
template <class T>
using Group = Vector<T>;
template <class T>
constexpr int kLanes = Lanes<T>::kCount;
static_assert(kAttentionQueries % kLanes<float> == 0);

template <class T>
inline Group<T> all(T x) {
  return x - Group<T>{};
}
template <class T>
inline Group<T> larger(Group<T> a, Group<T> b) {  // a where b is NaN
  return a < b ? b : a;
}
// 0, 1, 2, ...
template <class T>
inline Group<T> lanes() {
  Group<T> n;
  for (int l = 0; l < kLanes<T>; ++l) n[l] = T(l);
  return n;
}
// Whether |x| <= bound has held for every number that it was shown.
template <class T>
struct Small {
  explicit Small(T bound) : square(all(bound * bound)) {}
  Group<T> square;
  decltype(Group<T>{} < Group<T>{}) held = square == square;
  void show(Group<T> x) { held &= x * x <= square; }
  operator bool() const {
    for (int l = 0; l < kLanes<T>; ++l)
      if (!held[l]) return false;
    return true;
  }
};

// The largest |x| that was shown, in lanes that are somebody's: compared as bits, so that a NaN is
// larger than all numbers.
template <class T>
struct Largest {
  using Bits = decltype(Group<T>{} < Group<T>{});
  void begin(int64_t count) {
    seen = (Bits)all(T(-0.0)) ^ -1;
    if (count < kLanes<T>) seen &= lanes<T>() < all(T(count));
  }
  void show(Group<T> x) {
    const Bits size = (Bits)x & seen;
    most = size > most ? size : most;
  }
  bool within(T bound) const {
    const Group<T> x = (Group<T>)most;
    for (int l = 0; l < kLanes<T>; ++l)
      if (!(x[l] <= bound)) return false;
    return true;
  }
  Bits seen{}, most{};
};

inline double usual_exp(double x) { return exp(x); }
// exp of all lanes, which the short way gives if none is extreme.
template <bool kUsual, class T>
inline Group<T> exps(Group<T> x) {
  T e[kLanes<T>];
  store(e, x);
#pragma GCC ivdep
  for (int l = 0; l < kLanes<T>; ++l) e[l] = kUsual ? usual_exp(e[l]) : exp(e[l]);
  return load(e);
}

// The keys that a group sees: all of its lanes the first `all` ones, the later lanes those until
// `some`. There lane l sees key j if l >= j - edge.
struct Seen {
  Seen(const ScoreBlock& b, int64_t group, int lanes)
      : all(b.seen(group)), some(b.seen(group + lanes - 1)), edge(b.first_seen + group - 1) {}
  int64_t all, some, edge;
};
// body(key, what to do with a group's numbers of this key that not all lanes see: keep(x, other))
template <class T, class F>
inline void each_key(const Seen& seen, F&& body) {
  int64_t j = 0;
  for (; j < seen.all; ++j) body(j, [](Group<T> x, Group<T>) { return x; });
  const Group<T> lane = lanes<T>();
  for (; j < seen.some; ++j) {
    const auto sees = lane >= all(T(j - seen.edge));
    body(j, [=](Group<T> x, Group<T> other) { return sees ? x : other; });
  }
}

template <class T>
inline Group<T> shift_of(Group<T> x) {  // who may look nowhere subtracts nothing
  return x == all(-kInf<T>) ? Group<T>{} : x;
}

// Scores of a group as exp needs them: scaled, and masked if there is a mask.
template <class T>
struct Scores {
  Scores(const ScoreBlock& b, int64_t group) : b(b) {
    for (int l = 0; l < kLanes<T>; ++l)  // lanes past the last query look at its mask
      row[l] = (group + l < b.queries ? group + l : b.queries - 1) * b.mask_row;
  }
  Group<T> operator()(int64_t key, const T* s) const {
    const Group<T> x = load(s) * all(T(b.scale));
    if (b.mask_kind == ScoreBlock::kNone) return x;
    const char* const mask = b.mask + key * b.mask_key;
    Group<T> m;
    if (b.mask_kind == ScoreBlock::kAdd) {
      if (b.mask_row == 0) return x + all(*reinterpret_cast<const T*>(mask));
      for (int l = 0; l < kLanes<T>; ++l) m[l] = *reinterpret_cast<const T*>(mask + row[l]);
      return x + m;
    }
    constexpr T kSees[] = {-kInf<T>, T(0)};  // a branch would be wrong half of the time
    for (int l = 0; l < kLanes<T>; ++l) m[l] = kSees[mask[row[l]] != 0];
    return m == Group<T>{} ? x : m;
  }
  const ScoreBlock& b;
  int64_t row[kLanes<T>];
};

// Zeros for the tiles that reach past the last key that a group sees.
template <class T>
inline void zeros_from(const ScoreBlock& b, int64_t key, T* s) {
  const int64_t end = key + kKeyZeros < b.keys ? key + kKeyZeros : b.keys;
  for (int64_t j = key; j < end; ++j) store(s + j * b.step, Group<T>{});
}

// How exponentials are computed: in general, or the short way where all scores are usual but for
// minus infinity, if there is a mask.
enum class Way { kGeneral, kUsual, kUsualMasked };
// body(Count<way>)
template <class F>
inline void by_way(bool usual, bool masked, F&& body) {
  if (!usual)
    body(Count<int(Way::kGeneral)>{});
  else if (masked)
    body(Count<int(Way::kUsualMasked)>{});
  else
    body(Count<int(Way::kUsual)>{});
}
template <class T>
inline Group<T> unhidden(Group<T> x) {  // 0 for minus infinity
  return x == all(-kInf<T>) ? Group<T>{} : x;
}
template <int kWay, class T>
inline Group<T> weights(Group<T> x) {
  constexpr Way way = Way(kWay);
  if (way != Way::kUsualMasked) return exps<way == Way::kUsual, T>(x);
  return x == all(-kInf<T>) ? Group<T>{} : exps<true, T>(unhidden<T>(x));
}

// s = exp(s - shift) of the scores of a group; their sum.
template <int kWay, class T>
inline Group<T> exponentials(const ScoreBlock& b, const Seen& seen, T* s, Group<T> shift) {
  Group<T> sum{};
  each_key<T>(seen, [&](int64_t j, auto&& keep) {
    T* const at = s + j * b.step;
    const Group<T> e = keep(weights<kWay, T>(load(at) - shift), Group<T>{});
    store(at, e);
    sum += e;
  });
  return sum;
}
// What is subtracted from scores whose largest one is `top`, where `before` was from those so far:
// zero, which plain_softmax subtracts, as long as that does; their maximum otherwise. It follows
// from each query's own scores alone.
template <class T>
inline Group<T> next_shift(Group<T> before, Group<T> sum, Group<T> top) {
  const Group<T> zero{}, most = all(T(kPlainScore));
  const Group<T> high = top > most ? top : zero, low = top < -most ? shift_of<T>(top) : zero;
  const Group<T> fresh = low != zero ? low : high;  // nothing was added up yet
  const Group<T> later = before == zero ? high : larger<T>(before, top);
  return sum == zero ? fresh : later;
}
template <class T>
void softmax(const ScoreBlock& b, bool first, void* maxv, void* sumv, void* keepv) {
  for (int64_t group = 0; group < b.queries; group += kLanes<T>) {
    T *s = static_cast<T*>(b.scores) + group, *max = static_cast<T*>(maxv) + group,
      *sum = static_cast<T*>(sumv) + group, *kept = static_cast<T*>(keepv) + group;
    const Seen seen(b, group, kLanes<T>);
    const Scores<T> score(b, group);
    const Group<T> nothing = all(-kInf<T>);
    // The largest of each query that is not NaN: a NaN comes back through exp.
    Group<T> top[2] = {nothing, nothing};  // a maximum waits for the one before
    Small<T> usual(T(kUsualExp / 2));      // then so is the difference of two
    const bool masked = b.mask_kind != ScoreBlock::kNone;
    each_key<T>(seen, [&](int64_t j, auto&& keep) {
      T* const at = s + j * b.step;
      const Group<T> x = score(j, at), y = keep(x, nothing);
      store(at, x);
      usual.show(keep(masked ? unhidden<T>(x) : x, Group<T>{}));
      top[j & 1] = larger<T>(top[j & 1], y);
    });
    const Group<T> before = first ? Group<T>{} : load(max), summed = first ? before : load(sum),
                   shift = next_shift<T>(before, summed, larger<T>(top[0], top[1]));
    usual.show(shift);
    Group<T> part;
    by_way(usual, masked,
           [&]<int kWay>(Count<kWay>) { part = exponentials<kWay>(b, seen, s, shift); });
    zeros_from(b, seen.some, s);
    const Group<T> keep = exps<false, T>(summed == Group<T>{} ? summed : before - shift);
    store(max, shift), store(kept, keep);
    store(sum, summed * keep + part);
  }
}
template <class T>
bool plain_softmax(const ScoreBlock& b, const void* beforev, void* sumv) {
  Largest<T> largest;
  const Group<T> scale = all(T(b.scale)), zero{};
  for (int64_t group = 0; group < b.queries; group += kLanes<T>) {
    T* const s = static_cast<T*>(b.scores) + group;
    const T* const before = static_cast<const T*>(beforev);
    const Seen seen(b, group, kLanes<T>);
    largest.begin(b.queries - group);
    Group<T> sum{};
    each_key<T>(seen, [&](int64_t j, auto&& keep) {
      T* const at = s + j * b.step;
      const Group<T> x = keep(load(at) * scale, zero), e = keep(exps<true, T>(x), zero);
      largest.show(x);
      store(at, e);
      sum += e;
    });
    zeros_from(b, seen.some, s);
    store(static_cast<T*>(sumv) + group, before ? load(before + group) + sum : sum);
  }
  return largest.within(T(kPlainScore));
}
template <class T>
void scale(void* yv, int64_t step, int64_t rows, int64_t n, const void* factors) {
  T* y = static_cast<T*>(yv);
  for (int64_t i = 0; i < rows; ++i, y += step) {
    const T f = static_cast<const T*>(factors)[i];
    for (int64_t j = 0; j < n; ++j) y[j] *= f;
  }
}
template <class T>
bool finish(void* yv, int64_t step, int64_t rows, int64_t n, const void* maxv, const void* sumv,
            void* lsev) {
  T *y = static_cast<T*>(yv), *logsumexp = static_cast<T*>(lsev);
  const T *max = static_cast<const T*>(maxv), *sum = static_cast<const T*>(sumv);
  int unlike = 0;
  for (int64_t i = 0; i < rows; ++i, y += step) {
    const T share = T(1) / sum[i];
    if (sum[i] == T(0)) {
      for (int64_t j = 0; j < n; ++j) y[j] = T(0);
      continue;
    }
    for (int64_t j = 0; j < n; ++j) y[j] *= share, unlike |= !(abs(y[j]) < kInf<T>);
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < rows; ++i) logsumexp[i] = max[i] + log(sum[i]);
  return unlike == 0;
}

// p = exp(p), dp = p (dp - d) scale.
template <int kWay, class T>
inline void gradient_of(const ScoreBlock& b, const Seen& seen, T* p, T* dp, Group<T> d) {
  const Group<T> scale = all(T(b.scale)), zero{};
  each_key<T>(seen, [&](int64_t j, auto&& keep) {
    const int64_t at = j * b.step;
    const Group<T> e = weights<kWay, T>(load(p + at));
    store(p + at, keep(e, zero));
    store(dp + at, keep(e * (load(dp + at) - d) * scale, zero));
  });
  zeros_from(b, seen.some, p);
  zeros_from(b, seen.some, dp);
}
// What is subtracted from a group's scores and from its dp.
template <class T>
struct Shifts {
  Shifts(const ScoreBlock& b, int64_t group, QueryNumbers logsumexp, const void* shifts) {
    Group<T> size;
    for (int l = 0; l < kLanes<T>; ++l) {
      const int64_t i = group + l < b.queries ? group + l : b.queries - 1;
      size[l] = static_cast<const T*>(logsumexp.data)[i * logsumexp.stride];
      d[l] = static_cast<const T*>(shifts)[i];
    }
    score = shift_of<T>(size);
  }
  Group<T> score, d;
};
template <class T>
bool plain_gradient(const ScoreBlock& b, void* dpv, QueryNumbers logsumexp, const void* shifts) {
  Largest<T> largest;
  const Group<T> scale = all(T(b.scale)), zero{};
  for (int64_t group = 0; group < b.queries; group += kLanes<T>) {
    T *p = static_cast<T*>(b.scores) + group, *dp = static_cast<T*>(dpv) + group;
    const Shifts<T> shift(b, group, logsumexp, shifts);
    const Seen seen(b, group, kLanes<T>);
    largest.begin(b.queries - group);
    each_key<T>(seen, [&](int64_t j, auto&& keep) {
      const int64_t at = j * b.step;
      const Group<T> d = load(dp + at) - shift.d;
      const Group<T> x = keep(load(p + at) * scale - shift.score, zero), e = exps<true, T>(x);
      largest.show(x);
      store(p + at, keep(e, zero));
      store(dp + at, keep(e * d * scale, zero));
    });
    zeros_from(b, seen.some, p);
    zeros_from(b, seen.some, dp);
  }
  return largest.within(T(kUsualExp));
}
template <class T>
void gradient(const ScoreBlock& b, void* dpv, QueryNumbers logsumexp, const void* shifts) {
  for (int64_t group = 0; group < b.queries; group += kLanes<T>) {
    T *p = static_cast<T*>(b.scores) + group, *dp = static_cast<T*>(dpv) + group;
    const Shifts<T> shift(b, group, logsumexp, shifts);
    const Scores<T> score(b, group);
    const Seen seen(b, group, kLanes<T>);
    const bool masked = b.mask_kind != ScoreBlock::kNone;
    Small<T> usual{T(kUsualExp)};
    each_key<T>(seen, [&](int64_t j, auto&& keep) {
      T* const at = p + j * b.step;
      const Group<T> x = score(j, at) - shift.score;
      store(at, x);
      usual.show(keep(masked ? unhidden<T>(x) : x, Group<T>{}));
    });
    by_way(usual, masked,
           [&]<int kWay>(Count<kWay>) { gradient_of<kWay>(b, seen, p, dp, shift.d); });
  }
}

// Sums of rows run in lanes, as many on each instruction set, that are joined in a fixed order.
constexpr int kRowLanes = 8;
template <class T>
inline T join_sum(T* lane) {
  for (int step = kRowLanes / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) lane[i] += lane[i + step];
  return lane[0];
}
// Sum over i of term(i).
template <class T, class F>
inline T row_sum(int64_t n, F&& term) {
  T lane[kRowLanes] = {};
  int64_t i = 0;
  for (; i + kRowLanes <= n; i += kRowLanes) {
#pragma GCC ivdep
    for (int l = 0; l < kRowLanes; ++l) lane[l] += term(i + l);
  }
  const int rest = int(n - i);
#pragma GCC ivdep
  for (int l = 0; l < rest; ++l) lane[l] += term(i + l);
  return join_sum(lane);
}
template <class T>
void dots(const RowsOf& xs, const RowsOf& ys, int64_t rows, int64_t n, QueryNumbers minus,
          void* out) {
  for (int64_t r = 0; r < rows; ++r) {
    const T *x = static_cast<const T*>(xs.data) + r * xs.row,
            *y = static_cast<const T*>(ys.data) + r * ys.row;
    const T sum =
        xs.column == 1 && ys.column == 1
            ? row_sum<T>(n, [&](int64_t i) { return x[i] * y[i]; })
            : row_sum<T>(n, [&](int64_t i) { return x[i * xs.column] * y[i * ys.column]; });
    static_cast<T*>(out)[r] = sum - static_cast<const T*>(minus.data)[r * minus.stride];
  }
}

}  // namespace

extern const AttentionLoops kAttention;
const AttentionLoops kAttention = {
    {plain_softmax<float>, plain_softmax<double>},
    {softmax<float>, softmax<double>},
    {scale<float>, scale<double>},
    {finish<float>, finish<double>},
    {plain_gradient<float>, plain_gradient<double>},
    {gradient<float>, gradient<double>},
    {dots<float>, dots<double>},
};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
