// Convolutions in three ways: as a plain matrix product where the window is 1 x 1, through a
// library's provider where that is the fastest, else by our own loops.
#include "cpu/conv.h"

#include <algorithm>
#include <cstring>

#include "cpu/conv_fold.h"
#include "cpu/conv_provider.h"
#include "cpu/conv_scratch.h"
#include "cpu/finite.h"
#include "cpu/own_conv.h"
#include "cpu/own_conv_weights.h"

namespace flowbook::cpu {
namespace {

using ops::ConvGeometry;

int64_t positions(const ConvGeometry& g) { return g.rows.out.value() * g.cols.out.value(); }
int64_t window(const ConvGeometry& g) { return g.rows.size * g.cols.size; }
int64_t weights(const ConvGeometry& g) { return window(g) * (g.c / g.groups) * g.o; }
bool empty(const ConvGeometry& g) { return g.n == 0 || positions(g) == 0 || g.o == 0; }
int64_t entries(const ConvGeometry& g) { return g.n * g.h * g.w * g.c; }  // of the images

bool padded(const ConvGeometry& g) {
  return g.rows.pad + g.rows.pad_end + g.cols.pad + g.cols.pad_end > 0;
}

// One plain product: windows of one entry, one after another, in one group.
bool pointwise(const ConvGeometry& g) {
  return window(g) == 1 && g.groups == 1 && g.rows.stride == 1 && g.cols.stride == 1 && !padded(g);
}

// Whether a library is asked first. From AVX2 on our own loops are faster
// (tests/benchmarks/NOTES.md, "Convolutions") but for groups too narrow for our tiles.
constexpr int64_t kNarrow = 16;
bool library_first(const Conv& v) {
  const ConvGeometry& g = v.at;
  return libraries_multiply() || (g.groups > 1 && std::min(g.c, g.o) / g.groups < kNarrow);
}

// ---- a plain product over all results: x as [n * h * w, c], y as [n * h * w, o]

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

// ---- forward and the image's gradient
// -----------------------------------------------------------------------------------------------

// Weights that are kept in packed form are packed for the library where it is asked first, else for
// our own loops: which it is does not change, whereas a library may be switched off.
template <class Pass>
void run(const Conv& v, const Pass& pass, bool keeps, const void* in, void* out,
         const Epilogue* epilogue) {
  const void* packed = keeps ? v.packed : nullptr;
  if (!packed) {
    void* room = conv_scratch(ConvScratch::kPacked, {pass.packed_bytes()});
    pass.pack(v.weights, room);
    packed = room;
  }
  pass.run(in, packed, out, epilogue);
}
// Where weights are not finite, the zeros that stand for padding in a library make NaN.
bool all_finite(const Conv& v) {
  return v.dtype == DType::f32
             ? all_finite_shared(static_cast<const float*>(v.weights), weights(v.at))
             : all_finite_shared(static_cast<const double*>(v.weights), weights(v.at));
}
void run(const Conv& v, bool forward, const void* in, void* out, const Epilogue* epilogue) {
  if (!forward && conv_folds(v)) return ConvFold(v).run(out, epilogue);
  if (library_first(v) && !(padded(v.at) && !all_finite(v)))
    if (const ProvidedConv pass(v, forward); pass) return run(v, pass, true, in, out, epilogue);
  run(v, OwnConv(v, forward), !library_first(v), in, out, epilogue);
}

}  // namespace

int64_t conv_packed_bytes(const Conv& v, bool forward) {
  if (empty(v.at) || pointwise(v.at)) return 0;
  if (!forward && (entries(v.at) == 0 || conv_folds(v))) return 0;
  if (!library_first(v)) return OwnConv(v, forward).packed_bytes();
  const ProvidedConv pass(v, forward);
  return pass ? pass.packed_bytes() : 0;
}
void conv_pack(const Conv& v, bool forward, void* packed) {
  if (!library_first(v)) return OwnConv(v, forward).pack(v.weights, packed);
  // For the library even if it has been switched off since the room was measured: it may be on
  // again when these weights are read.
  ProvidedConv(v, forward, /*even_off=*/true).pack(v.weights, packed);
}

Blocks conv_blocks(const Conv& v, bool forward) {
  const ConvGeometry& g = v.at;
  const int64_t columns = forward ? g.o : g.c;
  if (empty(g) || (!forward && entries(g) == 0)) return {1, columns};
  if (pointwise(g)) {
    const GemmGrid grid =
        gemm_grid(forward ? pointwise_forward(v, nullptr) : pointwise_input_gradient(v, nullptr));
    return {grid.blocks(), grid.col_step, grid.row_step};
  }
  if (!forward && conv_folds(v)) return {ConvFold(v).blocks(), columns};
  if (library_first(v))
    if (const ProvidedConv pass(v, forward); pass) return {pass.blocks(), columns};
  return {OwnConv(v, forward).blocks(), columns};
}

int64_t conv_workspace(const Conv& v) {
  if (empty(v.at)) return 0;
  return pointwise(v.at) ? gemm_workspace(pointwise_forward(v, nullptr)) : 0;
}
void conv_forward(const Conv& v, void* y, void* workspace, const Epilogue* epilogue) {
  if (empty(v.at)) return;
  if (!pointwise(v.at)) return run(v, true, v.x, y, epilogue);
  const Gemm g = pointwise_forward(v, y);
  epilogue ? gemm_with_epilogue(g, *epilogue, workspace) : gemm(g, workspace);
}

int64_t conv_input_gradient_workspace(const Conv& v) {
  if (empty(v.at)) return 0;
  return pointwise(v.at) ? gemm_workspace(pointwise_input_gradient(v, nullptr)) : 0;
}
void conv_input_gradient(const Conv& v, void* dx, void* workspace, const Epilogue* epilogue) {
  const ConvGeometry& g = v.at;
  const int64_t pixels = g.n * g.h * g.w;
  if (entries(g) == 0) return;
  if (empty(g)) {
    std::memset(dx, 0, size_t(pixels * g.c * size_of(v.dtype)));
    if (epilogue) (*epilogue)(0, pixels, 0, g.c, dx, g.c);
  } else if (pointwise(g)) {
    const Gemm product = pointwise_input_gradient(v, dx);
    epilogue ? gemm_with_epilogue(product, *epilogue, workspace) : gemm(product, workspace);
  } else {
    run(v, false, v.y, dx, epilogue);
  }
}

// ---- the weights' gradient
// -----------------------------------------------------------------------------------------------

namespace {

template <class T>
void add_parts(T* sum, const T* others, int64_t count, int64_t size) {
  constexpr int64_t kGrain = 16 * 1024;
  parallel_ranges(size, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t p = 0; p < count; ++p)
      for (int64_t i = begin; i < end; ++i) sum[i] += others[p * size + i];
  });
}

void add_parts(const Conv& v, int64_t parts, void* sum, const void* others) {
  if (parts == 1) return;
  const int64_t size = weights(v.at);
  if (v.dtype == DType::f32)
    add_parts(static_cast<float*>(sum), static_cast<const float*>(others), parts - 1, size);
  else
    add_parts(static_cast<double*>(sum), static_cast<const double*>(others), parts - 1, size);
}

bool weights_gradient_by_library(const Conv& v, void* dweights, void* workspace) {
  if (!library_first(v)) return false;
  const ProvidedConvWeights pass(v);
  if (!pass || !pass.run(dweights, workspace)) return false;
  add_parts(v, pass.parts(), dweights, workspace);
  return true;
}

}  // namespace

int64_t conv_weights_gradient_workspace(const Conv& v) {
  if (empty(v.at) || weights(v.at) == 0) return 0;
  if (pointwise(v.at)) return gemm_workspace(pointwise_weights_gradient(v, nullptr));
  // Room for either way: a plan outlives the choice of providers.
  int64_t parts = OwnConvWeights(v).parts();
  if (library_first(v)) parts = std::max(parts, ProvidedConvWeights(v).parts());
  return (parts - 1) * weights(v.at) * size_of(v.dtype);
}
void conv_weights_gradient(const Conv& v, void* dweights, void* workspace) {
  const ConvGeometry& g = v.at;
  const int64_t size = weights(g);
  if (size == 0) return;
  if (empty(g)) return void(std::memset(dweights, 0, size_t(size * size_of(v.dtype))));
  if (pointwise(g)) return gemm(pointwise_weights_gradient(v, dweights), workspace);
  const OwnConvWeights own(v);
  if (!weights_gradient_by_library(v, dweights, workspace)) {
    own.run(dweights, workspace);
    add_parts(v, own.parts(), dweights, workspace);
  }
  own.mend(dweights);
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
