// How a window moves over the rows and columns of an image: what convolution and pooling have in
// common. Channels are last: images are [n, height, width, channels], weights [height, width, input
// channels / groups, output channels].
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

// One axis. `pad` zeros (or nothing, when pooling) come before the first entry; how many come
// behind the last one follows from `out`, the number of positions.
struct Window {
  int64_t size, stride, dilation, pad, pad_end;
  Dim out;
  int64_t reach() const {
    return (size - 1) * dilation + 1;
  }  // entries from a window's first to its last
};

// Attributes as the user gave them; empty lists mean ones.
struct WindowAttrs {
  const Ints& strides;
  const std::string&
      padding;       // "valid" (none), "same" (as many positions as entries, over the stride)
  const Ints& pads;  // explicit amounts before and after each axis; wins over `padding`
  const Ints& dilation;
};

// The value of a list with one entry for each of `axes` axes, or one entry for all, or none.
int64_t entry_of(const Ints& list, const char* name, int axis, int axes, int64_t otherwise);

// Axis `axis` of `axes`, of `entries` entries. With "same" and a stride above 1, `pad` needs a
// known size.
Window window_of(const WindowAttrs& a, int axis, int axes, Dim entries, int64_t size);

// The same with every default filled in, so that a list may be read as it is: [top, bottom, left,
// right] and so on.
Ints explicit_pads(const Window* w, int axes);

}  // namespace flowbook::ops
