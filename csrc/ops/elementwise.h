// The rows of the elementwise table as numbers, in the order of elementwise.def.
#pragma once

namespace flowbook::ops {

enum ElementwiseRow : int {
#define UNARY(NAME, ...) kRow_##NAME,
#define BINARY(NAME, ...) kRow_##NAME,
#define TERNARY(NAME, ...) kRow_##NAME,
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  kRows
};

}  // namespace flowbook::ops
