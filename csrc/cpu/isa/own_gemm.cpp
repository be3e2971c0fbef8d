// The loops of own_gemm.h. In general, panels of b, two vectors wide, are packed with zeros behind
// the last column; then some rows of a at a time meet the panel in registers. With few rows b is
// read once and in place.
#include "cpu/own_gemm.h"

#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#endif

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kRegisters = 16;
#else
constexpr int kVectorBytes = 16, kRegisters = 16;
#endif
constexpr int64_t kPanelBytes = 16 * 1024;  // half of the smallest L1
constexpr int64_t kBlockBytes = 512 * 1024;
constexpr int kSums = kRegisters / 2;  // registers that hold sums; the rest hold b and a

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

// kR rows of a times a panel of kV vectors, padded with zeros. `last`: how many lanes of the last
// vector are real.
template <class T, int kR, int kV>
inline void tile(const OwnGemm& g, const T* a, int64_t k, const T* panel, T* c, int64_t last,
                 bool accumulate) {
  constexpr int kLanes = Lanes<T>::kCount;
  Vector<T> sum[kR][kV];
  for (int r = 0; r < kR; ++r)
    for (int v = 0; v < kV; ++v) {
      if (!accumulate)
        sum[r][v] = Vector<T>{};
      else
        sum[r][v] = load_some(c + r * g.ldc + v * kLanes, v == kV - 1 ? last : kLanes);
    }
  for (int64_t p = 0; p < k; ++p, panel += kV * kLanes) {
    Vector<T> y[kV];
    for (int v = 0; v < kV; ++v) y[v] = load(panel + v * kLanes);
    for (int r = 0; r < kR; ++r) {
      const Vector<T> x = a[r * g.a_row + p * g.a_col] - Vector<T>{};
      for (int v = 0; v < kV; ++v) multiply_add<T>(sum[r][v], x, y[v]);
    }
  }
  for (int r = 0; r < kR; ++r)
    for (int v = 0; v < kV; ++v)
      store_some(c + r * g.ldc + v * kLanes, sum[r][v], v == kV - 1 ? last : kLanes);
}

// ---- general: packed panels
// -------------------------------------------------------------------------------

template <class T, int kV>
inline void all_rows(const OwnGemm& g, const T* a, int64_t k, const T* panel, T* c, int64_t last,
                     bool accumulate) {
  constexpr int kRows = kSums / kV < 8 ? kSums / kV : 8;
  int64_t i = 0;
  for (; i + kRows <= g.m; i += kRows)
    tile<T, kRows, kV>(g, a + i * g.a_row, k, panel, c + i * g.ldc, last, accumulate);
  if (kRows > 4 && i + 4 <= g.m) {
    tile<T, 4, kV>(g, a + i * g.a_row, k, panel, c + i * g.ldc, last, accumulate);
    i += 4;
  }
  if (i + 2 <= g.m) {
    tile<T, 2, kV>(g, a + i * g.a_row, k, panel, c + i * g.ldc, last, accumulate);
    i += 2;
  }
  if (i < g.m) tile<T, 1, kV>(g, a + i * g.a_row, k, panel, c + i * g.ldc, last, accumulate);
}

template <class T>
inline void pack(const T* b, int64_t row, int64_t col, int64_t k, int64_t columns, int vectors,
                 T* to) {
  constexpr int kLanes = Lanes<T>::kCount;
  if (col == 1) {
    const int64_t last = columns - (vectors - 1) * kLanes;
    for (int64_t q = 0; q < k; ++q, b += row) {
      if (vectors == 2) store(to, load(b)), to += kLanes;
      store(to, load_some(b + (vectors - 1) * kLanes, last)), to += kLanes;
    }
    return;
  }
  const int64_t width = vectors * kLanes;
  for (int64_t q = 0; q < k; ++q, to += width, b += row) {
    for (int64_t l = 0; l < columns; ++l) to[l] = b[l * col];
    for (int64_t l = columns; l < width; ++l) to[l] = T(0);
  }
}

template <class T>
void rows_by_panels(const OwnGemm& g) {
  constexpr int kLanes = Lanes<T>::kCount;
  alignas(64) T panel[kPanelBytes / sizeof(T)];
  for (int64_t j = 0; j < g.n;) {
    const int vectors = g.n - j > kLanes ? 2 : 1;
    const int64_t width = int64_t(vectors) * kLanes;
    const int64_t columns = g.n - j < width ? g.n - j : width;
    const int64_t last = columns - (vectors - 1) * kLanes;
    const int64_t depth = kPanelBytes / int64_t(sizeof(T)) / width;
    T* c = static_cast<T*>(g.c) + j;
    for (int64_t p = 0; p < g.k; p += depth) {
      const int64_t k = g.k - p < depth ? g.k - p : depth;
      pack(static_cast<const T*>(g.b) + p * g.b_row + j * g.b_col, g.b_row, g.b_col, k, columns,
           vectors, panel);
      const T* a = static_cast<const T*>(g.a) + p * g.a_col;
      const bool accumulate = g.accumulate || p > 0;
      if (vectors == 2)
        all_rows<T, 2>(g, a, k, panel, c, last, accumulate);
      else
        all_rows<T, 1>(g, a, k, panel, c, last, accumulate);
    }
    j += columns;
  }
}

// a is read once for each panel, so that its rows should stay in the second cache; packing anew for
// each block of rows costs little beside that.
template <class T>
void by_panels(const OwnGemm& in) {
  const int64_t fit = kBlockBytes / int64_t(sizeof(T)) / in.k / 8 * 8;
  const int64_t step = fit < 64 ? 64 : fit;
  for (int64_t i = 0; i < in.m; i += step) {
    OwnGemm g = in;
    g.m = in.m - i < step ? in.m - i : step;
    g.a = static_cast<const T*>(in.a) + i * in.a_row;
    g.c = static_cast<T*>(in.c) + i * in.ldc;
    rows_by_panels<T>(g);
  }
}

// ---- few rows: b is used once, so it is not worth packing
// ---------------------------------------------------

// c's rows += a's columns p .. p + kP times as many rows of b, which are read from end to end:
// memory decides here.
template <class T, int kR, int kP>
inline void add_rows(const OwnGemm& g, int64_t p, bool accumulate) {
  constexpr int kLanes = Lanes<T>::kCount;
  const T* b = static_cast<const T*>(g.b) + p * g.b_row;
  Vector<T> x[kR][kP];
  for (int r = 0; r < kR; ++r)
    for (int q = 0; q < kP; ++q)
      x[r][q] = static_cast<const T*>(g.a)[r * g.a_row + (p + q) * g.a_col] - Vector<T>{};
  for (int64_t j = 0; j < g.n; j += kLanes) {
    const int64_t real = g.n - j < kLanes ? g.n - j : kLanes;
    Vector<T> y[kP];
    for (int q = 0; q < kP; ++q) y[q] = load_some(b + q * g.b_row + j, real);
    for (int r = 0; r < kR; ++r) {
      T* c = static_cast<T*>(g.c) + r * g.ldc + j;
      Vector<T> sum = accumulate ? load_some(c, real) : Vector<T>{};
      for (int q = 0; q < kP; ++q) multiply_add<T>(sum, x[r][q], y[q]);
      store_some(c, sum, real);
    }
  }
}

template <class T, int kR>
void few_rows(const OwnGemm& g) {
  constexpr int kP = kR <= 2 ? 4 : 2;
  int64_t p = 0;
  for (; p + kP <= g.k; p += kP) add_rows<T, kR, kP>(g, p, g.accumulate || p > 0);
  for (; p < g.k; ++p) add_rows<T, kR, 1>(g, p, g.accumulate || p > 0);
}

template <class T>
inline T sum_lanes(Vector<T> v) {
  T s[Lanes<T>::kCount];
  store(s, v);
  for (int width = Lanes<T>::kCount / 2; width > 0; width /= 2)
    for (int l = 0; l < width; ++l) s[l] = s[l] + s[l + width];
  return s[0];
}

// b's columns are dense, and a's row: inner products, four columns at a time.
template <class T, int kC>
inline void dots(const T* a, const T* b, int64_t b_col, int64_t k, T* c, bool accumulate) {
  constexpr int kLanes = Lanes<T>::kCount;
  Vector<T> sum[kC][2];
  for (int j = 0; j < kC; ++j) sum[j][0] = sum[j][1] = Vector<T>{};
  int64_t p = 0;
  for (; p + 2 * kLanes <= k; p += 2 * kLanes) {
    const Vector<T> x0 = load(a + p), x1 = load(a + p + kLanes);
    for (int j = 0; j < kC; ++j) {
      multiply_add<T>(sum[j][0], x0, load(b + j * b_col + p));
      multiply_add<T>(sum[j][1], x1, load(b + j * b_col + p + kLanes));
    }
  }
  for (; p < k; p += kLanes) {
    const int64_t n = k - p < kLanes ? k - p : kLanes;
    const Vector<T> x = load_some(a + p, n);
    for (int j = 0; j < kC; ++j) multiply_add<T>(sum[j][0], x, load_some(b + j * b_col + p, n));
  }
  for (int j = 0; j < kC; ++j) {
    const T s = sum_lanes<T>(sum[j][0] + sum[j][1]);
    c[j] = accumulate ? c[j] + s : s;
  }
}
template <class T>
void inner_products(const OwnGemm& g) {
  for (int64_t i = 0; i < g.m; ++i) {
    const T* a = static_cast<const T*>(g.a) + i * g.a_row;
    T* c = static_cast<T*>(g.c) + i * g.ldc;
    int64_t j = 0;
    for (; j + 4 <= g.n; j += 4)
      dots<T, 4>(a, static_cast<const T*>(g.b) + j * g.b_col, g.b_col, g.k, c + j, g.accumulate);
    for (; j < g.n; ++j)
      dots<T, 1>(a, static_cast<const T*>(g.b) + j * g.b_col, g.b_col, g.k, c + j, g.accumulate);
  }
}

// ---- the choice, by shape and strides only
// ------------------------------------------------------------------

template <class T>
void multiply(const OwnGemm& in) {
  OwnGemm g = in;
  if (g.n == 1 && (g.m == 1 || g.ldc == 1)) {  // a column is the row of the transposed product
    g = {in.n, in.m,     in.k,     in.b, in.b_col, in.b_row,
         in.a, in.a_col, in.a_row, in.c, in.m,     in.accumulate};
  }
  if (g.k == 0) {
    if (!g.accumulate)
      for (int64_t i = 0; i < g.m; ++i)
        for (int64_t j = 0; j < g.n; ++j) static_cast<T*>(g.c)[i * g.ldc + j] = T(0);
    return;
  }
  if (g.m <= 4 && g.b_row == 1 && g.b_col != 1 && g.a_col == 1 && g.k >= Lanes<T>::kCount)
    return inner_products<T>(g);
  if (g.b_col == 1 || g.n == 1) {
    switch (g.m) {
      case 1:
        return few_rows<T, 1>(g);
      case 2:
        return few_rows<T, 2>(g);
      case 3:
        return few_rows<T, 3>(g);
      case 4:
        return few_rows<T, 4>(g);
      default:
        break;
    }
  }
  by_panels<T>(g);
}

}  // namespace

// Integers go as unsigned ones, whose overflow is defined and has the same bits.
extern const OwnGemmTable kOwnGemm;
const OwnGemmTable kOwnGemm = {multiply<float>,    multiply<double>,   multiply<uint8_t>,
                               multiply<uint16_t>, multiply<uint32_t>, multiply<uint64_t>};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
