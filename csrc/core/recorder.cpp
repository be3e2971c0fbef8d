// The per-thread stack of recordings.
#include "core/blocks.h"
#include "core/graph.h"

namespace flowbook {

Recorder::Recorder(std::shared_ptr<Graph> g) : graph(std::move(g)), outer(tls.recorder) {
  tls.recorder = this;
}
Recorder::~Recorder() {
  if (ended_) return;
  // Out of order (a generator was closed late): unlink from the middle rather than lose the inner
  // ones.
  for (Recorder** at = &tls.recorder; *at; at = &(*at)->outer)
    if (*at == this) {
      *at = outer;
      return;
    }
}
void Recorder::end() {
  if (ended_) return;
  if (tls.recorder != this)
    fail(ErrorKind::kGraph,
         "recordings must end in the reverse order of their begin. Close the inner graph or tape "
         "first.");
  tls.recorder = outer;
  ended_ = true;
}

Recorder* Recorder::top() { return tls.recorder; }
Graph* Recorder::program() {
  for (Recorder* r = tls.recorder; r && r->graph; r = r->outer)
    if (r->graph->symbolic) return r->graph.get();
  return nullptr;
}
Graph* Recorder::current() { return tls.recorder ? tls.recorder->graph.get() : nullptr; }

}  // namespace flowbook
