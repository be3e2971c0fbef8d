// Fused programs on blocks of rows and columns, as epilogues run them: the bits of a whole run,
// whatever the cut, with one input read from a block of its own.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/backend.h"
#include "core/fused.h"
#include "cpu/cpu.h"
#include "ops/ops.h"

using namespace flowbook;

namespace {

int failures = 0;
void expect(bool holds, const char* what, int64_t rows, int64_t cols) {
  if (!holds) std::printf("failed: %s, [%ld, %ld]\n", what, long(rows), long(cols)), ++failures;
}

struct Builder {
  FusedSpec spec;
  int input(Level level, Access access = Access::kDense, int64_t period = 1) {
    spec.inputs.push_back({level, access, DType::f32, period});
    return int(spec.inputs.size()) - 1;
  }
  int map(const char* op, Level level, int a, int b = -1) {
    FusedInstruction i;
    i.level = level, i.row = registry().find(op).elementwise;
    i.arity = b < 0 ? 1 : 2, i.src[0] = a, i.src[1] = std::max(b, 0);
    return add(i);
  }
  int sum(Level level, int a) {
    FusedInstruction i;
    i.level = level, i.reduction = Reduction::kSum, i.src[0] = a;
    return add(i);
  }
  int add(const FusedInstruction& i) {
    spec.instructions.push_back(i);
    return int(spec.inputs.size() + spec.instructions.size()) - 1;
  }
};

std::vector<float> numbers(int64_t n, int seed) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(float(i) * 0.37f + float(seed));
  return x;
}

void check(int64_t rows, int64_t cols, bool reduces) {
  Builder b;
  b.spec.rows = rows, b.spec.cols = cols;
  const int product = b.input(Level::kElement), bias = b.input(Level::kColumn);
  const int scale = b.input(Level::kRow), residual = b.input(Level::kElement);
  int y = b.map("tanh", Level::kElement, b.map("add", Level::kElement, product, bias));
  y = b.map("add", Level::kElement, b.map("multiply", Level::kElement, y, scale), residual);
  b.spec.outputs = {y};
  if (reduces) {
    const int s = b.map("abs", Level::kRow, b.sum(Level::kRow, y));
    b.spec.outputs = {b.map("divide", Level::kElement, y, s), s};
  }
  const auto kernel = device(0).fuse(b.spec);
  expect(kernel->blockwise(1, cols), "runs on blocks of whole rows", rows, cols);
  expect(kernel->blockwise(1, cols - 1) != reduces, "runs on any block unless it reduces", rows,
         cols);

  std::vector<float> p = numbers(rows * cols, 1), c = numbers(cols, 2), r = numbers(rows, 3),
                     d = numbers(rows * cols, 4);
  std::vector<float> whole(p.size()), sums(r.size()), parts(p.size()), part_sums(r.size());
  std::vector<char> workspace(size_t(kernel->workspace()) + 64);
  void* in[] = {p.data(), c.data(), r.data(), d.data()};
  void* out[] = {whole.data(), sums.data()};
  kernel->run(in, out, workspace.data());

  const int64_t width = reduces ? cols : std::max<int64_t>(1, cols / 3 + 1), height = 5;
  in[0] = nullptr;  // only blocks of the product exist
  void* into[] = {parts.data(), part_sums.data()};
  for (int64_t i = 0; i < rows; i += height)
    for (int64_t j = 0; j < cols; j += width) {
      FusedBlock block{i, std::min(height, rows - i), j, std::min(width, cols - j), product};
      const int64_t stride = block.cols + 3;
      std::vector<float> own(size_t(block.rows * stride), NAN);
      for (int64_t k = 0; k < block.rows; ++k)
        std::memcpy(&own[size_t(k * stride)], &p[size_t((i + k) * cols + j)],
                    size_t(block.cols) * sizeof(float));
      block.data = own.data(), block.stride = stride;
      kernel->run_block(in, into, nullptr, block);
    }
  expect(std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)) == 0,
         "blocks give the bits of the whole", rows, cols);
  if (reduces)
    expect(std::memcmp(sums.data(), part_sums.data(), sums.size() * sizeof(float)) == 0,
           "blocks give the row values of the whole", rows, cols);

  // The product may lie where the result will be.
  expect(kernel->in_place(product, 0), "the result may be written over the product", rows, cols);
  if (reduces) expect(!kernel->in_place(product, 1), "row values are no place for it", rows, cols);
  parts = p;
  for (int64_t i = 0; i < rows; i += height)
    for (int64_t j = 0; j < cols; j += width)
      kernel->run_block(in, into, nullptr,
                        {i, std::min(height, rows - i), j, std::min(width, cols - j), product,
                         &parts[size_t(i * cols + j)], cols});
  expect(std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)) == 0,
         "so do blocks that are written over", rows, cols);
}

// Sums of columns in blocks that end where their parts do, and what is made of all rows behind
// them.
void check_columns(int64_t rows, int64_t cols) {
  Builder b;
  b.spec.rows = rows, b.spec.cols = cols;
  const int product = b.input(Level::kElement), slope = b.input(Level::kElement);
  const int y = b.map("multiply", Level::kElement, product, slope);
  const int s = b.sum(Level::kColumn, y);
  b.spec.outputs = {y, b.map("abs", Level::kColumn, s)};
  const auto kernel = device(0).fuse(b.spec);
  const int64_t height = 128;  // no part of a sum has more rows, and all divide it
  expect(kernel->blockwise(height, cols), "sums columns in high blocks", rows, cols);
  expect(kernel->blockwise(5, cols) == (rows <= 5), "in low ones only if one is all", rows, cols);

  std::vector<float> p = numbers(rows * cols, 1), d = numbers(rows * cols, 2);
  std::vector<float> whole(p.size()), sums(static_cast<size_t>(cols)), parts(p.size()),
      part_sums(sums.size());
  std::vector<char> workspace(size_t(kernel->workspace()) + 64, char(0x55));
  void* in[] = {p.data(), d.data()};
  void* out[] = {whole.data(), sums.data()};
  kernel->run(in, out, workspace.data());
  for (const int64_t width : {cols, cols / 2 + 1}) {
    void* into[] = {parts.data(), part_sums.data()};
    std::fill(part_sums.begin(), part_sums.end(), NAN);
    std::fill(workspace.begin(), workspace.end(), char(0x55));
    parts = p;  // the blocks lie where the result will be
    for (int64_t j = 0; j < cols; j += width)
      for (int64_t i = (rows - 1) / height * height; i >= 0; i -= height)
        kernel->run_block(in, into, workspace.data(),
                          {i, std::min(height, rows - i), j, std::min(width, cols - j), product,
                           &parts[size_t(i * cols + j)], cols});
    kernel->finish_blocks(in, into, workspace.data());
    expect(std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)) == 0,
           "summed blocks give the bits of the whole", rows, cols);
    expect(std::memcmp(sums.data(), part_sums.data(), sums.size() * sizeof(float)) == 0,
           "blocks give the sums of the whole", rows, cols);
  }
}

// An output that is there before the product is read again has no place in its memory.
void check_order() {
  Builder b;
  b.spec.rows = 8, b.spec.cols = 300;
  const int product = b.input(Level::kElement);
  const int first = b.map("abs", Level::kElement, product);
  const int second = b.map("multiply", Level::kElement, first, product);
  b.spec.outputs = {first, second};
  const auto kernel = device(0).fuse(b.spec);
  expect(!kernel->in_place(product, 0), "an early result is not written over the product", 8, 300);
  expect(kernel->in_place(product, 1), "the last one may be", 8, 300);
}

}  // namespace

int main() {
  register_ops(registry());
  cpu::register_cpu();
  for (int64_t rows : {1, 4, 33})
    for (int64_t cols : {2, 3, 10, 255, 256, 1024, 2049, 5000})
      check(rows, cols, false), check(rows, cols, true);
  // Results that are written past the caches; memory of a vector is not aligned as they want it.
  check(2049, 2048, false), check(2049, 2048, true);
  for (int64_t rows : {3, 128, 300, 1025})
    for (int64_t cols : {2, 3, 10, 96, 255, 512, 2049}) check_columns(rows, cols);
  check_order();
  if (!failures) std::printf("blocks: all passed\n");
  return failures != 0;
}
