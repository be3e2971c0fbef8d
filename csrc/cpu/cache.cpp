#include "cpu/cache.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

#include <algorithm>

namespace flowbook::cpu {

// The processor is asked, not sysconf(): on AMD's that adds up the last caches of a whole socket,
// of which a core sees one.
int64_t last_cache() {
  static const int64_t bytes = [] {
    int64_t largest = 0;
#ifdef __x86_64__
    constexpr unsigned kIntel = 4, kAmd = 0x8000001d, kMost = 8;  // the same form
    for (const unsigned leaf : {kIntel, kAmd}) {
      unsigned type, shape, sets, flags;
      for (unsigned k = 0; k < kMost; ++k) {
        if (!__get_cpuid_count(leaf, k, &type, &shape, &sets, &flags) || (type & 31) == 0) break;
        const int64_t ways = (shape >> 22) + 1, parts = (shape >> 12 & 1023) + 1;
        const int64_t line = (shape & 4095) + 1;
        largest = std::max(largest, ways * parts * line * (int64_t(sets) + 1));
      }
    }
#endif
    return largest > 0 ? largest : int64_t(16) << 20;
  }();
  return bytes;
}

}  // namespace flowbook::cpu
