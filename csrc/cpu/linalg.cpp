// matmul: vectors, matrices, and stacks of them that broadcast against each other, with any
// strides. This file turns them into products for gemm.h; a transposed view stays where it is.
#include "cpu/linalg.h"

#include <algorithm>

#include "core/apply.h"
#include "cpu/gemm.h"

namespace flowbook::cpu {
namespace {

struct Matrix {
  const void* data;
  int64_t row, col;         // strides in elements
  int64_t batch[kMaxRank];  // strides along the batch axes; 0 where it repeats
};

struct Problem {
  DType dtype;
  int64_t m, n, k;
  Matrix a, b;
  int rank = 0;  // of the batch
  int64_t dims[kMaxRank];
  int64_t batch = 1;
};

// Strides of an array whether or not it brings them.
const int64_t* strides_of(const Array& x, int64_t* room) {
  if (x.strides) return x.strides;
  dense_strides(x.spec->shape, room);
  return room;
}

// The operands as matrices: a vector is a row on the left and a column on the right.
Problem describe(const Array& x, const Array& y) {
  const Shape &xs = x.spec->shape, &ys = y.spec->shape;
  int64_t room_x[kMaxRank], room_y[kMaxRank];
  const int64_t *sx = strides_of(x, room_x), *sy = strides_of(y, room_y);
  Problem p;
  p.dtype = x.spec->dtype;
  const int rx = xs.rank, ry = ys.rank;
  p.m = rx > 1 ? xs[rx - 2].value() : 1;
  p.k = xs[rx - 1].value();
  p.n = ry > 1 ? ys[ry - 1].value() : 1;
  p.a.data = x.data, p.b.data = y.data;
  p.a.row = rx > 1 ? sx[rx - 2] : 0, p.a.col = sx[rx - 1];
  p.b.row = ry > 1 ? sy[ry - 2] : sy[0], p.b.col = ry > 1 ? sy[ry - 1] : 0;
  const int bx = std::max(rx - 2, 0), by = std::max(ry - 2, 0);
  p.rank = std::max(bx, by);
  for (int i = 0; i < p.rank; ++i) {  // from the right, as broadcasting goes
    const int to = p.rank - 1 - i, ix = bx - 1 - i, iy = by - 1 - i;
    const int64_t dx = ix >= 0 ? xs[ix].value() : 1, dy = iy >= 0 ? ys[iy].value() : 1;
    p.dims[to] = dx == 1 ? dy : dx;
    p.a.batch[to] = dx == 1 ? 0 : sx[ix];
    p.b.batch[to] = dy == 1 ? 0 : sy[iy];
    p.batch *= p.dims[to];
  }
  return p;
}

// One matrix on the right for a whole stack on the left is one tall product, where the stack's rows
// lie evenly.
void fold_batch(Problem& p) {
  if (p.rank == 0) return;
  int64_t row = p.m > 1 ? p.a.row : 0, rows = p.m;
  for (int i = p.rank - 1; i >= 0; --i) {
    if (p.dims[i] == 1) continue;
    if (p.b.batch[i] != 0) return;
    if (rows > 1 && p.a.batch[i] != row * rows) return;
    if (rows <= 1) row = p.a.batch[i];
    rows *= p.dims[i];
  }
  p.m = rows, p.a.row = row;
  p.rank = 0, p.batch = 1;
}

Gemm item(const Problem& p, void* out) {
  return {p.dtype, p.m, p.n, p.k, p.a.data, p.a.row, p.a.col, p.b.data, p.b.row, p.b.col, out, p.n};
}

// Which operands a provider cannot read as they lie and must get as a dense copy.
struct Copies {
  bool x, y;
};
Copies copies(const Problem& p) {
  if (!wants_provider(item(p, nullptr))) return {false, false};
  return {!provider_takes(p.m, p.k, p.a.row, p.a.col), !provider_takes(p.k, p.n, p.b.row, p.b.col)};
}

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t workspace(const OpDef&, const void*, std::span<const Array> in) {
  Problem p = describe(in[0], in[1]);
  fold_batch(p);
  const Copies c = copies(p);
  int64_t bytes = 0;
  if (c.x) bytes += aligned(bytes_of(*in[0].spec));
  if (c.y) bytes += aligned(bytes_of(*in[1].spec));
  if (p.batch == 1) bytes += gemm_workspace(item(p, nullptr));
  return bytes;
}

// Where item i of the batch begins in each operand.
void seek(const Problem& p, int64_t i, int64_t* a, int64_t* b) {
  *a = *b = 0;
  for (int d = p.rank - 1; d >= 0; --d) {
    const int64_t at = i % p.dims[d];
    i /= p.dims[d];
    *a += at * p.a.batch[d], *b += at * p.b.batch[d];
  }
}

void matmul(const KernelArgs& args) {
  Array x = args.in[0], y = args.in[1];
  Problem p = describe(x, y);
  fold_batch(p);
  if (p.batch == 0 || p.m == 0 || p.n == 0) return;
  char* work = static_cast<char*>(args.workspace);
  if (const Copies c = copies(p); c.x || c.y) [[unlikely]] {
    const auto copy = [&](Array& from) {
      const Array to{work, from.spec, nullptr};
      g_core_ops.copy(from, to);
      work += aligned(bytes_of(*from.spec));
      from = to;
    };
    if (c.x) copy(x);
    if (c.y) copy(y);
    p = describe(x, y);
    fold_batch(p);
  }
  const Gemm whole = item(p, args.out[0].data);
  if (p.batch == 1) return gemm(whole, work);

  const int64_t bytes = size_of(p.dtype), size = p.m * p.n * bytes;
  const auto nth = [&](int64_t i) {
    Gemm g = whole;
    int64_t a, b;
    seek(p, i, &a, &b);
    g.a = static_cast<const char*>(g.a) + a * bytes,
    g.b = static_cast<const char*>(g.b) + b * bytes;
    g.c = static_cast<char*>(g.c) + i * size;
    return g;
  };
  GemmGrid grid = gemm_grid(whole);
  grid.k_parts = 1;  // the batch is enough to share
  const int64_t blocks = grid.blocks();
  if (blocks > 1)
    return parallel_for(p.batch * blocks,
                        [&](int64_t i) { gemm_block(nth(i / blocks), grid, i % blocks); });
  const double work_each = double(p.m) * double(p.n) * double(std::max<int64_t>(p.k, 1));
  const int64_t group = std::max<int64_t>(1, int64_t(double(gemm_block_work()) / work_each));
  parallel_ranges(p.batch, group, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) gemm_block(nth(i), grid, 0);
  });
}

}  // namespace

void register_linalg(Backend& cpu) {
  KernelEntry& entry = cpu.kernel("matmul", matmul, kGemmTypes);
  entry.strided = true;
  entry.workspace = workspace;
}

}  // namespace flowbook::cpu
