// Our own gradient of a convolution's weights: the product of what each weight saw with what came
// of it, summed over blocks of results. Both factors are copied block by block, the images with a
// few channels side by side so that a tile of weights reads densely; all taps read the same copy.
#pragma once
#include <vector>

#include "cpu/conv.h"
#include "cpu/conv_strips.h"
#include "cpu/conv_tiles.h"

namespace flowbook::cpu {

class OwnConvWeights {
 public:
  explicit OwnConvWeights(const Conv& conv);

  // The results are summed in so many parts, each for itself: the first goes to `dweights`, the
  // others one after the other to `others`, for the caller to add.
  int64_t parts() const { return parts_; }
  void run(void* dweights, void* others) const;
  // For the sum of all parts, a library's too: padding counts for nothing, although zeros stand for
  // it, which make NaN of results that are not finite.
  void mend(void* dweights) const;

 private:
  // The weights between some inputs and some outputs of a group.
  struct Unit {
    int64_t input, inputs;    // channels of the image
    int64_t output, outputs;  // channels of the results
    int64_t first;            // the first input within its group
  };
  // Of a window, the weights from `begin` to `end` may meet entries of the image; the others only
  // ever meet padding.
  struct Taps {
    Taps(const ops::Window& window, int64_t entries, int64_t results);
    bool hold(int64_t k) const { return k >= begin && k < end; }
    int64_t begin, end;
  };
  // Of an axis' results, those for which weight k meets an entry of the image.
  struct Seen {
    Seen(const ops::Window& window, int64_t entries, int64_t results, int64_t k);
    int64_t begin, end;
  };
  Unit unit_at(int64_t i) const;
  void divide();
  void clear_unseen(const Unit& u, char* dw) const;
  void list_rows(const Unit& u, std::vector<int64_t>& a_rows, std::vector<int64_t>& c_rows) const;
  void copy_images(const Strip& s, const Unit& u, char* to) const;
  bool packs(const Unit& u) const;
  void pack_results(int64_t block, const Unit& u, int64_t count, char* to) const;
  void run_unit(int64_t part, const Unit& u, char* dw) const;
  template <class T>
  void mend(T* dweights) const;
  template <class T>
  void mend_tap(int64_t row, int64_t col, T* dw) const;

  const Conv conv_;
  const ops::ConvGeometry& at_;
  const ConvTileLoops& tiles_;
  const int64_t bytes_, inputs_, outputs_;  // of an element; of a group
  const Strips strips_;
  const Taps row_taps_, col_taps_;
  const bool padded_;  // zeros stand for some of what weights meet
  const int64_t row_skip_,
      col_skip_;         // entries of the image from one that is looked at to the next
  const Region region_;  // what a strip looks at
  int64_t input_units_ = 1, output_units_ = 1, input_step_, output_step_;  // of a group
  int64_t parts_ = 1, part_blocks_;  // blocks of strips in a part
};

}  // namespace flowbook::cpu
