// The table of devices, kernel registration, and the plugin loader.
#include "core/backend.h"

#include <dlfcn.h>

#include <array>
#include <mutex>

namespace flowbook {

Backend::~Backend() = default;
std::unique_ptr<FusedKernel> Backend::fuse(const FusedSpec&) { return nullptr; }
void Backend::share(int64_t n, FunctionRef<void(int64_t)> body) {
  for (int64_t i = 0; i < n; ++i) body(i);
}
FusedKernel::~FusedKernel() = default;

KernelEntry& Backend::kernel(std::string_view op, Kernel run, DTypeSet dtypes) {
  const OpDef& d = registry().find(op);
  if (table_.size() <= size_t(d.id)) table_.resize(registry().all().size());
  KernelEntry& e = table_[size_t(d.id)];
  if (e.run) internal_error(op, ": backend ", name_, " registers its kernel twice.");
  e.run = run;
  e.dtypes = dtypes;
  return e;
}

namespace {
// Fixed capacity, so that reading the table needs no lock.
struct Devices {
  std::mutex mutex;
  std::array<Backend*, 32> list{};
  std::atomic<size_t> count{0};
};
Devices& table() {
  static auto* d = new Devices;
  return *d;
}
}  // namespace

std::span<Backend* const> devices() {
  return {table().list.data(), table().count.load(std::memory_order_acquire)};
}
int add_device(std::unique_ptr<Backend> backend) {
  Devices& d = table();
  std::lock_guard lock(d.mutex);
  const size_t n = d.count.load();
  for (size_t i = 0; i < n; ++i)
    if (d.list[i]->name() == backend->name())
      fail(ErrorKind::kDevice, "there is already a device `", backend->name(), "`.");
  if (n == d.list.size())
    fail(ErrorKind::kDevice, "at most ", d.list.size(), " devices can be added.");
  d.list[n] = backend.release();  // devices live as long as the process
  d.count.store(n + 1, std::memory_order_release);
  return int(n);
}
Backend& device(int index) {
  auto list = devices();
  if (size_t(index) >= list.size())
    fail(ErrorKind::kDevice, "there is no device number ", index, ".");
  return *list[size_t(index)];
}
int parse_device(std::string_view name) {
  std::string known;
  auto list = devices();
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i]->name() == name) return int(i);
    known += (known.empty() ? "" : ", ") + list[i]->name();
  }
  fail(ErrorKind::kDevice, "there is no device `", name, "`. The devices are: ", known, ".");
}

void load_plugin(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    fail(ErrorKind::kDevice, "the plugin ", path,
         " cannot be opened: ", std::string_view(dlerror()), ".");
  using Entry = const char* (*)(int);
  auto entry = reinterpret_cast<Entry>(dlsym(library, "flowbook_plugin"));
  const char* problem = entry ? entry(kPluginAbi) : "it has no entry point flowbook_plugin";
  if (problem) {
    std::string text = cat("the plugin ", path, " cannot be used: ", std::string_view(problem),
                           ". Install the version made for this flowbook.");
    dlclose(library);
    throw Error(ErrorKind::kDevice, std::move(text));
  }
}

void fit_strides(const Array& a, const Shape& shape, int64_t* strides) {
  const Shape& s = a.spec->shape;
  uint64_t step = 1;  // may wrap where a size is 0: then nobody uses it
  for (int i = shape.rank - 1, j = s.rank - 1; i >= 0; --i, --j) {
    const int64_t n = j >= 0 ? s[j].value() : 1;
    strides[i] = n == 1 ? 0 : a.strides ? a.strides[j] : int64_t(step);
    step *= uint64_t(n);
  }
}

}  // namespace flowbook
