// One log at a time, behind a mutex; runs ask an atomic flag.
#include "core/profile_log.h"

#include <atomic>
#include <mutex>
#include <utility>

#include "core/error.h"
#include "core/fork.h"

namespace flowbook {

namespace {
std::atomic<bool> g_on{false};
std::mutex& mutex() {
  static auto* m = [] {
    auto* made = new std::mutex;
    hold_over_fork(*made, 4);
    return made;
  }();
  return *m;
}
ProfileLog& current() {
  static auto* log = new ProfileLog;
  return *log;
}
}  // namespace

void begin_profile() {
  std::lock_guard lock(mutex());
  if (g_on.load())
    fail(ErrorKind::kGraph, "profile: a profile is being taken already. End it first.");
  current() = {};
  g_on.store(true);
}
ProfileLog end_profile() {
  std::lock_guard lock(mutex());
  g_on.store(false);
  return std::exchange(current(), {});
}
bool profiling() { return g_on.load(std::memory_order_relaxed); }
void log_run(ProfiledRun run) {
  std::lock_guard lock(mutex());
  if (!g_on.load()) return;
  if (current().runs.size() < kProfiledRuns)
    current().runs.push_back(std::move(run));
  else
    ++current().dropped;
}

}  // namespace flowbook
