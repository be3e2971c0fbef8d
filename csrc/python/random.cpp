// The process-wide random generator's state.
#include "core/random.h"
#include "binding.h"

namespace flowbook::python {

void bind_random(py::module_& m) {
  m.def("generator_state", [] {
    GeneratorState s = generator_state();
    return py::make_tuple(s.seed, s.counter);
  });
  m.def(
      "set_generator_state",
      [](uint64_t seed, uint64_t counter) { set_generator_state({seed, counter}); },
      py::arg("seed"), py::arg("counter"));
  m.def(
      "set_thread_generator",
      [](uint64_t seed, uint64_t counter) {
        const GeneratorState s{seed, counter};
        set_thread_generator(&s);
      },
      py::arg("seed"), py::arg("counter"), "Gives this thread a generator of its own.");
  m.def("clear_thread_generator", [] { set_thread_generator(nullptr); });
  m.def(
      "make_key", [](uint64_t seed, uint64_t counter) { return make_key({seed, counter}); },
      py::arg("seed"), py::arg("counter"));
  m.def("next_key", [] {
    int64_t stream = 0;
    Tensor key = next_key(&stream);
    return py::make_tuple(key, stream);
  });
}

}  // namespace flowbook::python
