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
  kBoth,    // n dense numbers, read and written in place
  kFold,    // out: one number, what a fold makes of all
};
inline constexpr int kMaxStreams = 9;  // but for kScalar and kFold, which are not limited

// Rows of n numbers each. `streams`: where each begins for the first row; a loop counts them up by
// `steps` bytes a row. `sum_lanes`: bytes of the lanes that sums use, less the vector that is
// addressed last: element i belongs to lane i % 64 (kManyLanes) or i % 16 (kFewLanes). Extrema
// always use 64.
using Loop32 = void (*)(void** streams, const int64_t* steps, int64_t rows, int64_t n,
                        int64_t sum_lanes);
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
