// CompiledCall: one plan as a callable. It takes the tensors of a call as they come, or those that
// a graph is fed by name, checks that they are what the plan was made for, and runs it: the short
// way through fb.graph for steps of microseconds.
#include "admission.h"
#include "core/executable.h"
#include "interrupt.h"

namespace flowbook::python {
namespace {

struct CompiledCall {
  PyObject ob_base;
  vectorcallfunc call;
  std::shared_ptr<Executable> executable;
  std::vector<Spec> specs;  // of what a call brings
  bool single;              // one result, returned as it is
  bool finite;              // takes no effect where a number among the results is not finite
  // Of a graph that is fed by name:
  std::vector<Tensor> captured;  // the plan's first inputs
  PyObject *names, *results;     // tuples of strings, else null
  std::shared_ptr<Graph> graph;  // a graph that has grown since has other results
  size_t nodes;
};
PyTypeObject* g_compiled_call;

// Appends an argument if it is what the plan was made for.
bool take(const Spec& want, PyObject* arg, std::vector<Tensor>& in) {
  if (Py_TYPE(arg) == g_tensor) {
    const Tensor& t = tensor_of(arg);
    if (!(t.spec() == want) || t.symbolic()) return false;
    in.push_back(t);
    return true;
  }
  if (want.weak && PyFloat_CheckExact(arg) && want.dtype == DType::f64) {
    in.push_back(scalar(PyFloat_AS_DOUBLE(arg), DType::f64, true));
    return true;
  }
  if (want.weak && PyLong_CheckExact(arg) && want.dtype == DType::i64) {
    int overflow = 0;
    const int64_t number = PyLong_AsLongLongAndOverflow(arg, &overflow);
    if (overflow) return false;
    in.push_back(scalar(number, DType::i64, true));
    return true;
  }
  return false;
}

std::vector<Tensor> run(CompiledCall& c, const std::vector<Tensor>& in) {
  const std::shared_ptr<Executable> keep = c.executable;
  std::vector<Tensor> out;
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
  return out;
}

PyObject* call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  return guarded([&]() -> PyObject* {
    auto& c = *reinterpret_cast<CompiledCall*>(self);
    const size_t n = size_t(PyVectorcall_NARGS(nargsf));
    if (kwnames || n != c.specs.size() || Recorder::top()) Py_RETURN_NOTIMPLEMENTED;
    std::vector<Tensor> in;
    in.reserve(n);
    for (size_t i = 0; i < n; ++i)
      if (!take(c.specs[i], args[i], in)) Py_RETURN_NOTIMPLEMENTED;
    std::vector<Tensor> out = run(c, in);
    if (c.single) return wrap(std::move(out[0]));
    auto tuple = py::reinterpret_steal<py::object>(checked(PyTuple_New(Py_ssize_t(out.size()))));
    for (size_t i = 0; i < out.size(); ++i)
      PyTuple_SET_ITEM(tuple.ptr(), Py_ssize_t(i), checked(wrap(std::move(out[i]))));
    return tuple.release().ptr();
  });
}

// The results by name for feeds by name, which must come in the order of `names`.
PyObject* fed(PyObject* self, PyObject* feeds) {
  return guarded([&]() -> PyObject* {
    auto& c = *reinterpret_cast<CompiledCall*>(self);
    if (!c.names || !PyDict_CheckExact(feeds) || c.graph->nodes.size() != c.nodes ||
        size_t(PyDict_GET_SIZE(feeds)) != c.specs.size() || Recorder::top())
      Py_RETURN_NOTIMPLEMENTED;
    std::vector<Tensor> in;
    in.reserve(c.captured.size() + c.specs.size());
    in = c.captured;
    PyObject *key, *value;
    Py_ssize_t at = 0;
    for (size_t i = 0; PyDict_Next(feeds, &at, &key, &value); ++i) {
      PyObject* name = PyTuple_GET_ITEM(c.names, Py_ssize_t(i));
      if (key != name && PyUnicode_Compare(key, name) != 0) Py_RETURN_NOTIMPLEMENTED;
      if (!take(c.specs[i], value, in)) Py_RETURN_NOTIMPLEMENTED;
    }
    std::vector<Tensor> out = run(c, in);
    auto named = py::reinterpret_steal<py::object>(checked(PyDict_New()));
    for (size_t i = 0; i < out.size(); ++i) {
      const auto result = py::reinterpret_steal<py::object>(checked(wrap(std::move(out[i]))));
      if (PyDict_SetItem(named.ptr(), PyTuple_GET_ITEM(c.results, Py_ssize_t(i)), result.ptr()))
        throw py::error_already_set();
    }
    return named.release().ptr();
  });
}

CompiledCall* make(std::shared_ptr<Executable> executable, std::span<const Tensor> examples) {
  auto* c = reinterpret_cast<CompiledCall*>(checked(g_compiled_call->tp_alloc(g_compiled_call, 0)));
  c->call = call;
  new (&c->executable) std::shared_ptr<Executable>(std::move(executable));
  new (&c->specs) std::vector<Spec>();
  new (&c->captured) std::vector<Tensor>();
  new (&c->graph) std::shared_ptr<Graph>();
  for (const Tensor& t : examples) c->specs.push_back(t.spec());
  return c;
}

void dealloc(PyObject* o) {
  auto* c = reinterpret_cast<CompiledCall*>(o);
  c->executable.~shared_ptr();
  c->specs.~vector();
  c->captured.~vector();
  c->graph.~shared_ptr();
  Py_XDECREF(c->names);
  Py_XDECREF(c->results);
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}
PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(CompiledCall, call), READONLY, nullptr}, {}};
PyMethodDef methods[] = {
    {"fed", fed, METH_O, "Results by name for feeds by name, or NotImplemented."}, {}};
PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                       {Py_tp_members, members},
                       {Py_tp_methods, methods},
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
        CompiledCall* c = make(std::move(e), examples);
        c->single = single, c->finite = finite;
        return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(c));
      },
      py::arg("executable"), py::arg("examples"), py::arg("single"), py::arg("finite") = false,
      "A callable of tensors with the specs of `examples`; for others it returns NotImplemented. "
      "`finite`: see Executable.run.");
  m.def(
      "named_call",
      [](std::shared_ptr<Executable> e, const std::vector<Tensor>& inputs, const py::tuple& names,
         const py::tuple& results, std::shared_ptr<Graph> graph) {
        const size_t captured = inputs.size() - names.size();
        CompiledCall* c = make(std::move(e), std::span(inputs).subspan(captured));
        auto held = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(c));
        c->captured.assign(inputs.begin(), inputs.begin() + std::ptrdiff_t(captured));
        c->names = names.inc_ref().ptr(), c->results = results.inc_ref().ptr();
        c->nodes = graph->nodes.size(), c->graph = std::move(graph);
        return held;
      },
      py::arg("executable"), py::arg("inputs"), py::arg("names"), py::arg("results"),
      py::arg("graph"), "A CompiledCall whose `fed` takes the last inputs by name.");
}

}  // namespace flowbook::python
