#include "cpu/conv_fold.h"

#include <algorithm>
#include <cstring>

#include "cpu/conv_scratch.h"

namespace flowbook::cpu {
namespace {

using ops::ConvGeometry;

constexpr int64_t kMaxChannels = 4;
constexpr int64_t kBlockBytes = 128 * 1024;  // of products at a time, in the second cache

// Adds the products of results [begin, end) of an image to its pixels.
template <class T>
void fold(const ConvGeometry& g, const T* from, int64_t begin, int64_t end, T* image) {
  const int64_t ow = g.cols.out.value(), run = g.cols.size * g.c;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t top = r / ow * g.rows.stride - g.rows.pad;
    const int64_t left = r % ow * g.cols.stride - g.cols.pad;
    const bool inside = left >= 0 && left + g.cols.size <= g.w && g.cols.dilation == 1;
    for (int64_t i = 0; i < g.rows.size; ++i, from += run) {
      const int64_t row = top + i * g.rows.dilation;
      if (row < 0 || row >= g.h) continue;
      T* line = image + row * g.w * g.c;
      if (inside) {  // the weights of a row meet neighbouring pixels
        for (int64_t c = 0; c < run; ++c) line[left * g.c + c] += from[c];
        continue;
      }
      for (int64_t j = 0; j < g.cols.size; ++j) {
        const int64_t col = left + j * g.cols.dilation;
        if (col < 0 || col >= g.w) continue;
        for (int64_t c = 0; c < g.c; ++c) line[col * g.c + c] += from[j * g.c + c];
      }
    }
  }
}

template <class T>
void fold_image(const Conv& v, int64_t n, T* dx) {
  const ConvGeometry& g = v.at;
  const int64_t results = g.rows.out.value() * g.cols.out.value();
  const int64_t columns = g.rows.size * g.cols.size * g.c;
  T* image = dx + n * g.h * g.w * g.c;
  std::memset(image, 0, size_t(g.h * g.w * g.c) * sizeof(T));
  const int64_t block =
      std::min(std::max<int64_t>(kBlockBytes / (columns * int64_t(sizeof(T))), 16), results);
  T* products = reinterpret_cast<T*>(
      conv_scratch(ConvScratch::kImages, {block, columns, int64_t(sizeof(T))}));
  for (int64_t begin = 0; begin < results; begin += block) {
    const int64_t end = std::min(begin + block, results);
    const T* dy = static_cast<const T*>(v.y) + (n * results + begin) * g.o;
    const Gemm product{v.dtype, end - begin, columns, g.o, dy,       g.o,
                       1,       v.weights,   1,       g.o, products, columns};
    gemm_block(product, {1, 1, product.m, product.n, 1, product.k}, 0);
    fold(g, products, begin, end, image);
  }
}

}  // namespace

bool conv_folds(const Conv& v) { return v.at.groups == 1 && v.at.c <= kMaxChannels; }

void conv_fold(const Conv& v, void* dx, const Epilogue* epilogue) {
  const ConvGeometry& g = v.at;
  parallel_for(g.n, [&](int64_t n) {
    const int64_t pixels = g.h * g.w;
    if (v.dtype == DType::f32)
      fold_image(v, n, static_cast<float*>(dx));
    else
      fold_image(v, n, static_cast<double*>(dx));
    if (epilogue)
      (*epilogue)(n* pixels, (n + 1) * pixels, 0, g.c,
                  static_cast<char*>(dx) + n * pixels * g.c * size_of(v.dtype), g.c);
  });
}

}  // namespace flowbook::cpu
