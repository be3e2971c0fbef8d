// Counts the steps of loops whose length depends on the size of a graph, per thread: tests compare
// graphs of different sizes, so that a pass that became quadratic shows without any clock.
#pragma once
#include <cstdint>

#include "core/export.h"

namespace flowbook {

FB_API void count_work(int64_t steps);
FB_API int64_t counted_work();  // of this thread so far

}  // namespace flowbook
