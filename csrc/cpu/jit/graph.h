// What one pass of a compiled loop computes for a vector of float32 lanes: values in the order in
// which they are made, streams they are read from and written to, and folds they enter.
#pragma once
#include <cstdint>
#include <vector>

namespace flowbook::cpu::jit {

enum class Kind : uint8_t {
  kConstant,  // bits
  kInput,     // the stream's lanes
  kScalar,    // the stream's one number, in all lanes
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,  // as the machine's: max(a, b) is a > b ? a : b
  kFma,
  kFms,
  kFnma,    // a b + c, a b - c, c - a b, rounded once
  kNegate,  // b holds the sign bit
  kSqrt,
  kRound,  // extra: the way to round
  kAnd,
  kOr,
  kAndNot,  // andnot: (not a) and b
  kLess,
  kLessEqual,
  kEqual,
  kNotEqual,
  kUnordered,  // all bits of a lane, or none: only and, or, andnot and select read them
  kSelect,     // a ? b : c
  kIntAdd,
  kIntSub,
  kIntGreater,
  kIntMax,
  kIntMin,
  kShiftLeft,
  kToFloat,
  kEither,  // b or c, which are the same if a, as an unsigned number, is at most `bits`: see Way
  // Effects
  kStore,  // to the stream
  kGuard,  // takes the way that always holds if a number is above `bits`
  kSum,
  kLargest,
  kSmallest  // of the lanes, into the stream's 64 running ones: see Loop
};
inline constexpr bool is_fold(Kind k) { return k >= Kind::kSum; }

struct Node {
  Kind kind;
  uint8_t arity = 0;
  uint8_t extra = 0;  // bits to shift by, way to round
  int32_t arg[3] = {-1, -1, -1};
  uint32_t bits = 0;  // of a constant; the bound; of inputs, scalars and other effects the stream
  bool operator==(const Node&) const = default;
};

class Graph {
 public:
  int constant(uint32_t bits) { return add({Kind::kConstant, 0, 0, {-1, -1, -1}, bits}); }
  int input(int stream) { return add({Kind::kInput, 0, 0, {-1, -1, -1}, uint32_t(stream)}); }
  int scalar(int stream) { return add({Kind::kScalar, 0, 0, {-1, -1, -1}, uint32_t(stream)}); }
  // A value that exists already is not made again, and some pairs are one instruction.
  int make(Kind kind, int a, int b = -1, int c = -1, int extra = 0);
  // `usual` if `x`, as an unsigned number, is at most `bound`; `general`, which is the same then
  // and takes longer, whatever it is.
  int either(int x, uint32_t bound, int usual, int general);
  void effect(Kind kind, int value, int stream);

  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  int add(const Node& n);
  const Node& at(int i) const { return nodes_[size_t(i)]; }
  bool is(int i, Kind k) const { return i >= 0 && at(i).kind == k; }
  void grow();

  std::vector<Node> nodes_;
  std::vector<int32_t> table_;  // open addressing
};

}  // namespace flowbook::cpu::jit
