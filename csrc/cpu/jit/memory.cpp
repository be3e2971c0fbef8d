#include "cpu/jit/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace flowbook::cpu::jit {

Pages::Pages(const std::vector<uint8_t>& code) {
  if (code.empty()) return;
  const size_t page = size_t(sysconf(_SC_PAGESIZE));
  const size_t bytes = (code.size() + page - 1) / page * page;
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return;
  std::memcpy(at, code.data(), code.size());
  if (mprotect(at, bytes, PROT_READ | PROT_EXEC) != 0) {
    munmap(at, bytes);
    return;
  }
  at_ = at, bytes_ = bytes;
}

Pages::~Pages() {
  if (at_) munmap(at_, bytes_);
}

}  // namespace flowbook::cpu::jit
