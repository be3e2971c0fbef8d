// Rows of one double input.
#include "cpu/isa/tables.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {
#include "cpu/scalar.h"
//
#include "cpu/isa/rows.h"
}  // namespace

const RowTable kUnaryF64 = {{
#define UNARY(NAME, ...) loop_of<NAME##_row, double, 1>(),
#define BINARY(NAME, ...) nullptr,
#define TERNARY(NAME, ...) nullptr,
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
}};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
