// The scalar functions that value texts of ops/elementwise.def may use, over float, double and the
// integers.
//
// Rules: explicit fma only (the compiler contracts nothing), no branches where a loop should
// vectorise, no tables, so that every instruction set, vector width, tail and fused program gives
// the same bits. At most 2 ulp in float32, IEEE results at NaN, infinities, -0 and subnormals;
// tests/cpp/accuracy.cpp and tests/test_accuracy.py hold the bound of each function. Coefficients
// come from csrc/cpu/tools/coefficients.py under the names beside them. Functions named *_w
// ("wide") take and give double but are only as precise as a float32 result needs. In float64 exp,
// log, expm1, log1p, tanh and what stands on them are ours; the rest is the C library's, called
// element by element, one copy for all instruction sets.
//
// What costs: a loop runs at about one vector instruction a cycle, so count them in the assembly
// (`g++ -S`). The traps are clamps (see at_least), selects between constants, and double, which
// halves the lanes.
//
// Included inside a namespace per instruction set; everything is static.
#pragma once

#include "cpu/scalar/machine.h"
//
#include "cpu/scalar/integers.h"
//
#include "cpu/scalar/exponential.h"
//
#include "cpu/scalar/logarithm.h"
//
#include "cpu/scalar/wide.h"
//
#include "cpu/scalar/powers.h"
//
#include "cpu/scalar/trigonometry.h"
//
#include "cpu/scalar/erf.h"
//
#include "cpu/scalar/error_function.h"
//
#include "cpu/scalar/normal.h"
//
#include "cpu/scalar/float64.h"
//
#include "cpu/scalar/logistic.h"
//
#include "cpu/scalar/logistic64.h"
