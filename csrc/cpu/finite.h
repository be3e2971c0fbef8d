// Looking for infinities and NaN, which make NaN of zeros that stand for something left out.
#pragma once
#include <atomic>
#include <cstdint>

#include "cpu/pool.h"

namespace flowbook::cpu {

template <class T>
bool all_finite(const T* x, int64_t n, int64_t stride = 1) {
  int other = 0;
  for (int64_t i = 0; i < n; ++i) other |= x[i * stride] - x[i * stride] != T(0);
  return other == 0;
}

// The same on all threads.
template <class T>
bool all_finite_shared(const T* x, int64_t n) {
  constexpr int64_t kGrain = 64 * 1024;
  std::atomic<bool> finite{true};
  parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
    if (!all_finite(x + begin, end - begin)) finite.store(false, std::memory_order_relaxed);
  });
  return finite.load(std::memory_order_relaxed);
}

}  // namespace flowbook::cpu
