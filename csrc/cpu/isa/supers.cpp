// Super-instructions: see FLOWBOOK_SUPERS in cpu/loops.h.
#include "cpu/isa/tables.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {
#include "cpu/scalar.h"
//
#include "cpu/isa/rows.h"

// A row's value under the name that the texts use; those with the name of a scalar function are
// there already.
template <class T>
FB_SCALAR T relu(T x) {
  return relu_row::value(x);
}

#define FLOWBOOK_SUPER(NAME, ARITY, VALUE)                                \
  struct NAME##_super {                                                   \
    static constexpr int kArity = ARITY;                                  \
    template <class T>                                                    \
    static inline __attribute__((always_inline)) T value(T x, T y, T z) { \
      static_cast<void>(z);                                               \
      return VALUE;                                                       \
    }                                                                     \
  };
FLOWBOOK_SUPERS(FLOWBOOK_SUPER)
#undef FLOWBOOK_SUPER

template <class S, class T, bool X, bool Y, bool Z>
void run(const Operand* in, T* out, int64_t n) {
  const T *x = static_cast<const T*>(in[0].p), *y = static_cast<const T*>(in[1].p);
  const T* z = S::kArity == 3 ? static_cast<const T*>(in[2].p) : x;
  const T a = *x, b = *y, c = *z;
  FB_LOOP
  for (int64_t i = 0; i < n; ++i) out[i] = S::value(X ? x[i] : a, Y ? y[i] : b, Z ? z[i] : c);
}
template <class S, class T>
void super(const Operand* in, void* to, int64_t n) {
  T* out = static_cast<T*>(to);
  if (n == 0) return;
  const bool third = S::kArity == 3;
  const int64_t s = in[0].stride, t = in[1].stride, u = third ? in[2].stride : 0;
  if (((s | t | u) & ~int64_t(1)) == 0) {
    switch (s | t << 1 | u << 2) {
      case 1:
        return run<S, T, true, false, false>(in, out, n);
      case 2:
        return run<S, T, false, true, false>(in, out, n);
      case 3:
        return run<S, T, true, true, false>(in, out, n);
      case 4:
        if constexpr (S::kArity == 3)
          return run<S, T, false, false, true>(in, out, n);
        else
          break;
      case 5:
        if constexpr (S::kArity == 3)
          return run<S, T, true, false, true>(in, out, n);
        else
          break;
      case 6:
        if constexpr (S::kArity == 3)
          return run<S, T, false, true, true>(in, out, n);
        else
          break;
      case 7:
        if constexpr (S::kArity == 3)
          return run<S, T, true, true, true>(in, out, n);
        else
          break;
      default:
        break;
    }
  }
  T block[3][kBlock];
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    for (int k = 0; k < S::kArity; ++k) gather(in[k], block[k], i, m);
    const Operand dense[3] = {{block[0], 1}, {block[1], 1}, {block[2], 1}};
    if constexpr (S::kArity == 3)
      run<S, T, true, true, true>(dense, out + i, m);
    else
      run<S, T, true, true, false>(dense, out + i, m);
  }
}
}  // namespace

#define FLOWBOOK_SUPER(NAME, ARITY, VALUE) super<NAME##_super, float>,
const SuperTable kSuperF32 = {{FLOWBOOK_SUPERS(FLOWBOOK_SUPER)}};
#undef FLOWBOOK_SUPER
#define FLOWBOOK_SUPER(NAME, ARITY, VALUE) super<NAME##_super, double>,
const SuperTable kSuperF64 = {{FLOWBOOK_SUPERS(FLOWBOOK_SUPER)}};
#undef FLOWBOOK_SUPER

}  // namespace flowbook::cpu::FLOWBOOK_ISA
