// The per-thread stack of recordings.
#include "core/graph.h"

namespace flowbook {

namespace {
constinit thread_local Recorder* top_recorder __attribute__((tls_model("initial-exec"))) = nullptr;
}

Recorder::Recorder(std::shared_ptr<Graph> g) : graph(std::move(g)), outer(top_recorder) {
  top_recorder = this;
}
Recorder::~Recorder() {
  if (ended_) return;
  // Out of order (a generator was closed late): unlink from the middle rather than lose the inner
  // ones.
  for (Recorder** at = &top_recorder; *at; at = &(*at)->outer)
    if (*at == this) {
      *at = outer;
      return;
    }
}
void Recorder::end() {
  if (ended_) return;
  if (top_recorder != this)
    fail(ErrorKind::kGraph,
         "recordings must end in the reverse order of their begin. Close the inner graph or tape "
         "first.");
  top_recorder = outer;
  ended_ = true;
}

Recorder* Recorder::top() { return top_recorder; }
Graph* Recorder::program() {
  for (Recorder* r = top_recorder; r && r->graph; r = r->outer)
    if (r->graph->symbolic) return r->graph.get();
  return nullptr;
}
Graph* Recorder::current() { return top_recorder ? top_recorder->graph.get() : nullptr; }

}  // namespace flowbook
