// flowbook._core.layout: arrays in, a picture's geometry out. What the arrays mean is in
// core/layout.h.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>

#include "core/layout.h"

namespace py = pybind11;

namespace flowbook {
namespace {

template <class T>
using In = py::array_t<T, py::array::c_style | py::array::forcecast>;

template <class T>
std::span<const T> span_of(const In<T>& array) {
  return {array.data(), static_cast<size_t>(array.size())};
}

// A [rows, columns] array filled row by row by `put(row, index)`.
template <class T, class Put>
py::array_t<T> table(size_t rows, size_t columns, Put put) {
  py::array_t<T> out({rows, columns});
  for (size_t i = 0; i < rows; ++i) put(out.mutable_data(static_cast<py::ssize_t>(i), 0), i);
  return out;
}

py::dict layout_arrays(const In<double>& width, const In<double>& height, const In<int32_t>& scope,
                       const In<int32_t>& beside, const In<int64_t>& signature,
                       const In<int32_t>& from, const In<int32_t>& to, const In<int32_t>& parent,
                       const In<int8_t>& state, const In<double>& scope_width,
                       const In<double>& scope_height, int32_t max_boxes, bool fold_repeats,
                       int32_t long_edge, double across, double along, std::array<double, 3> mark,
                       std::array<double, 4> frame) {
  layout::Description graph{span_of(width),       span_of(height),      span_of(scope),
                            span_of(beside),      span_of(signature),   span_of(from),
                            span_of(to),          span_of(parent),      span_of(state),
                            span_of(scope_width), span_of(scope_height)};
  layout::Options options;
  options.max_boxes = max_boxes;
  options.fold_repeats = fold_repeats;
  options.spacing.long_link = long_edge;
  options.spacing.across = across;
  options.spacing.along = along;
  options.mark_width = mark[0];
  options.mark_height = mark[1];
  options.mark_gap = mark[2];
  options.frame_before = frame[0];
  options.frame_after = frame[1];
  options.frame_left = frame[2];
  options.frame_right = frame[3];
  layout::Picture picture;
  {
    py::gil_scoped_release nogil;
    picture = layout::layout(graph, options);
  }
  py::dict out;
  out["boxes"] = table<int32_t>(picture.boxes.size(), 6, [&](int32_t* row, size_t i) {
    const layout::Box& b = picture.boxes[i];
    row[0] = b.kind;
    row[1] = b.index;
    row[2] = b.frame;
    row[3] = b.repeat;
    row[4] = b.nodes;
    row[5] = b.gradients;
  });
  out["places"] = table<double>(picture.boxes.size(), 4, [&](double* row, size_t i) {
    const layout::Box& b = picture.boxes[i];
    row[0] = b.x;
    row[1] = b.y;
    row[2] = b.width;
    row[3] = b.height;
  });
  out["segments"] = table<int32_t>(picture.segments.size(), 8, [&](int32_t* row, size_t i) {
    const layout::Segment& s = picture.segments[i];
    row[0] = s.kind;
    row[1] = s.from;
    row[2] = s.to;
    row[3] = s.edge;
    row[4] = s.start;
    row[5] = s.arrow;
    row[6] = s.first;
    row[7] = s.count;
  });
  out["points"] = table<double>(picture.points.size(), 2, [&](double* row, size_t i) {
    row[0] = picture.points[i].x;
    row[1] = picture.points[i].y;
  });
  out["box_of_node"] = py::array_t<int32_t>(static_cast<py::ssize_t>(picture.box_of_node.size()),
                                            picture.box_of_node.data());
  out["size"] = py::make_tuple(picture.width, picture.height);
  out["layers"] = picture.layers;
  return out;
}

}  // namespace

void bind_layout(py::module_& m) {
  m.def("layout", &layout_arrays, py::arg("width"), py::arg("height"), py::arg("scope"),
        py::arg("beside"), py::arg("signature"), py::arg("from"), py::arg("to"), py::arg("parent"),
        py::arg("state"), py::arg("scope_width"), py::arg("scope_height"), py::kw_only(),
        py::arg("max_boxes") = 60, py::arg("fold_repeats") = true, py::arg("long_edge") = 12,
        py::arg("across") = 28.0, py::arg("along") = 36.0,
        py::arg("mark") = std::array<double, 3>{46, 22, 6},
        py::arg("frame") = std::array<double, 4>{26, 12, 14, 14},
        R"(Places the boxes and lines of a graph's picture.

Nodes come in an order in which inputs precede their readers, scopes before their children; the
columns of the returned tables are those of `Box`, `Segment` and `Point` in csrc/core/layout.h:
`boxes` (kind, index, frame, repeat, nodes, gradients), `places` (x, y, width, height), `segments`
(kind, from, to, edge, start, arrow, first, count), `points` (x, y).)");
}

}  // namespace flowbook
