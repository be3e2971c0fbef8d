// What a device is: memory, and kernels that fill buffers. A kernel never allocates outputs,
// infers, promotes or knows about graphs.
#pragma once
#include <span>

#include "core/function_ref.h"
#include "core/fused.h"
#include "core/operand.h"
#include "core/schema.h"

namespace flowbook {

// An argument of a kernel. Outputs are dense, but for the `windows` of its entry.
struct Array {
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  bool dense() const { return !strides; }
  int64_t size() const { return spec->shape.size(); }
  void* data;
  const Spec* spec;
  const int64_t* strides;  // elements; null: row-major without gaps
};

struct KernelArgs {
  const OpDef& op;
  const void* attrs;
  std::span<const Array> in;
  std::span<const Array> out;
  void* workspace;                     // as many bytes as the entry's `workspace` asked for
  const void* packed = nullptr;        // of the entry's `packing`; null: the kernel packs
  const Epilogue* epilogue = nullptr;  // what follows each block, where the entry has `blocks`
};
using Kernel = void (*)(const KernelArgs&);

// How a call falls into parts that are independent of each other: from shapes alone.
struct Parts {
  int64_t count = 0;  // 0: not at all
  int64_t cost = 0;   // of all, in nanoseconds of one thread, about
};

// How a call's one result comes in blocks that an epilogue can follow: from shapes alone.
struct Blocks {
  int64_t count = 0;    // 0: it takes no epilogue
  int64_t columns = 0;  // of a block, but for the last ones of a row
  int64_t rows = 1;     // what their first rows are multiples of
};

// Entries of a result up to which a call is not worth sharing out or giving up the GIL for.
inline constexpr int64_t kFewEntries = 8 << 10;

struct KernelEntry {
  Kernel run = nullptr;
  DTypeSet dtypes =
      0;  // of the deciding argument: the first kValue input, else input 0, else output 0
  bool strided = false;  // takes strided inputs; otherwise apply() hands it dense copies
  // The input over whose memory output `o` may be written (same shape and dtype), or -1. Null:
  // none.
  int (*in_place)(const void* attrs, int inputs, int o) = nullptr;
  // Outputs, by bit, that may have strides, so that they can lie in a wider result: any, but for
  // the last axis, whose elements are neighbours.
  uint64_t windows = 0;
  // Bytes of scratch memory; null for none.
  int64_t (*workspace)(const OpDef&, const void* attrs, std::span<const Array> in) = nullptr;
  // The call as parts that any thread may run, so that several calls share one parallel job. The
  // data pointers are not read by `parts`. Null: the kernel shares its work out itself.
  Parts (*parts)(const KernelArgs&) = nullptr;
  void (*part)(const KernelArgs&, int64_t i) = nullptr;
  // How `run` and `part` call the epilogue of their arguments. Null: they don't.
  Blocks (*blocks)(const KernelArgs&) = nullptr;
  // The short way of a map whose inputs all have one dtype, for at most kFewEntries results: loops
  // by that dtype, called with strides of 0 or 1 alone. Null: there is only `run`.
  struct Few {
    const Loop* loops = nullptr;
    bool flags = false;  // the results are bool, else of the inputs' dtype
  } few;
  // Another form of one input (packed weights) that can be kept as long as the input stays the
  // same. `bytes` may say 0: not worth it for these shapes.
  struct Packing {
    int input = -1;
    int64_t (*bytes)(const KernelArgs&) = nullptr;
    void (*pack)(const KernelArgs&, void* packed) = nullptr;
  } packing;
};

class FB_API Backend {
 public:
  explicit Backend(std::string name) : name_(std::move(name)) {}
  virtual ~Backend();
  const std::string& name() const { return name_; }
  virtual Ref<Buffer> allocate(int64_t bytes, BufferKind kind) = 0;
  virtual void copy_from_host(void* to, const void* from, int64_t bytes) = 0;
  virtual void copy_to_host(void* to, const void* from, int64_t bytes) = 0;
  // Bytes on this device; the CPU's are those of buffer.h.
  virtual MemoryStats memory() const { return memory_stats(); }
  // A kernel for a group of elementwise ops; null if this backend cannot fuse it. `ops` of the spec
  // have kernels here.
  virtual std::unique_ptr<FusedKernel> fuse(const FusedSpec& spec);

  // Runs body(0) ... body(n - 1) on the threads that this backend's kernels use.
  virtual void share(int64_t n, FunctionRef<void(int64_t)> body);

  // Registers a kernel under an op's name; the op must exist.
  KernelEntry& kernel(std::string_view op, Kernel run, DTypeSet dtypes);
  const KernelEntry* find(const OpDef& op) const {
    if (size_t(op.id) >= table_.size()) return nullptr;
    const KernelEntry& entry = table_[size_t(op.id)];
    return entry.run ? &entry : nullptr;
  }

 private:
  std::string name_;
  std::vector<KernelEntry> table_;  // by op id
};

// Index 0 is the CPU. Plugins append theirs when loaded.
FB_API std::span<Backend* const> devices();
FB_API int add_device(std::unique_ptr<Backend> backend);
FB_API Backend& device(int index);
inline MemoryStats memory_stats(int index) { return device(index).memory(); }
FB_API int parse_device(
    std::string_view name);  // "cpu", "null"; DeviceError lists the ones there are

// Opens a backend plugin: a shared library exporting `extern "C" const char* flowbook_plugin(int
// abi)` that registers its device(s) and returns null, or a message. DeviceError with the reason if
// that fails.
inline constexpr int kPluginAbi = 1;
FB_API void load_plugin(const std::string& path);

// Strides of `a` seen as the (broadcast) shape `shape`: 0 where it repeats.
FB_API void fit_strides(const Array& a, const Shape& shape, int64_t* strides);

}  // namespace flowbook
