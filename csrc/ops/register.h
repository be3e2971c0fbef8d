// What each family hands to register_ops().
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

void register_elementwise(OpRegistry&);
void register_reduce(OpRegistry&);
void register_shape(OpRegistry&);
void register_arrange(OpRegistry&);
void register_index(OpRegistry&);
void register_linalg(OpRegistry&);
void register_conv(OpRegistry&);
void register_pooling(OpRegistry&);
void register_create(OpRegistry&);
void register_nn(OpRegistry&);
void register_batch_norm(OpRegistry&);
void register_attention(OpRegistry&);
void register_random(OpRegistry&);
void register_optim(OpRegistry&);
void register_control(OpRegistry&);

}  // namespace flowbook::ops
