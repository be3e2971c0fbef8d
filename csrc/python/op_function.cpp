// One vectorcall type for every op: arguments are matched by what the record says, docs and
// signature come from it. OpMethod is the same as a descriptor, for `Tensor.sum`; a plain op stored
// in a class stays a function of its own.
#include "binding.h"

#include "core/random.h"

namespace flowbook::python {
namespace {

struct OpObject {
  PyObject ob_base;
  vectorcallfunc call;
  const OpDef* def;
  PyObject** names;  // interned: inputs, then attributes
};
PyTypeObject* g_op_type;
PyTypeObject* g_method_type;
std::vector<OpObject*> g_functions;  // by op id

constexpr size_t kInlineInputs = 8;

// The tensors of one call; variadic ops may have any number.
struct Arguments {
  explicit Arguments(size_t n) {
    if (n > kInlineInputs) {
      more_hold.resize(n), more_in.resize(n);
      hold = more_hold.data(), in = more_in.data();
    } else {
      for (size_t i = 0; i < n; ++i) few_in[i] = nullptr;
    }
  }
  Tensor few_hold[kInlineInputs];
  TensorImpl* few_in[kInlineInputs];
  std::vector<Tensor> more_hold;
  std::vector<TensorImpl*> more_in;
  Tensor* hold = few_hold;
  TensorImpl** in = few_in;
};

[[noreturn, gnu::cold]] void not_a_tensor(const OpDef& op, size_t i, PyObject* got) {
  const InputDef& input = op.inputs[op.variadic ? 0 : i];
  std::string which = op.variadic ? cat("`", input.name, "[", i, "]`") : cat("`", input.name, "`");
  if (got == Py_None)
    dtype_error(op.name, ": ", which, " is None. It must be a Tensor, an array or a number.");
  dtype_error(op.name, ": ", which, " is of type ", Py_TYPE(got)->tp_name,
              ". It must be a Tensor, an array or a number.");
}

// Index of the argument called `key`; `total` if there is none.
size_t find_name(const OpObject* f, size_t total, PyObject* key) {
  for (size_t i = 0; i < total; ++i)
    if (f->names[i] == key) return i;
  for (size_t i = 0; i < total; ++i)
    if (PyUnicode_Compare(f->names[i], key) == 0) return i;
  return total;
}

PyObject* results(Tensor* out, size_t n, bool one) {
  if (one) return wrap(std::move(out[0]));
  py::object list = py::reinterpret_steal<py::object>(checked(PyTuple_New(Py_ssize_t(n))));
  for (size_t i = 0; i < n; ++i)
    PyTuple_SET_ITEM(list.ptr(), Py_ssize_t(i), checked(wrap(std::move(out[i]))));
  return list.release().ptr();
}

PyObject* finish(const OpDef& op, const void* attrs, Inputs in) {
  int n = op.outputs_of(attrs, int(in.size()));
  if (n == 1 && op.fixed_outputs == 1) {
    Tensor out;
    run(op, attrs, in, &out);
    return wrap(std::move(out));
  }
  if (n < 0) argument_error(op.name, ": these arguments ask for ", n, " outputs.");
  std::vector<Tensor> out(size_t(n) + 1);
  run(op, attrs, in, out.data());
  return results(out.data(), size_t(n), false);
}

PyObject* call_variadic(OpObject* f, PyObject* list, AttrFrame& attrs) {
  const OpDef& op = *f->def;
  if (is_tensor(list) || is_variable(list) || PyUnicode_Check(list) ||
      !(PySequence_Check(list) || PyIter_Check(list)))
    dtype_error(op.name, ": `", op.inputs[0].name, "` is of type ", Py_TYPE(list)->tp_name,
                ". It must be a list or tuple of Tensors.");
  auto items = py::reinterpret_steal<py::object>(checked(PySequence_Tuple(list)));
  auto n = size_t(PyTuple_GET_SIZE(items.ptr()));
  Arguments args(n);
  for (size_t i = 0; i < n; ++i) {
    PyObject* item = PyTuple_GET_ITEM(items.ptr(), Py_ssize_t(i));
    if (!(args.in[i] = argument(item, args.hold[i]))) not_a_tensor(op, i, item);
  }
  try {
    return finish(op, attrs.get(), Inputs(args.in, n));
  } catch (const Error& e) {
    std::vector<PyObject*> values;
    for (size_t i = 0; i < n; ++i) values.push_back(PyTuple_GET_ITEM(items.ptr(), Py_ssize_t(i)));
    return raise_in_op(e, op, values.data(), n);
  }
}

PyObject* call_body(OpObject* f, PyObject* const* args, size_t positional, PyObject* kwnames) {
  const OpDef& op = *f->def;
  const size_t keywords = kwnames ? size_t(PyTuple_GET_SIZE(kwnames)) : 0;
  const size_t inputs = op.inputs.size(), total = inputs + op.attrs.size();
  if (positional > total)
    dtype_error(op.name, ": ", positional, " arguments were given. It takes at most ", total, ": ",
                op.name, op.signature(), ".");
  AttrFrame attrs(op);
  PyObject* values[kInlineInputs] = {};
  PyObject* list = nullptr;
  if (!op.variadic && inputs > kInlineInputs)
    internal_error(op.name, ": has too many inputs for a call.");
  Arguments tensors(op.variadic ? 0 : inputs);
  uint64_t given = 0;
  for (size_t i = 0; i < positional + keywords; ++i) {
    size_t at = i;
    if (i >= positional) {
      PyObject* key = PyTuple_GET_ITEM(kwnames, Py_ssize_t(i - positional));
      at = find_name(f, total, key);
      if (at == total || given >> at & 1) {
        const char* name = PyUnicode_AsUTF8(key);
        if (!name) propagate();
        dtype_error(op.name, at == total ? ": there is no argument `" : ": got two values for `",
                    name, "`. It is ", op.name, op.signature(), ".");
      }
    }
    given |= 1ull << at;
    if (at >= inputs)
      attr_from_python(op, op.attrs[at - inputs], attrs.data(), args[i]);
    else if (op.variadic)
      list = args[i];
    else if ((tensors.in[at] = argument(args[i], tensors.hold[at])))
      values[at] = args[i];
    else if (!(op.random && at == 0 && args[i] == Py_None))
      not_a_tensor(op, at, args[i]);
  }
  if (op.variadic) {
    if (!list)
      dtype_error(op.name, ": `", op.inputs[0].name, "` is missing. It is ", op.name,
                  op.signature(), ".");
    return call_variadic(f, list, attrs);
  }
  GeneratorState before;
  bool drawn = false;
  for (size_t i = 0; i < inputs; ++i) {
    if (tensors.in[i]) continue;
    if (i == 0 &&
        op.random) {  // the generator's next key, and the number of this node in its graph
      before = generator_state();
      int64_t stream = 0;
      tensors.in[0] = (tensors.hold[0] = next_key(&stream)).impl();
      values[0] = Py_None;
      drawn = true;
      for (const AttrDef& a : op.attrs)
        if (!strcmp(a.name, "stream"))
          *reinterpret_cast<int64_t*>(static_cast<char*>(attrs.data()) + a.offset) = stream;
      continue;
    }
    dtype_error(op.name, ": `", op.inputs[i].name, "` is missing. It is ", op.name, op.signature(),
                ".");
  }
  try {
    return finish(op, attrs.get(), Inputs(tensors.in, inputs));
  } catch (const Error& e) {
    if (drawn)
      set_generator_state(before);  // what fails or is cancelled consumes no random numbers
    return raise_in_op(e, op, values, inputs);
  }
}

// The usual call, `exp(x)`: every input a Tensor, every attribute left out. False for any other.
bool tensors_alone(const OpDef& op, PyObject* const* args, size_t positional, PyObject* kwnames,
                   TensorImpl** in) {
  if (kwnames || op.variadic || positional != op.inputs.size() || positional > kInlineInputs)
    return false;
  for (size_t i = 0; i < positional; ++i) {
    if (Py_TYPE(args[i]) != g_tensor) return false;
    in[i] = tensor_of(args[i]).impl();
  }
  return true;
}

PyObject* op_call(PyObject* self, PyObject* const* args, size_t nargsf,
                  PyObject* kwnames) noexcept {
  auto* f = reinterpret_cast<OpObject*>(self);
  auto positional = size_t(PyVectorcall_NARGS(nargsf));
  try {
    TensorImpl* in[kInlineInputs];
    if (tensors_alone(*f->def, args, positional, kwnames, in)) [[likely]]
      return finish(*f->def, f->def->defaults.get(), Inputs(in, positional));
    return call_body(f, args, positional, kwnames);
  } catch (const Error& e) {
    return raise_in_op(e, *f->def, args, std::min(positional, f->def->inputs.size()));
  } catch (...) {
    return raise_current(), nullptr;
  }
}

const OpDef& def_of(PyObject* o) { return *reinterpret_cast<OpObject*>(o)->def; }

template <class F>
PyObject* op_property(PyObject* o, F body) {
  return guarded([&] { return body(def_of(o)); });
}
PyObject* op_name(PyObject* o, void*) {
  return op_property(o, [](const OpDef& d) { return new_text(d.name); });
}
PyGetSetDef op_getset[] = {
    {"__doc__",
     [](PyObject* o, void*) {
       return op_property(o, [](const OpDef& d) { return new_text(d.docstring()); });
     },
     nullptr, nullptr, nullptr},
    {"__name__", op_name, nullptr, nullptr, nullptr},
    {"__qualname__", op_name, nullptr, nullptr, nullptr},
    {"__module__", [](PyObject*, void*) { return PyUnicode_FromString("flowbook"); }, nullptr,
     nullptr, nullptr},
    {"__text_signature__",
     [](PyObject* o, void*) {
       return op_property(o, [](const OpDef& d) { return new_text(d.signature()); });
     },
     nullptr, nullptr, nullptr},
    {"__signature__",
     [](PyObject* o, void*) {
       return guarded([&] {
         return py::module_::import("flowbook._signatures")
             .attr("of_op")(py::handle(o))
             .release()
             .ptr();
       });
     },
     nullptr, nullptr, nullptr},
    {}};
PyMemberDef op_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(OpObject, call), READONLY, nullptr}, {}};

void op_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  auto* f = reinterpret_cast<OpObject*>(o);
  if (f->names) {
    for (size_t i = 0; i < f->def->inputs.size() + f->def->attrs.size(); ++i)
      Py_XDECREF(f->names[i]);
    delete[] f->names;
  }
  type->tp_free(o);
  Py_DECREF(type);
}
PyObject* op_repr(PyObject* o) {
  return op_property(
      o, [](const OpDef& d) { return new_text(cat("<op ", d.name, d.signature(), ">")); });
}
PyObject* op_bind(PyObject* self, PyObject* object, PyObject*) {
  return object && object != Py_None ? PyMethod_New(self, object) : Py_NewRef(self);
}
// Pickled, copied and deep-copied by name.
PyObject* op_reduce(PyObject* o, PyObject*) {
  return guarded([&] {
    return py::make_tuple(py::module_::import("flowbook._core").attr("op"),
                          py::make_tuple(def_of(o).name))
        .release()
        .ptr();
  });
}
PyMethodDef op_methods[] = {{"__reduce__", op_reduce, METH_NOARGS, nullptr}, {}};

PyTypeObject* make_type(const char* name, bool method) {
  std::vector<PyType_Slot> slots = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                    {Py_tp_dealloc, reinterpret_cast<void*>(op_dealloc)},
                                    {Py_tp_repr, reinterpret_cast<void*>(op_repr)},
                                    {Py_tp_getset, op_getset},
                                    {Py_tp_members, op_members},
                                    {Py_tp_methods, op_methods}};
  if (method) slots.push_back({Py_tp_descr_get, reinterpret_cast<void*>(op_bind)});
  slots.push_back({0, nullptr});
  unsigned flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL;
#ifdef Py_TPFLAGS_DISALLOW_INSTANTIATION
  flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
#endif
  if (method) flags |= Py_TPFLAGS_METHOD_DESCRIPTOR;
  PyType_Spec spec = {name, sizeof(OpObject), 0, flags, slots.data()};
  return reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
}

PyObject* make_function(PyTypeObject* type, const OpDef& def) {
  auto* f = reinterpret_cast<OpObject*>(checked(type->tp_alloc(type, 0)));
  f->call = op_call;
  f->def = &def;
  f->names = new PyObject*[def.inputs.size() + def.attrs.size() + 1]();
  size_t k = 0;
  for (const InputDef& i : def.inputs) f->names[k++] = checked(PyUnicode_InternFromString(i.name));
  for (const AttrDef& a : def.attrs) f->names[k++] = checked(PyUnicode_InternFromString(a.name));
  return reinterpret_cast<PyObject*>(f);
}

}  // namespace

const OpDef* op_of(PyObject* o) {
  return Py_TYPE(o) == g_op_type || Py_TYPE(o) == g_method_type ? &def_of(o) : nullptr;
}

void bind_ops(py::module_& m) {
  g_op_type = make_type("flowbook.OpFunction", false);
  g_method_type = make_type("flowbook.OpMethod", true);
  m.attr("OpFunction") = py::handle(reinterpret_cast<PyObject*>(g_op_type));
  py::module_ ops = m.def_submodule("ops", "Every op of the registry, by name.");
  for (auto& def : registry().all()) {
    PyObject* f = make_function(g_op_type, *def);
    if (size_t(def->id) >= g_functions.size()) g_functions.resize(size_t(def->id) + 1);
    g_functions[size_t(def->id)] = reinterpret_cast<OpObject*>(f);
    ops.attr(def->name) = py::reinterpret_steal<py::object>(f);
  }
  m.def("op", [](const std::string& name) {
    const OpDef& def = registry().find(name);
    return py::reinterpret_borrow<py::object>(
        reinterpret_cast<PyObject*>(g_functions.at(size_t(def.id))));
  });
  m.def("method", [](py::handle op) {
    const OpDef* def = op_of(op.ptr());
    if (!def) dtype_error("method: `op` must be an op.");
    return py::reinterpret_steal<py::object>(make_function(g_method_type, *def));
  });
}

}  // namespace flowbook::python
