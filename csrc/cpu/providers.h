// Finds the modules that multiply matrices and convolve, and chooses between them: for products
// oneDNN (float32) or Eigen where these are faster than our own loops, for convolutions oneDNN
// (float32) where it is faster. They are opened at the first use that is worth it, never at import;
// a module that cannot be opened is a fact for `fb.doctor()`, not an error.
#pragma once
#include <string>
#include <vector>

#include "core/export.h"
#include "cpu/provider.h"

namespace flowbook::cpu {

// Whether large products of floats go to a library: not from AVX2 on, where our own loops are as
// fast as the best (tests/benchmarks/NOTES.md, "Products with AVX2" and "AVX-512").
bool libraries_multiply();

// Runs one product on this thread: the first provider that can, or our own loops. Always succeeds.
void provide_gemm(const flowbook_gemm& g, const void* a, const void* b, void* c);

// The provider for convolutions of this dtype, or null: none fits, or it is switched off and not
// wanted `even_off`. Its functions may still refuse a shape.
const flowbook_provider* conv_provider(int32_t dtype, bool even_off = false);

struct ProviderFact {
  std::string name;    // "onednn"
  bool usable;         // loaded and not switched off
  std::string status;  // what it is, or why it is not used
  std::string path;    // of the module; empty if none was found
};
// In the order in which products ask them. Opens what was not opened yet.
FB_API std::vector<ProviderFact> provider_facts();

// Whether oneDNN may be used; starts as FLOWBOOK_DISABLE_ONEDNN says (unset, empty or "0": yes).
FB_API bool onednn_enabled();
FB_API void enable_onednn(bool on);

// A further folder to look for libdnnl in, such as the `lib` of the Python environment.
FB_API void add_library_folder(const std::string& folder);

}  // namespace flowbook::cpu
