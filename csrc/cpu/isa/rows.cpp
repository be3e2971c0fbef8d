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

// ---- softmax
// ----------------------------------------------------------------------------------------------------------
template <class T>
void softmax(const void* xv, void* yv, int64_t n) {
  const T* x = static_cast<const T*>(xv);
  T* y = static_cast<T*>(yv);
  const T m = row_max(x, n);
  const T sum = row_sum<T>(n, [&](int64_t i) {
    const T e = exp(x[i] - m);
    y[i] = e;
    return e;
  });
  const T share = T(1) / sum;
  each(n, [&](int64_t i) { y[i] *= share; });
}
template <class T>
void softmax_gradient(const void* yv, const void* dyv, void* dxv, int64_t n) {
  const T *y = static_cast<const T*>(yv), *dy = static_cast<const T*>(dyv);
  T* dx = static_cast<T*>(dxv);
  const T dot = row_sum<T>(n, [&](int64_t i) { return y[i] * dy[i]; });
  each(n, [&](int64_t i) { dx[i] = y[i] * (dy[i] - dot); });
}
template <class T>
void log_softmax(const void* xv, void* yv, int64_t n) {
  const T* x = static_cast<const T*>(xv);
  T* y = static_cast<T*>(yv);
  const T m = row_max(x, n);
  const T size = log(row_sum<T>(n, [&](int64_t i) { return exp(x[i] - m); }));
  each(n, [&](int64_t i) { y[i] = (x[i] - m) - size; });
}
template <class T>
void log_softmax_gradient(const void* yv, const void* dyv, void* dxv, int64_t n) {
  const T *y = static_cast<const T*>(yv), *dy = static_cast<const T*>(dyv);
  T* dx = static_cast<T*>(dxv);
  const T sum = row_sum<T>(n, [&](int64_t i) { return dy[i]; });
  each(n, [&](int64_t i) { dx[i] = dy[i] - exp(y[i]) * sum; });
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

// ---- layer normalisation
// --------------------------------------------------------------------------------------------------
template <class T>
struct Moments {
  T mean, scale;
};
template <class T>
inline Moments<T> moments(const T* x, double epsilon, int64_t n) {
  const T mean = row_sum<T>(n, [&](int64_t i) { return x[i]; }) / T(n);
  const T var = row_sum<T>(n, [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); }) / T(n);
  return {mean, T(1) / sqrt(var + T(epsilon))};
}
template <class T>
void layer_norm(const void* xv, const void* wv, const void* bv, double epsilon, void* yv,
                int64_t n) {
  const T *x = static_cast<const T*>(xv), *w = static_cast<const T*>(wv),
          *b = static_cast<const T*>(bv);
  T* y = static_cast<T*>(yv);
  const Moments<T> s = moments(x, epsilon, n);
  each(n, [&](int64_t i) { y[i] = (x[i] - s.mean) * s.scale * w[i] + b[i]; });
}
template <class T>
void layer_norm_gradient(const void* xv, const void* wv, const void* dyv, double epsilon, void* dxv,
                         void* dwv, void* dbv, int64_t n) {
  const T *x = static_cast<const T*>(xv), *w = static_cast<const T*>(wv),
          *dy = static_cast<const T*>(dyv);
  T *dx = static_cast<T*>(dxv), *dw = static_cast<T*>(dwv), *db = static_cast<T*>(dbv);
  const Moments<T> s = moments(x, epsilon, n);
  const T a = row_sum<T>(n, [&](int64_t i) { return dy[i] * w[i]; }) / T(n);
  const T c =
      row_sum<T>(n, [&](int64_t i) { return dy[i] * w[i] * ((x[i] - s.mean) * s.scale); }) / T(n);
  each(n, [&](int64_t i) {
    const T z = (x[i] - s.mean) * s.scale, d = dy[i];
    dw[i] += d * z;
    db[i] += d;
    dx[i] = s.scale * (d * w[i] - a - z * c);
  });
}

}  // namespace

void fill_rows(RowLoops& r);
void fill_rows(RowLoops& r) {
#define PAIR(NAME) r.NAME[0] = NAME<float>, r.NAME[1] = NAME<double>;
  PAIR(softmax)
  PAIR(softmax_gradient)
  PAIR(log_softmax)
  PAIR(log_softmax_gradient)
  PAIR(cross_entropy)
  PAIR(cross_entropy_gradient)
  PAIR(layer_norm)
  PAIR(layer_norm_gradient)
#undef PAIR
}

}  // namespace flowbook::cpu::FLOWBOOK_ISA
