// The image's gradient where the image has few channels: a result for each of them would leave most
// of a vector empty, so all weights of a window meet dy in one plain product, whose rows are then
// added to the pixels that they came from.
#pragma once
#include "cpu/conv.h"

namespace flowbook::cpu {

// One group, at most so many channels.
bool conv_folds(const Conv& conv);

class ConvFold {
 public:
  explicit ConvFold(const Conv& conv);

  // Blocks that an epilogue follows: some rows of an image, all columns.
  int64_t blocks() const { return at_.n * bands_; }
  void run(void* dx, const Epilogue* epilogue) const;

 private:
  // Rows of the window, those of the pixels [top, bottom) of a band or fewer.
  struct Taps {
    int64_t begin, end;
    bool operator==(const Taps&) const = default;
  };
  Taps taps_of(int64_t result_row, int64_t top, int64_t bottom) const;
  template <class T>
  void run_band(const T* dy, int64_t top, int64_t bottom, T* image) const;
  template <class T>
  void run_results(const T* dy, int64_t begin, int64_t end, Taps taps, T* image) const;
  template <class T>
  void fold(const T* from, int64_t begin, int64_t end, Taps taps, T* image) const;

  const Conv conv_;
  const ops::ConvGeometry& at_;
  const int64_t results_;       // in a row
  int64_t bands_ = 1, height_;  // of an image, and how many rows one has
};

}  // namespace flowbook::cpu
