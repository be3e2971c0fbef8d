// Row loops of the neural-network ops. Sums and extrema run in kLanes lanes that are joined in a
// fixed order, so that every vector width gives the same bits. Outputs may be their own inputs,
// element by element, which `ivdep` states.
#include "cpu/rows.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#include "cpu/scalar.h"

constexpr int kLanes = 32;

// ---- lanes
// ----------------------------------------------------------------------------------------------------------
template <class T>
inline T higher(T a, T b) {  // NaN wins
  return b > a || b != b ? b : a;
}
template <class T>
inline T join_sum(T* lane) {
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) lane[i] += lane[i + step];
  return lane[0];
}
template <class T>
inline T row_max(const T* x, int64_t n) {
  if (n < kLanes) {
    T m = x[0];
    for (int64_t i = 1; i < n; ++i) m = higher(m, x[i]);
    return m;
  }
  T lane[kLanes];
  for (int l = 0; l < kLanes; ++l) lane[l] = x[l];
  int64_t i = kLanes;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lane[l] = higher(lane[l], x[i + l]);
  for (int64_t l = 0; i + l < n; ++l) lane[l] = higher(lane[l], x[i + l]);
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int l = 0; l < step; ++l) lane[l] = higher(lane[l], lane[l + step]);
  return lane[0];
}
// Sum over i of term(i), which may store on its way.
template <class T, class F>
inline T row_sum(int64_t n, F&& term) {
  T lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma GCC ivdep
    for (int l = 0; l < kLanes; ++l) lane[l] += term(i + l);
  }
  const int rest = int(n - i);
#pragma GCC ivdep
  for (int l = 0; l < rest; ++l) lane[l] += term(i + l);
  return join_sum(lane);
}
template <class F>
inline void each(int64_t n, F&& f) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) f(i);
}

// ---- cross-entropy
// --------------------------------------------------------------------------------------------------------
template <class T>
inline T log_size(const T* x, T m, int64_t n) {  // log of the sum of exp(x - m)
  return log(row_sum<T>(n, [&](int64_t i) { return exp(x[i] - m); }));
}
template <class T>
void cross_entropy(const void* xv, int64_t target, void* loss, int64_t n) {
  const T* x = static_cast<const T*>(xv);
  const T m = row_max(x, n);
  *static_cast<T*>(loss) = log_size(x, m, n) + (m - x[target]);
}
// The loss tells the sum of exponentials, which spares making it again.
template <class T>
void cross_entropy_gradient(const void* xv, int64_t target, const void* loss, const void* dloss,
                            void* dxv, int64_t n) {
  const T* x = static_cast<const T*>(xv);
  T* dx = static_cast<T*>(dxv);
  const T d = *static_cast<const T*>(dloss), m = row_max(x, n);
  T size = *static_cast<const T*>(loss) - (m - x[target]);
  if (!(size - size == T(0))) size = log_size(x, m, n);
  const T right = exp((x[target] - m) - size);
  each(n, [&](int64_t i) { dx[i] = exp((x[i] - m) - size) * d; });
  dx[target] = (right - T(1)) * d;
}

}  // namespace

void fill_rows(RowLoops& r);
void fill_rows(RowLoops& r) {
#define PAIR(NAME) r.NAME[0] = NAME<float>, r.NAME[1] = NAME<double>;
  PAIR(cross_entropy)
  PAIR(cross_entropy_gradient)
#undef PAIR
}

}  // namespace flowbook::cpu::FLOWBOOK_ISA
