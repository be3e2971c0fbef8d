// Kernels of the optimizer steps: one parallel pass over all tensors, cut into chunks of the
// tensors laid end to end.
#include "ops/optim.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "cpu/cpu.h"
#include "cpu/pool.h"
#include "cpu/rows.h"

namespace flowbook::cpu {

namespace {

constexpr int64_t kGrain = 16 << 10;  // elements a chunk

double number(const Array& a) {
  switch (a.spec->dtype) {
    case DType::f32:
      return a.as<float>()[0];
    case DType::f64:
      return a.as<double>()[0];
    case DType::i32:
      return a.as<int32_t>()[0];
    case DType::i64:
      return double(a.as<int64_t>()[0]);
    case DType::u8:
      return a.as<uint8_t>()[0];
    default:
      fail(ErrorKind::kMissingKernel, "learning rate and step may not be ", name_of(a.spec->dtype),
           ". Cast them to float32.");
  }
}
void require_type(const Array& a) {
  if (a.spec->dtype != DType::f32 && a.spec->dtype != DType::f64)
    fail(ErrorKind::kMissingKernel, "there is no cpu kernel for ", name_of(a.spec->dtype),
         ". There are kernels for float32, float64; cast with astype().");
}

// body(i, begin, end): elements [begin, end) of tensor i.
template <class Body>
void over_tensors(std::span<const Array> tensors, Body&& body) {
  constexpr size_t kInline = 64;
  int64_t on_stack[kInline + 1];
  std::unique_ptr<int64_t[]> on_heap;
  if (tensors.size() > kInline) on_heap.reset(new int64_t[tensors.size() + 1]);
  int64_t* ends = on_heap ? on_heap.get() : on_stack;  // where each tensor ends
  int64_t total = 0;
  for (size_t i = 0; i < tensors.size(); ++i) ends[i] = total += tensors[i].size();
  parallel_ranges(total, kGrain, [&](int64_t begin, int64_t end) {
    size_t i = size_t(std::upper_bound(ends, ends + tensors.size(), begin) - ends);
    for (; begin < end; ++i) {
      const int64_t start = i ? ends[i - 1] : 0, stop = std::min(end, ends[i]);
      if (begin < stop) body(i, begin - start, stop - start);
      begin = std::max(begin, stop);
    }
  });
}

void sgd(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Sgd*>(a.attrs);
  const size_t n = size_t(op.tensors(int(a.in.size())));
  const bool momentum = op.groups() == 3;
  const double rate = number(a.in.back());
  for (size_t i = 0; i < n; ++i) require_type(a.in[i]);
  over_tensors(a.in.first(n), [&](size_t i, int64_t begin, int64_t end) {
    const SgdStep s{a.in[i].data,
                    a.in[n + i].data,
                    momentum ? a.in[2 * n + i].data : nullptr,
                    a.out[i].data,
                    momentum ? a.out[n + i].data : nullptr,
                    rate,
                    op.momentum,
                    op.weight_decay,
                    op.nesterov};
    row_loops().sgd[a.in[i].spec->dtype == DType::f64](s, begin, end);
  });
}

void adam(const KernelArgs& a) {
  const auto& op = *static_cast<const ops::Adam*>(a.attrs);
  const size_t n = size_t(op.tensors(int(a.in.size())));
  const double rate = number(a.in[4 * n]), step = number(a.in[4 * n + 1]);
  const double first = 1 - std::pow(op.beta1, step), second = 1 - std::pow(op.beta2, step);
  for (size_t i = 0; i < n; ++i) require_type(a.in[i]);
  over_tensors(a.in.first(n), [&](size_t i, int64_t begin, int64_t end) {
    const AdamStep s{a.in[i].data,
                     a.in[n + i].data,
                     a.in[2 * n + i].data,
                     a.in[3 * n + i].data,
                     a.out[i].data,
                     a.out[n + i].data,
                     a.out[2 * n + i].data,
                     rate / first,
                     1 / std::sqrt(second),
                     op.decoupled ? 1 - rate * op.weight_decay : 1.0,
                     op.beta1,
                     op.beta2,
                     op.epsilon,
                     op.decoupled ? 0.0 : op.weight_decay};
    row_loops().adam[a.in[i].spec->dtype == DType::f64](s, begin, end);
  });
}

template <class Op>
int replaced(const void* attrs, int inputs, int output) {
  return static_cast<const Op*>(attrs)->replaces(output, inputs);
}

}  // namespace

void register_optim(Backend& cpu) {
  constexpr DTypeSet kTypes = set_of(DType::f32) | set_of(DType::f64);
  cpu.kernel("sgd", sgd, kTypes).in_place = replaced<ops::Sgd>;
  cpu.kernel("adam", adam, kTypes).in_place = replaced<ops::Adam>;
}

}  // namespace flowbook::cpu
