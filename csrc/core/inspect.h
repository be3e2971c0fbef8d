// Statistics of a value: range, moments, what is not finite, and a small histogram. For the views
// that look into a run; everything is computed here, so that no intermediate value has to be kept.
#pragma once
#include <array>

#include "core/backend.h"

namespace flowbook {

struct ValueStats {
  int64_t count = 0, nan = 0, positive_inf = 0, negative_inf = 0, zeros = 0;
  // Of the finite elements; 0 if there are none. Complex numbers count by magnitude.
  double min = 0, max = 0, mean = 0, std = 0;
  static constexpr int kBins = 16;
  std::array<int64_t, kBins> histogram{};  // of [min, max] in equal parts

  int64_t finite() const { return count - nan - positive_inf - negative_inf; }
};

// `a` is CPU memory. Two passes, in blocks; the run's cancel token is polled in between.
FB_API ValueStats summarize(const Array& a);

}  // namespace flowbook
