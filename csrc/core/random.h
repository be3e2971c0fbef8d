// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3"). A key is int64[2] = (seed, counter); with a node's `stream` number and the
// element index it determines every bit.
#pragma once
#include "core/tensor.h"

namespace flowbook {

struct Philox {
  // Bits for 4 elements: block number `index` of stream `stream` under (seed, counter).
  static constexpr void block(uint64_t seed, uint64_t counter, uint32_t stream, uint64_t index,
                              uint32_t out[4]) {
    uint32_t c0 = uint32_t(index), c1 = uint32_t(index >> 32) ^ (stream * 0x9E3779B9u),
             c2 = uint32_t(counter), c3 = uint32_t(counter >> 32) ^ stream;
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
      uint32_t n0 = uint32_t(p1 >> 32) ^ c1 ^ k0, n1 = uint32_t(p1),
               n2 = uint32_t(p0 >> 32) ^ c3 ^ k1, n3 = uint32_t(p0);
      c0 = n0, c1 = n1, c2 = n2, c3 = n3;
      k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
  }
  // 24 bits to [0, 1), exactly representable: the same on every device.
  static constexpr float uniform(uint32_t bits) { return float(bits >> 8) * 0x1p-24f; }
  static constexpr double uniform(uint32_t hi, uint32_t lo) {
    return double((uint64_t(hi) << 32 | lo) >> 11) * 0x1p-53;
  }
};

// The process-wide generator. Seed 0 at start; every eager random op, and every graph run as a
// whole, takes one counter value.
struct GeneratorState {
  uint64_t seed = 0, counter = 0;
};
FB_API GeneratorState generator_state();
FB_API void set_generator_state(GeneratorState s);
// One counter value for a run; given back if the run fails and nobody has taken one since.
FB_API GeneratorState take_generator_counter();
FB_API void return_generator_counter(GeneratorState taken);
// Gives this thread a generator of its own, which all the above then mean; null takes it away. A
// background run has one, so that what other cells draw meanwhile does not change its numbers.
FB_API void set_thread_generator(const GeneratorState* s);
FB_API Tensor make_key(GeneratorState s);  // int64[2]

// The key for the next random op here: concrete and advanced when eager; in a graph the graph's key
// input. `stream` receives the op's stream number (0 when eager, counted per graph).
FB_API Tensor next_key(int64_t* stream);

}  // namespace flowbook
