// Our own matrix product, compiled per instruction set: for all products where there is no faster
// library (providers.h), and everywhere for small ones, vectors and integers. Takes any strides;
// one thread; how an element is summed depends on sizes and strides only. Plain declarations only:
// this header is included by the per-ISA units.
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
  void* scratch;  // kOwnGemmScratch bytes where `own_gemm_wants_scratch`, or null
};

// A block of a, packed: 192 KB, what the second cache of the smallest machines can hold.
inline constexpr int64_t kOwnGemmScratch = 192 * 1024 + 64;
// Packing pays where a block of a meets many panels of b (measured: 16 of them).
inline bool own_gemm_wants_scratch(int64_t m, int64_t n, int64_t element_size) {
  return m >= 24 && n * element_size >= 1024;
}

using OwnGemmFunction = void (*)(const OwnGemm&);

struct OwnGemmTable {
  OwnGemmFunction f32, f64, i8, i16, i32, i64;  // integers wrap around, signed or not
};

// For this machine's instruction set.
const OwnGemmTable& own_gemm();

}  // namespace flowbook::cpu
