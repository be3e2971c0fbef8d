// The CPU backend: host memory, and the kernels that the families register.
#pragma once
#include "core/backend.h"

namespace flowbook::cpu {

// Adds device 0. Called once, after register_ops().
FB_API void register_cpu();

void register_copy(Backend& cpu);
void register_shape(Backend& cpu);
void register_index(Backend& cpu);
void register_elementwise(Backend& cpu);
void register_reduce(Backend& cpu);
void register_create(Backend& cpu);
void register_random(Backend& cpu);
void register_nn(Backend& cpu);
void register_batch_norm(Backend& cpu);
void register_attention(Backend& cpu);
void register_optim(Backend& cpu);

// Whether the formula of this row of the elementwise table calls functions: such an element costs
// several times what one of arithmetic does.
bool calls_functions(int row);

std::unique_ptr<FusedKernel> make_fused(const FusedSpec& spec);

}  // namespace flowbook::cpu
