// The numbers of a training run's steps: read from the steps' results in one go, and gathered into
// buckets. Fast steps make tens of thousands a second, each of which would cost Python objects.
#include <pybind11/numpy.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "binding.h"

namespace flowbook::python {
namespace {

using Numbers = py::array_t<double, py::array::c_style | py::array::forcecast>;

double number(PyObject* o) {
  if (Py_TYPE(o) == g_tensor) {
    const Tensor& t = tensor_of(o);
    const bool plain = t.dtype() == DType::f32 && !t.symbolic() && !t.spec().device;
    if (plain && t.rank() == 0) return *static_cast<const float*>(view_of(t).data());
  }
  const double v = PyFloat_AsDouble(o);  // other dtypes, devices, shapes; numbers
  if (v == -1 && PyErr_Occurred()) propagate();
  return v;
}

Numbers numbers(const py::list& values) {
  Numbers out(py::ssize_t(values.size()));
  double* to = out.mutable_data();
  // __float__ may be anybody's code and change the list: its size and items are read each time.
  for (size_t i = 0; i < size_t(out.size()); ++i)
    to[i] = i < values.size() ? number(py::object(values[i]).ptr())
                              : std::numeric_limits<double>::quiet_NaN();
  return out;
}

// [3, buckets]: least, greatest and mean of the finite values of each bucket.
Numbers summary(const Numbers& values, py::ssize_t size) {
  if (size < 1 || values.ndim() != 1)
    throw py::value_error("summary: values are 1-d, and a bucket has at least one of them.");
  const py::ssize_t n = values.size(), buckets = n / size + (n % size != 0);
  Numbers out({py::ssize_t(3), buckets});
  const double* from = values.data();
  double* low = out.mutable_data();
  double *high = low + buckets, *mean = high + buckets;
  for (py::ssize_t b = 0; b < buckets; ++b) {
    double least = std::numeric_limits<double>::infinity(), greatest = -least, sum = 0;
    py::ssize_t finite = 0;
    for (py::ssize_t i = b * size, end = std::min(n, i + size); i < end; ++i) {
      const double v = from[i];
      if (!std::isfinite(v)) continue;
      least = std::min(least, v);
      greatest = std::max(greatest, v);
      sum += v;
      ++finite;
    }
    const double none = std::numeric_limits<double>::quiet_NaN();
    low[b] = finite ? least : none;
    high[b] = finite ? greatest : none;
    mean[b] = finite ? sum / double(finite) : none;
  }
  return out;
}

}  // namespace

void bind_course(py::module_& m) {
  m.def("numbers", numbers, py::arg("values"), "The values of 0-d tensors, as a float64 array.");
  m.def("summary", summary, py::arg("values"), py::arg("size"),
        "[3, buckets] of `size` values, the last one of the rest: least, greatest and mean of the "
        "finite ones; NaN where there is none.");
}

}  // namespace flowbook::python
