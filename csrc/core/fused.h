// Fused programs: a group of neighbouring nodes computed in one pass over memory. A program runs
// over elements seen as [rows, cols]: maps of elements, reductions of each row, maps of row values,
// broadcasts of row values back to the elements of their row, and reductions over the rows. The
// compiler builds a FusedSpec (fuse.cpp); a backend turns it into a FusedKernel that computes the
// same bits as the single ops.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/function_ref.h"
#include "core/shape.h"

namespace flowbook {

// What a register of a program holds. A purely elementwise program of n elements has rows = 1.
enum class Level : uint8_t {
  kElement,  // [rows, cols], one number for each element
  kRow,      // [rows]; elements read the number of their row
  kColumn,   // [cols]; elements read the number of their column
  kTotal,    // one number
};
// How an input lies against the n numbers of its level, counted in row-major order.
enum class Access : uint8_t {
  kDense,     // number i
  kScalar,    // number 0
  kPeriodic,  // number i % period: repeats along leading axes
  kColumn,    // number i / period: repeats along trailing axes
  kStrided,   // number (i / period) * stride + i % period: columns of wider rows; elements only
};
struct FusedInput {
  Level level = Level::kElement;
  Access access = Access::kDense;
  DType dtype = kDefaultFloat;
  int64_t period = 1;
  int64_t stride = 0;  // kStrided
};
enum class Reduction : uint8_t { kNone, kSum, kMax, kMin };

// A map, a cast, or a reduction of its one operand: elements to rows (over the columns), elements
// to columns or rows to the total (over the rows). Sums add up in the order of the single op.
//
// Operands of a map have its level, or a lower one that it broadcasts: elements read rows, columns
// (inputs only) and totals (inputs only). Column and total values are complete when the last row
// is; elements never read those of the program itself.
struct FusedInstruction {
  Level level = Level::kElement;  // of the result
  Reduction reduction = Reduction::kNone;
  int row = -1;  // of the elementwise table; -1: a cast
  int arity = 1;
  int src[3] = {0, 0, 0};         // registers: inputs come first, then one per instruction
  DType compute = kDefaultFloat;  // dtype of the value inputs
  DType dtype = kDefaultFloat;    // of the result
};
struct FusedSpec {
  int64_t rows = 1, cols = 0;
  std::vector<FusedInput> inputs;
  std::vector<FusedInstruction> instructions;
  std::vector<int> outputs;  // registers, dense results in this order
};

// Rows longer than this are reduced piece by piece, on several threads: their elements may not read
// a reduction of the program itself.
inline constexpr int64_t kLongRow = 64 << 10;

// A part of the elements: rows [row, row + rows) x columns [col, col + cols). Input `given` (an
// element input, or -1 for none) is read from `data`, the block's first element, whose rows are
// `stride` elements apart; all other inputs and all outputs are whole arrays as in run().
struct FusedBlock {
  int64_t row = 0, rows = 0, col = 0, cols = 0;
  int given = -1;
  const void* data = nullptr;
  int64_t stride = 0;
};

// Called on each block of a result, seen as [rows, its last axis], as soon as the block is final
// and on the thread that made it. `block` points at the block's first element; its rows are
// `stride` elements apart.
using Epilogue = FunctionRef<void(int64_t row_begin, int64_t row_end, int64_t col_begin,
                                  int64_t col_end, void* block, int64_t stride)>;

class FB_API FusedKernel {
 public:
  virtual ~FusedKernel();
  // Bytes of scratch memory for run(), 64-byte aligned.
  virtual int64_t workspace() const { return 0; }
  // Pointers in the order of the spec. Memory of an output may be that of an input if in_place()
  // says so.
  virtual void run(void* const* in, void* const* out, void* workspace) const = 0;

  // Whether output `output` may be written over input `input`, a dense array of as many elements of
  // the same size, also by run_block(): nothing reads an element of the input after that of the
  // output is there.
  virtual bool in_place(int input, int output) const = 0;

  // Epilogues: whether the program may run block by block, in any order and on any thread. Blocks
  // begin at multiples of `rows` and `cols`. A program that reduces rows needs them whole; one that
  // reduces over the rows needs blocks that end where its partial results do.
  virtual bool blockwise(int64_t rows, int64_t cols) const = 0;
  // Computes what one block has to say about the outputs, on the calling thread.
  virtual void run_block(void* const* in, void* const* out, void* workspace,
                         const FusedBlock& block) const = 0;
  // After all blocks: the outputs that need all rows.
  virtual void finish_blocks(void* const* in, void* const* out, void* workspace) const = 0;

  virtual std::string text() const = 0;  // the instructions as executed, one a line
};

}  // namespace flowbook
