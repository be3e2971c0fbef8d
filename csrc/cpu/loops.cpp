// Chooses the loops of this machine's instruction set and puts the tables of the per-ISA units
// together.
#include "cpu/loops.h"

#include <cstdlib>
#include <cstring>

#include "core/dtype.h"
#include "cpu/isa/tables.h"

namespace flowbook::cpu {
namespace {

struct Chosen {
  const char* name;
  Loops loops;
};

void add_rows(Loops& l, Slot slot, const RowTable& table) {
  for (int code = 0; code < kCodeCount; ++code)
    if (table.row[code]) l.row[code][slot] = table.row[code];
}

Loops assemble(const RowTable* const (&rows)[8], const SuperTable& f32, const SuperTable& f64,
               const CastTable& casts, const FoldTable (&folds)[kSlots]) {
  constexpr Slot slots[8] = {kSlotF32,  kSlotF32, kSlotF64, kSlotF64,
                             kSlotBool, kSlotU8,  kSlotI32, kSlotI64};
  Loops l{};
  for (int i = 0; i < 8; ++i) add_rows(l, slots[i], *rows[i]);
  for (int i = 0; i < kSuperCount; ++i) l.super[i][0] = f32.loop[i], l.super[i][1] = f64.loop[i];
  std::memcpy(l.cast, casts.cast, sizeof l.cast);
  std::memcpy(l.copy, casts.copy, sizeof l.copy);
  std::memcpy(l.repeat, casts.repeat, sizeof l.repeat);
  for (int s = 0; s < kSlots; ++s) {
    const FoldTable& f = folds[s];
    l.sum[s] = f.sum, l.prod[s] = f.prod, l.max[s] = f.max, l.min[s] = f.min;
    l.argmax[s] = f.argmax, l.argmin[s] = f.argmin, l.any[s] = f.any, l.all[s] = f.all;
    l.sum_squares[s] = f.sum_squares;
    l.add_columns[s] = f.add_columns, l.mul_columns[s] = f.mul_columns;
    l.max_columns[s] = f.max_columns, l.min_columns[s] = f.min_columns;
  }
  for (int i = 0; i < 2; ++i) {
    const FoldTable& f = folds[i == 0 ? kSlotF32 : kSlotF64];
    l.sum_rows[i] = f.sum_rows, l.max_rows[i] = f.max_rows, l.min_rows[i] = f.min_rows;
    l.sum_squares_rows[i] = f.sum_squares_rows, l.dot_rows[i] = f.dot_rows;
    l.mul_add_columns[i] = f.mul_add_columns;
  }
  return l;
}

#define FLOWBOOK_ASSEMBLE(ISA)                                                            \
  Chosen {                                                                                \
    #ISA, assemble({&ISA::kUnaryF32, &ISA::kBinaryF32, &ISA::kUnaryF64, &ISA::kBinaryF64, \
                    &ISA::kBool, &ISA::kU8, &ISA::kI32, &ISA::kI64},                      \
                   ISA::kSuperF32, ISA::kSuperF64, ISA::kCasts, ISA::kFolds)              \
  }

Chosen choose() {
#if FLOWBOOK_ISA_X86
  const char* wish = std::getenv("FLOWBOOK_ISA");
  const auto wanted = [wish](const char* isa) { return !wish || std::strcmp(wish, isa) == 0; };
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4 && (wanted("v4") || !(wanted("v3") || wanted("v2")))) return FLOWBOOK_ASSEMBLE(v4);
  if (v3 && !(wish && std::strcmp(wish, "v2") == 0)) return FLOWBOOK_ASSEMBLE(v3);
  return FLOWBOOK_ASSEMBLE(v2);
#else
  return FLOWBOOK_ASSEMBLE(base);
#endif
}

const Chosen& chosen() {
  static const Chosen the_one = choose();
  return the_one;
}

}  // namespace

const Loops& loops() { return chosen().loops; }
const char* isa_name() { return chosen().name; }

int slot_of(DType t) {
  switch (t) {
    case DType::bool_:
      return kSlotBool;
    case DType::u8:
      return kSlotU8;
    case DType::i32:
      return kSlotI32;
    case DType::i64:
      return kSlotI64;
    case DType::f32:
      return kSlotF32;
    case DType::f64:
      return kSlotF64;
    default:
      return no_slot;
  }
}

static_assert(kDTypeCount == kDTypes && int(DType::bool_) == 0 && int(DType::u8) == 5 &&
                  int(DType::f16) == 9 && int(DType::f32) == 11 && int(DType::c128) == 14,
              "the cast tables of csrc/cpu/isa/casts.cpp follow the order of DType");

}  // namespace flowbook::cpu
