// The image's gradient where the image has few channels: a result for each of them would leave most
// of a vector empty, so all weights of a window meet dy in one plain product, whose rows are then
// added to the pixels that they came from.
#pragma once
#include "cpu/conv.h"

namespace flowbook::cpu {

// One group, at most so many channels.
bool conv_folds(const Conv& conv);
// An image is a block.
void conv_fold(const Conv& conv, void* dx, const Epilogue* epilogue);

}  // namespace flowbook::cpu
