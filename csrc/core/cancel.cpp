// The current cancel token of each thread.
#include "core/cancel.h"

#include <chrono>

#include "core/error.h"

namespace flowbook {

namespace {
struct State {
  CancelToken* token;
  bool polls;
  int64_t next_poll;
};
constinit thread_local State state __attribute__((tls_model("initial-exec"))) = {nullptr, false, 0};

int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

[[gnu::noinline]] void poll(CancelToken& token) {
  if (const int64_t t = now(); t >= state.next_poll) {
    if (token.poll()) token.cancelled.store(true, std::memory_order_relaxed);
    state.next_poll = now() + kPollNanoseconds;
  }
}
}  // namespace

CancelScope::CancelScope(CancelToken* token, bool polls)
    : outer_(state.token), outer_polls_(state.polls) {
  state.token = token;
  state.polls = token && polls && token->poll;
  if (state.polls && !outer_) state.next_poll = now() + kPollNanoseconds;
}
CancelScope::~CancelScope() {
  state.token = outer_;
  state.polls = outer_polls_;
}
CancelToken* current_cancel_token() { return state.token; }
void set_thread_cancel_token(CancelToken* token) { state = {token, token && token->poll, 0}; }
void check_cancelled() {
  CancelToken* token = state.token;
  if (!token) [[likely]]
    return;
  if (state.polls) poll(*token);
  if (token->cancelled.load(std::memory_order_relaxed)) [[unlikely]]
    fail(ErrorKind::kCancelled, "the run was interrupted. Its results were discarded.");
}

}  // namespace flowbook
