#include "core/resident.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "core/backend.h"

#if defined(__linux__) && !defined(MADV_POPULATE_WRITE)
#define MADV_POPULATE_WRITE 23  // Linux 5.14; older headers do not know it
#endif

namespace flowbook {
namespace {

constexpr int64_t kPage = 4096;
constexpr int64_t kSlice = 2 << 20;         // a huge page, by which large blocks are aligned
constexpr int64_t kWorthSharing = 4 << 20;  // less is there before a second thread has begun

void touch(char* begin, char* end) {
  for (volatile char* p = begin; p < end; p += kPage) *p = *p;
}

void provide(char* begin, char* end) {
#ifdef MADV_POPULATE_WRITE
  // Any other error is left to whoever writes there.
  if (!madvise(begin, size_t(end - begin), MADV_POPULATE_WRITE) || errno != EINVAL) return;
#endif
  touch(begin, end);
}

}  // namespace

void make_resident(void* data, int64_t bytes) {
  if (bytes < kWorthSharing) return;
  const auto at = reinterpret_cast<uintptr_t>(data);
  char* const begin = static_cast<char*>(data) + (-at & (kPage - 1));  // whole pages
  char* const end = static_cast<char*>(data) + bytes;
  device(0).share((end - begin + kSlice - 1) / kSlice, [&](int64_t i) {
    provide(begin + i * kSlice, std::min(end, begin + (i + 1) * kSlice));
  });
}

}  // namespace flowbook
