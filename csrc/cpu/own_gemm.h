// Our own matrix product, compiled per instruction set: for products too small to be worth a call
// into a provider, for vectors, for integers, and as the last resort. Takes any strides; one
// thread; how an element is summed depends on sizes and strides only. Plain declarations only: this
// header is included by the per-ISA units.
#pragma once
#include <stdint.h>

namespace flowbook::cpu {

// c[m, n] = a[m, k] b[k, n], plus what c held where `accumulate`. Strides in elements; c's rows are
// dense.
struct OwnGemm {
  int64_t m, n, k;
  const void* a;
  int64_t a_row, a_col;
  const void* b;
  int64_t b_row, b_col;
  void* c;
  int64_t ldc;
  bool accumulate;
};
using OwnGemmFunction = void (*)(const OwnGemm&);

struct OwnGemmTable {
  OwnGemmFunction f32, f64, i8, i16, i32, i64;  // integers wrap around, signed or not
};

// For this machine's instruction set.
const OwnGemmTable& own_gemm();

}  // namespace flowbook::cpu
