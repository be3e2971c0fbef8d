// What the files of the binding share: guards around everything that Python may call, the Tensor
// and Variable objects, conversions. Hot paths (slots, op calls) use the C API; everything else is
// pybind11.
#pragma once
#define PY_SSIZE_T_CLEAN
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <structmember.h>

#include "core/apply.h"
#include "core/graph.h"

namespace flowbook::python {

namespace py = pybind11;

// ---- errors ----
// Sets the Python exception that stands for `e`; always returns null.
PyObject* raise(const Error& e) noexcept;
// The same for an error inside an op: the hook of _errors.py adds the names which the arguments
// have in the caller's frame.
PyObject* raise_in_op(const Error& e, const OpDef& op, PyObject* const* values,
                      size_t count) noexcept;
// Turns the exception in flight into a Python exception.
void raise_current() noexcept;
PyObject* error_class(ErrorKind kind);

// A Python exception is set already; unwinds to the guard.
[[noreturn]] inline void propagate() { throw py::error_already_set(); }
inline PyObject* checked(PyObject* o) {
  if (!o) propagate();
  return o;
}

// Nothing gets past: no C++ exception reaches the interpreter.
template <class F>
PyObject* guarded(F body) noexcept {
  try {
    return body();
  } catch (...) {
    return raise_current(), nullptr;
  }
}
template <class F>
int guarded_int(F body) noexcept {
  try {
    return body();
  } catch (...) {
    return raise_current(), -1;
  }
}

// ---- tensors ----
struct TensorObject {
  PyObject ob_base;
  Tensor tensor;
  PyObject* weak;
};
extern PyTypeObject* g_tensor;
PyObject* wrap(Tensor&& t);  // a new reference; null with MemoryError set
inline bool is_tensor(PyObject* o) {
  return Py_TYPE(o) == g_tensor || PyType_IsSubtype(Py_TYPE(o), g_tensor);
}
inline Tensor& tensor_of(PyObject* o) { return reinterpret_cast<TensorObject*>(o)->tensor; }

struct VariableObject {
  PyObject ob_base;
  Ref<Variable> variable;
  PyObject* weak;
};
extern PyTypeObject* g_variable;
PyObject* wrap(
    const Ref<Variable>& v);  // the object that stands for it: identity is kept while one lives
inline bool is_variable(PyObject* o) {
  return Py_TYPE(o) == g_variable || PyType_IsSubtype(Py_TYPE(o), g_variable);
}
inline const Ref<Variable>& variable_of(PyObject* o) {
  return reinterpret_cast<VariableObject*>(o)->variable;
}

// What operators accept: Tensors, Variables, Python and NumPy scalars (weak), ndarrays. `hold`
// keeps alive what had to be made. Null if `o` is none of these.
TensorImpl* operand(PyObject* o, Tensor& hold);
// What ops accept beyond that: nested lists, and anything that NumPy or DLPack can read.
TensorImpl* argument(PyObject* o, Tensor& hold);

extern PyType_Slot* const kNumberSlots;  // shared by Tensor and Variable; ends with {0, nullptr}
PyObject* rich_compare(PyObject* a, PyObject* b, int op);
extern void* const kSubscript;  // mp_subscript
// The getter of `T`, of Tensors and Variables.
PyObject* transposed(PyObject* self, void*);
extern const char* const kTransposedDoc;
Py_hash_t hash_identity(PyObject* o);
PyObject* attribute(PyObject* o,
                    PyObject* name);  // with the hook's error for one that is not there

// ---- NumPy, buffers, DLPack ----
enum class Copy : uint8_t { kMaybe, kNever, kAlways };
// `t` is concrete afterwards unless `o` holds symbols. The dtype is `o`'s; Python numbers give the
// default dtypes.
Tensor as_tensor(PyObject* o, OptionalDType dtype = {}, Copy copy = Copy::kMaybe);
bool is_ndarray(PyObject* o);
bool is_numpy_scalar(PyObject* o);
py::object to_numpy(const Tensor& t);  // a read-only view
Tensor from_dlpack(py::handle producer, Copy copy);
int get_buffer(PyObject* self, Py_buffer* view, int flags);
void release_buffer(PyObject* self, Py_buffer* view);

// ---- dtypes, dims, attributes ----
PyObject* dtype_object(DType t);    // borrowed
DType to_dtype(PyObject* o);        // fb.float32, "float32", np.float32, np.dtype, float, ...
Dim to_dim(PyObject* o);            // int, Dim
Dim parse_dim(std::string_view s);  // "784", "batch", "2*batch + 1"
py::object from_dim(Dim d);
py::tuple from_shape(const Shape& s);
Shape to_shape(PyObject* o);          // an int or a sequence
Spec parse_spec(std::string_view s);  // "f32[batch, 784]"
py::object attr_to_python(const AttrDef& a, const void* p);
// Sets `attrs`' member; errors name the op and the argument.
void attr_from_python(const OpDef& op, const AttrDef& a, void* attrs, PyObject* value);

// An op's attributes while a call is prepared: on the stack where they fit, starting as the
// defaults.
class AttrFrame {
 public:
  explicit AttrFrame(const OpDef& op) : op_(op) {
    if (!op.size) return;
    if (op.size > sizeof bytes_) p_ = ::operator new(op.size);
    op.copy(p_, op.defaults.get());
  }
  ~AttrFrame() {
    if (!op_.size) return;
    op_.destroy(p_);
    if (p_ != bytes_) ::operator delete(p_);
  }
  AttrFrame(const AttrFrame&) = delete;
  const void* get() const { return op_.size ? p_ : op_.defaults.get(); }
  void* data() { return p_; }

 private:
  const OpDef& op_;
  alignas(16) char bytes_[224];
  void* p_ = bytes_;
};
// Sets attributes from keywords. ArgumentError for a name the op does not have.
void set_attrs(const OpDef& op, AttrFrame& frame, const py::dict& kwargs);

// ---- ops ----
const OpDef* op_of(PyObject* o);  // of an op function; null if it is none
// apply(), with the GIL released and interrupts polled where the work is long.
void run(const OpDef& op, const void* attrs, Inputs in, Tensor* out);

inline py::str text(const std::string& s) { return py::str(s.data(), s.size()); }
inline PyObject* new_text(const std::string& s) {
  return PyUnicode_FromStringAndSize(s.data(), Py_ssize_t(s.size()));
}

// ---- parts of the module ----
void bind_errors(py::module_& m);
void bind_dtypes(py::module_& m);
void bind_tensor(py::module_& m);
void bind_ops(py::module_& m);
void bind_indexing(py::module_& m);
void bind_variable(py::module_& m);
void bind_convert(py::module_& m);
void bind_dlpack(py::module_& m);
void bind_graph(py::module_& m);
void bind_random(py::module_& m);
void bind_memory(py::module_& m);
void bind_system(py::module_& m);
void bind_testing(py::module_& m);

}  // namespace flowbook::python

namespace pybind11::detail {

template <>
struct type_caster<flowbook::Tensor> {
  PYBIND11_TYPE_CASTER(flowbook::Tensor, const_name("flowbook.Tensor"));
  bool load(handle h, bool) {
    if (flowbook::python::is_tensor(h.ptr()))
      value = flowbook::python::tensor_of(h.ptr());
    else if (flowbook::python::is_variable(h.ptr()))
      value = flowbook::python::variable_of(h.ptr())->read();
    else
      return false;
    return true;
  }
  static handle cast(flowbook::Tensor t, return_value_policy, handle) {
    return flowbook::python::wrap(std::move(t));
  }
};

template <>
struct type_caster<flowbook::Ref<flowbook::Variable>> {
  PYBIND11_TYPE_CASTER(flowbook::Ref<flowbook::Variable>, const_name("flowbook.Variable"));
  bool load(handle h, bool) {
    return flowbook::python::is_variable(h.ptr()) &&
           (value = flowbook::python::variable_of(h.ptr()), true);
  }
  static handle cast(const flowbook::Ref<flowbook::Variable>& v, return_value_policy, handle) {
    return flowbook::python::wrap(v);
  }
};

template <>
struct type_caster<flowbook::Dim> {
  PYBIND11_TYPE_CASTER(flowbook::Dim, const_name("int | flowbook.Dim"));
  bool load(handle h, bool) { return (value = flowbook::python::to_dim(h.ptr()), true); }
  static handle cast(flowbook::Dim d, return_value_policy, handle) {
    return flowbook::python::from_dim(d).release();
  }
};

template <>
struct type_caster<flowbook::Shape> {
  PYBIND11_TYPE_CASTER(flowbook::Shape, const_name("tuple[int | flowbook.Dim, ...]"));
  bool load(handle h, bool) { return (value = flowbook::python::to_shape(h.ptr()), true); }
  static handle cast(const flowbook::Shape& s, return_value_policy, handle) {
    return flowbook::python::from_shape(s).release();
  }
};

template <>
struct type_caster<flowbook::DType> {
  PYBIND11_TYPE_CASTER(flowbook::DType, const_name("flowbook.DType"));
  bool load(handle h, bool) { return (value = flowbook::python::to_dtype(h.ptr()), true); }
  static handle cast(flowbook::DType t, return_value_policy, handle) {
    return handle(flowbook::python::dtype_object(t)).inc_ref();
  }
};

}  // namespace pybind11::detail
