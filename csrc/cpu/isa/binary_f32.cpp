// Rows of two float inputs, and the choice between two.
#include "cpu/isa/tables.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {
#include "cpu/scalar.h"
//
#include "cpu/isa/rows.h"
}  // namespace

const RowTable kBinaryF32 = {{
#define UNARY(NAME, ...) nullptr,
#define BINARY(NAME, ...) loop_of<NAME##_row, float, 2>(),
#define TERNARY(NAME, ...) loop_of<NAME##_row, float, 3>(),
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
}};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
