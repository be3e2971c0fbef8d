// The picture of a graph as geometry: which boxes are visible, where they stand, how the lines run.
//
// A graph has thousands of nodes, a picture about sixty boxes. layout() folds scopes (layers of a
// model) into boxes, runs of equal scopes into one box "xN", and the nodes of a gradient into a
// mark beside the forward node that they belong to; what is open becomes a frame around its inside.
// Colours, texts and formats are not known here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/export.h"
#include "core/layered.h"

namespace flowbook::layout {

enum ScopeState : int8_t { kDecide = -1, kClosed = 0, kOpen = 1 };

// A graph in plain arrays. Nodes stand in an order in which inputs come first; scopes come before
// their children.
struct Description {
  std::span<const double> width, height;  // per node
  std::span<const int32_t> scope;         // per node: its innermost scope, or -1
  std::span<const int32_t>
      beside;  // per node: the forward node that this gradient node belongs to, or -1
  std::span<const int64_t>
      signature;  // per node: equal numbers may stand for each other in repeated blocks
  std::span<const int32_t> from, to;                  // per edge
  std::span<const int32_t> parent;                    // per scope, or -1
  std::span<const int8_t> state;                      // per scope: ScopeState
  std::span<const double> scope_width, scope_height;  // per scope, while it is closed
};

struct Options {
  Spacing spacing;
  int32_t max_boxes =
      60;  // scopes left to decide open while the picture has no more boxes than this
  bool fold_repeats = true;
  double mark_width = 46, mark_height = 22, mark_gap = 6;  // the mark of a gradient
  // Padding of an open scope: top, bottom, left, right.
  double frame_before = 26, frame_after = 12, frame_left = 14, frame_right = 14;
};

struct Box {
  enum Kind : int8_t { kNode, kScope, kFrame };
  Kind kind = kNode;
  int32_t index = 0;      // of the node or scope
  int32_t frame = -1;     // the box of the open scope around it
  int32_t repeat = 1;     // how many equal scopes it stands for
  int32_t nodes = 0;      // forward nodes inside, all repetitions counted
  int32_t gradients = 0;  // gradient nodes folded into its mark
  double x = 0, y = 0, width = 0,
         height = 0;  // without the mark, which hangs at x + width + mark_gap
};

struct Segment {
  enum Kind : int8_t { kLine, kStub, kGradient };
  Kind kind = kLine;
  bool arrow = false;  // ends at a box, not at the border of a frame
  bool start = false;  // begins at a box
  int32_t from = -1,
          to =
              -1;  // boxes whose value it carries and which read it (first reader of a shared line)
  int32_t edge = -1;             // the first edge that it stands for
  int32_t first = 0, count = 0;  // its points
};

struct Picture {
  std::vector<Box> boxes;
  std::vector<Segment> segments;
  std::vector<Point> points;
  std::vector<int32_t> box_of_node;  // the visible box in which each node is found
  double width = 0, height = 0;
  int32_t layers = 0;  // of the outermost level
};

FB_API Picture layout(const Description& graph, const Options& options = {});

}  // namespace flowbook::layout
