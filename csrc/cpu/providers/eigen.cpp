// The provider that is always there: Eigen's matrix product, float32 and float64.
//
// The build makes one module of this file per instruction set. Eigen's inline templates carry the
// same names in each, so they must never meet in one library: every symbol but the entry point is
// hidden, and the loader opens exactly one of them. No convolutions: our own loops do them.
#include <cstdio>
#include <exception>

#define EIGEN_DONT_PARALLELIZE
#define EIGEN_MPL2_ONLY
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes its own AVX-512 header for a reader of uninitialised values.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>

#include "cpu/provider.h"

#define FLOWBOOK_TEXT_(x) #x
#define FLOWBOOK_TEXT(x) FLOWBOOK_TEXT_(x)
#ifndef FLOWBOOK_ISA
#define FLOWBOOK_ISA base
#endif

namespace {

thread_local char t_message[256] = "";

template <typename T, int Order>
using Stored = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order>, 0,
                          Eigen::OuterStride<>>;
template <typename T>
using Result = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0,
                          Eigen::OuterStride<>>;

template <typename T, int OrderA, int OrderB>
void multiply(const flowbook_gemm& g, const void* a, const void* b, void* c) {
  const Stored<T, OrderA> ma(static_cast<const T*>(a), g.m, g.k, Eigen::OuterStride<>(g.lda));
  const Stored<T, OrderB> mb(static_cast<const T*>(b), g.k, g.n, Eigen::OuterStride<>(g.ldb));
  Result<T> mc(static_cast<T*>(c), g.m, g.n, Eigen::OuterStride<>(g.ldc));
  if (g.accumulate) {
    mc.noalias() += ma * mb;
  } else {
    mc.noalias() = ma * mb;
  }
}

// A transposed row-major matrix is a column-major one: the flags choose the maps, nothing moves.
template <typename T>
void multiply(const flowbook_gemm& g, const void* a, const void* b, void* c) {
  constexpr int kRow = Eigen::RowMajor, kCol = Eigen::ColMajor;
  if (g.trans_a) {
    g.trans_b ? multiply<T, kCol, kCol>(g, a, b, c) : multiply<T, kCol, kRow>(g, a, b, c);
  } else {
    g.trans_b ? multiply<T, kRow, kCol>(g, a, b, c) : multiply<T, kRow, kRow>(g, a, b, c);
  }
}

int gemm(const flowbook_gemm* g, const void* a, const void* b, void* c) {
  try {
    switch (g->dtype) {
      case FLOWBOOK_F32:
        multiply<float>(*g, a, b, c);
        return FLOWBOOK_OK;
      case FLOWBOOK_F64:
        multiply<double>(*g, a, b, c);
        return FLOWBOOK_OK;
      default:
        return FLOWBOOK_UNSUPPORTED;
    }
  } catch (const std::exception& e) {  // Eigen allocates its packing buffers.
    std::snprintf(t_message, sizeof t_message, "eigen: %s", e.what());
    return FLOWBOOK_FAILED;
  }
}

const char* message() { return t_message; }

constexpr flowbook_provider kProvider = {
    FLOWBOOK_PROVIDER_VERSION,
    sizeof(flowbook_provider),
    "eigen",
    "Eigen " FLOWBOOK_TEXT(EIGEN_WORLD_VERSION) "." FLOWBOOK_TEXT(
        EIGEN_MAJOR_VERSION) "." FLOWBOOK_TEXT(EIGEN_MINOR_VERSION) " (" FLOWBOOK_TEXT(FLOWBOOK_ISA) ")",
    message,
    gemm,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const flowbook_provider* flowbook_provider_get(
    uint32_t version, char* why, size_t why_size) {
  if (version == FLOWBOOK_PROVIDER_VERSION) return &kProvider;
  std::snprintf(why, why_size, "it speaks version %d of the contract, not %u",
                FLOWBOOK_PROVIDER_VERSION, version);
  return nullptr;
}
