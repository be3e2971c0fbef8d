// Cancellation: a token that whoever wants a run to stop may set (a signal handler, a stop button).
// The executor looks at it between steps, the thread pool before each chunk.
#pragma once
#include <atomic>
#include <cstdint>

#include "core/export.h"

namespace flowbook {

struct CancelToken {
  std::atomic<bool> cancelled{false};
  // Asked every kPollNanoseconds by the thread that runs, between steps and chunks: true cancels.
  // The Python binding looks for signals here.
  bool (*poll)() = nullptr;
};
inline constexpr int64_t kPollNanoseconds = 5'000'000;

// Makes `token` the current one of this thread; a pool worker that takes part in its loops passes
// `polls` = false. Null shields what must not be cancelled.
class FB_API CancelScope {
 public:
  explicit CancelScope(CancelToken* token, bool polls = true);
  ~CancelScope();
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

 private:
  CancelToken* outer_;
  bool outer_polls_;
};
FB_API CancelToken* current_cancel_token();
// The token of all this thread's work outside of any scope; null for none.
FB_API void set_thread_cancel_token(CancelToken* token);
// Throws an Error of kind kCancelled if the current token is set.
FB_API void check_cancelled();

}  // namespace flowbook
