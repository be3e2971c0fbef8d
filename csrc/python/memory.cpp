// Memory accounting: statistics, limits, the list of large buffers, the cell that allocations are
// charged to.
#include <algorithm>

#include "binding.h"
#include "core/backend.h"
#include "core/memory_log.h"

namespace flowbook::python {
namespace {
constexpr const char* kKinds[kBufferKinds] = {"tensor",     "parameter", "gradient", "optimizer",
                                              "activation", "workspace", "external"};

int checked_device(int d) {
  if (d < 0 || size_t(d) >= devices().size())
    fail(ErrorKind::kDevice, "memory: there is no device ", d, ".");
  return d;
}
}  // namespace

void bind_memory(py::module_& m) {
  m.def(
      "memory_stats",
      [](int device) {
        MemoryStats s = memory_stats(checked_device(device));
        py::dict d, kinds;
        d["live"] = s.live;
        d["peak"] = s.peak;
        d["reserved"] = s.reserved;
        d["allocations"] = s.allocations;
        for (int k = 0; k < kBufferKinds; ++k) kinds[kKinds[k]] = s.by_kind[k];
        d["by_kind"] = kinds;
        return d;
      },
      py::arg("device") = 0);
  m.def(
      "reset_peak_memory",
      [](int device) {
        if (checked_device(device))
          fail(ErrorKind::kDevice, "memory.reset_peak: device `", devices()[size_t(device)]->name(),
               "` keeps its own peak; only the CPU's can be reset.");
        reset_peak_memory(device);
      },
      py::arg("device") = 0);
  m.def(
      "free_cached_memory", [](int device) { return free_cached_memory(checked_device(device)); },
      py::arg("device") = 0);
  m.def("set_memory_limit", [](int64_t bytes) {
    if (bytes < 0)
      argument_error("memory.set_limit: ", bytes,
                     " bytes. Give a positive number, or None for no limit.");
    set_memory_limit(bytes);
  });
  m.def("memory_limit", memory_limit);
  m.def(
      "memory_history",
      [](int device) {
        py::list all;
        for (const MemorySample& s : memory_history(checked_device(device)))
          all.append(py::make_tuple(s.seconds, s.live, s.peak));
        return all;
      },
      py::arg("device") = 0,
      "(seconds, live, peak) of the intervals in which a device's memory use changed; the last is "
      "now.");
  m.def("begin_memory_window", begin_memory_window);
  m.def("memory_window_peak", memory_window_peak);
  m.def("set_current_cell", [](uint32_t cell) { set_current_cell(cell); });
  m.def("current_cell", current_cell);
  m.def(
      "list_buffers",
      [](int device) {
        py::list all;
        for (const BufferInfo& b : list_buffers(checked_device(device)))
          all.append(py::make_tuple(b.id, b.bytes, b.cell, kKinds[int(b.kind)]));
        return all;
      },
      py::arg("device") = 0, "(id, bytes, cell, kind) of each large live buffer.");
  m.def("device_of", [](const Tensor& t) { return int(t.spec().device); });
  m.def(
      "set_buffer_kind",
      [](const Tensor& t, const std::string& kind) {
        if (t.symbolic()) return;
        const auto* found = std::find(std::begin(kKinds), std::end(kKinds), kind);
        if (found == std::end(kKinds))
          argument_error("set_buffer_kind: there is no kind ", kind, ".");
        set_kind(*view_of(t).buffer, BufferKind(found - kKinds));
      },
      "Says what the memory behind a tensor is used for.");
  m.def(
      "buffer_of",
      [](const Tensor& t) -> py::object {
        if (t.symbolic()) return py::none();
        const Buffer& b = *view_of(t).buffer;
        return py::make_tuple(b.id ? b.id : reinterpret_cast<uintptr_t>(&b), b.bytes, b.cell,
                              kKinds[int(b.kind)]);
      },
      "(id, bytes, cell, kind) of the memory behind a tensor; views share it. None for a symbol.");
}

}  // namespace flowbook::python
