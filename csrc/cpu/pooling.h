// The CPU kernels of pooling.
#pragma once
#include "core/backend.h"

namespace flowbook::cpu {

void register_pooling(Backend& cpu);

}  // namespace flowbook::cpu
