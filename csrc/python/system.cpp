// Threads, devices, providers: what fb.doctor(), fb.set_num_threads and .to() ask.
#include "binding.h"
#include "core/backend.h"
#include "core/version.h"
#include "cpu/jit/jit.h"
#include "cpu/loops.h"
#include "cpu/pool.h"
#include "cpu/providers.h"

namespace flowbook::python {
namespace {

constexpr const char* kJitModes[] = {"off", "on", "always", "narrow"};

// That of the loops in use: FLOWBOOK_ISA may name a lower one than the machine has.
std::string instruction_set() {
  const std::string name = cpu::isa_name();
  if (name == "v4") return "x86-64-v4 (AVX-512)";
  if (name == "v3") return "x86-64-v3 (AVX2)";
  return name == "v2" ? "x86-64-v2" : name;
}

// To another device, over the host; symbols and what is there already stay.
Tensor to_device(const Tensor& t, int index) {
  Backend& target = device(index);
  if (int(t.spec().device) == index) return t;
  Tensor whole = t;
  Spec spec = t.spec();
  const int64_t bytes = bytes_of(spec);
  const View& from = view_of(whole);
  if (!from.dense) fail(ErrorKind::kDevice, "to: the tensor is a strided view. Copy it first.");
  spec.device = 0;
  Tensor host = spec.device == whole.spec().device ? whole : empty(spec);
  if (host.impl() != whole.impl())
    device(whole.spec().device).copy_to_host(view_of(host).data(), from.data(), bytes);
  if (index == 0) return host;
  spec.device = uint8_t(index);
  Tensor out = empty(spec);
  target.copy_from_host(view_of(out).data(), view_of(host).data(), bytes);
  return out;
}

}  // namespace

void bind_system(py::module_& m) {
  m.attr("__version__") = FLOWBOOK_VERSION;
  m.def("num_threads", [] { return cpu::num_threads(); });
  m.def("set_num_threads", [](int n) {
    py::gil_scoped_release unlocked;
    cpu::set_num_threads(n);
  });
  m.def("device_names", [] {
    py::list names;
    for (Backend* b : devices()) names.append(b->name());
    return names;
  });
  m.def("parse_device", [](const std::string& name) { return parse_device(name); });
  m.def("load_plugin", [](const std::string& path) { load_plugin(path); });
  m.def("to_device", [](const Tensor& t, int index) {
    if (index < 0 || size_t(index) >= devices().size())
      fail(ErrorKind::kDevice, "to: there is no device ", index, ".");
    return to_device(
        t.symbolic() || int(t.spec().device) == index || t.spec().device ? t : dense(t), index);
  });
  m.def("instruction_set", instruction_set);
  m.def("onednn_enabled", cpu::onednn_enabled);
  m.def("enable_onednn", cpu::enable_onednn);
  m.def("jit_mode", [] { return kJitModes[size_t(cpu::jit::mode())]; });
  m.def("set_jit_mode", [](const std::string& name) {
    const auto* mode = std::find(std::begin(kJitModes), std::end(kJitModes), name);
    if (mode == std::end(kJitModes))
      fail(ErrorKind::kArgument, "set_jit_mode: ", name, " is none of off, on, always, narrow.");
    cpu::jit::set_mode(cpu::jit::Mode(mode - kJitModes));
  });
  m.def("add_library_folder", cpu::add_library_folder);
  m.def("provider_facts", [] {
    py::list all;
    for (const cpu::ProviderFact& f : cpu::provider_facts()) {
      py::dict d;
      d["name"] = f.name;
      d["usable"] = f.usable;
      d["status"] = f.status;
      d["path"] = f.path;
      all.append(d);
    }
    return all;
  });
}

}  // namespace flowbook::python
