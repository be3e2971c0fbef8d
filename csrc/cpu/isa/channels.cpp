// The loops of channel_loops.h. The channels are cut into stretches whose sums stay in registers
// over all rows.
#include "cpu/channel_loops.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

// Calls body(first channel, compile-time width) over c: stretches of 64, then of 16, then single
// channels.
template <int kWidth>
struct Width {
  static constexpr int value = kWidth;
};
template <class Body>
inline void stretches(int64_t c, Body&& body) {
  int64_t j = 0;
  for (; j + 64 <= c; j += 64) body(j, Width<64>());
  for (; j + 16 <= c; j += 16) body(j, Width<16>());
  for (; j < c; ++j) body(j, Width<1>());
}

template <class T>
void moments(const void* x_, int64_t rows, int64_t c, void* mean_, void* far_) {
  stretches(c, [&](int64_t j, auto width) {
    constexpr int n = decltype(width)::value;
    const T* x = static_cast<const T*>(x_) + j;
    T *mean = static_cast<T*>(mean_) + j, *far = static_cast<T*>(far_) + j;
    T sum[n], m[n];
    for (int i = 0; i < n; ++i) sum[i] = T(0);
    for (int64_t r = 0; r < rows; ++r)
      for (int i = 0; i < n; ++i) sum[i] += x[r * c + i];
    for (int i = 0; i < n; ++i) m[i] = sum[i] / T(rows), sum[i] = T(0);
    for (int64_t r = 0; r < rows; ++r)
      for (int i = 0; i < n; ++i) {
        const T d = x[r * c + i] - m[i];
        sum[i] += d * d;
      }
    for (int i = 0; i < n; ++i) mean[i] = m[i], far[i] = sum[i];
  });
}

template <class T>
void normalize(const void* x_, int64_t rows, int64_t c, const void* mean_, const void* scale_,
               const void* bias_, void* y_) {
  const T *mean = static_cast<const T*>(mean_), *scale = static_cast<const T*>(scale_);
  const T* bias = static_cast<const T*>(bias_);
  for (int64_t r = 0; r < rows; ++r) {
    const T* __restrict x = static_cast<const T*>(x_) + r * c;
    T* __restrict y = static_cast<T*>(y_) + r * c;
    for (int64_t i = 0; i < c; ++i) y[i] = (x[i] - mean[i]) * scale[i] + bias[i];
  }
}

template <class T>
void gradient_sums(const void* x_, const void* dy_, int64_t rows, int64_t c, const void* mean_,
                   void* sum_, void* product_) {
  stretches(c, [&](int64_t j, auto width) {
    constexpr int n = decltype(width)::value;
    const T *x = static_cast<const T*>(x_) + j, *dy = static_cast<const T*>(dy_) + j;
    const T* mean = static_cast<const T*>(mean_) + j;
    T sum[n], product[n];
    for (int i = 0; i < n; ++i) sum[i] = product[i] = T(0);
    for (int64_t r = 0; r < rows; ++r)
      for (int i = 0; i < n; ++i) {
        sum[i] += dy[r * c + i];
        product[i] += dy[r * c + i] * (x[r * c + i] - mean[i]);
      }
    for (int i = 0; i < n; ++i)
      static_cast<T*>(sum_)[j + i] = sum[i], static_cast<T*>(product_)[j + i] = product[i];
  });
}

template <class T>
void gradient(const void* x_, const void* dy_, int64_t rows, int64_t c, const void* mean_,
              const void* scale_, const void* by_far_, const void* shift_, void* dx_) {
  const T *mean = static_cast<const T*>(mean_), *scale = static_cast<const T*>(scale_);
  const T *by_far = static_cast<const T*>(by_far_), *shift = static_cast<const T*>(shift_);
  for (int64_t r = 0; r < rows; ++r) {
    const T *x = static_cast<const T*>(x_) + r * c, *dy = static_cast<const T*>(dy_) + r * c;
    T* __restrict dx = static_cast<T*>(dx_) + r * c;
    for (int64_t i = 0; i < c; ++i)
      dx[i] = dy[i] * scale[i] + (x[i] - mean[i]) * by_far[i] + shift[i];
  }
}

template <class T>
constexpr ChannelLoops kLoopsOf = {moments<T>, normalize<T>, gradient_sums<T>, gradient<T>};

}  // namespace

extern const ChannelTable kChannelTable;
const ChannelTable kChannelTable = {kLoopsOf<float>, kLoopsOf<double>};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
