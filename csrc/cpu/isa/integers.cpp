// Rows of integers and booleans.
#include "cpu/isa/tables.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {
#include "cpu/scalar.h"
//
#include "cpu/isa/rows.h"

template <class T>
constexpr RowTable rows() {
  return {{
#define UNARY(NAME, ...) loop_of<NAME##_row, T, 1>(),
#define BINARY(NAME, ...) loop_of<NAME##_row, T, 2>(),
#define TERNARY(NAME, ...) loop_of<NAME##_row, T, 3>(),
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  }};
}
}  // namespace

const RowTable kBool = rows<bool>();
const RowTable kU8 = rows<uint8_t>();
const RowTable kI32 = rows<int32_t>();
const RowTable kI64 = rows<int64_t>();

}  // namespace flowbook::cpu::FLOWBOOK_ISA
