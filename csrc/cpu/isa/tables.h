// What each unit of this folder exports, once per instruction set. Plain declarations only.
#pragma once
#include "cpu/loops.h"

namespace flowbook::cpu {

struct RowTable {
  Loop row[kCodeCount];
};
struct SuperTable {
  Loop loop[kSuperCount];
};
struct CastTable {
  Loop cast[kDTypeCount][kDTypeCount];
  Loop copy[5];
  Repeat repeat[4];
};
struct FoldTable {
  Fold sum, prod, max, min, argmax, argmin, any, all, sum_squares;
  RowsFold sum_rows, max_rows, min_rows, sum_squares_rows, dot_rows;
  ColumnFold add_columns, mul_columns, max_columns, min_columns;
  void (*mul_add_columns)(void* acc, const void* x, const void* y, int64_t n);
};

#define FLOWBOOK_ISA_TABLES(ISA)                                                              \
  namespace ISA {                                                                             \
  extern const RowTable kUnaryF32, kBinaryF32, kUnaryF64, kBinaryF64, kBool, kU8, kI32, kI64; \
  extern const SuperTable kSuperF32, kSuperF64;                                               \
  extern const CastTable kCasts;                                                              \
  extern const FoldTable kFolds[kSlots];                                                      \
  }
#ifdef FLOWBOOK_ISA
FLOWBOOK_ISA_TABLES(FLOWBOOK_ISA)
#elif FLOWBOOK_ISA_X86
FLOWBOOK_ISA_TABLES(v2)
FLOWBOOK_ISA_TABLES(v3)
FLOWBOOK_ISA_TABLES(v4)
#else
FLOWBOOK_ISA_TABLES(base)
#endif

}  // namespace flowbook::cpu
