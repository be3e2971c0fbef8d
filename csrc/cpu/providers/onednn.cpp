// The fast provider on x86-64: oneDNN's matrix product and convolutions, float32.
//
// What it takes care of, because oneDNN 3.2 does not:
// * One thread. Its threaded paths hang after fork and give wrong results for some shapes, so the
//   OpenMP setting of the calling thread is 1 around each call and put back afterwards; other
//   libraries in the process may share that OpenMP runtime.
// * Scratchpads are ours, with slack behind them: some kernels write past the size they asked for.
// * Reference implementations, primitives of more than 2^31 elements and 1x1 convolutions are
//   refused; the caller has better means.
// * Primitives are kept per thread, with their memory objects, so that a repeated call allocates
//   nothing and takes no lock.
#include <dlfcn.h>
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <oneapi/dnnl/dnnl.hpp>

#include "cpu/provider.h"

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr size_t kSlack = 64 * 1024;         // Behind every scratchpad.
constexpr int64_t kMaxElements = INT32_MAX;  // Per operand; oneDNN 3.2 indexes with 32 bits.
constexpr size_t kAlignment = 64;

// ---- Process-wide state -------------------------------------------------------------------------

// The OpenMP runtime that oneDNN itself uses, or null functions where it was built without.
struct OpenMp {
  int (*get_max_threads)() = nullptr;
  void (*set_num_threads)(int) = nullptr;
};

OpenMp g_omp;
char g_about[128] = "oneDNN";
thread_local char t_message[256] = "";

const dnnl::engine& engine() {
  static const dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

// Gives this thread an OpenMP team of one for a while. The count is a per-thread setting in every
// OpenMP runtime, and part of the key of oneDNN's own primitive cache.
class OneThread {
 public:
  OneThread() {
    if (g_omp.get_max_threads == nullptr) return;
    saved_ = g_omp.get_max_threads();
    if (saved_ != 1) g_omp.set_num_threads(1);
  }
  ~OneThread() {
    if (saved_ != 1) g_omp.set_num_threads(saved_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int saved_ = 1;
};

// ---- Per-thread buffers and primitives ----------------------------------------------------------

// A block of memory that grows and never shrinks while its thread lives.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* reserve(size_t size) {
    if (size > size_) {
      std::free(data_);
      size_ = 0;
      const size_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
      data_ = std::aligned_alloc(kAlignment, rounded);
      if (data_ == nullptr) throw std::bad_alloc();
      size_ = rounded;
    }
    return data_;
  }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// Buffers above this size are given back after the call instead of staying with the thread.
constexpr size_t kKeepBytes = size_t{64} << 20;

enum class Kind : int64_t { kNone, kGemm, kForward, kBackwardData, kBackwardWeights };

// Everything that decides which primitive a call needs.
struct Key {
  Kind kind = Kind::kNone;
  int64_t v[16] = {};

  bool operator==(const Key& o) const { return std::memcmp(this, &o, sizeof *this) == 0; }
  uint64_t hash() const {
    uint64_t h = static_cast<uint64_t>(kind);
    for (int64_t x : v) h = (h ^ static_cast<uint64_t>(x)) * 0x9E3779B97F4A7C15u, h ^= h >> 29;
    return h;
  }
};

// A primitive ready to run: three operands and a scratchpad whose pointers are set per call.
struct Prepared {
  Key key;
  bool supported = false;  // False remembers a refusal, so that it is cheap the next time.
  uint64_t last_used = 0;
  dnnl::primitive primitive;
  memory operand[3];  // In the order of the pass's arguments; `weights` may be packed.
  memory scratchpad;
  dnnl_exec_arg_t args[4] = {};
  size_t scratchpad_size = 0;
  // Convolutions: how the weights get into the packed layout, or their gradient out of it.
  size_t packed_size = 0;
  dnnl::reorder repack;
  memory plain, packed;
};

// Held while a primitive is made, and over fork(): oneDNN keeps a list of those that somebody is
// making, and in a child that was forked meanwhile the next who needs one would wait for ever.
std::mutex g_making;

// The primitives of one thread: a small set-associative table, the oldest of a set is replaced.
class Cache {
 public:
  template <typename Make>
  Prepared& find(const Key& key, Make&& make) {
    Prepared* set = table_ + (key.hash() >> 32) % kSets * kWays;
    ++clock_;
    Prepared* oldest = set;
    for (Prepared* p = set; p != set + kWays; ++p) {
      if (p->key == key) {
        p->last_used = clock_;
        return *p;
      }
      if (p->last_used < oldest->last_used) oldest = p;
    }
    *oldest = Prepared();
    {
      std::lock_guard no_fork(g_making);
      make(*oldest);
    }
    oldest->key = key;  // Last: a failed creation leaves an empty place.
    oldest->last_used = clock_;
    return *oldest;
  }

 private:
  static constexpr size_t kSets = 64, kWays = 4;
  Prepared table_[kSets * kWays];
  uint64_t clock_ = 0;
};

struct ThreadState {
  dnnl::stream stream{engine()};
  Cache cache;
  Buffer scratchpad;
  Buffer packed;
};

ThreadState& thread_state() {
  thread_local std::unique_ptr<ThreadState> state;
  if (!state) state = std::make_unique<ThreadState>();
  return *state;
}

bool is_reference(const char* impl) { return std::strncmp(impl, "ref", 3) == 0; }

dnnl::primitive_attr plain_attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  // The environment may ask oneDNN for bfloat16 arithmetic inside float32 operations.
  attr.set_fpmath_mode(dnnl::fpmath_mode::strict);
  return attr;
}

void finish(Prepared& p, const memory::desc& scratchpad, const int (&names)[3]) {
  p.scratchpad_size = scratchpad.get_size();
  p.scratchpad = memory(scratchpad, engine(), nullptr);
  for (int i = 0; i < 3; ++i) p.args[i] = {names[i], p.operand[i].get()};
  p.args[3] = {DNNL_ARG_SCRATCHPAD, p.scratchpad.get()};
  p.supported = true;
}

void check(dnnl_status_t status, const char* what) {
  if (status != dnnl_success) throw dnnl::error(status, what);
}

int execute(ThreadState& state, Prepared& p, const void* a, const void* b, void* c) {
  const void* data[] = {a, b, c};
  for (int i = 0; i < 3; ++i) {
    check(dnnl_memory_set_data_handle(p.operand[i].get(), const_cast<void*>(data[i])), "operand");
  }
  std::unique_ptr<Buffer> large;
  if (p.scratchpad_size > 0) {
    const size_t size = p.scratchpad_size + kSlack;
    if (size > kKeepBytes) large = std::make_unique<Buffer>();
    void* scratch = (large ? *large : state.scratchpad).reserve(size);
    check(dnnl_memory_set_data_handle(p.scratchpad.get(), scratch), "scratchpad");
  }
  check(dnnl_primitive_execute(p.primitive.get(), state.stream.get(), 4, p.args), "execute");
  return FLOWBOOK_OK;
}

// Runs `body`, turning what it throws into a status. A shape oneDNN cannot do is no failure.
template <typename Body>
int guarded(const char* what, Body&& body) {
  try {
    OneThread one;
    return body();
  } catch (const dnnl::error& e) {
    std::snprintf(t_message, sizeof t_message, "oneDNN: %s: %s (status %d)", what, e.what(),
                  static_cast<int>(e.status));
    return e.status == dnnl_unimplemented ? FLOWBOOK_UNSUPPORTED : FLOWBOOK_FAILED;
  } catch (const std::exception& e) {
    std::snprintf(t_message, sizeof t_message, "oneDNN: %s: %s", what, e.what());
    return FLOWBOOK_FAILED;
  }
}

// As above while a primitive is made: "not available" is remembered in the table.
template <typename Body>
void unless_unimplemented(Body&& body) {
  try {
    body();
  } catch (const dnnl::error& e) {
    if (e.status != dnnl_unimplemented) throw;
  }
}

// ---- Matrix product -----------------------------------------------------------------------------

bool fits(int64_t rows, int64_t ld) { return ld <= kMaxElements / (rows > 0 ? rows : 1); }

int gemm(const flowbook_gemm* g, const void* a, const void* b, void* c) {
  if (g->dtype != FLOWBOOK_F32) return FLOWBOOK_UNSUPPORTED;
  if (!fits(g->trans_a ? g->k : g->m, g->lda) || !fits(g->trans_b ? g->n : g->k, g->ldb) ||
      !fits(g->m, g->ldc)) {
    return FLOWBOOK_UNSUPPORTED;
  }
  return guarded("matmul", [&] {
    ThreadState& state = thread_state();
    Key key;
    key.kind = Kind::kGemm;
    const int64_t parts[] = {g->m,   g->n,       g->k,       g->lda,       g->ldb,
                             g->ldc, g->trans_a, g->trans_b, g->accumulate};
    std::memcpy(key.v, parts, sizeof parts);
    Prepared& p = state.cache.find(key, [&](Prepared& made) {
      using Dims = memory::dims;
      const auto f32 = memory::data_type::f32;
      const memory::desc a_desc({g->m, g->k}, f32, g->trans_a ? Dims{1, g->lda} : Dims{g->lda, 1});
      const memory::desc b_desc({g->k, g->n}, f32, g->trans_b ? Dims{1, g->ldb} : Dims{g->ldb, 1});
      const memory::desc c_desc({g->m, g->n}, f32, Dims{g->ldc, 1});
      dnnl::primitive_attr attr = plain_attributes();
      if (g->accumulate) {
        dnnl::post_ops post;
        post.append_sum(1.0f);
        attr.set_post_ops(post);
      }
      unless_unimplemented([&] {
        const dnnl::matmul::primitive_desc desc(engine(), a_desc, b_desc, c_desc, attr);
        if (is_reference(desc.impl_info_str())) return;
        made.primitive = dnnl::matmul(desc);
        made.operand[0] = memory(a_desc, engine(), nullptr);
        made.operand[1] = memory(b_desc, engine(), nullptr);
        made.operand[2] = memory(c_desc, engine(), nullptr);
        finish(made, desc.scratchpad_desc(), {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST});
      });
    });
    if (!p.supported) return static_cast<int>(FLOWBOOK_UNSUPPORTED);
    return execute(state, p, a, b, c);
  });
}

// ---- Convolution --------------------------------------------------------------------------------

// The descriptors of a convolution; the weights' layout is oneDNN's choice except in `plain`.
struct ConvDescs {
  memory::desc x, weights, plain, y;
  memory::dims strides, dilates, pad_before, pad_after;

  explicit ConvDescs(const flowbook_conv2d& v) {
    const auto f32 = memory::data_type::f32;
    x = memory::desc({v.n, v.c, v.h, v.w}, f32, Tag::nhwc);
    y = memory::desc({v.n, v.o, v.oh, v.ow}, f32, Tag::nhwc);
    if (v.groups == 1) {
      const memory::dims d{v.o, v.c, v.kh, v.kw};
      weights = memory::desc(d, f32, Tag::any);
      plain = memory::desc(d, f32, Tag::hwio);
    } else {
      const memory::dims d{v.groups, v.o / v.groups, v.c / v.groups, v.kh, v.kw};
      const int64_t og = v.o / v.groups, cg = v.c / v.groups;
      weights = memory::desc(d, f32, Tag::any);
      plain = memory::desc(
          d, f32,
          memory::dims{og, 1, v.groups * og, v.kw * cg * v.groups * og, cg * v.groups * og});
      // d's strides: group, output, input, row, column of [kh, kw, c / groups, groups * og].
    }
    strides = {v.stride_h, v.stride_w};
    dilates = {v.dilation_h - 1, v.dilation_w - 1};
    pad_before = {v.pad_h, v.pad_w};
    // The end padding that makes the output size exact; negative where rows are left over.
    pad_after = {(v.oh - 1) * v.stride_h + (v.kh - 1) * v.dilation_h + 1 - v.h - v.pad_h,
                 (v.ow - 1) * v.stride_w + (v.kw - 1) * v.dilation_w + 1 - v.w - v.pad_w};
  }
};

Key conv_key(Kind kind, const flowbook_conv2d& v) {
  Key key;
  key.kind = kind;
  const int64_t parts[] = {v.n,          v.h,     v.w,     v.c,        v.kh,       v.kw,
                           v.o,          v.oh,    v.ow,    v.stride_h, v.stride_w, v.dilation_h,
                           v.dilation_w, v.pad_h, v.pad_w, v.groups};
  static_assert(sizeof parts == sizeof key.v);
  std::memcpy(key.v, parts, sizeof parts);
  return key;
}

bool conv_supported(const flowbook_conv2d& v) {
  if (v.dtype != FLOWBOOK_F32) return false;
  if (v.kh * v.kw <= 1) return false;  // A matrix product, and oneDNN's 1x1 kernels overrun.
  return fits(v.n * v.h * v.w, v.c) && fits(v.n * v.oh * v.ow, v.o) &&
         fits(v.kh * v.kw * v.c / v.groups, v.o) && v.n > 0 && v.c > 0 && v.o > 0 && v.oh > 0 &&
         v.ow > 0 && v.h > 0 && v.w > 0;
}

dnnl::convolution_forward::primitive_desc forward_desc(const ConvDescs& d) {
  return {engine(),
          dnnl::prop_kind::forward_training,
          dnnl::algorithm::convolution_direct,
          d.x,
          d.weights,
          d.y,
          d.strides,
          d.dilates,
          d.pad_before,
          d.pad_after,
          plain_attributes()};
}

Prepared& prepare_conv(ThreadState& state, Kind kind, const flowbook_conv2d& v) {
  return state.cache.find(conv_key(kind, v), [&](Prepared& made) {
    unless_unimplemented([&] {
      const ConvDescs d(v);
      const auto forward = forward_desc(d);
      const auto operands = [&](const memory::desc& first, const memory::desc& second,
                                const memory::desc& third) {
        made.operand[0] = memory(first, engine(), nullptr);
        made.operand[1] = memory(second, engine(), nullptr);
        made.operand[2] = memory(third, engine(), nullptr);
      };
      const auto packing = [&](const memory::desc& packed) {
        made.packed_size = packed.get_size();
        made.plain = memory(d.plain, engine(), nullptr);
        made.packed = memory(packed, engine(), nullptr);
        made.repack =
            dnnl::reorder(dnnl::reorder::primitive_desc(engine(), d.plain, engine(), packed));
      };
      if (kind == Kind::kForward) {
        if (is_reference(forward.impl_info_str())) return;
        made.primitive = dnnl::convolution_forward(forward);
        operands(d.x, forward.weights_desc(), d.y);
        packing(forward.weights_desc());
        finish(made, forward.scratchpad_desc(), {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST});
      } else if (kind == Kind::kBackwardData) {
        const dnnl::convolution_backward_data::primitive_desc desc(
            engine(), dnnl::algorithm::convolution_direct, d.x, d.weights, d.y, d.strides,
            d.dilates, d.pad_before, d.pad_after, forward, plain_attributes());
        if (is_reference(desc.impl_info_str())) return;
        made.primitive = dnnl::convolution_backward_data(desc);
        operands(d.y, desc.weights_desc(), d.x);
        packing(desc.weights_desc());
        finish(made, desc.scratchpad_desc(),
               {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC});
      } else {
        const dnnl::convolution_backward_weights::primitive_desc desc(
            engine(), dnnl::algorithm::convolution_direct, d.x, d.weights, d.y, d.strides,
            d.dilates, d.pad_before, d.pad_after, forward, plain_attributes());
        if (is_reference(desc.impl_info_str())) return;
        made.primitive = dnnl::convolution_backward_weights(desc);
        operands(d.x, d.y, desc.diff_weights_desc());
        made.packed_size = desc.diff_weights_desc().get_size();
        made.plain = memory(d.plain, engine(), nullptr);
        made.repack = dnnl::reorder(
            dnnl::reorder::primitive_desc(engine(), desc.diff_weights_desc(), engine(), d.plain));
        finish(made, desc.scratchpad_desc(),
               {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS});
      }
    });
  });
}

Kind kind_of(flowbook_conv_pass pass) {
  return pass == FLOWBOOK_CONV_FORWARD ? Kind::kForward : Kind::kBackwardData;
}

int64_t conv_packed_size(const flowbook_conv2d* conv, flowbook_conv_pass pass) {
  if (!conv_supported(*conv)) return -FLOWBOOK_UNSUPPORTED;
  int64_t size = 0;
  const int status = guarded("convolution", [&] {
    const Prepared& p = prepare_conv(thread_state(), kind_of(pass), *conv);
    size = static_cast<int64_t>(p.packed_size + kSlack);
    return p.supported ? FLOWBOOK_OK : FLOWBOOK_UNSUPPORTED;
  });
  return status == FLOWBOOK_OK ? size : -status;
}

int conv_pack(const flowbook_conv2d* conv, flowbook_conv_pass pass, const void* weights,
              void* packed) {
  if (!conv_supported(*conv)) return FLOWBOOK_UNSUPPORTED;
  return guarded("convolution weights", [&] {
    ThreadState& state = thread_state();
    Prepared& p = prepare_conv(state, kind_of(pass), *conv);
    if (!p.supported) return static_cast<int>(FLOWBOOK_UNSUPPORTED);
    p.plain.set_data_handle(const_cast<void*>(weights));
    p.packed.set_data_handle(packed);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, p.plain.get()}, {DNNL_ARG_TO, p.packed.get()}};
    check(dnnl_primitive_execute(p.repack.get(), state.stream.get(), 2, args), "reorder");
    return static_cast<int>(FLOWBOOK_OK);
  });
}

int conv_run(Kind kind, const flowbook_conv2d* conv, const void* a, const void* b, void* c) {
  if (!conv_supported(*conv)) return FLOWBOOK_UNSUPPORTED;
  return guarded("convolution", [&] {
    ThreadState& state = thread_state();
    Prepared& p = prepare_conv(state, kind, *conv);
    if (!p.supported) return static_cast<int>(FLOWBOOK_UNSUPPORTED);
    return execute(state, p, a, b, c);
  });
}

int conv_forward(const flowbook_conv2d* conv, const void* x, const void* packed, void* y) {
  return conv_run(Kind::kForward, conv, x, packed, y);
}

int conv_backward_data(const flowbook_conv2d* conv, const void* dy, const void* packed, void* dx) {
  return conv_run(Kind::kBackwardData, conv, dy, packed, dx);
}

int conv_backward_weights(const flowbook_conv2d* conv, const void* x, const void* dy,
                          void* dweights) {
  if (!conv_supported(*conv)) return FLOWBOOK_UNSUPPORTED;
  return guarded("convolution weights' gradient", [&] {
    ThreadState& state = thread_state();
    Prepared& p = prepare_conv(state, Kind::kBackwardWeights, *conv);
    if (!p.supported) return static_cast<int>(FLOWBOOK_UNSUPPORTED);
    void* packed = state.packed.reserve(p.packed_size + kSlack);
    execute(state, p, x, dy, packed);
    p.plain.set_data_handle(dweights);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, p.operand[2].get()},
                                    {DNNL_ARG_TO, p.plain.get()}};
    check(dnnl_primitive_execute(p.repack.get(), state.stream.get(), 2, args), "reorder");
    return static_cast<int>(FLOWBOOK_OK);
  });
}

const char* message() { return t_message; }

constexpr flowbook_provider kProvider = {
    FLOWBOOK_PROVIDER_VERSION,
    sizeof(flowbook_provider),
    "onednn",
    g_about,
    message,
    gemm,
    conv_packed_size,
    conv_pack,
    conv_forward,
    conv_backward_data,
    conv_backward_weights,
};

const char* isa_name(dnnl::cpu_isa isa) {
  switch (isa) {
    case dnnl::cpu_isa::sse41:
      return "SSE4.1";
    case dnnl::cpu_isa::avx:
      return "AVX";
    case dnnl::cpu_isa::avx2:
    case dnnl::cpu_isa::avx2_vnni:
    case dnnl::cpu_isa::avx2_vnni_2:
      return "AVX2";
    default:
      return isa == dnnl::cpu_isa::isa_default ? "baseline" : "AVX-512";
  }
}

// Finds the OpenMP functions among the libraries that libdnnl itself needs.
void bind_openmp() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&dnnl_version), &info) == 0) return;
  void* dnnl = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  if (dnnl == nullptr) return;
  g_omp.get_max_threads = reinterpret_cast<int (*)()>(dlsym(dnnl, "omp_get_max_threads"));
  g_omp.set_num_threads = reinterpret_cast<void (*)(int)>(dlsym(dnnl, "omp_set_num_threads"));
  if (g_omp.set_num_threads == nullptr) g_omp.get_max_threads = nullptr;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const flowbook_provider* flowbook_provider_get(
    uint32_t version, char* why, size_t why_size) {
  if (version != FLOWBOOK_PROVIDER_VERSION) {
    std::snprintf(why, why_size, "it speaks version %d of the contract, not %u",
                  FLOWBOOK_PROVIDER_VERSION, version);
    return nullptr;
  }
  try {
    const dnnl_version_t* v = dnnl_version();
    if (v->major != 3 || v->minor < 2) {
      std::snprintf(why, why_size, "oneDNN %d.%d was found, 3.2 or newer is needed", v->major,
                    v->minor);
      return nullptr;
    }
    if (v->cpu_runtime == DNNL_RUNTIME_OMP) bind_openmp();
    const bool one_thread = v->cpu_runtime == DNNL_RUNTIME_SEQ ||
                            v->cpu_runtime == DNNL_RUNTIME_THREADPOOL ||
                            g_omp.get_max_threads != nullptr;
    if (!one_thread) {
      std::snprintf(why, why_size, "this build of oneDNN cannot be kept to one thread");
      return nullptr;
    }
    pthread_atfork([] { g_making.lock(); }, [] { g_making.unlock(); }, [] { g_making.unlock(); });
    OneThread one;
    engine();
    std::snprintf(g_about, sizeof g_about, "oneDNN %d.%d.%d (%s)", v->major, v->minor, v->patch,
                  isa_name(dnnl::get_effective_cpu_isa()));
    return &kProvider;
  } catch (const std::exception& e) {
    std::snprintf(why, why_size, "%s", e.what());
    return nullptr;
  }
}
