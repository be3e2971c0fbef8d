#include "cpu/conv_fold.h"

#include <algorithm>
#include <cstring>

#include "cpu/conv_scratch.h"
#include "cpu/rounding.h"

namespace flowbook::cpu {
namespace {

constexpr int64_t kMaxChannels = 4;
constexpr int64_t kManyPhases = 16;              // of strides
constexpr int64_t kBlockBytes = 128 * 1024;      // of products at a time, in the second cache
constexpr int64_t kMinResults = 16;              // of a product
constexpr int64_t kBandWork = int64_t{1} << 21;  // multiplications a block should have (45 us)
constexpr int64_t kMinBlocks = 8;                // ... unless that makes fewer than this

}  // namespace

bool conv_folds(const Conv& v) { return v.at.groups == 1 && v.at.c <= kMaxChannels; }

ConvFold::ConvFold(const Conv& v)
    : conv_(v), at_(conv_.at), results_(at_.cols.out.value()), height_(at_.h) {
  const double work = double(at_.n) * double(at_.rows.out.value()) * double(results_) *
                      double(at_.rows.size * at_.cols.size * at_.c) * double(at_.o);
  const auto wanted = int64_t(std::min(work / double(kBandWork), double(kMinBlocks)));
  if (wanted <= at_.n || at_.h == 0) return;
  // Few windows lie across the edges of bands that are multiples of the stride.
  height_ = round_up(ceil_div(at_.h, ceil_div(wanted, at_.n)), at_.rows.stride);
  bands_ = ceil_div(at_.h, height_);
}

// Result r and row i of the window meet at row r stride + i dilation - pad of the image.
ConvFold::Taps ConvFold::taps_of(int64_t r, int64_t top, int64_t bottom) const {
  const ops::Window& w = at_.rows;
  const auto first = [&](int64_t row) {
    return std::min(w.size, ceil_div(std::max<int64_t>(row + w.pad - r * w.stride, 0), w.dilation));
  };
  return {first(top), first(bottom)};
}

// Adds the products of results [begin, end) to the pixels of an image.
template <class T>
void ConvFold::fold(const T* from, int64_t begin, int64_t end, Taps taps, T* image) const {
  const int64_t run = at_.cols.size * at_.c;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t top = r / results_ * at_.rows.stride - at_.rows.pad;
    const int64_t left = r % results_ * at_.cols.stride - at_.cols.pad;
    const bool inside = left >= 0 && left + at_.cols.size <= at_.w && at_.cols.dilation == 1;
    for (int64_t i = taps.begin; i < taps.end; ++i, from += run) {
      T* line = image + (top + i * at_.rows.dilation) * at_.w * at_.c;
      if (inside) {  // the weights of a row meet neighbouring pixels
        for (int64_t c = 0; c < run; ++c) line[left * at_.c + c] += from[c];
        continue;
      }
      for (int64_t j = 0; j < at_.cols.size; ++j) {
        const int64_t col = left + j * at_.cols.dilation;
        if (col < 0 || col >= at_.w) continue;
        for (int64_t c = 0; c < at_.c; ++c) line[col * at_.c + c] += from[j * at_.c + c];
      }
    }
  }
}

// What results [begin, end) add by these rows of their windows, which all lie in the image.
template <class T>
void ConvFold::run_results(const T* dy, int64_t begin, int64_t end, Taps taps, T* image) const {
  const int64_t run = at_.cols.size * at_.c, columns = (taps.end - taps.begin) * run;
  const int64_t size = int64_t(sizeof(T));
  const int64_t block =
      std::min(std::max(kBlockBytes / (columns * size), kMinResults), end - begin);
  const T* weights = static_cast<const T*>(conv_.weights) + taps.begin * run * at_.o;
  T* products = reinterpret_cast<T*>(conv_scratch(ConvScratch::kImages, {block, columns, size}));
  for (int64_t first = begin; first < end; first += block) {
    const int64_t last = std::min(first + block, end);
    const Gemm product{conv_.dtype, last - first, columns, at_.o, dy + first * at_.o, at_.o,
                       1,           weights,      1,       at_.o, products,           columns};
    gemm_block(product, {1, 1, product.m, product.n, 1, product.k}, 0);
    fold(products, first, last, taps, image);
  }
}

// Rows [top, bottom) of an image. Neighbouring rows of results go together where they add by the
// same rows of the window.
template <class T>
void ConvFold::run_band(const T* dy, int64_t top, int64_t bottom, T* image) const {
  const int64_t pitch = at_.w * at_.c;
  std::memset(image + top * pitch, 0, size_t((bottom - top) * pitch) * sizeof(T));
  const int64_t rows = at_.rows.out.value();
  for (int64_t r = 0, end; r < rows; r = end) {
    const Taps taps = taps_of(r, top, bottom);
    for (end = r + 1; end < rows && taps_of(end, top, bottom) == taps;) ++end;
    if (taps.begin < taps.end) run_results(dy, r * results_, end * results_, taps, image);
  }
}

void ConvFold::run(void* dx, const Epilogue* epilogue) const {
  const int64_t image = at_.h * at_.w * at_.c, dy = at_.rows.out.value() * results_ * at_.o;
  parallel_for(blocks(), [&](int64_t i) {
    const int64_t n = i / bands_, top = i % bands_ * height_,
                  bottom = std::min(at_.h, top + height_);
    const auto run = [&]<class T>(T* to) {
      run_band(static_cast<const T*>(conv_.y) + n * dy, top, bottom, to + n * image);
      if (epilogue)
        (*epilogue)((n * at_.h + top) * at_.w, (n * at_.h + bottom) * at_.w, 0, at_.c,
                    to + n * image + top * at_.w * at_.c, at_.c);
    };
    if (conv_.dtype == DType::f32)
      run(static_cast<float*>(dx));
    else
      run(static_cast<double*>(dx));
  });
}

}  // namespace flowbook::cpu
