#include "cpu/conv_scratch.h"

#include <cstdlib>
#include <limits>
#include <memory>

#include "core/bytes.h"
#include "core/error.h"
#include "cpu/rounding.h"

namespace flowbook::cpu {
namespace {

struct Free {
  void operator()(char* p) const { std::free(p); }
};
struct Memory {
  std::unique_ptr<char, Free> bytes;
  int64_t size = 0;
};

}  // namespace

int64_t conv_scratch_bytes(std::initializer_list<int64_t> factors) {
  int64_t bytes = 1;
  double wanted = 1;
  bool fits = true;
  for (const int64_t f : factors)
    wanted *= double(f), fits &= !__builtin_mul_overflow(bytes, f, &bytes);
  if (!fits || bytes > std::numeric_limits<int64_t>::max() / 2)
    fail(ErrorKind::kOutOfMemory, "convolution needs ", Bytes(wanted),
         " of scratch memory: its padding and strides are far larger than its images");
  return bytes;
}

char* conv_scratch(ConvScratch purpose, std::initializer_list<int64_t> factors) {
  const int64_t bytes = conv_scratch_bytes(factors);
  thread_local Memory memories[3];
  Memory& m = memories[int(purpose)];
  if (bytes > m.size) {
    m.bytes.reset(), m.size = 0;
    const int64_t room = aligned(bytes);
    m.bytes.reset(static_cast<char*>(std::aligned_alloc(64, size_t(room))));
    if (!m.bytes)
      fail(ErrorKind::kOutOfMemory, "convolution needs ", Bytes(bytes), " of scratch memory");
    m.size = room;
  }
  return m.bytes.get();
}

}  // namespace flowbook::cpu
