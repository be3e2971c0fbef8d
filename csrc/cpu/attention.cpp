// Attention by blocks: 64 queries at a time meet 256 keys at a time, so that scores live in the
// second cache and memory grows with the length alone. Scores are computed transposed, a row for
// each key: isa/attention.cpp says why. Forward keeps a running maximum and sum of
// each row (Milakov, Gimelshein 2018); backward makes the probabilities again from the logarithm of
// the sum (Dao, Fu, Ermon, Rudra, Ré 2022). Operands may have any strides.
#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/attention_loops.h"
#include "cpu/cpu.h"
#include "cpu/finite.h"
#include "cpu/own_gemm.h"
#include "cpu/pool.h"
#include "cpu/rounding.h"

namespace flowbook::cpu {
namespace {

constexpr int64_t kQueries = kAttentionQueries, kKeys = 256;
// Between rows of a block of scores: an odd number of lines of 64 bytes, so that what is read
// across the rows does not share a few sets of the cache.
constexpr int64_t kStepBytes32 = 5 * 64, kStepBytes64 = 9 * 64;
static_assert(kStepBytes32 >= kQueries * 4 && kStepBytes64 >= kQueries * 8);
constexpr int64_t kApartBytes = 11 * 64;
// So few queries read keys and values once and in place; their scores lie closer to each other.
constexpr int64_t kFewQueries = 2, kFewStep = 16;
// Backward cuts work by the heads of the keys, whose gradients a chunk owns. Where these are fewer
// than kUnits it cuts the queries, too, and adds the parts in order.
constexpr int64_t kUnits = 16;

// One operand as [batch, heads, rows, columns]; strides in elements.
struct Stack {
  char* data = nullptr;
  int64_t batch[kMaxRank] = {}, head = 0, row = 0, column = 0;
};

struct Problem {
  DType dtype;
  int64_t bytes;
  int pair;  // index into the loops
  int rank;  // of the batch
  int64_t dims[kMaxRank];
  int64_t batch = 1, heads = 1, groups = 1;  // heads of the query; and how many share a key
  int64_t queries, keys, size, width;
  double scale;
  bool causal;
  ScoreBlock::Mask mask_kind = ScoreBlock::kNone;
  Stack query, key, value, mask;
  const AttentionLoops* loops;

  int64_t key_heads() const { return heads / groups; }
  int64_t query_blocks() const { return ceil_div(queries, kQueries); }
  // How many keys a block of queries that ends at `end` meets.
  int64_t keys_until(int64_t end) const { return causal ? std::min(keys, end) : keys; }
  int64_t offset(const Stack& s, int64_t item, int64_t head, int64_t row) const {
    int64_t n = head * s.head + row * s.row;
    for (int d = rank - 1; d >= 0; --d) n += item % dims[d] * s.batch[d], item /= dims[d];
    return n;
  }
  char* at(const Stack& s, int64_t item, int64_t head, int64_t row) const {
    return s.data + offset(s, item, head, row) * bytes;
  }
  // Which parts of products with the triangle of scores count, for queries from `query`: of the
  // scores themselves, of what queries sum over keys, and keys over queries.
  OwnBand scores(int64_t query, int64_t key) const {
    OwnBand band;
    if (causal) band.column_begin = key - query;
    return band;
  }
  OwnBand by_query(int64_t query, int64_t key, bool exact) const {
    OwnBand band;
    if (causal) band.k_end = query + 1 - key, band.exact = exact;
    return band;
  }
  OwnBand by_key(int64_t query, int64_t key, bool exact) const {
    OwnBand band;
    if (causal) band.k_begin = key - query, band.exact = exact;
    return band;
  }
  int64_t block_keys() const { return std::min(keys, kKeys); }
  int64_t step() const { return dtype == DType::f64 ? kStepBytes64 / 8 : kStepBytes32 / 4; }
  // Of scores. Two blocks that follow each other don't begin a multiple of a page apart: a load
  // from one would wait for the last store to the other.
  int64_t block_bytes() const { return aligned(block_keys() * step() * bytes) + kApartBytes; }
};
// The tiles of a triangle's edge read at most this far past the last key of a query.
static_assert(kKeyZeros >= kOwnTileRows);
static_assert(kKeyZeros >= kFewQueries);  // of which the last one sees all keys of its block

Stack stack_of(const Array& x, const Shape& shape) {
  int64_t strides[kMaxRank];
  fit_strides(x, shape, strides);
  Stack s;
  s.data = static_cast<char*>(x.data);
  const int rank = shape.rank;
  s.row = strides[rank - 2], s.column = strides[rank - 1];
  if (rank > 2) s.head = strides[rank - 3];
  for (int i = 0; i + 3 < rank; ++i) s.batch[i] = strides[i];
  return s;
}
Stack stack_of(const Array& x) { return stack_of(x, x.spec->shape); }
// [..., heads, queries]: a number for each query.
Stack vector_of(const Array& x) {
  Shape one = x.spec->shape;
  int64_t strides[kMaxRank];
  fit_strides(x, one, strides);
  strides[one.rank] = 0;
  one.push_back(1);
  const Spec spec{one, x.spec->dtype, x.spec->device, false};
  return stack_of({x.data, &spec, strides}, one);
}

Problem describe(std::span<const Array> in, double scale, bool causal) {
  const Shape &q = in[0].spec->shape, &k = in[1].spec->shape, &v = in[2].spec->shape;
  const int rank = q.rank;
  Problem p;
  p.dtype = in[0].spec->dtype, p.bytes = size_of(p.dtype), p.pair = p.dtype == DType::f64;
  p.rank = std::max(rank - 3, 0);
  for (int i = 0; i < p.rank; ++i) p.batch *= p.dims[i] = q[i].value();
  if (rank > 2 && q[rank - 3].value() > 0)
    p.heads = q[rank - 3].value(), p.groups = p.heads / k[rank - 3].value();
  else if (rank > 2)
    p.batch = 0;
  p.queries = q[rank - 2].value(), p.size = q[rank - 1].value();
  p.keys = k[rank - 2].value(), p.width = v[rank - 1].value();
  p.scale = ops::attention_scale(scale, q[rank - 1]), p.causal = causal;
  p.query = stack_of(in[0]), p.key = stack_of(in[1]), p.value = stack_of(in[2]);
  const Array& mask = in[3];
  const bool boolean = mask.spec->dtype == DType::bool_;
  if (!boolean || mask.spec->shape.rank > 0) {
    Shape scores = q;
    scores[rank - 1] = k[rank - 2];
    p.mask = stack_of(mask, scores);
    p.mask_kind = boolean ? ScoreBlock::kBool : ScoreBlock::kAdd;
  } else if (mask.data && !*mask.as<bool>()) {  // a scalar `false`: nobody looks anywhere
    p.mask = {static_cast<char*>(mask.data)};
    p.mask_kind = ScoreBlock::kBool;
  }
  p.loops = &attention_loops();
  return p;
}

struct Matrix {
  const void* data;
  int64_t row, column;
};
Matrix plain(const Stack& s, const void* at) { return {at, s.row, s.column}; }
Matrix across(const Stack& s, const void* at) { return {at, s.column, s.row}; }

// A right operand of products, packed.
struct Panels {
  int64_t k, n;
  const char* data;
};
// The memory of one chunk of work, handed out in pieces.
class Room {
 public:
  explicit Room(int64_t bytes) : memory_(allocate(bytes, BufferKind::kWorkspace)) {
    next_ = static_cast<char*>(memory_->data);
  }
  char* take(int64_t bytes) {
    char* at = next_;
    next_ += aligned(bytes);
    return at;
  }

 private:
  Ref<Buffer> memory_;
  char* next_;
};
int64_t panel_bytes(const Problem& p, int64_t k, int64_t n) {
  return aligned(own_panels_size(k, n) * p.bytes);
}
Panels pack(const Problem& p, int64_t k, int64_t n, Matrix b, char* to) {
  own_gemm().pack[p.pair]({k, n, b.data, b.row, b.column, to});
  return {k, n, to};
}
// c = a b, or c += a b, on this thread.
void multiply(const Problem& p, int64_t m, Matrix a, const Panels& b, const OwnBand& band, void* c,
              int64_t ldc, bool accumulate) {
  own_gemm().multiply_panels[p.pair](
      {m, b.n, b.k, a.data, a.row, a.column, b.data, c, ldc, accumulate, band});
}

// c = a b, or c += a b, on this thread, of operands as they lie.
void multiply_in_place(const Problem& p, int64_t m, int64_t n, int64_t k, Matrix a, Matrix b,
                       void* c, int64_t ldc, bool accumulate) {
  const OwnGemm g{m,     n,        k, a.data, a.row,      a.column, b.data,
                  b.row, b.column, c, ldc,    accumulate, nullptr};
  if (p.pair)
    own_gemm().f64(g);
  else
    own_gemm().f32(g);
}

void clear(const Problem& p, char* at, int64_t rows, int64_t columns, int64_t row) {
  for (int64_t i = 0; i < rows; ++i, at += row * p.bytes)
    std::memset(at, 0, size_t(columns * p.bytes));
}

// The scores of queries [q, q + rows) and keys [key, key + n).
ScoreBlock block_of(const Problem& p, int64_t item, int64_t head, int64_t q, int64_t rows,
                    int64_t key, int64_t n, char* scores) {
  ScoreBlock b{scores,  rows, p.step(), p.causal ? q + 1 - key : n, n, p.scale, p.mask_kind,
               nullptr, 0,    0};
  if (p.mask_kind == ScoreBlock::kNone) return b;
  const int64_t bytes = p.mask_kind == ScoreBlock::kBool ? 1 : p.bytes;
  b.mask = p.mask.data + (p.offset(p.mask, item, head, q) + key * p.mask.column) * bytes;
  b.mask_row = p.mask.row * bytes, b.mask_key = p.mask.column * bytes;
  return b;
}

// ---- forward ----------------------------------------------------------------------------------
int64_t forward_bytes(const Problem& p) {
  return p.block_bytes() + panel_bytes(p, p.size, kQueries) +
         panel_bytes(p, p.block_keys(), p.width);
}
// The scores of few queries with n keys: inner products, query by query.
void few_scores(const Problem& p, int64_t n, Matrix key, int64_t rows, Matrix query, char* scores) {
  std::memset(scores, 0, size_t(n * kFewStep * p.bytes));
  const auto each_query = [&]<class T>(T) {
    T row[kKeys];
    for (int64_t i = 0; i < rows; ++i) {
      const Matrix one{static_cast<const T*>(query.data) + i * query.row, query.column, 1};
      multiply_in_place(p, n, 1, p.size, key, one, row, 1, false);
      for (int64_t j = 0; j < n; ++j) reinterpret_cast<T*>(scores)[j * kFewStep + i] = row[j];
    }
  };
  p.pair ? each_query(double()) : each_query(float());
}
// Queries [q, q + rows) of one head. `careful`: whatever there may be among the numbers.
void forward_block(const Problem& p, const Stack& result, int64_t item, int64_t head, int64_t q,
                   int64_t rows, char* logsumexp, bool careful = false) {
  if (careful && rows > 1 && rows <= kFewQueries) {  // each meets its own keys alone
    for (int64_t i = 0; i < rows; ++i)
      forward_block(p, result, item, head, q + i, 1, logsumexp + i * p.bytes, true);
    return;
  }
  const AttentionLoops& loops = *p.loops;
  double numbers[3 * kQueries] = {};  // maximum, sum and factor of each query
  char *max = reinterpret_cast<char*>(numbers), *sum = max + kQueries * p.bytes,
       *keep = sum + kQueries * p.bytes;
  Room room(forward_bytes(p));
  const bool few = rows <= kFewQueries;
  const int64_t step = few ? kFewStep : p.step(), shared = head / p.groups,
                until = p.keys_until(q + rows);
  char *scores = room.take(p.block_bytes()), *queries = room.take(panel_bytes(p, p.size, kQueries)),
       *values = room.take(panel_bytes(p, p.block_keys(), p.width));
  char* const y = p.at(result, item, head, q);
  const Matrix query = plain(p.query, p.at(p.query, item, head, q));
  const Panels packed_query =
      few ? Panels{} : pack(p, p.size, rows, across(p.query, query.data), queries);
  bool small = !careful && p.mask_kind == ScoreBlock::kNone;
  if (until == 0) {  // no keys at all
    loops.softmax[p.pair](block_of(p, item, head, q, rows, 0, 0, scores), true, max, sum, keep);
    clear(p, y, rows, p.width, result.row);
  }
  for (int64_t key = 0; key < until; key += kKeys) {
    const int64_t n = std::min(kKeys, until - key);
    const Matrix k = plain(p.key, p.at(p.key, item, shared, key)),
                 v = plain(p.value, p.at(p.value, item, shared, key));
    ScoreBlock block = block_of(p, item, head, q, rows, key, n, scores);
    block.step = step;
    const auto multiply_scores = [&] {
      if (few)
        few_scores(p, n, k, rows, query, scores);
      else
        multiply(p, n, k, packed_query, p.scores(q, key), scores, step, false);
    };
    multiply_scores();
    // Scores are small as a rule. The maxima, zeros, are subtracted from them, so to speak.
    if (small && loops.plain_softmax[p.pair](block, key > 0 ? sum : nullptr, keep)) {
      std::swap(sum, keep);
    } else {
      if (small) multiply_scores();
      small = false;
      loops.softmax[p.pair](block, key == 0, max, sum, keep);
      if (key > 0) loops.scale[p.pair](y, result.row, rows, p.width, keep);
    }
    const Matrix weights{scores, 1, step};
    if (few)
      multiply_in_place(p, rows, p.width, n, weights, v, y, result.row, key > 0);
    else
      multiply(p, rows, weights, pack(p, n, p.width, v, values), p.by_query(q, key, careful), y,
               result.row, key > 0);
  }
  // A value that is not finite makes NaN of the zeros of queries that must not see it; and a huge
  // one overflows where no maximum was subtracted.
  const bool finite = loops.finish[p.pair](y, result.row, rows, p.width, max, sum, logsumexp);
  if (!finite && !careful && (p.causal || small))
    forward_block(p, result, item, head, q, rows, logsumexp, true);
}

void attention(const KernelArgs& args) {
  const auto* op = static_cast<const ops::Attention*>(args.attrs);
  const Problem p = describe(args.in, op->scale, op->causal);
  const Stack y = stack_of(args.out[0]);
  char* logsumexp = args.out[1].as<char>();
  const int64_t blocks = p.query_blocks();
  parallel_for(p.batch * p.heads * blocks, [&](int64_t i) {
    // The last queries of a causal head meet the most keys: they go first.
    const int64_t q = (blocks - 1 - i % blocks) * kQueries, head = i / blocks;
    forward_block(p, y, head / p.heads, head % p.heads, q, std::min(kQueries, p.queries - q),
                  logsumexp + (head * p.queries + q) * p.bytes);
  });
}

// ---- backward ---------------------------------------------------------------------------------
struct Backward {
  Problem p;
  Stack y, dy;                  // [..., heads, queries, width]
  Stack logsumexp, dlogsumexp;  // a number for each query
  Stack dquery, dkey, dvalue;   // results, whose columns are dense
  char* workspace;
  int64_t parts;  // a head's queries are cut into

  int64_t part_bytes() const { return p.keys * (p.size + p.width) * p.bytes; }
};
int64_t parts_of(const Problem& p) {
  const int64_t units = p.batch * p.key_heads();
  if (units == 0 || units >= kUnits) return 1;
  return std::max<int64_t>(1, std::min(ceil_div(kUnits, units), p.groups * p.query_blocks()));
}

// What a chunk of backward works in: up to kKeys keys, packed, and a block of queries, whose
// operands are packed for the scores and for what keys and values get of them.
struct Tools {
  explicit Tools(const Problem& p)
      : room(bytes(p)),
        scores(room.take(p.block_bytes())),
        dscores(room.take(p.block_bytes())),
        keys(room.take(panel_bytes(p, p.block_keys(), p.size))),
        queries_across(room.take(panel_bytes(p, p.size, kQueries))),
        dy_across(room.take(panel_bytes(p, p.width, kQueries))),
        queries(room.take(panel_bytes(p, kQueries, p.size))),
        dy(room.take(panel_bytes(p, kQueries, p.width))) {}
  static int64_t bytes(const Problem& p) {
    return 2 * p.block_bytes() + panel_bytes(p, p.block_keys(), p.size) +
           panel_bytes(p, p.size, kQueries) + panel_bytes(p, p.width, kQueries) +
           panel_bytes(p, kQueries, p.size) + panel_bytes(p, kQueries, p.width);
  }
  Room room;
  char *scores, *dscores, *keys, *queries_across, *dy_across, *queries, *dy;
};

// Whether all queries of a block, their dy and their own keys are finite. One that is not shows in
// the product of a query with its key, or in y . dy, which is `shift` but for a term.
bool finite_diagonal(const Problem& p, int64_t q, int64_t rows, int64_t key, int64_t n,
                     const char* scores, const char* shift) {
  const int64_t begin = std::max(q, key), count = std::min(q + rows, key + n) - begin;
  const char* own = scores + ((begin - key) * p.step() + begin - q) * p.bytes;
  const auto finite = [&]<class T>(T) {
    return all_finite(reinterpret_cast<const T*>(own), count, p.step() + 1) &&
           all_finite(reinterpret_cast<const T*>(shift), rows);
  };
  return p.pair ? finite(double()) : finite(float());
}

// Where gradients of keys and values go: rows of a head's, from its first on.
struct KeyGradients {
  char *dkey, *dvalue;
  int64_t key_row, value_row;
};

// What queries [q, q + rows) of one head add to the gradients of keys [key, key + n) and their
// values, and these to theirs. `keys`: these keys, packed. `add`: not the first queries to do so.
void backward_block(const Backward& b, int64_t item, int64_t head, int64_t q, int64_t rows,
                    int64_t key, const Panels& keys, const Tools& t, const KeyGradients& to,
                    bool add) {
  const Problem& p = b.p;
  const AttentionLoops& loops = *p.loops;
  double room[kQueries];
  char* shift = reinterpret_cast<char*>(room);
  const int64_t n = keys.k, step = p.step(), shared = head / p.groups;
  const int64_t met = std::min(n, p.keys_until(q + rows) - key);
  const Matrix query = plain(p.query, p.at(p.query, item, head, q)),
               query_across = across(p.query, query.data),
               dy = plain(b.dy, p.at(b.dy, item, head, q)), dy_across = across(b.dy, dy.data);
  loops.dots[p.pair]({p.at(b.y, item, head, q), b.y.row, b.y.column}, {dy.data, dy.row, dy.column},
                     rows, p.width, {p.at(b.dlogsumexp, item, head, q), b.dlogsumexp.row}, shift);
  const Panels packed_query = pack(p, p.size, rows, query_across, t.queries_across),
               packed_dy = pack(p, p.width, rows, dy_across, t.dy_across);
  const auto multiply_scores = [&] {
    multiply(p, met, plain(p.key, p.at(p.key, item, shared, key)), packed_query, p.scores(q, key),
             t.scores, step, false);
    multiply(p, met, plain(p.value, p.at(p.value, item, shared, key)), packed_dy, p.scores(q, key),
             t.dscores, step, false);
  };
  multiply_scores();
  const bool exact = p.causal && !finite_diagonal(p, q, rows, key, n, t.scores, shift);
  const ScoreBlock block = block_of(p, item, head, q, rows, key, met, t.scores);
  const QueryNumbers logsumexp{p.at(b.logsumexp, item, head, q), b.logsumexp.row};
  const bool small = p.mask_kind == ScoreBlock::kNone;
  if (!small || !loops.plain_gradient[p.pair](block, t.dscores, logsumexp, shift)) {
    if (small) multiply_scores();
    loops.gradient[p.pair](block, t.dscores, logsumexp, shift);
  }
  char *const dkey = to.dkey + key * to.key_row * p.bytes, *const dvalue =
                                                               to.dvalue +
                                                               key * to.value_row * p.bytes;
  if (!add) {  // keys that this block of queries does not see
    clear(p, dkey + met * to.key_row * p.bytes, n - met, p.size, to.key_row);
    clear(p, dvalue + met * to.value_row * p.bytes, n - met, p.width, to.value_row);
  }
  const Matrix scores{t.scores, step, 1}, dscores{t.dscores, step, 1},
      dscores_across{t.dscores, 1, step};
  multiply(p, met, scores, pack(p, rows, p.width, dy, t.dy), p.by_key(q, key, exact), dvalue,
           to.value_row, add);
  multiply(p, met, dscores, pack(p, rows, p.size, query, t.queries), p.by_key(q, key, exact), dkey,
           to.key_row, add);
  multiply(p, rows, dscores_across, keys, p.by_query(q, key, exact), p.at(b.dquery, item, head, q),
           b.dquery.row, key > 0);
}

// parts[0] + parts[1] + ..., dense blocks [rows, columns] that lie `step` apart.
template <class T>
void add_parts(const char* parts, int64_t count, int64_t step, char* to, int64_t row, int64_t rows,
               int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    T* sum = reinterpret_cast<T*>(to) + i * row;
    const T* part = reinterpret_cast<const T*>(parts) + i * columns;
    std::copy(part, part + columns, sum);
    for (int64_t k = 1; k < count; ++k) {
      part += step;
      for (int64_t j = 0; j < columns; ++j) sum[j] += part[j];
    }
  }
}

void attention_gradient(const KernelArgs& args) {
  const auto* op = static_cast<const ops::AttentionGradient*>(args.attrs);
  Backward b{describe(args.in, op->scale, op->causal),
             stack_of(args.in[4]),
             stack_of(args.in[6]),
             vector_of(args.in[5]),
             vector_of(args.in[7]),
             stack_of(args.out[0]),
             stack_of(args.out[1]),
             stack_of(args.out[2]),
             static_cast<char*>(args.workspace),
             0};
  const Problem& p = b.p;
  b.parts = parts_of(p);
  const int64_t units = p.batch * p.key_heads(), blocks = p.query_blocks(),
                pairs = p.groups * blocks;
  const auto own = [&](int64_t unit) -> KeyGradients {
    const int64_t item = unit / p.key_heads(), shared = unit % p.key_heads();
    return {p.at(b.dkey, item, shared, 0), p.at(b.dvalue, item, shared, 0), b.dkey.row,
            b.dvalue.row};
  };
  parallel_for(units * b.parts, [&](int64_t i) {
    const int64_t unit = i / b.parts, part = i % b.parts;
    const int64_t item = unit / p.key_heads(), shared = unit % p.key_heads();
    KeyGradients to = own(unit);
    if (b.parts > 1) {
      char* const dkey = b.workspace + i * b.part_bytes();
      to = {dkey, dkey + p.keys * p.size * p.bytes, p.size, p.width};
    }
    const Tools tools(p);
    for (int64_t key = 0; key < p.keys; key += kKeys) {
      const int64_t n = std::min(kKeys, p.keys - key);
      const Panels keys =
          pack(p, n, p.size, plain(p.key, p.at(p.key, item, shared, key)), tools.keys);
      bool add = false;
      // Pairs of a head and a block of queries go round the parts: a causal head's are unlike in
      // work. The last queries, which see all keys, go first.
      for (int64_t pair = part; pair < pairs; pair += b.parts) {
        check_cancelled();
        const int64_t head = shared * p.groups + pair / blocks,
                      q = (blocks - 1 - pair % blocks) * kQueries;
        const int64_t rows = std::min(kQueries, p.queries - q);
        if (p.keys_until(q + rows) <= key) continue;
        backward_block(b, item, head, q, rows, key, keys, tools, to, add);
        add = true;
      }
      if (add) continue;
      clear(p, to.dkey + key * to.key_row * p.bytes, n, p.size, to.key_row);
      clear(p, to.dvalue + key * to.value_row * p.bytes, n, p.width, to.value_row);
    }
  });
  if (p.keys == 0)
    for (int64_t i = 0; i < p.batch * p.heads; ++i)
      clear(p, p.at(b.dquery, i / p.heads, i % p.heads, 0), p.queries, p.size, b.dquery.row);
  if (b.parts > 1)
    parallel_for(units, [&](int64_t unit) {
      const auto add = p.pair ? add_parts<double> : add_parts<float>;
      const KeyGradients to = own(unit);
      const char* parts = b.workspace + unit * b.parts * b.part_bytes();
      const int64_t step = p.keys * (p.size + p.width);
      add(parts, b.parts, step, to.dkey, to.key_row, p.keys, p.size);
      add(parts + p.keys * p.size * p.bytes, b.parts, step, to.dvalue, to.value_row, p.keys,
          p.width);
    });
}
int64_t workspace(const OpDef&, const void* attrs, std::span<const Array> in) {
  const auto* op = static_cast<const ops::AttentionGradient*>(attrs);
  std::array<Array, 4> operands{in[0], in[1], in[2], in[3]};
  operands[3].data = nullptr;  // a plan has sizes, not values
  const Problem p = describe(operands, op->scale, op->causal);
  const int64_t parts = parts_of(p);
  return parts > 1 ? p.batch * p.key_heads() * parts * p.keys * (p.size + p.width) * p.bytes : 0;
}

}  // namespace

void register_attention(Backend& cpu) {
  constexpr DTypeSet kTypes = DTypeSet(set_of(DType::f32) | set_of(DType::f64));
  KernelEntry& forward = cpu.kernel("attention", attention, kTypes);
  forward.strided = true;
  forward.windows = 0b01;  // y
  KernelEntry& backward = cpu.kernel("attention_gradient", attention_gradient, kTypes);
  backward.strided = true;
  backward.workspace = workspace;
  backward.windows = 0b111;
}

}  // namespace flowbook::cpu
