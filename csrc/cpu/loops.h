// The plain loops of the CPU backend: rows of the elementwise table, casts, copies, folds and
// super-instructions. Each is compiled per instruction set (csrc/cpu/isa) and chosen once per
// process. All of them run on one thread, give the same bits on every instruction set and at every
// position of a block, and allocate nothing.
//
// The units under csrc/cpu/isa include this file, so it holds plain declarations only: an inline
// function or template with external linkage would be one symbol for all instruction sets, and the
// linker might keep the AVX-512 copy.
#pragma once
#include "core/export.h"
#include "core/operand.h"

namespace flowbook {
enum class DType : uint8_t;
}

namespace flowbook::cpu {

// Folds a dense row of n elements into *out (which is not read). n = 0 gives the identity; max, min
// and arg* need n > 0.
using Fold = void (*)(const void* x, int64_t n, void* out);
// Folds each of `rows` dense rows of n elements, n > 0, into out[0 .. rows); the same bits as Fold.
// Several short rows are folded side by side. `y` is the second factor of a product, else not read.
using RowsFold = void (*)(const void* x, const void* y, int64_t rows, int64_t n, void* out);
// Each of `rows` numbers `cols` times. Up to 64 bytes beyond the end of `out` may be written.
using Repeat = void (*)(const void* x, int64_t rows, int64_t cols, void* out);
// acc[j] = op(acc[j], x[j]) for j in [0, n).
using ColumnFold = void (*)(void* acc, const void* x, int64_t n);

// The dtypes that loops exist for; other storage types are converted by blocks.
enum Slot : int { kSlotBool, kSlotU8, kSlotI32, kSlotI64, kSlotF32, kSlotF64 };
inline constexpr int kSlots = 6;
inline constexpr int kDTypeCount = 15;  // of DType, in its order

// Rows of ops/elementwise.def in their order.
enum Code : int {
#define UNARY(NAME, ...) kCode_##NAME,
#define BINARY(NAME, ...) kCode_##NAME,
#define TERNARY(NAME, ...) kCode_##NAME,
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  kCodeCount
};

// Super-instructions: two or three rows in one pass over memory. Each row still rounds, so the bits
// are those of the rows one after another. Operands: x, y, z in the order of the text.
#define FLOWBOOK_SUPERS(SUPER)                   \
  SUPER(mul_add, 3, x* y + z)                    \
  SUPER(mul_sub, 3, x* y - z)                    \
  SUPER(sub_mul, 3, (x - y) * z)                 \
  SUPER(add_mul, 3, (x + y) * z)                 \
  SUPER(mul_mul, 3, x* y* z)                     \
  SUPER(add_add, 3, x + y + z)                   \
  SUPER(sub_div, 3, (x - y) / z)                 \
  SUPER(rsub_mul, 3, (x - y * z))                \
  SUPER(mul_square, 2, x*(y * y))                \
  SUPER(sub_square, 2, (x - y) * (x - y))        \
  SUPER(add_relu, 2, relu(x + y))                \
  SUPER(add_tanh, 2, tanh(x + y))                \
  SUPER(sub_exp, 2, exp(x - y))                  \
  SUPER(mul_add_relu, 3, relu(x* y + z))         \
  SUPER(mul_add_tanh, 3, tanh(x* y + z))         \
  SUPER(add_relu_of, 2, x + relu(y))             \
  SUPER(tanh_gradient, 2, x*(T(1) - y * y))      \
  SUPER(sigmoid_gradient, 2, x*(y * (T(1) - y))) \
  SUPER(sqrt_add_div, 3, x / (sqrt(y) + z))
enum Super : int {
#define FLOWBOOK_SUPER(NAME, ARITY, VALUE) kSuper_##NAME,
  FLOWBOOK_SUPERS(FLOWBOOK_SUPER)
#undef FLOWBOOK_SUPER
      kSuperCount
};

// Folds, per slot; null where there is none. The dtype of the result:
//   sum, prod     i64 for bool, u8, i32, i64; f32 and f64 for themselves
//   max, min      the input's; NaN wins
//   argmax/argmin i64, the first of equals; the first NaN wins
//   any, all      bool
//   sum_squares   f32 and f64 only
// Floating sums run in 64 lanes over blocks of kSumBlock, the blocks' sums are added pairwise. To
// cut a row among threads, cut at multiples of kSumBlock and fold the partial results with the same
// loop.
inline constexpr int64_t kSumBlock = 1024;

struct Loops {
  Loop row[kCodeCount][kSlots];
  Loop super[kSuperCount][2];           // f32, f64
  Loop cast[kDTypeCount][kDTypeCount];  // [from][to], any stride; null from complex to real
  Loop copy[5];                         // by log2 of the element's bytes, any stride
  Repeat repeat[4];                     // by log2 of the element's bytes
  Fold sum[kSlots], prod[kSlots], max[kSlots], min[kSlots], argmax[kSlots], argmin[kSlots],
      any[kSlots], all[kSlots], sum_squares[kSlots];
  // f32, f64. A dot product is summed like `sum`.
  RowsFold sum_rows[2], max_rows[2], min_rows[2], sum_squares_rows[2], dot_rows[2];
  // acc has the dtype that the fold above gives.
  ColumnFold add_columns[kSlots], mul_columns[kSlots], max_columns[kSlots], min_columns[kSlots];
  // acc[j] += x[j] * y[j]; f32, f64
  void (*mul_add_columns[2])(void* acc, const void* x, const void* y, int64_t n);
};

// The loops of the best instruction set of this machine, or of the one that the environment
// variable FLOWBOOK_ISA names (v2, v3, v4), if the machine has it.
const Loops& loops();
FB_API const char* isa_name();  // "v4"; "base" off x86-64
constexpr int no_slot = -1;
int slot_of(DType t);  // no_slot for a dtype without loops

}  // namespace flowbook::cpu
