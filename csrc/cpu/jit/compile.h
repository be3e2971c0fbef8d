// From a graph to a loop over streams of float32: intermediates live in registers, what does not
// fit there in the frame.
#pragma once
#include "cpu/jit/graph.h"

namespace flowbook::cpu::jit {

enum class Stream : uint8_t {
  kInput,   // n dense numbers
  kScalar,  // one number
  kOutput,  // n dense numbers; may be the memory of an input
  kPast,    // an output that goes past the caches: aligned to vectors, and a fence is to follow
  kBoth,    // n dense numbers, read and written in place
  kFold,    // out: one number, what a fold makes of all
};
inline constexpr int kMaxStreams = 9;  // but for kScalar and kFold, which are not limited

// Rows of n numbers each. `streams`: where each begins for the first row; a loop counts them up by
// `steps` bytes a row. `sum_lanes`: bytes of the lanes that sums use: element i belongs to lane
// i % 64 (kManyLanes) or i % 16 (kFewLanes), however many of them a vector has. Extrema always use
// 64.
using Loop32 = void (*)(void** streams, const int64_t* steps, int64_t rows, int64_t n,
                        int64_t sum_lanes);
inline constexpr int64_t kManyLanes = 256, kFewLanes = 64;

// Memory that will be needed soon: as far behind the elements of the stream.
struct Ahead {
  int stream;
  int32_t bytes;
};

// The vectors that code is made of, which decide how long it takes but not what it computes.
struct Target {
  int vector;     // bytes
  int registers;  // for vectors
  bool masks;     // what comparisons yield has registers of its own, a bit a lane; else a vector
};
inline constexpr Target kAvx2{32, 16, false}, kAvx512{64, 32, true};

// Machine code of a Loop32, position-independent. Needs AVX2 and FMA to run; or AVX-512 as
// x86-64-v4 has it: F, BW, DQ and VL.
std::vector<uint8_t> compile(const Graph& graph, const std::vector<Stream>& streams,
                             const std::vector<Ahead>& ahead, const Target& target);

}  // namespace flowbook::cpu::jit
