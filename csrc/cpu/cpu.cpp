// Device 0.
#include "cpu/cpu.h"

#include <cstring>

#include "core/apply.h"
#include "cpu/conv.h"
#include "cpu/copy.h"
#include "cpu/linalg.h"
#include "cpu/pool.h"
#include "cpu/pooling.h"

namespace flowbook::cpu {

namespace {
class Cpu : public Backend {
 public:
  Cpu() : Backend("cpu") {}
  Ref<Buffer> allocate(int64_t bytes, BufferKind kind) override {
    return flowbook::allocate(bytes, kind);
  }
  void copy_from_host(void* to, const void* from, int64_t bytes) override {
    memcpy(to, from, size_t(bytes));
  }
  void copy_to_host(void* to, const void* from, int64_t bytes) override {
    memcpy(to, from, size_t(bytes));
  }
  void share(int64_t n, FunctionRef<void(int64_t)> body) override { parallel_for(n, body); }
  std::unique_ptr<FusedKernel> fuse(const FusedSpec& spec) override { return make_fused(spec); }
};
}  // namespace

void register_cpu() {
  auto cpu = std::make_unique<Cpu>();
  register_copy(*cpu);
  register_shape(*cpu);
  register_index(*cpu);
  register_elementwise(*cpu);
  register_reduce(*cpu);
  register_linalg(*cpu);
  register_conv(*cpu);
  register_pooling(*cpu);
  register_create(*cpu);
  register_random(*cpu);
  register_nn(*cpu);
  register_batch_norm(*cpu);
  register_attention(*cpu);
  register_optim(*cpu);
  add_device(std::move(cpu));
  g_core_ops.copy = strided_copy;
}

}  // namespace flowbook::cpu
