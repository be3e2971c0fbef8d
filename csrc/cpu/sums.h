// Where sums are cut. Fused programs and single reductions cut alike, so their bits are the same on
// any number of threads.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/fused.h"
#include "cpu/loops.h"

namespace flowbook::cpu {

// A row longer than kLongRow is folded in pieces of that length, whose results are folded once
// more.
static_assert(kLongRow % kSumBlock == 0);

// Sums over rows of `cols` columns: so many rows are added up one by one, the results pairwise.
inline int64_t rows_together(int64_t cols) {
  int64_t n = 128;
  while (n > 32 && n * cols > (32 << 10)) n /= 2;
  return n;
}

// Joins `count` partial rows that lie `bytes` apart pairwise, as in a tree, into the first.
inline void join_pairwise(ColumnFold join, char* parts, int64_t count, int64_t bytes, int64_t n) {
  for (int64_t step = 1; step < count; step *= 2)
    for (int64_t b = 0; b + step < count; b += 2 * step)
      join(parts + b * bytes, parts + (b + step) * bytes, n);
}

}  // namespace flowbook::cpu
