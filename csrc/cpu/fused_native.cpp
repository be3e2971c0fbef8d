// Which element instructions become compiled loops: runs of neighbours on float32 whose values stay
// in registers, so that a block is read and written once for all of them. Everything else stays on
// the tape, which computes the same bits.
#include <algorithm>

#include "cpu/fused.h"
#include "cpu/jit/jit.h"
#include "cpu/jit/rows.h"

namespace flowbook::cpu {

bool FusedCpu::can_compile(const FusedInstruction& ins) const {
  if (ins.level == Level::kRow && ins.reduction != Reduction::kNone) {
    // Rows that share a block are folded side by side; extrema fold whole sets of 64 lanes.
    return set_rows_ == 1 && ins.dtype == DType::f32 && ins.compute == DType::f32 &&
           registers_[size_t(ins.src[0])].level == Level::kElement &&
           (ins.reduction == Reduction::kSum || cols_ % 64 == 0);
  }
  if (ins.level != Level::kElement || ins.reduction != Reduction::kNone || ins.row < 0)
    return false;
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
  s.operands.clear();
  const std::vector<Instruction>& all = phases_[phase].elements;
  std::vector<int> nodes(registers_.size(), -1);
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
  for (size_t k = first; k < end; ++k) {
    const Instruction& t = all[k];
    int args[3] = {-1, -1, -1};
    for (int i = 0; i < t.arity; ++i) {
      const int r = t.src[i];
      const Register& x = registers_[size_t(r)];
      if (nodes[size_t(r)] < 0) {
        if (x.dtype != DType::f32) return false;
        const bool one = x.level == Level::kTotal || (x.level == Level::kRow && set_rows_ == 1) ||
                         (x.home == Home::kInput && x.access == Access::kScalar);
        nodes[size_t(r)] = one ? graph.scalar(stream(jit::Stream::kScalar, r))
                               : graph.input(stream(jit::Stream::kInput, r));
      }
      args[i] = nodes[size_t(r)];
    }
    if (t.kind == Instruction::kFoldColumns) {
      const bool sum = t.fold == loops().sum[kSlotF32];
      s.sums |= sum;
      graph.effect(sum                               ? jit::Kind::kSum
                   : t.fold == loops().max[kSlotF32] ? jit::Kind::kLargest
                                                     : jit::Kind::kSmallest,
                   args[0], stream(jit::Stream::kLanes, int(k)));
      continue;
    }
    nodes[size_t(t.dst)] = jit::trace_row(graph, t.row, args);
    if (!needed(t.dst)) continue;
    if (registers_[size_t(t.dst)].dtype != DType::f32) return false;
    graph.effect(jit::Kind::kStore, nodes[size_t(t.dst)], stream(jit::Stream::kOutput, t.dst));
  }
  return std::count_if(s.operands.begin(), s.operands.end(), [](const Segment::Operand& o) {
           return o.kind != jit::Stream::kScalar;
         }) <= jit::kMaxStreams;
}

void FusedCpu::compile() {
  std::vector<uint8_t> code;
  for (size_t p = 0; p < phases_.size(); ++p) {
    std::vector<Instruction>& all = phases_[p].elements;
    for (size_t first = 0; first < all.size();) {
      size_t end = first;
      while (end < all.size() && all[end].native) ++end;
      // The longest run that can be one loop; a single instruction gains nothing.
      for (; end >= first + 2; --end) {
        Segment s;
        jit::Graph graph;
        if (!make_segment(p, first, end, s, graph)) continue;
        std::vector<jit::Stream> streams;
        for (const Segment::Operand& o : s.operands) streams.push_back(o.kind);
        s.at = int64_t(code.size());
        const std::vector<uint8_t> loop = jit::compile(graph, streams);
        code.insert(code.end(), loop.begin(), loop.end());
        code.resize((code.size() + 63) / 64 * 64, 0xcc);
        all[first].segment = int(phases_[p].segments.size());
        phases_[p].segments.push_back(std::move(s));
        break;
      }
      first = std::max(end, first + 1);
    }
  }
  if (code.empty()) return;
  pages_ = jit::Pages(code);
  if (pages_) return;
  for (Phase& phase : phases_)
    for (Instruction& t : phase.elements) t.segment = -1;
}

}  // namespace flowbook::cpu
