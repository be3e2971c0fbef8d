// What runs a fused program: the state of a thread at some rows.
#pragma once
#include <cstring>

#include "cpu/fused.h"

namespace flowbook::cpu {

// The results of a row's blocks, joined as a binary counter would: the order of Loops::sum.
struct FusedCpu::Counter {
  void add(ColumnFold join, const char* value, int width) {
    char current[8];
    memcpy(current, value, size_t(width));
    for (int64_t bit = ++count; (bit & 1) == 0; bit >>= 1) {
      join(pending[--depth], current, 1);
      memcpy(current, pending[depth], size_t(width));
    }
    memcpy(pending[depth++], current, size_t(width));
  }
  void end(ColumnFold join, char* to, int width) {
    while (depth > 1) --depth, join(pending[depth - 1], pending[depth], 1);
    memcpy(to, pending[0], size_t(width));
    depth = 0, count = 0;
  }
  alignas(8) char pending[48][8];
  int64_t count = 0;
  int depth = 0;
};

// What a thread needs to compute some rows.
struct FusedCpu::Frame {
  void* const* in;
  void* const* out;
  char* workspace;
  const FusedBlock* given;  // or null
  char *blocks, *sets, *row_slots;
  int64_t row = 0, rows = 0;           // the set
  int64_t apart = 1;                   // so many of its rows are blocks of their own
  int64_t first_col = 0, end_col = 0;  // its columns
  Operand at[kMaxRegisters];           // registers as elements of the first block read them,
  int64_t step[kMaxRegisters];         // and how many bytes further those of the next row do
  char* rows_at[kMaxRegisters];        // row values of the set, dense
  char* base[kMaxRegisters];           // regular sets: where registers are in row 0
  Counter counters[kMaxRowFolds];
};

}  // namespace flowbook::cpu
