// Products of few rows: b is used once, so it is not worth packing. Part of own_gemm.cpp.
#pragma once

// Sums of all kR rows and kV vectors of columns from j on stay in registers while b is walked down:
// the wider, the longer the stretches that memory is read in. `last`: how many lanes are real of a
// single vector.
template <class T, int kR, int kV>
[[gnu::noinline]] void columns_in_place(const OwnGemm& g, int64_t j, int64_t last) {
  constexpr int kLanes = Lanes<T>::kCount;
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b) + j;
  T* c = static_cast<T*>(g.c) + j;
  const int64_t k = g.k, a_row = g.a_row, a_col = g.a_col, b_row = g.b_row, ldc = g.ldc;
  const int64_t width = kV == 1 ? last : kLanes;
  Vector<T> sum[kR][kV];
  const auto each_sum = [&](auto&& body) FB_INLINE {
    times<kR>([&](int r) FB_INLINE {
      times<kV>([&](int v) FB_INLINE { body(sum[r][v], c + r * ldc + v * kLanes); });
    });
  };
  if (g.accumulate)
    each_sum([&](Vector<T>& s, const T* at) FB_INLINE { s = load_some(at, width); });
  else
    each_sum([](Vector<T>& s, const T*) FB_INLINE { s = Vector<T>{}; });
  for (int64_t p = 0; p < k; ++p, a += a_col, b += b_row) {
    Vector<T> x[kR];
    times<kR>([&](int r) FB_INLINE { x[r] = a[r * a_row] - Vector<T>{}; });
    times<kV>([&](int v) FB_INLINE {
      const Vector<T> y = load_some(b + v * kLanes, width);
      times<kR>([&](int r) FB_INLINE { multiply_add<T>(sum[r][v], x[r], y); });
    });
  }
  each_sum([&](const Vector<T>& s, T* at) FB_INLINE { store_some(at, s, width); });
}

// All columns in stretches of at most kV vectors: f(Count<vectors>, first column, lanes that are
// real of a single vector).
template <class T, int kV, class F>
inline void in_stretches(int64_t n, int64_t j, F&& f) {
  constexpr int kLanes = Lanes<T>::kCount;
  for (; j + kV * kLanes <= n; j += kV * kLanes) f(Count<kV>{}, j, kLanes);
  if constexpr (kV > 1)
    in_stretches<T, (kV > 4 ? 4 : kV > 2 && kRegisters == 32 ? 2 : 1)>(n, j, f);
  else if (j < n)
    f(Count<kV>{}, j, n - j);
}

template <class T, int kR>
void few_rows(const OwnGemm& g) {
  // At most 12 sums, or 20 of 32 registers, beside kR elements of a and a vector of b.
  constexpr int kV = kR <= 3 ? 12 / kR : kRegisters == 32 && kR <= 5 ? 4 : 2;
  in_stretches<T, kV>(g.n, 0, [&]<int kWide>(Count<kWide>, int64_t j, int64_t last) {
    columns_in_place<T, kR, kWide>(g, j, last);
  });
}

// A row or two where b's rows are not dense: some of b at a time, packed so that they are.
template <class T, int kR>
void few_rows_packed(const OwnGemm& g) {
  constexpr int64_t kLanes = Lanes<T>::kCount, kWidth = 8 * kLanes;
  constexpr int64_t kDepth = kPackedBytes / int64_t(sizeof(T)) / kWidth;
  alignas(64) T packed[kDepth * kWidth];
  for (int64_t j = 0; j < g.n; j += kWidth) {
    const int64_t columns = g.n - j < kWidth ? g.n - j : kWidth;
    for (int64_t p = 0; p < g.k; p += kDepth) {
      const int64_t k = g.k - p < kDepth ? g.k - p : kDepth;
      const T* b = static_cast<const T*>(g.b) + p * g.b_row + j * g.b_col;
      for (int64_t q = 0; q < columns; q += kLanes, b += kLanes * g.b_col) {
        const int64_t some = columns - q < kLanes ? columns - q : kLanes;
        if (g.b_row == 1 && some == kLanes)
          turn<T, kLanes>(b, g.b_col, k, packed + q, kWidth);
        else
          for (int64_t i = 0; i < k; ++i)
            for (int64_t l = 0; l < some; ++l)
              packed[i * kWidth + q + l] = b[i * g.b_row + l * g.b_col];
      }
      const OwnGemm part{g.m,     columns,
                         k,       static_cast<const T*>(g.a) + p * g.a_col,
                         g.a_row, g.a_col,
                         packed,  kWidth,
                         1,       static_cast<T*>(g.c) + j,
                         g.ldc,   g.accumulate || p > 0,
                         nullptr};
      few_rows<T, kR>(part);
    }
  }
}

// ---- b's columns are dense: its squares are turned in registers
// ------------------------------------------------------------------------------------------------

#if defined(__AVX512F__)
// Lines of rows that are 4 KB apart share a few places of the first cache: a square is a line wide
// and read at once, and none but its own lines are on the way.
struct Turned {
  static constexpr int kColumns = 16, kTerms = 16;
  // use(i, v): lane l of v is term i of column l.
  template <class Use>
  [[gnu::always_inline]] static void each(const float* b, int64_t col, Use&& use) {
    __m512 half[2][8];
    times<8>([&](int r) FB_INLINE {
      // Below, lanes of 16 bytes come out in this order.
      const float *low = b + (r < 4 ? r : r + 4) * col, *high = low + 4 * col;
      times<2>([&](int h) FB_INLINE {
        half[h][r] = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(low + 8 * h)),
                                        _mm256_loadu_ps(high + 8 * h), 1);
      });
    });
    times<2>([&](int h) FB_INLINE {
      __m512 fours[8];
      times<2>([&](int f) FB_INLINE {
        const __m512* x = half[h] + 4 * f;
        const __m512 low0 = _mm512_unpacklo_ps(x[0], x[1]), high0 = _mm512_unpackhi_ps(x[0], x[1]),
                     low1 = _mm512_unpacklo_ps(x[2], x[3]), high1 = _mm512_unpackhi_ps(x[2], x[3]);
        fours[4 * f] = _mm512_shuffle_ps(low0, low1, 0x44);
        fours[4 * f + 1] = _mm512_shuffle_ps(low0, low1, 0xEE);
        fours[4 * f + 2] = _mm512_shuffle_ps(high0, high1, 0x44);
        fours[4 * f + 3] = _mm512_shuffle_ps(high0, high1, 0xEE);
      });
      times<4>([&](int i) FB_INLINE {
        use(8 * h + i, (Vector<float>)_mm512_shuffle_f32x4(fours[i], fours[i + 4], 0x88));
      });
      times<4>([&](int i) FB_INLINE {
        use(8 * h + 4 + i, (Vector<float>)_mm512_shuffle_f32x4(fours[i], fours[i + 4], 0xDD));
      });
    });
  }
};

// kR rows and a square's columns from j on, of which the first `known` are left alone.
template <int kR>
[[gnu::noinline]] void columns_turned(const OwnGemm& g, int64_t j, int64_t known) {
  constexpr int kTerms = Turned::kTerms, kColumns = Turned::kColumns;
  static_assert(kColumns == Lanes<float>::kCount);
  const float *a = static_cast<const float*>(g.a),
              *b = static_cast<const float*>(g.b) + j * g.b_col;
  float* c = static_cast<float*>(g.c) + j;
  const int64_t k = g.k, a_row = g.a_row, a_col = g.a_col, b_col = g.b_col, ldc = g.ldc;
  Vector<float> sum[kR];
  times<kR>([&](int r) FB_INLINE { sum[r] = g.accumulate ? load(c + r * ldc) : Vector<float>{}; });
  const auto add = [&](int64_t p, int i, const Vector<float>& y) FB_INLINE {
    times<kR>([&](int r) FB_INLINE {
      multiply_add<float>(sum[r], a[r * a_row + (p + i) * a_col] - Vector<float>{}, y);
    });
  };
  int64_t p = 0;
  for (; p + kTerms <= k; p += kTerms)
    Turned::each(b + p, b_col, [&](int i, const Vector<float>& y) FB_INLINE { add(p, i, y); });
  if (p < k) {  // a whole square, of whose terms the first are in the sums already
    const int64_t done = p - (k - kTerms);
    p = k - kTerms;
    Turned::each(b + p, b_col, [&](int i, const Vector<float>& y) FB_INLINE {
      if (i >= done) add(p, i, y);
    });
  }
  if (known == 0) {
    times<kR>([&](int r) FB_INLINE { store(c + r * ldc, sum[r]); });
  } else {
    times<kR>([&](int r) FB_INLINE {
      float all[kColumns];
      store(all, sum[r]);
      for (int64_t l = known; l < kColumns; ++l) c[r * ldc + l] = all[l];
    });
  }
}

template <int kR>
void few_rows_turned(const OwnGemm& g) {
  constexpr int64_t kColumns = Turned::kColumns;
  int64_t j = 0;
  for (; j + kColumns <= g.n; j += kColumns) columns_turned<kR>(g, j, 0);
  if (j < g.n) columns_turned<kR>(g, g.n - kColumns, kColumns - (g.n - j));
}

#elif defined(__AVX2__)
// One row and the 16 columns from j on, of which the first `known` are left alone. The sum of eight
// columns waits for itself, so two of them take turns, some terms apart: where b's columns are 4 KB
// apart, eight of their lines are all that a place of the first cache holds.
inline void columns_turned(const OwnGemm& g, int64_t j, int64_t known) {
  constexpr int64_t kLine = 16, kApart = 4 * kLine;
  const float *a = static_cast<const float*>(g.a),
              *b = static_cast<const float*>(g.b) + j * g.b_col;
  float* c = static_cast<float*>(g.c) + j;
  const int64_t b_col = g.b_col, whole = g.k / kLine * kLine;
  Vector<float> low = {}, high = {};
  if (g.accumulate) low = load(c), high = load(c + 8);
  // A line's terms but for the first `done`.
  const auto add = [&](Vector<float>& sum, const float* b, int64_t p, int64_t done) FB_INLINE {
    times<2>([&](int q) FB_INLINE {
      __m256 x[8];
      times<8>([&](int r) FB_INLINE { x[r] = _mm256_loadu_ps(b + r * b_col + p + 8 * q); });
      Square<float>::turn(x);
      times<8>([&](int i) FB_INLINE {
        if (8 * q + i >= done)
          multiply_add<float>(sum, a[p + 8 * q + i] - Vector<float>{}, (Vector<float>)x[i]);
      });
    });
  };
  for (int64_t p = 0; p < whole + kApart; p += kLine) {
    if (p < whole) add(low, b, p, 0);
    if (p >= kApart) add(high, b + 8 * b_col, p - kApart, 0);
  }
  if (whole < g.k) {  // a whole line, of whose terms the first are in the sums already
    add(low, b, g.k - kLine, whole - (g.k - kLine));
    add(high, b + 8 * b_col, g.k - kLine, whole - (g.k - kLine));
  }
  float all[16];
  store(all, low), store(all + 8, high);
  if (known == 0)
    __builtin_memcpy(c, all, sizeof all);
  else
    for (int64_t l = known; l < 16; ++l) c[l] = all[l];
}
inline void row_turned(const OwnGemm& g) {
  int64_t j = 0;
  for (; j + 16 <= g.n; j += 16) columns_turned(g, j, 0);
  if (j < g.n) columns_turned(g, g.n - 16, 16 - (g.n - j));
}
#endif

// ---- the choice
// ------------------------------------------------------------------------------------------------

// Whether the product has so few rows, and then it is done.
template <class T>
bool multiply_few_rows(const OwnGemm& g) {
  constexpr int kMost = !kFloating<T> ? 1 : kRegisters == 32 ? 8 : 5;
  if (g.b_col == 1) {
    if (g.m > kMost) return false;
    tile_of<kMost>(g.m, [&]<int kR>(Count<kR>) { few_rows<T, kR>(g); });
    return true;
  }
#if defined(__AVX512F__)
  if constexpr (__is_same(T, float)) {
    // More rows than kTall in two parts; more than kTwice are worth packing.
    constexpr int kTall = 8, kTwice = 12;
    if (g.m <= kTwice && g.b_row == 1 && g.n >= Turned::kColumns && g.k >= Turned::kTerms) {
      OwnGemm part = g;
      for (int64_t i = 0; i < g.m; i += part.m) {
        part.m = g.m <= kTall || i > 0 ? g.m - i : (g.m + 1) / 2;
        part.a = static_cast<const float*>(g.a) + i * g.a_row;
        part.c = static_cast<float*>(g.c) + i * g.ldc;
        tile_of<kTall>(part.m, [&]<int kR>(Count<kR>) { few_rows_turned<kR>(part); });
      }
      return true;
    }
  }
#elif defined(__AVX2__)
  if constexpr (__is_same(T, float))
    if (g.m == 1 && g.a_col == 1 && g.b_row == 1 && g.n >= 16 && g.k >= 16)
      return row_turned(g), true;
#endif
  if (g.m > (kFloating<T> ? 2 : 1)) return false;
  tile_of<2>(g.m, [&]<int kR>(Count<kR>) { few_rows_packed<T, kR>(g); });
  return true;
}
