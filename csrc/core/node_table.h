// The nodes of a graph as columns: numbers, and words that are written once. Drawings, comparisons
// and the front end read thousands of nodes this way without an object for each.
#pragma once
#include "core/graph.h"

namespace flowbook {

struct NodeTable {
  // Of the columns of words: indices into `words`, which stand in the order in which the rows need
  // them first; -1 is none.
  std::vector<int32_t> op, family, name, spec, dtype, device, kind, scope, cell;
  std::vector<int32_t> shape;          // index into `shapes`: of the first output
  std::vector<int32_t> attrs;          // index into `attrs_of`
  std::vector<int32_t> execution;      // In [n], or 0
  std::vector<int32_t> line;           // or 0
  std::vector<int32_t> forward;        // node whose gradient rule made it, or -1
  std::vector<double> bytes;           // of all outputs; NaN while a size is open
  std::vector<int32_t> inputs, start;  // nodes; those of node i are start[i] ... start[i + 1]
  std::vector<int32_t> node_of;        // by value

  std::vector<std::string> words;
  std::vector<Shape> shapes;
  std::vector<int32_t> attrs_of;  // nodes, one for each op with attributes of its own
};

FB_API NodeTable node_table(const Graph& graph);

}  // namespace flowbook
