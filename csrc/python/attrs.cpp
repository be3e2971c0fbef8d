// Attributes, dtypes, sizes and specs: one converter a kind, both ways.
#include <cstring>
#include <map>

#include "binding.h"

namespace flowbook::python {
namespace {

struct Size {  // a symbolic Dim as a Python object
  Dim dim;
};
PyObject* g_dtypes[kDTypes];  // the objects of _dtypes.py

[[noreturn, gnu::cold]] void wrong_type(const OpDef& op, const AttrDef& a, PyObject* got,
                                        const char* right) {
  PyErr_Clear();
  dtype_error(op.name, ": `", a.name, "` is of type ", Py_TYPE(got)->tp_name, ". It must be ",
              right, ".");
}

// A size or an axis taken from a symbol would be baked into the graph.
[[gnu::cold]] void refuse_symbol(const OpDef& op, const AttrDef& a, PyObject* v) {
  if ((is_tensor(v) && tensor_of(v).symbolic()))
    fail(ErrorKind::kGraph, op.name, ": `", a.name, "` is ", tensor_of(v).spec(),
         ", a symbol without a value while the graph is recorded. Make it a plain Python number: "
         "name it in `static=` "
         "of fb.graph, or take it from a shape.");
}

// Python integers and all that stands for one (NumPy's, 0-d integer tensors), but no bool and no
// float.
bool integer(PyObject* v, int64_t* out) {
  if (PyBool_Check(v)) return false;
  py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(v));
  if (!index) {
    if (PyErr_ExceptionMatches(PyExc_TypeError)) return PyErr_Clear(), false;
    propagate();
  }
  *out = PyLong_AsLongLong(index.ptr());
  if (*out == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    argument_error("an integer does not fit 64 bits: ", py::str(index).cast<std::string>(), ".");
  }
  return true;
}

bool is_sequence(PyObject* v) {
  return PySequence_Check(v) && !PyUnicode_Check(v) && !PyBytes_Check(v) && !is_tensor(v) &&
         !is_variable(v);
}

class Cursor {  // over the text of a size or a spec
 public:
  explicit Cursor(std::string_view s) : s_(s) {}
  void skip() {
    while (i_ < s_.size() && s_[i_] == ' ') ++i_;
  }
  bool eat(std::string_view t) {
    skip();
    if (s_.substr(i_, t.size()) != t) return false;
    i_ += t.size();
    return true;
  }
  bool done() { return skip(), i_ == s_.size(); }
  std::string_view word() {
    skip();
    size_t from = i_;
    while (i_ < s_.size() && (isalnum(static_cast<unsigned char>(s_[i_])) || s_[i_] == '_')) ++i_;
    return s_.substr(from, i_ - from);
  }
  Dim sum() {
    Dim d = product();
    for (;;) {
      if (eat("+"))
        d = d + product();
      else if (eat("-"))
        d = d - product();
      else
        return d;
    }
  }
  [[noreturn]] void bad() const {
    argument_error("`", s_,
                   "` cannot be read as sizes. Write \"f32[batch, 784]\", with sums, products and "
                   "// of names.");
  }

 private:
  Dim product() {
    Dim d = atom();
    for (;;) {
      if (eat("//"))
        d = floor_div(d, atom());
      else if (eat("*"))
        d = d * atom();
      else
        return d;
    }
  }
  Dim atom() {
    if (eat("(")) {
      if (++depth_ > 64) bad();  // no text may exhaust the stack
      Dim d = sum();
      if (!eat(")")) bad();
      --depth_;
      return d;
    }
    std::string_view w = word();
    if (w.empty()) bad();
    if (!isdigit(static_cast<unsigned char>(w[0]))) return Dim::symbol(w);
    int64_t n = 0;
    for (char c : w) {
      if (!isdigit(static_cast<unsigned char>(c)) || __builtin_mul_overflow(n, 10, &n) ||
          __builtin_add_overflow(n, c - '0', &n))
        bad();
    }
    return n;
  }
  std::string_view s_;
  size_t i_ = 0;
  int depth_ = 0;
};

}  // namespace

// ---- dtypes ----
PyObject* dtype_object(DType t) {
  PyObject* o = g_dtypes[int(t)];
  if (!o) internal_error("the dtype objects are not set up.");
  return o;
}

DType to_dtype(PyObject* o) {
  for (int i = 0; i < kDTypes; ++i)
    if (o == g_dtypes[i]) return DType(i);
  if (PyUnicode_Check(o)) return parse_dtype(py::handle(o).cast<std::string>());
  if (o == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::bool_;
  if (o == reinterpret_cast<PyObject*>(&PyLong_Type)) return kDefaultInt;
  if (o == reinterpret_cast<PyObject*>(&PyFloat_Type)) return kDefaultFloat;
  if (o == reinterpret_cast<PyObject*>(&PyComplex_Type)) return DType::c64;
  // np.dtype and NumPy's scalar types carry a name.
  py::object name;
  py::handle h(o);
  if (PyType_Check(o) && py::hasattr(h, "dtype"))
    name = h.attr("__name__");
  else if (!PyType_Check(o) && py::hasattr(h, "name"))
    name = h.attr("name");
  if (name && PyUnicode_Check(name.ptr())) {
    auto s = name.cast<std::string>();
    if (s == "bool_") s = "bool";
    return parse_dtype(s);
  }
  dtype_error("`", py::repr(h).cast<std::string>(),
              "` is no dtype. Use one of flowbook's (fb.float32) or its name.");
}

// ---- sizes ----
Dim parse_dim(std::string_view s) {
  Cursor c(s);
  Dim d = c.sum();
  if (!c.done()) c.bad();
  return d;
}

Dim to_dim(PyObject* o) {
  if (py::isinstance<Size>(o)) return py::handle(o).cast<Size&>().dim;
  if (is_tensor(o) && tensor_of(o).symbolic())
    fail(ErrorKind::kGraph, "a size is ", tensor_of(o).spec(),
         ", a symbol without a value while the graph is recorded. Make it a plain Python number: "
         "name it in `static=` of "
         "fb.graph, or take it from a shape.");
  int64_t n;
  if (!integer(o, &n))
    dtype_error("a size is of type ", Py_TYPE(o)->tp_name, ". It must be an int.");
  if (n < 0) shape_error("a size is ", n, ". Sizes must not be negative.");
  return n;
}

py::object from_dim(Dim d) {
  if (d.known() || d == Dim(-1)) return py::int_(d.raw());  // -1: reshape's open size
  return py::cast(Size{d});
}

py::tuple from_shape(const Shape& s) {
  py::tuple t(s.rank);
  for (int i = 0; i < s.rank; ++i) PyTuple_SET_ITEM(t.ptr(), i, from_dim(s[i]).release().ptr());
  return t;
}

Shape to_shape(PyObject* o) {
  Shape s;
  if (!is_sequence(o)) {
    s.push_back(to_dim(o));
    return s;
  }
  for (py::handle i : py::reinterpret_borrow<py::object>(o)) s.push_back(to_dim(i.ptr()));
  return s;
}

Spec parse_spec(std::string_view s) {
  Spec spec;
  Cursor c(s);
  spec.weak = c.eat("weak ");
  spec.dtype = parse_dtype(c.word());
  if (c.eat("[") && !c.eat("]")) {
    do spec.shape.push_back(c.sum());
    while (c.eat(","));
    if (!c.eat("]")) c.bad();
  }
  if (!c.done()) c.bad();
  return spec;
}

// ---- attributes ----
py::object attr_to_python(const AttrDef& a, const void* p) {
  switch (a.type->kind) {
    case AttrKind::kBool:
      return py::bool_(*static_cast<const bool*>(p));
    case AttrKind::kInt:
      return py::int_(*static_cast<const int64_t*>(p));
    case AttrKind::kFloat:
      return py::float_(*static_cast<const double*>(p));
    case AttrKind::kString:
      return text(*static_cast<const std::string*>(p));
    case AttrKind::kAxes: {
      const Axes& axes = *static_cast<const Axes*>(p);
      if (axes.all) return py::none();
      if (axes.count == 1) return py::int_(int(axes.axis[0]));
      py::tuple t(axes.count);
      for (int i = 0; i < axes.count; ++i) t[i] = py::int_(int(axes.axis[i]));
      return t;
    }
    case AttrKind::kShape:
      return from_shape(*static_cast<const Shape*>(p));
    case AttrKind::kDim:
      return from_dim(*static_cast<const Dim*>(p));
    case AttrKind::kDType: {
      auto& t = *static_cast<const OptionalDType*>(p);
      return t.given ? py::reinterpret_borrow<py::object>(dtype_object(t.value))
                     : py::object(py::none());
    }
    case AttrKind::kInts: {
      const Ints& v = *static_cast<const Ints*>(p);
      py::tuple t(v.size());
      for (size_t i = 0; i < v.size(); ++i) t[i] = py::int_(v[i]);
      return t;
    }
    case AttrKind::kScalar: {
      const Scalar& s = *static_cast<const Scalar*>(p);
      if (s.kind == Scalar::kBool) return py::bool_(s.i != 0);
      if (s.kind == Scalar::kInt) return py::int_(s.i);
      return py::float_(s.d);
    }
  }
  return py::none();
}

void attr_from_python(const OpDef& op, const AttrDef& a, void* attrs, PyObject* v) {
  void* p = static_cast<char*>(attrs) + a.offset;
  auto number = [&](PyObject* o) {
    int64_t n = 0;
    if (integer(o, &n)) return n;
    refuse_symbol(op, a, o);
    wrong_type(op, a, o, "an int");
  };
  try {
    switch (a.type->kind) {
      case AttrKind::kBool: {
        if (v == Py_True || v == Py_False) return void(*static_cast<bool*>(p) = v == Py_True);
        refuse_symbol(op, a, v);
        int64_t n = 0;
        if (!is_numpy_scalar(v) && !(integer(v, &n) && (n == 0 || n == 1)))
          wrong_type(op, a, v, "True or False");
        *static_cast<bool*>(p) = PyObject_IsTrue(v) == 1;
        return;
      }
      case AttrKind::kInt:
        return void(*static_cast<int64_t*>(p) = number(v));
      case AttrKind::kFloat: {
        if (PyFloat_CheckExact(v)) return void(*static_cast<double*>(p) = PyFloat_AS_DOUBLE(v));
        refuse_symbol(op, a, v);
        double d = PyUnicode_Check(v) ? -1 : PyFloat_AsDouble(v);
        if (PyUnicode_Check(v) || (d == -1 && PyErr_Occurred())) wrong_type(op, a, v, "a float");
        *static_cast<double*>(p) = d;
        return;
      }
      case AttrKind::kString:
        if (!PyUnicode_Check(v)) wrong_type(op, a, v, "a string");
        *static_cast<std::string*>(p) = py::handle(v).cast<std::string>();
        return;
      case AttrKind::kAxes: {
        Axes axes;
        if (v != Py_None) {
          axes.all = false;
          if (!is_sequence(v))
            axes.push_back(number(v));
          else
            for (py::handle i : py::reinterpret_borrow<py::object>(v))
              axes.push_back(number(i.ptr()));
        }
        *static_cast<Axes*>(p) = axes;
        return;
      }
      case AttrKind::kShape: {
        Shape shape;
        auto push = [&](PyObject* o) {
          const bool open = PyLong_Check(o) && PyLong_AsLong(o) == -1 && !PyErr_Occurred() &&
                            !strcmp(op.name, "reshape");
          PyErr_Clear();  // of an int beyond a long
          shape.push_back(open ? Dim(-1) : to_dim(o));
        };
        if (!is_sequence(v))
          push(v);
        else
          for (py::handle i : py::reinterpret_borrow<py::object>(v)) push(i.ptr());
        *static_cast<Shape*>(p) = shape;
        return;
      }
      case AttrKind::kDim:
        return void(*static_cast<Dim*>(p) = to_dim(v));
      case AttrKind::kDType:
        *static_cast<OptionalDType*>(p) =
            v == Py_None ? OptionalDType() : OptionalDType(to_dtype(v));
        return;
      case AttrKind::kInts: {
        Ints ints;
        if (!is_sequence(v))
          ints.push_back(number(v));
        else
          for (py::handle i : py::reinterpret_borrow<py::object>(v))
            ints.push_back(number(i.ptr()));
        *static_cast<Ints*>(p) = std::move(ints);
        return;
      }
      case AttrKind::kScalar: {
        Scalar& s = *static_cast<Scalar*>(p);
        if (PyBool_Check(v)) return void(s = Scalar(v == Py_True));
        if (PyFloat_Check(v)) return void(s = Scalar(PyFloat_AsDouble(v)));
        refuse_symbol(op, a, v);
        if (is_numpy_scalar(v)) {
          py::object item = py::handle(v).attr("item")();
          if (!is_numpy_scalar(item.ptr())) return attr_from_python(op, a, attrs, item.ptr());
        }
        int64_t n;
        if (integer(v, &n)) return void(s = Scalar(n));
        double d = PyUnicode_Check(v) ? -1 : PyFloat_AsDouble(v);
        if (PyUnicode_Check(v) || (d == -1 && PyErr_Occurred())) wrong_type(op, a, v, "a number");
        s = Scalar(d);
        return;
      }
    }
  } catch (Error& e) {
    if (e.text.rfind(op.name, 0) != 0) e.text = cat(op.name, ": ", e.text);
    e.located = true;
    throw;
  }
}

void set_attrs(const OpDef& op, AttrFrame& frame, const py::dict& kwargs) {
  for (auto [key, value] : kwargs) {
    auto name = key.cast<std::string>();
    const AttrDef* found = nullptr;
    for (const AttrDef& a : op.attrs)
      if (name == a.name) found = &a;
    if (!found)
      argument_error(op.name, ": there is no argument `", name, "`. It is ", op.name,
                     op.signature(), ".");
    attr_from_python(op, *found, frame.data(), value.ptr());
  }
}

void bind_dtypes(py::module_& m) {
  m.def("set_dtypes", [](const py::dict& by_name) {
    for (auto [name, object] : by_name) {
      DType t = parse_dtype(name.cast<std::string>());
      Py_XDECREF(g_dtypes[int(t)]);
      g_dtypes[int(t)] = py::object(py::reinterpret_borrow<py::object>(object)).release().ptr();
    }
  });
  m.def("dtype_names", [] {
    py::list all;
    for (int i = 0; i < kDTypes; ++i)
      all.append(py::make_tuple(name_of(DType(i)), short_name(DType(i)), size_of(DType(i))));
    return all;
  });
  m.def("to_dtype", [](DType t) { return t; });
  m.def(
      "promote",
      [](DType a, bool weak_a, DType b, bool weak_b) { return promote(a, weak_a, b, weak_b); },
      py::arg("a"), py::arg("weak_a"), py::arg("b"), py::arg("weak_b"));

  // Operands are ints or Dims; results are Dims, or ints where the symbols cancel.
  using Binary = Dim (*)(Dim, Dim);
  auto with = [](Binary f) {
    return [f](const Size& a, py::handle b) -> py::object {
      if (!py::isinstance<Size>(b) && !PyIndex_Check(b.ptr()))
        return py::reinterpret_borrow<py::object>(Py_NotImplemented);
      return from_dim(f(a.dim, to_dim(b.ptr())));
    };
  };
  auto reflected = [](Binary f) {
    return [f](const Size& a, py::handle b) -> py::object {
      if (!PyIndex_Check(b.ptr())) return py::reinterpret_borrow<py::object>(Py_NotImplemented);
      return from_dim(f(to_dim(b.ptr()), a.dim));
    };
  };
  const Binary plus = [](Dim a, Dim b) { return a + b; },
               minus = [](Dim a, Dim b) { return a - b; },
               times = [](Dim a, Dim b) { return a * b; },
               over = [](Dim a, Dim b) { return floor_div(a, b); };
  py::class_<Size>(
      m, "Dim",
      "The size of an axis that is known only when the graph runs: `batch`, `2*batch + 1`.\n\n"
      "Sums, differences, products and // of Dims and ints give Dims (or ints, where the symbols "
      "cancel).")
      .def(py::init([](const std::string& name) { return Size{parse_dim(name)}; }), py::arg("text"))
      .def("__add__", with(plus))
      .def("__radd__", reflected(plus))
      .def("__sub__", with(minus))
      .def("__rsub__", reflected(minus))
      .def("__mul__", with(times))
      .def("__rmul__", reflected(times))
      .def("__floordiv__", with(over))
      .def("__rfloordiv__", reflected(over))
      .def("__eq__",
           [](const Size& a, py::handle b) -> py::object {
             if (py::isinstance<Size>(b)) return py::bool_(a.dim == b.cast<Size&>().dim);
             if (PyLong_Check(b.ptr()))
               return py::bool_(false);  // a Dim object never holds a known size
             return py::reinterpret_borrow<py::object>(Py_NotImplemented);
           })
      .def("__hash__", [](const Size& a) { return std::hash<int64_t>()(a.dim.raw()); })
      .def("__int__", [](const Size& a) { return a.dim.value(); })
      .def("__index__", [](const Size& a) { return a.dim.value(); })
      .def("__bool__", [](const Size& a) { return a.dim.value() != 0; })
      .def("__reduce__",
           [](py::object self) {
             return py::make_tuple(py::type::of(self), py::make_tuple(py::str(self)));
           })
      .def("__repr__", [](const Size& a) { return a.dim.str(); });
  m.def("substitute", [](py::handle dim, const std::map<std::string, int64_t>& values) {
    std::vector<DimBinding> bindings;
    for (auto& [name, n] : values) bindings.emplace_back(Dim::symbol(name), Dim(n));
    return from_dim(substitute(to_dim(dim.ptr()), bindings));
  });
}

}  // namespace flowbook::python
