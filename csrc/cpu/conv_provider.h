// Convolutions through a provider, which computes on one thread: the work is cut along images, or
// along rows of an image where images are few, by sizes alone.
#pragma once
#include "cpu/conv.h"
#include "cpu/providers.h"

namespace flowbook::cpu {

// A part of the work: some images, or some rows of one image.
struct ConvSlice {
  flowbook_conv2d conv;
  int64_t x, y;  // elements before it in the images and in the results
};

// How a convolution is cut. Slices of equal description share their packed weights.
struct ConvSlices {
  flowbook_conv2d whole;
  int64_t images;  // per slice
  int64_t bands;   // per image, where images == 1
  int64_t rows;    // of results per band
  int64_t count() const { return (whole.n + images - 1) / images * bands; }
  ConvSlice at(int64_t i) const;
};

// The forward pass or the image's gradient.
class ProvidedConv {
 public:
  // `even_off`: also while libraries are switched off.
  ProvidedConv(const Conv& conv, bool forward, bool even_off = false);
  explicit operator bool() const { return provider_ != nullptr; }  // whether it is taken at all

  int64_t packed_bytes() const { return packing_.bytes; }
  void pack(const void* weights, void* packed) const;
  int64_t blocks() const { return slices_.count(); }
  void run(const void* in, const void* packed, void* out, const Epilogue* epilogue) const;

 private:
  // The distinct descriptions among the slices, each with its packed weights.
  struct Packing {
    static constexpr int kMost = 6;
    int count = 0;
    flowbook_conv2d conv[kMost];
    int64_t offset[kMost], bytes = 0;

    // False if the provider does not take one of them, or if there are too many.
    bool plan(const flowbook_provider& p, const ConvSlices& s, flowbook_conv_pass pass);
    int find(const flowbook_conv2d& c) const;

   private:
    bool add(const flowbook_provider& p, const flowbook_conv2d& c, flowbook_conv_pass pass);
  };

  const flowbook_conv_pass pass_;
  const flowbook_provider* provider_ = nullptr;
  ConvSlices slices_;
  Packing packing_;
};

// The weights' gradient: slices are summed each for itself, then added in order.
class ProvidedConvWeights {
 public:
  explicit ProvidedConvWeights(const Conv& conv);
  explicit operator bool() const { return provider_ != nullptr; }

  int64_t parts() const { return slices_.count(); }
  // The first part goes to `dweights`, the others one after the other to `others`. False if the
  // provider refused: nothing of use was written.
  [[nodiscard]] bool run(void* dweights, void* others) const;

 private:
  const Conv conv_;
  ConvSlices slices_;
  const flowbook_provider* provider_ = nullptr;
};

}  // namespace flowbook::cpu
