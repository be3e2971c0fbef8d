// Rows of the elementwise table, and folds, as graphs.
#pragma once
#include "cpu/jit/graph.h"

namespace flowbook::cpu::jit {

// Whether row `code` (cpu/loops.h) can be part of a graph.
bool has_row(int code);
// Its value, a node, of float32 operands. Comparisons give lanes of all bits or none, which is also
// what `where` takes first.
int trace_row(Graph& g, int code, const int* args);

}  // namespace flowbook::cpu::jit
