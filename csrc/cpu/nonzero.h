// Where elements are not zero. No op: how many there are depends on the values.
#pragma once
#include <vector>

#include "core/tensor.h"

namespace flowbook::cpu {

// The places of what is true in a concrete boolean tensor of rank 1 or more in host memory, in
// row-major order: an int64 vector for each axis, or one for all axes laid together.
FB_API std::vector<Tensor> nonzero(const Tensor& x, bool together);

}  // namespace flowbook::cpu
