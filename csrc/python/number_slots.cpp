// Operators of Tensors and Variables: each slot is one op of the registry.
#include "binding.h"

namespace flowbook::python {
namespace {

enum Slot {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kRemainder,
  kPow,
  kMatmul,
  kLeft,
  kRight,
  kAnd,
  kOr,
  kXor,
  kNegative,
  kPositive,
  kAbs,
  kInvert,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kSlots
};
constexpr const char* kSlotOps[kSlots] = {"add",
                                          "subtract",
                                          "multiply",
                                          "divide",
                                          "floor_divide",
                                          "remainder",
                                          "pow",
                                          "matmul",
                                          "bitwise_left_shift",
                                          "bitwise_right_shift",
                                          "bitwise_and",
                                          "bitwise_or",
                                          "bitwise_xor",
                                          "negative",
                                          "positive",
                                          "abs",
                                          "bitwise_invert",
                                          "equal",
                                          "not_equal",
                                          "less",
                                          "less_equal",
                                          "greater",
                                          "greater_equal"};
const OpDef* g_ops[kSlots];

[[gnu::cold, gnu::noinline]] const OpDef& find_op(int slot) {
  return *(g_ops[slot] = &registry().find(kSlotOps[slot]));
}
inline const OpDef& slot_op(int slot) { return g_ops[slot] ? *g_ops[slot] : find_op(slot); }

// `x * 2.0` with a float32 or float64 tensor: the number in the tensor's dtype, as promotion would
// convert it, without the detour over float64 or int64. Null for anything else.
TensorImpl* number_beside(PyObject* number, PyObject* tensor, Tensor& hold) {
  if (Py_TYPE(tensor) != g_tensor) return nullptr;
  const DType dtype = tensor_of(tensor).dtype();
  if ((dtype != DType::f32 && dtype != DType::f64) || tensor_of(tensor).spec().weak) return nullptr;
  if (PyFloat_CheckExact(number))
    return (hold = scalar(PyFloat_AS_DOUBLE(number), dtype, true)).impl();
  if (PyLong_CheckExact(number)) {
    int overflow = 0;
    const long long v = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (!overflow) return (hold = scalar(int64_t(v), dtype, true)).impl();
  }
  return nullptr;
}
inline TensorImpl* operand_beside(PyObject* o, PyObject* other, Tensor& hold) {
  if (Py_TYPE(o) == g_tensor) [[likely]]
    return tensor_of(o).impl();
  if (TensorImpl* t = number_beside(o, other, hold)) return t;
  return operand(o, hold);
}

PyObject* binary(const OpDef& op, PyObject* a, PyObject* b) noexcept {
  try {
    Tensor hold_a, hold_b, out;
    TensorImpl* in[] = {operand_beside(a, b, hold_a), operand_beside(b, a, hold_b)};
    if (!in[0] || !in[1]) Py_RETURN_NOTIMPLEMENTED;
    run(op, op.defaults.get(), in, &out);
    return wrap(std::move(out));
  } catch (const Error& e) {
    PyObject* values[] = {a, b};
    return raise_in_op(e, op, values, 2);
  } catch (...) {
    return raise_current(), nullptr;
  }
}

PyObject* unary(const OpDef& op, PyObject* a) noexcept {
  try {
    Tensor hold, out;
    TensorImpl* in[] = {operand(a, hold)};
    if (!in[0]) Py_RETURN_NOTIMPLEMENTED;
    run(op, op.defaults.get(), in, &out);
    return wrap(std::move(out));
  } catch (const Error& e) {
    return raise_in_op(e, op, &a, 1);
  } catch (...) {
    return raise_current(), nullptr;
  }
}

template <int kSlot>
PyObject* binary_slot(PyObject* a, PyObject* b) noexcept {
  const OpDef* op = g_ops[kSlot];
  if (!op) [[unlikely]]
    return guarded([&] { return binary(find_op(kSlot), a, b); });
  return binary(*op, a, b);
}
template <int kSlot>
PyObject* unary_slot(PyObject* a) noexcept {
  return guarded([&] { return unary(slot_op(kSlot), a); });
}
PyObject* power_slot(PyObject* a, PyObject* b, PyObject* modulus) noexcept {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return binary_slot<kPow>(a, b);
}
PyObject* divmod_slot(PyObject* a, PyObject* b) noexcept {
  PyObject* quotient = binary_slot<kFloorDivide>(a, b);
  if (!quotient || quotient == Py_NotImplemented) return quotient;
  PyObject* rest = binary_slot<kRemainder>(a, b);
  PyObject* both = rest ? PyTuple_Pack(2, quotient, rest) : nullptr;
  Py_DECREF(quotient);
  Py_XDECREF(rest);
  return both;
}

}  // namespace

// ---- what operators take ----
namespace {

Tensor weak_int(PyObject* o) {
  int overflow = 0;
  long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
  if (v == -1 && PyErr_Occurred()) propagate();
  if (!overflow) return scalar(int64_t(v), DType::i64, true);
  unsigned long long u = overflow > 0 ? PyLong_AsUnsignedLongLong(o) : 0;
  if (overflow < 0 || PyErr_Occurred()) {
    PyErr_Clear();
    argument_error("the integer does not fit 64 bits. Write it as a float.");
  }
  Tensor t = empty({{}, DType::u64, 0, true});
  *static_cast<uint64_t*>(view_of(t).data()) = u;
  return t;
}

Tensor weak_complex(PyObject* o) {
  Spec spec;
  spec.dtype = DType::c128;
  spec.weak = true;
  Tensor t = empty(spec);
  auto* p = static_cast<double*>(view_of(t).data());
  p[0] = PyComplex_RealAsDouble(o);
  p[1] = PyComplex_ImagAsDouble(o);
  return t;
}

[[gnu::noinline]] TensorImpl* cold_operand(PyObject* o, Tensor& hold) {
  if (is_tensor(o)) return tensor_of(o).impl();
  if (is_variable(o)) return (hold = variable_of(o)->read()).impl();
  if (PyBool_Check(o)) return (hold = scalar(int64_t(o == Py_True), DType::bool_, true)).impl();
  if (PyLong_Check(o)) return (hold = weak_int(o)).impl();
  if (PyFloat_Check(o)) return (hold = scalar(PyFloat_AsDouble(o), DType::f64, true)).impl();
  if (PyComplex_Check(o)) return (hold = weak_complex(o)).impl();
  if (is_ndarray(o)) return (hold = as_tensor(o)).impl();
  if (is_numpy_scalar(o)) {
    py::object item = py::reinterpret_borrow<py::object>(o).attr("item")();
    if (is_numpy_scalar(item.ptr())) return nullptr;  // longdouble and the like stay what they are
    return cold_operand(item.ptr(), hold);
  }
  return nullptr;
}

}  // namespace

TensorImpl* operand(PyObject* o, Tensor& hold) {
  if (Py_TYPE(o) == g_tensor) [[likely]]
    return tensor_of(o).impl();
  if (PyFloat_CheckExact(o)) return (hold = scalar(PyFloat_AS_DOUBLE(o), DType::f64, true)).impl();
  return cold_operand(o, hold);
}

TensorImpl* argument(PyObject* o, Tensor& hold) {
  if (TensorImpl* t = operand(o, hold)) return t;
  if (o == Py_None || PyUnicode_Check(o) || PyBytes_Check(o) || PyCallable_Check(o)) return nullptr;
  if (PyList_Check(o) || PyTuple_Check(o) || PyObject_CheckBuffer(o) ||
      PyObject_HasAttrString(o, "__array__") || PyObject_HasAttrString(o, "__dlpack__") ||
      PyObject_HasAttrString(o, "__array_interface__"))
    return (hold = as_tensor(o)).impl();
  return nullptr;
}

PyObject* rich_compare(PyObject* a, PyObject* b, int op) {
  constexpr Slot kCompare[] = {kLess, kLessEqual, kEqual, kNotEqual, kGreater, kGreaterEqual};
  return guarded([&] { return binary(slot_op(kCompare[op]), a, b); });
}

namespace {
template <class F>
void* pointer(F* f) {
  return reinterpret_cast<void*>(f);
}
PyType_Slot g_number_slots[] = {{Py_nb_add, pointer(binary_slot<kAdd>)},
                                {Py_nb_subtract, pointer(binary_slot<kSubtract>)},
                                {Py_nb_multiply, pointer(binary_slot<kMultiply>)},
                                {Py_nb_true_divide, pointer(binary_slot<kDivide>)},
                                {Py_nb_floor_divide, pointer(binary_slot<kFloorDivide>)},
                                {Py_nb_remainder, pointer(binary_slot<kRemainder>)},
                                {Py_nb_divmod, pointer(divmod_slot)},
                                {Py_nb_power, pointer(power_slot)},
                                {Py_nb_matrix_multiply, pointer(binary_slot<kMatmul>)},
                                {Py_nb_lshift, pointer(binary_slot<kLeft>)},
                                {Py_nb_rshift, pointer(binary_slot<kRight>)},
                                {Py_nb_and, pointer(binary_slot<kAnd>)},
                                {Py_nb_or, pointer(binary_slot<kOr>)},
                                {Py_nb_xor, pointer(binary_slot<kXor>)},
                                {Py_nb_negative, pointer(unary_slot<kNegative>)},
                                {Py_nb_positive, pointer(unary_slot<kPositive>)},
                                {Py_nb_absolute, pointer(unary_slot<kAbs>)},
                                {Py_nb_invert, pointer(unary_slot<kInvert>)},
                                {0, nullptr}};
}  // namespace
PyType_Slot* const kNumberSlots = g_number_slots;

}  // namespace flowbook::python
