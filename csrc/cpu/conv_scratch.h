// Memory of one thread for its convolutions, kept between calls. Not part of the kernels'
// workspace, because its size depends on who takes the call.
#pragma once
#include <cstdint>

namespace flowbook::cpu {

enum class ConvScratch { kPacked, kImages, kPanels };  // weights, pixels, results

// At least so many bytes, aligned to 64; their contents until the thread's next call for the same
// purpose. OutOfMemoryError.
char* conv_scratch(ConvScratch purpose, int64_t bytes);

}  // namespace flowbook::cpu
