// Which element instructions become compiled loops: runs of neighbours on float32 whose values stay
// in registers, so that a block is read and written once for all of them. Everything else stays on
// the tape, which computes the same bits.
#include <algorithm>

#include "cpu/cache.h"
#include "cpu/fused.h"
#include "cpu/jit/jit.h"
#include "cpu/jit/rows.h"

namespace flowbook::cpu {

bool FusedCpu::can_compile(const FusedInstruction& ins) const {
  if (ins.level == Level::kRow && ins.reduction != Reduction::kNone) {
    // Rows that share a block are folded side by side, extrema of few numbers one by one.
    return block_rows_ == 1 && ins.dtype == DType::f32 && ins.compute == DType::f32 &&
           registers_[size_t(ins.src[0])].level == Level::kElement &&
           (ins.reduction == Reduction::kSum || cols_ >= 64);
  }
  if (ins.level == Level::kColumn && ins.reduction == Reduction::kSum)
    return block_rows_ == 1 && ins.dtype == DType::f32 && ins.compute == DType::f32;
  if (ins.level > Level::kRow || ins.reduction != Reduction::kNone || ins.row < 0) return false;
  for (int k = 0; k < ins.arity; ++k) {
    const DType wanted = ins.row == kCode_where && k == 0 ? DType::bool_ : DType::f32;
    if (registers_[size_t(ins.src[k])].dtype != wanted) return false;
  }
  return ins.compute == DType::f32 && jit::has_row(ins.row);
}

// The graph of instructions [first, end) of a phase; false if they can't be one loop.
bool FusedCpu::make_segment(size_t phase, size_t first, size_t end, Segment& s,
                            jit::Graph& graph) const {
  s.first = first, s.end = end;
  const std::vector<Instruction>& all = phases_[phase].elements;
  std::vector<int> nodes(registers_.size(), -1);
  bool extrema = false;
  const auto stream = [&](jit::Stream kind, int id) {
    s.operands.push_back({kind, id});
    return int(s.operands.size()) - 1;
  };
  // Whether someone after the segment reads it.
  const auto needed = [&](int r) {
    if (registers_[size_t(r)].output >= 0) return true;
    for (size_t p = phase; p < phases_.size(); ++p) {
      const std::vector<Instruction>& later = phases_[p].elements;
      for (size_t k = p == phase ? end : 0; k < later.size(); ++k)
        for (int i = 0; i < later[k].arity; ++i)
          if (later[k].src[i] == r) return true;
    }
    return false;
  };
  // The node of a register; maps of rows are made again here, once for all elements.
  const auto value = [&](auto& self, int r) -> int {
    int& node = nodes[size_t(r)];
    if (node >= 0) return node;
    const Register& x = registers_[size_t(r)];
    const bool one = x.level == Level::kTotal || (x.level == Level::kRow && block_rows_ == 1) ||
                     (x.home == Home::kInput && x.access == Access::kScalar);
    if (const Instruction* t = one && !long_rows_ ? row_map(r) : nullptr) {
      int args[3] = {-1, -1, -1};
      for (int i = 0; i < t->arity; ++i) args[i] = self(self, t->src[i]);
      return node = jit::trace_row(graph, t->row, args);
    }
    return node = one ? graph.scalar(stream(jit::Stream::kScalar, r))
                      : graph.input(stream(jit::Stream::kInput, r));
  };
  for (size_t k = first; k < end; ++k) {
    const Instruction& t = all[k];
    int args[3] = {-1, -1, -1};
    for (int i = 0; i < t.arity; ++i) {
      if (registers_[size_t(t.src[i])].dtype != DType::f32 && nodes[size_t(t.src[i])] < 0)
        return false;
      args[i] = value(value, t.src[i]);
    }
    if (t.kind == Instruction::kFoldColumns) {
      const bool sum = t.fold == loops().sum[kSlotF32];
      (sum ? s.sums : extrema) = true;
      graph.effect(sum                               ? jit::Kind::kSum
                   : t.fold == loops().max[kSlotF32] ? jit::Kind::kLargest
                                                     : jit::Kind::kSmallest,
                   args[0], stream(jit::Stream::kFold, int(k)));
      continue;
    }
    if (t.kind == Instruction::kFoldRows) {
      const int to = stream(jit::Stream::kBoth, int(k));
      s.columns = true;
      graph.effect(jit::Kind::kStore, graph.make(jit::Kind::kAdd, graph.input(to), args[0]), to);
      continue;
    }
    nodes[size_t(t.dst)] = jit::trace_row(graph, t.row, args);
    if (!needed(t.dst)) continue;
    if (registers_[size_t(t.dst)].dtype != DType::f32) return false;
    const bool past = !s.past && goes_past(t.dst);
    s.past |= past;
    graph.effect(jit::Kind::kStore, nodes[size_t(t.dst)],
                 stream(past ? jit::Stream::kPast : jit::Stream::kOutput, t.dst));
  }
  s.last.assign(s.operands.size(), -1);
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const jit::Node& n = graph.nodes()[i];
    if (n.kind >= jit::Kind::kStore) s.last[n.bits] = int(i);
    for (int k = 0; k < n.arity; ++k)
      if (const jit::Node& x = graph.nodes()[size_t(n.arg[k])]; x.kind == jit::Kind::kInput)
        s.last[x.bits] = int(i);
  }
  s.size = graph.nodes().size();
  // Sums begin anew with each block of theirs, extrema don't.
  if (s.sums && extrema && one_block_ && cols_ > kSumBlock) return false;
  return std::count_if(s.operands.begin(), s.operands.end(), [](const Segment::Operand& o) {
           return o.kind != jit::Stream::kScalar && o.kind != jit::Stream::kFold;
         }) <= jit::kMaxStreams;
}

// Results that no cache will keep beside what they are made from are written past them, which
// spares reading what was there.
bool FusedCpu::goes_past(int r) const {
  return registers_[size_t(r)].home == Home::kOutput && cols_ * 4 % jit::target().vector == 0 &&
         2 * rows_ * cols_ * 4 >= last_cache();
}
// While rows are worked at, the next ones come in: in the longest loop that reads them, which has
// the most time for it.
std::vector<jit::Ahead> FusedCpu::ahead(const Segment& s) const {
  std::vector<jit::Ahead> all;
  if (phases_.size() == 1 || !one_block_ || block_rows_ > 1) return all;
  for (size_t i = 0; i < s.operands.size(); ++i) {
    const auto [kind, id] = s.operands[i];
    const Register& x = registers_[size_t(id)];
    if (kind != jit::Stream::kInput || x.home != Home::kInput || x.level != Level::kElement ||
        x.access != Access::kDense)
      continue;
    const Segment* longest = &s;
    for (const Phase& phase : phases_)
      for (const Segment& other : phase.segments)
        for (const Segment::Operand& o : other.operands)
          if (o.kind == kind && o.id == id && other.size > longest->size) longest = &other;
    if (longest == &s) all.push_back({int(i), int32_t(set_rows_ * cols_ * 4)});
  }
  return all;
}

// The map that makes row value r, if a compiled loop should make it too: for one row, a vector of
// the same, which is less than a call for few rows and more than one for many.
const FusedCpu::Instruction* FusedCpu::row_map(int r) const {
  if (set_rows_ >= kManyRows) return nullptr;
  const auto find = [r](const std::vector<Instruction>& maps) {
    const auto it = std::find_if(maps.begin(), maps.end(),
                                 [r](const Instruction& t) { return t.dst == r && t.native; });
    return it == maps.end() ? nullptr : &*it;
  };
  const Instruction* found = find(first_);
  for (size_t p = 0; !found && p < phases_.size(); ++p) found = find(phases_[p].rows);
  const auto plain = [&](int i) { return registers_[size_t(i)].dtype == DType::f32; };
  return found && plain(r) && std::all_of(found->src, found->src + found->arity, plain) ? found
                                                                                        : nullptr;
}

// Row values that nobody reads but compiled loops, which make them themselves, are not made.
void FusedCpu::absorb_row_maps() {
  std::vector<char> needed(registers_.size());
  for (size_t r = 0; r < registers_.size(); ++r)
    needed[r] = registers_[r].output >= 0 || registers_[r].home == Home::kWhole;
  const auto reads = [&](const Instruction& t) {
    for (int i = 0; i < t.arity; ++i) needed[size_t(t.src[i])] = 1;
  };
  for (const Phase& p : phases_) {
    for (size_t k = 0; k < p.elements.size(); ++k) {
      if (p.elements[k].segment >= 0)
        k = p.segments[size_t(p.elements[k].segment)].end - 1;
      else
        reads(p.elements[k]);
    }
    for (const Segment& s : p.segments)
      for (const Segment::Operand& o : s.operands)
        if (o.kind != jit::Stream::kFold && o.kind != jit::Stream::kBoth) needed[size_t(o.id)] = 1;
  }
  const auto visit = [&](std::vector<Instruction>& maps) {
    for (size_t k = maps.size(); k-- > 0;) {
      maps[k].absorbed = !needed[size_t(maps[k].dst)];
      if (!maps[k].absorbed) reads(maps[k]);
    }
  };
  for (size_t p = phases_.size(); p-- > 0;) visit(phases_[p].rows);
  visit(first_);
}

void FusedCpu::compile() {
  std::vector<jit::Graph> graphs;
  for (size_t p = 0; p < phases_.size(); ++p) {
    std::vector<Instruction>& all = phases_[p].elements;
    for (size_t first = 0; first < all.size();) {
      size_t end = first;
      while (end < all.size() && all[end].native) ++end;
      // The longest run that can be one loop. A single instruction gains nothing by itself, but for
      // extrema; among other phases it spares leaving the compiled loops (fused_regular.cpp).
      const bool extremum = end > first && all[first].kind == Instruction::kFoldColumns &&
                            all[first].fold != loops().sum[kSlotF32];
      const size_t least = extremum || phases_.size() > 1 ? 1 : 2;
      for (; end >= first + least; --end) {
        Segment s;
        jit::Graph graph;
        if (!make_segment(p, first, end, s, graph)) continue;
        all[first].segment = int(phases_[p].segments.size());
        phases_[p].segments.push_back(std::move(s));
        graphs.push_back(std::move(graph));
        break;
      }
      first = std::max(end, first + 1);
    }
  }
  if (graphs.empty()) return;
  std::vector<uint8_t> code;
  auto graph = graphs.begin();
  for (Phase& phase : phases_)
    for (Segment& s : phase.segments) {
      std::vector<jit::Stream> streams;
      for (const Segment::Operand& o : s.operands) streams.push_back(o.kind);
      s.at = int64_t(code.size());
      const std::vector<uint8_t> loop = jit::compile(*graph++, streams, ahead(s), jit::target());
      code.insert(code.end(), loop.begin(), loop.end());
      code.resize((code.size() + 63) / 64 * 64, 0xcc);
    }
  pages_ = jit::Pages(code);
  if (pages_) {
    for (const Phase& phase : phases_)
      for (const Segment& s : phase.segments)
        if (s.past) past_ = jit::target().vector;
    absorb_row_maps();
    regular_ = is_regular();
    if (regular_) prepare_regular();
    return;
  }
  for (Phase& phase : phases_)
    for (Instruction& t : phase.elements) t.segment = -1;
}

// Whether one loop, from inputs to results, is all there is: then no block has to stay in a cache.
bool FusedCpu::one_loop() const {
  const Phase& only = phases_[0];
  if (phases_.size() > 1 || row_folds_ + column_folds_ > 0 || only.elements.empty() ||
      only.elements[0].segment < 0)
    return false;
  const Segment& s = only.segments[0];
  return s.end == only.elements.size() && !s.past &&
         std::all_of(s.operands.begin(), s.operands.end(), [&](const Segment::Operand& o) {
           const Register& x = registers_[size_t(o.id)];
           return x.home == Home::kOutput || (x.home == Home::kInput && x.gather < 0);
         });
}

}  // namespace flowbook::cpu
