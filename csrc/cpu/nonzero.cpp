// Counts first, chunk by chunk, so that each chunk knows where its places go.
#include "cpu/nonzero.h"

#include <algorithm>

#include "cpu/loops.h"
#include "cpu/pool.h"

namespace flowbook::cpu {

std::vector<Tensor> nonzero(const Tensor& given, bool together) {
  constexpr int64_t kGrain = 32 << 10;  // elements a chunk
  const Tensor x = dense(given);
  const Shape shape = together ? Shape{x.shape().size()} : x.shape();
  const int last = shape.rank - 1;
  const int64_t size = shape.size(), cols = shape[last].value();
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cols));  // rows a chunk
  const int64_t rows = size ? size / cols : 0, chunks = ceil_div(rows, grain);
  const auto* flags = static_cast<const unsigned char*>(view_of(x).data());
  const auto count = [&](int64_t begin, int64_t n) {
    int64_t found;
    loops().sum[kSlotBool](flags + begin, n, &found);
    return found;
  };
  std::vector<int64_t> first(size_t(chunks) + 1, 0);
  parallel_for(chunks, [&](int64_t c) {
    const int64_t begin = c * grain, n = std::min(grain, rows - begin);
    first[size_t(c) + 1] = count(begin * cols, n * cols);
  });
  for (size_t c = 0; c < size_t(chunks); ++c) first[c + 1] += first[c];
  std::vector<Tensor> places;
  std::vector<int64_t*> out;
  for (int i = 0; i <= last; ++i) {
    Spec spec = x.spec();
    spec.dtype = DType::i64, spec.shape = Shape{first.back()}, spec.weak = false;
    places.push_back(empty(spec));
    out.push_back(static_cast<int64_t*>(view_of(places.back()).data()));
  }
  parallel_for(chunks, [&](int64_t c) {
    int64_t at = first[size_t(c)];
    for (int64_t row = c * grain, end = std::min(rows, row + grain); row < end; ++row) {
      const unsigned char* flag = flags + row * cols;
      // Never more than were counted: memory shared with NumPy may change meanwhile.
      const int64_t end_of_chunk = first[size_t(c) + 1];
      const int64_t stop =
          grain == 1 ? end_of_chunk : std::min(end_of_chunk, at + count(row * cols, cols));
      const int64_t start = at;
      // Each place is written until the next one is found.
      for (int64_t i = 0; i < cols && at < stop; ++i) {
        out[size_t(last)][at] = i;
        at += flag[i] != 0;
      }
      int64_t rest = row;
      for (int i = last - 1; i >= 0; --i) {
        const int64_t n = shape[i].value();
        std::fill(out[size_t(i)] + start, out[size_t(i)] + stop, rest % n);
        rest /= n;
      }
    }
  });
  return places;
}

}  // namespace flowbook::cpu
