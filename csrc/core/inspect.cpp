// Two passes over a value: range and sum, then spread and histogram.
#include "core/inspect.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>

#include "core/cancel.h"

namespace flowbook {

namespace {

constexpr int64_t kBlock = 4096;

template <class T>
double number(T x) {
  return double(x);
}
double number(std::complex<float> x) { return std::abs(std::complex<double>(x)); }
double number(std::complex<double> x) { return std::abs(x); }

// Reads `n` elements from the row-major position `first` on as doubles.
using Reader = void (*)(const Array& a, int64_t first, int64_t n, double* to);

template <class T, class Convert>
void read(const Array& a, int64_t first, int64_t n, double* to, Convert convert) {
  const T* data = a.as<const T>();
  if (a.dense()) {
    for (int64_t i = 0; i < n; ++i) to[i] = convert(data[first + i]);
    return;
  }
  const Shape& shape = a.spec->shape;
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = first + i, at = 0;
    for (int d = shape.rank; d-- > 0;) {
      const int64_t size = shape[d].value();
      at += rest % size * a.strides[d];
      rest /= size;
    }
    to[i] = convert(data[at]);
  }
}
template <class T>
void plain(const Array& a, int64_t first, int64_t n, double* to) {
  read<T>(a, first, n, to, [](T x) { return number(x); });
}
void half(const Array& a, int64_t first, int64_t n, double* to) {
  read<uint16_t>(a, first, n, to, [](uint16_t x) { return double(half_to_float(x)); });
}
void brain(const Array& a, int64_t first, int64_t n, double* to) {
  read<uint16_t>(a, first, n, to, [](uint16_t x) { return double(bfloat_to_float(x)); });
}
constexpr Reader kReaders[kDTypes] = {plain<uint8_t>,
                                      plain<int8_t>,
                                      plain<int16_t>,
                                      plain<int32_t>,
                                      plain<int64_t>,
                                      plain<uint8_t>,
                                      plain<uint16_t>,
                                      plain<uint32_t>,
                                      plain<uint64_t>,
                                      half,
                                      brain,
                                      plain<float>,
                                      plain<double>,
                                      plain<std::complex<float>>,
                                      plain<std::complex<double>>};

template <class F>
void each_block(const Array& a, int64_t count, F body) {
  const Reader reader = kReaders[int(a.spec->dtype)];
  double block[kBlock];
  for (int64_t first = 0; first < count; first += kBlock) {
    if (first % (kBlock * 64) == 0) check_cancelled();
    const int64_t n = std::min(kBlock, count - first);
    reader(a, first, n, block);
    body(block, n);
  }
}

}  // namespace

ValueStats summarize(const Array& a) {
  ValueStats s;
  s.count = a.size();
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0;
  each_block(a, s.count, [&](const double* x, int64_t n) {
    double part = 0;  // sums of blocks, so that long sums stay exact enough
    for (int64_t i = 0; i < n; ++i) {
      if (std::isfinite(x[i])) {
        low = std::min(low, x[i]);
        high = std::max(high, x[i]);
        part += x[i];
        s.zeros += x[i] == 0;
      } else if (std::isnan(x[i])) {
        ++s.nan;
      } else {
        ++(x[i] > 0 ? s.positive_inf : s.negative_inf);
      }
    }
    sum += part;
  });
  const int64_t finite = s.finite();
  if (!finite) return s;
  s.min = low;
  s.max = high;
  s.mean = std::clamp(sum / double(finite), low, high);
  double squares = 0;
  // Halves, because the range of doubles can be wider than the largest double.
  const double half_span = high / 2 - low / 2;
  each_block(a, s.count, [&](const double* x, int64_t n) {
    double part = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (!std::isfinite(x[i])) continue;
      part += (x[i] - s.mean) * (x[i] - s.mean);
      const double place = half_span > 0 ? (x[i] / 2 - low / 2) / half_span : 0;
      ++s.histogram[size_t(std::min(int(place * ValueStats::kBins), ValueStats::kBins - 1))];
    }
    squares += part;
  });
  s.std = std::sqrt(squares / double(finite));
  return s;
}

}  // namespace flowbook
