// Mutexes and fork(): a child has one thread only, so a mutex that another thread held would stay
// locked for ever.
#pragma once
#include <mutex>

#include "core/export.h"

namespace flowbook {

// From now on `m` is held by the forking thread while fork() runs, in parent and child. `rank`:
// mutexes are taken in ascending order; one that is taken while another is held must have the
// higher rank.
FB_API void hold_over_fork(std::mutex& m, int rank);

}  // namespace flowbook
