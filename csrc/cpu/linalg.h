// The CPU kernels of linear algebra.
#pragma once
#include "core/backend.h"

namespace flowbook::cpu {

void register_linalg(Backend& cpu);

}  // namespace flowbook::cpu
