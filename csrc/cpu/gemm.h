// Matrix products for C++ callers: the matmul kernel, convolutions, attention, and the executor,
// which runs a fused program on each block while it is hot. A product is cut into blocks by its
// sizes alone; a caller may run them itself, so that independent products share one parallel job.
#pragma once
#include "core/fused.h"
#include "cpu/pool.h"

namespace flowbook::cpu {

inline constexpr DTypeSet kGemmTypes =
    DTypeSet(set_of(DType::f32) | set_of(DType::f64) | kIntegral);

// c[m, n] = a[m, k] b[k, n]. Strides of a and b are arbitrary; c's columns are dense. Integers wrap
// around.
struct Gemm {
  DType dtype;
  int64_t m, n, k;
  const void* a;
  int64_t a_row, a_col;
  const void* b;
  int64_t b_row, b_col;
  void* c;
  int64_t ldc;
  bool accumulate = false;  // add to what c holds
  // b, packed for all blocks, and a: gemm_with_epilogue() and gemm() do so
  const void* panels = nullptr;
  const void* tiles = nullptr;
};

// How a product is cut: `rows` x `cols` blocks of `row_step` x `col_step` (less at the edges).
// Where k_parts > 1 the blocks are whole rows, and gemm() cuts their sums along k too, if its
// caller brings the workspace for it. Where `stripes` the blocks are stripes of the long side, for
// which gemm() packs the operand of the short side once, again in a workspace.
struct GemmGrid {
  int64_t rows, cols, row_step, col_step;
  int64_t k_parts, k_step;
  bool stripes = false;
  int64_t blocks() const { return rows * cols; }
};
GemmGrid gemm_grid(const Gemm& g, bool by_depth = true);
int64_t gemm_workspace(const Gemm& g);  // bytes; 0 for small products
// Whether gemm() does more than all blocks in any order: it packs b before them, or adds up parts
// behind them.
bool gemm_in_phases(const Gemm& g);

// Computes one block on this thread, without and with an epilogue.
void gemm_block(const Gemm& g, const GemmGrid& grid, int64_t block);
void gemm_block(const Gemm& g, const GemmGrid& grid, int64_t block, Epilogue epilogue);

// The whole product, on the pool where it is large.
void gemm(const Gemm& g, void* workspace = nullptr);
void gemm_with_epilogue(const Gemm& g, Epilogue epilogue, void* workspace = nullptr);

// About how many multiplications make a block worth handing to a thread.
int64_t gemm_block_work();

// A provider takes an operand whose rows or columns are dense; others are packed by their owner
// first.
bool provider_takes(int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride);
// Whether this product goes to a provider at all: floats, large enough. Its bits then depend on the
// layout of its operands as well, otherwise on sizes only.
bool wants_provider(const Gemm& g);

}  // namespace flowbook::cpu
