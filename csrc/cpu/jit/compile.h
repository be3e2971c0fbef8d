// From a graph to a loop over streams of float32: intermediates live in registers, what does not
// fit there in the frame.
#pragma once
#include "cpu/jit/graph.h"

namespace flowbook::cpu::jit {

enum class Stream : uint8_t {
  kInput,   // n dense numbers
  kScalar,  // one number
  kOutput,  // n dense numbers; may be the memory of an input
  kPast,    // an output that goes past the caches: 32-byte aligned, and a fence is to follow
  kLanes,   // out: 64 running numbers of a fold, 32-byte aligned, and the joined one behind them
};
inline constexpr int kMaxStreams = 9;  // other than scalars; scalars are not limited

// Streams in the order of their numbers, and how many elements. `sum_lanes`: bytes of the lanes
// that sums use, less the vector that is addressed last: element i belongs to lane i % 64
// (kManyLanes) or i % 16. Extrema take n that are multiples of 64 only.
using Loop32 = void (*)(void* const* streams, int64_t n, int64_t sum_lanes);
inline constexpr int64_t kManyLanes = 224, kFewLanes = 32;

// Memory that will be needed soon: as far behind the elements of the stream.
struct Ahead {
  int stream;
  int32_t bytes;
};

// Machine code of a Loop32, position-independent. Needs AVX2 and FMA to run.
std::vector<uint8_t> compile(const Graph& graph, const std::vector<Stream>& streams,
                             const std::vector<Ahead>& ahead = {});

}  // namespace flowbook::cpu::jit
