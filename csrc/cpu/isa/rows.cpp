// Cross-entropy of some rows. Rows of few classes, and those whose classes lie apart, are taken
// side by side, a row in each lane: no lanes have to be joined, and one logarithm serves all rows.
// Rows of many classes run in kLanes lanes each, which are joined in a fixed order. Which way is
// taken follows from the sizes, and every vector width gives the same bits. Outputs may be their
// own inputs, element by element, which `ivdep` states.
#include "cpu/rows.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#include "cpu/isa/panels.h"
#include "cpu/scalar.h"

constexpr int kLanes = 32, kSide = int(kLossRows);

template <class T>
inline T higher(T a, T b) {  // NaN wins
  return b > a || b != b ? b : a;
}
template <class F>
inline void each(int64_t n, F&& f) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) f(i);
}
// Once for each row.
template <class F>
inline void each_row(F&& f) {
#pragma GCC ivdep
  for (int r = 0; r < kSide; ++r) f(r);
}

// ---- rows side by side
// ------------------------------------------------------------------------------------------------

// Some classes of all rows; rows that are missing are zeros.
template <class T>
struct Tile {
  static constexpr int64_t kClasses = 128;
  T at[kClasses][kSide];
  int64_t count = 0;

  void load(const LossRows& x, int64_t first) {
    count = x.classes - first < kClasses ? x.classes - first : kClasses;
    const T* from = static_cast<const T*>(x.x) + first * x.step;
    if (x.step == 1 && x.rows == kSide) return turn<T, kSide>(from, x.row, count, at[0], kSide);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t r = 0; r < x.rows; ++r) at[i][r] = from[r * x.row + i * x.step];
      for (int64_t r = x.rows; r < kSide; ++r) at[i][r] = T(0);
    }
  }
  void store(const LossRows& x, int64_t first, T* to) const {
    to += first * x.step;
    int64_t i = 0;
    if (x.step == 1)
      for (; i + 8 <= count; i += 8) turn<T, 8>(at[i], kSide, x.rows, to + i, x.row);
    for (; i < count; ++i)
      for (int64_t r = 0; r < x.rows; ++r) to[r * x.row + i * x.step] = at[i][r];
  }
};

// body(first class) with these classes in the tile; what a single tile holds is loaded once.
template <class T, class F>
inline void in_tiles_of(const LossRows& x, Tile<T>& tile, F&& body) {
  for (int64_t first = 0; first < x.classes; first += Tile<T>::kClasses) {
    if (x.classes > Tile<T>::kClasses || tile.count == 0) tile.load(x, first);
    body(first);
  }
}
// In vectors by hand: the compiler makes jumps of the comparisons.
template <class T>
inline void highest(const LossRows& x, Tile<T>& tile, T* m) {
  const auto higher_of = [](Vector<T> a, Vector<T> b) FB_INLINE { return b > a || b != b ? b : a; };
  in_tiles_of(x, tile, [&](int64_t first) {
    for (int v = 0; v < kSide; v += Lanes<T>::kCount) {
      const auto entry = [&](int64_t i) FB_INLINE { return load(&tile.at[i][v]); };
      Vector<T> most = first == 0 ? entry(0) : load(m + v);
      int64_t i = 0;
      for (; i + 4 <= tile.count; i += 4)
        most = higher_of(most, higher_of(higher_of(entry(i), entry(i + 1)),
                                         higher_of(entry(i + 2), entry(i + 3))));
      for (; i < tile.count; ++i) most = higher_of(most, entry(i));
      store(m + v, most);
    }
  });
}
// Logarithms of the sums of exp(x - m).
template <class T>
inline void log_sizes(const LossRows& x, Tile<T>& tile, const T* m, T* size) {
  each_row([&](int r) { size[r] = T(0); });
  in_tiles_of(x, tile, [&](int64_t) {
    T sum[kSide] = {};
    int64_t i = 0;
    for (; i + 2 <= tile.count; i += 2)
      each_row([&](int r) { sum[r] += exp(tile.at[i][r] - m[r]) + exp(tile.at[i + 1][r] - m[r]); });
    if (i < tile.count) each_row([&](int r) { sum[r] += exp(tile.at[i][r] - m[r]); });
    each_row([&](int r) { size[r] += sum[r]; });
  });
  each_row([&](int r) { size[r] = log(size[r]); });
}
// How far the target's logit is below the highest; 0 for missing rows.
template <class T>
inline void below(const LossRows& x, const T* m, T* to) {
  for (int64_t r = 0; r < kSide; ++r)
    to[r] =
        r < x.rows ? m[r] - static_cast<const T*>(x.x)[r * x.row + x.targets[r] * x.step] : T(0);
}

template <class T>
void losses_side_by_side(const LossRows& x, T* losses) {
  Tile<T> tile;
  T m[kSide], size[kSide], gap[kSide];
  highest(x, tile, m);
  log_sizes(x, tile, m, size);
  below(x, m, gap);
  each_row([&](int r) { size[r] += gap[r]; });
  for (int64_t r = 0; r < x.rows; ++r) losses[r] = size[r];
}
// A loss tells the sum of exponentials, which spares making it again.
template <class T>
void gradients_side_by_side(const LossRows& x, const T* losses, const T* dlosses, T* dx) {
  Tile<T> tile;
  T m[kSide], size[kSide] = {}, gap[kSide], d[kSide] = {}, right[kSide];
  highest(x, tile, m);
  below(x, m, gap);
  bool finite = true;
  for (int64_t r = 0; r < x.rows; ++r) {
    size[r] = losses[r] - gap[r], d[r] = dlosses[r];
    finite &= size[r] - size[r] == T(0);
  }
  if (!finite) {
    T again[kSide];
    log_sizes(x, tile, m, again);
    each_row([&](int r) { size[r] = size[r] - size[r] == T(0) ? size[r] : again[r]; });
  }
  each_row([&](int r) { right[r] = (exp(-gap[r] - size[r]) - T(1)) * d[r]; });
  in_tiles_of(x, tile, [&](int64_t first) {
    for (int64_t i = 0; i < tile.count; ++i)
      each_row([&](int r) { tile.at[i][r] = exp((tile.at[i][r] - m[r]) - size[r]) * d[r]; });
    tile.store(x, first, dx);
  });
  for (int64_t r = 0; r < x.rows; ++r) dx[r * x.row + x.targets[r] * x.step] = right[r];
}

// ---- rows of many classes
// ------------------------------------------------------------------------------------------------

template <class T>
inline T row_max(const T* x, int64_t n) {
  T lane[kLanes];
  for (int l = 0; l < kLanes; ++l) lane[l] = x[l];
  int64_t i = kLanes;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lane[l] = higher(lane[l], x[i + l]);
  for (int64_t l = 0; i + l < n; ++l) lane[l] = higher(lane[l], x[i + l]);
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int l = 0; l < step; ++l) lane[l] = higher(lane[l], lane[l + step]);
  return lane[0];
}
// The logarithm of the sum of exp(x - m).
template <class T>
inline T log_size(const T* x, T m, int64_t n) {
  T lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma GCC ivdep
    for (int l = 0; l < kLanes; ++l) lane[l] += exp(x[i + l] - m);
  }
  const int rest = int(n - i);
#pragma GCC ivdep
  for (int l = 0; l < rest; ++l) lane[l] += exp(x[i + l] - m);
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int l = 0; l < step; ++l) lane[l] += lane[l + step];
  return log(lane[0]);
}
template <class T>
void row_gradient(const T* x, int64_t target, T loss, T d, T* dx, int64_t n) {
  const T m = row_max(x, n);
  T size = loss - (m - x[target]);
  if (!(size - size == T(0))) size = log_size(x, m, n);
  const T right = exp((x[target] - m) - size);
  each(n, [&](int64_t i) { dx[i] = exp((x[i] - m) - size) * d; });
  dx[target] = (right - T(1)) * d;
}

// ---- the choice
// ------------------------------------------------------------------------------------------------

template <class T>
bool side_by_side(const LossRows& x) {
  return x.step != 1 || x.classes <= Tile<T>::kClasses;
}
template <class T>
void cross_entropy(const LossRows& x, void* to) {
  T* losses = static_cast<T*>(to);
  if (side_by_side<T>(x)) return losses_side_by_side(x, losses);
  for (int64_t r = 0; r < x.rows; ++r) {
    const T* row = static_cast<const T*>(x.x) + r * x.row;
    const T m = row_max(row, x.classes);
    losses[r] = log_size(row, m, x.classes) + (m - row[x.targets[r]]);
  }
}
template <class T>
void cross_entropy_gradient(const LossRows& x, const void* losses, const void* dlosses, void* to) {
  const T *loss = static_cast<const T*>(losses), *d = static_cast<const T*>(dlosses);
  T* dx = static_cast<T*>(to);
  if (side_by_side<T>(x)) return gradients_side_by_side(x, loss, d, dx);
  for (int64_t r = 0; r < x.rows; ++r)
    row_gradient(static_cast<const T*>(x.x) + r * x.row, x.targets[r], loss[r], d[r],
                 dx + r * x.row, x.classes);
}

}  // namespace

void fill_rows(RowLoops& r);
void fill_rows(RowLoops& r) {
#define PAIR(NAME) r.NAME[0] = NAME<float>, r.NAME[1] = NAME<double>;
  PAIR(cross_entropy)
  PAIR(cross_entropy_gradient)
#undef PAIR
}

}  // namespace flowbook::cpu::FLOWBOOK_ISA
