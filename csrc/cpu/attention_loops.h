// Loops over one row of a block of attention scores, compiled per instruction set, the same bits on
// each. Pairs of functions are for float32 and float64. Plain declarations only: the per-ISA units
// include this header.
#pragma once
#include <cstdint>

namespace flowbook::cpu {

// What is done to a row of products query . key before exp: times `scale`, then minus infinity
// where a boolean mask is false, or plus an additive mask.
struct ScoreRow {
  double scale;
  enum Mask { kNone, kBool, kAdd } mask;
  const void* mask_data;
  int64_t mask_stride;
};
// softmax and probabilities leave zeros behind a row's n entries, for products of tiles that reach
// past it: this many at least, and up to kRowRoom elements are written.
inline constexpr int64_t kRowZeros = 16, kRowRoom = 48;
struct AttentionLoops {
  // A row arrives in parts s[0 .. n). Makes exp(score - m) of each, m the maximum so far; *max and
  // *sum go along. Returns in *keep what earlier parts must be multiplied by.
  void (*softmax[2])(void* s, int64_t n, const ScoreRow& row, void* max, void* sum, void* keep);
  // y *= *factor
  void (*scale[2])(void* y, int64_t n, const void* factor);
  // y / sum and max + log(sum); zeros and minus infinity where nothing was added.
  void (*finish[2])(void* y, int64_t n, const void* max, const void* sum, void* logsumexp);
  // exp(score - logsumexp); zeros where that is minus infinity.
  void (*probabilities[2])(void* s, int64_t n, const ScoreRow& row, const void* logsumexp);
  // p (dp - shift) scale
  void (*gradient[2])(void* p, const void* dp, int64_t n, double scale, const void* shift);
  // *out = x . y - *minus
  void (*dot[2])(const void* x, int64_t x_stride, const void* y, int64_t y_stride, int64_t n,
                 const void* minus, void* out);
};

const AttentionLoops& attention_loops();  // of the instruction set that loops() uses

}  // namespace flowbook::cpu
