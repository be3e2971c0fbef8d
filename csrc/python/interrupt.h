// Long native work: without the GIL, with signals looked at in between. Ctrl-C (or a kernel
// interrupt) cancels, and what the Python handler raised comes out of the call.
#pragma once
#include <optional>

#include "binding.h"
#include "core/cancel.h"

namespace flowbook::python {

// While alive this thread runs without the GIL; on the main thread signals are polled. Does nothing
// but that where the GIL is not held.
class LongRun {
 public:
  explicit LongRun(CancelToken* stop = nullptr);  // null: the current token, or one of its own
  ~LongRun();
  LongRun(const LongRun&) = delete;
  CancelToken* token() { return token_; }

 private:
  CancelToken own_;
  CancelToken* token_;
  std::optional<CancelScope> scope_;
  PyThreadState* state_;
};

// What to poll on this thread: signals on the main thread, nothing elsewhere.
bool (*signal_poll())();
// Raises what a handler raised while the GIL was released, if that has not happened yet. Call after
// long work.
void flush_interrupt();
bool take_interrupt() noexcept;  // sets the Python error; false if there is none

void bind_interrupts(py::module_& m);

}  // namespace flowbook::python
