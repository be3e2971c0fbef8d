// Whether programs are compiled to machine code.
#pragma once
#include <cstdint>

#include "core/export.h"

namespace flowbook::cpu::jit {

enum class Mode : uint8_t { kOff, kOn, kAlways };  // always: programs too small to gain, too

// What the environment variable FLOWBOOK_JIT says (0, 1, always); without it 1.
// Off wherever it can't be: that needs x86-64 Linux, AVX2 that FLOWBOOK_ISA does not rule out, and
// a system that grants executable memory.
FB_API Mode mode();
// For programs that are made from now on.
FB_API void set_mode(Mode m);

}  // namespace flowbook::cpu::jit
