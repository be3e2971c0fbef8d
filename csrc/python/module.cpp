// flowbook._core: the module is put together here.
#include "cpu/cpu.h"
#include "interrupt.h"
#include "ops/ops.h"

namespace flowbook {
void bind_layout(pybind11::module_& m);
}

namespace flowbook::python {

// Defined next to what they bind.
void bind_program(py::module_& m);
void bind_control(py::module_& m);
void bind_compiled_call(py::module_& m);
void bind_owner(py::module_& m);
void bind_course(py::module_& m);

PYBIND11_MODULE(_core, m) {
  m.doc() = "The native core of flowbook. Private: use the flowbook package.";
  bind_errors(m);
  register_ops(registry());
  cpu::register_cpu();
  bind_dtypes(m);
  bind_tensor(m);
  bind_variable(m);
  bind_owner(m);
  bind_convert(m);
  bind_dlpack(m);
  bind_ops(m);
  bind_indexing(m);
  bind_interrupts(m);
  bind_graph(m);
  bind_program(m);
  bind_control(m);
  bind_compiled_call(m);
  bind_course(m);
  bind_layout(m);
  bind_random(m);
  bind_memory(m);
  bind_system(m);
  bind_testing(m);
}

}  // namespace flowbook::python
