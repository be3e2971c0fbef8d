// The thread pool: every chunk exactly once, exceptions and cancellation reach the caller, nesting,
// many callers, resizing while in use, and fork() in the middle of it all.
#include "cpu/pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/error.h"

using namespace flowbook;
using namespace flowbook::cpu;

namespace {

int failures = 0;
void expect(bool holds, const char* what) {
  if (!holds) std::printf("failed: %s\n", what), ++failures;
}

bool each_once(int64_t chunks) {
  std::vector<std::atomic<int>> seen(static_cast<size_t>(chunks));
  parallel_for(chunks, [&](int64_t i) { ++seen[size_t(i)]; });
  for (auto& s : seen)
    if (s != 1) return false;
  return true;
}

}  // namespace

int main() {
  set_num_threads(4);
  expect(num_threads() == 4, "the number of threads is what was set");
  bool all = true;
  for (int64_t n : {0, 1, 2, 3, 7, 100, 10000})
    for (int repeat = 0; repeat < 200; ++repeat) all &= each_once(n);
  expect(all, "each chunk runs exactly once");

  for (const int threads : {2, 3, 17, 40}) {  // also more than ranges are kept for
    set_num_threads(threads);
    for (int64_t n : {2, 3, 5, 16, 17, 1000}) expect(each_once(n), "for any number of threads");
  }
  set_num_threads(4);

  // Whoever runs chunk `stuck` is held up until all others are done, those of its own range too.
  for (const int64_t stuck : {0, 40, 99}) {
    std::atomic<int> done{0};
    bool helped = true;
    parallel_for(100, [&](int64_t i) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      if (i == stuck)
        while (done != 99 && (helped = std::chrono::steady_clock::now() < end))
          std::this_thread::yield();
      ++done;
    });
    expect(helped, "others take over what a thread has not begun");
  }

  std::atomic<int> inner{0};
  parallel_for(8, [&](int64_t) { parallel_for(8, [&](int64_t) { ++inner; }); });
  expect(inner == 64, "a nested call runs inline");

  std::atomic<int> ran{0};
  try {
    parallel_for(1000, [&](int64_t i) {
      ++ran;
      if (i == 3) throw std::runtime_error("chunk 3");
    });
    expect(false, "an exception is rethrown");
  } catch (const std::runtime_error& e) {
    expect(std::string(e.what()) == "chunk 3", "the exception is the chunk's own");
  }
  expect(each_once(100), "the pool works after an exception");

  CancelToken token;
  {
    const CancelScope scope(&token);
    std::thread stop([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      token.cancelled = true;
    });
    const auto start = std::chrono::steady_clock::now();
    bool cancelled = false;
    try {
      parallel_for(1'000'000,
                   [&](int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); });
    } catch (const Error& e) {
      cancelled = e.kind == ErrorKind::kCancelled;
    }
    stop.join();
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    expect(cancelled && ms < 100, "a cancelled run ends within 100 ms");
    {
      const CancelScope shield(nullptr);
      expect(each_once(50), "a null token shields from cancellation");
    }
  }
  expect(each_once(50), "after the scope nothing is cancelled");

  std::vector<std::thread> callers;
  std::atomic<bool> good{true};
  for (int t = 0; t < 6; ++t)
    callers.emplace_back([&] {
      for (int k = 0; k < 500; ++k)
        if (!each_once(20)) good = false;
    });
  for (int k = 0; k < 50; ++k) set_num_threads(1 + k % 5);
  for (auto& t : callers) t.join();
  expect(good, "many callers, and a size that changes under them");

  set_num_threads(3);
  expect(each_once(100), "before fork");
  const pid_t child = fork();
  if (child == 0) {
    const bool ok = each_once(100) && each_once(1000);
    _exit(ok ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child has a pool of its own");
  expect(each_once(100), "after fork");

  bool refused = false;
  try {
    set_num_threads(0);
  } catch (const Error& e) {
    refused = e.kind == ErrorKind::kArgument;
  }
  expect(refused, "0 threads are refused");

  if (std::getenv("FLOWBOOK_BENCH")) {
    for (int threads : {1, 2}) {
      set_num_threads(threads);
      each_once(10);
      const int rounds = 200000;
      const auto start = std::chrono::steady_clock::now();
      for (int k = 0; k < rounds; ++k) parallel_for(2, [](int64_t) {});
      const double ns =
          std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start)
              .count() /
          rounds;
      std::printf("an empty region of 2 chunks on %d threads: %.0f ns\n", threads, ns);
    }
  }
  std::printf("%d failures\n", failures);
  return failures != 0;
}
