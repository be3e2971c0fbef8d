// Eager ops, one plan and one set of variables used by many threads at once, while the pool changes
// its size, runs are cancelled and others look at memory. Says whether the results are right; under
// ThreadSanitizer (tools/sanitize thread) also whether anything raced.
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "core/executable.h"
#include "core/gradient.h"
#include "core/variable.h"
#include "cpu/cpu.h"
#include "cpu/pool.h"
#include "ops/ops.h"

using namespace flowbook;

namespace {

std::atomic<int> failures{0};
void expect(bool holds, const char* what) {
  if (!holds) std::printf("failed: %s\n", what), ++failures;
}

Tensor filled(float value, Shape shape) {
  Spec spec;
  spec.shape = shape;
  spec.dtype = DType::f32;
  Tensor t = empty(spec);
  auto* p = static_cast<float*>(view_of(t).data());
  std::fill(p, p + shape.size(), value);
  return t;
}
bool all_equal(const Tensor& t, float value) {
  auto* p = static_cast<const float*>(view_of(t).data());
  for (int64_t i = 0; i < t.shape().size(); ++i)
    if (p[i] != value) return false;
  return true;
}

template <class Body>
void on_threads(int count, Body body) {
  std::vector<std::thread> team;
  for (int i = 0; i < count; ++i) team.emplace_back([&body, i] { body(i); });
  for (std::thread& t : team) t.join();
}

// Large enough for several chunks; tensors of one thread end in another.
void eager_ops() {
  const Tensor shared = filled(2, {300, 400});
  std::vector<Tensor> passed(4);
  on_threads(4, [&](int i) {
    for (int k = 0; k < 20; ++k) {
      Tensor y = shared * shared + 1.0;
      expect(all_equal(y, 5), "an eager result is right");
      expect(all_equal(sum(y, {1}, false), 2000), "a reduction is right");
      passed[size_t(i)] = y;
    }
  });
  for (const Tensor& t : passed) expect(all_equal(t, 5), "a thread's result outlives it");
}

// Every thread runs the same plan: w is read, and assigned at the end of each run.
void one_plan() {
  const Ref<Variable> w = Variable::make(filled(0, {64, 64}), "w", true);
  auto graph = std::make_shared<Graph>(/*symbolic=*/true, "step");
  int32_t feed, fetch;
  const Tensor x = filled(1, {64, 64});
  {
    Recorder recorder(graph);
    Tensor in = graph->input(x.spec(), "x");
    Tensor before = w->read();
    Tensor total = sum(matmul(in, in) * 0.5 + before, {0, 1}, false);
    graph->assign(w.get(), before + in);
    feed = graph->value_of(in.impl()), fetch = graph->value_of(total.impl());
  }
  Program program(graph);
  constexpr int kThreads = 4, kRuns = 50;
  std::atomic<bool> done{false};
  std::thread watcher([&] {
    while (!done) {
      const Tensor now = w->value();  // a whole value of some moment
      expect(all_equal(now, *static_cast<const float*>(view_of(now).data())), "no torn reads");
      memory_stats();
      list_buffers();
      free_cached_memory();
      std::this_thread::yield();
    }
  });
  on_threads(kThreads, [&](int) {
    for (int k = 0; k < kRuns; ++k) {
      const int32_t feeds[] = {feed}, fetches[] = {fetch};
      const Tensor values[] = {x};
      auto found = program.plan(feeds, values, fetches, true);
      const std::vector<Tensor> out = found.executable->run(values);
      const float got = *static_cast<const float*>(view_of(out[0]).data());
      expect(got >= 32.0f * 4096 && got <= (32.0f + kThreads * kRuns) * 4096, "a run is right");
    }
  });
  done = true;
  watcher.join();
  // Runs at the same time may start from the same value, so some steps are lost; none is torn.
  const float last = *static_cast<const float*>(view_of(w->value()).data());
  expect(last >= kRuns && last <= kThreads * kRuns, "assignments took effect");
  expect(w->version() == kThreads * kRuns, "every run assigned once");
}

void cancelled_runs() {
  auto graph = std::make_shared<Graph>(/*symbolic=*/true, "long");
  const Tensor x = filled(1, {200, 200});
  int32_t feed, fetch;
  {
    Recorder recorder(graph);
    Tensor y = graph->input(x.spec(), "x");
    feed = graph->value_of(y.impl());
    for (int k = 0; k < 60; ++k) y = matmul(y, y) * 0.005;
    fetch = graph->value_of(y.impl());
  }
  Program program(graph);
  const int32_t feeds[] = {feed}, fetches[] = {fetch};
  const Tensor values[] = {x};
  auto plan = program.plan(feeds, values, fetches, true).executable;
  on_threads(3, [&](int i) {
    for (int k = 0; k < 5; ++k) {
      CancelToken token;
      std::thread stop([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(1 + i));
        token.cancelled = true;
      });
      try {
        RunOptions options;
        options.cancel = &token;
        plan->run(values, options);
      } catch (const Error& e) {
        expect(e.kind == ErrorKind::kCancelled, "a stopped run says so");
      }
      stop.join();
    }
  });
  expect(all_equal(plan->run(values)[0], 1), "the plan works after runs were stopped");
}

void changing_pool() {
  std::atomic<bool> done{false};
  std::thread resizer([&] {
    for (int k = 0; !done; ++k) cpu::set_num_threads(1 + k % 4), std::this_thread::yield();
  });
  eager_ops();
  done = true;
  resizer.join();
  cpu::set_num_threads(3);
}

}  // namespace

int main() {
  register_ops(registry());
  cpu::register_cpu();
  cpu::set_num_threads(3);
  eager_ops();
  one_plan();
  cancelled_runs();
  changing_pool();
  std::printf("%d failures\n", failures.load());
  return failures != 0;
}
