// Loops over rows, or one run of elements, that are more than an elementwise formula:
// cross-entropy, optimizer steps, random numbers. Compiled per instruction
// set (csrc/cpu/isa/rows*.cpp), the same bits on each. Plain declarations only: see loops.h. Pairs
// of functions are for float32 and float64. Outputs may be the very memory of an input they are
// shaped like.
#pragma once
#include <cstdint>

namespace flowbook::cpu {

struct SgdStep {
  const void *parameter, *gradient, *velocity;
  void *new_parameter, *new_velocity;  // velocities null without momentum
  double rate, momentum, weight_decay;
  bool nesterov;
};
struct AdamStep {
  const void *parameter, *gradient, *first, *second;
  void *new_parameter, *new_first, *new_second;
  double rate;        // divided by the correction of the first moment
  double root_scale;  // 1 / sqrt(correction of the second moment)
  double shrink;      // the parameter is multiplied by this first: decoupled weight decay
  double beta1, beta2, epsilon, weight_decay;
};

// The logits of up to kLossRows rows: class i of row r is x[r * row + i * step].
inline constexpr int64_t kLossRows = 16;
struct LossRows {
  const void* x;
  int64_t row, step;
  int64_t rows, classes;
  const int64_t* targets;
};

struct RowLoops {
  // losses = logsumexp(x) - x[target]
  void (*cross_entropy[2])(const LossRows& x, void* losses);
  // dx = (softmax(x) - [target]) * dlosses; dx lies as x does
  void (*cross_entropy_gradient[2])(const LossRows& x, const void* losses, const void* dlosses,
                                    void* dx);
  void (*sgd[2])(const SgdStep& s, int64_t begin, int64_t end);
  void (*adam[2])(const AdamStep& s, int64_t begin, int64_t end);

  // Random bits: blocks [first, first + count) of a stream, 4 words each, as Philox::block gives
  // them.
  void (*philox)(uint64_t seed, uint64_t counter, uint32_t stream, uint64_t first, int64_t count,
                 uint32_t* words);
  // out[k] = first + k step; start + (first + k) step.
  void (*count)(uint64_t first, uint64_t step, int64_t n, int64_t* out);
  void (*count_real)(double start, double step, int64_t first, int64_t n, double* out);
  // From words to numbers: float32 takes one word an element, float64 two; n normals take words in
  // whole pairs.
  void (*uniform[2])(const uint32_t* words, double low, double high, void* out, int64_t n);
  void (*normal[2])(const uint32_t* words, double mean, double std, void* out, int64_t n);
};

const RowLoops& row_loops();  // of the instruction set that loops() uses

}  // namespace flowbook::cpu
