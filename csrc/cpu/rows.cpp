// Chooses the row loops of the instruction set in use.
#include "cpu/rows.h"

#include <cstring>

#include "cpu/loops.h"

namespace flowbook::cpu {

#define DECLARE(ISA)            \
  namespace ISA {               \
  void fill_rows(RowLoops& r);  \
  void fill_steps(RowLoops& r); \
  }
#if FLOWBOOK_ISA_X86
DECLARE(v2)
DECLARE(v3)
DECLARE(v4)
#else
DECLARE(base)
#endif
#undef DECLARE

const RowLoops& row_loops() {
  static const RowLoops loops = [] {
    RowLoops r;
#if FLOWBOOK_ISA_X86
    const char* name = isa_name();
    if (!std::strcmp(name, "v4"))
      v4::fill_rows(r), v4::fill_steps(r);
    else if (!std::strcmp(name, "v3"))
      v3::fill_rows(r), v3::fill_steps(r);
    else
      v2::fill_rows(r), v2::fill_steps(r);
#else
    base::fill_rows(r), base::fill_steps(r);
#endif
    return r;
  }();
  return loops;
}

}  // namespace flowbook::cpu
