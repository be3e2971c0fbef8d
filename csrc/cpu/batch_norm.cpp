// Batch normalisation: statistics by blocks of rows that stay in the second cache, put together in
// order; then one map.
#include "ops/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "cpu/channel_loops.h"
#include "cpu/cpu.h"
#include "cpu/pool.h"

namespace flowbook::cpu {
namespace {

constexpr int64_t kBlockBytes = 128 * 1024;

struct Job {
  int64_t rows, c, bytes, block;  // `block`: rows at a time
  const ChannelLoops* loops;
  int64_t blocks() const { return (rows + block - 1) / block; }
  int64_t from(int64_t i) const { return i * block * c * bytes; }
  int64_t rows_of(int64_t i) const { return std::min(block, rows - i * block); }
};
Job job_of(const Array& x) {
  const Shape& s = x.spec->shape;
  Job j;
  j.c = s[s.rank - 1].value();
  j.rows = 1;
  for (int i = 0; i + 1 < s.rank; ++i) j.rows *= s[i].value();
  j.bytes = size_of(x.spec->dtype);
  j.block = std::max<int64_t>(1, kBlockBytes / std::max<int64_t>(j.c * j.bytes, 1));
  j.loops = x.spec->dtype == DType::f32 ? &channel_loops().f32 : &channel_loops().f64;
  return j;
}
char* at(void* p, int64_t bytes) { return static_cast<char*>(p) + bytes; }

// Two vectors a block, and four for what all rows share.
int64_t workspace(const OpDef&, const void*, std::span<const Array> in) {
  const Job j = job_of(in[0]);
  return (2 * j.blocks() + 4) * j.c * j.bytes;
}

// Statistics of the blocks become those of all rows (Chan, Golub, LeVeque 1983), in their order and
// in float64.
template <class T>
void combine(const Job& j, const T* parts, T* mean, T* variance) {
  for (int64_t c = 0; c < j.c; ++c) {
    double m = 0, far = 0, n = 0;
    for (int64_t i = 0; i < j.blocks(); ++i) {
      const double k = double(j.rows_of(i)), d = double(parts[2 * i * j.c + c]) - m;
      far += double(parts[(2 * i + 1) * j.c + c]) + d * d * (n * k / (n + k));
      m += d * (k / (n + k));
      n += k;
    }
    mean[c] = T(j.rows ? m : NAN), variance[c] = T(j.rows ? far / n : NAN);
  }
}

template <class T>
void batch_norm(const KernelArgs& args, const Job& j) {
  const double epsilon = static_cast<const ops::BatchNorm*>(args.attrs)->epsilon;
  const Array& x = args.in[0];
  T* parts = static_cast<T*>(args.workspace);
  T* scale = parts + 2 * j.blocks() * j.c;
  T *mean = args.out[1].as<T>(), *variance = args.out[2].as<T>();
  parallel_for(j.blocks(), [&](int64_t i) {
    T* part = parts + 2 * i * j.c;
    j.loops->moments(at(x.data, j.from(i)), j.rows_of(i), j.c, part, part + j.c);
  });
  combine(j, parts, mean, variance);
  for (int64_t c = 0; c < j.c; ++c)
    scale[c] = T(1) / std::sqrt(variance[c] + T(epsilon)) * args.in[1].as<T>()[c];
  parallel_for(j.blocks(), [&](int64_t i) {
    j.loops->normalize(at(x.data, j.from(i)), j.rows_of(i), j.c, mean, scale, args.in[2].data,
                       at(args.out[0].data, j.from(i)));
  });
}

template <class T>
void batch_norm_gradient(const KernelArgs& args, const Job& j) {
  const double epsilon = static_cast<const ops::BatchNormGradient*>(args.attrs)->epsilon;
  const Array &x = args.in[0], &dy = args.in[4];
  const T *weight = args.in[1].as<T>(), *mean = args.in[2].as<T>(), *variance = args.in[3].as<T>();
  const T *dmean = args.in[5].as<T>(), *dvariance = args.in[6].as<T>();
  T* parts = static_cast<T*>(args.workspace);
  T *scale = parts + 2 * j.blocks() * j.c, *by_far = scale + j.c, *shift = by_far + j.c;
  T *dweight = args.out[1].as<T>(), *dbias = args.out[2].as<T>();
  parallel_for(j.blocks(), [&](int64_t i) {
    T* part = parts + 2 * i * j.c;
    j.loops->gradient_sums(at(x.data, j.from(i)), at(dy.data, j.from(i)), j.rows_of(i), j.c, mean,
                           part, part + j.c);
  });
  const double n = double(j.rows);
  for (int64_t c = 0; c < j.c; ++c) {
    double sum = 0, product = 0;
    for (int64_t i = 0; i < j.blocks(); ++i) {
      sum += double(parts[2 * i * j.c + c]), product += double(parts[(2 * i + 1) * j.c + c]);
    }
    const double s = 1 / std::sqrt(double(variance[c]) + epsilon);
    dbias[c] = T(sum), dweight[c] = T(product * s);
    scale[c] = T(double(weight[c]) * s);
    by_far[c] = T((double(dvariance[c]) * 2 - double(weight[c]) * s * s * (product * s)) / n);
    shift[c] = T((double(dmean[c]) - double(weight[c]) * s * sum) / n);
  }
  parallel_for(j.blocks(), [&](int64_t i) {
    j.loops->gradient(at(x.data, j.from(i)), at(dy.data, j.from(i)), j.rows_of(i), j.c, mean, scale,
                      by_far, shift, at(args.out[0].data, j.from(i)));
  });
}

}  // namespace

void register_batch_norm(Backend& cpu) {
  constexpr DTypeSet kTypes = DTypeSet(set_of(DType::f32) | set_of(DType::f64));
  const Kernel forward = [](const KernelArgs& args) {
    const Job j = job_of(args.in[0]);
    j.bytes == 4 ? batch_norm<float>(args, j) : batch_norm<double>(args, j);
  };
  const Kernel backward = [](const KernelArgs& args) {
    const Job j = job_of(args.in[0]);
    j.bytes == 4 ? batch_norm_gradient<float>(args, j) : batch_norm_gradient<double>(args, j);
  };
  cpu.kernel("batch_norm", forward, kTypes).workspace = workspace;
  cpu.kernel("batch_norm_gradient", backward, kTypes).workspace = workspace;
}

}  // namespace flowbook::cpu
