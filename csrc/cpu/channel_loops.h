// Loops over rows of channels, [rows, c] dense, compiled per instruction set: the sums and maps of
// batch normalisation. Plain declarations only: the per-ISA units include this header.
#pragma once
#include <stdint.h>

namespace flowbook::cpu {

struct ChannelLoops {
  // mean[c] of the rows and far[c] = sum (x - mean)^2, both from these rows alone.
  void (*moments)(const void* x, int64_t rows, int64_t c, void* mean, void* far);
  // y = (x - mean) * scale + bias
  void (*normalize)(const void* x, int64_t rows, int64_t c, const void* mean, const void* scale,
                    const void* bias, void* y);
  // sum[c] = sum dy, product[c] = sum dy * (x - mean)
  void (*gradient_sums)(const void* x, const void* dy, int64_t rows, int64_t c, const void* mean,
                        void* sum, void* product);
  // dx = dy * scale + (x - mean) * by_far + shift
  void (*gradient)(const void* x, const void* dy, int64_t rows, int64_t c, const void* mean,
                   const void* scale, const void* by_far, const void* shift, void* dx);
};
struct ChannelTable {
  ChannelLoops f32, f64;
};

// For this machine's instruction set.
const ChannelTable& channel_loops();

}  // namespace flowbook::cpu
