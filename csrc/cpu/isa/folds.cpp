// Folds of dense rows, and of columns. The order of additions is fixed by the length alone: 64
// lanes (16 in short rows), a tree over the lanes, a tree over blocks of kSumBlock.
#include "cpu/isa/tables.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {
#include "cpu/scalar.h"
//
#include "cpu/isa/rows.h"

template <class T>
struct Accumulator {
  using Type = int64_t;
};
template <>
struct Accumulator<float> {
  using Type = float;
};
template <>
struct Accumulator<double> {
  using Type = double;
};

struct Add {
  template <class T>
  static constexpr T identity() {
    return T(0);
  }
  template <class T>
  static inline __attribute__((always_inline)) T join(T a, T b) {
    return a + b;
  }
};
struct Multiply {
  template <class T>
  static constexpr T identity() {
    return T(1);
  }
  template <class T>
  static inline __attribute__((always_inline)) T join(T a, T b) {
    return a * b;
  }
};
struct Max {
  template <class T>
  static inline __attribute__((always_inline)) T join(T a, T b) {
    return maximum(a, b);
  }
};
struct Min {
  template <class T>
  static inline __attribute__((always_inline)) T join(T a, T b) {
    return minimum(a, b);
  }
};

// Joins lanes[0 .. count), count a power of two, as a tree.
template <class Op, class T>
FB_SCALAR T join_lanes(T* lanes, int64_t count) {
  for (int64_t half = count / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) lanes[i] = Op::join(lanes[i], lanes[i + half]);
  return lanes[0];
}
// At most kSumBlock elements; `load(i)` gives them.
template <class Op, class A, int64_t W, class Load>
FB_SCALAR A fold_lanes(int64_t n, Load load) {
  A lanes[W];
  for (int64_t j = 0; j < W; ++j) lanes[j] = Op::template identity<A>();
  int64_t i = 0;
  for (; i + W <= n; i += W)
    for (int64_t j = 0; j < W; ++j) lanes[j] = Op::join(lanes[j], load(i + j));
  for (int64_t j = 0; i + j < n; ++j) lanes[j] = Op::join(lanes[j], load(i + j));
  return join_lanes<Op>(lanes, W);
}
template <class Op, class A, class Load>
FB_SCALAR A fold_block(int64_t n, Load load) {
  return n < 256 ? fold_lanes<Op, A, 16>(n, load) : fold_lanes<Op, A, 64>(n, load);
}
// Any number of elements: `block(first, n)` folds one block; the results are joined as a binary
// counter would.
template <class Op, class A, class Block>
FB_SCALAR A fold_blocks(int64_t n, Block block) {
  if (n <= kSumBlock) return block(0, n);
  A pending[64];
  int64_t count = 0;
  int depth = 0;
  for (int64_t i = 0; i < n; i += kSumBlock) {
    A value = block(i, n - i < kSumBlock ? n - i : kSumBlock);
    for (int64_t bit = ++count; (bit & 1) == 0; bit >>= 1)
      value = Op::join(pending[--depth], value);
    pending[depth++] = value;
  }
  A value = pending[--depth];
  while (depth > 0) value = Op::join(pending[--depth], value);
  return value;
}

template <class Op, class T>
void fold(const void* p, int64_t n, void* out) {
  using A = typename Accumulator<T>::Type;
  const T* x = static_cast<const T*>(p);
  *static_cast<A*>(out) = fold_blocks<Op, A>(n, [x](int64_t first, int64_t m) {
    const T* b = x + first;
    return fold_block<Op, A>(m, [b](int64_t i) __attribute__((always_inline)) { return A(b[i]); });
  });
}
// How many are true: in bytes for as long as these can hold it.
void count(const void* p, int64_t n, void* out) {
  constexpr int64_t W = 64, kMost = 255 * W;
  const bool* x = static_cast<const bool*>(p);
  int64_t total = 0, i = 0;
  while (n - i >= W) {
    unsigned char lanes[W] = {};
    const int64_t end = i + (n - i < kMost ? (n - i) / W * W : kMost);
    for (; i < end; i += W)
      for (int64_t j = 0; j < W; ++j) lanes[j] = (unsigned char)(lanes[j] + element(x, i + j));
    for (int64_t j = 0; j < W; ++j) total += lanes[j];
  }
  for (; i < n; ++i) total += element(x, i);
  *static_cast<int64_t*>(out) = total;
}
template <class T>
void sum_squares(const void* p, int64_t n, void* out) {
  const T* x = static_cast<const T*>(p);
  *static_cast<T*>(out) = fold_blocks<Add, T>(n, [x](int64_t first, int64_t m) {
    const T* b = x + first;
    return fold_block<Add, T>(
        m, [b](int64_t i) __attribute__((always_inline)) { return b[i] * b[i]; });
  });
}
template <class Op, class T>
T extreme_of(const T* x, int64_t n) {
  constexpr int64_t W = 64 / int64_t(sizeof(T)) * (sizeof(T) >= 4 ? 4 : 1);
  if (n < W) {
    T best = x[0];
    for (int64_t i = 1; i < n; ++i) best = Op::join(best, x[i]);
    return best;
  }
  T lanes[W];
  for (int64_t j = 0; j < W; ++j) lanes[j] = x[j];
  int64_t i = W;
  for (; i + W <= n; i += W)
    for (int64_t j = 0; j < W; ++j) lanes[j] = Op::join(lanes[j], x[i + j]);
  if (i < n) {  // the rest, and behind it what changes nothing
    T rest[W];
    for (int64_t j = 0; j < W; ++j) rest[j] = lanes[j];
    __builtin_memcpy(rest, x + i, (n - i) * int64_t(sizeof(T)));
    for (int64_t j = 0; j < W; ++j) lanes[j] = Op::join(lanes[j], rest[j]);
  }
  return join_lanes<Op>(lanes, W);
}
template <class Op, class T>
void extreme(const void* x, int64_t n, void* out) {
  *static_cast<T*>(out) = extreme_of<Op>(static_cast<const T*>(x), n);
}
// The extreme value first, then where it stands: two passes that both vectorise.
template <class Op, class T>
void index_of_extreme(const void* p, int64_t n, void* out) {
  const T* x = static_cast<const T*>(p);
  const T best = extreme_of<Op>(x, n);
  const bool nan = best != best;
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    bool found = false;
    for (int64_t j = 0; j < 64; ++j) found |= (x[i + j] == best) | (x[i + j] != x[i + j]);
    if (found) break;
  }
  for (; i < n - 1; ++i)
    if (nan ? x[i] != x[i] : x[i] == best) break;
  *static_cast<int64_t*>(out) = i;
}
template <bool all, class T>
void truth(const void* p, int64_t n, void* out) {
  const T* x = static_cast<const T*>(p);
  bool stop = false;  // an element that decides
  for (int64_t i = 0; i < n && !stop; i += 1024) {
    const int64_t m = n - i < 1024 ? n - i : 1024;
    for (int64_t j = 0; j < m; ++j) stop |= all ? x[i + j] == T(0) : x[i + j] != T(0);
  }
  *static_cast<bool*>(out) = stop != all;
}

// ---- rows side by side
constexpr int64_t kSideBySide = 16;  // rows
constexpr int64_t kShortRow = 32;    // elements: beyond, lanes along the row are as good

// kSideBySide rows of n < kShortRow elements, `load(row, i)` gives them: the lanes of
// fold_lanes<16> with one row in each place of a vector.
template <class T, class Load>
FB_SCALAR void sum_short(int64_t n, T* out, Load load) {
  T lanes[16][kSideBySide] = {};
  for (int64_t i = 0; i < n; ++i) {
    T* lane = lanes[i % 16];
    for (int64_t b = 0; b < kSideBySide; ++b) lane[b] = lane[b] + load(b, i);
  }
  for (int64_t half = 8; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i)
      for (int64_t b = 0; b < kSideBySide; ++b) lanes[i][b] = lanes[i][b] + lanes[i + half][b];
  for (int64_t b = 0; b < kSideBySide; ++b) out[b] = lanes[0][b];
}
// Sums of term(a) or term(a, b) over the elements of each row.
template <class T, class Term>
FB_SCALAR void sums_of_rows(const T* x, const T* y, int64_t rows, int64_t n, T* out, Term term) {
  int64_t r = 0;
  if (n <= kShortRow)
    for (; r + kSideBySide <= rows; r += kSideBySide) {
      const T *a = x + r * n, *c = y + r * n;
      sum_short<T>(
          n, out + r, [=](int64_t b, int64_t i) __attribute__((always_inline)) {
            return term(a[b * n + i], c[b * n + i]);
          });
    }
  for (; r < rows; ++r) {
    const T *a = x + r * n, *c = y + r * n;
    out[r] = fold_blocks<Add, T>(n, [=](int64_t first, int64_t m) {
      return fold_block<Add, T>(
          m, [=](int64_t i)
                 __attribute__((always_inline)) { return term(a[first + i], c[first + i]); });
    });
  }
}
template <class T>
void sum_rows(const void* x, const void*, int64_t rows, int64_t n, void* out) {
  const T* a = static_cast<const T*>(x);
  sums_of_rows(
      a, a, rows, n, static_cast<T*>(out), [](T v, T) __attribute__((always_inline)) { return v; });
}
template <class T>
void sum_squares_rows(const void* x, const void*, int64_t rows, int64_t n, void* out) {
  const T* a = static_cast<const T*>(x);
  sums_of_rows(
      a, a, rows, n, static_cast<T*>(out),
      [](T v, T) __attribute__((always_inline)) { return v * v; });
}
template <class T>
void dot_rows(const void* x, const void* y, int64_t rows, int64_t n, void* out) {
  sums_of_rows(
      static_cast<const T*>(x), static_cast<const T*>(y), rows, n, static_cast<T*>(out),
      [](T v, T w) __attribute__((always_inline)) { return v * w; });
}
template <class Op, class T>
void extreme_rows(const void* p, const void*, int64_t rows, int64_t n, void* to) {
  const T* x = static_cast<const T*>(p);
  T* out = static_cast<T*>(to);
  int64_t r = 0;
  if (n < kShortRow)
    for (; r + kSideBySide <= rows; r += kSideBySide) {
      const T* a = x + r * n;
      T best[kSideBySide];
      for (int64_t b = 0; b < kSideBySide; ++b) best[b] = a[b * n];
      for (int64_t i = 1; i < n; ++i)
        for (int64_t b = 0; b < kSideBySide; ++b) best[b] = Op::join(best[b], a[b * n + i]);
      for (int64_t b = 0; b < kSideBySide; ++b) out[r + b] = best[b];
    }
  for (; r < rows; ++r) out[r] = extreme_of<Op>(x + r * n, n);
}

template <class Op, class T, class A>
void columns(void* acc, const void* p, int64_t n) {
  A* a = static_cast<A*>(acc);
  const T* x = static_cast<const T*>(p);
  FB_LOOP
  for (int64_t i = 0; i < n; ++i) a[i] = Op::join(a[i], A(element(x, i)));
}
template <class T>
void mul_add_columns(void* acc, const void* p, const void* q, int64_t n) {
  T* a = static_cast<T*>(acc);
  const T *x = static_cast<const T*>(p), *y = static_cast<const T*>(q);
  FB_LOOP
  for (int64_t i = 0; i < n; ++i) a[i] = a[i] + x[i] * y[i];
}

template <class T>
constexpr FoldTable table() {
  using A = typename Accumulator<T>::Type;
  FoldTable t{};
  if constexpr (__is_same(T, bool))
    t.sum = count;
  else
    t.sum = fold<Add, T>;
  t.prod = fold<Multiply, T>;
  t.max = extreme<Max, T>;
  t.min = extreme<Min, T>;
  t.argmax = index_of_extreme<Max, T>;
  t.argmin = index_of_extreme<Min, T>;
  t.any = truth<false, T>;
  t.all = truth<true, T>;
  t.add_columns = columns<Add, T, A>;
  t.mul_columns = columns<Multiply, T, A>;
  t.max_columns = columns<Max, T, T>;
  t.min_columns = columns<Min, T, T>;
  if constexpr (kIsFloat<T>) {
    t.sum_squares = sum_squares<T>;
    t.sum_rows = sum_rows<T>;
    t.sum_squares_rows = sum_squares_rows<T>;
    t.dot_rows = dot_rows<T>;
    t.max_rows = extreme_rows<Max, T>;
    t.min_rows = extreme_rows<Min, T>;
    t.mul_add_columns = mul_add_columns<T>;
  }
  return t;
}
}  // namespace

const FoldTable kFolds[kSlots] = {table<bool>(),    table<uint8_t>(), table<int32_t>(),
                                  table<int64_t>(), table<float>(),   table<double>()};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
