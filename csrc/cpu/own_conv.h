// Our own convolutions, for what no library takes and what we do faster: products whose left factor
// is never formed. A pass reads images, [n, h, w, c], and writes others: forward x to y; for the
// image's gradient y to x, where each phase of the strides is a convolution of its own, with the
// weights that meet it. Blocks of results go to threads.
#pragma once
#include <utility>
#include <vector>

#include "cpu/conv.h"
#include "cpu/conv_strips.h"
#include "cpu/conv_tiles.h"
#include "cpu/rounding.h"

namespace flowbook::cpu {

class OwnConv {
 public:
  OwnConv(const Conv& conv, bool forward);
  OwnConv(const OwnConv&) = delete;  // phases point to their axes
  OwnConv& operator=(const OwnConv&) = delete;

  // The weights as panels, which may be kept as long as the weights stay the same, and behind them
  // whether they are finite.
  int64_t packed_bytes() const { return panel_bytes() + int64_t(sizeof(int64_t)); }
  void pack(const void* weights, void* packed) const;

  // Blocks that an epilogue follows: rows of results, all columns.
  int64_t blocks() const { return strips_.blocks; }
  void run(const void* in, const void* packed, void* out, const Epilogue* epilogue) const;

 private:
  // Along one axis: results at `first` + q `step` for q < `results`; each tap reads the entry at
  // q `stride` + `offset`.
  struct Tap {
    int64_t weight, offset;
  };
  struct Axis {
    int64_t results, first, step, stride;
    std::vector<Tap> taps;  // by offset
    // Whether all taps of result q see entries of an image that has so many.
    bool inside(int64_t q, int64_t entries) const {
      return taps.empty() ||
             (q * stride + taps.front().offset >= 0 && q * stride + taps.back().offset < entries);
    }
  };
  // Neighbouring results of an axis that see the image with the same of its taps.
  struct Stretch {
    int64_t begin, end;  // results
    size_t tap, tap_end;
    int64_t count() const { return end - begin; }
    int64_t taps() const { return int64_t(tap_end - tap); }
  };
  // Neighbouring inputs of one weight.
  struct Piece {
    int64_t weight, input, count;
  };
  // So many products of an element that their panel fits the first cache.
  struct Chunk {
    size_t piece, pieces;   // the first, and how many
    int64_t before, depth;  // products before it and in it
  };
  // Results of a phase that look at the same taps, with what they read of each chunk.
  struct Part {
    Stretch rows, cols;
    std::vector<Run> runs;
    std::vector<size_t> chunk_end;  // runs up to the end of each chunk
  };
  // The results that meet the same weights.
  struct Phase {
    const Axis *rows, *cols;
    std::vector<Piece> pieces;
    std::vector<Chunk> chunks;
    std::vector<Part> parts;
    int64_t packed = 0;  // where its panels begin
  };
  // Which results leave out the taps that see nothing but padding.
  enum class Edges {
    kNone,  // none: they meet zeros
    kSome,  // rows of results at the edges of an image, and the columns of all other rows
    kAll,
  };
  struct Images {
    int64_t n, h, w, c;
    int64_t of(int64_t image, int64_t row, int64_t col) const {
      return ((image * h + row) * w + col) * c;
    }
  };

  static std::vector<Axis> axes(const ops::Window& window, int64_t in, int64_t entries,
                                bool forward);
  Strips cut() const;
  std::vector<Stretch> stretches(const Axis& axis, int64_t entries, bool together) const;
  // body(rows, columns): the stretches of a phase.
  template <class Body>
  void each_part(const Axis& rows, const Axis& cols, Edges edges, Body&& body) const;
  double cost(Edges edges) const;
  void look();  // chooses the edges and sets the region
  void add_phase(const Axis& rows, const Axis& cols);
  void add_part(Phase& phase, const Stretch& rows, const Stretch& cols) const;
  const char* gather(int64_t block, const char* in) const;
  int64_t panel_bytes() const { return aligned(groups_ * packed_ * bytes_); }
  // body(strip, results): those that a strip has of some rows and columns.
  template <class Body>
  void each_strip(int64_t block, const Stretch& rows, const Stretch& cols, Body&& body) const;
  void run_block(int64_t block, const char* in, const char* packed, char* out) const;
  void run_part(const Phase& phase, const Part& part, ConvMeeting m, const char* a,
                const char* packed, char* out) const;
  template <class T>
  void mend(int64_t block, const T* in, T* out) const;
  template <class T>
  T sum_inside(const Phase& phase, const T* in, int64_t image, int64_t row, int64_t col,
               int64_t output) const;
  // The rows of out, [n * h * w, c], that a block has.
  std::pair<int64_t, int64_t> rows_of(int64_t block) const;

  const ConvTileLoops& tiles_;
  const int64_t bytes_, groups_;
  const void* const weights_;  // unpacked
  const Images in_, out_;
  const int64_t window_cols_;       // weights in a row of the window
  const int64_t inputs_, outputs_;  // of a group
  const int64_t tap_step_, input_step_, output_step_, group_step_;  // in the weights
  const std::vector<Axis> rows_, cols_;
  const int64_t width_;  // places in all panels of a group for one product
  const Strips strips_;
  Region region_;                        // what a strip looks at
  int64_t row_from_ = 0, col_from_ = 0;  // its first entry, seen from the strip's first result
  Edges edges_ = Edges::kAll;
  bool in_place_ = false;  // no result looks outside of an image
  bool gaps_ = false;      // no weight meets some of the results
  std::vector<Phase> phases_;
  int64_t packed_ = 0;  // elements of a group's panels
};

}  // namespace flowbook::cpu
