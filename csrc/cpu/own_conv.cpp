#include "cpu/own_conv.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "cpu/conv_scratch.h"
#include "cpu/finite.h"

namespace flowbook::cpu {
namespace {

constexpr int64_t kPanelBytes = 20 * 1024;  // of the first cache, which holds rows of images too
constexpr int64_t kBlockBytes =
    192 * 1024;  // of the second cache, for what a block reads and writes
constexpr int64_t kMinBlock = 24, kMaxBlock = 1024;  // results
constexpr int64_t kBlockWork = int64_t{1} << 21;     // multiplications a block should have (45 us)
constexpr int64_t kMinBlocks = 8;                    // ... unless that makes fewer than this

}  // namespace

OwnConv::OwnConv(const Conv& v, bool forward)
    : tiles_(v.dtype == DType::f32 ? conv_tiles().f32 : conv_tiles().f64),
      bytes_(size_of(v.dtype)),
      groups_(v.at.groups),
      weights_(v.weights),
      in_(forward ? Images{v.at.n, v.at.h, v.at.w, v.at.c}
                  : Images{v.at.n, v.at.rows.out.value(), v.at.cols.out.value(), v.at.o}),
      out_(forward ? Images{v.at.n, v.at.rows.out.value(), v.at.cols.out.value(), v.at.o}
                   : Images{v.at.n, v.at.h, v.at.w, v.at.c}),
      window_cols_(v.at.cols.size),
      inputs_(in_.c / groups_),
      outputs_(out_.c / groups_),
      tap_step_(v.at.c / groups_ * v.at.o),
      input_step_(forward ? v.at.o : 1),
      output_step_(forward ? 1 : v.at.o),
      group_step_(v.at.o / groups_),
      rows_(axes(v.at.rows, in_.h, out_.h, forward)),
      cols_(axes(v.at.cols, in_.w, out_.w, forward)),
      width_(outputs_ / tiles_.width() * tiles_.width() +
             (outputs_ % tiles_.width() ? tiles_.panel_width(outputs_ % tiles_.width()) : 0)),
      strips_(cut()) {
  look();
  for (const Axis& r : rows_)
    for (const Axis& c : cols_)
      if (!r.taps.empty() && !c.taps.empty()) add_phase(r, c);
  const int64_t all = std::min(rows_[0].step, out_.h) * std::min(cols_[0].step, out_.w);
  gaps_ = int64_t(phases_.size()) < all;  // strides wider than the window
}

// Taps that only ever see padding are left out: wide dilations would look far outside for nothing.
std::vector<OwnConv::Axis> OwnConv::axes(const ops::Window& w, int64_t in, int64_t entries,
                                         bool forward) {
  std::vector<Axis> all;
  const auto add = [in](Axis& a, int64_t weight, int64_t offset) {
    if (offset < in && offset + (a.results - 1) * a.stride >= 0) a.taps.push_back({weight, offset});
  };
  if (forward) {
    Axis& a = all.emplace_back(Axis{entries, 0, 1, w.stride, {}});
    for (int64_t k = 0; k < w.size; ++k) add(a, k, k * w.dilation - w.pad);
    return all;
  }
  // Entry e of the image met result q in tap k where e = q stride + k dilation - pad.
  for (int64_t first = 0; first < std::min(w.stride, entries); ++first) {
    Axis& a = all.emplace_back(Axis{ceil_div(entries - first, w.stride), first, w.stride, 1, {}});
    for (int64_t k = w.size - 1; k >= 0; --k) {
      const int64_t away = first + w.pad - k * w.dilation;
      if (away % w.stride == 0) add(a, k, away / w.stride);
    }
    if (a.taps.empty() && first > 0) all.pop_back();  // the first has the most results
  }
  return all;
}

Strips OwnConv::cut() const {
  const Axis &r = rows_[0], &c = cols_[0];  // no other phase has more results
  const int64_t results = in_.n * r.results * c.results;
  int64_t taps = 0;
  for (const Axis& i : rows_)
    for (const Axis& j : cols_) taps += int64_t(i.taps.size() * j.taps.size());
  const double work = double(results) * double(taps) * double(inputs_) * double(out_.c);
  const double each = (double(r.stride) * double(c.stride) * double(in_.c) +
                       double(r.step) * double(c.step) * double(out_.c)) *
                      double(bytes_);
  const int64_t wanted = std::clamp<int64_t>(int64_t(work / double(kBlockWork)), 1, kMinBlocks);
  const int64_t target =
      std::min(std::clamp(int64_t(double(kBlockBytes) / each), kMinBlock, kMaxBlock),
               std::max(kMinBlock, ceil_div(results, wanted)));
  return Strips(in_.n, r.results, c.results, target, r.step > 1);
}

// `together`: one stretch, whose taps may see padding.
std::vector<OwnConv::Stretch> OwnConv::stretches(const Axis& a, int64_t entries,
                                                 bool together) const {
  if (together) return {{0, a.results, 0, a.taps.size()}};
  // The first result at which a tap meets this entry or a later one; the higher its offset, the
  // sooner.
  const auto from = [&](const Tap& t, int64_t entry) {
    return std::clamp<int64_t>(ceil_div(entry - t.offset, a.stride), 0, a.results);
  };
  std::vector<Stretch> all;
  size_t tap = a.taps.size(), end = tap;
  for (int64_t q = 0; q < a.results;) {
    while (tap > 0 && from(a.taps[tap - 1], 0) <= q) --tap;
    while (end > 0 && from(a.taps[end - 1], entries) <= q) --end;
    int64_t next = a.results;
    if (tap > 0) next = std::min(next, from(a.taps[tap - 1], 0));
    if (end > 0) next = std::min(next, from(a.taps[end - 1], entries));
    all.push_back({q, next, std::min(tap, end), end});
    q = next;
  }
  return all;
}

template <class Body>
void OwnConv::each_part(const Axis& rows, const Axis& cols, Edges edges, Body&& body) const {
  for (const Stretch& r : stretches(rows, in_.h, edges == Edges::kNone)) {
    const bool together =
        edges == Edges::kNone || (edges == Edges::kSome && r.taps() < int64_t(rows.taps.size()));
    for (const Stretch& c : stretches(cols, in_.w, together)) body(r, c);
  }
}

// Cycles for an image, about. A tile of few rows waits for its own sums; each tile and each part
// takes a while to begin; and images are copied where results look outside.
double OwnConv::cost(Edges edges) const {
  constexpr double kFewRows = 4, kRow = 8, kPart = 100, kCopy = 0.25;  // rows; cycles; a byte
  // Images of a block.
  const double images =
      std::max(double(strips_.per_block) / double(strips_.down * strips_.across), 1.0);
  double sum = 0;
  for (const Axis& rows : rows_)
    for (const Axis& cols : cols_)
      each_part(rows, cols, edges, [&](const Stretch& r, const Stretch& c) {
        const double results = double(r.count()) * double(c.count());
        const double depth = double(r.taps()) * double(c.taps()) * double(inputs_);
        sum += (depth + kRow) * std::max(results, kFewRows / images) + kPart / images;
      });
  sum *= double(groups_) * double(ceil_div(outputs_, tiles_.width()));
  if (edges == Edges::kAll) return sum;
  return sum + kCopy * double(region_.rows) * double(region_.cols) * double(in_.c * bytes_) *
                   double(strips_.down * strips_.across);
}

void OwnConv::look() {
  const auto span = [](const std::vector<Axis>& axes, int64_t& from, int64_t& to) {
    for (const Axis& a : axes) {
      if (a.taps.empty()) continue;
      from = std::min(from, a.taps.front().offset);
      to = std::max(to, a.taps.back().offset);
    }
  };
  int64_t row_to = 0, col_to = 0;
  span(rows_, row_from_, row_to), span(cols_, col_from_, col_to);
  const int64_t rows = rows_[0].stride, cols = cols_[0].stride;
  in_place_ = row_from_ == 0 && col_from_ == 0 && (strips_.rows - 1) * rows + row_to < in_.h &&
              (strips_.cols - 1) * cols + col_to < in_.w;
  if (in_place_) return;
  region_ = {in_.h, in_.w, (strips_.row_step - 1) * rows + row_to - row_from_ + 1,
             (strips_.col_step - 1) * cols + col_to - col_from_ + 1};
  double least = cost(edges_);
  for (const Edges edges : {Edges::kSome, Edges::kNone})
    if (const double c = cost(edges); c < least) least = c, edges_ = edges;
  in_place_ = edges_ == Edges::kAll;
  if (in_place_)
    row_from_ = col_from_ = 0;
  else
    conv_scratch_bytes({strips_.per_block, region_.rows, region_.cols, in_.c, bytes_});
}

void OwnConv::add_phase(const Axis& rows, const Axis& cols) {
  Phase& phase = phases_.emplace_back(Phase{&rows, &cols, {}, {}, {}, packed_});
  const int64_t depth = int64_t(rows.taps.size() * cols.taps.size()) * inputs_;
  const int64_t most = kPanelBytes / bytes_ / tiles_.width();
  const int64_t step = ceil_div(depth, std::max<int64_t>(1, ceil_div(depth, most)));
  phase.chunks.push_back({0, 0, 0, 0});
  for (const Tap& r : rows.taps)
    for (const Tap& c : cols.taps)
      for (int64_t input = 0; input < inputs_;) {
        if (phase.chunks.back().depth == step)
          phase.chunks.push_back({phase.pieces.size(), 0, phase.chunks.back().before + step, 0});
        Chunk& chunk = phase.chunks.back();
        const int64_t count = std::min(inputs_ - input, step - chunk.depth);
        phase.pieces.push_back({r.weight * window_cols_ + c.weight, input, count});
        ++chunk.pieces, chunk.depth += count;
        input += count;
      }
  each_part(rows, cols, edges_, [&](const Stretch& r, const Stretch& c) { add_part(phase, r, c); });
  packed_ += depth * width_;
}

void OwnConv::add_part(Phase& phase, const Stretch& rows, const Stretch& cols) const {
  Part& part = phase.parts.emplace_back(Part{rows, cols, {}, {}});
  const int64_t pitch = in_place_ ? in_.w : region_.cols;
  size_t chunk_begin = 0;  // the chunk's first run
  for (const Chunk& chunk : phase.chunks) {
    int64_t row = 0;  // of the panel
    const auto add = [&](int64_t offset, int64_t count) {
      if (part.runs.size() > chunk_begin) {
        Run& last = part.runs.back();
        if (last.end == offset && last.row + last.end - last.offset == row)
          return void(last.end += count);
      }
      part.runs.push_back({offset, offset + count, row});
    };
    for (size_t i = chunk.piece; i < chunk.piece + chunk.pieces; ++i) {
      const Piece& piece = phase.pieces[i];
      const size_t tap = size_t((chunk.before + row) / inputs_), across = phase.cols->taps.size();
      const size_t r = tap / across, c = tap % across;
      if (r >= rows.tap && r < rows.tap_end && c >= cols.tap && c < cols.tap_end)
        add(((phase.rows->taps[r].offset - row_from_) * pitch + phase.cols->taps[c].offset -
             col_from_) *
                    in_.c +
                piece.input,
            piece.count);
      row += piece.count;
    }
    part.chunk_end.push_back(chunk_begin = part.runs.size());
  }
}

void OwnConv::pack(const void* weights, void* packed) const {
  std::atomic<int64_t> finite{1};
  const auto pack_chunk = [&](int64_t group, const Phase& phase, const Chunk& chunk) {
    char* to = static_cast<char*>(packed) +
               (group * packed_ + phase.packed + chunk.before * width_) * bytes_;
    for (int64_t j = 0; j < outputs_; j += tiles_.width()) {
      const int64_t columns = std::min(outputs_ - j, tiles_.width());
      for (size_t i = chunk.piece; i < chunk.piece + chunk.pieces; ++i) {
        const Piece& p = phase.pieces[i];
        const int64_t from =
            p.weight * tap_step_ + p.input * input_step_ + j * output_step_ + group * group_step_;
        tiles_.pack(static_cast<const char*>(weights) + from * bytes_, input_step_, output_step_,
                    p.count, columns, to);
        to += p.count * tiles_.panel_width(columns) * bytes_;
      }
    }
    const int64_t size = chunk.depth * width_;
    if (!in_place_ &&
        !(bytes_ == sizeof(float) ? all_finite(reinterpret_cast<const float*>(to) - size, size)
                                  : all_finite(reinterpret_cast<const double*>(to) - size, size)))
      finite.store(0, std::memory_order_relaxed);
  };
  int64_t chunks = 0;
  for (const Phase& p : phases_) chunks += int64_t(p.chunks.size());
  constexpr int64_t kGrain = 16 * 1024;  // elements
  const int64_t grain = std::max<int64_t>(1, kGrain * chunks / std::max<int64_t>(packed_, 1));
  parallel_ranges(groups_ * chunks, grain, [&](int64_t begin, int64_t end) {
    int64_t i = 0;
    for (int64_t group = 0; group < groups_; ++group)
      for (const Phase& phase : phases_)
        for (const Chunk& chunk : phase.chunks)
          if (i++; i > begin && i <= end) pack_chunk(group, phase, chunk);
  });
  const int64_t found = finite.load();
  std::memcpy(static_cast<char*>(packed) + panel_bytes(), &found, sizeof found);
}

// The images that a block's strips look at, with zeros around them where they look outside.
const char* OwnConv::gather(int64_t block, const char* in) const {
  if (in_place_) return in;
  const int64_t pixel = in_.c * bytes_;
  char* copy =
      conv_scratch(ConvScratch::kImages, {strips_.per_block, region_.rows, region_.cols, pixel});
  const int64_t size = region_.rows * region_.cols * pixel;
  char* to = copy;
  for (int64_t i = strips_.begin(block); i < strips_.end(block); ++i, to += size) {
    const Strip s = strips_.at(i);
    copy_region(region_, in + in_.of(s.image, 0, 0) * bytes_, s.row * rows_[0].stride + row_from_,
                s.col * cols_[0].stride + col_from_, pixel, to);
  }
  return copy;
}

template <class Body>
void OwnConv::each_strip(int64_t block, const Stretch& rows, const Stretch& cols,
                         Body&& body) const {
  for (int64_t i = strips_.begin(block); i < strips_.end(block); ++i) {
    const Strip s = strips_.at(i);
    const int64_t row = std::max(s.row, rows.begin), col = std::max(s.col, cols.begin);
    body(s, Strip{s.image, row, std::min(s.row + s.rows, rows.end) - row, col,
                  std::min(s.col + s.cols, cols.end) - col});
  }
}

void OwnConv::run_block(int64_t block, const char* in, const char* packed, char* out) const {
  const char* a = gather(block, in);
  thread_local std::vector<int64_t> a_rows, c_rows;
  const int64_t strips = strips_.end(block) - strips_.begin(block);
  const int64_t most = strips * strips_.row_step * strips_.col_step;
  a_rows.resize(size_t(most)), c_rows.resize(size_t(most));
  const int64_t pitch = (in_place_ ? in_.w : region_.cols) * in_.c;
  for (const Phase& phase : phases_)
    for (const Part& part : phase.parts) {
      const int64_t a_down = phase.rows->stride * pitch, a_across = phase.cols->stride * in_.c;
      const int64_t c_across = phase.cols->step * out_.c;
      int64_t copied = 0, count = 0;
      each_strip(block, part.rows, part.cols, [&](const Strip& strip, const Strip& s) {
        const int64_t a_first =
            in_place_ ? in_.of(s.image, s.row * phase.rows->stride, s.col * phase.cols->stride)
                      : copied + (s.row - strip.row) * a_down + (s.col - strip.col) * a_across;
        if (!in_place_) copied += region_.rows * region_.cols * in_.c;
        for (int64_t r = 0; r < s.rows; ++r) {
          const int64_t a = a_first + r * a_down;
          const int64_t c = out_.of(s.image, phase.rows->first + (s.row + r) * phase.rows->step,
                                    phase.cols->first + s.col * phase.cols->step);
          for (int64_t q = 0; q < s.cols; ++q, ++count)
            a_rows[size_t(count)] = a + q * a_across, c_rows[size_t(count)] = c + q * c_across;
        }
      });
      if (count == 0) continue;
      ConvMeeting m{};
      m.a_rows = a_rows.data(), m.c_rows = c_rows.data(), m.rows = count;
      m.step = 1;
      run_part(phase, part, m, a, packed + phase.packed * bytes_, out);
    }
}

void OwnConv::run_part(const Phase& phase, const Part& part, ConvMeeting m, const char* a,
                       const char* packed, char* out) const {
  for (int64_t group = 0; group < groups_; ++group) {
    m.a = a + group * inputs_ * bytes_;
    m.accumulate = false;
    size_t run = 0;
    for (size_t i = 0; i < phase.chunks.size(); ++i) {
      const Chunk& chunk = phase.chunks[i];
      m.runs = part.runs.data() + run, m.run_count = int64_t(part.chunk_end[i] - run);
      run = part.chunk_end[i];
      // Without any run at all the results are zeros, which the last chunk writes.
      if (m.run_count == 0 && (m.accumulate || i + 1 < phase.chunks.size())) continue;
      const char* panel = packed + (group * packed_ + chunk.before * width_) * bytes_;
      for (int64_t j = 0; j < outputs_; j += tiles_.width()) {
        m.columns = std::min(outputs_ - j, tiles_.width());
        m.panel = panel, m.panel_step = tiles_.panel_width(m.columns);
        m.c = out + (group * outputs_ + j) * bytes_;
        tiles_.meet(m);
        panel += chunk.depth * tiles_.panel_width(m.columns) * bytes_;
      }
      m.accumulate = true;
    }
  }
}

// One result without what lies outside of the image.
template <class T>
T OwnConv::sum_inside(const Phase& phase, const T* in, int64_t image, int64_t row, int64_t col,
                      int64_t output) const {
  const int64_t group = output / outputs_;
  const T* const weights =
      static_cast<const T*>(weights_) + output % outputs_ * output_step_ + group * group_step_;
  T sum = 0;
  for (const Tap& r : phase.rows->taps)
    for (const Tap& c : phase.cols->taps) {
      const int64_t y = row * phase.rows->stride + r.offset,
                    x = col * phase.cols->stride + c.offset;
      if (y < 0 || y >= in_.h || x < 0 || x >= in_.w) continue;
      const T* a = in + in_.of(image, y, x) + group * inputs_;
      const T* w = weights + (r.weight * window_cols_ + c.weight) * tap_step_;
      for (int64_t i = 0; i < inputs_; ++i) {
        sum += a[i] * w[i * input_step_];
        if (sum != sum) return sum;
      }
    }
  return sum;
}

// Zeros stand for what lies outside of an image. They make NaN of weights that are not finite,
// which must not count there.
template <class T>
void OwnConv::mend(int64_t block, const T* in, T* out) const {
  for (const Phase& phase : phases_) {
    const Axis &down = *phase.rows, &across = *phase.cols;
    const Stretch rows{0, down.results, 0, 0}, cols{0, across.results, 0, 0};
    each_strip(block, rows, cols, [&](const Strip&, const Strip& s) {
      for (int64_t row = s.row; row < s.row + s.rows; ++row)
        for (int64_t col = s.col; col < s.col + s.cols; ++col) {
          if (down.inside(row, in_.h) && across.inside(col, in_.w)) continue;
          T* c = out +
                 out_.of(s.image, down.first + row * down.step, across.first + col * across.step);
          for (int64_t o = 0; o < out_.c; ++o)
            if (c[o] != c[o]) c[o] = sum_inside(phase, in, s.image, row, col, o);
        }
    });
  }
}

std::pair<int64_t, int64_t> OwnConv::rows_of(int64_t block) const {
  const Strip first = strips_.at(strips_.begin(block)), last = strips_.at(strips_.end(block) - 1);
  const int64_t down = rows_[0].step, across = cols_[0].step;
  const int64_t begin = out_.of(first.image, first.row * down, first.col * across) / out_.c;
  // A strip has whole rows, or a part of one.
  const bool whole = strips_.across == 1;
  const int64_t row = whole ? std::min(out_.h, (last.row + last.rows) * down) : last.row;
  const int64_t col = whole ? 0 : std::min(out_.w, (last.col + last.cols) * across);
  return {begin, out_.of(last.image, row, col) / out_.c};
}

void OwnConv::run(const void* in, const void* packed, void* out, const Epilogue* epilogue) const {
  int64_t finite;
  std::memcpy(&finite, static_cast<const char*>(packed) + panel_bytes(), sizeof finite);
  parallel_for(blocks(), [&](int64_t block) {
    const auto [begin, end] = rows_of(block);
    char* const rows = static_cast<char*>(out) + begin * out_.c * bytes_;
    if (gaps_) std::memset(rows, 0, size_t((end - begin) * out_.c * bytes_));
    run_block(block, static_cast<const char*>(in), static_cast<const char*>(packed),
              static_cast<char*>(out));
    if (!finite && !in_place_) [[unlikely]] {
      if (bytes_ == sizeof(float))
        mend(block, static_cast<const float*>(in), static_cast<float*>(out));
      else
        mend(block, static_cast<const double*>(in), static_cast<double*>(out));
    }
    if (epilogue) (*epilogue)(begin, end, 0, out_.c, rows, out_.c);
  });
}

}  // namespace flowbook::cpu
