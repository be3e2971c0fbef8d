// Cuts a product into blocks and sends each to a provider or to our own loops.
#include "cpu/gemm.h"

#include <algorithm>
#include <memory>
#include <span>

#include "cpu/own_gemm.h"
#include "cpu/providers.h"
#include "cpu/rounding.h"

namespace flowbook::cpu {
namespace {

// Up to `most` blocks of at least `work` multiplications.
struct Fineness {
  int64_t most, work;
};

// Up to this many multiplications our own loops are as fast as a call into oneDNN or faster
// (measured: a call costs 0.4 us; 64^3 takes 2.1 us here and 2.4 there), less where they have to
// transpose b.
constexpr int64_t kSmall = 64 * 64 * 64, kSmallTransposed = 32 * 32 * 32;
// Up to here our own loops, which read b once, beat any library.
constexpr int64_t kFewRows = 2;

// How a product is cut where a library multiplies: each block packs its operands anew in there, so
// few large ones are best (1024^3 on two threads of Zen 5: 2 blocks 485 GFLOP/s, 8 blocks 458, 64
// blocks 412), but uneven threads and many cores want more.
constexpr Fineness kLibraryBlocks[] = {{4, int64_t{1} << 20}, {64, int64_t{1} << 27}};
constexpr int64_t kLibraryEdge = 64;  // blocks end on multiples of this: only the last is ragged
// Our own loops pack b only, once for 192 rows; smaller blocks lose little.
constexpr Fineness kOwnBlocks[] = {
    {4, int64_t{1} << 19}, {16, int64_t{1} << 22}, {64, int64_t{1} << 26}};
// Blocks of whole tiles, and where that makes them little higher, of as many rows as programs add
// up at a time, so that what follows in the blocks may sum columns.
constexpr int64_t kOwnRowEdge = 4, kOwnColumnEdge = 16;
constexpr int64_t kSummedRows[] = {128, 64, 32, kOwnRowEdge};
constexpr int64_t kLittleHigher = 16;  // a sixteenth
// Rows of a block share the packing of b, and its columns the reading of a: shorter sides than
// kGoodSide are worth it only where threads would have nothing to do. Columns cost less than rows
// where a's rows are dense: down to kMinColumns nothing (128x128x256 in 2x2 blocks 91 GFLOP/s, in
// 1x4 96).
constexpr int64_t kMinSide = 64, kGoodSide = 128, kMinColumns = 32;
constexpr int64_t kMaxBlocks = 64;

constexpr int64_t kStreamBytes =
    256 * 1024;  // of b per block, where each of its elements is used a few times only
constexpr int64_t kStreamColumns = 384;  // a few times what own_gemm.cpp sums in registers
// Products with few rows and columns but long sums are cut along k, and the parts added in order,
// some rows at a time. Our own loops read their operands once then, end to end: worth it for
// gradients of weights, four times as deep as wide, as long as the second cache holds the results.
constexpr int64_t kMaxParts = 8, kMinDepth = 512;
constexpr int64_t kDeep = 4, kMostAdded = 256 << 10, kAddedRows = 64;
// Of a product with such a long sum and one long side, the operand of the short side is packed once
// and the other one streamed past it, in stripes: many of them, so that threads that are not
// equally fast are done together.
constexpr int64_t kLongSide = 256, kStripes = 16, kNarrowStripe = 32, kWideStripe = 64;
constexpr int64_t kMostTiles = 4 << 20;  // bytes of the packed one
// Where blocks lie below each other, b is packed once for all of them by our own loops: from so
// many elements on that the blocks would pack again (20 us, where a phase more costs 3), up to so
// many bytes.
constexpr int64_t kPackedAgain = 64 << 10, kMostPanels = 1 << 20;
constexpr int64_t kPanelsTogether = 32;  // columns that are packed by one thread

// a * b * c, or a large number where that overflows.
int64_t product(int64_t a, int64_t b, int64_t c) {
  int64_t ab, abc;
  if (__builtin_mul_overflow(a, b, &ab) || __builtin_mul_overflow(ab, c, &abc)) return INT64_MAX;
  return abc;
}

const void* at(const void* p, int64_t elements, DType t) {
  return static_cast<const char*>(p) + elements * size_of(t);
}
void* at(void* p, int64_t elements, DType t) {
  return static_cast<char*>(p) + elements * size_of(t);
}

// Kept by each thread, beside the memory that is planned and limited, as a library's would be.
void* own_scratch() {
  struct alignas(64) Scratch {
    char bytes[kOwnGemmScratch];
  };
  thread_local std::unique_ptr<Scratch> scratch;
  if (!scratch) scratch.reset(new Scratch);
  return scratch.get();
}

void own(const Gemm& g) {
  OwnGemm o{g.m,     g.n,     g.k, g.a,   g.a_row,      g.a_col, g.b,
            g.b_row, g.b_col, g.c, g.ldc, g.accumulate, nullptr};
  if (!g.tiles && own_gemm_wants_scratch(g.m, g.n, g.a_row, g.a_col, size_of(g.dtype)))
    o.scratch = own_scratch();
  o.panels = g.panels, o.tiles = g.tiles;
  const OwnGemmTable& table = own_gemm();
  switch (g.dtype) {
    case DType::f32:
      return table.f32(o);
    case DType::f64:
      return table.f64(o);
    case DType::i8:
    case DType::u8:
      return table.i8(o);
    case DType::i16:
    case DType::u16:
      return table.i16(o);
    case DType::i32:
    case DType::u32:
      return table.i32(o);
    case DType::i64:
    case DType::u64:
      return table.i64(o);
    default:
      internal_error("gemm: no loops for ", short_name(g.dtype), ".");
  }
}

// How an operand is stored: as it is, transposed, or neither.
enum class Stored { kPlain, kTransposed, kScattered };
Stored stored(int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride, int64_t* ld) {
  if ((col_stride == 1 || cols <= 1) && (rows <= 1 || row_stride >= std::max<int64_t>(cols, 1))) {
    *ld = rows <= 1 ? std::max<int64_t>(cols, 1) : row_stride;
    return Stored::kPlain;
  }
  if ((row_stride == 1 || rows <= 1) && (cols <= 1 || col_stride >= std::max<int64_t>(rows, 1))) {
    *ld = cols <= 1 ? std::max<int64_t>(rows, 1) : col_stride;
    return Stored::kTransposed;
  }
  return Stored::kScattered;
}

void block(const Gemm& g, bool provider) {
  if (provider) {
    flowbook_gemm p{};
    p.dtype = g.dtype == DType::f32 ? FLOWBOOK_F32 : FLOWBOOK_F64;
    p.m = g.m, p.n = g.n, p.k = g.k, p.ldc = g.ldc;
    p.accumulate = g.accumulate;
    const Stored a = stored(g.m, g.k, g.a_row, g.a_col, &p.lda),
                 b = stored(g.k, g.n, g.b_row, g.b_col, &p.ldb);
    if (a != Stored::kScattered && b != Stored::kScattered) {
      p.trans_a = a == Stored::kTransposed, p.trans_b = b == Stored::kTransposed;
      return provide_gemm(p, g.a, g.b, g.c);
    }
  }
  own(g);
}

struct Bounds {
  int64_t row_begin, row_end, col_begin, col_end;
};
Bounds bounds(const Gemm& g, const GemmGrid& grid, int64_t i) {
  const int64_t row = i / grid.cols * grid.row_step, col = i % grid.cols * grid.col_step;
  return {row, std::min(g.m, row + grid.row_step), col, std::min(g.n, col + grid.col_step)};
}

// Elements of the panels of each column of blocks.
int64_t panels_size(const Gemm& g, const GemmGrid& grid) {
  return own_panels_size(g.k, grid.col_step);
}

Gemm part_of(const Gemm& g, const GemmGrid& grid, const Bounds& b) {
  Gemm part = g;
  part.m = b.row_end - b.row_begin, part.n = b.col_end - b.col_begin;
  part.a = at(g.a, b.row_begin * g.a_row, g.dtype);
  part.b = at(g.b, b.col_begin * g.b_col, g.dtype);
  part.c = at(g.c, b.row_begin * g.ldc + b.col_begin, g.dtype);
  if (g.panels)
    part.panels = at(g.panels, b.col_begin / grid.col_step * panels_size(g, grid), g.dtype);
  return part;
}

// How many blocks keep the threads of this process busy: a constant, so that a plan and its kernels
// cut alike. The bits of our own products don't depend on the cut.
int64_t blocks_for_threads() {
  static const int64_t blocks = std::max<int64_t>(kOwnBlocks[0].most, 2 * usual_threads());
  return blocks;
}

bool is_float(DType t) { return t == DType::f32 || t == DType::f64; }

// Whether a library multiplies large matrices of this dtype.
bool by_library(DType t) { return is_float(t) && libraries_multiply(); }

bool deep(const Gemm& g) {
  return g.k >= 2 * kMinDepth && g.k / kDeep >= std::max(g.m, g.n) &&
         product(g.m, g.n, size_of(g.dtype)) <= kMostAdded;
}

// The product, or its transpose, so that its rows are the short side.
Gemm lying(const Gemm& g) {
  if (g.m <= g.n) return g;
  Gemm t = g;
  t.m = g.n, t.n = g.m;
  t.a = g.b, t.a_row = g.b_col, t.a_col = g.b_row;
  t.b = g.a, t.b_row = g.a_col, t.b_col = g.a_row;
  return t;
}

// Cuts a deep product with one long side into stripes of it.
bool cut_stripes(GemmGrid& grid, const Gemm& g) {
  const int64_t side = std::max(g.m, g.n), other = std::min(g.m, g.n);
  if (side < kLongSide || other < kMinSide) return false;
  if (product(other, g.k, size_of(g.dtype)) > kMostTiles) return false;
  int64_t step =
      std::clamp(round_up(ceil_div(side, kStripes), kOwnColumnEdge), kNarrowStripe, kWideStripe);
  while (side % step == 1) step += kOwnColumnEdge;  // never one column of several (own_gemm.h)
  grid.stripes = true;
  if (g.m > g.n)
    grid.row_step = step, grid.rows = ceil_div(side, step);
  else
    grid.col_step = step, grid.cols = ceil_div(side, step);
  return true;
}

// Cuts sums of k terms into up to `most` parts.
void cut_depth(GemmGrid& grid, int64_t k, int64_t most) {
  const int64_t parts = std::min({kMaxParts, k / kMinDepth, most});
  if (parts <= 1) return;
  grid.k_step = round_up(ceil_div(k, parts), kLibraryEdge);
  grid.k_parts = ceil_div(k, grid.k_step);
}

}  // namespace

int64_t gemm_block_work() { return (libraries_multiply() ? kLibraryBlocks : kOwnBlocks)[0].work; }

bool provider_takes(int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride) {
  int64_t ld;
  return stored(rows, cols, row_stride, col_stride, &ld) != Stored::kScattered;
}

bool wants_provider(const Gemm& g) {
  if (!by_library(g.dtype)) return false;
  if (g.k == 0 || g.m <= kFewRows || g.n == 1) return false;
  return product(g.m, g.n, g.k) > (g.b_col == 1 ? kSmall : kSmallTransposed);
}

GemmGrid gemm_grid(const Gemm& g, bool by_depth) {
  if (g.m == 0 || g.n == 0) return {0, 0, 0, 0, 1, g.k};
  GemmGrid grid{1, 1, g.m, g.n, 1, g.k};
  const int64_t work = product(g.m, g.n, std::max<int64_t>(g.k, 1));
  if (g.m <= kFewRows || g.n == 1) {  // bound by reading the matrix: b's columns, or a's rows
    const int64_t parts =
        std::min(kMaxBlocks, product(std::max(g.m, g.n), g.k, size_of(g.dtype)) / kStreamBytes);
    if (parts <= 1) return grid;
    int64_t& step = g.n == 1 ? grid.row_step : grid.col_step;
    const int64_t side = g.n == 1 ? g.m : g.n;
    // b's rows are read in long stretches; where b is transposed its columns are.
    const int64_t edge = g.n == 1 || g.b_col != 1 ? 16 : kStreamColumns;
    step = round_up(ceil_div(side, parts), edge);
    while (g.n > 1 && side % step == 1) step += edge;  // never one column of several (own_gemm.h)
    (g.n == 1 ? grid.rows : grid.cols) = ceil_div(side, step);
    return grid;
  }
  const bool library = by_library(g.dtype);
  const std::span<const Fineness> kinds =
      library ? std::span<const Fineness>(kLibraryBlocks) : std::span<const Fineness>(kOwnBlocks);
  int64_t wanted = 1;
  for (const Fineness& b : kinds) wanted = std::max(wanted, std::min(b.most, work / b.work));
  if (wanted <= 1) return grid;
  by_depth = by_depth && !g.accumulate && is_float(g.dtype);
  if (by_depth && !library && deep(g)) {
    if (cut_stripes(grid, g)) return grid;
    cut_depth(grid, g.k, kMaxParts);
    if (g.m >= 2 * kAddedRows) grid.row_step = kAddedRows, grid.rows = ceil_div(g.m, kAddedRows);
    return grid;
  }
  const int64_t busy = library ? kMaxBlocks : blocks_for_threads();
  // Where b is packed for all blocks its rows cost little, and what follows a product in its blocks
  // goes fastest through whole rows.
  const bool shared =
      !library && is_float(g.dtype) && product(g.k, g.n, size_of(g.dtype)) <= kMostPanels;
  while (grid.blocks() < wanted) {
    const int64_t height = ceil_div(g.m, grid.rows), width = ceil_div(g.n, grid.cols);
    const bool idle = grid.blocks() < busy;
    const int64_t least = idle ? kMinSide : kGoodSide,
                  least_columns = idle && !library && g.a_col == 1 ? kMinColumns : least;
    const bool by_rows = height >= 2 * least, by_cols = width >= 2 * least_columns;
    if (!by_rows && !by_cols) break;
    // Rows rather than columns in a library, which packs columns of b but mostly not rows of a.
    const bool tall = library  ? height * 4 >= width
                      : shared ? height >= 2 * kGoodSide
                               : height >= std::max(width, 2 * kGoodSide);
    if (by_rows && (!by_cols || tall))
      grid.rows *= 2;
    else
      grid.cols *= 2;
  }
  const int64_t height = ceil_div(g.m, grid.rows);
  const int64_t row_edge =
      library ? kLibraryEdge
              : *std::find_if(std::begin(kSummedRows), std::end(kSummedRows) - 1, [&](int64_t e) {
                  return round_up(height, e) - height <= height / kLittleHigher;
                });
  const int64_t col_edge = library ? kLibraryEdge : kOwnColumnEdge;
  grid.row_step = grid.rows == 1 ? g.m : round_up(height, row_edge);
  // A row or two are not worth reading b again.
  while (g.m % grid.row_step > 0 && g.m % grid.row_step <= kFewRows)
    grid.row_step += library ? kLibraryEdge : kOwnRowEdge;
  grid.col_step = grid.cols == 1 ? g.n : round_up(ceil_div(g.n, grid.cols), col_edge);
  // One column is summed in another order (own_gemm.h), which must not depend on the cut.
  while (g.n > 1 && g.n % grid.col_step == 1) grid.col_step += col_edge;
  grid.rows = ceil_div(g.m, grid.row_step), grid.cols = ceil_div(g.n, grid.col_step);
  if (grid.blocks() == 1 && by_depth) cut_depth(grid, g.k, work / kinds[0].work);
  return grid;
}

namespace {

// Bytes of b, packed for all blocks; 0 where each block packs for itself. A product with too few
// blocks for all threads shares its job with others rather than the packing of b.
int64_t shared_panels(const Gemm& g, const GemmGrid& grid) {
  if (!is_float(g.dtype) || grid.rows < 2 || grid.blocks() < blocks_for_threads()) return 0;
  if (wants_provider(g) || product(grid.rows - 1, g.k, g.n) < kPackedAgain) return 0;
  const int64_t bytes = product(grid.cols, panels_size(g, grid), size_of(g.dtype));
  return bytes <= kMostPanels ? bytes : 0;
}

void pack_panels(const Gemm& g, const GemmGrid& grid, void* to) {
  const auto pack = own_gemm().pack[g.dtype == DType::f64];
  const int64_t pieces = ceil_div(grid.col_step, kPanelsTogether);
  parallel_for(grid.cols * pieces, [&](int64_t i) {
    const int64_t stripe = i / pieces, first = i % pieces * kPanelsTogether,
                  col = stripe * grid.col_step + first;
    const int64_t end = std::min({col + kPanelsTogether, (stripe + 1) * grid.col_step, g.n});
    if (end > col)
      pack({g.k, end - col, at(g.b, col * g.b_col, g.dtype), g.b_row, g.b_col,
            at(to, stripe * panels_size(g, grid) + first * g.k, g.dtype)});
  });
}

}  // namespace

int64_t gemm_workspace(const Gemm& g) {
  const GemmGrid grid = gemm_grid(g);
  if (grid.k_parts > 1) return product(grid.k_parts - 1, g.m * g.n, size_of(g.dtype));
  if (grid.stripes) return own_tiles_size(std::min(g.m, g.n), g.k) * size_of(g.dtype);
  return shared_panels(g, grid);
}

bool gemm_in_phases(const Gemm& g) { return gemm_workspace(g) > 0; }

void gemm_block(const Gemm& g, const GemmGrid& grid, int64_t i) {
  block(part_of(g, grid, bounds(g, grid, i)), wants_provider(g));
}

void gemm_block(const Gemm& g, const GemmGrid& grid, int64_t i, Epilogue epilogue) {
  const Bounds b = bounds(g, grid, i);
  const Gemm part = part_of(g, grid, b);
  block(part, wants_provider(g));
  epilogue(b.row_begin, b.row_end, b.col_begin, b.col_end, part.c, g.ldc);
}

namespace {

// Part 0 of the sum goes to c itself, the others to the workspace; then they are added in order,
// and each block of rows is done. Where parts are fewer than threads want they are cut across.
void gemm_by_depth(const Gemm& g, const GemmGrid& grid, const Epilogue* epilogue, void* workspace) {
  const int64_t size = g.m * g.n;
  const int64_t wanted = std::min(grid.rows, ceil_div(blocks_for_threads(), grid.k_parts));
  const int64_t height = ceil_div(grid.rows, wanted) * grid.row_step;
  const int64_t pieces = ceil_div(g.m, height);
  parallel_for(grid.k_parts * pieces, [&](int64_t i) {
    const int64_t p = i / pieces, k = p * grid.k_step, row = i % pieces * height;
    Gemm part = g;
    part.m = std::min(g.m, row + height) - row;
    part.k = std::min(g.k, k + grid.k_step) - k;
    part.a = at(g.a, row * g.a_row + k * g.a_col, g.dtype);
    part.b = at(g.b, k * g.b_row, g.dtype);
    part.c = at(g.c, row * g.ldc, g.dtype);
    if (p > 0) part.c = at(workspace, (p - 1) * size + row * g.n, g.dtype), part.ldc = g.n;
    block(part, wants_provider(part));
  });
  const auto add = [&]<class T>(T* c, const T* parts, int64_t begin, int64_t end) {
    for (int64_t p = 1; p < grid.k_parts; ++p, parts += size)
      for (int64_t i = begin; i < end; ++i)
        for (int64_t j = 0; j < g.n; ++j) c[i * g.ldc + j] += parts[i * g.n + j];
  };
  parallel_for(grid.rows, [&](int64_t i) {
    const int64_t begin = i * grid.row_step, end = std::min(g.m, begin + grid.row_step);
    if (g.dtype == DType::f32)
      add(static_cast<float*>(g.c), static_cast<const float*>(workspace), begin, end);
    else
      add(static_cast<double*>(g.c), static_cast<const double*>(workspace), begin, end);
    if (epilogue) (*epilogue)(begin, end, 0, g.n, at(g.c, begin * g.ldc, g.dtype), g.ldc);
  });
}

// The operand of the short side is packed, all of it; then each stripe of the other one is read
// once, end to end, and its results are done. Stripes of rows are computed as columns of the
// transpose, of the same bits, and turned.
void gemm_by_stripes(const Gemm& g, const GemmGrid& grid, const Epilogue* epilogue,
                     void* workspace) {
  const OwnGemmTable& table = own_gemm();
  const bool is_double = g.dtype == DType::f64, turned = g.m > g.n;
  Gemm whole = lying(g);
  parallel_for(ceil_div(g.k, kOwnTilesDepth), [&](int64_t i) {
    const int64_t p = i * kOwnTilesDepth;
    table.pack_left[is_double]({whole.m, std::min(g.k - p, kOwnTilesDepth),
                                at(whole.a, p * whole.a_col, g.dtype), whole.a_row, whole.a_col,
                                at(workspace, own_tiles_at(whole.m, p), g.dtype)});
  });
  whole.tiles = workspace;
  const int64_t step = turned ? grid.row_step : grid.col_step;
  parallel_for(grid.blocks(), [&](int64_t i) {
    const int64_t begin = i * step, end = std::min(whole.n, begin + step), width = end - begin;
    Gemm part = whole;
    part.n = width;
    part.b = at(whole.b, begin * whole.b_col, g.dtype);
    void* const c = at(g.c, begin * (turned ? g.ldc : 1), g.dtype);
    part.c = c;
    if (turned) part.c = own_scratch(), part.ldc = width;
    own(part);
    if (turned) table.turn[is_double]({whole.m, width, part.c, width, c, g.ldc});
    if (!epilogue) return;
    if (turned)
      (*epilogue)(begin, end, 0, g.n, c, g.ldc);
    else
      (*epilogue)(0, g.m, begin, end, c, g.ldc);
  });
}

void run(const Gemm& g, const Epilogue* epilogue, void* workspace) {
  const GemmGrid grid = gemm_grid(g);
  if (grid.stripes && workspace) return gemm_by_stripes(g, grid, epilogue, workspace);
  if (grid.k_parts > 1 && workspace) {
    gemm_by_depth(g, grid, epilogue, workspace);
  } else if (grid.blocks() > 1) {
    Gemm whole = g;
    if (workspace && shared_panels(g, grid)) {
      pack_panels(g, grid, workspace);
      whole.panels = workspace;
    }
    parallel_for(grid.blocks(), [&](int64_t i) {
      epilogue ? gemm_block(whole, grid, i, *epilogue) : gemm_block(whole, grid, i);
    });
  } else if (grid.blocks() == 1) {
    block(g, wants_provider(g));
    if (epilogue) (*epilogue)(0, g.m, 0, g.n, g.c, g.ldc);
  }
}

}  // namespace

void gemm(const Gemm& g, void* workspace) { run(g, nullptr, workspace); }

void gemm_with_epilogue(const Gemm& g, Epilogue epilogue, void* workspace) {
  run(g, &epilogue, workspace);
}

}  // namespace flowbook::cpu
