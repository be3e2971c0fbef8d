// Signals during long native work.
#include "interrupt.h"

#include <chrono>
#include <thread>

namespace flowbook::python {
namespace {

unsigned long g_main_thread = 0;
// What a signal handler raised during a poll; owned by the main thread until its call ends.
struct Pending {
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
} g_pending;
std::atomic<bool> g_has_pending{false};

// Threads that are taking the GIL back, and whether the interpreter is about to end.
std::atomic<int> g_restoring{0};
std::atomic<bool> g_exiting{false};

void begin_exit() {
  g_exiting.store(true);
  py::gil_scoped_release unlocked;  // those that are at it may finish
  for (int i = 0; i < 1000 && g_restoring.load(); ++i)
    std::this_thread::sleep_for(std::chrono::microseconds(100));
}

bool poll_signals() {
  if (g_has_pending.load(std::memory_order_relaxed)) return true;
  PyGILState_STATE state = PyGILState_Ensure();
  const bool raised = PyErr_CheckSignals() != 0;
  if (raised) {
    PyErr_Fetch(&g_pending.type, &g_pending.value, &g_pending.trace);
    g_has_pending.store(true, std::memory_order_relaxed);
  }
  PyGILState_Release(state);
  return raised;
}

void* begin_long_run() {
  if (!Py_IsInitialized() || !PyGILState_Check()) return nullptr;
  return new LongRun;
}
void end_long_run(void* token) { delete static_cast<LongRun*>(token); }

}  // namespace

bool (*signal_poll())() {
  return PyThread_get_thread_ident() == g_main_thread ? poll_signals : nullptr;
}

LongRun::LongRun(CancelToken* stop) : token_(stop ? stop : current_cancel_token()) {
  if (!token_) {
    token_ = &own_;
    own_.poll = signal_poll();
  }
  if (token_ != current_cancel_token()) scope_.emplace(token_);
  state_ = PyEval_SaveThread();
}
LongRun::~LongRun() {
  // Where the interpreter ends, taking the GIL would end this thread by unwinding it, which no
  // destructor survives. Daemon threads stay here until the process is gone.
  g_restoring.fetch_add(1);
  if (g_exiting.load() && PyThread_get_thread_ident() != g_main_thread) {
    g_restoring.fetch_sub(1);
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
  }
  PyEval_RestoreThread(state_);
  g_restoring.fetch_sub(1);
  scope_.reset();
}

bool take_interrupt() noexcept {
  if (!g_has_pending.load(std::memory_order_relaxed) ||
      PyThread_get_thread_ident() != g_main_thread)
    return false;
  Pending p = std::exchange(g_pending, {});
  g_has_pending.store(false, std::memory_order_relaxed);
  PyErr_Restore(p.type, p.value, p.trace);
  return true;
}
void flush_interrupt() {
  if (g_has_pending.load(std::memory_order_relaxed)) [[unlikely]]
    if (take_interrupt()) propagate();
}

void run(const OpDef& op, const void* attrs, Inputs in, Tensor* out) {
  apply(op, attrs, in, out);
  flush_interrupt();
}

void bind_interrupts(py::module_& m) {
  g_main_thread =
      py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
  g_long_run = {begin_long_run, end_long_run};
  py::module_::import("atexit").attr("register")(py::cpp_function(begin_exit));
  py::class_<CancelToken, std::shared_ptr<CancelToken>>(
      m, "CancelToken",
      "A flag that stops the run it was given to, from any thread, within milliseconds.")
      .def(py::init([] { return std::make_shared<CancelToken>(); }))
      .def(
          "cancel", [](CancelToken& t) { t.cancelled.store(true); }, "Stops the run.")
      .def(
          "clear", [](CancelToken& t) { t.cancelled.store(false); },
          "Makes the token usable again.")
      .def_property_readonly("cancelled", [](const CancelToken& t) { return t.cancelled.load(); });
  m.def(
      "set_thread_cancel_token", [](CancelToken* token) { set_thread_cancel_token(token); },
      py::arg("token").none(true),
      "Lets a token stop all native work of this thread; None takes it away. Keep it alive "
      "meanwhile.");
}

}  // namespace flowbook::python
