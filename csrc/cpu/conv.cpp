// Convolutions in three ways: as a plain matrix product where the window is 1 x 1, through a
// provider where it takes the shape, else by unfolding windows into rows (im2col) block by block.
// All cut the work along images, or along rows of an image where images are few, by sizes alone.
#include "cpu/conv.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "cpu/providers.h"

namespace flowbook::cpu {
namespace {

using ops::ConvGeometry;

constexpr int64_t kSliceWork = int64_t{1}
                               << 24;  // multiplications a slice should have (60 us at 250 GFLOP/s)
constexpr int64_t kMinSlices = 4;      // ... unless that makes fewer slices than this
constexpr int64_t kMinWork = int64_t{1} << 20;
constexpr int64_t kMaxSlices = 64;
constexpr int64_t kMaxPartials = 8;           // of the weights' gradient, added in order
constexpr int64_t kUnfoldBytes = 512 * 1024;  // of unfolded windows at a time

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t positions(const ConvGeometry& g) { return g.rows.out.value() * g.cols.out.value(); }
int64_t window(const ConvGeometry& g) { return g.rows.size * g.cols.size; }
int64_t depth(const ConvGeometry& g) {
  return window(g) * (g.c / g.groups);
}  // products per result
int64_t weights(const ConvGeometry& g) { return depth(g) * g.o; }
double work_of(const ConvGeometry& g) {
  return double(g.n) * double(positions(g)) * double(g.o) * double(depth(g));
}
bool empty(const ConvGeometry& g) { return g.n == 0 || positions(g) == 0 || g.o == 0; }

// One plain product: windows of one entry, one after another, in one group.
bool pointwise(const ConvGeometry& g) {
  return window(g) == 1 && g.groups == 1 && g.rows.stride == 1 && g.cols.stride == 1 &&
         g.rows.pad + g.rows.pad_end + g.cols.pad + g.cols.pad_end == 0;
}

const char* at(const void* p, int64_t elements, DType t) {
  return static_cast<const char*>(p) + elements * size_of(t);
}
char* at(void* p, int64_t elements, DType t) {
  return static_cast<char*>(p) + elements * size_of(t);
}

// Memory of one thread, kept between calls: packed weights of the convolution it runs, unfolded
// windows of the slice it works on. Not part of the kernels' workspace, because its size depends on
// which provider takes the call.
enum Scratch { kPacked, kUnfolded };
template <Scratch kPurpose>
char* scratch(int64_t bytes) {
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  thread_local std::unique_ptr<char, Free> memory;
  thread_local int64_t size = 0;
  if (bytes > size) {
    memory.reset(), size = 0;
    memory.reset(static_cast<char*>(std::aligned_alloc(64, size_t(aligned(bytes)))));
    if (!memory)
      fail(ErrorKind::kOutOfMemory, "convolution needs ", bytes, " bytes of scratch memory.");
    size = bytes;
  }
  return memory.get();
}

// ---- through a provider
// -------------------------------------------------------------------------------------

flowbook_conv2d describe(const Conv& v) {
  const ConvGeometry& g = v.at;
  flowbook_conv2d c{};
  c.dtype = v.dtype == DType::f32 ? FLOWBOOK_F32 : FLOWBOOK_F64;
  c.n = g.n, c.h = g.h, c.w = g.w, c.c = g.c;
  c.kh = g.rows.size, c.kw = g.cols.size, c.o = g.o;
  c.oh = g.rows.out.value(), c.ow = g.cols.out.value();
  c.stride_h = g.rows.stride, c.stride_w = g.cols.stride;
  c.dilation_h = g.rows.dilation, c.dilation_w = g.cols.dilation;
  c.pad_h = g.rows.pad, c.pad_w = g.cols.pad;
  c.groups = g.groups;
  return c;
}

// A part of the work: some images, or some rows of one image.
struct Slice {
  flowbook_conv2d conv;
  int64_t x, y;  // elements before it in the images and in the results
};

// How a convolution is cut. Slices of equal description share their packed weights.
struct Slices {
  flowbook_conv2d whole;
  int64_t images;  // per slice
  int64_t bands;   // per image, where images == 1
  int64_t rows;    // of results per band
  int64_t count() const { return (whole.n + images - 1) / images * bands; }

  Slice at(int64_t i) const {
    Slice s{whole, 0, 0};
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
};

// `banded`: results of different rows are independent, so that an image may be cut.
Slices slices_of(const Conv& v, int64_t most, bool banded) {
  Slices s{describe(v), v.at.n, 1, 0};
  const double work = work_of(v.at);
  const int64_t wanted =
      std::min(most, std::max(std::min<int64_t>(kMinSlices, int64_t(work / kMinWork)),
                              int64_t(work / kSliceWork)));
  if (wanted <= 1) return s;
  // Powers of two: they mostly divide a batch, and equal slices share one primitive.
  s.images = 1;
  while (s.images * 2 * wanted <= s.whole.n) s.images *= 2;
  if (ceil_div(s.whole.n, s.images) > most) s.images = ceil_div(s.whole.n, most);
  if (banded && s.images == 1 && s.whole.n < wanted) {
    s.rows = std::max<int64_t>(ceil_div(s.whole.oh, ceil_div(wanted, s.whole.n)), 4);
    s.bands = ceil_div(s.whole.oh, s.rows);
  }
  return s;
}

// The distinct descriptions among a convolution's slices, each with its packed weights.
struct Packing {
  static constexpr int kMost = 6;
  int count = 0;
  flowbook_conv2d conv[kMost];
  int64_t offset[kMost], bytes = 0;

  // False if the provider does not take one of them, or if there are too many.
  bool plan(const flowbook_provider& p, const Slices& s, flowbook_conv_pass pass) {
    for (int64_t i = 0; i < s.bands; ++i)  // images differ only in their last slice
      if (!add(p, s.at(i).conv, pass)) return false;
    return add(p, s.at(s.count() - 1).conv, pass);
  }
  int find(const flowbook_conv2d& c) const {
    for (int i = 0; i < count; ++i)
      if (std::memcmp(&conv[i], &c, sizeof c) == 0) return i;
    return -1;
  }

 private:
  bool add(const flowbook_provider& p, const flowbook_conv2d& c, flowbook_conv_pass pass) {
    if (find(c) >= 0) return true;
    if (count == kMost || c.pad_h < 0) return false;
    const int64_t size = p.conv_packed_size(&c, pass);
    if (size < 0) return false;
    conv[count] = c, offset[count] = bytes, bytes += aligned(size), ++count;
    return true;
  }
};

// Everything that decides how a pass goes through the provider, or that it doesn't.
struct Provided {
  const flowbook_provider* provider = nullptr;
  Slices slices;
  Packing packing;
};
Provided provided(const Conv& v, flowbook_conv_pass pass) {
  Provided d;
  if (v.dtype != DType::f32 || window(v.at) == 1 || v.at.c == 0) return d;
  // Towards few channels oneDNN's backward pass in this layout is several times slower than
  // unfolding.
  if (pass == FLOWBOOK_CONV_BACKWARD_DATA && v.at.c / v.at.groups <= 4 && v.at.groups == 1)
    return d;
  const flowbook_provider* p = conv_provider(FLOWBOOK_F32);
  if (!p) return d;
  for (const bool banded : {pass == FLOWBOOK_CONV_FORWARD, false}) {
    d.slices = slices_of(v, kMaxSlices, banded);
    d.packing = Packing();
    if (d.packing.plan(*p, d.slices, pass)) {
      d.provider = p;
      break;
    }
  }
  return d;
}

[[noreturn, gnu::cold]] void provider_failed(const flowbook_provider& p) {
  fail(ErrorKind::kOutOfMemory, "convolution failed in the provider: ", std::string(p.message()),
       ".");
}

void pack_weights(const Conv& v, const Provided& d, flowbook_conv_pass pass, char* to) {
  for (int i = 0; i < d.packing.count; ++i)
    if (d.provider->conv_pack(&d.packing.conv[i], pass, v.weights, to + d.packing.offset[i]) !=
        FLOWBOOK_OK)
      provider_failed(*d.provider);
}

// Runs `pass` over all slices; `in` and `out` are x and y, or dy and dx.
void run_provided(const Conv& v, const Provided& d, flowbook_conv_pass pass, const void* in,
                  void* out, const Epilogue* epilogue) {
  const flowbook_provider& p = *d.provider;
  const char* weights = static_cast<const char*>(v.packed);
  if (!weights) {
    char* room = scratch<kPacked>(d.packing.bytes);
    pack_weights(v, d, pass, room);
    weights = room;
  }
  const bool forward = pass == FLOWBOOK_CONV_FORWARD;
  parallel_for(d.slices.count(), [&](int64_t i) {
    const Slice s = d.slices.at(i);
    const void* packed = weights + d.packing.offset[d.packing.find(s.conv)];
    const int status =
        forward
            ? p.conv_forward(&s.conv, at(in, s.x, v.dtype), packed, at(out, s.y, v.dtype))
            : p.conv_backward_data(&s.conv, at(in, s.y, v.dtype), packed, at(out, s.x, v.dtype));
    if (status != FLOWBOOK_OK) provider_failed(p);
    if (!epilogue) return;
    const int64_t cols = forward ? s.conv.o : s.conv.c, first = forward ? s.y : s.x;
    const int64_t rows = s.conv.n * (forward ? s.conv.oh * s.conv.ow : s.conv.h * s.conv.w);
    const int64_t begin = first / cols;
    (*epilogue)(begin, begin + rows, 0, cols, at(out, first, v.dtype), cols);
  });
}

// ---- by unfolding
// ---------------------------------------------------------------------------------------------

// Calls body(row of the image or -1, column or -1) for each entry of the window at result `r` of an
// image.
template <class Body>
void each_entry(const ConvGeometry& g, int64_t r, Body&& body) {
  const int64_t ow = g.cols.out.value();
  const int64_t top = r / ow * g.rows.stride - g.rows.pad,
                left = r % ow * g.cols.stride - g.cols.pad;
  for (int64_t i = 0; i < g.rows.size; ++i) {
    const int64_t row = top + i * g.rows.dilation;
    for (int64_t j = 0; j < g.cols.size; ++j) {
      const int64_t col = left + j * g.cols.dilation;
      const bool inside = row >= 0 && row < g.h && col >= 0 && col < g.w;
      body(inside ? row * g.w + col : int64_t{-1});
    }
  }
}

// Results begin ... end (over all images) of one group, each the row of its window's entries.
void unfold(const ConvGeometry& g, const char* x, int64_t bytes, int64_t group, int64_t begin,
            int64_t end, char* to) {
  const int64_t inputs = g.c / g.groups, run = inputs * bytes, per_image = positions(g);
  if (run == 0) return;
  for (int64_t r = begin; r < end; ++r) {
    const char* image = x + (r / per_image * g.h * g.w * g.c + group * inputs) * bytes;
    each_entry(g, r % per_image, [&](int64_t pixel) {
      if (pixel >= 0)
        std::memcpy(to, image + pixel * g.c * bytes, size_t(run));
      else
        std::memset(to, 0, size_t(run));
      to += run;
    });
  }
}

// The reverse: adds rows of entries to the image they came from.
template <class T>
void fold(const ConvGeometry& g, const T* from, int64_t group, int64_t begin, int64_t end, T* x) {
  const int64_t inputs = g.c / g.groups, per_image = positions(g);
  for (int64_t r = begin; r < end; ++r) {
    T* image = x + r / per_image * g.h * g.w * g.c + group * inputs;
    each_entry(g, r % per_image, [&](int64_t pixel) {
      if (pixel >= 0) {
        T* to = image + pixel * g.c;
        for (int64_t c = 0; c < inputs; ++c) to[c] += from[c];
      }
      from += inputs;
    });
  }
}

// Results per block of unfolded windows.
int64_t block_of(const ConvGeometry& g, DType t) {
  return std::max<int64_t>(16, kUnfoldBytes / std::max<int64_t>(depth(g) * size_of(t), 1));
}

void one_block(const Gemm& g) { gemm_block(g, {1, 1, g.m, g.n, 1, g.k}, 0); }

void forward_unfolded(const Conv& v, void* y, const Epilogue* epilogue) {
  const ConvGeometry& g = v.at;
  const int64_t results = g.n * positions(g), outputs = g.o / g.groups, k = depth(g);
  parallel_ranges(results, block_of(g, v.dtype), [&](int64_t begin, int64_t end) {
    char* rows = scratch<kUnfolded>((end - begin) * k * size_of(v.dtype));
    for (int64_t group = 0; group < g.groups; ++group) {
      unfold(g, static_cast<const char*>(v.x), size_of(v.dtype), group, begin, end, rows);
      one_block({v.dtype, end - begin, outputs, k, rows, k, 1,
                 at(v.weights, group * outputs, v.dtype), g.o, 1,
                 at(y, begin * g.o + group * outputs, v.dtype), g.o});
    }
    if (epilogue) (*epilogue)(begin, end, 0, g.o, at(y, begin * g.o, v.dtype), g.o);
  });
}

template <class T>
void input_gradient_unfolded(const Conv& v, T* dx, const Epilogue* epilogue) {
  const ConvGeometry& g = v.at;
  const int64_t image = g.h * g.w * g.c, outputs = g.o / g.groups, k = depth(g),
                per_image = positions(g);
  parallel_for(g.n, [&](int64_t n) {
    std::memset(dx + n * image, 0, size_t(image) * sizeof(T));
    const int64_t block = std::min(block_of(g, v.dtype), per_image);
    T* rows = reinterpret_cast<T*>(scratch<kUnfolded>(block * k * int64_t(sizeof(T))));
    for (int64_t begin = n * per_image; begin < (n + 1) * per_image; begin += block) {
      const int64_t end = std::min(begin + block, (n + 1) * per_image);
      for (int64_t group = 0; group < g.groups; ++group) {
        one_block({v.dtype, end - begin, k, outputs,
                   at(v.y, begin * g.o + group * outputs, v.dtype), g.o, 1,
                   at(v.weights, group * outputs, v.dtype), 1, g.o, rows, k});
        fold(g, rows, group, begin, end, dx);
      }
    }
    const int64_t pixels = g.h * g.w;
    if (epilogue) (*epilogue)(n* pixels, (n + 1) * pixels, 0, g.c, dx + n * image, g.c);
  });
}

// ---- the weights' gradient: partial sums over slices, added in order
// ----------------------------------------------

struct Partials {
  const flowbook_provider* provider = nullptr;
  Slices slices;          // with a provider
  int64_t block, blocks;  // results per part, without
  int64_t count() const { return provider ? slices.count() : blocks; }
};
Partials partials_of(const Conv& v) {
  Partials d;
  const ConvGeometry& g = v.at;
  d.slices = slices_of(v, kMaxPartials, false);
  const int64_t results = g.n * positions(g);
  const int64_t wanted = std::clamp<int64_t>(int64_t(work_of(g) / kMinWork), 1, kMaxPartials);
  d.block = std::max<int64_t>(ceil_div(results, wanted), 1);
  d.blocks = ceil_div(results, d.block);
  const flowbook_conv2d first = d.slices.at(0).conv;
  // The forward pass stands for "this shape is taken at all"; a refusal of the backward pass is met
  // when it runs.
  if (const flowbook_provider* p = conv_provider(FLOWBOOK_F32);
      v.dtype == DType::f32 && window(g) > 1 && g.c > 0 && p &&
      p->conv_packed_size(&first, FLOWBOOK_CONV_FORWARD) >= 0)
    d.provider = p;
  return d;
}

void weights_gradient_unfolded(const Conv& v, int64_t begin, int64_t end, void* dw) {
  const ConvGeometry& g = v.at;
  const int64_t outputs = g.o / g.groups, k = depth(g),
                block = std::min(block_of(g, v.dtype), end - begin);
  char* rows = scratch<kUnfolded>(block * k * size_of(v.dtype));
  for (int64_t b = begin; b < end; b += block) {
    const int64_t e = std::min(b + block, end);
    for (int64_t group = 0; group < g.groups; ++group) {
      unfold(g, static_cast<const char*>(v.x), size_of(v.dtype), group, b, e, rows);
      Gemm product{v.dtype,
                   k,
                   outputs,
                   e - b,
                   rows,
                   1,
                   k,
                   at(v.y, b * g.o + group * outputs, v.dtype),
                   g.o,
                   1,
                   at(dw, group * outputs, v.dtype),
                   g.o};
      product.accumulate = b > begin;
      one_block(product);
    }
  }
}

template <class T>
void add_partials(T* sum, const T* parts, int64_t count, int64_t size) {
  constexpr int64_t kGrain = 16 * 1024;
  parallel_ranges(size, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t p = 0; p < count; ++p)
      for (int64_t i = begin; i < end; ++i) sum[i] += parts[p * size + i];
  });
}

// A plain product over all results: x as [n * h * w, c], y as [n * h * w, o].
Gemm pointwise_forward(const Conv& v, void* y) {
  const ConvGeometry& g = v.at;
  return {v.dtype, g.n * positions(g), g.o, g.c, v.x, g.c, 1, v.weights, g.o, 1, y, g.o};
}
Gemm pointwise_input_gradient(const Conv& v, void* dx) {
  const ConvGeometry& g = v.at;
  return {v.dtype, g.n * positions(g), g.c, g.o, v.y, g.o, 1, v.weights, 1, g.o, dx, g.c};
}
Gemm pointwise_weights_gradient(const Conv& v, void* dw) {
  const ConvGeometry& g = v.at;
  return {v.dtype, g.c, g.o, g.n * positions(g), v.x, 1, g.c, v.y, g.o, 1, dw, g.o};
}

}  // namespace

// ---- the three passes
// ---------------------------------------------------------------------------------------------

namespace {
flowbook_conv_pass pass_of(bool forward) {
  return forward ? FLOWBOOK_CONV_FORWARD : FLOWBOOK_CONV_BACKWARD_DATA;
}
}  // namespace

int64_t conv_packed_bytes(const Conv& v, bool forward) {
  if (empty(v.at) || pointwise(v.at)) return 0;
  const Provided d = provided(v, pass_of(forward));
  return d.provider ? d.packing.bytes : 0;
}
void conv_pack(const Conv& v, bool forward, void* packed) {
  // Should the choice of providers have changed since the room was measured, nobody reads it.
  if (const Provided d = provided(v, pass_of(forward)); d.provider)
    pack_weights(v, d, pass_of(forward), static_cast<char*>(packed));
}

Blocks conv_blocks(const Conv& v, bool forward) {
  const ConvGeometry& g = v.at;
  const int64_t columns = forward ? g.o : g.c;
  if (empty(g)) return {1, columns};
  if (pointwise(g)) {
    const GemmGrid grid =
        gemm_grid(forward ? pointwise_forward(v, nullptr) : pointwise_input_gradient(v, nullptr));
    return {grid.blocks(), grid.col_step};
  }
  if (const Provided d = provided(v, pass_of(forward)); d.provider)
    return {d.slices.count(), columns};
  return {forward ? ceil_div(g.n * positions(g), block_of(g, v.dtype)) : g.n, columns};
}

int64_t conv_workspace(const Conv& v) {
  if (empty(v.at)) return 0;
  return pointwise(v.at) ? gemm_workspace(pointwise_forward(v, nullptr)) : 0;
}
void conv_forward(const Conv& v, void* y, void* workspace, const Epilogue* epilogue) {
  if (empty(v.at)) return;
  if (pointwise(v.at)) {
    const Gemm g = pointwise_forward(v, y);
    return epilogue ? gemm_with_epilogue(g, *epilogue, workspace) : gemm(g, workspace);
  }
  if (const Provided d = provided(v, FLOWBOOK_CONV_FORWARD); d.provider)
    return run_provided(v, d, FLOWBOOK_CONV_FORWARD, v.x, y, epilogue);
  forward_unfolded(v, y, epilogue);
}

int64_t conv_input_gradient_workspace(const Conv& v) {
  if (empty(v.at)) return 0;
  return pointwise(v.at) ? gemm_workspace(pointwise_input_gradient(v, nullptr)) : 0;
}
void conv_input_gradient(const Conv& v, void* dx, void* workspace, const Epilogue* epilogue) {
  const ConvGeometry& g = v.at;
  const int64_t pixels = g.n * g.h * g.w;
  if (pixels * g.c == 0) return;
  if (empty(g)) {
    std::memset(dx, 0, size_t(pixels * g.c * size_of(v.dtype)));
    if (epilogue) (*epilogue)(0, pixels, 0, g.c, dx, g.c);
  } else if (pointwise(g)) {
    const Gemm product = pointwise_input_gradient(v, dx);
    epilogue ? gemm_with_epilogue(product, *epilogue, workspace) : gemm(product, workspace);
  } else if (const Provided d = provided(v, FLOWBOOK_CONV_BACKWARD_DATA); d.provider) {
    run_provided(v, d, FLOWBOOK_CONV_BACKWARD_DATA, v.y, dx, epilogue);
  } else if (v.dtype == DType::f32) {
    input_gradient_unfolded(v, static_cast<float*>(dx), epilogue);
  } else {
    input_gradient_unfolded(v, static_cast<double*>(dx), epilogue);
  }
}

int64_t conv_weights_gradient_workspace(const Conv& v) {
  if (empty(v.at)) return 0;
  if (pointwise(v.at)) return gemm_workspace(pointwise_weights_gradient(v, nullptr));
  const Partials d =
      partials_of(v);  // room for either way: a plan outlives the choice of providers
  return (std::max(d.slices.count(), d.blocks) - 1) * weights(v.at) * size_of(v.dtype);
}
void conv_weights_gradient(const Conv& v, void* dweights, void* workspace) {
  const ConvGeometry& g = v.at;
  const int64_t size = weights(g);
  if (size == 0) return;
  if (empty(g)) return void(std::memset(dweights, 0, size_t(size * size_of(v.dtype))));
  if (pointwise(g)) return gemm(pointwise_weights_gradient(v, dweights), workspace);
  const Partials d = partials_of(v);
  const int64_t results = g.n * positions(g);
  parallel_for(d.count(), [&](int64_t i) {
    void* part = i == 0 ? dweights : at(workspace, (i - 1) * size, v.dtype);
    if (d.provider) {
      const Slice s = d.slices.at(i);
      if (d.provider->conv_backward_weights(&s.conv, at(v.x, s.x, v.dtype), at(v.y, s.y, v.dtype),
                                            part) == FLOWBOOK_OK)
        return;
      const int64_t begin = s.y / g.o;
      return weights_gradient_unfolded(v, begin, begin + s.conv.n * positions(g), part);
    }
    weights_gradient_unfolded(v, i * d.block, std::min(results, (i + 1) * d.block), part);
  });
  if (d.count() == 1) return;
  if (v.dtype == DType::f32) {
    add_partials(static_cast<float*>(dweights), static_cast<const float*>(workspace), d.count() - 1,
                 size);
  } else {
    add_partials(static_cast<double*>(dweights), static_cast<const double*>(workspace),
                 d.count() - 1, size);
  }
}

// ---- registration
// ---------------------------------------------------------------------------------------------------

namespace {

// The convolution an op's arguments stand for; `kOut` tells which of x, weights and y is the
// result.
template <class Op, int kOut>
Conv conv_of(const void* attrs, std::span<const Array> in) {
  const Array &first = in[0], &second = in[1];
  Conv v{first.spec->dtype,
         static_cast<const Op*>(attrs)->geometry(first.spec->shape, second.spec->shape), nullptr,
         nullptr, nullptr};
  if (kOut == 0) v.y = first.data, v.weights = second.data;
  if (kOut == 1) v.x = first.data, v.y = second.data;
  if (kOut == 2) v.x = first.data, v.weights = second.data;
  return v;
}

template <class Op, int kOut, int64_t (*kWorkspace)(const Conv&), auto kRun>
KernelEntry& add(Backend& cpu, const char* name) {
  const Kernel run = [](const KernelArgs& args) {
    Conv v = conv_of<Op, kOut>(args.attrs, args.in);
    v.packed = args.packed;
    if constexpr (kOut == 1)
      kRun(v, args.out[0].data, args.workspace);
    else
      kRun(v, args.out[0].data, args.workspace, args.epilogue);
  };
  KernelEntry& entry = cpu.kernel(name, run, DTypeSet(set_of(DType::f32) | set_of(DType::f64)));
  entry.workspace = [](const OpDef&, const void* attrs, std::span<const Array> in) {
    return kWorkspace(conv_of<Op, kOut>(attrs, in));
  };
  if constexpr (kOut != 1) {
    constexpr bool kForward = kOut == 2;
    entry.blocks = [](const KernelArgs& args) {
      return conv_blocks(conv_of<Op, kOut>(args.attrs, args.in), kForward);
    };
    entry.packing.input = 1;
    entry.packing.bytes = [](const KernelArgs& args) {
      return conv_packed_bytes(conv_of<Op, kOut>(args.attrs, args.in), kForward);
    };
    entry.packing.pack = [](const KernelArgs& args, void* packed) {
      conv_pack(conv_of<Op, kOut>(args.attrs, args.in), kForward, packed);
    };
  }
  return entry;
}

}  // namespace

void register_conv(Backend& cpu) {
  add<ops::Conv2d, 2, conv_workspace, conv_forward>(cpu, "conv2d");
  add<ops::Conv2dInputGradient, 0, conv_input_gradient_workspace, conv_input_gradient>(
      cpu, "conv2d_input_gradient");
  add<ops::Conv2dWeightsGradient, 1, conv_weights_gradient_workspace, conv_weights_gradient>(
      cpu, "conv2d_weights_gradient");
}

}  // namespace flowbook::cpu
