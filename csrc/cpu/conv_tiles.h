// The innermost loops of our own convolutions, compiled per instruction set. They are those of a
// matrix product whose left factor is never formed: each of its rows is read where it lies in the
// images, in runs (Dukhan, The indirect convolution algorithm, 2019). Plain declarations only: this
// header is included by the per-ISA units.
#pragma once
#include <stdint.h>

namespace flowbook::cpu {

// Elements a row reads one after the other, in steps of `ConvMeeting::step`; offsets from where the
// row begins. `end` is the offset behind the last step. They meet the panel from its row `row` on.
struct Run {
  int64_t offset, end, row;
};

// Rows that meet a panel: c[r] = sum of a[row r, i] * panel[i], i through all runs in their order.
struct ConvMeeting {
  const void* a;
  const int64_t* a_rows;  // where each row begins in a
  int64_t rows;
  const Run* runs;
  int64_t run_count, step;
  const void* panel;
  int64_t panel_step;  // elements from row to row: `panel_width` as `pack` left it, or more
  int64_t columns;     // at most `width`; all places of a vector can be read
  void* c;
  const int64_t* c_rows;  // where each row's results lie in c
  bool accumulate;        // add to what c holds
};

struct ConvTileLoops {
  void (*meet)(const ConvMeeting&);
  // `depth` rows of b, `columns` of them (at most `width`), become a panel.
  void (*pack)(const void* b, int64_t row, int64_t column, int64_t depth, int64_t columns,
               void* panel);
  int64_t lanes;  // a panel has so many places a row, or twice as many
  int64_t rows;   // rows of a that a tile holds
  int64_t width() const { return 2 * lanes; }
  int64_t panel_width(int64_t columns) const { return columns > lanes ? width() : lanes; }
};
struct ConvTiles {
  ConvTileLoops f32, f64;
};

// For this machine's instruction set.
const ConvTiles& conv_tiles();

}  // namespace flowbook::cpu
