// Chooses the instruction set of own_gemm.h.
#include "cpu/own_gemm.h"

#include "cpu/loops.h"

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

const OwnGemmTable& own_gemm() {
  static const OwnGemmTable& table = isa_name()[1] == '4'   ? v4::kOwnGemm
                                     : isa_name()[1] == '3' ? v3::kOwnGemm
                                                            : v2::kOwnGemm;
  return table;
}

#else
namespace base {
extern const OwnGemmTable kOwnGemm;
}
const OwnGemmTable& own_gemm() { return base::kOwnGemm; }
#endif

}  // namespace flowbook::cpu
