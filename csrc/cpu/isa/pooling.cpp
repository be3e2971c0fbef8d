// The loops of pool_loops.h. Channels are the inner loop, some vectors of them at a time, which
// stay in registers while the entries of a window go by.
#include "cpu/pool_loops.h"

#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#endif

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#include "cpu/isa/panels.h"

// What of a window lies inside the image.
struct Entries {
  Entries(const PoolImage& p, int64_t row, int64_t col) : p(p) {
    const int64_t top = row * p.stride_h - p.pad_h, left = col * p.stride_w - p.pad_w;
    i0 = top < 0 ? 0 : top, i1 = top + p.size_h < p.h ? top + p.size_h : p.h;
    j0 = left < 0 ? 0 : left, j1 = left + p.size_w < p.w ? left + p.size_w : p.w;
  }
  int64_t count() const { return i1 > i0 && j1 > j0 ? (i1 - i0) * (j1 - j0) : 0; }
  // body(where the entry's channels begin)
  template <class Body>
  [[gnu::always_inline]] void each(Body&& body) const {
    for (int64_t i = i0; i < i1; ++i)
      for (int64_t j = j0; j < j1; ++j) body((i * p.w + j) * p.c);
  }
  const PoolImage& p;
  int64_t i0, i1, j0, j1;
};

// Calls body(Count<vectors>, window, its first channel in the results, first channel, lanes of the
// last vector) for all results of the rows.
template <class T, class Body>
inline void each_result(const PoolImage& p, int64_t begin, int64_t end, Body&& body) {
  constexpr int64_t kLanes = Lanes<T>::kCount, kVectors = 4;
  for (int64_t row = begin; row < end; ++row)
    for (int64_t col = 0; col < p.ow; ++col) {
      const Entries window(p, row, col);
      const int64_t at = (row * p.ow + col) * p.c;
      int64_t c = 0;
      for (; c + kVectors * kLanes <= p.c; c += kVectors * kLanes)
        body(Count<kVectors>{}, window, at + c, c, kLanes);
      for (; c < p.c; c += kLanes)
        body(Count<1>{}, window, at + c, c, p.c - c < kLanes ? p.c - c : kLanes);
    }
}

// kV vectors, the last of which has `last` lanes.
template <class T, int kV>
struct Block {
  Vector<T> v[kV];
  static constexpr int64_t kLanes = Lanes<T>::kCount;

  [[gnu::always_inline]] Block(const T* from, int64_t last) {
    times<kV>([&](int i) FB_INLINE {
      v[i] = i < kV - 1 ? load(from + i * kLanes) : load_some(from + i * kLanes, last);
    });
  }
  [[gnu::always_inline]] explicit Block(T all) {
    times<kV>([&](int i) FB_INLINE { v[i] = Vector<T>{} + all; });
  }
  [[gnu::always_inline]] void write(T* to, int64_t last) const {
    times<kV>([&](int i) FB_INLINE {
      i < kV - 1 ? store(to + i * kLanes, v[i]) : store_some(to + i * kLanes, v[i], last);
    });
  }
};

template <class T>
void max(const PoolImage& p, const void* x_, void* y_, int64_t begin, int64_t end) {
  const T* const x = static_cast<const T*>(x_);
  T* const y = static_cast<T*>(y_);
  each_result<T>(
      p, begin, end,
      [&]<int kV>(Count<kV>, const Entries& window, int64_t at, int64_t c, int64_t last) FB_INLINE {
        Block<T, kV> most(-T(__builtin_inf()));
        window.each([&](int64_t entry) FB_INLINE {
          const Block<T, kV> e(x + entry + c, last);
          times<kV>([&](int i) FB_INLINE {
            most.v[i] = (e.v[i] > most.v[i]) | (e.v[i] != e.v[i]) ? e.v[i] : most.v[i];
          });
        });
        most.write(y + at, last);
      });
}

template <class T>
void average(const PoolImage& p, const void* x_, void* y_, int64_t begin, int64_t end) {
  const T* const x = static_cast<const T*>(x_);
  T* const y = static_cast<T*>(y_);
  each_result<T>(p, begin, end,
                 [&]<int kV>(Count<kV>, const Entries& window, int64_t at, int64_t c, int64_t last)
                     FB_INLINE {
                       Block<T, kV> sum(T(0));
                       window.each([&](int64_t entry) FB_INLINE {
                         const Block<T, kV> e(x + entry + c, last);
                         times<kV>([&](int i) FB_INLINE { sum.v[i] += e.v[i]; });
                       });
                       const T scale = T(1) / T(window.count());
                       times<kV>([&](int i) FB_INLINE { sum.v[i] *= scale; });
                       sum.write(y + at, last);
                     });
}

// Gives a share to the entries of a window: share(what the entry holds at `entry`) each.
template <class T, int kV, class Share>
[[gnu::always_inline]] inline void give(const Entries& window, T* dx, int64_t c, int64_t last,
                                        Share&& share) {
  const bool apart = window.p.apart;
  window.each([&](int64_t entry) FB_INLINE {
    Block<T, kV> d = share(entry);
    T* const to = dx + entry + c;
    if (!apart) {
      const Block<T, kV> before(to, last);
      times<kV>([&](int i) FB_INLINE { d.v[i] = before.v[i] + d.v[i]; });
    }
    d.write(to, last);
  });
}

template <class T>
void average_gradient(const PoolImage& p, const void* dy_, void* dx_, int64_t begin, int64_t end) {
  const T* const dy = static_cast<const T*>(dy_);
  T* const dx = static_cast<T*>(dx_);
  each_result<T>(p, begin, end,
                 [&]<int kV>(Count<kV>, const Entries& window, int64_t at, int64_t c, int64_t last)
                     FB_INLINE {
                       Block<T, kV> share(dy + at, last);
                       const T scale = T(1) / T(window.count());
                       times<kV>([&](int i) FB_INLINE { share.v[i] *= scale; });
                       give<T, kV>(window, dx, c, last, [&](int64_t) FB_INLINE { return share; });
                     });
}

// `value` where x reaches the maximum y, which may be NaN, else 0.
template <class T>
[[gnu::always_inline]] inline Vector<T> where_max(Vector<T> x, Vector<T> y, Vector<T> value) {
  return (x == y) | ((x != x) & (y != y)) ? value : Vector<T>{};
}
// How many entries of the window reach its maximum.
template <class T, int kV>
[[gnu::always_inline]] inline Block<T, kV> count_maxima(const Entries& window, const T* x,
                                                        const Block<T, kV>& y, int64_t last) {
  Block<T, kV> count(T(0));
  window.each([&](int64_t entry) FB_INLINE {
    const Block<T, kV> e(x + entry, last);
    times<kV>([&](int i)
                  FB_INLINE { count.v[i] += where_max<T>(e.v[i], y.v[i], Vector<T>{} + T(1)); });
  });
  return count;
}

template <class T>
void max_gradient(const PoolImage& p, const void* x_, const void* y_, const void* dy_, void* dx_,
                  int64_t begin, int64_t end) {
  const T *x = static_cast<const T*>(x_), *dy = static_cast<const T*>(dy_);
  T* const dx = static_cast<T*>(dx_);
  each_result<T>(
      p, begin, end,
      [&]<int kV>(Count<kV>, const Entries& window, int64_t at, int64_t c, int64_t last) FB_INLINE {
        const Block<T, kV> y(static_cast<const T*>(y_) + at, last);
        Block<T, kV> share(dy + at, last);
        const Block<T, kV> count = count_maxima<T, kV>(window, x + c, y, last);
        times<kV>([&](int i) FB_INLINE { share.v[i] /= count.v[i]; });
        give<T, kV>(window, dx, c, last, [&](int64_t entry) FB_INLINE {
          Block<T, kV> d(x + entry + c, last);
          times<kV>([&](int i) FB_INLINE { d.v[i] = where_max<T>(d.v[i], y.v[i], share.v[i]); });
          return d;
        });
      });
}

template <class T>
void max_pick(const PoolImage& p, const void* x_, const void* y_, const void* g_, void* d_,
              int64_t begin, int64_t end) {
  const T *x = static_cast<const T*>(x_), *g = static_cast<const T*>(g_);
  T* const d = static_cast<T*>(d_);
  each_result<T>(
      p, begin, end,
      [&]<int kV>(Count<kV>, const Entries& window, int64_t at, int64_t c, int64_t last) FB_INLINE {
        const Block<T, kV> y(static_cast<const T*>(y_) + at, last);
        const Block<T, kV> count = count_maxima<T, kV>(window, x + c, y, last);
        Block<T, kV> sum(T(0));
        window.each([&](int64_t entry) FB_INLINE {
          const Block<T, kV> e(x + entry + c, last), seed(g + entry + c, last);
          times<kV>([&](int i) FB_INLINE { sum.v[i] += where_max<T>(e.v[i], y.v[i], seed.v[i]); });
        });
        times<kV>([&](int i) FB_INLINE { sum.v[i] /= count.v[i]; });
        sum.write(d + at, last);
      });
}

template <class T>
constexpr PoolLoops kLoopsOf = {max<T>, average<T>, average_gradient<T>, max_gradient<T>,
                                max_pick<T>};

}  // namespace

extern const PoolTable kPoolTable;
const PoolTable kPoolTable = {kLoopsOf<float>, kLoopsOf<double>};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
