// The CPU kernels of convolutions, and their C++ form for the executor.
#pragma once
#include "core/backend.h"
#include "cpu/gemm.h"
#include "ops/conv.h"

namespace flowbook::cpu {

// One convolution: y = x * weights. Which of the three is the result depends on the function.
struct Conv {
  DType dtype;
  ops::ConvGeometry at;
  const void *x, *weights, *y;   // the result's entry is not read
  const void* packed = nullptr;  // the weights as conv_pack() left them for this pass, if it did
};

// The weights in the form that a pass reads, the library's or our own: bytes (0: a plain product or
// whoever packs at each call), and the packing itself.
int64_t conv_packed_bytes(const Conv& conv, bool forward);
void conv_pack(const Conv& conv, bool forward, void* packed);

// How many finished blocks the forward pass or the image's gradient shows to an epilogue.
Blocks conv_blocks(const Conv& conv, bool forward);

int64_t conv_workspace(const Conv& conv);
// `epilogue` sees finished rows of y, [n * rows * cols, outputs]; always all columns.
void conv_forward(const Conv& conv, void* y, void* workspace, const Epilogue* epilogue = nullptr);

int64_t conv_input_gradient_workspace(const Conv& conv);
// `epilogue` sees finished rows of dx, [n * h * w, c]; always all columns.
void conv_input_gradient(const Conv& conv, void* dx, void* workspace,
                         const Epilogue* epilogue = nullptr);

int64_t conv_weights_gradient_workspace(const Conv& conv);
void conv_weights_gradient(const Conv& conv, void* dweights, void* workspace);

void register_conv(Backend& cpu);

}  // namespace flowbook::cpu
