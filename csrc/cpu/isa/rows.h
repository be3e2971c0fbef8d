// Rows of the elementwise table as loops: the value text of a row becomes a struct, its operands'
// strides choose the loop. Included inside the unit's own namespace, after cpu/scalar.h.
#pragma once

// Input and output may be the same memory: each element is read before it is written, so that is no
// dependency.
#if defined(__clang__)
#define FB_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define FB_LOOP _Pragma("GCC ivdep")
#endif
#pragma GCC diagnostic ignored "-Wint-in-bool-context"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wbool-operation"

template <class T>
inline constexpr int kSlotOf = -1;
template <>
inline constexpr int kSlotOf<bool> = kSlotBool;
template <>
inline constexpr int kSlotOf<uint8_t> = kSlotU8;
template <>
inline constexpr int kSlotOf<int32_t> = kSlotI32;
template <>
inline constexpr int kSlotOf<int64_t> = kSlotI64;
template <>
inline constexpr int kSlotOf<float> = kSlotF32;
template <>
inline constexpr int kSlotOf<double> = kSlotF64;

// The classes of the table, as sets of slots.
inline constexpr int kBoolean = 1 << kSlotBool,
                     kIntegral = 1 << kSlotU8 | 1 << kSlotI32 | 1 << kSlotI64;
inline constexpr int kFloating = 1 << kSlotF32 | 1 << kSlotF64,
                     kIntegralOrBool = kIntegral | kBoolean;
inline constexpr int kReal = kIntegral | kFloating, kNumeric = kReal, kAll = kNumeric | kBoolean;
inline constexpr bool kSame = false, kBool = true;

template <bool to_bool, class T>
struct ResultOf {
  using Type = T;
};
template <class T>
struct ResultOf<kBool, T> {
  using Type = bool;
};

#define UNARY(NAME, CLASS, RESULT, DOC, VALUE, ...)                     \
  struct NAME##_row {                                                   \
    static constexpr int kArity = 1, kAccepts = CLASS;                  \
    template <class T>                                                  \
    using Result = typename ResultOf<RESULT, T>::Type;                  \
    template <class T>                                                  \
    static inline __attribute__((always_inline)) Result<T> value(T x) { \
      return Result<T>(VALUE);                                          \
    }                                                                   \
  };
#define BINARY(NAME, CLASS, RESULT, DOC, VALUE, ...)                         \
  struct NAME##_row {                                                        \
    static constexpr int kArity = 2, kAccepts = CLASS;                       \
    template <class T>                                                       \
    using Result = typename ResultOf<RESULT, T>::Type;                       \
    template <class T>                                                       \
    static inline __attribute__((always_inline)) Result<T> value(T x, T y) { \
      return Result<T>(VALUE);                                               \
    }                                                                        \
  };
#define TERNARY(NAME, CLASS, RESULT, DOC, VALUE, ...)                                \
  struct NAME##_row {                                                                \
    static constexpr int kArity = 3, kAccepts = CLASS;                               \
    template <class T>                                                               \
    using Result = typename ResultOf<RESULT, T>::Type;                               \
    template <class T>                                                               \
    static inline __attribute__((always_inline)) Result<T> value(bool c, T x, T y) { \
      return Result<T>(VALUE);                                                       \
    }                                                                                \
  };
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY

// Rows whose tail is worth a detour through a padded block: a whole vector costs less than single
// elements.
template <class Row>
inline constexpr bool kHeavy = false;
#define FB_HEAVY(NAME) \
  template <>          \
  inline constexpr bool kHeavy<NAME##_row> = true
// clang-format off
FB_HEAVY(exp); FB_HEAVY(exp2); FB_HEAVY(expm1); FB_HEAVY(log); FB_HEAVY(log1p); FB_HEAVY(log2);
FB_HEAVY(log10); FB_HEAVY(sin); FB_HEAVY(cos); FB_HEAVY(tan); FB_HEAVY(asin); FB_HEAVY(acos);
FB_HEAVY(atan); FB_HEAVY(sinh); FB_HEAVY(cosh); FB_HEAVY(tanh); FB_HEAVY(asinh); FB_HEAVY(acosh);
FB_HEAVY(atanh); FB_HEAVY(erf); FB_HEAVY(erfc); FB_HEAVY(erfinv); FB_HEAVY(normal_cdf);
FB_HEAVY(sigmoid); FB_HEAVY(softplus); FB_HEAVY(silu); FB_HEAVY(silu_slope); FB_HEAVY(gelu_erf);
FB_HEAVY(gelu_erf_slope); FB_HEAVY(gelu_tanh); FB_HEAVY(gelu_tanh_gate); FB_HEAVY(gelu_tanh_slope);
FB_HEAVY(pow); FB_HEAVY(atan2); FB_HEAVY(logaddexp); FB_HEAVY(logaddexp_share);
// clang-format on
#undef FB_HEAVY

// Rows that compute in one of three ways, by the size of x (cpu/scalar/trigonometry.h): `near` and
// `far` vectorise, the row's own value, with the C library in it, does not. A block takes the
// cheapest way that holds for all of it; each element's bits depend on that element alone.
template <class Row, class T>
struct Ways {
  static constexpr bool kExist = false;
};
#define FB_WAYS(NAME, NEAR, FAR)                                                         \
  template <>                                                                            \
  struct Ways<NAME##_row, float> {                                                       \
    static constexpr bool kExist = true;                                                 \
    static inline __attribute__((always_inline)) float near(float x) { return NEAR(x); } \
    static inline __attribute__((always_inline)) float far(float x) { return FAR(x); }   \
  };
FB_WAYS(sin, sin_near, sin_far)
FB_WAYS(cos, cos_near, cos_far)
FB_WAYS(tan, tan_far, tan_far)
#undef FB_WAYS

// Elements of the stack buffers that strided operands are gathered into.
inline constexpr int64_t kBlock = 256;

template <class T>
void gather(const Operand& from, T* __restrict to, int64_t at, int64_t n) {
  const T* x = static_cast<const T*>(from.p) + at * from.stride;
  if (from.stride == 0) {
    const T value = *x;
    for (int64_t i = 0; i < n; ++i) to[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = x[i * from.stride];
  }
}

// x[i]. Booleans are read as bytes: loops over bools GCC leaves scalar.
template <class T>
inline __attribute__((always_inline)) T element(const T* x, int64_t i) {
  if constexpr (__is_same(T, bool))
    return reinterpret_cast<const unsigned char*>(x)[i] != 0;
  else
    return x[i];
}

// ---- one input --------------------------------------------------------------------------------
template <class Row, class T, class R>
void dense_unary(const T* x, R* out, int64_t n) {
  if constexpr (Ways<Row, T>::kExist) {
    for (int64_t i = 0; i < n; i += kBlock) {
      const int64_t m = n - i < kBlock ? n - i : kBlock;
      // Sizes compare like their bits, and a maximum of integers is one instruction; NaN is no
      // size.
      int largest = 0;
      for (int64_t j = 0; j < m; ++j) {
        const int b = bits(abs(x[i + j])), size = b > bits(kInf<float>) ? 0 : b;
        largest = largest < size ? size : largest;
      }
      if (largest < bits(kTrigNear)) {
        FB_LOOP
        for (int64_t j = 0; j < m; ++j) out[i + j] = Ways<Row, T>::near(x[i + j]);
      } else if (largest < bits(kTrigLimit)) {
        FB_LOOP
        for (int64_t j = 0; j < m; ++j) out[i + j] = Ways<Row, T>::far(x[i + j]);
      } else {
        for (int64_t j = 0; j < m; ++j) out[i + j] = Row::value(x[i + j]);
      }
    }
  } else if constexpr (kHeavy<Row>) {
    constexpr int64_t W = 64 / int64_t(sizeof(T));
    const int64_t whole = n & -W;
    FB_LOOP
    for (int64_t i = 0; i < whole; ++i) out[i] = Row::value(x[i]);
    if (n -= whole) {
      T a[W];
      R b[W];
      for (int64_t i = 0; i < W; ++i) a[i] = x[whole + (i < n ? i : 0)];
      for (int64_t i = 0; i < W; ++i) b[i] = Row::value(a[i]);
      for (int64_t i = 0; i < n; ++i) out[whole + i] = b[i];
    }
  } else {
    FB_LOOP
    for (int64_t i = 0; i < n; ++i) out[i] = Row::value(element(x, i));
  }
}
template <class Row, class T>
void unary(const Operand* in, void* to, int64_t n) {
  using R = typename Row::template Result<T>;
  R* out = static_cast<R*>(to);
  if (in->stride == 1) return dense_unary<Row>(static_cast<const T*>(in->p), out, n);
  T block[kBlock];
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    gather(*in, block, i, m);
    dense_unary<Row>(block, out + i, m);
  }
}

// ---- two inputs -------------------------------------------------------------------------------
// Rows with a way to the same results that vectorises and holds where `far` is 0 for both operands.
template <class Row, class T>
struct Quick {
  static constexpr bool kExist = false;
};
#define FB_QUICK(NAME, T, BITS, VALUE)                                               \
  template <>                                                                        \
  struct Quick<NAME##_row, T> {                                                      \
    static constexpr bool kExist = true;                                             \
    using Bits = BITS;                                                               \
    static inline __attribute__((always_inline)) BITS far(T x, T y) {                \
      return is_near(x, y) ? BITS(0) : BITS(1);                                      \
    }                                                                                \
    static inline __attribute__((always_inline)) T value(T x, T y) { return VALUE; } \
  };
FB_QUICK(remainder, int, int, remainder(x, y))
FB_QUICK(floor_divide, int, int, floor_divide(x, y))
#if defined(__FMA__) || defined(__aarch64__)
FB_QUICK(remainder, float, int, remainder_of(x, y, near_fmod(x, y)))
FB_QUICK(remainder, double, long, remainder_of(x, y, near_fmod(x, y)))
FB_QUICK(floor_divide, float, int, quotient_of(x, y, near_fmod(x, y)))
FB_QUICK(floor_divide, double, long, quotient_of(x, y, near_fmod(x, y)))
FB_QUICK(remainder, int64_t, long, near_remainder(x, y))
FB_QUICK(floor_divide, int64_t, long, near_floor_divide(x, y))
#endif
#undef FB_QUICK
template <class Row, class T, class R>
void dense_binary(const T* x, const T* y, R* out, int64_t n) {
  if constexpr (Quick<Row, T>::kExist) {
    using Q = Quick<Row, T>;
    for (int64_t i = 0; i < n; i += kBlock, x += kBlock, y += kBlock, out += kBlock) {
      const int64_t m = n - i < kBlock ? n - i : kBlock;
      typename Q::Bits far = 0;
      for (int64_t j = 0; j < m; ++j) far |= Q::far(x[j], y[j]);
      if (far) {
        for (int64_t j = 0; j < m; ++j) out[j] = Row::value(x[j], y[j]);
      } else {
        FB_LOOP
        for (int64_t j = 0; j < m; ++j) out[j] = Q::value(x[j], y[j]);
      }
    }
    return;
  }
  FB_LOOP
  for (int64_t i = 0; i < n; ++i) out[i] = Row::value(x[i], y[i]);
}
// Rows that are cheaper, with the same bits, where the second operand is one number throughout.
// False: not for this number.
template <class Row, class T, class R>
bool with_one_second(const T*, T, R*, int64_t) {
  return false;
}
template <class T, class F>
bool each(const T* x, T* out, int64_t n, F value) {
  FB_LOOP
  for (int64_t i = 0; i < n; ++i) out[i] = value(x[i]);
  return true;
}
template <class T>
bool power_of_all(const T* x, T y, T* out, int64_t n) {
  if (y == T(2)) return each(x, out, n, [](T v) { return square(v); });
  if (y == T(0.5)) return each(x, out, n, [](T v) { return root(v); });
  if (y == T(-1)) return each(x, out, n, [](T v) { return inverse(v); });
  if constexpr (sizeof(T) == 4) {
    if (y == T(1)) return each(x, out, n, [](T v) { return v; });
    if (y == T(3)) return each(x, out, n, [](T v) { return cube(v); });
  }
  return false;
}
template <>
[[maybe_unused]] bool with_one_second<pow_row>(const float* x, float y, float* out, int64_t n) {
  return power_of_all(x, y, out, n);
}
template <>
[[maybe_unused]] bool with_one_second<pow_row>(const double* x, double y, double* out, int64_t n) {
  return power_of_all(x, y, out, n);
}
template <class Row, class T>
void binary(const Operand* in, void* to, int64_t n) {
  using R = typename Row::template Result<T>;
  const T *x = static_cast<const T*>(in[0].p), *y = static_cast<const T*>(in[1].p);
  const int64_t s = in[0].stride, t = in[1].stride;
  R* out = static_cast<R*>(to);
  if (s == 1 && t == 1) {
    if constexpr (!kHeavy<Row>) return dense_binary<Row>(x, y, out, n);
    constexpr int64_t W = 64 / int64_t(sizeof(T));
    const int64_t whole = n & -W;
    dense_binary<Row>(x, y, out, whole);
    if (whole == n) return;
    out += whole, n -= whole;
    T a[W], b[W];
    R c[W];
    for (int64_t i = 0; i < W; ++i)
      a[i] = x[whole + (i < n ? i : 0)], b[i] = y[whole + (i < n ? i : 0)];
    dense_binary<Row>(a, b, c, W);
    for (int64_t i = 0; i < n; ++i) out[i] = c[i];
    return;
  }
  if constexpr (!kHeavy<Row> && !Quick<Row, T>::kExist) {
    if (s == 1 && t == 0) {
      const T b = *y;
      FB_LOOP
      for (int64_t i = 0; i < n; ++i) out[i] = Row::value(x[i], b);
      return;
    }
    if (s == 0 && t == 1) {
      const T a = *x;
      FB_LOOP
      for (int64_t i = 0; i < n; ++i) out[i] = Row::value(a, y[i]);
      return;
    }
  }
  if (s == 1 && t == 0 && with_one_second<Row>(x, *y, out, n)) return;
  T a[kBlock], b[kBlock];
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    if (i == 0 || s != 0) gather(in[0], a, i, m);
    if (i == 0 || t != 0) gather(in[1], b, i, m);
    dense_binary<Row>(a, b, out + i, m);
  }
}

// ---- a condition and two inputs ---------------------------------------------------------------
template <class Row, class T>
void dense_ternary(const unsigned char* c, const T* x, const T* y, T* out, int64_t n) {
  FB_LOOP
  for (int64_t i = 0; i < n; ++i) out[i] = Row::value(c[i] != 0, x[i], y[i]);
}
template <class Row, class T>
void ternary(const Operand* in, void* to, int64_t n) {
  // Conditions are read as bytes: of a bool GCC makes a branch for each element.
  const auto* c = static_cast<const unsigned char*>(in[0].p);
  const T *x = static_cast<const T*>(in[1].p), *y = static_cast<const T*>(in[2].p);
  T* out = static_cast<T*>(to);
  if (in[0].stride == 1) {
    if (in[1].stride == 1 && in[2].stride == 1) return dense_ternary<Row>(c, x, y, out, n);
    if (in[1].stride == 1 && in[2].stride == 0) {
      const T b = *y;
      FB_LOOP
      for (int64_t i = 0; i < n; ++i) out[i] = Row::value(c[i] != 0, x[i], b);
      return;
    }
    if (in[1].stride == 0 && in[2].stride == 1) {
      const T a = *x;
      FB_LOOP
      for (int64_t i = 0; i < n; ++i) out[i] = Row::value(c[i] != 0, a, y[i]);
      return;
    }
  }
  unsigned char k[kBlock];
  T a[kBlock], b[kBlock];
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    gather(in[0], k, i, m);
    gather(in[1], a, i, m);
    gather(in[2], b, i, m);
    dense_ternary<Row>(k, a, b, out + i, m);
  }
}

// The loop of a row for T if the row has `arity` inputs and accepts T, else null.
template <class Row, class T, int arity>
constexpr Loop loop_of() {
  if constexpr (Row::kArity != arity || !(Row::kAccepts >> kSlotOf<T> & 1))
    return nullptr;
  else if constexpr (arity == 1)
    return unary<Row, T>;
  else if constexpr (arity == 2)
    return binary<Row, T>;
  else
    return ternary<Row, T>;
}
