// Buffers: reference-counted device memory from a caching allocator that also keeps the books.
// Live, peak and reserved bytes per device and per kind; a buffer remembers the cell it was born
// in.
#pragma once
#include <atomic>
#include <cstddef>
#include <utility>
#include <vector>

#include "core/error.h"

namespace flowbook {

// Thread-safe intrusive pointer. A sole owner drops its reference without a locked instruction:
// nobody else can raise a count of one.
template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* p, bool add = true) : p_(p) {
    if (p && add) p->refs.fetch_add(1, std::memory_order_relaxed);
  }
  Ref(const Ref& o) : Ref(o.p_) {}
  Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  Ref& operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Ref() {
    if (p_ && (p_->refs.load(std::memory_order_acquire) == 1 ||
               p_->refs.fetch_sub(1, std::memory_order_acq_rel) == 1))
      destroy(p_);
  }
  T* get() const { return p_; }
  T* release() { return std::exchange(p_, nullptr); }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_; }
  friend bool operator==(const Ref& a, const Ref& b) { return a.p_ == b.p_; }

 private:
  T* p_ = nullptr;
};

// What a buffer is used for, for the memory views.
enum class BufferKind : uint8_t {
  kTensor,
  kParameter,
  kGradient,
  kOptimizer,
  kActivation,
  kWorkspace,
  kExternal,
};
inline constexpr int kBufferKinds = 7;

struct Buffer {
  std::atomic<uint32_t> refs{1};
  uint32_t bucket = 0;                       // size class; kUnpooled for external memory
  void* data = nullptr;                      // 64-byte aligned when we allocated it
  int64_t bytes = 0;                         // as asked for
  Buffer* next = nullptr;                    // in a free list
  void (*release)(void* context) = nullptr;  // external memory: called once at the end
  void* context = nullptr;
  uint8_t device = 0;
  BufferKind kind = BufferKind::kTensor;
  uint32_t cell = 0;  // current_cell() at birth; 0: none
  uint64_t id = 0;    // serial number; large blocks only (see kTrackedBytes)
};

// CPU memory. OutOfMemoryError when the system has none, after the caches were freed. `bytes` may
// be 0.
FB_API Ref<Buffer> allocate(int64_t bytes, BufferKind kind = BufferKind::kTensor);
// Foreign memory kept alive until release(context) is called (a NumPy array, a DLPack capsule).
// Another device's memory is not counted here: its backend keeps its own books.
FB_API Ref<Buffer> adopt(void* data, int64_t bytes, void (*release)(void*), void* context,
                         uint8_t device = 0);
FB_API void destroy(Buffer* b);

// Raw blocks from the same size classes, for tensor headers: a free-list pop.
FB_API void* allocate_block(size_t bytes);
FB_API void free_block(void* p, size_t bytes);

struct MemoryStats {
  int64_t live = 0;      // bytes in use
  int64_t peak = 0;      // highest `live` since reset_peak()
  int64_t reserved = 0;  // live and cached
  int64_t allocations = 0;
  int64_t by_kind[kBufferKinds] = {};
};
FB_API MemoryStats memory_stats();  // of the CPU; Backend::memory() asks any device
FB_API void reset_peak_memory(int device = 0);
FB_API int64_t free_cached_memory(int device = 0);  // returns the bytes given back to the system
FB_API void set_memory_limit(int64_t bytes);        // 0: none; CPU
FB_API int64_t memory_limit();

// The notebook cell to which allocations are charged.
FB_API void set_current_cell(uint32_t cell);
FB_API uint32_t current_cell();

// Blocks of at least this many bytes can be listed one by one.
inline constexpr int64_t kTrackedBytes = 16 << 10;
struct BufferInfo {
  uint64_t id;
  int64_t bytes;
  uint32_t cell;
  BufferKind kind;
};
FB_API std::vector<BufferInfo> list_buffers(int device = 0);

}  // namespace flowbook
