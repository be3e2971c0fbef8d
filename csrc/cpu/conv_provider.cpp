#include "cpu/conv_provider.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "cpu/rounding.h"

namespace flowbook::cpu {
namespace {

using ops::ConvGeometry;

constexpr int64_t kSliceWork = int64_t{1}
                               << 24;  // multiplications a slice should have (60 us at 250 GFLOP/s)
constexpr int64_t kMinSlices = 4;      // ... unless that makes fewer slices than this
constexpr int64_t kMinWork = int64_t{1} << 20;
constexpr int64_t kMaxSlices = 64;
constexpr int64_t kMaxParts = 8;  // of the weights' gradient, added in order

const float* at(const void* p, int64_t elements) { return static_cast<const float*>(p) + elements; }
float* at(void* p, int64_t elements) { return static_cast<float*>(p) + elements; }

flowbook_conv2d describe(const ConvGeometry& g) {
  flowbook_conv2d c{};
  c.dtype = FLOWBOOK_F32;
  c.n = g.n, c.h = g.h, c.w = g.w, c.c = g.c;
  c.kh = g.rows.size, c.kw = g.cols.size, c.o = g.o;
  c.oh = g.rows.out.value(), c.ow = g.cols.out.value();
  c.stride_h = g.rows.stride, c.stride_w = g.cols.stride;
  c.dilation_h = g.rows.dilation, c.dilation_w = g.cols.dilation;
  c.pad_h = g.rows.pad, c.pad_w = g.cols.pad;
  c.groups = g.groups;
  return c;
}

// `banded`: results of different rows are independent, so that an image may be cut.
ConvSlices slices_of(const ConvGeometry& g, int64_t most, bool banded) {
  ConvSlices s{describe(g), g.n, 1, 0};
  const flowbook_conv2d& c = s.whole;
  const double work = double(c.n) * double(c.oh * c.ow) * double(c.o) * double(c.kh * c.kw) *
                      double(c.c / c.groups);
  const int64_t wanted =
      std::min(most, std::max(std::min<int64_t>(kMinSlices, int64_t(work / kMinWork)),
                              int64_t(work / kSliceWork)));
  if (wanted <= 1) return s;
  // Powers of two: they mostly divide a batch, and equal slices share one primitive.
  s.images = 1;
  while (s.images * 2 * wanted <= c.n) s.images *= 2;
  if (ceil_div(c.n, s.images) > most) s.images = ceil_div(c.n, most);
  if (banded && s.images == 1 && c.n < wanted) {
    s.rows = std::max<int64_t>(ceil_div(c.oh, ceil_div(wanted, c.n)), 4);
    s.bands = ceil_div(c.oh, s.rows);
  }
  return s;
}

[[noreturn, gnu::cold]] void provider_failed(const flowbook_provider& p) {
  fail(ErrorKind::kOutOfMemory, "convolution failed in the provider: ", std::string(p.message()),
       ".");
}

const flowbook_provider* provider_of(const Conv& v, bool even_off = false) {
  const ConvGeometry& g = v.at;
  const bool taken = v.dtype == DType::f32 && g.rows.size * g.cols.size > 1 && g.h * g.w * g.c > 0;
  return taken ? conv_provider(FLOWBOOK_F32, even_off) : nullptr;
}

}  // namespace

ConvSlice ConvSlices::at(int64_t i) const {
  ConvSlice s{whole, 0, 0};
  const int64_t image = whole.h * whole.w * whole.c, result = whole.oh * whole.ow * whole.o;
  if (bands == 1) {
    const int64_t first = i * images;
    s.conv.n = std::min(images, whole.n - first);
    s.x = first * image, s.y = first * result;
    return s;
  }
  const int64_t n = i / bands, begin = i % bands * rows, end = std::min(whole.oh, begin + rows);
  const int64_t from = begin * whole.stride_h - whole.pad_h;
  const int64_t to =
      (end - 1) * whole.stride_h + (whole.kh - 1) * whole.dilation_h + 1 - whole.pad_h;
  const int64_t first = std::clamp<int64_t>(from, 0, whole.h - 1);
  s.conv.n = 1;
  s.conv.oh = end - begin;
  s.conv.h = std::clamp<int64_t>(to, first + 1, whole.h) - first;
  s.conv.pad_h = first - from;
  s.x = n * image + first * whole.w * whole.c;
  s.y = n * result + begin * whole.ow * whole.o;
  return s;
}

// ---- forward and the image's gradient
// ------------------------------------------------------------------------------------------------

bool ProvidedConv::Packing::plan(const flowbook_provider& p, const ConvSlices& s,
                                 flowbook_conv_pass pass) {
  for (int64_t i = 0; i < s.bands; ++i)  // images differ only in their last slice
    if (!add(p, s.at(i).conv, pass)) return false;
  return add(p, s.at(s.count() - 1).conv, pass);
}

int ProvidedConv::Packing::find(const flowbook_conv2d& c) const {
  for (int i = 0; i < count; ++i)
    if (std::memcmp(&conv[i], &c, sizeof c) == 0) return i;
  return -1;
}

bool ProvidedConv::Packing::add(const flowbook_provider& p, const flowbook_conv2d& c,
                                flowbook_conv_pass pass) {
  if (find(c) >= 0) return true;
  if (count == kMost || c.pad_h < 0) return false;
  const int64_t size = p.conv_packed_size(&c, pass);
  if (size < 0) return false;
  conv[count] = c, offset[count] = bytes, bytes += aligned(size), ++count;
  return true;
}

ProvidedConv::ProvidedConv(const Conv& v, bool forward, bool even_off)
    : pass_(forward ? FLOWBOOK_CONV_FORWARD : FLOWBOOK_CONV_BACKWARD_DATA) {
  const flowbook_provider* p = provider_of(v, even_off);
  if (!p) return;
  for (const bool banded : {forward, false}) {
    slices_ = slices_of(v.at, kMaxSlices, banded);
    packing_ = Packing();
    if (packing_.plan(*p, slices_, pass_)) {
      provider_ = p;
      break;
    }
  }
}

void ProvidedConv::pack(const void* weights, void* packed) const {
  for (int i = 0; i < packing_.count; ++i)
    if (provider_->conv_pack(&packing_.conv[i], pass_, weights,
                             static_cast<char*>(packed) + packing_.offset[i]) != FLOWBOOK_OK)
      provider_failed(*provider_);
}

// `in` and `out` are x and y, or dy and dx.
void ProvidedConv::run(const void* in, const void* packed, void* out,
                       const Epilogue* epilogue) const {
  const bool forward = pass_ == FLOWBOOK_CONV_FORWARD;
  parallel_for(slices_.count(), [&](int64_t i) {
    const ConvSlice s = slices_.at(i);
    const char* weights = static_cast<const char*>(packed) + packing_.offset[packing_.find(s.conv)];
    const int status =
        forward ? provider_->conv_forward(&s.conv, at(in, s.x), weights, at(out, s.y))
                : provider_->conv_backward_data(&s.conv, at(in, s.y), weights, at(out, s.x));
    if (status != FLOWBOOK_OK) provider_failed(*provider_);
    if (!epilogue) return;
    const int64_t cols = forward ? s.conv.o : s.conv.c, first = forward ? s.y : s.x;
    const int64_t rows = s.conv.n * (forward ? s.conv.oh * s.conv.ow : s.conv.h * s.conv.w);
    const int64_t begin = first / cols;
    (*epilogue)(begin, begin + rows, 0, cols, at(out, first), cols);
  });
}

// ---- the weights' gradient
// ------------------------------------------------------------------------------------------------

ProvidedConvWeights::ProvidedConvWeights(const Conv& v)
    : conv_(v), slices_(slices_of(v.at, kMaxParts, false)) {
  const flowbook_conv2d first = slices_.at(0).conv;
  // The forward pass stands for "this shape is taken at all".
  if (const flowbook_provider* p = provider_of(v);
      p && p->conv_packed_size(&first, FLOWBOOK_CONV_FORWARD) >= 0)
    provider_ = p;
}

bool ProvidedConvWeights::run(void* dweights, void* others) const {
  const flowbook_conv2d& c = slices_.whole;
  const int64_t size = c.kh * c.kw * (c.c / c.groups) * c.o;
  std::atomic<bool> done = true;
  parallel_for(parts(), [&](int64_t i) {
    const ConvSlice s = slices_.at(i);
    void* part = i == 0 ? dweights : at(others, (i - 1) * size);
    if (provider_->conv_backward_weights(&s.conv, at(conv_.x, s.x), at(conv_.y, s.y), part) !=
        FLOWBOOK_OK)
      done = false;
  });
  return done;
}

}  // namespace flowbook::cpu
