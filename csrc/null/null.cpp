// The null device: it keeps account of memory and launches kernels that compute nothing. Loading,
// placement, planning and errors of plugins are tested with it, without hardware.
#include <cstdlib>
#include <cstring>

#include "core/backend.h"
#include "core/bytes.h"

namespace flowbook {
namespace {

class Null : public Backend {
 public:
  Null() : Backend("null") {
    for (auto& op : registry().all())
      kernel(op->name, [](const KernelArgs&) {}, kAll).strided = true;
  }
  Ref<Buffer> allocate(int64_t bytes, BufferKind) override {
    // Zeros, so that what is read back is the same every time.
    auto* block = static_cast<Block*>(std::calloc(1, sizeof(Block) + size_t(bytes)));
    if (!block)
      fail(ErrorKind::kOutOfMemory, Bytes(bytes),
           " were asked for on device `null`, more than there are.");
    block->owner = this;
    block->bytes = bytes;
    const int64_t live = live_.fetch_add(bytes) + bytes;
    int64_t peak = peak_.load();
    while (live > peak && !peak_.compare_exchange_weak(peak, live)) {
    }
    ++allocations_;
    return adopt(block + 1, bytes, release, block, device_);
  }
  void copy_from_host(void* to, const void* from, int64_t bytes) override {
    memcpy(to, from, size_t(bytes));
  }
  void copy_to_host(void* to, const void* from, int64_t bytes) override {
    memcpy(to, from, size_t(bytes));
  }
  MemoryStats memory() const override {
    MemoryStats m;
    m.live = m.reserved = live_.load();
    m.peak = peak_.load();
    m.allocations = allocations_.load();
    return m;
  }
  void set_index(int i) { device_ = uint8_t(i); }

 private:
  struct alignas(64) Block {
    Null* owner;
    int64_t bytes;
  };
  static void release(void* p) {
    auto* block = static_cast<Block*>(p);
    block->owner->live_.fetch_sub(block->bytes);
    std::free(block);
  }
  std::atomic<int64_t> live_{0}, peak_{0}, allocations_{0};
  uint8_t device_ = 0;
};

}  // namespace
}  // namespace flowbook

extern "C" FB_API const char* flowbook_plugin(int abi) {
  using namespace flowbook;
  if (abi != kPluginAbi) return "it was built for another version";
  auto null = std::make_unique<Null>();
  Null* device = null.get();
  device->set_index(add_device(std::move(null)));
  return nullptr;
}
