// How the results of a convolution are cut for our own loops: into strips of an image, which are
// some whole rows or a part of one row, and blocks of strips, so that what a block reads and writes
// stays in the caches. By sizes alone, never by threads.
#pragma once
#include <cstdint>

namespace flowbook::cpu {

struct Strip {
  int64_t image, row, rows, col, cols;
};

struct Strips {
  int64_t rows, cols;          // of an image's results
  int64_t row_step, col_step;  // of a strip; less at the edges
  int64_t down, across;        // strips of an image
  int64_t count;               // of all images
  int64_t per_block, blocks;

  // Of about `target` results a block. `whole_rows`: rows must not be cut.
  Strips(int64_t images, int64_t rows, int64_t cols, int64_t target, bool whole_rows);
  Strip at(int64_t i) const;  // in the order of the results
  int64_t begin(int64_t block) const { return block * per_block; }
  int64_t end(int64_t block) const {
    const int64_t e = (block + 1) * per_block;
    return e < count ? e : count;
  }
};

// The part of images [.., height, width, pixel] that strips look at, with zeros around the image.
struct Region {
  int64_t height, width;  // of the image
  int64_t rows, cols;     // of the region
};

// Copies the region whose first entry is (row, col) of the image, which may lie outside of it.
// `pixel` counts bytes.
void copy_region(const Region& r, const char* image, int64_t row, int64_t col, int64_t pixel,
                 char* to);

}  // namespace flowbook::cpu
