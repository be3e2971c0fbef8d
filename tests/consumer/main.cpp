// Eager ops, a recorded graph and its gradient, through the installed headers. Prints three lines.
#include <core/gradient.h>
#include <core/version.h>
#include <cpu/cpu.h>
#include <ops/ops.h>

#include <cstdio>

using namespace flowbook;

int main() {
  register_ops(registry());
  cpu::register_cpu();
  std::printf("flowbook %s\n", FLOWBOOK_VERSION);

  Tensor x = scalar(3.0, DType::f32);
  std::printf("value %g\n", scalar_value(x * x + 1.0));

  auto tape = std::make_shared<Graph>(/*symbolic=*/false);
  Recorder recorder(tape);
  Tensor y = x * x + 1.0;
  std::vector<std::vector<int32_t>> xs = {{tape->value_of(x.impl())}};
  Gradients g = gradients(*tape, std::span(&y, 1), xs);
  std::printf("gradient %g\n", scalar_value(g.values[0]));

  try {
    matmul(x, x);
  } catch (const Error& e) {  // crosses the library's border
    std::printf("error %s\n", e.what());
  }
}
