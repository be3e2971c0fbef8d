#include "cpu/jit/jit.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "cpu/jit/memory.h"
#include "cpu/loops.h"

namespace flowbook::cpu::jit {

namespace {

bool possible() {
#if defined(__x86_64__) && defined(__linux__)
  static const bool answer = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           std::strcmp(isa_name(), "v2") != 0 && Pages({0xc3});
  }();
  return answer;
#else
  return false;
#endif
}
std::atomic<Mode>& wanted() {
  static std::atomic<Mode> mode = [] {
    const char* wish = std::getenv("FLOWBOOK_JIT");
    if (wish && std::strcmp(wish, "0") == 0) return Mode::kOff;
    if (wish && std::strcmp(wish, "narrow") == 0) return Mode::kNarrow;
    return wish && std::strcmp(wish, "always") == 0 ? Mode::kAlways : Mode::kOn;
  }();
  return mode;
}

}  // namespace

const Target& target() {
  static const bool wide = std::strcmp(isa_name(), "v4") == 0;
  return wide && wanted().load(std::memory_order_relaxed) != Mode::kNarrow ? kAvx512 : kAvx2;
}
Mode mode() {
  const Mode m = wanted().load(std::memory_order_relaxed);
  return m != Mode::kOff && possible() ? m : Mode::kOff;
}
void set_mode(Mode m) { wanted().store(m, std::memory_order_relaxed); }

}  // namespace flowbook::cpu::jit
