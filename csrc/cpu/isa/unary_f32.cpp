// Rows of one float input.
#include "cpu/isa/tables.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {
#include "cpu/scalar.h"
//
#include "cpu/isa/rows.h"
}  // namespace

const RowTable kUnaryF32 = {{
#define UNARY(NAME, ...) loop_of<NAME##_row, float, 1>(),
#define BINARY(NAME, ...) nullptr,
#define TERNARY(NAME, ...) nullptr,
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
}};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
