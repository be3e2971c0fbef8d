// Loops of the optimizer steps, of the random numbers and of progressions. New values may be
// written over the old ones.
#include "cpu/rows.h"

namespace flowbook::cpu::FLOWBOOK_ISA {
namespace {

#include "cpu/scalar.h"

// ---- optimizers
// -------------------------------------------------------------------------------------------------------
template <class T, bool kMomentum, bool kNesterov>
inline void sgd_run(const SgdStep& s, int64_t begin, int64_t end) {
  const T *p = static_cast<const T*>(s.parameter), *g = static_cast<const T*>(s.gradient),
          *v = static_cast<const T*>(s.velocity);
  T *p_new = static_cast<T*>(s.new_parameter), *v_new = static_cast<T*>(s.new_velocity);
  const T rate = T(s.rate), momentum = T(s.momentum), decay = T(s.weight_decay);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) {
    const T slope = g[i] + decay * p[i];
    T step = slope;
    if constexpr (kMomentum) {
      const T speed = momentum * v[i] + slope;
      step = kNesterov ? slope + momentum * speed : speed;
      v_new[i] = speed;
    }
    p_new[i] = p[i] - rate * step;
  }
}
template <class T>
void sgd(const SgdStep& s, int64_t begin, int64_t end) {
  if (!s.new_velocity) return sgd_run<T, false, false>(s, begin, end);
  if (s.nesterov) return sgd_run<T, true, true>(s, begin, end);
  sgd_run<T, true, false>(s, begin, end);
}
template <class T>
void adam(const AdamStep& s, int64_t begin, int64_t end) {
  const T *p = static_cast<const T*>(s.parameter), *g = static_cast<const T*>(s.gradient),
          *m = static_cast<const T*>(s.first), *v = static_cast<const T*>(s.second);
  T *p_new = static_cast<T*>(s.new_parameter), *m_new = static_cast<T*>(s.new_first),
    *v_new = static_cast<T*>(s.new_second);
  const T rate = T(s.rate), root_scale = T(s.root_scale), shrink = T(s.shrink), b1 = T(s.beta1),
          b2 = T(s.beta2), c1 = T(1 - s.beta1), c2 = T(1 - s.beta2), epsilon = T(s.epsilon),
          decay = T(s.weight_decay);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) {
    const T slope = g[i] + decay * p[i];
    const T mean = b1 * m[i] + c1 * slope, square = b2 * v[i] + c2 * slope * slope;
    m_new[i] = mean;
    v_new[i] = square;
    p_new[i] = p[i] * shrink - rate * mean / (sqrt(square) * root_scale + epsilon);
  }
}

// ---- random numbers
// -----------------------------------------------------------------------------------------------------
// Philox4x32-10, kTogether blocks side by side. The same as Philox::block of core/random.h.
constexpr int kTogether = 16;
inline void blocks(uint64_t seed, uint64_t counter, uint32_t stream, uint64_t first,
                   uint32_t* words) {
  uint32_t c0[kTogether], c1[kTogether], c2[kTogether], c3[kTogether];
  for (int l = 0; l < kTogether; ++l) {
    const uint64_t index = first + uint64_t(l);
    c0[l] = uint32_t(index), c1[l] = uint32_t(index >> 32) ^ (stream * 0x9E3779B9u);
    c2[l] = uint32_t(counter), c3[l] = uint32_t(counter >> 32) ^ stream;
  }
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int l = 0; l < kTogether; ++l) {
      const uint64_t p0 = uint64_t(0xD2511F53u) * c0[l], p1 = uint64_t(0xCD9E8D57u) * c2[l];
      c0[l] = uint32_t(p1 >> 32) ^ c1[l] ^ k0, c1[l] = uint32_t(p1);
      c2[l] = uint32_t(p0 >> 32) ^ c3[l] ^ k1, c3[l] = uint32_t(p0);
    }
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  for (int l = 0; l < kTogether; ++l)
    words[4 * l] = c0[l], words[4 * l + 1] = c1[l], words[4 * l + 2] = c2[l],
              words[4 * l + 3] = c3[l];
}
void philox(uint64_t seed, uint64_t counter, uint32_t stream, uint64_t first, int64_t count,
            uint32_t* words) {
  int64_t i = 0;
  for (; i + kTogether <= count; i += kTogether)
    blocks(seed, counter, stream, first + uint64_t(i), words + 4 * i);
  if (i == count) return;
  uint32_t last[4 * kTogether];
  blocks(seed, counter, stream, first + uint64_t(i), last);
  for (int64_t k = 0; k < 4 * (count - i); ++k) words[4 * i + k] = last[k];
}

inline float unit(const uint32_t* w, float) { return float(int32_t(*w >> 8)) * 0x1p-24f; }
inline double unit(const uint32_t* w, double) {
  return double(int64_t((uint64_t(w[0]) << 32 | w[1]) >> 11)) * 0x1p-53;
}
template <class T>
void uniform(const uint32_t* words, double low, double high, void* out, int64_t n) {
  constexpr int kWords = sizeof(T) / 4;
  T* y = static_cast<T*>(out);
  const T lo = T(low), hi = T(high), width = T(high - low);
  const T most = hi > lo ? nextafter(hi, lo) : lo;  // rounding must not reach `high`
  for (int64_t i = 0; i < n; ++i) {
    const T v = lo + unit(words + kWords * i, T()) * width;
    y[i] = hi > lo && v > most ? most : v;
  }
}
// Box and Muller (1958): two uniforms in (0, 1] give two normals.
inline float above_zero(const uint32_t* w, float) { return float(*w) * 0x1p-32f + 0x1p-33f; }
inline double above_zero(const uint32_t* w, double) {
  return double(int64_t(((uint64_t(w[0]) << 32 | w[1]) >> 11) + 1)) * 0x1p-53;
}
// Cosine and sine of u turns, u in [0, 1). q quarter turns come off exactly; the rest is within an
// eighth.
template <class T>
struct Point {
  T cos, sin;
};
template <class T>
inline Point<T> circle(T u) {
  const T q = round(u * T(4)), t = (u - q * T(0.25)) * T(6.283185307179586), z = t * t;
  T c, s;
  if constexpr (sizeof(T) == 4) {
    c = poly(z, 1.0f, -0.5f, 4.1666667e-02f, -1.3888889e-03f, 2.4801587e-05f);
    s = t * poly(z, 1.0f, -1.6666667e-01f, 8.3333333e-03f, -1.9841270e-04f, 2.7557319e-06f);
  } else {
    c = poly(z, 1.0, -0.5, 4.1666666666666667e-02, -1.3888888888888889e-03, 2.4801587301587302e-05,
             -2.7557319223985891e-07, 2.0876756987868099e-09, -1.1470745597729725e-11,
             4.7794773323873853e-14);
    s = t * poly(z, 1.0, -1.6666666666666667e-01, 8.3333333333333333e-03, -1.9841269841269841e-04,
                 2.7557319223985891e-06, -2.5052108385441719e-08, 1.6059043836821615e-10,
                 -7.6471637318198165e-13, 2.8114572543455208e-15);
  }
  const int k = int(q);
  const bool odd = k & 1;
  const T a = odd ? s : c, b = odd ? c : s;
  return {(k + 1) & 2 ? -a : a, k & 2 ? -b : b};
}
template <class T>
void normal(const uint32_t* words, double mean, double std, void* out, int64_t n) {
  constexpr int kWords = sizeof(T) / 4;
  T* y = static_cast<T*>(out);
  const T shift = T(mean), scale = T(std);
  const int64_t pairs = n / 2;
  for (int64_t i = 0; i < pairs; ++i) {
    const T r = sqrt(T(-2) * log(above_zero(words + 2 * kWords * i, T()))) * scale;
    const Point<T> p = circle(unit(words + kWords * (2 * i + 1), T()));
    y[2 * i] = shift + r * p.cos;
    y[2 * i + 1] = shift + r * p.sin;
  }
  if (n % 2) {
    const T r = sqrt(T(-2) * log(above_zero(words + 2 * kWords * pairs, T()))) * scale;
    y[n - 1] = shift + r * circle(unit(words + kWords * (2 * pairs + 1), T())).cos;
  }
}

// ---- arithmetic progressions: lanes that stay, on a number that moves. Of lanes that were moved
// themselves GCC 12 stored the first vector twice.
void count(uint64_t first, uint64_t step, int64_t n, int64_t* out) {
  constexpr int64_t W = 16;
  uint64_t lanes[W];
  for (int64_t j = 0; j < W; ++j) lanes[j] = uint64_t(j) * step;
  int64_t k = 0;
  for (; k + W <= n; k += W, first += W * step)
    for (int64_t j = 0; j < W; ++j) out[k + j] = int64_t(first + lanes[j]);
  for (int64_t j = 0; k + j < n; ++j) out[k + j] = int64_t(first + lanes[j]);
}
void count_real(double start, double step, int64_t first, int64_t n, double* out) {
  constexpr int64_t W = 16;
  double lanes[W], at = double(first);  // their sums are whole and exact
  for (int64_t j = 0; j < W; ++j) lanes[j] = double(j);
  int64_t k = 0;
  for (; k + W <= n; k += W, at += double(W))
    for (int64_t j = 0; j < W; ++j) out[k + j] = start + (at + lanes[j]) * step;
  for (int64_t j = 0; k + j < n; ++j) out[k + j] = start + (at + lanes[j]) * step;
}

}  // namespace

void fill_steps(RowLoops& r);
void fill_steps(RowLoops& r) {
#define PAIR(NAME) r.NAME[0] = NAME<float>, r.NAME[1] = NAME<double>;
  PAIR(sgd)
  PAIR(adam)
  PAIR(uniform)
  PAIR(normal)
#undef PAIR
  r.philox = philox;
  r.count = count;
  r.count_real = count_real;
}

}  // namespace flowbook::cpu::FLOWBOOK_ISA
