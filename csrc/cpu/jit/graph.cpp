#include "cpu/jit/graph.h"

namespace flowbook::cpu::jit {

namespace {
size_t hash(const Node& n) {
  uint64_t h = uint64_t(n.kind) | uint64_t(n.extra) << 8 | uint64_t(n.bits) << 16;
  for (const int32_t a : n.arg) h = (h ^ uint32_t(a)) * 0x9E3779B97F4A7C15u, h ^= h >> 29;
  return size_t(h);
}
}  // namespace

int Graph::make(Kind kind, int a, int b, int c, int extra) {
  const uint8_t arity = c >= 0 ? 3 : b >= 0 ? 2 : 1;
  if (kind == Kind::kFma && is(a, Kind::kNegate)) return make(Kind::kFnma, at(a).arg[0], b, c);
  if (kind == Kind::kFma && is(b, Kind::kNegate)) return make(Kind::kFnma, at(b).arg[0], a, c);
  if (kind == Kind::kFma && is(c, Kind::kNegate)) return make(Kind::kFms, a, b, at(c).arg[0]);
  if (kind == Kind::kSelect && (is(a, Kind::kLess) || is(a, Kind::kIntGreater))) {
    const bool real = is(a, Kind::kLess);
    const int low = at(a).arg[real ? 0 : 1], high = at(a).arg[real ? 1 : 0];  // if it holds
    if (b == high && c == low) return make(real ? Kind::kMax : Kind::kIntMax, high, low);
    if (b == low && c == high) return make(real ? Kind::kMin : Kind::kIntMin, low, high);
  }
  if (kind == Kind::kSelect && is(b, Kind::kConstant) && at(b).bits == 0)
    return make(Kind::kAndNot, a, c);
  if (kind == Kind::kSelect && is(c, Kind::kConstant) && at(c).bits == 0)
    return make(Kind::kAnd, a, b);
  return add({kind, arity, uint8_t(extra), {a, b, c}, 0});
}

int Graph::either(int x, uint32_t bound, int usual, int general) {
  return add({Kind::kEither, 3, 0, {x, usual, general}, bound});
}

void Graph::effect(Kind kind, int value, int stream) {
  nodes_.push_back({kind, 1, 0, {value, -1, -1}, uint32_t(stream)});
}

int Graph::add(const Node& n) {
  if (2 * nodes_.size() >= table_.size()) grow();
  const size_t mask = table_.size() - 1;
  size_t i = hash(n) & mask;
  for (; table_[i] >= 0; i = (i + 1) & mask)
    if (at(table_[i]) == n) return table_[i];
  table_[i] = int32_t(nodes_.size());
  nodes_.push_back(n);
  return table_[i];
}

void Graph::grow() {
  table_.assign(table_.empty() ? 512 : 4 * table_.size(), -1);
  const size_t mask = table_.size() - 1;
  for (size_t k = 0; k < nodes_.size(); ++k) {
    if (nodes_[k].kind >= Kind::kStore) continue;
    size_t i = hash(nodes_[k]) & mask;
    while (table_[i] >= 0) i = (i + 1) & mask;
    table_[i] = int32_t(k);
  }
}

}  // namespace flowbook::cpu::jit
