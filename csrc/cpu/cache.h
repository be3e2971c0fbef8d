// The processor's caches.
#pragma once
#include <cstdint>

namespace flowbook::cpu {

// Bytes of the last cache that a core has before memory, and shares with others; 16 MiB if it is
// not known.
int64_t last_cache();

}  // namespace flowbook::cpu
