// Vectors, and the panels that products read them from: what own_gemm.cpp and conv_tiles.cpp share.
// Included inside the unit's own namespace, after <immintrin.h> where the machine has it.
#pragma once

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kRegisters = 16;
#else
constexpr int kVectorBytes = 16, kRegisters = 16;
#endif

template <class T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  typedef T Loose __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
  static constexpr int kCount = kVectorBytes / int(sizeof(T));
};
template <class T>
using Vector = typename Lanes<T>::Vector;

template <class T>
inline Vector<T> load(const T* p) {
  return *reinterpret_cast<const typename Lanes<T>::Loose*>(p);
}
template <class T>
inline void store(T* p, Vector<T> v) {
  *reinterpret_cast<typename Lanes<T>::Loose*>(p) = v;
}

// The first n lanes, 0 < n <= Lanes<T>::kCount, and zeros behind; nothing past them is touched.
template <class T>
inline Vector<T> load_some(const T* p, int64_t n) {
  if (n == Lanes<T>::kCount) return load(p);
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return (Vector<T>)_mm512_maskz_loadu_epi32((1u << n) - 1, p);
  if constexpr (sizeof(T) == 8) return (Vector<T>)_mm512_maskz_loadu_epi64((1u << n) - 1, p);
#endif
#if defined(__AVX2__) && !defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vector<T>)_mm256_maskload_epi32(
        reinterpret_cast<const int*>(p),
        _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
  if constexpr (sizeof(T) == 8)
    return (Vector<T>)_mm256_maskload_epi64(
        reinterpret_cast<const long long*>(p),
        _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)));
#endif
  Vector<T> v{};
  for (int64_t l = 0; l < n; ++l) v[l] = p[l];
  return v;
}
template <class T>
inline void store_some(T* p, Vector<T> v, int64_t n) {
  if (n == Lanes<T>::kCount) return store(p, v);
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_mask_storeu_epi32(p, (1u << n) - 1, (__m512i)v);
  if constexpr (sizeof(T) == 8) return _mm512_mask_storeu_epi64(p, (1u << n) - 1, (__m512i)v);
#endif
#if defined(__AVX2__) && !defined(__AVX512F__)
  if constexpr (sizeof(T) == 4 || sizeof(T) == 8) {  // a masked store takes AMD's processors longer
    constexpr int64_t kHalf = Lanes<T>::kCount / 2;
    __m128i part = _mm256_castsi256_si128((__m256i)v);
    if (n >= kHalf) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), part);
      part = _mm256_extracti128_si256((__m256i)v, 1);
      p += kHalf, n -= kHalf;
    }
    if constexpr (sizeof(T) == 4) {
      if (n >= 2) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(p), part);
        part = _mm_unpackhi_epi64(part, part);
        p += 2, n -= 2;
      }
      if (n > 0) _mm_storeu_si32(p, part);
    } else if (n > 0) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(p), part);
    }
    return;
  }
#endif
  for (int64_t l = 0; l < n; ++l) p[l] = v[l];
}

// sum + x * y, in one rounding where the machine has it.
template <class T>
inline void multiply_add(Vector<T>& sum, Vector<T> x, Vector<T> y) {
  sum += x * y;
}
#if defined(__AVX512F__)
template <>
inline void multiply_add<float>(Vector<float>& sum, Vector<float> x, Vector<float> y) {
  sum = (Vector<float>)_mm512_fmadd_ps((__m512)x, (__m512)y, (__m512)sum);
}
template <>
inline void multiply_add<double>(Vector<double>& sum, Vector<double> x, Vector<double> y) {
  sum = (Vector<double>)_mm512_fmadd_pd((__m512d)x, (__m512d)y, (__m512d)sum);
}
#elif defined(__FMA__)
template <>
inline void multiply_add<float>(Vector<float>& sum, Vector<float> x, Vector<float> y) {
  sum = (Vector<float>)_mm256_fmadd_ps((__m256)x, (__m256)y, (__m256)sum);
}
template <>
inline void multiply_add<double>(Vector<double>& sum, Vector<double> x, Vector<double> y) {
  sum = (Vector<double>)_mm256_fmadd_pd((__m256d)x, (__m256d)y, (__m256d)sum);
}
#endif

// f(0) ... f(kN - 1), unrolled before the compiler looks: an array that is indexed by them alone
// stays in registers, whereas one loop that it unrolls too late puts all of it into memory.
#define FB_INLINE __attribute__((always_inline))
template <int kN, class F>
[[gnu::always_inline]] inline void times(F&& f) {
  if constexpr (kN > 0) {
    times<kN - 1>(f);
    f(kN - 1);
  }
}

// Rows of a factor go in tiles of at most kR. A tile's body is compiled for each number of rows,
// and gets it as a Count.
template <int kN>
struct Count {
  static constexpr int kValue = kN;
};
// body(Count<rows>), rows being at most kR.
template <int kR, class F>
inline void tile_of(int64_t rows, F&& body) {
  if (rows == kR)
    body(Count<kR>{});
  else if constexpr (kR > 1)
    tile_of<kR - 1>(rows, body);
}
// body(Count, first row) for tiles that make up `rows`: whole ones, then one or two lower ones.
template <int kR, class F>
inline void in_tiles(int64_t rows, F&& body) {
  const int64_t left = rows % kR;
  int64_t whole = rows - left, i = 0;
  // A tile of a row or two has too few sums: it shares the rows of its neighbour.
  if (whole > 0 && left > 0 && 2 * left <= kR) whole -= kR;
  for (; i < whole; i += kR) body(Count<kR>{}, i);
  int64_t rest = rows - i;
  if (rest > kR) {
    const int64_t half = (rest + 1) / 2;
    tile_of<kR>(half, [&](auto count) { body(count, i); });
    i += half, rest -= half;
  }
  if (rest > 0) tile_of<kR>(rest, [&](auto count) { body(count, i); });
}

// Sums of kRows x kV vectors, kV vectors of b and one of a are what the registers hold; 8 sums at
// least keep both multiply-add units busy. Products of integers take registers and time themselves.
template <class T>
constexpr bool kFloating = T(0.5) != T(0);
template <class T, int kV>
constexpr int kRows = !kFloating<T>                 ? 2
                      : kV == 1 || kRegisters == 32 ? 8
                                                    : 6;

// ---- packing
// ------------------------------------------------------------------------------------------------

// What is packed at once: half of the smallest first cache.
constexpr int64_t kPackedBytes = 16 * 1024;

// Squares of vectors of 32 bytes, turned in registers; for other types and machines, none.
template <class T>
struct Square {
  static constexpr int kSide = 0;
};
#if defined(__AVX2__)
template <>
struct Square<float> {
  static constexpr int kSide = 8;
  using Row = __m256;
  static Row load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Row x) { _mm256_storeu_ps(p, x); }
  static void turn(Row (&x)[8]) {
    Row pairs[8], fours[8];
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
      for (int h = 0; h < 2; ++h) {
        fours[i + 2 * h] = _mm256_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0x44);
        fours[i + 2 * h + 1] = _mm256_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0xEE);
      }
    for (int i = 0; i < 4; ++i) {
      x[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
      x[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
  }
};
template <>
struct Square<double> {
  static constexpr int kSide = 4;
  using Row = __m256d;
  static Row load(const double* p) { return _mm256_loadu_pd(p); }
  static void store(double* p, Row x) { _mm256_storeu_pd(p, x); }
  static void turn(Row (&x)[4]) {
    Row pairs[4];
    for (int i = 0; i < 4; i += 2) {
      pairs[i] = _mm256_unpacklo_pd(x[i], x[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_pd(x[i], x[i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
      x[i] = _mm256_permute2f128_pd(pairs[i], pairs[i + 2], 0x20);
      x[i + 2] = _mm256_permute2f128_pd(pairs[i], pairs[i + 2], 0x31);
    }
  }
};
#endif

// to[p * step + r] = from[r * row + p]: kRows dense rows become columns. May write up to a square's
// side past the end of a column, where the next one begins or kSlack bytes are left.
constexpr int64_t kSlack = 64;
template <class T, int kRows>
inline void turn(const T* from, int64_t row, int64_t k, T* to, int64_t step) {
  constexpr int kSide = Square<T>::kSide;
  int64_t p = 0;
  if constexpr (kSide > 0 && kRows > kSide) {
    turn<T, kRows - kSide>(from + kSide * row, row, k, to + kSide, step);
    return turn<T, kSide>(from, row, k, to, step);  // over what the other wrote too far
  } else if constexpr (kSide > 0) {
    for (; p + kSide <= k; p += kSide) {
      typename Square<T>::Row x[kSide] = {};
      for (int r = 0; r < kRows; ++r) x[r] = Square<T>::load(from + r * row + p);
      Square<T>::turn(x);
      for (int q = 0; q < kSide; ++q) Square<T>::store(to + (p + q) * step, x[q]);
    }
  }
  for (; p < k; ++p)
    for (int r = 0; r < kRows; ++r) to[p * step + r] = from[r * row + p];
}

// A panel of b: k times kV vectors, zeros behind the last column.
template <class T, int kV>
inline void pack_panel(const T* b, int64_t row, int64_t col, int64_t k, int64_t columns, T* to) {
  constexpr int kLanes = Lanes<T>::kCount, kWidth = kV * kLanes;
  if (col == 1) {
    const int64_t last = columns - (kV - 1) * kLanes;
    for (int64_t p = 0; p < k; ++p, b += row, to += kWidth) {
      if (kV == 2) store(to, load(b));
      store(to + (kV - 1) * kLanes, load_some(b + (kV - 1) * kLanes, last));
    }
  } else if (row == 1 && columns == kWidth) {
    turn<T, kWidth>(b, col, k, to, kWidth);
  } else if (constexpr int kSide = Square<T>::kSide; kSide > 0 && row == 1) {
    for (int64_t p = 0; p < k; ++p)
      for (int64_t l = columns; l < kWidth; ++l) to[p * kWidth + l] = T(0);
    int64_t l = 0;
    for (; l + kSide <= columns; l += kSide) turn<T, kSide>(b + l * col, col, k, to + l, kWidth);
    if (l < columns)
      tile_of<kSide>(columns - l, [&]<int kRest>(Count<kRest>) {
        turn<T, kRest>(b + l * col, col, k, to + l, kWidth);
      });
  } else {
    for (int64_t p = 0; p < k; ++p, b += row, to += kWidth) {
      for (int64_t l = 0; l < columns; ++l) to[l] = b[l * col];
      for (int64_t l = columns; l < kWidth; ++l) to[l] = T(0);
    }
  }
}
