// Chooses the instruction set of own_gemm.h.
#include "cpu/own_gemm.h"

namespace flowbook::cpu {

#if FLOWBOOK_ISA_X86
namespace v2 {
extern const OwnGemmTable kOwnGemm;
}
namespace v3 {
extern const OwnGemmTable kOwnGemm;
}
namespace v4 {
extern const OwnGemmTable kOwnGemm;
}

namespace {
int level() {
  __builtin_cpu_init();
  static const int found = [] {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) return 2;
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    return avx512 ? 4 : 3;
  }();
  return found;
}
}  // namespace

const OwnGemmTable& own_gemm() {
  static const OwnGemmTable& table = level() == 4 ? v4::kOwnGemm : level() == 3 ? v3::kOwnGemm : v2::kOwnGemm;
  return table;
}
const char* isa_name() { return level() == 4 ? "v4" : level() == 3 ? "v3" : "v2"; }

#else
namespace base {
extern const OwnGemmTable kOwnGemm;
}
const OwnGemmTable& own_gemm() { return base::kOwnGemm; }
const char* isa_name() { return "base"; }
#endif

}  // namespace flowbook::cpu
