// Chooses the instruction set of own_gemm.h and pool_loops.h: the one that loops.h chose.
#include "cpu/own_gemm.h"

#include "cpu/loops.h"
#include "cpu/pool_loops.h"

namespace flowbook::cpu {

#define FLOWBOOK_TABLES(ISA)              \
  namespace ISA {                         \
  extern const OwnGemmTable kOwnGemm;     \
  extern const PoolTable kPoolTable;      \
  }
#if FLOWBOOK_ISA_X86
FLOWBOOK_TABLES(v2)
FLOWBOOK_TABLES(v3)
FLOWBOOK_TABLES(v4)
const OwnGemmTable& own_gemm() {
  static const char level = isa_name()[1];
  return level == '4' ? v4::kOwnGemm : level == '3' ? v3::kOwnGemm : v2::kOwnGemm;
}
const PoolTable& pool_loops() {
  static const char level = isa_name()[1];
  return level == '4' ? v4::kPoolTable : level == '3' ? v3::kPoolTable : v2::kPoolTable;
}
#else
FLOWBOOK_TABLES(base)
const OwnGemmTable& own_gemm() { return base::kOwnGemm; }
const PoolTable& pool_loops() { return base::kPoolTable; }
#endif
#undef FLOWBOOK_TABLES

}  // namespace flowbook::cpu
