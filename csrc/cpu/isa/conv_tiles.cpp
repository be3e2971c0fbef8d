// The loops of conv_tiles.h: tiles of sums in registers, as in own_gemm.cpp. Every element of c is
// one chain of multiply-adds in the order of its runs, whatever tile it belongs to.
#include "cpu/conv_tiles.h"

#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#endif

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#include "cpu/isa/panels.h"

// kR rows from the `first` on. Not inlined: among its callers' variables the inner loop would run
// out of registers.
template <class T, int kR, int kV>
[[gnu::noinline]] void tile(const ConvMeeting& m, int64_t first) {
  constexpr int kLanes = Lanes<T>::kCount;
  const int64_t last = m.columns - (kV - 1) * kLanes;
  const int64_t* const to = m.c_rows + first;
  T* const c = static_cast<T*>(m.c);
  const T* a[kR];
  Vector<T> sum[kR][kV];
  times<kR>([&](int r) FB_INLINE { a[r] = static_cast<const T*>(m.a) + m.a_rows[first + r]; });
  // body(sum, where it lies in c, how many of its lanes are real)
  const auto each_sum = [&](auto&& body) FB_INLINE {
    times<kR>([&](int r) FB_INLINE {
      times<kV>([&](int v) FB_INLINE {
        body(sum[r][v], c + to[r] + v * kLanes, v == kV - 1 ? last : kLanes);
      });
    });
  };
  if (m.accumulate)
    each_sum([](Vector<T>& s, const T* at, int64_t n) FB_INLINE { s = load_some(at, n); });
  else
    each_sum([](Vector<T>& s, const T*, int64_t) FB_INLINE { s = Vector<T>{}; });
  const int64_t step = m.step, panel_step = m.panel_step;
  for (const Run *run = m.runs, *end = run + m.run_count; run < end; ++run) {
    const T* panel = static_cast<const T*>(m.panel) + run->row * panel_step;
    for (int64_t i = run->offset, stop = run->end; i < stop; i += step, panel += panel_step) {
      Vector<T> y[kV];
      times<kV>([&](int v) FB_INLINE { y[v] = load(panel + v * kLanes); });
      times<kR>([&](int r) FB_INLINE {
        const Vector<T> x = a[r][i] - Vector<T>{};
        times<kV>([&](int v) FB_INLINE { multiply_add<T>(sum[r][v], x, y[v]); });
      });
    }
  }
  if (last == kLanes)
    each_sum([](const Vector<T>& s, T* at, int64_t) FB_INLINE { store(at, s); });
  else
    each_sum([](const Vector<T>& s, T* at, int64_t n) FB_INLINE { store_some(at, s, n); });
}

template <class T, int kV>
inline void all_rows(const ConvMeeting& m) {
  in_tiles<kRows<T, kV>>(m.rows,
                         [&]<int kR>(Count<kR>, int64_t first) { tile<T, kR, kV>(m, first); });
}

template <class T>
void meet(const ConvMeeting& m) {
  if (m.columns > Lanes<T>::kCount)
    all_rows<T, 2>(m);
  else
    all_rows<T, 1>(m);
}

template <class T>
void pack(const void* b, int64_t row, int64_t column, int64_t depth, int64_t columns, void* panel) {
  const T* from = static_cast<const T*>(b);
  if (columns > Lanes<T>::kCount)
    pack_panel<T, 2>(from, row, column, depth, columns, static_cast<T*>(panel));
  else
    pack_panel<T, 1>(from, row, column, depth, columns, static_cast<T*>(panel));
}

template <class T>
constexpr ConvTileLoops kLoops = {meet<T>, pack<T>, Lanes<T>::kCount, kRows<T, 2>};

}  // namespace

extern const ConvTiles kConvTiles;
const ConvTiles kConvTiles = {kLoops<float>, kLoops<double>};

}  // namespace flowbook::cpu::FLOWBOOK_ISA
