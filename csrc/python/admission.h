// Runs that take effect only where their results are finite.
#pragma once
#include "binding.h"

namespace flowbook::python {

// NonFiniteError of flowbook.errors; what catches it knows more to say.
[[noreturn]] inline void raise_not_finite() {
  PyErr_SetString(py::module_::import("flowbook.errors").attr("NonFiniteError").ptr(),
                  "a result of the run is not finite; it has changed nothing.");
  propagate();
}

}  // namespace flowbook::python
