// Memory of one thread for its convolutions, kept between calls. Not part of the kernels'
// workspace, because its size depends on who takes the call.
#pragma once
#include <cstdint>
#include <initializer_list>

namespace flowbook::cpu {

enum class ConvScratch { kPacked, kImages, kPanels };  // weights, pixels, results

// The product of the factors. OutOfMemoryError where it overflows.
int64_t conv_scratch_bytes(std::initializer_list<int64_t> factors);

// At least as many bytes as the product of the factors, aligned to 64; their contents until the
// thread's next call for the same purpose. OutOfMemoryError, also where the product overflows.
char* conv_scratch(ConvScratch purpose, std::initializer_list<int64_t> factors);

}  // namespace flowbook::cpu
