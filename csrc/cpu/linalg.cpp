// matmul: vectors, matrices, and stacks of them that broadcast against each other, with any
// strides. This file turns them into products for gemm.h; a transposed view stays where it is.
#include "cpu/linalg.h"

#include <algorithm>
#include <numeric>

#include "core/apply.h"
#include "cpu/gemm.h"
#include "cpu/providers.h"
#include "cpu/rounding.h"

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

// A call cut into parts of at least `gemm_block_work()` multiplications: blocks of the product, or
// several products of a stack. The same cut whether the kernel hands them out or a shared job.
struct Cut {
  Gemm whole;
  GemmGrid grid;
  int64_t group = 1;  // products per part, where a product is one block
  int64_t parts;
};
Cut cut(const Problem& p, void* out) {
  Cut c{item(p, out), {}, 1, 0};
  c.grid = gemm_grid(c.whole, /*by_depth=*/p.batch == 1);  // a batch is enough to share
  const int64_t blocks = c.grid.blocks();
  if (blocks == 1 && p.batch > 1) {
    const double work = double(p.m) * double(p.n) * double(std::max<int64_t>(p.k, 1));
    c.group = std::clamp<int64_t>(int64_t(double(gemm_block_work()) / work), 1, p.batch);
  }
  c.parts = blocks > 1 ? p.batch * blocks : (p.batch + c.group - 1) / c.group;
  return c;
}

// A block of product `n` of the stack, and what follows on it: the stack is seen as rows of one
// matrix.
void run_block(const Problem& p, const Gemm& g, const GemmGrid& grid, int64_t block, int64_t n,
               const Epilogue* epilogue) {
  if (!epilogue) return gemm_block(g, grid, block);
  const int64_t above = n * p.m;
  gemm_block(g, grid, block,
             [&](int64_t row, int64_t row_end, int64_t col, int64_t col_end, void* at, int64_t ld) {
               (*epilogue)(above + row, above + row_end, col, col_end, at, ld);
             });
}

// Runs part i.
void run_part(const Problem& p, const Cut& c, int64_t i, const Epilogue* epilogue) {
  const int64_t bytes = size_of(p.dtype), size = p.m * p.n * bytes;
  const auto nth = [&](int64_t i) {
    Gemm g = c.whole;
    int64_t a, b;
    seek(p, i, &a, &b);
    g.a = static_cast<const char*>(g.a) + a * bytes;
    g.b = static_cast<const char*>(g.b) + b * bytes;
    g.c = static_cast<char*>(g.c) + i * size;
    return g;
  };
  const int64_t blocks = c.grid.blocks();
  if (blocks > 1) {
    const int64_t n = i / blocks;
    return run_block(p, nth(n), c.grid, i % blocks, n, epilogue);
  }
  const int64_t end = std::min(p.batch, (i + 1) * c.group);
  for (int64_t n = i * c.group; n < end; ++n) run_block(p, nth(n), c.grid, 0, n, epilogue);
}

// The operands as they can be multiplied: those that lie unevenly as dense copies in the workspace,
// which `work` then points behind.
Problem prepare(const KernelArgs& args, char*& work) {
  Array x = args.in[0], y = args.in[1];
  Problem p = describe(x, y);
  fold_batch(p);
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
  return p;
}

bool empty(const Problem& p) { return p.batch == 0 || p.m == 0 || p.n == 0; }

void matmul(const KernelArgs& args) {
  char* work = static_cast<char*>(args.workspace);
  const Problem p = prepare(args, work);
  if (empty(p)) return;
  if (p.batch == 1) {
    const Gemm g = item(p, args.out[0].data);
    return args.epilogue ? gemm_with_epilogue(g, *args.epilogue, work) : gemm(g, work);
  }
  const Cut c = cut(p, args.out[0].data);
  parallel_for(c.parts, [&](int64_t i) { run_part(p, c, i, args.epilogue); });
}

// Nanoseconds that a multiplication takes on one thread, about: our loops reach 90 to 110 GFLOP/s
// with AVX2, the libraries 30 with SSE.
double cost() { return 2.0 / (libraries_multiply() ? 30 : 90); }

Parts parts(const KernelArgs& args) {
  Problem p = describe(args.in[0], args.in[1]);
  fold_batch(p);
  if (empty(p)) return {};
  if (const Copies c = copies(p); c.x || c.y) return {};  // made before the first part
  const Cut c = cut(p, nullptr);
  if (p.batch == 1 && gemm_in_phases(c.whole)) return {};
  const double work = double(p.batch) * double(p.m) * double(p.n) * double(p.k);
  return {c.parts, int64_t(std::min(work * cost(), 1e15))};
}

void part(const KernelArgs& args, int64_t i) {
  Problem p = describe(args.in[0], args.in[1]);
  fold_batch(p);
  run_part(p, cut(p, args.out[0].data), i, args.epilogue);
}

Blocks blocks(const KernelArgs& args) {
  Problem p = describe(args.in[0], args.in[1]);
  fold_batch(p);
  if (empty(p) || args.in[1].spec->shape.rank < 2) return {};  // the last axis is not its columns
  if (const Copies c = copies(p); c.x || c.y) return {};       // which may be cut in another way
  const Cut c = cut(p, nullptr);
  return {c.parts, c.grid.col_step, p.batch > 1 ? std::gcd(p.m, c.grid.row_step) : c.grid.row_step};
}

}  // namespace

void register_linalg(Backend& cpu) {
  KernelEntry& entry = cpu.kernel("matmul", matmul, kGemmTypes);
  entry.strided = true;
  entry.workspace = workspace;
  entry.parts = parts;
  entry.part = part;
  entry.blocks = blocks;
}

}  // namespace flowbook::cpu
