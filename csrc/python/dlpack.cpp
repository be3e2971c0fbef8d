// DLPack, both ways. Structures as in dlpack.h 1.0. Tensors never change, so what leaves is marked
// read-only; the unversioned form has no such mark, and gets a copy.
#include <cstring>

#include "binding.h"

namespace flowbook::python {
namespace {

struct DLDevice {
  int32_t type, id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  // elements; null: row-major
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};
struct DLManagedTensorVersioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor tensor;
};
constexpr int32_t kCpu = 1, kCudaHost = 3;
constexpr uint64_t kReadOnly = 1, kCopied = 2;
constexpr const char *kOld = "dltensor", *kOldUsed = "used_dltensor", *kNew = "dltensor_versioned",
                     *kNewUsed = "used_dltensor_versioned";

enum Code : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kComplexCode = 5, kBool = 6 };
DLDataType to_dl(DType t) {
  const auto bits = uint8_t(8 * size_of(t));
  if (t == DType::bool_) return {kBool, 8, 1};
  if (t == DType::bf16) return {kBfloat, 16, 1};
  if (in(t, kSigned)) return {kInt, bits, 1};
  if (in(t, kUnsigned)) return {kUInt, bits, 1};
  if (in(t, kFloating)) return {kFloat, bits, 1};
  return {kComplexCode, bits, 1};
}
DType from_dl(DLDataType d) {
  if (d.lanes == 1)
    for (int i = 0; i < kDTypes; ++i) {
      DLDataType t = to_dl(DType(i));
      if (t.code == d.code && t.bits == d.bits) return DType(i);
    }
  dtype_error("from_dlpack: the producer's dtype (code ", int64_t(d.code), ", ", int64_t(d.bits),
              " bits, ", int64_t(d.lanes), " lanes) has no counterpart. Convert it there.");
}

template <class Managed>
struct Exported {
  Managed managed{};
  Tensor tensor;
  int64_t shape[kMaxRank], strides[kMaxRank];
};

template <class Managed>
Managed* export_tensor(Tensor t) {
  auto e = std::make_unique<Exported<Managed>>();
  const View& v = view_of(t);
  DLTensor& d = e->managed.tensor;
  d.data = v.data();
  d.device = {kCpu, 0};
  d.ndim = t.rank();
  d.dtype = to_dl(t.dtype());
  if (v.dense)
    dense_strides(t.shape(), e->strides);
  else
    std::copy_n(v.strides, t.rank(), e->strides);
  for (int i = 0; i < t.rank(); ++i) e->shape[i] = t.shape()[i].value();
  d.shape = e->shape;
  d.strides = e->strides;
  d.byte_offset = 0;
  e->tensor = std::move(t);
  e->managed.context = e.get();
  e->managed.deleter = [](Managed* m) { delete static_cast<Exported<Managed>*>(m->context); };
  return &e.release()->managed;
}

template <class Managed>
void drop_capsule(PyObject* capsule, const char* name) {  // nobody took it
  if (!PyCapsule_IsValid(capsule, name)) return;
  auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
  if (m && m->deleter) m->deleter(m);
}

py::object to_capsule(const Tensor& given, bool versioned, const py::object& copy) {
  if (given.symbolic()) view_of(given);  // says so
  if (given.spec().device)
    fail(ErrorKind::kDevice,
         "__dlpack__: the tensor is not in host memory. Move it with .to(\"cpu\").");
  const bool asked = !copy.is_none() && copy.cast<bool>();
  if (!versioned && !copy.is_none() && !asked) {
    PyErr_SetString(PyExc_BufferError,
                    "the Tensor is read-only, which unversioned DLPack cannot say; ask for "
                    "max_version=(1, 0) or a copy");
    propagate();
  }
  const bool copied = asked || !versioned;
  Tensor t = copied ? deep_copy(given) : given;
  PyObject* capsule;
  if (versioned) {
    auto* m = export_tensor<DLManagedTensorVersioned>(std::move(t));
    m->major = 1, m->minor = 0;
    m->flags = copied ? kCopied : kReadOnly;
    capsule = PyCapsule_New(m, kNew,
                            [](PyObject* c) { drop_capsule<DLManagedTensorVersioned>(c, kNew); });
    if (!capsule) m->deleter(m);
  } else {
    auto* m = export_tensor<DLManagedTensor>(std::move(t));
    capsule = PyCapsule_New(m, kOld, [](PyObject* c) { drop_capsule<DLManagedTensor>(c, kOld); });
    if (!capsule) m->deleter(m);
  }
  return py::reinterpret_steal<py::object>(checked(capsule));
}

// The consumer's side: `m` is ours once this returns, whether shared or copied.
template <class Managed>
Tensor take(Managed* m, Copy copy) {
  std::unique_ptr<Managed, void (*)(Managed*)> guard(m, [](Managed* p) {
    if (p->deleter) p->deleter(p);
  });
  const DLTensor& d = m->tensor;
  if (d.device.type != kCpu && d.device.type != kCudaHost)
    fail(ErrorKind::kDevice, "from_dlpack: the producer's memory is on a device of DLPack type ",
         int64_t(d.device.type), ". Copy it to the host there.");
  if (d.ndim < 0 || d.ndim > kMaxRank)
    shape_error("from_dlpack: the array has ", int64_t(d.ndim), " axes. A Tensor has at most ",
                kMaxRank, ".");
  Spec spec;
  spec.dtype = from_dl(d.dtype);
  for (int i = 0; i < d.ndim; ++i) {
    if (d.shape[i] < 0)
      shape_error("from_dlpack: the producer's size of axis ", int64_t(i), " is negative.");
    spec.shape.push_back(d.shape[i]);
  }
  View v;
  int64_t row_major[kMaxRank];
  dense_strides(spec.shape, row_major);
  const int64_t size = spec.shape.size();
  if (d.strides) {
    for (int i = 0; i < d.ndim; ++i) {
      v.strides[i] = d.strides[i];
      if (d.shape[i] != 1 && d.strides[i] != row_major[i]) v.dense = false;
    }
    if (size == 0) v.dense = true;
  }
  void* data = static_cast<char*>(d.data) + d.byte_offset;
  const bool aligned =
      reinterpret_cast<uintptr_t>(data) % size_t(std::min(size_of(spec.dtype), 8)) == 0;
  if (!aligned && size) {
    if (copy == Copy::kNever)
      argument_error(
          "from_dlpack: the memory is not aligned to its elements. Leave out copy=False.");
    if (!v.dense)
      argument_error(
          "from_dlpack: the memory is strided and not aligned to its elements. Copy it there.");
    Tensor t = empty(spec);
    std::memcpy(view_of(t).data(), data, size_t(bytes_of(spec)));
    return t;
  }
  v.buffer = adopt(
      data, bytes_of(spec),
      [](void* p) {
        auto* owner = static_cast<Managed*>(p);
        if (!owner->deleter) return;
#if PY_VERSION_HEX >= 0x030D0000
        if (Py_IsFinalizing()) return;
#endif
        if (!Py_IsInitialized()) return;
        PyGILState_STATE state = PyGILState_Ensure();  // a producer written in Python needs it
        owner->deleter(owner);
        PyGILState_Release(state);
      },
      m);
  guard.release();
  Tensor shared = make_view(spec, std::move(v));
  return copy == Copy::kAlways ? deep_copy(shared) : shared;
}

py::object ask(py::handle producer, Copy copy) {
  py::object method = producer.attr("__dlpack__");
  try {  // old producers know no max_version, older ones no copy
    if (copy == Copy::kNever)
      return method(py::arg("max_version") = py::make_tuple(1, 0), py::arg("copy") = false);
    return method(py::arg("max_version") = py::make_tuple(1, 0));
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_TypeError)) throw;
  }
  return method();
}

}  // namespace

Tensor from_dlpack(py::handle producer, Copy copy) {
  if (is_tensor(producer.ptr()) || is_variable(producer.ptr()))
    return as_tensor(producer.ptr(), {}, copy);
  py::object capsule = PyCapsule_CheckExact(producer.ptr())
                           ? py::reinterpret_borrow<py::object>(producer)
                       : py::hasattr(producer, "__dlpack__")
                           ? ask(producer, copy)
                           : (dtype_error("from_dlpack: a ", Py_TYPE(producer.ptr())->tp_name,
                                          " has no __dlpack__. Use fb.asarray."),
                              py::object());
  if (PyCapsule_IsValid(capsule.ptr(), kNew)) {
    auto* m = static_cast<DLManagedTensorVersioned*>(PyCapsule_GetPointer(capsule.ptr(), kNew));
    if (m->major != 1) {
      PyErr_SetString(PyExc_BufferError,
                      "from_dlpack: the producer speaks an unknown major version of DLPack");
      propagate();
    }
    if (PyCapsule_SetName(capsule.ptr(), kNewUsed)) propagate();
    return take(m, copy);
  }
  if (PyCapsule_IsValid(capsule.ptr(), kOld)) {
    auto* m = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kOld));
    if (PyCapsule_SetName(capsule.ptr(), kOldUsed)) propagate();
    return take(m, copy);
  }
  argument_error(
      "from_dlpack: the capsule is no unused DLPack capsule. A capsule can be taken once.");
}

void bind_dlpack(py::module_& m) {
  m.def("to_dlpack", to_capsule, py::arg("x"), py::arg("versioned"), py::arg("copy") = py::none());
  m.def(
      "from_dlpack",
      [](py::handle x, const py::object& copy) {
        return from_dlpack(x, copy.is_none()      ? Copy::kMaybe
                              : copy.cast<bool>() ? Copy::kAlways
                                                  : Copy::kNever);
      },
      py::arg("x"), py::arg("copy") = py::none());
}

}  // namespace flowbook::python
