// Rules of windows.h.
#include "ops/windows.h"

#include <algorithm>

namespace flowbook::ops {

int64_t entry_of(const Ints& list, const char* name, int axis, int axes, int64_t otherwise) {
  if (list.empty()) return otherwise;
  if (list.size() != 1 && int(list.size()) != axes)
    argument_error("`", name, "` has ", int64_t(list.size()),
                   " entries. It must have one for each of the ", int64_t(axes),
                   axes == 1 ? " axis" : " axes", ", or a single one for all.");
  const int64_t v = list[list.size() == 1 ? 0 : size_t(axis)];
  if (v < 1) argument_error("`", name, "` is ", v, ". It must be at least 1.");
  if (v > INT32_MAX) argument_error("`", name, "` is ", v, ". It must fit 32 bits.");
  return v;
}

Window window_of(const WindowAttrs& a, int axis, int axes, Dim entries, int64_t size) {
  Window w;
  w.size = size;
  w.stride = entry_of(a.strides, "strides", axis, axes, 1);
  w.dilation = entry_of(a.dilation, "dilation", axis, axes, 1);
  w.pad = w.pad_end = 0;
  if (size < 1)
    shape_error("a window of ", size, " entries was asked for. It must have at least one.");
  if (!a.pads.empty()) {
    if (a.pads.size() != 1 && int(a.pads.size()) != 2 * axes)
      argument_error("`pads` has ", int64_t(a.pads.size()), " entries. It must have ",
                     int64_t(2 * axes), ": before and after each axis, or a single one for all.");
    w.pad = a.pads[a.pads.size() == 1 ? 0 : size_t(2 * axis)];
    w.pad_end = a.pads[a.pads.size() == 1 ? 0 : size_t(2 * axis + 1)];
    if (w.pad < 0 || w.pad_end < 0 || w.pad > INT32_MAX || w.pad_end > INT32_MAX)
      argument_error("`pads` has ", std::min(w.pad, w.pad_end), " in it. Amounts are 0 or more.");
  } else if (a.padding == "same") {
    w.out = floor_div(entries + Dim(w.stride - 1), Dim(w.stride));
    if (entries.known() || w.stride > 1) {
      const int64_t n = entries.value();
      const int64_t total =
          n == 0 ? 0 : std::max<int64_t>((w.out.value() - 1) * w.stride + w.reach() - n, 0);
      w.pad = total / 2, w.pad_end = total - w.pad;
    } else {
      w.pad = (w.reach() - 1) / 2, w.pad_end = w.reach() - 1 - w.pad;
    }
    return w;
  } else if (a.padding != "valid") {
    argument_error("`padding` is \"", a.padding,
                   "\". It is \"valid\" or \"same\"; `pads` takes explicit amounts.");
  }
  const Dim padded = entries + Dim(w.pad + w.pad_end);
  if (padded.known()) {
    const int64_t room = padded.value() - w.reach();
    if (room < 0)
      shape_error("the window reaches over ", w.reach(), " entries, the padded axis has ",
                  padded.value(), ". Use a smaller window, or padding=\"same\".");
    w.out = room / w.stride + 1;
  } else {
    w.out = floor_div(padded - Dim(w.reach()), Dim(w.stride)) + Dim(1);
  }
  return w;
}

Ints explicit_pads(const Window* w, int axes) {
  Ints pads;
  for (int i = 0; i < axes; ++i) pads.push_back(w[i].pad), pads.push_back(w[i].pad_end);
  return pads;
}

}  // namespace flowbook::ops
