// The loops of own_gemm.h. In general they are those of Goto and van de Geijn (Anatomy of
// high-performance matrix multiplication, 2008), in the shape that BLIS gave them (Van Zee, van de
// Geijn, 2015): a block of a that fits the second cache meets one panel of b after the other, two
// vectors wide, which is packed into the first cache just before; a tile of c is summed in
// registers. The block of a is packed where many panels meet it, and read in place elsewhere. With
// few rows b is read once and in place.
//
// How an element of c is summed follows from the product's sizes alone, wherever blocks and tiles
// end and however its operands lie: one chain of multiply-adds in the order of k, or lanes where
// there is one column.
#include "cpu/own_gemm.h"

#if defined(__AVX512F__) || defined(__FMA__)
#if !defined(__clang__)  // GCC's own functions of 512 bits start from registers without a value
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#endif

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#include "cpu/isa/panels.h"

#include "cpu/isa/few_rows.h"

// Wide vectors take few of a panel's bytes at a time: where many rows meet it, the second cache
// gives them fast enough.
constexpr int64_t kPanelBytes = (kVectorBytes == 64 ? 2 : 1) * kPackedBytes;
constexpr int64_t kManyRows = 64;
template <class T>
constexpr int64_t kDepth = kPanelBytes / int64_t(sizeof(T)) / (2 * Lanes<T>::kCount);

// A block of rows of a that meets a panel of b.
template <class T>
struct Meeting {
  int64_t a_row, a_col;  // strides of a
  int64_t k;
  const T* panel;  // kV vectors for each of k, zeros behind the last column
  int64_t last;    // how many lanes of the last vector are real
  int64_t ldc;
  bool accumulate;
  const T* next = nullptr;  // a column of b's next panel, to be fetched meanwhile
  int64_t next_row = 0, next_k = 0;
};

// kR rows of a times the panel. `kPacked`: a's rows lie in steps of 1, its columns in steps of kR.
// Not inlined: among its callers' variables the inner loop would run out of registers.
template <class T, int kR, int kV, bool kPacked>
[[gnu::noinline]] void tile(const Meeting<T>& m, const T* a, T* c) {
  constexpr int kLanes = Lanes<T>::kCount;
  const int64_t row = kPacked ? 1 : m.a_row, col = kPacked ? kR : m.a_col;
  const int64_t k = m.k, ldc = m.ldc, last = m.last;
  const T* panel = m.panel;
  Vector<T> sum[kR][kV];
  // body(sum, where it lies in c, how many of its lanes are real)
  const auto each_sum = [&](auto&& body) FB_INLINE {
    times<kR>([&](int r) FB_INLINE {
      times<kV>([&](int v) FB_INLINE {
        body(sum[r][v], c + r * ldc + v * kLanes, v == kV - 1 ? last : kLanes);
      });
    });
  };
  if (m.accumulate)
    each_sum([](Vector<T>& s, const T* at, int64_t n) FB_INLINE { s = load_some(at, n); });
  else
    each_sum([](Vector<T>& s, const T*, int64_t) FB_INLINE { s = Vector<T>{}; });
  for (int64_t p = 0; p < k; ++p, panel += kV * kLanes, a += col) {
    Vector<T> y[kV];
    times<kV>([&](int v) FB_INLINE { y[v] = load(panel + v * kLanes); });
    times<kR>([&](int r) FB_INLINE {
      const Vector<T> x = a[r * row] - Vector<T>{};
      times<kV>([&](int v) FB_INLINE { multiply_add<T>(sum[r][v], x, y[v]); });
    });
  }
  if (last == kLanes)
    each_sum([](const Vector<T>& s, T* at, int64_t) FB_INLINE { store(at, s); });
  else
    each_sum([](const Vector<T>& s, T* at, int64_t n) FB_INLINE { store_some(at, s, n); });
}

// kR rows of a, one step of k after the other.
template <class T, int kR>
inline void pack_tile(const T* a, int64_t row, int64_t col, int64_t k, T* to) {
  if (col == 1)
    turn<T, kR>(a, row, k, to, kR);
  else if (row == 1)
    for (int64_t p = 0; p < k; ++p) __builtin_memcpy(to + p * kR, a + p * col, kR * sizeof(T));
  else
    for (int64_t p = 0; p < k; ++p)
      for (int r = 0; r < kR; ++r) to[p * kR + r] = a[r * row + p * col];
}
// Bytes of a step of k in a tile of kR rows, and as whole vectors.
template <class T, int kR>
inline constexpr int64_t kStepBytes = kR * sizeof(T);
template <class T, int kR>
inline constexpr int64_t kStepCopied = (kStepBytes<T, kR> + 15) / 16 * 16;

// kTiles tiles side by side of a whose columns are dense, so that each line of a is fetched once. A
// step of k is copied as whole vectors, over the one that comes next; the last one is not.
template <class T, int kR, int kTiles>
inline void pack_tiles_across(const T* a, int64_t col, int64_t k, T* to) {
  constexpr int64_t kLine = 64 / sizeof(T), kAhead = 8;
  constexpr int64_t kBytes = kStepBytes<T, kR>, kCopied = kStepCopied<T, kR>;
  static_assert(kCopied <= 2 * kBytes);
  for (int64_t p = 0; p + 1 < k; ++p) {
    const T* const from = a + p * col;
    for (int64_t l = 0; l < kTiles * kR; l += kLine) __builtin_prefetch(from + kAhead * col + l);
    times<kTiles>([&](int t) FB_INLINE {
      __builtin_memcpy(to + t * k * kR + p * kR, from + t * kR, kCopied);
    });
  }
  times<kTiles>([&](int t) FB_INLINE {
    __builtin_memcpy(to + t * k * kR + (k - 1) * kR, a + (k - 1) * col + t * kR, kBytes);
  });
}
// A block of a as its tiles read it.
template <class T, int kWhole>
inline void pack_block(const T* a, int64_t row, int64_t col, int64_t rows, int64_t k, T* to) {
  int64_t begin = 0;
  // Steps of short integers are less than half a vector: they would be copied over other tiles.
  if constexpr (kStepCopied<T, kWhole> <= 2 * kStepBytes<T, kWhole>) {
    if (row == 1) {
      constexpr int kTogether = 8;
      // What is read too far lies in the two tiles that are left.
      for (; begin + (kTogether + 2) * kWhole <= rows; begin += kTogether * kWhole)
        pack_tiles_across<T, kWhole, kTogether>(a + begin, col, k, to + begin * k);
      for (; begin + 3 * kWhole <= rows; begin += kWhole)
        pack_tiles_across<T, kWhole, 1>(a + begin, col, k, to + begin * k);
    }
  }
  in_tiles<kWhole>(rows - begin, [&]<int kR>(Count<kR>, int64_t i) {
    pack_tile<T, kR>(a + (begin + i) * row, row, col, k, to + (begin + i) * k);
  });
}

// ---- general: panels of b meet blocks of a
// ------------------------------------------------------------------------------------------------

// `packed` has the block's tiles, or is null.
template <class T, int kV>
inline void all_rows(const Meeting<T>& m, const T* a, const T* packed, int64_t rows, T* c) {
  constexpr int kWhole = kRows<T, kV>;
  int64_t fetched = 0;
  const int64_t share = m.next_k / (rows / kWhole + 1) + 1;
  in_tiles<kWhole>(rows, [&]<int kR>(Count<kR>, int64_t i) {
    // b's rows lie far apart, where the machine does not foresee them.
    for (int64_t end = fetched + share; fetched < m.next_k && fetched < end; ++fetched)
      __builtin_prefetch(m.next + fetched * m.next_row);
    if (!packed) {
      tile<T, kR, kV, false>(m, a + i * m.a_row, c + i * m.ldc);
    } else if constexpr (kR == kWhole && kV == 2) {
      tile<T, kR, kV, true>(m, packed + i * m.k, c + i * m.ldc);
    } else {  // the few lower tiles at the end don't deserve code of their own
      Meeting<T> lower = m;
      lower.a_row = 1, lower.a_col = kR;
      tile<T, kR, kV, false>(lower, packed + i * m.k, c + i * m.ldc);
    }
  });
}

template <class T>
void by_panels(const OwnGemm& g) {
  constexpr int64_t kLanes = Lanes<T>::kCount, kWidth = 2 * kLanes;
  // As many rows as a block holds meet a panel of b once it is packed, but not more than kTall.
  constexpr int64_t kBlock = (kOwnGemmScratch - kSlack) / int64_t(sizeof(T)), kTall = 384;
  // Tiles that were packed before are as deep as they are.
  const int64_t deep =
      g.tiles || g.m >= kManyRows ? kDepth<T> : kDepth<T> * kPackedBytes / kPanelBytes;
  const auto depth = [&](int64_t p) { return g.k - p < deep ? g.k - p : deep; };
  const int64_t fits = kBlock / depth(0) / 24 * 24;
  const int64_t tall = g.tiles ? g.m : fits < kTall ? fits : kTall;
  alignas(64) T panel[kPanelBytes / sizeof(T)];
  T* const scratch = static_cast<T*>(g.scratch);
  const T* const panels = static_cast<const T*>(g.panels);
  const T* const tiles = static_cast<const T*>(g.tiles);
  for (int64_t i = 0; i < g.m; i += tall) {
    const int64_t rows = g.m - i < tall ? g.m - i : tall;
    for (int64_t p = 0; p < g.k; p += deep) {
      const int64_t k = depth(p);
      const T* a = static_cast<const T*>(g.a) + i * g.a_row + p * g.a_col;
      const T* const packed = tiles ? tiles + own_tiles_at(g.m, p) : scratch;
      if (scratch && !tiles) pack_block<T, kRows<T, 2>>(a, g.a_row, g.a_col, rows, k, scratch);
      Meeting<T> m{g.a_row, g.a_col, k, panel, 0, g.ldc, g.accumulate || p > 0};
      for (int64_t j = 0; j < g.n; j += kWidth) {
        const int64_t columns = g.n - j < kWidth ? g.n - j : kWidth;
        const T* b = static_cast<const T*>(g.b) + p * g.b_row + j * g.b_col;
        T* c = static_cast<T*>(g.c) + i * g.ldc + j;
        const int64_t after = g.n - j - columns < kWidth ? g.n - j - columns : kWidth;
        m.next_k = 0;
        if (panels) {
          m.panel = panels + j * g.k + p * (columns > kLanes ? kWidth : kLanes);
          m.next_row = after > kLanes ? kWidth : kLanes;
          m.next = panels + (j + kWidth) * g.k + p * m.next_row;
          if (after > 0) m.next_k = k;
        } else if (g.b_col == 1) {
          m.next_row = g.b_row;
          m.next = b + columns + after - 1, m.next_k = k;
          if (after == 0) {  // the first panel of the terms that follow
            m.next = b - j + k * g.b_row + (g.n < kWidth ? g.n : kWidth) - 1;
            m.next_k = p + k < g.k ? depth(p + k) : 0;
          }
        }
        if (columns > kLanes) {
          m.last = columns - kLanes;
          if (!panels) pack_panel<T, 2>(b, g.b_row, g.b_col, k, columns, panel);
          all_rows<T, 2>(m, a, packed, rows, c);
        } else {
          m.last = columns;
          if (!panels) pack_panel<T, 1>(b, g.b_row, g.b_col, k, columns, panel);
          all_rows<T, 1>(m, a, nullptr, rows, c);
        }
      }
    }
  }
}

template <class T>
void turn_all(const OwnTurn& g) {
  constexpr int kSide = Square<T>::kSide > 0 ? Square<T>::kSide : 8;
  const T* from = static_cast<const T*>(g.from);
  T* to = static_cast<T*>(g.to);
  int64_t i = 0;
  for (; i + kSide <= g.rows; i += kSide)
    turn<T, kSide>(from + i * g.from_row, g.from_row, g.columns, to + i, g.to_row);
  for (; i < g.rows; ++i)
    for (int64_t j = 0; j < g.columns; ++j) to[j * g.to_row + i] = from[i * g.from_row + j];
}

// ---- rows that fill a vector or two, b's columns dense: the transpose of the product
// ------------------------------------------------------------------------------------------------

// a is what is packed, all rows a panel, and b's columns are rows that are read in place.
template <class T, int kV>
void by_columns(const OwnGemm& g) {
  constexpr int64_t kWidth = kV * Lanes<T>::kCount,
                    kDeep = kPanelBytes / int64_t(sizeof(T)) / kWidth;
  constexpr int64_t kTall = 256;  // of b's columns at a time
  alignas(64) T panel[kDeep * kWidth + kSlack / sizeof(T)], results[kTall * kWidth];
  for (int64_t j = 0; j < g.n; j += kTall) {
    const int64_t columns = g.n - j < kTall ? g.n - j : kTall;
    for (int64_t p = 0; p < g.k; p += kDeep) {
      const int64_t k = g.k - p < kDeep ? g.k - p : kDeep;
      pack_panel<T, kV>(static_cast<const T*>(g.a) + p * g.a_col, g.a_col, g.a_row, k, g.m, panel);
      const Meeting<T> m{g.b_col, 1, k, panel, Lanes<T>::kCount, kWidth, p > 0};
      all_rows<T, kV>(m, static_cast<const T*>(g.b) + j * g.b_col + p, nullptr, columns, results);
    }
    turn_all<T>({columns, g.m, results, kWidth, static_cast<T*>(g.c) + j, g.ldc});
  }
}
template <class T>
bool multiply_by_columns(const OwnGemm& g) {
  // Vectors that are full but for a sixteenth; one of 32 bytes does not feed the machine.
  constexpr int64_t kOne = Lanes<T>::kCount, kTwo = 2 * kOne, kColumns = 64;
  if (g.b_row != 1 || g.b_col == 1 || g.n < kColumns) return false;
  if (g.accumulate || g.panels || g.tiles) return false;
  const auto fills = [&](int64_t width) {
    return g.m <= width && g.m >= width - (width + 15) / 16;
  };
  if (fills(kTwo)) return by_columns<T, 2>(g), true;
  if (kVectorBytes == 64 && fills(kOne)) return by_columns<T, 1>(g), true;
  return false;
}

// ---- panels that were packed before
// ------------------------------------------------------------------------------------------------

template <class T>
void pack_all(const OwnPanels& g) {
  constexpr int64_t kLanes = Lanes<T>::kCount, kWidth = 2 * kLanes;
  const T* b = static_cast<const T*>(g.b);
  T* to = static_cast<T*>(g.to);
  for (int64_t j = 0; j < g.n; j += kWidth, b += kWidth * g.b_col, to += kWidth * g.k) {
    const int64_t columns = g.n - j < kWidth ? g.n - j : kWidth;
    if (columns > kLanes)
      pack_panel<T, 2>(b, g.b_row, g.b_col, g.k, columns, to);
    else
      pack_panel<T, 1>(b, g.b_row, g.b_col, g.k, columns, to);
  }
}

template <class T>
void pack_all_left(const OwnTiles& g) {
  static_assert(kOwnTilesDepth % kDepth<T> == 0);
  const T* a = static_cast<const T*>(g.a);
  for (int64_t p = 0; p < g.k; p += kDepth<T>) {
    const int64_t k = g.k - p < kDepth<T> ? g.k - p : kDepth<T>;
    T* const to = static_cast<T*>(g.to) + own_tiles_at(g.m, p);
    pack_block<T, kRows<T, 2>>(a + p * g.a_col, g.a_row, g.a_col, g.m, k, to);
  }
}

// The rows from `first` on, at most a tile, times rows [begin, end) of the panel.
template <class T, int kV>
inline void meet_terms(const OwnPanelProduct& g, const T* panel, int64_t j, int64_t columns,
                       int64_t first, int64_t rows, int64_t begin, int64_t end, bool accumulate) {
  constexpr int64_t kLanes = Lanes<T>::kCount;
  const T* a = static_cast<const T*>(g.a) + first * g.a_row + begin * g.a_col;
  T* c = static_cast<T*>(g.c) + first * g.ldc + j;
  const Meeting<T> m{
      g.a_row, g.a_col,   end - begin, panel + begin * kV * kLanes, columns - (kV - 1) * kLanes,
      g.ldc,   accumulate};
  tile_of<kRows<T, kV>>(rows, [&]<int kR>(Count<kR>) { tile<T, kR, kV, false>(m, a, c); });
}
template <class T, int kV>
inline void meet_panel(const OwnPanelProduct& g, const T* panel, int64_t j, int64_t columns) {
  constexpr int kR = kRows<T, kV>;
  static_assert(kR <= kOwnTileRows);
  const auto within = [&](int64_t term) { return term < 0 ? 0 : term < g.k ? term : g.k; };
  const auto begin = [&](int64_t row) { return within(row + g.band.k_begin); };
  const auto end = [&](int64_t row) { return within(row + g.band.k_end); };
  const auto meet = [&](int64_t first, int64_t rows, int64_t from, int64_t to, bool accumulate) {
    meet_terms<T, kV>(g, panel, j, columns, first, rows, from, to < from ? from : to, accumulate);
  };
  const int64_t see = j + columns - g.band.column_begin;  // rows that have columns in this panel
  const int64_t end_row = see < g.m ? see : g.m;
  for (int64_t i = 0, rows; i < end_row; i += rows) {
    rows = end_row - i;
    if (rows > kR) rows = 2 * rows <= 3 * kR ? (rows + 1) / 2 : kR;  // none of a row or two
    const int64_t last = i + rows - 1;
    if (!g.band.exact) {
      meet(i, rows, begin(i), end(last), g.accumulate);
      continue;
    }
    // What all rows have is a tile; before and behind it each row is by itself.
    const int64_t from = begin(last), to = end(i) < from ? from : end(i);
    for (int64_t r = i; r <= last; ++r)
      meet(r, 1, begin(r), end(r) < from ? end(r) : from, g.accumulate);
    meet(i, rows, from, to, true);
    for (int64_t r = i; r <= last; ++r) meet(r, 1, to, end(r), true);
  }
}
template <class T>
void multiply_panels(const OwnPanelProduct& g) {
  constexpr int64_t kLanes = Lanes<T>::kCount, kWidth = 2 * kLanes;
  const T* panel = static_cast<const T*>(g.panels);
  for (int64_t j = 0; j < g.n; j += kWidth, panel += kWidth * g.k) {
    const int64_t columns = g.n - j < kWidth ? g.n - j : kWidth;
    if (columns > kLanes)
      meet_panel<T, 2>(g, panel, j, columns);
    else
      meet_panel<T, 1>(g, panel, j, columns);
  }
}

// ---- one column, as the row of the transposed product: sums in lanes
// ------------------------------------------------------------------------------------------------

// One chain would be too long. Term p belongs to lane p mod kSumLanes, on every instruction set;
// halves of the lanes are added until one is left. Vectors hold the lanes of one column where b's
// columns are read, and one lane of several columns where its rows are.
template <class T>
constexpr int kSumLanes = 64 / int(sizeof(T));
template <class T>
constexpr int kSumVectors = kSumLanes<T> / Lanes<T>::kCount;

template <class T>
inline T sum_lanes(Vector<T> (&v)[kSumVectors<T>]) {
  for (int half = kSumVectors<T> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) v[i] = v[i] + v[i + half];
  T s[Lanes<T>::kCount];
  store(s, v[0]);
  for (int width = Lanes<T>::kCount / 2; width > 0; width /= 2)
    for (int l = 0; l < width; ++l) s[l] = s[l] + s[l + width];
  return s[0];
}

// Terms [0, k) of kC inner products; k is a multiple of kSumLanes unless they are the last ones.
template <class T, int kC>
[[gnu::always_inline]] inline void add_terms(Vector<T> (&sum)[kC][kSumVectors<T>], const T* a,
                                             const T* b, int64_t b_col, int64_t k) {
  constexpr int kLanes = Lanes<T>::kCount, kV = kSumVectors<T>;
  int64_t p = 0;
  for (; p + kSumLanes<T> <= k; p += kSumLanes<T>) {
    Vector<T> x[kV];
    times<kV>([&](int v) FB_INLINE { x[v] = load(a + p + v * kLanes); });
    times<kC>([&](int j) FB_INLINE {
      times<kV>([&](int v) FB_INLINE {
        multiply_add<T>(sum[j][v], x[v], load(b + j * b_col + p + v * kLanes));
      });
    });
  }
  times<kV>([&](int v) FB_INLINE {
    if (p >= k) return;
    const int64_t n = k - p < kLanes ? k - p : kLanes;
    const Vector<T> x = load_some(a + p, n);
    times<kC>([&](int j)
                  FB_INLINE { multiply_add<T>(sum[j][v], x, load_some(b + j * b_col + p, n)); });
    p += kLanes;
  });
}

// kC columns of a row of c. A row of a or columns of b that are not dense are gathered in pieces.
template <class T, int kC>
inline void dots(const OwnGemm& g, const T* a, const T* b, T* c) {
  constexpr int64_t kPiece = 4 * kSumLanes<T>;
  T room[kC + 1][kPiece];
  const auto gather = [](const T* from, int64_t step, int64_t n, T* to) {
    for (int64_t p = 0; p < n; ++p) to[p] = from[p * step];
  };
  Vector<T> sum[kC][kSumVectors<T>];
  times<kC>([&](int j) FB_INLINE {
    times<kSumVectors<T>>([&](int v) FB_INLINE { sum[j][v] = Vector<T>{}; });
  });
  const int64_t piece = g.a_col == 1 && g.b_row == 1 ? g.k : kPiece;
  for (int64_t p = 0; p < g.k; p += piece) {
    const int64_t n = g.k - p < piece ? g.k - p : piece;
    const T *x = a + p * g.a_col, *y = b + p * g.b_row;
    int64_t column = g.b_col;
    if (g.a_col != 1) {
      gather(x, g.a_col, n, room[kC]);
      x = room[kC];
    }
    if (g.b_row != 1) {
      for (int j = 0; j < kC; ++j) gather(y + j * g.b_col, g.b_row, n, room[j]);
      y = room[0], column = kPiece;
    }
    add_terms<T, kC>(sum, x, y, column, n);
  }
  times<kC>([&](int j) FB_INLINE {
    const T s = sum_lanes<T>(sum[j]);
    c[j] = g.accumulate ? c[j] + s : s;
  });
}
template <class T, int kC>
inline void columns_from(const OwnGemm& g, int64_t j) {
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b);
  T* c = static_cast<T*>(g.c);
  for (; j + kC <= g.n; j += kC) dots<T, kC>(g, a, b + j * g.b_col, c + j);
  if constexpr (kC > 1) columns_from<T, kC / 2>(g, j);
}
template <class T>
void lanes_along_columns(const OwnGemm& g) {
  columns_from<T, 8 / kSumVectors<T>>(g, 0);  // eight sums hide the time that an addition takes
}

// The same sums where b's rows are dense, for kV vectors of columns from j on: lane after lane,
// some rows at a time, so that few pages are at work and lines that lanes share stay in the first
// cache.
template <class T, int kV>
[[gnu::noinline]] void lanes_of_columns(const OwnGemm& g, int64_t j, int64_t last) {
  constexpr int64_t kLanes = Lanes<T>::kCount, kAll = kSumLanes<T>, kTogether = 4 * kAll;
  const int64_t k = g.k, whole = k / kAll * kAll, width = kV == 1 ? last : kLanes;
  Vector<T> lane[kAll][kV];
  // Adds the terms p, p + step, ... before `end`.
  const auto add = [&](int64_t l, int64_t p, int64_t end, int64_t step) FB_INLINE {
    Vector<T> sum[kV];
    times<kV>([&](int v) FB_INLINE { sum[v] = lane[l][v]; });
    const T *a = static_cast<const T*>(g.a) + p * g.a_col,
            *b = static_cast<const T*>(g.b) + p * g.b_row + j;
    const int64_t a_step = step * g.a_col, b_step = step * g.b_row;
    for (; p < end; p += step, a += a_step, b += b_step) {
      const Vector<T> x = *a - Vector<T>{};
      times<kV>([&](int v)
                    FB_INLINE { multiply_add<T>(sum[v], x, load_some(b + v * kLanes, width)); });
    }
    times<kV>([&](int v) FB_INLINE { lane[l][v] = sum[v]; });
  };
  const int64_t used = whole > 0 ? kAll : k;  // others would be zeros
  for (int64_t l = 0; l == 0 || l < used; ++l)
    times<kV>([&](int v) FB_INLINE { lane[l][v] = Vector<T>{}; });
  for (int64_t p = 0; p < whole; p += kTogether)
    for (int64_t l = 0; l < kAll; ++l)
      add(l, p + l, whole - p < kTogether ? whole : p + kTogether, kAll);
  for (int64_t l = 0; whole + l < k; ++l) add(l, whole + l, k, kAll);
  for (int64_t half = kAll / 2; half > 0; half /= 2)
    for (int64_t l = 0; l < half && l + half < used; ++l)
      times<kV>([&](int v) FB_INLINE { lane[l][v] = lane[l][v] + lane[l + half][v]; });
  T* const c = static_cast<T*>(g.c) + j;
  times<kV>([&](int v) FB_INLINE {
    T* const at = c + v * kLanes;
    const Vector<T> s = lane[0][v];
    store_some(at, g.accumulate ? load_some(at, width) + s : s, width);
  });
}
template <class T>
void lanes_along_rows(const OwnGemm& g) {
  in_stretches<T, 8>(g.n, 0, [&]<int kV>(Count<kV>, int64_t j, int64_t last) {
    lanes_of_columns<T, kV>(g, j, last);
  });
}

// ---- the choice; strides decide how the sums are made, never in which order
// ------------------------------------------------------------------------------------------------

template <class T>
void multiply(const OwnGemm& g) {
  if (g.k == 0) {
    if (!g.accumulate)
      for (int64_t i = 0; i < g.m; ++i)
        for (int64_t j = 0; j < g.n; ++j) static_cast<T*>(g.c)[i * g.ldc + j] = T(0);
    return;
  }
  if (g.n == 1 && (g.m == 1 || g.ldc == 1)) {  // a block of one column has longer rows below it
    const OwnGemm row{1,       g.m, g.k, g.b,          0,      g.b_row, g.a, g.a_col,
                      g.a_row, g.c, g.m, g.accumulate, nullptr};
    if (g.a_row == 1 && g.m > 1) return lanes_along_rows<T>(row);
    return lanes_along_columns<T>(row);
  }
  if constexpr (kFloating<T> && Square<T>::kSide > 0)
    if (multiply_by_columns<T>(g)) return;
  if (multiply_few_rows<T>(g)) return;
  by_panels<T>(g);
}

}  // namespace

// Integers go as unsigned ones, whose overflow is defined and has the same bits.
extern const OwnGemmTable kOwnGemm;
const OwnGemmTable kOwnGemm = {multiply<float>,
                               multiply<double>,
                               multiply<uint8_t>,
                               multiply<uint16_t>,
                               multiply<uint32_t>,
                               multiply<uint64_t>,
                               {pack_all<float>, pack_all<double>},
                               {pack_all_left<float>, pack_all_left<double>},
                               {turn_all<float>, turn_all<double>},
                               {multiply_panels<float>, multiply_panels<double>}};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
