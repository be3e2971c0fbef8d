// The history of memory use: how many bytes were live when, and the peak of a stretch of work such
// as a notebook cell. Written where the allocator adds its counters up, so that nothing has to
// watch it; a program that allocates nothing costs nothing.
#pragma once
#include <vector>

#include "core/buffer.h"

namespace flowbook {

// The use of one interval in which something changed.
struct MemorySample {
  double seconds = 0;  // since the process began to allocate: when it last changed
  int64_t live = 0;    // from then on
  int64_t peak = 0;    // highest within the interval
};
// Of a device, oldest first; the last one is now. At most kMemorySamples: where there are more,
// neighbours are joined and the interval doubles.
inline constexpr int kMemorySamples = 1024;
FB_API std::vector<MemorySample> memory_history(int device = 0);

// Starts a stretch whose own peak `memory_window_peak` tells; there is one at a time.
FB_API void begin_memory_window();
FB_API int64_t memory_window_peak();

// Says what a live buffer is used for, once that is known (a parameter, a gradient); the books
// follow.
FB_API void set_kind(Buffer& b, BufferKind kind);

// Called when memory is short, before an allocation fails; frees what is only kept for speed and
// tells how many bytes. Called without any lock held.
FB_API void on_memory_pressure(int64_t (*release)());

}  // namespace flowbook
