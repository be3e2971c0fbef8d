// Copying strided memory: what reshape, transposes and slices come down to when a dense result is
// needed.
#pragma once
#include "core/backend.h"

namespace flowbook::cpu {

// `from` (any strides; broadcast against `to`) into dense `to` of the same dtype.
void strided_copy(const Array& from, const Array& to);
// The general form: both sides with strides, in elements of `width` bytes.
void copy_window(const void* from, const int64_t* from_strides, void* to, const int64_t* to_strides,
                 const Shape& shape, int width);

// rows x cols numbers of `width` bytes (at most 8), the source's strides in numbers, to dense rows
// `to_row` numbers apart. On one thread: a tile of a transpose.
void copy_tile(const void* from, int64_t row_stride, int64_t col_stride, void* to, int64_t to_row,
               int64_t rows, int64_t cols, int width);

// Calls body(offsets of N arrays) for each row (all axes of `shape` but the last), rows [begin,
// end) of them.
template <int N, class Body>
void for_rows(const Shape& shape, const int64_t* const (&strides)[N], int64_t begin, int64_t end,
              Body&& body) {
  int64_t at[N] = {}, index[kMaxRank] = {};
  int64_t rest = begin;
  for (int i = shape.rank - 2; i >= 0; --i) {
    const int64_t size = shape[i].value();
    index[i] = rest % size;
    rest /= size;
    for (int k = 0; k < N; ++k) at[k] += index[i] * strides[k][i];
  }
  for (int64_t row = begin; row < end; ++row) {
    body(at);
    for (int i = shape.rank - 2; i >= 0; --i) {
      for (int k = 0; k < N; ++k) at[k] += strides[k][i];
      if (++index[i] < shape[i].value()) break;
      for (int k = 0; k < N; ++k) at[k] -= strides[k][i] * index[i];
      index[i] = 0;
    }
  }
}
// Number of such rows.
inline int64_t rows_of(const Shape& shape) {
  int64_t n = 1;
  for (int i = 0; i + 1 < shape.rank; ++i) n *= shape[i].value();
  return n;
}

// Joins neighbouring axes that all N arrays step through evenly, and drops axes of size one: fewer,
// longer rows.
template <int N>
Shape join_axes(const Shape& shape, int64_t (&strides)[N][kMaxRank]) {
  Shape out;
  for (int i = 0; i < shape.rank; ++i) {
    const int64_t n = shape[i].value();
    if (n == 1) continue;
    const int last = out.rank - 1;
    bool joins = last >= 0;
    for (int k = 0; joins && k < N; ++k) joins = strides[k][last] == strides[k][i] * n;
    if (joins) {
      out[last] = out[last] * Dim(n);
      for (int k = 0; k < N; ++k) strides[k][last] = strides[k][i];
    } else {
      for (int k = 0; k < N; ++k) strides[k][out.rank] = strides[k][i];
      out.push_back(n);
    }
  }
  if (out.rank == 0) {
    for (int k = 0; k < N; ++k) strides[k][0] = 0;
    out.push_back(1);
  }
  return out;
}

}  // namespace flowbook::cpu
