// `x[...]` with ints, slices, None and `...`: a window made of the ops slice, squeeze and
// expand_dims. Keys with arrays or masks in them go to _indexing.py.
#include "interrupt.h"
#include "ops/ops.h"

namespace flowbook::python {
namespace {

PyObject* g_general;  // _indexing.getitem

// An index or a bound of a slice; false: not a plain integer, the general way decides.
bool plain_int(PyObject* o, int64_t* out) {
  if (!PyLong_CheckExact(o)) {
    if (PyBool_Check(o) || is_tensor(o) || is_variable(o) || is_ndarray(o) || !PyIndex_Check(o))
      return false;
  }
  auto index = py::reinterpret_steal<py::object>(PyNumber_Index(o));
  if (!index) return PyErr_Clear(), false;
  int overflow = 0;
  long long v = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  // Beyond 64 bits every bound is the far end, every index out of range; kSliceEnd itself has a
  // meaning of its own.
  *out = overflow ? (overflow > 0 ? INT64_MAX - 1 : INT64_MIN + 1)
                  : std::min<int64_t>(v, INT64_MAX - 1);
  return true;
}

struct Key {
  PyObject* const* items;
  Py_ssize_t count;
};

// True if `key` is basic; then `out` is the result.
bool basic(const Tensor& x, Key key, Tensor& out) {
  const int rank = x.rank();
  Py_ssize_t used = 0;
  int dots = 0;
  for (Py_ssize_t i = 0; i < key.count; ++i) {
    PyObject* k = key.items[i];
    if (k == Py_Ellipsis)
      ++dots;
    else if (k != Py_None)
      ++used;
  }
  if (dots > 1 || used > rank) return false;
  Ints starts(size_t(rank), 0), stops(size_t(rank), kSliceEnd), steps(size_t(rank), 1);
  Axes dropped{};
  dropped.all = false;
  int fresh[kMaxRank];
  int fresh_count = 0, axis = 0, place = 0;  // place: axis of the result
  bool whole = true;
  Tensor open;  // x, where entries of axes of unknown size are taken
  for (Py_ssize_t i = 0; i < key.count; ++i) {
    PyObject* k = key.items[i];
    if (k == Py_None) {
      if (fresh_count == kMaxRank) return false;
      fresh[fresh_count++] = place++;
    } else if (k == Py_Ellipsis) {
      axis += rank - int(used);
      place += rank - int(used);
    } else if (PySlice_Check(k)) {
      auto* s = reinterpret_cast<PySliceObject*>(k);
      auto a = size_t(axis);
      if (s->step != Py_None && (!plain_int(s->step, &steps[a]) || steps[a] == 0)) return false;
      if (s->start == Py_None)
        starts[a] = steps[a] > 0 ? 0 : kSliceEnd;
      else if (!plain_int(s->start, &starts[a]))
        return false;
      if (s->stop != Py_None && !plain_int(s->stop, &stops[a])) return false;
      whole = whole && starts[a] == 0 && stops[a] == kSliceEnd && steps[a] == 1;
      ++axis, ++place;
    } else {
      int64_t n;
      if (!plain_int(k, &n)) return false;
      const Dim size = x.shape()[axis];
      if (size.known()) {
        if (n < -size.value() || n >= size.value()) return false;  // the general way says so
        if (n < 0) n += size.value();
      }
      if (size.known()) {
        starts[size_t(axis)] = n;
        stops[size_t(axis)] = n + 1;
        whole = false;
      } else {  // no slice can say "one entry" here without knowing the size
        open = open ? open : x;
        open = narrow(open, n < 0 ? size - Dim(-n) : Dim(n), 1, axis);
      }
      dropped.push_back(axis++);
    }
  }
  if (place + (rank - axis) > kMaxRank) return false;
  out = open ? open : x;
  if (!whole) out = slice(out, starts, stops, steps);
  if (dropped.count) out = squeeze(out, dropped);
  for (int i = 0; i < fresh_count; ++i) out = expand_dims(out, fresh[i]);
  return true;
}

PyObject* subscript(PyObject* self, PyObject* key) noexcept {
  return guarded([&]() -> PyObject* {
    Tensor held = is_variable(self) ? variable_of(self)->read() : tensor_of(self);
    Tensor out;
    Key k = PyTuple_CheckExact(key) ? Key{&PyTuple_GET_ITEM(key, 0), PyTuple_GET_SIZE(key)}
                                    : Key{&key, 1};
    if (basic(held, k, out)) {
      flush_interrupt();
      return wrap(std::move(out));
    }
    if (!g_general) internal_error("the general indexing is not set up.");
    return py::handle(g_general)(held, py::handle(key)).release().ptr();
  });
}

}  // namespace

void* const kSubscript = reinterpret_cast<void*>(subscript);

void bind_indexing(py::module_& m) {
  m.def("set_getitem", [](py::object f) {
    Py_XDECREF(g_general);
    g_general = f.release().ptr();
  });
}

}  // namespace flowbook::python
