// Loops over a block of attention scores, compiled per instruction set, the same bits on each.
// Pairs of functions are for float32 and float64. Plain declarations only: the per-ISA units
// include this header.
#pragma once
#include <cstdint>

namespace flowbook::cpu {

// How many queries, the columns of a block, are looked at together: a multiple of all vectors.
inline constexpr int64_t kAttentionQueries = 64;

// A block of products key . query, a row for each key, and what is done to them before exp: times
// `scale`, then minus infinity where a boolean mask is false, or plus an additive mask. Room for
// whole vectors of queries: what lies in the lanes past the last one is nobody's.
struct ScoreBlock {
  void* scores;
  int64_t queries, step;     // columns; elements from key to key
  int64_t first_seen, keys;  // the first query sees `first_seen` keys, each next one more
  double scale;
  enum Mask { kNone, kBool, kAdd } mask_kind;
  const char* mask;
  int64_t mask_row, mask_key;  // bytes from query to query, from key to key
  int64_t seen(int64_t query) const {
    const int64_t n = first_seen + query;
    return n < 0 ? 0 : n < keys ? n : keys;
  }
};
// One number for each query, with room between them.
struct QueryNumbers {
  const void* data;
  int64_t stride;
};

// Rows of numbers, with strides in elements.
struct RowsOf {
  const void* data;
  int64_t row, column;
};

// Behind the last key that a group of queries sees, zeros are left for products of tiles that reach
// past it: for so many keys, or all that there are.
inline constexpr int64_t kKeyZeros = 8;

// Up to here scores need no maximum that is subtracted: sums and products of exp(32) = 8e13 are far
// from the ends of float32.
inline constexpr double kPlainScore = 32;

struct AttentionLoops {
  // Softmax in one pass, for scores without a mask: exp(score) itself, and `before`, the sums so
  // far (null in the first block), plus their sums. False where |score| exceeds kPlainScore, or is
  // NaN: the scores are lost then.
  bool (*plain_softmax[2])(const ScoreBlock& b, const void* before, void* sum);
  // The scores of each query arrive block by block. Makes exp(score - m) of them: m is zero as long
  // as the largest is within kPlainScore, the maximum so far otherwise. m, called max, and sum go
  // along. Returns in `keep` what earlier blocks must be multiplied by; the first block reads none
  // of the three.
  void (*softmax[2])(const ScoreBlock& b, bool first, void* max, void* sum, void* keep);
  // y[rows, n] *= factor, row by row, which are `step` elements apart.
  void (*scale[2])(void* y, int64_t step, int64_t rows, int64_t n, const void* factor);
  // y / sum and max + log(sum); zeros and minus infinity where nothing was added. Whether all of y
  // is finite.
  bool (*finish[2])(void* y, int64_t step, int64_t rows, int64_t n, const void* max,
                    const void* sum, void* logsumexp);
  // `gradient` in one pass, for scores without a mask. False where a probability is too small for
  // that, or NaN: both blocks are lost then.
  bool (*plain_gradient[2])(const ScoreBlock& b, void* dp, QueryNumbers logsumexp,
                            const void* shift);
  // Makes p = exp(score - logsumexp), zero where that is minus infinity, of the scores, and
  // p (dp - shift) scale of dp, which lies like them.
  void (*gradient[2])(const ScoreBlock& b, void* dp, QueryNumbers logsumexp, const void* shift);
  // out[i] = x[i] . y[i] - minus[i] of rows of n numbers.
  void (*dots[2])(const RowsOf& x, const RowsOf& y, int64_t rows, int64_t n, QueryNumbers minus,
                  void* out);
};

const AttentionLoops& attention_loops();  // of the instruction set that loops() uses

}  // namespace flowbook::cpu
