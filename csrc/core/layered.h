// Arranges one level of boxes in layers: arrows run downwards, crossings are few, chains stay
// straight. This is the geometry under layout.h, which knows about scopes, frames and gradients;
// here are only rectangles and links. Pure functions over plain numbers: the same input gives the
// same picture.
#pragma once

#include <cstdint>
#include <vector>

namespace flowbook::layout {

struct Point {
  double x = 0, y = 0;
};

// A rectangle. `left` and `right` are its extents on both sides of the vertical line at which links
// attach, so that something may hang beside the part that the links meet.
struct Item {
  double left = 0, right = 0, height = 0;
  int8_t pin = 0;       // -1: stays in the first layer, +1: in the last one (the ports of a frame)
  bool spread = false;  // links meet it side by side instead of in one point
  // Results.
  int32_t layer = 0;
  double x = 0;  // of the attachment line
  double y = 0;  // of the top edge
};

// A link of two items. `from_at` and `to_at` shift its ends from the items' attachment lines.
struct Link {
  int32_t from = 0, to = 0;
  double from_at = 0, to_at = 0;
  // A stub orders its ends but takes no room on the way. Set on entry: never routed; set by
  // arrange() where the link spans more layers than Spacing::long_link.
  bool stub = false;
  // Results.
  bool upwards = false;          // part of a cycle, drawn against the direction of the others
  int32_t first = 0, count = 0;  // its points in Level::points
};

struct Spacing {
  double across = 28;      // between neighbours of one layer
  double line = 14;        // the same where one of them is a passing link
  double along = 36;       // between layers
  double spread = 12;      // between links that meet one box
  int32_t long_link = 12;  // layers
  int32_t sweeps = 8;
};

struct Level {
  std::vector<Item> items;
  std::vector<Link> links;
  // Results. The coordinates start at 0, 0.
  std::vector<Point> points;
  double width = 0, height = 0;
  int32_t layers = 0;
};

void arrange(Level& level, const Spacing& spacing);

}  // namespace flowbook::layout
