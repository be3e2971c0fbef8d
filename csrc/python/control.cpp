// What gradients of functions need beyond ops: rules written in Python, barriers, replay of random
// streams.
#include <pybind11/functional.h>

#include "binding.h"
#include "ops/ops.h"

namespace flowbook::python {

namespace {
// A Python rule for the walk. The walk may run on any thread, and may outlive the interpreter's
// interest in it.
GradientRule python_rule(py::function f) {
  std::shared_ptr<PyObject> held(f.release().ptr(), [](PyObject* o) {
    if (!Py_IsInitialized()) return;
    py::gil_scoped_acquire gil;
    Py_DECREF(o);
  });
  return [held](std::span<const Tensor> dy) {
    py::gil_scoped_acquire gil;
    py::list seeds;
    for (const Tensor& t : dy) seeds.append(t ? py::cast(t) : py::none());
    return py::handle(held.get())(seeds).cast<std::vector<Tensor>>();
  };
}
}  // namespace

void bind_control(py::module_& m) {
  m.def(
      "custom_gradient",
      [](const std::vector<Tensor>& inputs, const std::vector<Tensor>& results, py::function rule) {
        return custom_gradient(inputs, results, python_rule(std::move(rule)));
      },
      py::arg("inputs"), py::arg("results"), py::arg("rule"),
      "The results, linked in what records to a rule for their gradient: rule([dy, ...]) -> [dx, "
      "...].");
  m.def("barrier", &barrier, "x itself, never merged with x by the compiler.");
  m.def(
      "random_streams",
      [] {
        Graph* g = Recorder::program();
        return g ? g->streams : int64_t(0);
      },
      "How many random ops the recording graph has.");
  m.def("set_random_streams", [](int64_t n) {
    if (Graph* g = Recorder::program()) g->streams = n;
  });
  m.def(
      "variables_read", [](const std::shared_ptr<Graph>& g) { return g->variables(); },
      "The Variables that a graph or tape has read, in order.");
}

}  // namespace flowbook::python
