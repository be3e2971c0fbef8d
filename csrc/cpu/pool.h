// The thread pool of the CPU backend. The caller works too. Each thread begins with a range of
// chunks of its own and then takes over what others have left, so an unscheduled worker delays
// nobody. How work is cut into chunks must depend on shapes only: then
// results do not depend on the number of threads. Nested calls, and calls while another thread uses
// the pool, run inline.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>

#include "core/cancel.h"
#include "core/function_ref.h"
#include "cpu/rounding.h"

namespace flowbook::cpu {

// Runs body(0) ... body(chunks - 1) in any order on any thread. An exception from a chunk stops the
// handing out and is rethrown here (the first one, if there are several); so does cancellation.
FB_API void parallel_for(int64_t chunks, FunctionRef<void(int64_t chunk)> body);

// Cuts [0, n) into ranges of `grain` (the last may be shorter): body(begin, end).
template <class Body>
void parallel_ranges(int64_t n, int64_t grain, Body&& body) {
  if (n <= grain) {
    if (n > 0) check_cancelled(), body(int64_t{0}, n);
    return;
  }
  parallel_for(ceil_div(n, grain),
               [&](int64_t i) { body(i * grain, std::min(n, (i + 1) * grain)); });
}

// Threads taking part, the caller included. At first FLOWBOOK_NUM_THREADS, or else what the
// affinity mask and the cgroup's CPU quota allow.
FB_API int num_threads();
int usual_threads();                 // what num_threads() is at first, always
FB_API void set_num_threads(int n);  // ArgumentError below 1

}  // namespace flowbook::cpu
