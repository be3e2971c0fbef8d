// Variable in Python: the mutable cell, usable wherever a Tensor is. `v += 1` assigns.
#include "binding.h"

#include <unordered_map>

namespace flowbook::python {

PyTypeObject* g_variable;

namespace {

// The object that stands for each live variable; entries go when the object does.
auto& objects() {
  static auto* map = new std::unordered_map<const Variable*, PyObject*>;
  return *map;
}

std::string name_from(PyObject* o) {
  if (o == Py_None) return {};
  if (!PyUnicode_Check(o))
    dtype_error("Variable: the name is of type ", Py_TYPE(o)->tp_name, ". It must be a string.");
  return py::handle(o).cast<std::string>();
}

PyObject* variable_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"value", "name", "trainable", "dtype", nullptr};
    PyObject *value, *name = Py_None, *dtype = Py_None;
    int trainable = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OpO:Variable", const_cast<char**>(names),
                                     &value, &name, &trainable, &dtype))
      propagate();
    Tensor t =
        as_tensor(value, dtype == Py_None ? OptionalDType() : OptionalDType(to_dtype(dtype)));
    Ref<Variable> v = Variable::make(t, name_from(name), trainable != 0);
    PyObject* o = checked(type->tp_alloc(type, 0));
    new (&reinterpret_cast<VariableObject*>(o)->variable) Ref<Variable>(v);
    objects()[v.get()] = o;
    return o;
  });
}

void variable_dealloc(PyObject* self) {
  auto* o = reinterpret_cast<VariableObject*>(self);
  PyTypeObject* type = Py_TYPE(self);
  if (o->weak) PyObject_ClearWeakRefs(self);
  if (o->variable) {
    auto it = objects().find(o->variable.get());
    if (it != objects().end() && it->second == self) objects().erase(it);
  }
  o->variable.~Ref();
  type->tp_free(self);
  Py_DECREF(type);
}

void assign(Variable& v, PyObject* value) {
  Tensor hold;
  TensorImpl* t = argument(value, hold);
  if (!t)
    dtype_error("Variable.assign: the value is of type ", Py_TYPE(value)->tp_name,
                ". It must be a Tensor, an array or a number.");
  v.assign(Tensor(t));
}

Variable& variable(PyObject* o) { return *variable_of(o); }

template <class F>
PyObject* property(PyObject* self, F body) {
  return guarded([&] { return body(variable(self)); });
}
int deleted(const char* name) {
  return PyErr_Format(PyExc_AttributeError, "Variable: `%s` cannot be deleted", name), -1;
}

PyGetSetDef variable_getset[] = {
    {"T", transposed, nullptr, kTransposedDoc, nullptr},
    {"value",
     [](PyObject* o, void*) { return property(o, [](Variable& v) { return wrap(v.read()); }); },
     [](PyObject* o, PyObject* x, void*) {
       if (!x) return deleted("value");
       return guarded_int([&] { return assign(variable(o), x), 0; });
     },
     "The value now; in a graph that records, the graph's value of this Variable. Setting it "
     "assigns.",
     nullptr},
    {"name",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) {
         return v.name().empty() ? Py_NewRef(Py_None) : new_text(v.name());
       });
     },
     [](PyObject* o, PyObject* x, void*) {
       if (!x) return deleted("name");
       return guarded_int([&] { return variable(o).rename(name_from(x)), 0; });
     },
     "Its name in messages, drawings and files, or None.", nullptr},
    {"trainable",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return PyBool_FromLong(v.trainable.load()); });
     },
     [](PyObject* o, PyObject* x, void*) {
       if (!x) return deleted("trainable");
       return guarded_int([&] {
         int yes = PyObject_IsTrue(x);
         if (yes < 0) propagate();
         return variable(o).trainable.store(yes), 0;
       });
     },
     "Whether optimizers may change it.", nullptr},
    {"kind",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) {
         return PyUnicode_FromString(v.kind == BufferKind::kOptimizer ? "optimizer" : "parameter");
       });
     },
     [](PyObject* o, PyObject* x, void*) {
       if (!x) return deleted("kind");
       return guarded_int([&] {
         auto kind = py::handle(x).cast<std::string>();
         if (kind != "optimizer" && kind != "parameter")
           argument_error("Variable.kind: `", kind,
                          "` is none. Use \"parameter\" or \"optimizer\".");
         return variable(o).kind =
                    kind == "optimizer" ? BufferKind::kOptimizer : BufferKind::kParameter,
                0;
       });
     },
     "What its memory counts as: \"parameter\" or \"optimizer\".", nullptr},
    {"owner",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) {
         const std::string name = v.owner_name();
         return name.empty() ? Py_NewRef(Py_None) : new_text(name);
       });
     },
     nullptr, "The training run that owns it now (\"run 20260101-120000\"), or None.", nullptr},
    {"shape",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return from_shape(v.spec().shape).release().ptr(); });
     },
     nullptr, "Sizes of the axes.", nullptr},
    {"dtype",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return Py_NewRef(dtype_object(v.spec().dtype)); });
     },
     nullptr, "Type of the elements.", nullptr},
    {"ndim",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return PyLong_FromLong(v.spec().shape.rank); });
     },
     nullptr, "Number of axes.", nullptr},
    {"size",
     [](PyObject* o, void*) {
       return property(
           o, [](Variable& v) { return from_dim(v.spec().shape.elements()).release().ptr(); });
     },
     nullptr, "Number of elements.", nullptr},
    {"nbytes",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return PyLong_FromLongLong(bytes_of(v.spec())); });
     },
     nullptr, "Bytes of all elements.", nullptr},
    {"itemsize",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return PyLong_FromLong(size_of(v.spec().dtype)); });
     },
     nullptr, "Bytes of one element.", nullptr},
    {"spec",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return new_text(cat(v.spec())); });
     },
     nullptr, "Dtype and shape in short: \"f32[784, 10]\".", nullptr},
    {"version",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return PyLong_FromUnsignedLongLong(v.version()); });
     },
     nullptr, "How often it was assigned.", nullptr},
    {"_device",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return PyLong_FromLong(v.spec().device); });
     },
     nullptr, "Index of the device.", nullptr},
    {"_id",
     [](PyObject* o, void*) {
       return property(o, [](Variable& v) { return PyLong_FromVoidPtr(&v); });
     },
     nullptr, "Identity of the cell.", nullptr},
    {}};

PyObject* variable_assign(PyObject* self, PyObject* value) {
  return guarded([&] { return assign(variable(self), value), Py_NewRef(self); });
}
PyMethodDef variable_methods[] = {
    {"assign", variable_assign, METH_O,
     "Replaces the value; returns the Variable. Shape and dtype must be the Variable's own. In a "
     "graph it is recorded, "
     "and takes effect when the graph has run."},
    {"read",
     [](PyObject* self, PyObject*) {
       return property(self, [](Variable& v) { return wrap(v.read()); });
     },
     METH_NOARGS, "The value now; in a graph that records, the graph's value of this Variable."},
    {"stored",
     [](PyObject* self, PyObject*) {
       return property(self, [](Variable& v) { return wrap(v.value()); });
     },
     METH_NOARGS, "The stored value, whatever records."},
    {}};
PyMemberDef variable_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(VariableObject, weak), READONLY, nullptr}, {}};

// `v += x` is `v.assign(v + x)`.
template <class Slot>
PyObject* in_place(PyObject* self, PyObject* other, Slot slot) noexcept {
  PyObject* sum = slot(self, other);
  if (!sum || sum == Py_NotImplemented) return sum;
  PyObject* result = guarded([&] { return assign(variable(self), sum), Py_NewRef(self); });
  Py_DECREF(sum);
  return result;
}

}  // namespace

PyObject* wrap(const Ref<Variable>& v) {
  if (auto it = objects().find(v.get()); it != objects().end()) return Py_NewRef(it->second);
  PyObject* o = checked(g_variable->tp_alloc(g_variable, 0));
  new (&reinterpret_cast<VariableObject*>(o)->variable) Ref<Variable>(v);
  objects()[v.get()] = o;
  return o;
}

void bind_variable(py::module_& m) {
  std::vector<PyType_Slot> slots;
  for (const PyType_Slot* s = kNumberSlots; s->slot; ++s) slots.push_back(*s);
  auto add = [&](int slot, auto* p) { slots.push_back({slot, reinterpret_cast<void*>(p)}); };
  auto number = [](int slot) {
    for (const PyType_Slot* s = kNumberSlots; s->slot; ++s)
      if (s->slot == slot) return reinterpret_cast<binaryfunc>(s->pfunc);
    return binaryfunc(nullptr);
  };
  static const binaryfunc plus = number(Py_nb_add), minus = number(Py_nb_subtract),
                          times = number(Py_nb_multiply), over = number(Py_nb_true_divide);
  add(Py_nb_inplace_add, +[](PyObject* a, PyObject* b) { return in_place(a, b, plus); });
  add(Py_nb_inplace_subtract, +[](PyObject* a, PyObject* b) { return in_place(a, b, minus); });
  add(Py_nb_inplace_multiply, +[](PyObject* a, PyObject* b) { return in_place(a, b, times); });
  add(Py_nb_inplace_true_divide, +[](PyObject* a, PyObject* b) { return in_place(a, b, over); });
  add(Py_tp_new, variable_new);
  add(Py_tp_dealloc, variable_dealloc);
  add(Py_tp_members, variable_members);
  add(Py_tp_getset, variable_getset);
  add(Py_tp_methods, variable_methods);
  add(Py_tp_getattro, attribute);
  add(Py_tp_richcompare, rich_compare);
  add(Py_tp_hash, hash_identity);
  slots.push_back({Py_mp_subscript, kSubscript});
  add(Py_tp_doc,
      const_cast<char*>(
          "A cell whose value can change: parameters, optimizer slots, running statistics.\n\n"
          "Args:\n"
          "    value: The initial value; its dtype and shape stay for life.\n"
          "    name: For messages, drawings and files.\n"
          "    trainable: Whether optimizers may change it.\n"
          "    dtype: Converts the initial value.\n\n"
          "Ops take it like a Tensor. `v.assign(x)` and `v += x` change it; while a graph records, "
          "they become\n"
          "effects of the graph."));
  slots.push_back({0, nullptr});
  PyType_Spec spec = {"flowbook.Variable", sizeof(VariableObject), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots.data()};
  g_variable = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
  m.attr("Variable") = py::handle(reinterpret_cast<PyObject*>(g_variable));
}

}  // namespace flowbook::python
