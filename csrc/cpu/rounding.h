// Sizes rounded up, for cutting work and memory into pieces.
#pragma once
#include <cstdint>

namespace flowbook::cpu {

// For a >= 0; below, the result is 0 or less.
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
// To whole lines of the cache, at which vectors are aligned as well.
inline int64_t aligned(int64_t bytes) { return round_up(bytes, 64); }

}  // namespace flowbook::cpu
