// CompiledCall: one trace of a compiled function as a callable. It takes the tensors of a call as
// they come, checks that they are what the plan was made for, and runs it: the short way through
// fb.graph for steps of microseconds.
#include "admission.h"
#include "core/executable.h"
#include "interrupt.h"

namespace flowbook::python {
namespace {

struct CompiledCall {
  PyObject ob_base;
  vectorcallfunc call;
  std::shared_ptr<Executable> executable;
  std::vector<Spec> specs;
  bool single;  // one result, returned as it is
  bool finite;  // takes no effect where a number among the results is not finite
};
PyTypeObject* g_compiled_call;

// Borrowed references suffice: the caller holds the arguments.
bool matches(const CompiledCall& c, PyObject* const* args, size_t n, std::vector<Tensor>& in) {
  if (n != c.specs.size() || Recorder::top()) return false;
  in.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const Spec& want = c.specs[i];
    if (Py_TYPE(args[i]) == g_tensor) {
      const Tensor& t = tensor_of(args[i]);
      if (!(t.spec() == want) || t.symbolic()) return false;
      in.push_back(t);
    } else if (want.weak && PyFloat_CheckExact(args[i]) && want.dtype == DType::f64) {
      in.push_back(scalar(PyFloat_AS_DOUBLE(args[i]), DType::f64, true));
    } else if (want.weak && PyLong_CheckExact(args[i]) && want.dtype == DType::i64) {
      int overflow = 0;
      const int64_t number = PyLong_AsLongLongAndOverflow(args[i], &overflow);
      if (overflow) return false;
      in.push_back(scalar(number, DType::i64, true));
    } else {
      return false;
    }
  }
  return true;
}

PyObject* call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  return guarded([&]() -> PyObject* {
    auto& c = *reinterpret_cast<CompiledCall*>(self);
    std::vector<Tensor> in, out;
    if (kwnames || !matches(c, args, size_t(PyVectorcall_NARGS(nargsf)), in))
      Py_RETURN_NOTIMPLEMENTED;
    const std::shared_ptr<Executable> keep = c.executable;
    bool admitted = true;
    const Admission finite = [&](std::span<const Tensor> results) {
      return admitted = numbers_are_finite(results);
    };
    {
      CancelToken own;
      CancelToken* token = current_cancel_token();  // of a training run's thread
      if (!token) {
        token = &own;
        own.poll = signal_poll();
      }
      LongRun unlocked(token);
      RunOptions options;
      options.cancel = token;
      if (c.finite) options.admit = &finite;
      out = keep->run(in, options);
    }
    flush_interrupt();
    if (!admitted) raise_not_finite();
    if (c.single) return wrap(std::move(out[0]));
    auto tuple = py::reinterpret_steal<py::object>(checked(PyTuple_New(Py_ssize_t(out.size()))));
    for (size_t i = 0; i < out.size(); ++i)
      PyTuple_SET_ITEM(tuple.ptr(), Py_ssize_t(i), checked(wrap(std::move(out[i]))));
    return tuple.release().ptr();
  });
}

void dealloc(PyObject* o) {
  auto* c = reinterpret_cast<CompiledCall*>(o);
  c->executable.~shared_ptr();
  c->specs.~vector();
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}
PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(CompiledCall, call), READONLY, nullptr}, {}};
PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                       {Py_tp_members, members},
                       {0, nullptr}};
PyType_Spec type_spec = {
    "flowbook._core.CompiledCall", sizeof(CompiledCall), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

void bind_compiled_call(py::module_& m) {
  g_compiled_call = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&type_spec)));
  m.attr("CompiledCall") = py::handle(reinterpret_cast<PyObject*>(g_compiled_call));
  m.def(
      "compiled_call",
      [](std::shared_ptr<Executable> e, const std::vector<Tensor>& examples, bool single,
         bool finite) {
        auto* c =
            reinterpret_cast<CompiledCall*>(checked(g_compiled_call->tp_alloc(g_compiled_call, 0)));
        c->call = call;
        new (&c->executable) std::shared_ptr<Executable>(std::move(e));
        new (&c->specs) std::vector<Spec>();
        for (const Tensor& t : examples) c->specs.push_back(t.spec());
        c->single = single;
        c->finite = finite;
        return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(c));
      },
      py::arg("executable"), py::arg("examples"), py::arg("single"), py::arg("finite") = false,
      "A callable of tensors with the specs of `examples`; for others it returns NotImplemented. "
      "`finite`: see Executable.run.");
}

}  // namespace flowbook::python
