// Kernels of the random ops. Element i of a stream depends on its number only, never on how the
// work is cut.
#include "ops/random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "cpu/cpu.h"
#include "cpu/pool.h"
#include "cpu/rows.h"

namespace flowbook::cpu {

namespace {

constexpr int64_t kGrain = 4 << 10;  // elements a chunk
constexpr int64_t kBlock = 1 << 10;  // words made at once, a multiple of 4

struct Stream {
  Stream(const Array& key, int64_t stream)
      : seed(uint64_t(key.as<int64_t>()[0])),
        counter(uint64_t(key.as<int64_t>()[1])),
        number(uint32_t(stream)) {}
  uint64_t seed, counter;
  uint32_t number;
};

// Runs of elements with their random words, `per` words an element (1, 2): body(words, begin, end).
template <class Body>
void with_words(const Stream& s, int64_t n, int per, Body&& body) {
  const int64_t run = kBlock / per;
  parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
    alignas(64) uint32_t words[kBlock];
    for (int64_t i = begin; i < end; i += run) {
      const int64_t stop = std::min(end, i + run);
      row_loops().philox(s.seed, s.counter, s.number, uint64_t(i * per / 4),
                         ((stop - i) * per + 3) / 4, words);
      body(words, i, stop);
    }
  });
}

void uniform(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Uniform*>(a.attrs);
  const Array& y = a.out[0];
  const int wide = y.spec->dtype == DType::f64;
  with_words(Stream(a.in[0], op.stream), y.size(), wide + 1,
             [&](const uint32_t* words, int64_t begin, int64_t end) {
               row_loops().uniform[wide](words, op.low, op.high,
                                         y.as<char>() + begin * (wide ? 8 : 4), end - begin);
             });
}

void normal(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Normal*>(a.attrs);
  const Array& y = a.out[0];
  const int wide = y.spec->dtype == DType::f64;
  with_words(Stream(a.in[0], op.stream), y.size(), wide + 1,
             [&](const uint32_t* words, int64_t begin, int64_t end) {
               row_loops().normal[wide](words, op.mean, op.std,
                                        y.as<char>() + begin * (wide ? 8 : 4), end - begin);
             });
}

template <class T>
void whole_numbers(const ops::Randint& op, const Stream& s, const Array& y) {
  const uint64_t width = uint64_t(op.high) - uint64_t(op.low);
  with_words(s, y.size(), 2, [&](const uint32_t* words, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i, words += 2) {
      const uint64_t bits = uint64_t(words[0]) << 32 | words[1];
      const uint64_t v =
          uint64_t((unsigned __int128)bits * width >> 64);  // off by at most width / 2^64
      y.as<T>()[i] = T(uint64_t(op.low) + v);
    }
  });
}
void randint(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Randint*>(a.attrs);
  const Stream s(a.in[0], op.stream);
  switch (size_of(a.out[0].spec->dtype)) {
    case 1:
      return whole_numbers<uint8_t>(op, s, a.out[0]);
    case 2:
      return whole_numbers<uint16_t>(op, s, a.out[0]);
    case 4:
      return whole_numbers<uint32_t>(op, s, a.out[0]);
    default:
      return whole_numbers<uint64_t>(op, s, a.out[0]);
  }
}

uint64_t threshold(double p) {
  return uint64_t(std::ldexp(p, 32));
}  // 32 random bits are below it with probability p

void bernoulli(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Bernoulli*>(a.attrs);
  const Array& y = a.out[0];
  const uint64_t limit = threshold(op.p);
  with_words(Stream(a.in[0], op.stream), y.size(), 1,
             [&](const uint32_t* words, int64_t begin, int64_t end) {
               for (int64_t i = begin; i < end; ++i) y.as<uint8_t>()[i] = words[i - begin] < limit;
             });
}

template <class T>
void drop(const ops::Dropout& op, const Stream& s, const T* x, T* y, int64_t n) {
  const uint64_t limit = threshold(op.rate);
  const T scale = T(1 / (1 - op.rate));
  with_words(s, n, 1, [&](const uint32_t* words, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = words[i - begin] < limit ? T(0) : x[i] * scale;
  });
}
void dropout(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Dropout*>(a.attrs);
  const Array &x = a.in[1], &y = a.out[0];
  const Stream s(a.in[0], op.stream);
  if (y.spec->dtype == DType::f64)
    drop(op, s, x.as<double>(), y.as<double>(), y.size());
  else
    drop(op, s, x.as<float>(), y.as<float>(), y.size());
}

// The numbers sorted by 64 random bits each (ties by number): what any device can do alike.
void permutation(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Permutation*>(a.attrs);
  const Array& y = a.out[0];
  struct Entry {
    uint64_t bits;
    int64_t number;
  };
  // The bits are uniform, so their highest ones put an entry close to where it belongs: a few
  // in each bucket, which are sorted by themselves.
  constexpr int64_t kBucket = 2, kGrain = 2048;  // entries, buckets a chunk
  const int64_t n = y.size();
  const int shift = 64 - std::max(1, int(std::bit_width(uint64_t(n / kBucket))));
  std::vector<Entry> drawn(size_t(n), Entry{}), entries(size_t(n), Entry{});
  with_words(Stream(a.in[0], op.stream), n, 2,
             [&](const uint32_t* words, int64_t begin, int64_t end) {
               for (int64_t i = begin; i < end; ++i, words += 2)
                 drawn[size_t(i)] = {uint64_t(words[0]) << 32 | words[1], i};
             });
  const int64_t buckets = int64_t(1) << (64 - shift);
  std::vector<int64_t> first(size_t(buckets) + 1, 0);
  for (const Entry& e : drawn) ++first[size_t(e.bits >> shift) + 1];
  for (size_t b = 0; b < size_t(buckets); ++b) first[b + 1] += first[b];
  std::vector<int64_t> next(first.begin(), first.end() - 1);
  for (const Entry& e : drawn) entries[size_t(next[size_t(e.bits >> shift)]++)] = e;
  parallel_ranges(buckets, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      std::sort(entries.begin() + first[size_t(b)], entries.begin() + first[size_t(b) + 1],
                [](const Entry& p, const Entry& q) {
                  return p.bits != q.bits ? p.bits < q.bits : p.number < q.number;
                });
    for (int64_t i = first[size_t(begin)]; i < first[size_t(end)]; ++i)
      y.as<int64_t>()[i] = entries[size_t(i)].number;
  });
}

}  // namespace

void register_random(Backend& cpu) {
  constexpr DTypeSet kFloats = set_of(DType::f32) | set_of(DType::f64);
  cpu.kernel("uniform", uniform, kFloats);
  cpu.kernel("normal", normal, kFloats);
  cpu.kernel("randint", randint, kIntegral);
  cpu.kernel("bernoulli", bernoulli, kBoolean);
  cpu.kernel("dropout", dropout, kFloats).in_place = [](const void*, int, int) { return 1; };
  cpu.kernel("permutation", permutation, set_of(DType::i64));
}

}  // namespace flowbook::cpu
