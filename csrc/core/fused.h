// Fused programs: a group of elementwise nodes of one shape, computed block by block in one pass
// over memory. The compiler builds a FusedSpec; a backend turns it into a FusedKernel that computes
// the same bits as the single ops.
#pragma once
#include <memory>
#include <vector>

#include "core/shape.h"

namespace flowbook {

// How an input is laid out against the n elements of the program, counted in row-major order.
enum class Access : uint8_t {
  kDense,     // element i
  kScalar,    // element 0
  kPeriodic,  // element i % period: repeats along leading axes (a bias)
  kColumn,    // element i / period: repeats along trailing axes (a row statistic)
};
struct FusedInput {
  Access access = Access::kDense;
  DType dtype = kDefaultFloat;
  int64_t period = 1;
};
struct FusedInstruction {
  int row = -1;  // of the elementwise table; -1: a cast
  int arity = 1;
  int src[3] = {0, 0, 0};         // registers: inputs come first, then one per instruction
  DType compute = kDefaultFloat;  // dtype of the value inputs
  DType dtype = kDefaultFloat;    // of the result
};
struct FusedSpec {
  int64_t n = 0;
  std::vector<FusedInput> inputs;
  std::vector<FusedInstruction> instructions;
  std::vector<int> outputs;  // registers, dense results in this order
};

class FB_API FusedKernel {
 public:
  virtual ~FusedKernel();
  // Pointers in the order of the spec. An output may be the memory of a dense input of the same
  // element size.
  virtual void run(void* const* in, void* const* out) const = 0;
  virtual std::string text() const = 0;  // the instructions as executed, one a line
};

}  // namespace flowbook
