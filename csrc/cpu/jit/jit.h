// Whether programs are compiled to machine code.
#pragma once
#include <cstdint>

#include "core/export.h"
#include "cpu/jit/compile.h"

namespace flowbook::cpu::jit {

// kAlways: programs too small to gain, too. kNarrow: so, and with AVX2 where there is AVX-512, to
// compare the two.
enum class Mode : uint8_t { kOff, kOn, kAlways, kNarrow };

// What the environment variable FLOWBOOK_JIT says (0, 1, always, narrow); without it 1.
// Off wherever it can't be: that needs x86-64 Linux, AVX2 that FLOWBOOK_ISA does not rule out, and
// a system that grants executable memory.
FB_API Mode mode();
// What code is made of, according to the mode, FLOWBOOK_ISA and the machine.
const Target& target();
// For programs that are made from now on.
FB_API void set_mode(Mode m);

}  // namespace flowbook::cpu::jit
