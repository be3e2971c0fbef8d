// Loading, choice and fall-back of the matrix product's providers.
#include "cpu/providers.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "core/error.h"
#include "core/fork.h"
#include "cpu/loops.h"
#include "cpu/own_gemm.h"

namespace flowbook::cpu {
namespace {

#if defined(__APPLE__)
constexpr const char* kSuffix = ".dylib";
constexpr const char* kDnnl = "libdnnl.3.dylib";
#else
constexpr const char* kSuffix = ".so";
constexpr const char* kDnnl = "libdnnl.so.3";
#endif

struct Module {
  const flowbook_provider* provider = nullptr;
  std::string path;    // where it was found
  std::string reason;  // why there is no provider
};

// The folder that holds libflowbook itself; its modules lie beside it.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&provide_gemm), &info) == 0 || !info.dli_fname) return "";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::vector<std::string>& library_folders() {
  static std::vector<std::string> folders;
  return folders;
}
std::mutex g_folders_mutex;

std::string loader_error() {
  const char* e = dlerror();
  return e ? e : "unknown error of the dynamic loader";
}

// A library loaded under its own name satisfies the module that needs it, wherever it came from.
bool preload_dnnl(const std::string& beside) {
  std::vector<std::string> paths;
  if (const char* given = std::getenv("FLOWBOOK_DNNL_LIBRARY"); given && *given)
    paths.push_back(given);
  {
    std::lock_guard lock(g_folders_mutex);
    for (const std::string& folder : library_folders()) paths.push_back(folder + "/" + kDnnl);
  }
  // <prefix>/lib/pythonX.Y/site-packages/flowbook/lib holds the module, <prefix>/lib (or lib64's
  // sibling) libdnnl.
  for (const char* up : {"/../../../..", "/../../../../../lib", "/../../..", "/.."})
    paths.push_back(beside + up + "/" + kDnnl);
  for (const std::string& path : paths)
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return true;
  return false;
}

Module open_module(const std::string& file, bool needs_dnnl) {
  Module m;
  const std::string folder = own_folder();
  const std::string path = folder + "/" + file + kSuffix;
  void* handle = nullptr;
  // A library that the user names comes before the one on the module's own search path.
  const char* given = std::getenv("FLOWBOOK_DNNL_LIBRARY");
  if (needs_dnnl && given && *given) preload_dnnl(folder);
  handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    m.reason = loader_error();
    if (needs_dnnl && preload_dnnl(folder)) {
      handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (!handle) m.reason = loader_error();
    }
  }
  if (!handle) return m;
  m.path = path;
  const auto entry =
      reinterpret_cast<flowbook_provider_entry>(dlsym(handle, FLOWBOOK_PROVIDER_ENTRY));
  if (!entry) {
    m.reason = path + " is no provider: it lacks " FLOWBOOK_PROVIDER_ENTRY;
    return m;  // handles are never closed: threads may hold what their libraries made
  }
  char why[256] = "it gave no reason";
  const flowbook_provider* p = entry(FLOWBOOK_PROVIDER_VERSION, why, sizeof why);
  if (!p) {
    m.reason = why;
  } else if (p->version != FLOWBOOK_PROVIDER_VERSION || p->size != sizeof *p) {
    m.reason = path + " comes from another version of flowbook";
  } else {
    m.provider = p;
  }
  return m;
}

// Opened at the first use, under a mutex instead of a static's guard: a fork in the middle of it
// would leave the guard closed in the child for ever.
std::mutex g_load_mutex;
[[maybe_unused]] const bool kHeld = (hold_over_fork(g_load_mutex, 0), true);
std::atomic<const Module*> g_onednn{nullptr}, g_eigen{nullptr};

const Module& opened(std::atomic<const Module*>& slot, const std::string& file, bool needs_dnnl) {
  std::lock_guard lock(g_load_mutex);
  if (!slot.load())
    slot.store(new Module(open_module(file, needs_dnnl)));  // lives as long as the process
  return *slot.load();
}

const Module& onednn() {
  if (const Module* m = g_onednn.load(std::memory_order_acquire)) return *m;
  return opened(g_onednn, "libflowbook_onednn", true);
}

const Module& eigen() {
  if (const Module* m = g_eigen.load(std::memory_order_acquire)) return *m;
  return opened(g_eigen, std::string("libflowbook_eigen_") + isa_name(), false);
}

bool disabled_by_environment() {
  const char* v = std::getenv("FLOWBOOK_DISABLE_ONEDNN");
  return v && *v && std::strcmp(v, "0") != 0;
}

// Who switched oneDNN off; null while it is on.
std::atomic<const char*>& switched_off() {
  static std::atomic<const char*> by{
      disabled_by_environment() ? "switched off (FLOWBOOK_DISABLE_ONEDNN)" : nullptr};
  return by;
}

bool try_gemm(const flowbook_provider* p, const flowbook_gemm& g, const void* a, const void* b,
              void* c) {
  return p && p->gemm && p->gemm(&g, a, b, c) == FLOWBOOK_OK;
}

}  // namespace

bool libraries_multiply() {
  static const bool yes = !std::strcmp(isa_name(), "v2") || !std::strcmp(isa_name(), "base");
  return yes;
}

void provide_gemm(const flowbook_gemm& g, const void* a, const void* b, void* c) {
  if (g.dtype == FLOWBOOK_F32 && onednn_enabled() && try_gemm(onednn().provider, g, a, b, c))
    return;
  // Up to here our own loops are 5 to 20 % faster than Eigen's.
  constexpr double kOwnWork = 1 << 25;
  const bool large = double(g.m) * double(g.n) * double(g.k) > kOwnWork;
  if (large && try_gemm(eigen().provider, g, a, b, c)) return;
  OwnGemm own;
  own.m = g.m, own.n = g.n, own.k = g.k;
  own.a = a, own.a_row = g.trans_a ? 1 : g.lda, own.a_col = g.trans_a ? g.lda : 1;
  own.b = b, own.b_row = g.trans_b ? 1 : g.ldb, own.b_col = g.trans_b ? g.ldb : 1;
  own.c = c, own.ldc = g.ldc;
  own.accumulate = g.accumulate, own.scratch = nullptr;
  (g.dtype == FLOWBOOK_F32 ? own_gemm().f32 : own_gemm().f64)(own);
}

const flowbook_provider* conv_provider(int32_t dtype, bool even_off) {
  if (dtype != FLOWBOOK_F32 || !(onednn_enabled() || even_off)) return nullptr;
  const flowbook_provider* p = onednn().provider;
  return p && p->conv_forward ? p : nullptr;
}

std::vector<ProviderFact> provider_facts() {
  std::vector<ProviderFact> facts;
  const auto fact = [&](const char* name, const Module& m, const char* off) {
    const bool usable = m.provider && !off;
    facts.push_back({name, usable, off ? off : m.provider ? m.provider->about : m.reason, m.path});
  };
  const auto own = [&](const char* which) {
    facts.push_back({"own", true, cat("own loops for ", which, " (", isa_name(), ")"), ""});
  };
  if (!libraries_multiply()) own("all products and most convolutions");
#if FLOWBOOK_ISA_X86
  if (const char* off = switched_off())
    fact("onednn", Module(), off);
  else
    fact("onednn", onednn(), nullptr);
#endif
  fact("eigen", eigen(), nullptr);
  if (libraries_multiply()) own("small and integer products");
  return facts;
}

bool onednn_enabled() { return !switched_off().load(std::memory_order_relaxed); }
void enable_onednn(bool on) {
  switched_off().store(on ? nullptr : "switched off (enable_onednn(False))",
                       std::memory_order_relaxed);
}

void add_library_folder(const std::string& folder) {
  std::lock_guard lock(g_folders_mutex);
  library_folders().push_back(folder);
}

}  // namespace flowbook::cpu
