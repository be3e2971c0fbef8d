// The contract between the CPU backend and the modules that multiply matrices for it.
//
// A provider is a shared library opened at run time. It exports one C function, named by
// FLOWBOOK_PROVIDER_ENTRY, and answers it with a table of functions. Every call works on raw
// pointers, runs on the calling thread alone, may run on many threads at once, and never lets an
// exception out: failures are status codes, with a text from `message`. Who splits work over
// threads, packs odd strides or picks the fall-back stands on the other side, in providers.cpp,
// linalg.cpp and conv_provider.cpp. This header is plain C, so that a provider can be built by
// anybody.
#ifndef FLOWBOOK_CPU_PROVIDER_H_
#define FLOWBOOK_CPU_PROVIDER_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Raised whenever a struct or a signature below changes its meaning.
#define FLOWBOOK_PROVIDER_VERSION 1
#define FLOWBOOK_PROVIDER_ENTRY "flowbook_provider_get"

enum {
  FLOWBOOK_OK = 0,
  FLOWBOOK_UNSUPPORTED = 1,  // This dtype, size or shape is not for this provider: ask another.
  FLOWBOOK_FAILED = 2,       // It should have worked; `message` says what went wrong.
};

enum { FLOWBOOK_F32 = 0, FLOWBOOK_F64 = 1 };

// C[m, n] = op(A)[m, k] op(B)[k, n], plus what C held where `accumulate` is set; row-major. A
// transposed operand is stored as [k, m] (or [n, k]); `ld*` are elements from row to row as stored.
typedef struct flowbook_gemm {
  int32_t dtype;
  int32_t trans_a, trans_b;
  int32_t accumulate;
  int64_t m, n, k;
  int64_t lda, ldb, ldc;
} flowbook_gemm;

// x[n, h, w, c] convolved with weights[kh, kw, c / groups, o] gives y[n, oh, ow, o], all dense.
// `pad_*` counts zeros before the first row and column; what is read past the end is zero too.
// A dilation of 1 means neighbouring taps.
typedef struct flowbook_conv2d {
  int32_t dtype;
  int32_t reserved;
  int64_t n, h, w, c;
  int64_t kh, kw, o;
  int64_t oh, ow;
  int64_t stride_h, stride_w;
  int64_t dilation_h, dilation_w;
  int64_t pad_h, pad_w;
  int64_t groups;
} flowbook_conv2d;

typedef enum flowbook_conv_pass {
  FLOWBOOK_CONV_FORWARD = 0,
  FLOWBOOK_CONV_BACKWARD_DATA = 1,
} flowbook_conv_pass;

typedef struct flowbook_provider {
  uint32_t version;  // FLOWBOOK_PROVIDER_VERSION of the provider's build.
  uint32_t size;     // sizeof(flowbook_provider), a guard against a half-updated installation.
  const char* name;
  const char* about;  // One line for people: library, version, instruction set.

  // The text of the last failure on this thread; valid until the next call on it.
  const char* (*message)(void);

  int (*gemm)(const flowbook_gemm* g, const void* a, const void* b, void* c);

  // Convolutions; all null where the provider has none. The weights of the first two passes are
  // packed once for all slices of a batch that have the same size: `conv_packed_size` says how
  // many bytes that takes (or a negative status), `conv_pack` fills them.
  int64_t (*conv_packed_size)(const flowbook_conv2d* conv, flowbook_conv_pass pass);
  int (*conv_pack)(const flowbook_conv2d* conv, flowbook_conv_pass pass, const void* weights,
                   void* packed);
  int (*conv_forward)(const flowbook_conv2d* conv, const void* x, const void* packed, void* y);
  int (*conv_backward_data)(const flowbook_conv2d* conv, const void* dy, const void* packed,
                            void* dx);
  // Writes the weights' gradient of this slice in the plain layout of `weights`.
  int (*conv_backward_weights)(const flowbook_conv2d* conv, const void* x, const void* dy,
                               void* dweights);
} flowbook_provider;

// Gives null where the provider cannot work on this machine, with the reason in `why`.
typedef const flowbook_provider* (*flowbook_provider_entry)(uint32_t version, char* why,
                                                            size_t why_size);

#ifdef __cplusplus
}
#endif

#endif  // FLOWBOOK_CPU_PROVIDER_H_
