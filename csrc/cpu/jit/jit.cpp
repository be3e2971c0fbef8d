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
    return wish && std::strcmp(wish, "always") == 0 ? Mode::kAlways : Mode::kOn;
  }();
  return mode;
}

}  // namespace

Mode mode() {
  const Mode m = wanted().load(std::memory_order_relaxed);
  return m != Mode::kOff && possible() ? m : Mode::kOff;
}
void set_mode(Mode m) { wanted().store(m, std::memory_order_relaxed); }

}  // namespace flowbook::cpu::jit
