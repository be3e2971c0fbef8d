// Tensor as a hand-written heap type: a pybind11 class costs 150 ns an instance, this one 13. Here
// are construction, the cheap properties and the object's life; operators are in number_slots.cpp,
// cold methods in _tensor.py, which attaches them to this type.
#include "binding.h"
#include "ops/ops.h"

namespace flowbook::python {

PyTypeObject* g_tensor;

namespace {

constexpr int kKept = 64;
TensorObject* g_free[kKept];
int g_free_count = 0;
PyObject* g_attribute_hook = nullptr;

PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"value", "dtype", "copy", nullptr};
    PyObject *value, *dtype = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:Tensor", const_cast<char**>(names), &value,
                                     &dtype, &copy))
      propagate();
    Tensor t = as_tensor(value, dtype == Py_None ? OptionalDType() : OptionalDType(to_dtype(dtype)),
                         copy == Py_None         ? Copy::kMaybe
                         : PyObject_IsTrue(copy) ? Copy::kAlways
                                                 : Copy::kNever);
    if (type == g_tensor) return wrap(std::move(t));
    PyObject* o = checked(type->tp_alloc(type, 0));
    new (&tensor_of(o)) Tensor(std::move(t));
    return o;
  });
}

void tensor_dealloc(PyObject* self) {
  auto* o = reinterpret_cast<TensorObject*>(self);
  PyTypeObject* type = Py_TYPE(self);
  if (o->weak) PyObject_ClearWeakRefs(self);
  o->tensor.~Tensor();
  // Only exact Tensors are kept: a subclass has another size, a GC header and its own tp_free.
  if (type == g_tensor && g_free_count < kKept) {
    g_free[g_free_count++] = o;  // with its reference to the type
    return;
  }
  type->tp_free(self);
  Py_DECREF(type);  // of a heap type: the base's dealloc does this for subclasses as well
}

template <class F>
PyObject* property(PyObject* self, F body) {
  return guarded([&] { return body(tensor_of(self)); });
}

}  // namespace

const char* const kTransposedDoc =
    "The axes reversed (the standard defines it for matrices; `mT` swaps the last two).";
PyObject* transposed(PyObject* self, void*) {
  return guarded([&] {
    const Tensor t = is_tensor(self) ? tensor_of(self) : variable_of(self)->read();
    Ints axes(size_t(t.rank()));
    for (size_t i = 0; i < axes.size(); ++i) axes[i] = int64_t(axes.size() - 1 - i);
    return wrap(permute_dims(t, axes));
  });
}

namespace {

PyGetSetDef tensor_getset[] = {
    {"shape",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) { return from_shape(t.shape()).release().ptr(); });
     },
     nullptr, "Sizes of the axes: ints, or `Dim`s where a graph was traced with symbolic sizes.",
     nullptr},
    {"dtype",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) { return Py_NewRef(dtype_object(t.dtype())); });
     },
     nullptr, "Type of the elements.", nullptr},
    {"ndim",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) { return PyLong_FromLong(t.rank()); });
     },
     nullptr, "Number of axes.", nullptr},
    {"size",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) { return from_dim(t.shape().elements()).release().ptr(); });
     },
     nullptr, "Number of elements.", nullptr},
    {"itemsize",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) { return PyLong_FromLong(size_of(t.dtype())); });
     },
     nullptr, "Bytes of one element.", nullptr},
    {"nbytes",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) {
         return from_dim(t.shape().elements() * size_of(t.dtype())).release().ptr();
       });
     },
     nullptr, "Bytes of all elements.", nullptr},
    {"symbolic",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) { return PyBool_FromLong(t.symbolic()); });
     },
     nullptr, "Whether this stands for a value of a graph and has no value of its own.", nullptr},
    {"spec",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) { return new_text(cat(t.spec())); });
     },
     nullptr, "Dtype and shape in short: \"f32[32, 784]\".", nullptr},
    {"T", transposed, nullptr, kTransposedDoc, nullptr},
    {"_weak",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) { return PyBool_FromLong(t.spec().weak); });
     },
     nullptr, "Whether it gives way in promotion, as a Python number does.", nullptr},
    {"_device",
     [](PyObject* o, void*) {
       return property(o, [](Tensor& t) { return PyLong_FromLong(t.spec().device); });
     },
     nullptr, "Index of the device.", nullptr},
    {}};

PyMemberDef tensor_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weak), READONLY, nullptr}, {}};

}  // namespace

PyObject* wrap(Tensor&& t) {
  TensorObject* o;
  if (!t) [[unlikely]]
    internal_error("an op left out one of its results.");
  if (g_free_count) {
    o = g_free[--g_free_count];
    _Py_NewReference(reinterpret_cast<PyObject*>(o));
  } else if (!(o = reinterpret_cast<TensorObject*>(g_tensor->tp_alloc(g_tensor, 0)))) {
    return nullptr;
  }
  new (&o->tensor) Tensor(std::move(t));
  o->weak = nullptr;
  return reinterpret_cast<PyObject*>(o);
}

Py_hash_t hash_identity(PyObject* o) {
  auto p = reinterpret_cast<size_t>(o);
  auto h = Py_hash_t(p >> 4 | p << (8 * sizeof p - 4));
  return h == -1 ? -2 : h;
}

// In place of a `__getattr__`, with which every other attribute would be slower as well.
PyObject* attribute(PyObject* o, PyObject* name) {
  PyObject* found = PyObject_GenericGetAttr(o, name);
  if (found || !g_attribute_hook || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  py::error_already_set missing;  // and fetched
  PyObject* answer = PyObject_CallFunctionObjArgs(g_attribute_hook, o, name, nullptr);
  if (!answer) return nullptr;  // the hook's own error
  Py_DECREF(answer);
  missing.restore();
  return nullptr;
}

void bind_tensor(py::module_& m) {
  std::vector<PyType_Slot> slots;
  for (const PyType_Slot* s = kNumberSlots; s->slot; ++s) slots.push_back(*s);
  auto add = [&](int slot, auto* p) { slots.push_back({slot, reinterpret_cast<void*>(p)}); };
  add(Py_tp_new, tensor_new);
  add(Py_tp_dealloc, tensor_dealloc);
  add(Py_tp_members, tensor_members);
  add(Py_tp_getset, tensor_getset);
  add(Py_tp_getattro, attribute);
  add(Py_tp_richcompare, rich_compare);
  add(Py_tp_hash, hash_identity);
  slots.push_back({Py_mp_subscript, kSubscript});
  add(Py_bf_getbuffer, get_buffer);
  add(Py_bf_releasebuffer, release_buffer);
  add(Py_tp_doc, const_cast<char*>("An n-dimensional array whose elements never change.\n\n"
                                   "`fb.asarray(x)` makes one from numbers, nested lists, NumPy "
                                   "arrays and whatever speaks DLPack; every\n"
                                   "op returns new ones. While a graph is recorded a Tensor may be "
                                   "symbolic: it has a dtype and a shape,\n"
                                   "and a value only when the graph runs."));
  slots.push_back({0, nullptr});
  PyType_Spec spec = {"flowbook.Tensor", sizeof(TensorObject), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots.data()};
  g_tensor = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
  m.attr("Tensor") = py::handle(reinterpret_cast<PyObject*>(g_tensor));
  m.def("set_attribute_hook", [](py::object hook) {
    Py_XDECREF(g_attribute_hook);
    g_attribute_hook = hook.is_none() ? nullptr : hook.release().ptr();
  });
}

}  // namespace flowbook::python
