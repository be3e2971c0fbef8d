// The loops of pooling, compiled per instruction set: some rows of results of one image at a time,
// channels last. Plain declarations only: the per-ISA units include this header.
#pragma once
#include <stdint.h>

namespace flowbook::cpu {

struct PoolImage {
  int64_t h, w, c, oh, ow;
  int64_t size_h, size_w, stride_h, stride_w, pad_h, pad_w;
  bool apart;  // no two windows have an entry in common
};
// Each works on the results of rows begin ... end of an image; x, dx and g are images, y, dy and d
// are results. Gradients add to dx, which holds zeros before; where windows are apart they write.
using PoolForward = void (*)(const PoolImage&, const void* x, void* y, int64_t begin, int64_t end);
using PoolBackward = void (*)(const PoolImage&, const void* dy, void* dx, int64_t begin,
                              int64_t end);
using MaxBackward = void (*)(const PoolImage&, const void* x, const void* y, const void* dy,
                             void* dx, int64_t begin, int64_t end);
using MaxPick = void (*)(const PoolImage&, const void* x, const void* y, const void* g, void* d,
                         int64_t begin, int64_t end);

struct PoolLoops {
  PoolForward max, average;
  PoolBackward average_gradient;
  MaxBackward max_gradient;
  MaxPick max_pick;
};
struct PoolTable {
  PoolLoops f32, f64;
};

// For this machine's instruction set.
const PoolTable& pool_loops();

}  // namespace flowbook::cpu
