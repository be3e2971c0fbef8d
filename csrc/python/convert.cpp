// Python and NumPy data as Tensors and back. NumPy arrays are copied on the way in (tensors never
// change) unless the caller asks to share; on the way out they are read-only views.
#include <pybind11/numpy.h>

#include <cstring>

#include "binding.h"
#include "core/backend.h"
#include "cpu/nonzero.h"
#include "ops/ops.h"

namespace flowbook::python {
namespace {

constexpr int kMaxNesting = 64;
constexpr int64_t kLongCopy = 4 << 20;  // bytes; copying more is worth giving other threads the GIL

PyTypeObject* numpy_generic() {
  static PyTypeObject* type = reinterpret_cast<PyTypeObject*>(
      py::object(py::module_::import("numpy").attr("generic")).release().ptr());
  return type;
}

// NumPy's dtype for ours; bfloat16 exists only where ml_dtypes is installed.
py::dtype numpy_dtype(DType t) {
  if (t == DType::bf16) {
    try {
      return py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16"));
    } catch (py::error_already_set&) {
      dtype_error("NumPy has no bfloat16. Cast with x.astype(fb.float32), or install ml_dtypes.");
    }
  }
  return py::dtype(name_of(t));
}

DType from_numpy_dtype(const py::dtype& d) {
  const int bytes = int(d.itemsize());
  switch (d.kind()) {
    case 'b':
      return DType::bool_;
    case 'i':
      return bytes == 1   ? DType::i8
             : bytes == 2 ? DType::i16
             : bytes == 4 ? DType::i32
                          : DType::i64;
    case 'u':
      return bytes == 1   ? DType::u8
             : bytes == 2 ? DType::u16
             : bytes == 4 ? DType::u32
                          : DType::u64;
    case 'f':
      if (bytes == 2) return DType::f16;
      if (bytes == 4) return DType::f32;
      if (bytes == 8) return DType::f64;
      break;
    case 'c':
      if (bytes == 8) return DType::c64;
      if (bytes == 16) return DType::c128;
      break;
    case 'V':
      if (bytes == 2 && d.attr("name").cast<std::string>() == "bfloat16") return DType::bf16;
      break;
    default:
      break;
  }
  dtype_error("asarray: NumPy's dtype ", py::str(d).cast<std::string>(),
              " has no counterpart. Convert the array with .astype(), for instance to float32.");
}

void drop_reference(void* object) {
#if PY_VERSION_HEX >= 0x030D0000
  if (Py_IsFinalizing()) return;
#endif
  if (!Py_IsInitialized()) return;
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF(static_cast<PyObject*>(object));
  PyGILState_Release(state);
}

bool row_major(const py::array& a) { return a.flags() & py::array::c_style; }

// Strides in elements; false where the memory is not a grid of whole aligned elements.
bool element_strides(const py::array& a, int bytes, int64_t* strides) {
  for (int i = 0; i < a.ndim(); ++i) {
    if (a.strides(i) % bytes) return false;
    strides[i] = a.strides(i) / bytes;
  }
  return true;
}

Tensor from_ndarray(py::array a, Copy copy) {
  if (py::type::handle_of(a).ptr() !=
          reinterpret_cast<PyObject*>(py::detail::npy_api::get().PyArray_Type_) &&
      py::hasattr(a, "mask"))
    fail(ErrorKind::kData,
         "asarray: the array is masked. Fill the gaps first, with .filled(value).");
  Spec spec;
  spec.dtype = from_numpy_dtype(a.dtype());
  if (a.ndim() > kMaxRank)
    shape_error("asarray: the array has ", int64_t(a.ndim()), " axes. A Tensor has at most ",
                kMaxRank, ".");
  const int bytes = size_of(spec.dtype);
  // '>' here: NumPy writes the machine's own order as '='.
  bool foreign = a.dtype().byteorder() == (PY_BIG_ENDIAN ? '<' : '>');
  bool aligned = reinterpret_cast<uintptr_t>(a.data()) % size_t(bytes > 8 ? 8 : bytes) == 0;
  int64_t strides[kMaxRank];
  if (foreign || !aligned || !element_strides(a, bytes, strides)) {
    if (copy == Copy::kNever)
      argument_error(
          "asarray: the array's memory cannot be shared (byte order or alignment). Leave out "
          "copy=False.");
    a = foreign ? a.attr("astype")(a.dtype().attr("newbyteorder")("=")).cast<py::array>()
                : py::module_::import("numpy")
                      .attr("array")(a, py::arg("order") = "C")
                      .cast<py::array>();
    element_strides(a, bytes, strides);
  }
  for (int i = 0; i < a.ndim(); ++i) spec.shape.push_back(int64_t(a.shape(i)));
  if (copy != Copy::kNever && row_major(a)) {
    Tensor t = empty(spec);
    void* to = view_of(t).data();
    const void* from = a.data();
    const auto bytes = size_t(a.nbytes());  // asks Python: before the GIL is given up
    if (int64_t(bytes) > kLongCopy) {
      py::gil_scoped_release unlocked;
      std::memcpy(to, from, bytes);
    } else if (bytes) {
      std::memcpy(to, from, bytes);
    }
    return t;
  }
  View v;
  v.dense = row_major(a);
  std::copy_n(strides, a.ndim(), v.strides);
  v.buffer = adopt(const_cast<void*>(a.data()), a.nbytes(), drop_reference, a.inc_ref().ptr());
  Tensor shared = make_view(spec, std::move(v));
  return copy == Copy::kNever ? shared : deep_copy(shared);
}

// What the leaves of nested lists are.
struct Leaves {
  bool tensors = false, arrays = false;
};
void look(PyObject* o, int depth, Leaves& found) {
  if (depth > kMaxNesting)
    shape_error("asarray: the lists are nested more than ", kMaxNesting,
                " deep, or contain themselves.");
  if (PyList_Check(o) || PyTuple_Check(o)) {
    Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
    for (Py_ssize_t i = 0; i < n && i < PySequence_Fast_GET_SIZE(o); ++i)
      look(PySequence_Fast_GET_ITEM(o, i), depth + 1, found);
  } else if (is_tensor(o) || is_variable(o)) {
    found.tensors = true;
  } else if (!PyFloat_CheckExact(o) && !PyLong_Check(o)) {
    if (PyUnicode_Check(o))
      dtype_error("asarray: there is a string in the list. Elements must be numbers.");
    if (o == Py_None)
      dtype_error("asarray: there is a None in the list. Elements must be numbers.");
    found.arrays = found.arrays || !PyComplex_CheckExact(o);
  }
}

Tensor from_list(PyObject* o) {
  Leaves leaves;
  look(o, 0, leaves);
  if (leaves.tensors) {
    static const OpDef& stack = registry().find("stack");
    std::vector<Tensor> parts;
    std::vector<TensorImpl*> in;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
      parts.push_back(as_tensor(PySequence_Fast_GET_ITEM(o, i)));
    for (Tensor& t : parts) in.push_back(t.impl());
    Tensor out;
    run(stack, stack.defaults.get(), in, &out);
    return out;
  }
  py::object made;
  try {
    made = py::module_::import("numpy").attr("array")(py::handle(o));
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_ValueError)) throw;
    shape_error(
        "asarray: the nested lists have unequal lengths. Every list of one level must be equally "
        "long.");
  }
  auto a = made.cast<py::array>();
  if (!leaves.arrays) {  // Python numbers have no dtype of their own
    if (a.dtype().kind() == 'f')
      a = a.attr("astype")("float32").cast<py::array>();
    else if (a.dtype().kind() == 'c')
      a = a.attr("astype")("complex64").cast<py::array>();
    else if (a.dtype().kind() == 'O')
      argument_error("asarray: an integer in the list does not fit 64 bits.");
  }
  return from_ndarray(std::move(a), Copy::kMaybe);
}

Tensor from_number(PyObject* o, OptionalDType dtype) {
  if (PyBool_Check(o)) return scalar(int64_t(o == Py_True), dtype.value_or(DType::bool_));
  if (PyLong_Check(o)) {
    int overflow = 0;
    long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (v == -1 && PyErr_Occurred()) propagate();
    if (!overflow) return scalar(int64_t(v), dtype.value_or(kDefaultInt));
    unsigned long long u = overflow > 0 ? PyLong_AsUnsignedLongLong(o) : 0;
    if (overflow < 0 || PyErr_Occurred()) {
      PyErr_Clear();
      if (!dtype.given || !in(dtype.value, kFloating))
        argument_error("asarray: the integer does not fit 64 bits.");
      double d = PyLong_AsDouble(o);
      if (d == -1 && PyErr_Occurred()) propagate();
      return scalar(d, dtype.value);
    }
    Tensor t = empty({{}, DType::u64});
    *static_cast<uint64_t*>(view_of(t).data()) = u;
    return t;
  }
  if (PyFloat_Check(o)) {
    double d = PyFloat_AsDouble(o);
    return scalar(d, !dtype.given                            ? kDefaultFloat
                     : in(dtype.value, kFloating | kComplex) ? dtype.value
                                                             : DType::f64);
  }
  Tensor hold;
  operand(o, hold);  // complex
  Spec spec{{}, DType::c64};
  Tensor t = empty(spec);
  auto* from = static_cast<const double*>(view_of(hold).data());
  auto* to = static_cast<float*>(view_of(t).data());
  if (dtype.given && dtype.value == DType::c128) return make_view({{}, DType::c128}, view_of(hold));
  to[0] = float(from[0]), to[1] = float(from[1]);
  return t;
}

Tensor from_object(PyObject* o, OptionalDType dtype, Copy copy) {
  py::handle h(o);
  if (is_ndarray(o)) return from_ndarray(py::reinterpret_borrow<py::array>(o), copy);
  if (is_numpy_scalar(o))
    return from_ndarray(py::module_::import("numpy").attr("asarray")(h).cast<py::array>(),
                        Copy::kMaybe);
  if (copy == Copy::kNever && (PyList_Check(o) || PyTuple_Check(o) || PyFloat_Check(o) ||
                               PyLong_Check(o) || PyComplex_Check(o)))
    argument_error("asarray: a ", Py_TYPE(o)->tp_name,
                   " has no memory to share. Leave out copy=False.");
  if (PyFloat_Check(o) || PyLong_Check(o) || PyComplex_Check(o)) return from_number(o, dtype);
  if (PyList_Check(o) || PyTuple_Check(o)) return from_list(o);
  if (!PyType_Check(o) && PyObject_HasAttrString(o, "__dlpack__")) {
    try {
      return from_dlpack(h, copy == Copy::kNever ? Copy::kNever : Copy::kAlways);
    } catch (py::error_already_set& e) {
      if (!PyObject_HasAttrString(o, "__array__")) throw;
    }
  }
  if (!PyType_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) &&
      (PyObject_CheckBuffer(o) || PyObject_HasAttrString(o, "__array__") ||
       PyObject_HasAttrString(o, "__array_interface__")))
    return from_ndarray(py::module_::import("numpy").attr("asarray")(h).cast<py::array>(), copy);
  if (PyIter_Check(o) || PyRange_Check(o) || PyAnySet_Check(o)) {
    auto list = py::reinterpret_steal<py::object>(checked(PySequence_List(o)));
    return from_list(list.ptr());
  }
  dtype_error("asarray: a ", Py_TYPE(o)->tp_name,
              " cannot become a Tensor. Give numbers, nested lists of numbers, or an array.");
}

}  // namespace

bool is_ndarray(PyObject* o) { return py::detail::npy_api::get().PyArray_Check_(o); }
bool is_numpy_scalar(PyObject* o) {
  if (PyLong_CheckExact(o) || PyFloat_CheckExact(o)) return false;
  return PyType_IsSubtype(Py_TYPE(o), numpy_generic());
}

Tensor as_tensor(PyObject* o, OptionalDType dtype, Copy copy) {
  if (is_tensor(o) || is_variable(o)) {
    Tensor t = is_tensor(o) ? tensor_of(o) : variable_of(o)->read();
    if (dtype.given && dtype.value != t.dtype()) {
      if (copy == Copy::kNever)
        argument_error("asarray: ", t.spec(), " as ", name_of(dtype.value),
                       " needs a copy. Leave out copy=False.");
      return g_core_ops.cast(t, dtype.value);
    }
    return copy == Copy::kAlways && !t.symbolic() ? deep_copy(t) : t;
  }
  Tensor t = from_object(o, dtype, copy);
  if (!dtype.given || dtype.value == t.dtype()) return t;
  if (copy == Copy::kNever)
    argument_error("asarray: ", t.spec(), " as ", name_of(dtype.value),
                   " needs a copy. Leave out copy=False.");
  if (t.symbolic()) return g_core_ops.cast(t, dtype.value);
  Recorder outside(nullptr);  // host data enters a graph as it is wanted, not with a cast behind it
  return g_core_ops.cast(t, dtype.value);
}

namespace {
Tensor on_host(const Tensor& t) {
  if (!t.spec().device) return t;
  Spec spec = t.spec();
  spec.device = 0;
  const Tensor host = empty(spec), whole = dense(t);
  device(t.spec().device).copy_to_host(view_of(host).data(), view_of(whole).data(), bytes_of(spec));
  return host;
}
}  // namespace

py::object to_numpy(const Tensor& t) {
  const View& v = view_of(t);
  py::dtype dtype = numpy_dtype(t.dtype());
  const int rank = t.rank(), bytes = size_of(t.dtype());
  std::vector<py::ssize_t> shape(size_t(rank), 0), strides(size_t(rank), 0);
  int64_t row_major[kMaxRank];
  const bool host = t.spec().device == 0;
  if (v.dense || !host) dense_strides(t.shape(), row_major);
  for (int i = 0; i < rank; ++i) {
    shape[size_t(i)] = py::ssize_t(t.shape()[i].value());
    // Unsigned: beside an axis of size 0 the others may be so large that strides wrap, and mean
    // nothing.
    strides[size_t(i)] =
        py::ssize_t(uint64_t(v.dense || !host ? row_major[i] : v.strides[i]) * uint64_t(bytes));
  }
  py::array a;
  if (host) {
    auto owner = py::reinterpret_steal<py::object>(checked(wrap(Tensor(t))));
    a = py::array(dtype, shape, strides, v.data(), owner);
  } else {
    a = py::array(dtype, shape);
    Tensor whole = dense(t);
    device(t.spec().device).copy_to_host(a.mutable_data(), view_of(whole).data(), a.nbytes());
  }
  py::detail::array_proxy(a.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return a;
}

// ---- buffer protocol ----
namespace {
struct BufferShape {
  Py_ssize_t shape[kMaxRank], strides[kMaxRank];
};
const char* buffer_format(DType t) {
  constexpr const char* formats[kDTypes] = {"?", "b", "h",     "i", "q", "B",  "H", "I",
                                            "Q", "e", nullptr, "f", "d", "Zf", "Zd"};
  return formats[int(t)];
}
int buffer_error(const char* what) { return PyErr_SetString(PyExc_BufferError, what), -1; }
}  // namespace

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  return guarded_int([&]() -> int {
    const Tensor& t = tensor_of(self);
    if (t.symbolic())
      return buffer_error("the Tensor is symbolic: it has a value only when its graph runs");
    if (t.spec().device)
      return buffer_error("the Tensor is not in host memory; move it with .to(\"cpu\")");
    if ((flags & PyBUF_WRITABLE) == PyBUF_WRITABLE) return buffer_error("Tensors are read-only");
    const char* format = buffer_format(t.dtype());
    if (!format) return buffer_error("buffers have no bfloat16; cast with astype(fb.float32)");
    const View& v = view_of(t);
    constexpr int kContiguous =
        (PyBUF_C_CONTIGUOUS | PyBUF_F_CONTIGUOUS | PyBUF_ANY_CONTIGUOUS) & ~PyBUF_STRIDES;
    if (!v.dense && flags & kContiguous)
      return buffer_error("the Tensor is a strided view; the reader asks for contiguous memory");
    if (t.rank() > 1 && (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS)
      return buffer_error("the Tensor is row-major; the reader asks for column-major memory");
    if (!v.dense && (flags & PyBUF_STRIDES) != PyBUF_STRIDES)
      return buffer_error("the Tensor is a strided view; the reader must understand strides");
    auto* s = new BufferShape;
    int64_t row_major[kMaxRank];
    if (v.dense) dense_strides(t.shape(), row_major);
    const int bytes = size_of(t.dtype());
    for (int i = 0; i < t.rank(); ++i) {
      s->shape[i] = Py_ssize_t(t.shape()[i].value());
      s->strides[i] = Py_ssize_t((v.dense ? row_major[i] : v.strides[i]) * bytes);
    }
    view->buf = v.data();
    view->len = Py_ssize_t(t.shape().size() * bytes);
    view->itemsize = bytes;
    view->readonly = 1;
    view->ndim = t.rank();
    view->format = flags & PyBUF_FORMAT ? const_cast<char*>(format) : nullptr;
    view->shape = (flags & PyBUF_ND) == PyBUF_ND ? s->shape : nullptr;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? s->strides : nullptr;
    view->suboffsets = nullptr;
    view->internal = s;
    view->obj = Py_NewRef(self);
    return 0;
  });
}
void release_buffer(PyObject*, Py_buffer* view) {
  delete static_cast<BufferShape*>(view->internal);
}

// ---- the module's part ----
namespace {

// The value of a tensor with one element, as a Python number.
py::object item_of(const Tensor& given) {
  if (!(given.shape().elements() == Dim(1)))
    shape_error("item: x is ", given.spec(),
                ". Only a tensor with one element is a number; index it, or use tolist().");
  view_of(given);
  if (given.spec().device) return to_numpy(given).attr("item")();
  const Tensor& t = given;
  const void* p = view_of(t).data();
  switch (t.dtype()) {
    case DType::bool_:
      return py::bool_(*static_cast<const bool*>(p));
    case DType::i8:
      return py::int_(*static_cast<const int8_t*>(p));
    case DType::i16:
      return py::int_(*static_cast<const int16_t*>(p));
    case DType::i32:
      return py::int_(*static_cast<const int32_t*>(p));
    case DType::i64:
      return py::int_(*static_cast<const int64_t*>(p));
    case DType::u8:
      return py::int_(*static_cast<const uint8_t*>(p));
    case DType::u16:
      return py::int_(*static_cast<const uint16_t*>(p));
    case DType::u32:
      return py::int_(*static_cast<const uint32_t*>(p));
    case DType::u64:
      return py::int_(*static_cast<const uint64_t*>(p));
    case DType::f16:
      return py::float_(half_to_float(*static_cast<const uint16_t*>(p)));
    case DType::bf16:
      return py::float_(bfloat_to_float(*static_cast<const uint16_t*>(p)));
    case DType::f32:
      return py::float_(*static_cast<const float*>(p));
    case DType::f64:
      return py::float_(*static_cast<const double*>(p));
    case DType::c64: {
      auto* c = static_cast<const float*>(p);
      return py::reinterpret_steal<py::object>(PyComplex_FromDoubles(c[0], c[1]));
    }
    case DType::c128: {
      auto* c = static_cast<const double*>(p);
      return py::reinterpret_steal<py::object>(PyComplex_FromDoubles(c[0], c[1]));
    }
  }
  return py::none();
}

// asarray(x, dtype=None, copy=None), by position. Written by hand: pybind11 takes longer to match
// the arguments than a small tensor to be copied.
PyObject* asarray(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded([&]() -> PyObject* {
    if (count < 1 || count > 3) dtype_error("asarray takes one to three arguments by position.");
    PyObject *dtype = count > 1 ? args[1] : Py_None, *copy = count > 2 ? args[2] : Py_None;
    const int copies = copy == Py_None ? -1 : PyObject_IsTrue(copy);
    if (copy != Py_None && copies < 0) propagate();
    return wrap(as_tensor(args[0],
                          dtype == Py_None ? OptionalDType() : OptionalDType(to_dtype(dtype)),
                          copies < 0 ? Copy::kMaybe
                          : copies   ? Copy::kAlways
                                     : Copy::kNever));
  });
}
PyMethodDef functions[] = {
    {"asarray", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(asarray)), METH_FASTCALL,
     "A Tensor of numbers, nested lists or an array: asarray(x, dtype=None, copy=None)."},
    {}};

}  // namespace

void bind_convert(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), functions) < 0) propagate();
  m.def(
      "weak_scalar",
      [](py::handle number) {
        Tensor hold;
        TensorImpl* t = operand(number.ptr(), hold);
        if (!t || !t->spec.weak)
          dtype_error("weak_scalar: a ", Py_TYPE(number.ptr())->tp_name, " is no Python number.");
        return Tensor(t);
      },
      "A Python number as the 0-d tensor that gives way in promotion.");
  m.def("to_numpy", [](const Tensor& t) { return to_numpy(t); });
  m.def("item", item_of);
  m.def(
      "as_index",
      [](const Tensor& t) {
        if (t.dtype() == DType::i32 || t.dtype() == DType::i64) return t;
        if (t.symbolic()) return g_core_ops.cast(t, DType::i64);
        Recorder outside(nullptr);  // what is known stays known, or nobody could check it
        return g_core_ops.cast(t, DType::i64);
      },
      "Indices as int32 or int64.");
  m.def(
      "index_range",
      [](const Tensor& indices) {
        Recorder outside(nullptr);
        const Tensor least = on_host(min(indices)), most = on_host(max(indices));
        const auto value = [](const Tensor& t) {
          return t.dtype() == DType::i32 ? *static_cast<const int32_t*>(view_of(t).data())
                                         : *static_cast<const int64_t*>(view_of(t).data());
        };
        return std::pair(value(least), value(most));
      },
      "The least and the largest of concrete int32 or int64 indices.");
  m.def(
      "nonzero",
      [](const Tensor& t, bool together) {
        Recorder outside(nullptr);  // indices in a graph are constants of it
        const Tensor x = on_host(t);
        const Tensor flags = x.dtype() == DType::bool_ ? x : g_core_ops.cast(x, DType::bool_);
        return cpu::nonzero(flags, together);
      },
      py::arg("t"), py::arg("together") = false,
      "Index vectors of the elements that are not zero, one an axis, or one of all axes together.");
  m.def("deep_copy", [](const Tensor& t) { return t.symbolic() ? t : deep_copy(t); });
  m.def("is_operand", [](py::handle x) {
    PyObject* o = x.ptr();
    return is_tensor(o) || is_variable(o) || PyFloat_Check(o) || PyLong_Check(o) ||
           PyComplex_Check(o) || is_ndarray(o) || is_numpy_scalar(o);
  });
}

}  // namespace flowbook::python
