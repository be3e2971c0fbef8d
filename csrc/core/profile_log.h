// A log of runs with the time of each step, switched on for a stretch of a program: whatever runs
// meanwhile is timed, also what compiled functions start without Python's help.
#pragma once
#include <memory>
#include <vector>

#include "core/export.h"

namespace flowbook {

class Executable;

struct ProfiledRun {
  std::shared_ptr<Executable> executable;
  double start = 0;  // seconds of the steady clock
  double end = 0;
  std::vector<double> seconds;  // by step
};
// At most this many runs are kept; later ones are counted only.
inline constexpr size_t kProfiledRuns = 20'000;
struct ProfileLog {
  std::vector<ProfiledRun> runs;
  int64_t dropped = 0;
};

// Starts logging; GraphError if it is on already.
FB_API void begin_profile();
FB_API ProfileLog end_profile();
// Whether runs are timed now; one relaxed load.
FB_API bool profiling();
FB_API void log_run(ProfiledRun run);

}  // namespace flowbook
