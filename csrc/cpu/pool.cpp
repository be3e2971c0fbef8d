// The pool: persistent workers that wait for a job, first by spinning for some microseconds, then
// in the kernel. A worker joins a job by raising `active_` before it looks at `job_`; the caller
// withdraws the job before it waits for `active_` to fall to zero. Either the worker sees no job,
// or the caller sees the worker.
#include "cpu/pool.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif

namespace flowbook::cpu {
namespace {

// Who waits spins this long before it sleeps. Waking a sleeper costs the one who wakes it 5 to 20
// us and the sleeper starts 10 to 90 us later (virtual machines: NOTES.md, "Waiting"); to spin
// about as long as that costs at most twice what knowing the future would.
constexpr std::chrono::microseconds kSpinTime{100};
constexpr int kMaxThreads = 1024;

constinit thread_local bool t_inside = false;  // a chunk is running on this thread

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// How often relax() fits into kSpinTime: it takes 4 to 50 ns, depending on the processor.
int spins() {
  static const int count = [] {
    using Clock = std::chrono::steady_clock;
    constexpr int kSample = 50;
    auto least = Clock::duration::max();
    for (int i = 0; i < 5; ++i) {  // the least: others may run in between
      const auto start = Clock::now();
      for (int k = 0; k < kSample; ++k) relax();
      least = std::min(least, Clock::now() - start);
    }
    const double each =
        std::max(1.0, std::chrono::duration<double, std::nano>(least).count()) / kSample;
    return int(std::chrono::duration<double, std::nano>(kSpinTime).count() / each);
  }();
  return count;
}

// One turn of spinning. Now and then the processor is offered to whoever else wants it: on a busy
// machine waiting then takes no time from those who have work.
inline void spin_once(int turn) {
  constexpr int kTurnsBetweenOffers = 64;
  relax();
  if (turn % kTurnsBetweenOffers == kTurnsBetweenOffers - 1) std::this_thread::yield();
}

// Sleeps while `word` is `seen`; may wake early.
void sleep_while(std::atomic<uint32_t>& word, uint32_t seen) {
#if defined(__linux__)
  static_assert(sizeof(word) == 4);
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
  word.wait(seen);
#endif
}
void wake(std::atomic<uint32_t>& word, int count) {
#if defined(__linux__)
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
#else
  count == 1 ? word.notify_one() : word.notify_all();
#endif
}

// Each thread has a range of chunks of its own, the same for the same number of chunks: what it
// wrote in one job is near it in the next, and what it fetches ahead is its own. Who is done takes
// over the ranges of others, chunk by chunk, so that nobody waits for a thread that is not
// scheduled.
struct Job {
  static constexpr int kMostRanges = 16;
  struct alignas(64) Range {
    std::atomic<int64_t> next;
    int64_t end;
  };

  Job(FunctionRef<void(int64_t)> what, int64_t chunks, int threads, CancelToken* cancel)
      : body(what), ranges(int(std::min<int64_t>({chunks, threads, kMostRanges}))), token(cancel) {
    for (int r = 0; r < ranges; ++r) {
      range[r].next.store(chunks * r / ranges, std::memory_order_relaxed);
      range[r].end = chunks * (r + 1) / ranges;
    }
  }

  void work(int thread) {
    const bool before = std::exchange(t_inside, true);
    CancelScope scope(token, token == current_cancel_token());
    for (int k = 0; k < ranges; ++k) {
      Range& own = range[(thread + k) % ranges];
      for (int64_t i; (i = own.next.fetch_add(1, std::memory_order_relaxed)) < own.end;) {
        try {
          check_cancelled();
          body(i);
        } catch (...) {
          if (!failed.exchange(true)) error = std::current_exception();
          for (int r = 0; r < ranges; ++r)
            range[r].next.store(range[r].end, std::memory_order_relaxed);
        }
      }
    }
    t_inside = before;
  }

  FunctionRef<void(int64_t)> body;
  const int ranges;
  CancelToken* token;
  std::atomic<bool> failed{false};
  std::exception_ptr error{};  // of the thread that set `failed`
  Range range[kMostRanges];
};

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads) {
    workers_.reserve(size_t(threads - 1));
#if defined(__unix__) || defined(__APPLE__)
    sigset_t all, old;  // signals belong to the program's own threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
#endif
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { serve(i); });
    } catch (const std::system_error&) {  // fewer threads than asked for: slower, not wrong
    }
#if defined(__unix__) || defined(__APPLE__)
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
#endif
  }
  bool retired() const { return stop_.load(std::memory_order_relaxed); }

  // The caller holds the mutex, too.
  void retire() {
    stop_.store(true);
    epoch_.fetch_add(1);
    wake(epoch_, kMaxThreads);
    for (std::thread& t : workers_) t.join();
  }

  int threads() const { return threads_; }
  std::mutex& mutex() { return mutex_; }

  // The caller holds the mutex.
  void run(Job& job, int64_t chunks) {
    job_.store(&job);
    epoch_.fetch_add(1);
    if (sleepers_.load() > 0)
      wake(epoch_, int(std::min<int64_t>(chunks - 1, int64_t(workers_.size()))));
    job.work(0);
    job_.store(nullptr);
    for (int spin = 0; active_.load() != 0; ++spin) {
      if (spin < spins_) {
        spin_once(spin);
        continue;
      }
      waiting_.store(true);
      if (const uint32_t n = active_.load()) sleep_while(active_, n);
      waiting_.store(false);
    }
  }

 private:
  void serve(int thread) {
    uint32_t seen = 0;
    for (;;) {
      uint32_t now = epoch_.load();
      for (int spin = 0; now == seen && spin < spins_; ++spin) spin_once(spin), now = epoch_.load();
      while (now == seen) {
        sleepers_.fetch_add(1);
        if (epoch_.load() == seen) sleep_while(epoch_, seen);
        sleepers_.fetch_sub(1);
        now = epoch_.load();
      }
      seen = now;
      if (stop_.load()) return;
      active_.fetch_add(1);
      if (Job* job = job_.load()) job->work(thread);
      if (active_.fetch_sub(1) == 1 && waiting_.load()) wake(active_, 1);
    }
  }

  const int threads_, spins_ = spins();
  std::mutex mutex_;  // held while a job runs
  std::vector<std::thread> workers_;
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<Job*> job_{nullptr};
  std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<uint32_t> active_{0};
  std::atomic<bool> waiting_{false};
  alignas(64) std::atomic<int> sleepers_{0};
};

#if defined(__linux__)
// Reads "QUOTA PERIOD" or "max PERIOD"; returns CPUs, 0 for no limit.
double quota_of(const std::string& folder) {
  double quota = 0, period = 0;
  char text[64] = {};
  if (FILE* f = std::fopen((folder + "/cpu.max").c_str(), "re")) {  // version 2
    if (std::fscanf(f, "%31s %lf", text, &period) == 2 && std::strcmp(text, "max") != 0)
      quota = std::atof(text);
    std::fclose(f);
  } else if (FILE* q = std::fopen((folder + "/cpu.cfs_quota_us").c_str(), "re")) {  // version 1
    if (std::fscanf(q, "%lf", &quota) != 1) quota = 0;
    std::fclose(q);
    if (FILE* p = std::fopen((folder + "/cpu.cfs_period_us").c_str(), "re")) {
      if (std::fscanf(p, "%lf", &period) != 1) period = 0;
      std::fclose(p);
    }
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

// The tightest quota from this process's group up to the root.
double cpu_quota() {
  double least = 0;
  FILE* f = std::fopen("/proc/self/cgroup", "re");
  if (!f) return 0;
  char line[4096];
  while (std::fgets(line, sizeof line, f)) {
    char* kind = std::strchr(line, ':');
    char* path = kind ? std::strchr(kind + 1, ':') : nullptr;
    if (!path) continue;
    const std::string controllers(kind + 1, path);
    std::string group(path + 1);
    while (!group.empty() && group.back() == '\n') group.pop_back();
    std::string root = "/sys/fs/cgroup";
    if (!controllers.empty()) {
      if (("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
      root += "/cpu";
    }
    for (;;) {
      const double q = quota_of(root + group);
      if (q > 0 && (least == 0 || q < least)) least = q;
      if (group.empty() || group == "/") break;
      group.resize(std::min(group.rfind('/'), group.size()));
    }
  }
  std::fclose(f);
  return least;
}
#endif

int default_threads() {
  if (const char* text = std::getenv("FLOWBOOK_NUM_THREADS")) {
    char* end;
    const long n = std::strtol(text, &end, 10);
    if (end != text && *end == 0 && n >= 1) return int(std::min<long>(n, kMaxThreads));
  }
  int n = int(std::thread::hardware_concurrency());
#if defined(__linux__)
  for (int bits = 1024; bits <= 1 << 20;
       bits *= 4) {  // more processors than the mask holds: EINVAL
    cpu_set_t* set = CPU_ALLOC(size_t(bits));
    const size_t bytes = CPU_ALLOC_SIZE(size_t(bits));
    const bool ok = set && sched_getaffinity(0, bytes, set) == 0;
    if (ok) n = CPU_COUNT_S(bytes, set);
    CPU_FREE(set);
    if (ok || errno != EINVAL) break;
  }
  if (const double quota = cpu_quota(); quota > 0) n = std::min(n, std::max(1, int(quota + 0.5)));
#endif
  return std::clamp(n, 1, kMaxThreads);
}

std::atomic<Pool*> g_pool{nullptr};
std::atomic<int> g_threads{0};  // 0: not decided yet
std::mutex* g_setup =
    new std::mutex;  // replaced in a forked child, where the old one may be locked for ever

// In a child only the forking thread exists: forget the pool (its memory stays) and start anew when
// needed.
void forget_pool() {
  g_pool.store(nullptr);
  g_setup = new std::mutex;
  t_inside = false;
}

Pool& pool() {
  if (Pool* p = g_pool.load(std::memory_order_acquire)) return *p;
  const std::lock_guard lock(*g_setup);
  if (Pool* p = g_pool.load()) return *p;
#if defined(__unix__) || defined(__APPLE__)
  static const int once = pthread_atfork(nullptr, nullptr, forget_pool);
  static_cast<void>(once);
#endif
  Pool* p = new Pool(num_threads());  // lives until the process ends: workers may be asleep in it
  g_pool.store(p, std::memory_order_release);
  return *p;
}

}  // namespace

int usual_threads() {
  static const int threads = default_threads();
  return threads;
}

int num_threads() {
  if (const int n = g_threads.load(std::memory_order_relaxed)) return n;
  int none = 0;
  g_threads.compare_exchange_strong(none, usual_threads());
  return g_threads.load();
}

void set_num_threads(int n) {
  if (n < 1)
    argument_error("set_num_threads: ", int64_t(n), " threads were asked for. Give 1 or more.");
  n = std::min(n, kMaxThreads);
  if (t_inside)
    argument_error("set_num_threads: called from within a parallel run. Call it between runs.");
  const std::lock_guard setup(*g_setup);
  g_threads.store(n);
  Pool* old = g_pool.load();
  if (!old || old->threads() == n) return;
  g_pool.store(nullptr);
  // Once its job is done the old pool's workers end. Its memory stays: another thread may be about
  // to try its mutex.
  const std::lock_guard idle(old->mutex());
  old->retire();
}

void parallel_for(int64_t chunks, FunctionRef<void(int64_t)> body) {
  if (chunks > 1 && !t_inside && num_threads() > 1) {
    Pool& p = pool();
    if (std::unique_lock lock(p.mutex(), std::try_to_lock); lock && !p.retired()) {
      Job job(body, chunks, p.threads(), current_cancel_token());
      p.run(job, chunks);
      lock.unlock();
      if (job.error) std::rethrow_exception(job.error);
      return;
    }
  }
  for (int64_t i = 0; i < chunks; ++i) {
    check_cancelled();
    body(i);
  }
}

}  // namespace flowbook::cpu
