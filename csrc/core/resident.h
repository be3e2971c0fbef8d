// Memory that a run is about to fill: its pages are asked for beforehand.
#pragma once
#include <cstdint>

namespace flowbook {

// Lets the system provide the pages of [data, data + bytes) now and on all threads, where there are
// enough of them to share. Left alone, each array's first writer waits for its pages while the
// other threads wait for it. What the memory holds stays as it is. Throws only when cancelled.
void make_resident(void* data, int64_t bytes);

}  // namespace flowbook
