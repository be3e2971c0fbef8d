// The loops of pool_loops.h. Channels are the inner loop, in stretches that stay in registers or
// the first cache.
#include "cpu/pool_loops.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

constexpr int64_t kStretch = 256;  // channels at a time

// Calls body(entry of the window) for what of the window at (row, col) lies inside the image;
// returns how many.
template <class Body>
inline int64_t each_entry(const PoolImage& p, int64_t row, int64_t col, Body&& body) {
  const int64_t top = row * p.stride_h - p.pad_h, left = col * p.stride_w - p.pad_w;
  const int64_t i0 = top < 0 ? 0 : top, i1 = top + p.size_h < p.h ? top + p.size_h : p.h;
  const int64_t j0 = left < 0 ? 0 : left, j1 = left + p.size_w < p.w ? left + p.size_w : p.w;
  for (int64_t i = i0; i < i1; ++i)
    for (int64_t j = j0; j < j1; ++j) body((i * p.w + j) * p.c);
  return i1 > i0 && j1 > j0 ? (i1 - i0) * (j1 - j0) : 0;
}

// Calls body(row, column, first channel, channels) for all results of the rows.
template <class Body>
inline void each_result(const PoolImage& p, int64_t begin, int64_t end, Body&& body) {
  for (int64_t row = begin; row < end; ++row)
    for (int64_t col = 0; col < p.ow; ++col)
      for (int64_t c = 0; c < p.c; c += kStretch)
        body(row, col, (row * p.ow + col) * p.c + c, c, p.c - c < kStretch ? p.c - c : kStretch);
}

template <class T>
void max(const PoolImage& p, const void* x_, void* y_, int64_t begin, int64_t end) {
  each_result(p, begin, end, [&](int64_t row, int64_t col, int64_t at, int64_t c, int64_t n) {
    T* __restrict y = static_cast<T*>(y_) + at;
    const T* image = static_cast<const T*>(x_) + c;
    bool first = true;
    each_entry(p, row, col, [&](int64_t entry) {
      const T* __restrict x = image + entry;
      if (first) {
        for (int64_t i = 0; i < n; ++i) y[i] = x[i];
        first = false;
      } else {
        for (int64_t i = 0; i < n; ++i) y[i] = (x[i] > y[i]) | (x[i] != x[i]) ? x[i] : y[i];
      }
    });
  });
}

template <class T>
void average(const PoolImage& p, const void* x_, void* y_, int64_t begin, int64_t end) {
  each_result(p, begin, end, [&](int64_t row, int64_t col, int64_t at, int64_t c, int64_t n) {
    T* __restrict y = static_cast<T*>(y_) + at;
    const T* image = static_cast<const T*>(x_) + c;
    for (int64_t i = 0; i < n; ++i) y[i] = T(0);
    const int64_t count = each_entry(p, row, col, [&](int64_t entry) {
      const T* __restrict x = image + entry;
      for (int64_t i = 0; i < n; ++i) y[i] += x[i];
    });
    const T scale = T(1) / T(count);
    for (int64_t i = 0; i < n; ++i) y[i] *= scale;
  });
}

template <class T>
void average_gradient(const PoolImage& p, const void* dy_, void* dx_, int64_t begin, int64_t end) {
  each_result(p, begin, end, [&](int64_t row, int64_t col, int64_t at, int64_t c, int64_t n) {
    const T* dy = static_cast<const T*>(dy_) + at;
    T share[kStretch];
    const T scale = T(1) / T(each_entry(p, row, col, [](int64_t) {}));
    for (int64_t i = 0; i < n; ++i) share[i] = dy[i] * scale;
    each_entry(p, row, col, [&](int64_t entry) {
      T* __restrict dx = static_cast<T*>(dx_) + entry + c;
      for (int64_t i = 0; i < n; ++i) dx[i] += share[i];
    });
  });
}

template <class T>
inline bool is_max(T x, T y) {
  return (x == y) | ((x != x) & (y != y));
}
// How many entries of the window reach its maximum.
template <class T>
inline void count_maxima(const PoolImage& p, int64_t row, int64_t col, const T* image, const T* y,
                         int64_t n, T* count) {
  for (int64_t i = 0; i < n; ++i) count[i] = T(0);
  each_entry(p, row, col, [&](int64_t entry) {
    const T* x = image + entry;
    for (int64_t i = 0; i < n; ++i) count[i] += is_max(x[i], y[i]) ? T(1) : T(0);
  });
}

template <class T>
void max_gradient(const PoolImage& p, const void* x_, const void* y_, const void* dy_, void* dx_,
                  int64_t begin, int64_t end) {
  each_result(p, begin, end, [&](int64_t row, int64_t col, int64_t at, int64_t c, int64_t n) {
    const T *y = static_cast<const T*>(y_) + at, *dy = static_cast<const T*>(dy_) + at;
    const T* image = static_cast<const T*>(x_) + c;
    T share[kStretch];
    count_maxima(p, row, col, image, y, n, share);
    for (int64_t i = 0; i < n; ++i) share[i] = dy[i] / share[i];
    each_entry(p, row, col, [&](int64_t entry) {
      const T* x = image + entry;
      T* __restrict dx = static_cast<T*>(dx_) + entry + c;
      for (int64_t i = 0; i < n; ++i) dx[i] += is_max(x[i], y[i]) ? share[i] : T(0);
    });
  });
}

template <class T>
void max_pick(const PoolImage& p, const void* x_, const void* y_, const void* g_, void* d_,
              int64_t begin, int64_t end) {
  each_result(p, begin, end, [&](int64_t row, int64_t col, int64_t at, int64_t c, int64_t n) {
    const T* y = static_cast<const T*>(y_) + at;
    const T* image = static_cast<const T*>(x_) + c;
    T* __restrict d = static_cast<T*>(d_) + at;
    T count[kStretch];
    count_maxima(p, row, col, image, y, n, count);
    for (int64_t i = 0; i < n; ++i) d[i] = T(0);
    each_entry(p, row, col, [&](int64_t entry) {
      const T* x = image + entry;
      const T* g = static_cast<const T*>(g_) + entry + c;
      for (int64_t i = 0; i < n; ++i) d[i] += is_max(x[i], y[i]) ? g[i] : T(0);
    });
    for (int64_t i = 0; i < n; ++i) d[i] /= count[i];
  });
}

template <class T>
constexpr PoolLoops kLoopsOf = {max<T>, average<T>, average_gradient<T>, max_gradient<T>,
                                max_pick<T>};

}  // namespace

extern const PoolTable kPoolTable;
const PoolTable kPoolTable = {kLoopsOf<float>, kLoopsOf<double>};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
