// Error kinds as Python classes (flowbook.errors), and the way from a C++ exception to a raised
// one.
#include "interrupt.h"

namespace flowbook::python {
namespace {

struct ErrorClass {
  const char* name;
  ErrorKind kind;
  const char* base;     // another class of this table, or null: FlowbookError
  const char* builtin;  // what plain Python code catches
  const char* doc;
};
// Bases stand before what derives from them.
constexpr ErrorClass kClasses[] = {
    {"ShapeError", ErrorKind::kShape, nullptr, "ValueError",
     "Shapes that do not fit together, or a size that is impossible.\n\n"
     "Wrong:  fb.ones((2, 3)) @ fb.ones((2, 3))\n"
     "Right:  fb.ones((2, 3)) @ fb.ones((3, 2))"},
    {"AxisError", ErrorKind::kAxis, "ShapeError", "IndexError",
     "An axis that the tensor does not have.\n\n"
     "Wrong:  fb.sum(fb.ones((2, 3)), axis=2)\n"
     "Right:  fb.sum(fb.ones((2, 3)), axis=1)"},
    {"DTypeError", ErrorKind::kDType, nullptr, "TypeError",
     "A dtype (or Python type) that the op does not take.\n\n"
     "Wrong:  fb.asarray([1.5]) & 1\n"
     "Right:  fb.asarray([1]) & 1"},
    {"MissingKernelError", ErrorKind::kMissingKernel, "DTypeError", nullptr,
     "The op is defined for this dtype, but the device has no kernel for it; the text lists those "
     "it has."},
    {"IndexOutOfRange", ErrorKind::kIndex, nullptr, "IndexError",
     "An index outside its axis. Nothing was written."},
    {"ArgumentError", ErrorKind::kArgument, nullptr, "ValueError",
     "An argument whose value makes no sense, or a name the op does not know."},
    {"DeviceError", ErrorKind::kDevice, nullptr, "RuntimeError",
     "Tensors of different devices met, or a device is missing. `.to(device)` copies."},
    {"GraphError", ErrorKind::kGraph, nullptr, "RuntimeError",
     "A symbol was used where a value is needed, or a graph was used in a way it cannot be.\n\n"
     "Wrong:  inside a graph: `if loss > 1: ...`\n"
     "Right:  fb.where(loss > 1, a, b)"},
    {"FeedError", ErrorKind::kFeed, "GraphError", nullptr,
     "A graph was called with an input missing, unknown or of the wrong dtype or shape."},
    {"GradientError", ErrorKind::kGradient, nullptr, "RuntimeError",
     "A gradient was asked for where there is none: nothing recorded it, or the dtype is not "
     "floating.\n\n"
     "Right:  with fb.tape() as t:\n"
     "            y = fb.sum(x * x)\n"
     "        t.gradients(y, x)"},
    {"InternalError", ErrorKind::kInternal, nullptr, "RuntimeError",
     "A bug in flowbook; please report it."},
    {"LoadError", ErrorKind::kLoad, nullptr, "ValueError",
     "A file that cannot be read as what it should be."},
    {"DataError", ErrorKind::kData, nullptr, "ValueError",
     "Data that does not fit what it is used for."},
    {"OutOfMemoryError", ErrorKind::kOutOfMemory, nullptr, "MemoryError",
     "The device has not enough memory left, also after caches were freed."},
    {"CancelledError", ErrorKind::kCancelled, nullptr, "RuntimeError",
     "The run was stopped from another thread; nothing it would have changed has changed."},
};

PyObject* g_classes[kErrorKinds];
PyObject* g_base;
PyObject* g_hook;         // (op name, text, input names, values) -> text
PyObject* g_memory_hook;  // text of an OutOfMemoryError -> text

void set_error(const Error& e, const std::string& message) noexcept {
  if (e.kind == ErrorKind::kCancelled) {
    // The poll that cancelled the run has left its exception (KeyboardInterrupt, or whatever a
    // handler raised).
    if (PyErr_Occurred() || take_interrupt()) return;
  }
  PyObject* type = g_classes[int(e.kind)] ? g_classes[int(e.kind)] : PyExc_RuntimeError;
  PyObject* value = PyUnicode_DecodeUTF8(message.data(), Py_ssize_t(message.size()), "replace");
  if (!value) return;
  if (e.kind == ErrorKind::kOutOfMemory && g_memory_hook) {
    if (PyObject* told = PyObject_CallOneArg(g_memory_hook, value)) {
      Py_DECREF(value);
      value = told;
    } else {
      PyErr_Clear();  // an error message is no place for another error
    }
  }
  PyErr_SetObject(type, value);
  Py_DECREF(value);
}

}  // namespace

PyObject* error_class(ErrorKind kind) { return g_classes[int(kind)]; }

PyObject* raise(const Error& e) noexcept {
  set_error(e, e.text);
  return nullptr;
}

PyObject* raise_in_op(const Error& e, const OpDef& op, PyObject* const* values,
                      size_t count) noexcept {
  try {
    const bool named = e.located || e.text.rfind(cat(op.name, ": "), 0) == 0;
    std::string message = named ? e.text : cat(op.name, ": ", e.text);
    if (g_hook && e.kind != ErrorKind::kCancelled && !PyErr_Occurred()) {
      py::list names;
      for (size_t i = 0; i < op.inputs.size(); ++i) names.append(op.inputs[i].name);
      py::list args;
      for (size_t i = 0; i < count; ++i) args.append(py::reinterpret_borrow<py::object>(values[i]));
      try {
        message = py::handle(g_hook)(op.name, text(message), names, args).cast<std::string>();
      } catch (py::error_already_set&) {  // an error message is no place for another error
      } catch (py::cast_error&) {
      }
    }
    set_error(e, message);
  } catch (...) {
    set_error(e, e.text);
  }
  return nullptr;
}

void raise_current() noexcept {
  try {
    throw;
  } catch (const Error& e) {
    raise(e);
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (const py::builtin_exception& e) {
    e.set_error();
  } catch (const std::bad_alloc&) {
    raise(Error(ErrorKind::kOutOfMemory, "The system is out of memory."));
  } catch (const std::exception& e) {
    PyErr_SetString(g_classes[int(ErrorKind::kInternal)], e.what());
  } catch (...) {
    PyErr_SetString(g_classes[int(ErrorKind::kInternal)], "An unknown error.");
  }
}

void bind_errors(py::module_& m) {
  py::module_ builtins = py::module_::import("builtins");
  py::object type = builtins.attr("type");
  auto make = [&](const char* name, const py::tuple& bases, const char* doc) {
    py::dict members;
    members["__module__"] = "flowbook";
    members["__doc__"] = doc;
    py::object made = type(name, bases, members);
    m.attr(name) = made;
    return made;
  };
  g_base = make("FlowbookError", py::make_tuple(builtins.attr("Exception")),
                "The base of every error of flowbook.")
               .release()
               .ptr();
  py::handle root(g_base);
  for (const ErrorClass& c : kClasses) {
    py::list bases;
    bases.append(c.base ? py::object(m.attr(c.base)) : py::reinterpret_borrow<py::object>(root));
    if (c.builtin) bases.append(builtins.attr(c.builtin));
    g_classes[int(c.kind)] = make(c.name, py::tuple(bases), c.doc).release().ptr();
  }
  py::register_exception_translator([](std::exception_ptr p) {
    if (!p) return;
    try {
      std::rethrow_exception(p);
    } catch (const Error& e) {
      raise(e);
    }
  });
  m.def("set_memory_hook", [](py::object hook) {
    Py_XDECREF(g_memory_hook);
    g_memory_hook = hook.is_none() ? nullptr : hook.release().ptr();
  });
  m.def("set_error_hook", [](py::object hook) {
    Py_XDECREF(g_hook);
    g_hook = hook.is_none() ? nullptr : hook.release().ptr();
  });
}

}  // namespace flowbook::python
