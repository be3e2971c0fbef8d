// Do all loops give the same bits on every instruction set, for every stride, at every position and
// in place? Usage: loops. Prints what differs; exit status 1 if anything does. (Any NaN equals any
// NaN.)
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/isa/tables.h"

using namespace flowbook;
using namespace flowbook::cpu;

namespace {

constexpr int kBytes[kSlots] = {1, 1, 4, 8, 4, 8};
constexpr const char* kSlotName[kSlots] = {"bool", "u8", "i32", "i64", "f32", "f64"};
struct Row {
  const char* name;
  int arity;
  bool to_bool;
};
constexpr bool kSame = false, kBool = true;
constexpr Row kRows[] = {
#define UNARY(NAME, CLASS, RESULT, ...) {#NAME, 1, RESULT},
#define BINARY(NAME, CLASS, RESULT, ...) {#NAME, 2, RESULT},
#define TERNARY(NAME, CLASS, RESULT, ...) {#NAME, 3, RESULT},
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
};

using Bytes = std::vector<unsigned char>;
std::mt19937_64 rng(7);

Bytes values(int slot, int64_t n) {
  Bytes b(size_t(n * kBytes[slot]));
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t u = rng();
    const double d = double(int64_t(rng())) / 9.2e18;
    const int kind = int(rng() % 8);
    if (slot == kSlotBool)
      b[size_t(i)] = u & 1;
    else if (slot == kSlotU8)
      b[size_t(i)] = u & 255;
    else if (slot == kSlotI32) {
      const int32_t edge[] = {0, 1, -1, INT32_MIN, INT32_MAX, 31, 32, -32};
      const int32_t v = kind == 0 ? edge[u % 8] : kind < 5 ? int32_t(u % 41) - 20 : int32_t(u);
      std::memcpy(&b[size_t(i) * 4], &v, 4);
    } else if (slot == kSlotI64) {
      const int64_t edge[] = {0, 1, -1, INT64_MIN, INT64_MAX, 63, 64, -64};
      const int64_t v = kind == 0 ? edge[u % 8] : kind < 5 ? int64_t(u % 41) - 20 : int64_t(u);
      std::memcpy(&b[size_t(i) * 8], &v, 8);
    } else if (slot == kSlotF32) {
      const float edge[] = {0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, NAN, 1e-40f};
      float v = kind == 0 ? edge[u % 8] : float(d * (kind < 4 ? 1.0 : kind < 6 ? 10.0 : 100.0));
      if (kind == 7) std::memcpy(&v, &u, 4);
      std::memcpy(&b[size_t(i) * 4], &v, 4);
    } else {
      const double edge[] = {0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, NAN, 1e-310};
      double v = kind == 0 ? edge[u % 8] : d * (kind < 4 ? 1.0 : kind < 6 ? 10.0 : 100.0);
      if (kind == 7) std::memcpy(&v, &u, 8);
      std::memcpy(&b[size_t(i) * 8], &v, 8);
    }
  }
  return b;
}
bool same(const unsigned char* a, const unsigned char* b, int bytes, bool floating) {
  if (std::memcmp(a, b, size_t(bytes)) == 0) return true;
  if (!floating) return false;
  double x, y;
  if (bytes == 4) {
    float f, g;
    std::memcpy(&f, a, 4), std::memcpy(&g, b, 4);
    x = f, y = g;
  } else {
    std::memcpy(&x, a, 8), std::memcpy(&y, b, 8);
  }
  return x != x && y != y;
}
long failures = 0;
void expect_same(const Bytes& a, const Bytes& b, int64_t n, int bytes, bool floating,
                 const char* what, const char* row, const char* type) {
  for (int64_t i = 0; i < n; ++i)
    if (!same(&a[size_t(i * bytes)], &b[size_t(i * bytes)], bytes, floating)) {
      std::printf("%s %s: %s differs at %ld of %ld\n", row, type, what, long(i), long(n));
      ++failures;
      return;
    }
}

// Every k-th element of `b`.
Bytes spread(const Bytes& b, int bytes, int64_t n, int64_t stride) {
  Bytes s(size_t(n * stride * bytes), 0xAB);
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(&s[size_t(i * stride * bytes)], &b[size_t(i * bytes)], size_t(bytes));
  return s;
}

void check(const char* name, int arity, bool to_bool, int slot, const std::vector<Loop>& loops,
           int condition_slot) {
  const int64_t n = 3000 + 7;
  const int bytes = kBytes[slot], out_bytes = to_bool ? 1 : bytes;
  const bool floating = !to_bool && slot >= kSlotF32;
  std::vector<Bytes> x;
  std::vector<int> width;
  for (int k = 0; k < arity; ++k) {
    const int s = k == 0 && condition_slot >= 0 ? condition_slot : slot;
    x.push_back(values(s, n)), width.push_back(kBytes[s]);
  }
  Operand dense[3];
  for (int k = 0; k < arity; ++k) dense[k] = {x[size_t(k)].data(), 1};
  Bytes want(size_t(n * out_bytes));
  loops.back()(dense, want.data(), n);
  for (size_t i = 0; i < loops.size(); ++i) {
    Bytes got(size_t(n * out_bytes));
    loops[i](dense, got.data(), n);
    expect_same(got, want, n, out_bytes, floating,
                i == 0   ? "v2"
                : i == 1 ? "v3"
                         : "v4",
                name, kSlotName[slot]);
    for (int64_t first : {1, 5, 13, 300}) {  // other positions and tails
      Operand part[3];
      for (int k = 0; k < arity; ++k) part[k] = {x[size_t(k)].data() + first * width[size_t(k)], 1};
      const int64_t m = 5 + first;
      Bytes tail(size_t(m * out_bytes));
      loops[i](part, tail.data(), m);
      const Bytes sub(want.begin() + first * out_bytes, want.begin() + (first + m) * out_bytes);
      expect_same(tail, sub, m, out_bytes, floating, "a short run", name, kSlotName[slot]);
    }
    {  // strided
      Operand strided[3];
      std::vector<Bytes> kept;
      for (int k = 0; k < arity; ++k)
        kept.push_back(spread(x[size_t(k)], width[size_t(k)], n, k + 2)),
            strided[k] = {kept.back().data(), k + 2};
      Bytes s(size_t(n * out_bytes));
      loops[i](strided, s.data(), n);
      expect_same(s, want, n, out_bytes, floating, "the strided loop", name, kSlotName[slot]);
    }
    for (int scalar = 0; scalar < (1 << arity);
         ++scalar) {  // bit k: operand k is one value for all
      Operand mixed[3];
      std::vector<Bytes> full;
      Operand expanded[3];
      for (int k = 0; k < arity; ++k) {
        const bool one = scalar >> k & 1;
        mixed[k] = {x[size_t(k)].data() + (one ? 11 * width[size_t(k)] : 0), one ? 0 : 1};
        Bytes f(size_t(n * width[size_t(k)]));
        for (int64_t j = 0; j < n; ++j)
          std::memcpy(
              &f[size_t(j * width[size_t(k)])],
              static_cast<const unsigned char*>(mixed[k].p) + (one ? 0 : j * width[size_t(k)]),
              size_t(width[size_t(k)]));
        full.push_back(f);
      }
      for (int k = 0; k < arity; ++k) expanded[k] = {full[size_t(k)].data(), 1};
      Bytes a(size_t(n * out_bytes)), b(size_t(n * out_bytes));
      loops[i](mixed, a.data(), n), loops[i](expanded, b.data(), n);
      expect_same(a, b, n, out_bytes, floating, "a repeated operand", name, kSlotName[slot]);
    }
    for (int k = 0; k < arity; ++k) {  // in place
      if (width[size_t(k)] != out_bytes) continue;
      std::vector<Bytes> copy = x;
      Operand in[3];
      for (int j = 0; j < arity; ++j) in[j] = {copy[size_t(j)].data(), 1};
      loops[i](in, copy[size_t(k)].data(), n);
      expect_same(copy[size_t(k)], want, n, out_bytes, floating, "the result in place", name,
                  kSlotName[slot]);
    }
  }
}

// The tables of one instruction set.
struct Unit {
  const RowTable* rows[kSlots][2];
  const SuperTable* supers[2];
  const CastTable* casts;
  const FoldTable* folds;
};
#define UNIT(ISA)                                                     \
  Unit {                                                              \
    {{&ISA::kBool, &ISA::kBool},                                      \
     {&ISA::kU8, &ISA::kU8},                                          \
     {&ISA::kI32, &ISA::kI32},                                        \
     {&ISA::kI64, &ISA::kI64},                                        \
     {&ISA::kUnaryF32, &ISA::kBinaryF32},                             \
     {&ISA::kUnaryF64, &ISA::kBinaryF64}},                            \
        {&ISA::kSuperF32, &ISA::kSuperF64}, &ISA::kCasts, ISA::kFolds \
  }
#if FLOWBOOK_ISA_X86
const Unit kUnits[] = {UNIT(v2), UNIT(v3), UNIT(v4)};
#else
const Unit kUnits[] = {UNIT(base)};
#endif

void check_folds(int slot) {
  for (int64_t n :
       {1, 2, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4095, 4096, 4097, 8192, 20000}) {
    const Bytes x = values(slot, n), y = values(slot, n);
    auto run = [&](const char* name, auto member, int bytes, bool floating) {
      Bytes want;
      for (const Unit& u : kUnits) {
        Bytes got(16);
        const Fold f = u.folds[slot].*member;
        if (!f) return;
        f(x.data(), n, got.data());
        if (want.empty()) want = got;
        expect_same(got, want, 1, bytes, floating, "an instruction set", name, kSlotName[slot]);
      }
    };
    const bool floating = slot >= kSlotF32;
    const int wide = floating ? kBytes[slot] : 8;
    run("sum", &FoldTable::sum, wide, floating), run("prod", &FoldTable::prod, wide, floating);
    run("max", &FoldTable::max, kBytes[slot], floating),
        run("min", &FoldTable::min, kBytes[slot], floating);
    run("argmax", &FoldTable::argmax, 8, false), run("argmin", &FoldTable::argmin, 8, false);
    run("any", &FoldTable::any, 1, false), run("all", &FoldTable::all, 1, false);
    run("sum_squares", &FoldTable::sum_squares, wide, floating);
  }
}

}  // namespace

int main() {
  for (int slot = 0; slot < kSlots; ++slot) {
    for (int code = 0; code < kCodeCount; ++code) {
      const Row& r = kRows[code];
      std::vector<Loop> loops;
      for (const Unit& u : kUnits) {
        const Loop l =
            u.rows[slot][0]->row[code] ? u.rows[slot][0]->row[code] : u.rows[slot][1]->row[code];
        if (l) loops.push_back(l);
      }
      if (!loops.empty())
        check(r.name, r.arity, r.to_bool, slot, loops, r.arity == 3 ? kSlotBool : -1);
    }
    check_folds(slot);
  }
#define FLOWBOOK_SUPER(NAME, ARITY, ...) {#NAME, ARITY, false},
  constexpr Row supers[] = {FLOWBOOK_SUPERS(FLOWBOOK_SUPER)};
#undef FLOWBOOK_SUPER
  for (int i = 0; i < kSuperCount; ++i)
    for (int type = 0; type < 2; ++type) {
      std::vector<Loop> loops;
      for (const Unit& u : kUnits) loops.push_back(u.supers[type]->loop[i]);
      check(supers[i].name, supers[i].arity, false, type == 0 ? kSlotF32 : kSlotF64, loops, -1);
    }
  std::printf("%ld differences\n", failures);
  return failures != 0;
}
