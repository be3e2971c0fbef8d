// The process-wide generator and how ops get their keys from it.
#include "core/random.h"

#include <mutex>

#include "core/fork.h"
#include "core/graph.h"

namespace flowbook {

namespace {
std::mutex generator_mutex;
[[maybe_unused]] const bool kHeld = (hold_over_fork(generator_mutex, 2), true);
GeneratorState generator;
struct Own {
  bool used;
  uint64_t seed, counter;
};
constinit thread_local Own own __attribute__((tls_model("initial-exec"))) = {false, 0, 0};
}  // namespace

void set_thread_generator(const GeneratorState* s) {
  own = s ? Own{true, s->seed, s->counter} : Own{false, 0, 0};
}
GeneratorState generator_state() {
  if (own.used) return {own.seed, own.counter};
  std::lock_guard lock(generator_mutex);
  return generator;
}
void set_generator_state(GeneratorState s) {
  if (own.used) return set_thread_generator(&s);
  std::lock_guard lock(generator_mutex);
  generator = s;
}
GeneratorState take_generator_counter() {
  if (own.used) return {own.seed, own.counter++};
  std::lock_guard lock(generator_mutex);
  return {generator.seed, generator.counter++};
}
void return_generator_counter(GeneratorState taken) {
  if (own.used) {
    if (own.seed == taken.seed && own.counter == taken.counter + 1) own.counter = taken.counter;
    return;
  }
  std::lock_guard lock(generator_mutex);
  if (generator.seed == taken.seed && generator.counter == taken.counter + 1)
    generator.counter = taken.counter;
}
Tensor make_key(GeneratorState s) {
  Tensor key = empty({{2}, DType::i64});
  auto* p = static_cast<uint64_t*>(view_of(key).data());
  p[0] = s.seed, p[1] = s.counter;
  return key;
}
Tensor next_key(int64_t* stream) {
  if (Graph* program = Recorder::program()) {
    *stream = program->next_stream();
    return program->key();
  }
  *stream = 0;
  return make_key(take_generator_counter());
}

}  // namespace flowbook
