// Our own matrix product, compiled per instruction set: for all products where there is no faster
// library (providers.h), and everywhere for small ones, vectors and integers. Takes any strides;
// one thread; how an element is summed depends on sizes only. Plain declarations only: this header
// is included by the per-ISA units.
#pragma once
#include <stdint.h>

namespace flowbook::cpu {

// c[m, n] = a[m, k] b[k, n], plus what c held where `accumulate`. Strides in elements; c's rows are
// dense.
struct OwnGemm {
  int64_t m, n, k;
  const void* a;
  int64_t a_row, a_col;
  const void* b;
  int64_t b_row, b_col;
  void* c;
  int64_t ldc;
  bool accumulate;
  void* scratch;                 // kOwnGemmScratch bytes where `own_gemm_wants_scratch`, or null
  const void* panels = nullptr;  // all of b as `pack` leaves it, or null: it is packed on the way
  const void* tiles = nullptr;   // all of a as `pack_left` leaves it, or null
};

// A block of a, packed: 264 KB, about half of most second caches, so that the panels of b of a
// block of 256 rows are packed once.
inline constexpr int64_t kOwnGemmScratch = 264 * 1024 + 64;
// Packing pays where a block of a meets many panels of b (measured: 16 of them), or half as many
// if a is transposed and its columns are 1 KB apart and more, which few of them in a cache bear.
inline bool own_gemm_wants_scratch(int64_t m, int64_t n, int64_t a_row, int64_t a_col,
                                   int64_t element_size) {
  const bool scattered = a_row == 1 && a_col * element_size >= 1024;
  return m >= 24 && n * element_size >= (scattered ? 512 : 1024);
}

using OwnGemmFunction = void (*)(const OwnGemm&);

// A right operand b[k, n], packed once for several left ones: panels of columns, k deep.
struct OwnPanels {
  int64_t k, n;
  const void* b;
  int64_t b_row, b_col;
  void* to;  // own_panels_size(k, n) elements
};
inline int64_t own_panels_size(int64_t k, int64_t n) { return k * ((n + 31) / 32 * 32); }

// A left operand a[m, k], packed once for several right ones: all tiles for some of the terms, then
// for those that follow. Pieces of kOwnTilesDepth terms may be packed at once.
struct OwnTiles {
  int64_t m, k;
  const void* a;
  int64_t a_row, a_col;
  void* to;  // own_tiles_size(m, k) elements
};
inline constexpr int64_t kOwnTilesDepth = 512;
// Where the tiles from term p on lie. Behind a piece is what packing may write past its end.
inline int64_t own_tiles_at(int64_t m, int64_t p) { return p * m + p / kOwnTilesDepth * 16; }
inline int64_t own_tiles_size(int64_t m, int64_t k) { return own_tiles_at(m, k + kOwnTilesDepth); }

// to[j, i] = from[i, j]; columns of both are dense.
struct OwnTurn {
  int64_t rows, columns;  // of `from`
  const void* from;
  int64_t from_row;
  void* to;
  int64_t to_row;
};

// Which parts of a product count, for triangles: of row i the columns from i + column_begin on, and
// of its sum the terms from i + k_begin to i + k_end. A tile of up to kOwnTileRows rows takes the
// terms that any of its rows has, so that the others must be zeros there, and may write columns
// that none of them needs; tiles without any column are not written at all. `exact`: each row takes
// its own terms only, for factors that make NaN even of zeros; slower, the same bits.
struct OwnBand {
  int64_t column_begin = -(int64_t{1} << 40), k_begin = -(int64_t{1} << 40),
          k_end = int64_t{1} << 40;
  bool exact = false;
};
inline constexpr int64_t kOwnTileRows = 8;

// c[m, n] = a[m, k] b[k, n], plus what c held where `accumulate`.
struct OwnPanelProduct {
  int64_t m, n, k;
  const void* a;
  int64_t a_row, a_col;
  const void* panels;
  void* c;
  int64_t ldc;
  bool accumulate;
  OwnBand band = {};
};

struct OwnGemmTable {
  OwnGemmFunction f32, f64, i8, i16, i32, i64;  // integers wrap around, signed or not
  void (*pack[2])(const OwnPanels&);            // float32 and float64
  void (*pack_left[2])(const OwnTiles&);
  void (*turn[2])(const OwnTurn&);
  void (*multiply_panels[2])(const OwnPanelProduct&);
};

// For this machine's instruction set.
const OwnGemmTable& own_gemm();

}  // namespace flowbook::cpu
