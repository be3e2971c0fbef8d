// Pooling: shares images, or their rows of results, among threads and calls the loops.
#include "cpu/pooling.h"

#include <algorithm>
#include <cstring>

#include "cpu/pool.h"
#include "cpu/pool_loops.h"
#include "ops/pooling.h"

namespace flowbook::cpu {
namespace {

constexpr int64_t kGrain = 32 * 1024;  // entries read per chunk

struct Job {
  PoolImage image;
  int64_t n, bytes;
  const PoolLoops* loops;
  int64_t image_size() const { return image.h * image.w * image.c; }
  int64_t result_size() const { return image.oh * image.ow * image.c; }
  bool rows_apart() const { return image.stride_h >= image.size_h; }  // rows of windows
  bool covered() const {  // each entry of an image has a window of its own
    return image.stride_h == image.size_h && image.stride_w == image.size_w &&
           image.oh * image.stride_h - image.pad_h >= image.h &&
           image.ow * image.stride_w - image.pad_w >= image.w;
  }
};
template <class Op>
Job job_of(const KernelArgs& args, const Shape& x) {
  const ops::PoolGeometry g = ops::pool_geometry(*static_cast<const Op*>(args.attrs), x);
  Job j;
  j.image = {g.h,
             g.w,
             g.c,
             g.rows.out.value(),
             g.cols.out.value(),
             g.rows.size,
             g.cols.size,
             g.rows.stride,
             g.cols.stride,
             g.rows.pad,
             g.cols.pad,
             g.rows.stride >= g.rows.size && g.cols.stride >= g.cols.size};
  j.n = g.n;
  const DType t = args.out[0].spec->dtype;
  j.bytes = size_of(t);
  j.loops = t == DType::f32 ? &pool_loops().f32 : &pool_loops().f64;
  return j;
}
char* at(void* p, int64_t bytes) { return static_cast<char*>(p) + bytes; }

// Results may be computed in any order: body(image, first row, last row).
template <class Body>
void over_rows(const Job& j, Body&& body) {
  if (j.n * j.result_size() == 0) return;
  const int64_t row_cost =
      std::max<int64_t>(j.image.ow * j.image.c * j.image.size_h * j.image.size_w, 1);
  parallel_ranges(j.n * j.image.oh, std::max<int64_t>(1, kGrain / row_cost),
                  [&](int64_t begin, int64_t end) {
                    while (begin < end) {
                      const int64_t image = begin / j.image.oh, row = begin % j.image.oh;
                      const int64_t rows = std::min(end - begin, j.image.oh - row);
                      body(image, row, row + rows);
                      begin += rows;
                    }
                  });
}
// Zeros what lies between windows that are apart, from row `begin` of them up to row `end`. The
// windows' own entries stay, so that a gradient may be written over the image that it reads.
void clear_between(const PoolImage& p, void* image, int64_t bytes, int64_t begin, int64_t end) {
  const int64_t entry = p.c * bytes, row = p.w * entry;
  const auto clear = [&](int64_t from, int64_t to) {
    std::memset(at(image, from), 0, size_t(to - from));
  };
  const auto within = [](int64_t i, int64_t size) { return std::clamp<int64_t>(i, 0, size); };
  for (int64_t r = begin; r < end; ++r) {
    const int64_t top = r * p.stride_h - p.pad_h, last = within(top + p.size_h, p.h);
    for (int64_t i = within(top, p.h); i < last; ++i) {
      int64_t done = 0;
      for (int64_t w = 0; w < p.ow; ++w) {
        const int64_t left = w * p.stride_w - p.pad_w;
        clear(i * row + done * entry, i * row + within(left, p.w) * entry);
        done = within(left + p.size_w, p.w);
      }
      clear(i * row + done * entry, (i + 1) * row);
    }
    clear(last * row, (r + 1 == p.oh ? p.h : within(top + p.stride_h, p.h)) * row);
  }
}
// Gradients: windows may overlap, so that an image stays on one thread unless its rows of windows
// are apart. What no window writes is zero.
template <class Body>
void over_windows(const Job& j, void* dx, Body&& body) {
  const PoolImage& p = j.image;
  const int64_t row = p.w * p.c * j.bytes;
  if (j.n * j.image_size() == 0) return;
  const auto run = [&](int64_t n, int64_t begin, int64_t end) {
    // The image's rows up to the next row of windows.
    const auto top = [&](int64_t r) {
      return r == 0 ? 0 : r == p.oh ? p.h : std::clamp<int64_t>(r * p.stride_h - p.pad_h, 0, p.h);
    };
    if (p.apart && !j.covered()) clear_between(p, at(dx, n * p.h * row), j.bytes, begin, end);
    if (!p.apart)
      std::memset(at(dx, (n * p.h + top(begin)) * row), 0, size_t((top(end) - top(begin)) * row));
    body(n, begin, end);
  };
  if (j.rows_apart()) return over_rows(j, run);
  parallel_ranges(j.n, std::max<int64_t>(1, kGrain / j.image_size()),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t n = begin; n < end; ++n) run(n, 0, p.oh);
                  });
}

template <class Op, PoolForward PoolLoops::*kLoop>
void forward(const KernelArgs& args) {
  const Job j = job_of<Op>(args, args.in[0].spec->shape);
  over_rows(j, [&](int64_t n, int64_t begin, int64_t end) {
    (j.loops->*kLoop)(j.image, at(args.in[0].data, n * j.image_size() * j.bytes),
                      at(args.out[0].data, n * j.result_size() * j.bytes), begin, end);
  });
}

void average_gradient(const KernelArgs& args) {
  const Job j = job_of<ops::AvgPool2dGradient>(args, args.out[0].spec->shape);
  void* dx = args.out[0].data;
  over_windows(j, dx, [&](int64_t n, int64_t begin, int64_t end) {
    j.loops->average_gradient(j.image, at(args.in[0].data, n * j.result_size() * j.bytes),
                              at(dx, n * j.image_size() * j.bytes), begin, end);
  });
}

void max_gradient(const KernelArgs& args) {
  const Job j = job_of<ops::MaxPool2dGradient>(args, args.in[0].spec->shape);
  void* dx = args.out[0].data;
  over_windows(j, dx, [&](int64_t n, int64_t begin, int64_t end) {
    const int64_t image = n * j.image_size() * j.bytes, result = n * j.result_size() * j.bytes;
    j.loops->max_gradient(j.image, at(args.in[0].data, image), at(args.in[1].data, result),
                          at(args.in[2].data, result), at(dx, image), begin, end);
  });
}

void max_pick(const KernelArgs& args) {
  const Job j = job_of<ops::MaxPool2dDoubleGradient>(args, args.in[0].spec->shape);
  over_rows(j, [&](int64_t n, int64_t begin, int64_t end) {
    const int64_t image = n * j.image_size() * j.bytes, result = n * j.result_size() * j.bytes;
    j.loops->max_pick(j.image, at(args.in[0].data, image), at(args.in[1].data, result),
                      at(args.in[2].data, image), at(args.out[0].data, result), begin, end);
  });
}

// Windows that are apart: each of x's entries is read before its own gradient is written, and never
// again.
int over_x(const void* attrs, int, int) {
  const auto& op = *static_cast<const ops::MaxPool2dGradient*>(attrs);
  for (int axis : {0, 1}) {
    const int64_t size = ops::entry_of(op.window, "window", axis, 2, 1);
    if (ops::entry_of(op.strides, "strides", axis, 2, size) < size) return -1;
  }
  return 0;
}

}  // namespace

void register_pooling(Backend& cpu) {
  constexpr DTypeSet kTypes = DTypeSet(set_of(DType::f32) | set_of(DType::f64));
  cpu.kernel("max_pool2d", forward<ops::MaxPool2d, &PoolLoops::max>, kTypes);
  cpu.kernel("max_pool2d_gradient", max_gradient, kTypes).in_place = over_x;
  cpu.kernel("max_pool2d_double_gradient", max_pick, kTypes);
  cpu.kernel("avg_pool2d", forward<ops::AvgPool2d, &PoolLoops::average>, kTypes);
  cpu.kernel("avg_pool2d_gradient", average_gradient, kTypes);
}

}  // namespace flowbook::cpu
