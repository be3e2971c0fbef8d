#include "cpu/own_conv_weights.h"

#include <algorithm>
#include <cstring>

#include "cpu/conv_scratch.h"
#include "cpu/finite.h"
#include "cpu/rounding.h"

namespace flowbook::cpu {
namespace {

constexpr int64_t kBlock = 256;  // results whose panel takes half of the first cache
constexpr int64_t kTaskWork = int64_t{1} << 22;  // multiplications a task should have (90 us)
constexpr int64_t kMinTaskWork = int64_t{1} << 20, kFewTasks = 4;  // ... where that makes few
constexpr int64_t kMaxTasks = 32;
// Sums of parts cost little where they stay in the second cache.
constexpr int64_t kSmallWeights = 256 * 1024;
constexpr int64_t kMaxParts = 8, kMaxSmallParts = 16;
constexpr int64_t kManyResults = 2048, kFewResults = 256;  // of a part
constexpr int64_t kFewWeights = 24;                        // of an output
constexpr int64_t kMaxPitch = 256;  // bytes between results that a block reads in place
constexpr int64_t kMinInputs = 24, kMinOutputs = 32;  // of a unit

// Neighbouring channels of `cols` pixels, `from_step` bytes apart, become dense.
template <int64_t kBytes>
void copy_channels(const char* from, int64_t from_step, int64_t cols, char* to) {
  for (int64_t c = 0; c < cols; ++c) std::memcpy(to + c * kBytes, from + c * from_step, kBytes);
}
void copy_channels(const char* from, int64_t from_step, int64_t cols, int64_t bytes, char* to,
                   int64_t to_step) {
  if (bytes == from_step && bytes == to_step) {
    std::memcpy(to, from, size_t(cols * bytes));
    return;
  }
  if (bytes == to_step) switch (bytes) {
      case 4:
        return copy_channels<4>(from, from_step, cols, to);
      case 8:
        return copy_channels<8>(from, from_step, cols, to);
      case 24:
        return copy_channels<24>(from, from_step, cols, to);
      case 32:
        return copy_channels<32>(from, from_step, cols, to);
      case 48:
        return copy_channels<48>(from, from_step, cols, to);
      case 64:
        return copy_channels<64>(from, from_step, cols, to);
    }
  for (int64_t c = 0; c < cols; ++c)
    std::memcpy(to + c * to_step, from + c * from_step, size_t(bytes));
}

// Of weights that see one entry along an axis, only the entries at the stride are looked at.
int64_t skip(const ops::Window& w) { return w.size == 1 ? w.stride : 1; }
int64_t looked_at(const ops::Window& w, int64_t taps, int64_t results) {
  return (results - 1) * w.stride / skip(w) + std::max<int64_t>(taps - 1, 0) * w.dilation + 1;
}

}  // namespace

// Weight k meets the entries q stride + k dilation - pad of each result q.
OwnConvWeights::Taps::Taps(const ops::Window& w, int64_t entries, int64_t results)
    : begin(std::clamp<int64_t>(
          ceil_div(std::max<int64_t>(w.pad - (results - 1) * w.stride, 0), w.dilation), 0, w.size)),
      end(std::clamp<int64_t>(entries + w.pad < 1 ? 0 : (entries - 1 + w.pad) / w.dilation + 1,
                              begin, w.size)) {}

OwnConvWeights::Seen::Seen(const ops::Window& w, int64_t entries, int64_t results, int64_t k) {
  const int64_t away = k * w.dilation - w.pad;  // of the entry that result 0 meets
  begin = std::min(results, ceil_div(std::max<int64_t>(-away, 0), w.stride));
  end = std::clamp(ceil_div(std::max<int64_t>(entries - away, 0), w.stride), begin, results);
}

OwnConvWeights::OwnConvWeights(const Conv& v)
    : conv_(v),
      at_(conv_.at),
      tiles_(v.dtype == DType::f32 ? conv_tiles().f32 : conv_tiles().f64),
      bytes_(size_of(v.dtype)),
      inputs_(at_.c / at_.groups),
      outputs_(at_.o / at_.groups),
      strips_(at_.n, at_.rows.out.value(), at_.cols.out.value(), kBlock, false),
      row_taps_(at_.rows, at_.h, strips_.rows),
      col_taps_(at_.cols, at_.w, strips_.cols),
      padded_(at_.rows.pad + at_.rows.pad_end + at_.cols.pad + at_.cols.pad_end > 0),
      row_skip_(skip(at_.rows)),
      col_skip_(skip(at_.cols)),
      region_{at_.h, at_.w, looked_at(at_.rows, row_taps_.end - row_taps_.begin, strips_.row_step),
              looked_at(at_.cols, col_taps_.end - col_taps_.begin, strips_.col_step)} {
  divide();
}

// Into parts first, as long as these have many results, then into units of channels, which copy
// anew what they read, then into more parts.
void OwnConvWeights::divide() {
  const int64_t results = at_.n * strips_.rows * strips_.cols;
  const int64_t weights = at_.rows.size * at_.cols.size * inputs_ * at_.o;
  const double work = double(results) * double(weights);
  const int64_t wanted = std::clamp(
      std::min(kFewTasks, int64_t(work / double(kMinTaskWork))),
      std::max<int64_t>(1, std::min(kMaxTasks, int64_t(work / double(kTaskWork)))), kMaxTasks);
  const bool small = weights * bytes_ <= kSmallWeights;
  const auto tasks = [&] { return parts_ * input_units_ * output_units_ * at_.groups; };
  const auto more_parts = [&](int64_t least) {
    const int64_t most = std::min(small ? kMaxSmallParts : kMaxParts, results / least);
    parts_ = std::max(parts_, std::min(most, ceil_div(wanted * parts_, tasks())));
  };
  more_parts(small ? kFewResults : kManyResults);
  while (tasks() < wanted) {
    const int64_t i = inputs_ / input_units_, o = outputs_ / output_units_;
    if (o >= 2 * kMinOutputs && (o >= i || i < 2 * kMinInputs))
      output_units_ *= 2;
    else if (i >= 2 * kMinInputs)
      input_units_ *= 2;
    else
      break;
  }
  more_parts(kFewResults);
  input_step_ = round_up(ceil_div(inputs_, input_units_), tiles_.rows);
  output_step_ = round_up(ceil_div(outputs_, output_units_), tiles_.width());
  input_units_ = ceil_div(inputs_, input_step_), output_units_ = ceil_div(outputs_, output_step_);
  part_blocks_ = ceil_div(strips_.blocks, parts_);
  parts_ = ceil_div(strips_.blocks, part_blocks_);
}

OwnConvWeights::Unit OwnConvWeights::unit_at(int64_t i) const {
  const int64_t output = i % output_units_ * output_step_;
  i /= output_units_;
  const int64_t input = i % input_units_ * input_step_, group = i / input_units_;
  return {group * inputs_ + input, std::min(input_step_, inputs_ - input),
          group * outputs_ + output, std::min(output_step_, outputs_ - output), input};
}

// One row for each weight of an output that sees the image: where it begins in the copy, and where
// it lies.
void OwnConvWeights::list_rows(const Unit& u, std::vector<int64_t>& a_rows,
                               std::vector<int64_t>& c_rows) const {
  const int64_t pixels = strips_.per_block * region_.rows * region_.cols;
  const int64_t together = std::min(tiles_.rows, u.inputs);
  for (int64_t first = 0; first < u.inputs; first += together)
    for (int64_t i = row_taps_.begin; i < row_taps_.end; ++i)
      for (int64_t j = col_taps_.begin; j < col_taps_.end; ++j)
        for (int64_t c = first; c < std::min(first + together, u.inputs); ++c) {
          a_rows.push_back(first * pixels +
                           ((i - row_taps_.begin) * at_.rows.dilation * region_.cols +
                            (j - col_taps_.begin) * at_.cols.dilation) *
                               together +
                           c - first);
          c_rows.push_back(((i * at_.cols.size + j) * inputs_ + u.first + c) * at_.o + u.output);
        }
}

void OwnConvWeights::copy_images(const Strip& s, const Unit& u, char* to) const {
  const int64_t pixels = strips_.per_block * region_.rows * region_.cols;
  const int64_t together = std::min(tiles_.rows, u.inputs), step = together * bytes_;
  const int64_t row = s.row * at_.rows.stride + row_taps_.begin * at_.rows.dilation - at_.rows.pad;
  const int64_t col = s.col * at_.cols.stride + col_taps_.begin * at_.cols.dilation - at_.cols.pad;
  const int64_t left = std::clamp<int64_t>(ceil_div(-col, col_skip_), 0, region_.cols);
  const int64_t inside = std::clamp(ceil_div(at_.w - col, col_skip_), left, region_.cols) - left;
  for (int64_t r = 0; r < region_.rows; ++r, to += region_.cols * step) {
    const int64_t from = row + r * row_skip_;
    const bool seen = from >= 0 && from < at_.h;
    const char* x =
        static_cast<const char*>(conv_.x) +
        (((s.image * at_.h + from) * at_.w + col + left * col_skip_) * at_.c + u.input) * bytes_;
    for (int64_t c = 0; c < u.inputs; c += together) {
      char* const line = to + c * pixels * bytes_;
      if (!seen || inside < region_.cols) std::memset(line, 0, size_t(region_.cols * step));
      if (seen)
        copy_channels(x + c * bytes_, col_skip_ * at_.c * bytes_, inside,
                      std::min(together, u.inputs - c) * bytes_, line + left * step, step);
    }
  }
}

// Whether results are copied: for few weights they are read where they lie, if whole vectors of
// them can be.
bool OwnConvWeights::packs(const Unit& u) const {
  const int64_t rows =
      (row_taps_.end - row_taps_.begin) * (col_taps_.end - col_taps_.begin) * u.inputs;
  return rows > kFewWeights || at_.o * bytes_ > kMaxPitch || u.outputs % tiles_.lanes != 0;
}

void OwnConvWeights::pack_results(int64_t block, const Unit& u, int64_t count, char* to) const {
  for (int64_t j = 0; j < u.outputs; j += tiles_.width()) {
    const int64_t columns = std::min(u.outputs - j, tiles_.width());
    const int64_t width = tiles_.panel_width(columns);
    char* panel = to + j * count * bytes_;
    for (int64_t i = strips_.begin(block); i < strips_.end(block); ++i) {
      const Strip s = strips_.at(i);
      const int64_t at = ((s.image * strips_.rows + s.row) * strips_.cols + s.col) * at_.o;
      tiles_.pack(static_cast<const char*>(conv_.y) + (at + u.output + j) * bytes_, at_.o, 1,
                  s.rows * s.cols, columns, panel);
      panel += s.rows * s.cols * width * bytes_;
    }
  }
}

void OwnConvWeights::clear_unseen(const Unit& u, char* dw) const {
  for (int64_t i = 0; i < at_.rows.size; ++i)
    for (int64_t j = 0; j < at_.cols.size; ++j) {
      if (row_taps_.hold(i) && col_taps_.hold(j)) continue;
      for (int64_t c = 0; c < u.inputs; ++c)
        std::memset(
            dw + (((i * at_.cols.size + j) * inputs_ + u.first + c) * at_.o + u.output) * bytes_, 0,
            size_t(u.outputs * bytes_));
    }
}

void OwnConvWeights::run_unit(int64_t part, const Unit& u, char* dw) const {
  clear_unseen(u, dw);
  thread_local std::vector<int64_t> a_rows, c_rows;
  thread_local std::vector<Run> runs;
  a_rows.clear(), c_rows.clear();
  const int64_t together = std::min(tiles_.rows, u.inputs), width = tiles_.width();
  char* const images = conv_scratch(
      ConvScratch::kImages,
      {strips_.per_block, region_.rows, region_.cols, round_up(u.inputs, together), bytes_});
  char* const panels = conv_scratch(
      ConvScratch::kPanels,
      {strips_.per_block, strips_.row_step, strips_.col_step, round_up(u.outputs, width), bytes_});
  const bool packed = packs(u);
  list_rows(u, a_rows, c_rows);
  if (a_rows.empty()) return;
  const int64_t region = region_.rows * region_.cols;
  ConvMeeting m{};
  m.a = images, m.a_rows = a_rows.data(), m.c_rows = c_rows.data();
  m.rows = int64_t(a_rows.size());
  const int64_t row_step = at_.rows.stride / row_skip_ * region_.cols * together;
  m.step = at_.cols.stride / col_skip_ * together;
  const int64_t begin = part * part_blocks_, end = std::min(strips_.blocks, begin + part_blocks_);
  for (int64_t block = begin; block < end; ++block) {
    runs.clear();
    int64_t count = 0, copied = 0;
    for (int64_t i = strips_.begin(block); i < strips_.end(block); ++i, copied += region) {
      const Strip s = strips_.at(i);
      copy_images(s, u, images + copied * together * bytes_);
      for (int64_t r = 0; r < s.rows; ++r) {
        const int64_t from = copied * together + r * row_step;
        const int64_t result = ((s.image * strips_.rows + s.row + r) * strips_.cols + s.col);
        runs.push_back({from, from + s.cols * m.step, packed ? count : result});
        count += s.cols;
      }
    }
    if (packed) pack_results(block, u, count, panels);
    m.runs = runs.data(), m.run_count = int64_t(runs.size());
    m.accumulate = block > begin;
    for (int64_t j = 0; j < u.outputs; j += width) {
      m.columns = std::min(u.outputs - j, width);
      m.panel = packed ? panels + j * count * bytes_
                       : static_cast<const char*>(conv_.y) + (u.output + j) * bytes_;
      m.panel_step = packed ? tiles_.panel_width(m.columns) : at_.o;
      m.c = dw + j * bytes_;
      tiles_.meet(m);
    }
  }
}

// The gradients of all channels at one place of the window, summed again where they are NaN.
template <class T>
void OwnConvWeights::mend_tap(int64_t i, int64_t j, T* dw) const {
  const Seen rows(at_.rows, at_.h, strips_.rows, i), cols(at_.cols, at_.w, strips_.cols, j);
  if (rows.end - rows.begin == strips_.rows && cols.end - cols.begin == strips_.cols) return;
  std::vector<T> sums;
  for (int64_t c = 0; c < at_.c; ++c) {
    const int64_t output = c / inputs_ * outputs_;
    T* const d = dw + ((i * at_.cols.size + j) * inputs_ + c % inputs_) * at_.o + output;
    if (all_finite(d, outputs_)) continue;
    sums.assign(size_t(outputs_), T(0));
    for (int64_t n = 0; n < at_.n; ++n)
      for (int64_t row = rows.begin; row < rows.end; ++row)
        for (int64_t col = cols.begin; col < cols.end; ++col) {
          const int64_t y = row * at_.rows.stride + i * at_.rows.dilation - at_.rows.pad;
          const int64_t x = col * at_.cols.stride + j * at_.cols.dilation - at_.cols.pad;
          const T pixel = static_cast<const T*>(conv_.x)[((n * at_.h + y) * at_.w + x) * at_.c + c];
          const T* from = static_cast<const T*>(conv_.y) +
                          ((n * strips_.rows + row) * strips_.cols + col) * at_.o + output;
          for (int64_t o = 0; o < outputs_; ++o) sums[size_t(o)] += pixel * from[o];
        }
    for (int64_t o = 0; o < outputs_; ++o)
      if (d[o] != d[o]) d[o] = sums[size_t(o)];
  }
}
template <class T>
void OwnConvWeights::mend(T* dw) const {
  const int64_t results = at_.n * strips_.rows * strips_.cols * at_.o;
  const int64_t weights = at_.rows.size * at_.cols.size * inputs_ * at_.o;
  // What is shorter is looked at first.
  if (weights < results && all_finite_shared(dw, weights)) return;
  if (all_finite_shared(static_cast<const T*>(conv_.y), results)) return;
  parallel_for(at_.rows.size * at_.cols.size,
               [&](int64_t tap) { mend_tap(tap / at_.cols.size, tap % at_.cols.size, dw); });
}
void OwnConvWeights::mend(void* dweights) const {
  if (!padded_) return;
  if (conv_.dtype == DType::f32)
    mend(static_cast<float*>(dweights));
  else
    mend(static_cast<double*>(dweights));
}

void OwnConvWeights::run(void* dweights, void* others) const {
  const int64_t units = at_.groups * input_units_ * output_units_;
  const int64_t size = at_.rows.size * at_.cols.size * inputs_ * at_.o * bytes_;
  parallel_for(parts_ * units, [&](int64_t i) {
    const int64_t part = i / units;
    char* to =
        static_cast<char*>(part == 0 ? dweights : others) + std::max<int64_t>(part - 1, 0) * size;
    run_unit(part, unit_at(i % units), to);
  });
}

}  // namespace flowbook::cpu
