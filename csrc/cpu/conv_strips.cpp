#include "cpu/conv_strips.h"

#include <algorithm>
#include <cstring>

#include "cpu/rounding.h"

namespace flowbook::cpu {
Strips::Strips(int64_t images, int64_t rows, int64_t cols, int64_t target, bool whole_rows)
    : rows(rows), cols(cols), row_step(rows), col_step(cols) {
  const int64_t most = target + target / 2;  // rather than a small rest
  if (rows * cols > most) {
    if (whole_rows || cols <= most) {
      row_step = ceil_div(rows, std::min(rows, ceil_div(rows * cols, target)));
    } else {
      row_step = 1;
      col_step = ceil_div(cols, ceil_div(cols, target));
    }
  }
  down = ceil_div(rows, row_step), across = ceil_div(cols, col_step);
  count = images * down * across;
  blocks = ceil_div(count, std::max<int64_t>(1, target / (row_step * col_step)));
  per_block = ceil_div(count, blocks);
  blocks = ceil_div(count, per_block);
}

Strip Strips::at(int64_t i) const {
  const int64_t piece = i % (down * across);
  Strip s{i / (down * across), piece / across * row_step, 0, piece % across * col_step, 0};
  s.rows = std::min(row_step, rows - s.row), s.cols = std::min(col_step, cols - s.col);
  return s;
}

void copy_region(const Region& r, const char* image, int64_t row, int64_t col, int64_t pixel,
                 char* to) {
  const int64_t left = std::clamp<int64_t>(-col, 0, r.cols);
  const int64_t inside = std::clamp<int64_t>(r.width - col, left, r.cols) - left;
  for (int64_t i = row; i < row + r.rows; ++i, to += r.cols * pixel) {
    if (i < 0 || i >= r.height || inside == 0) {
      std::memset(to, 0, size_t(r.cols * pixel));
      continue;
    }
    std::memset(to, 0, size_t(left * pixel));
    std::memcpy(to + left * pixel, image + (i * r.width + col + left) * pixel,
                size_t(inside * pixel));
    std::memset(to + (left + inside) * pixel, 0, size_t((r.cols - left - inside) * pixel));
  }
}

}  // namespace flowbook::cpu
