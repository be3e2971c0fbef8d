// What plain loops over numbers take. Included by units that are compiled per instruction set, so
// it holds declarations only.
#pragma once
#include <cstdint>

namespace flowbook {

// One input: data, and the distance of its elements (0: one value for all, 1: dense, or any).
struct Operand {
  const void* p;
  int64_t stride;
};
// Fills out[0 .. n), which is dense. `out` may be the very memory of a dense input whose elements
// are as wide; any other overlap is not allowed.
using Loop = void (*)(const Operand* in, void* out, int64_t n);

}  // namespace flowbook
