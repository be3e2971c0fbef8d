// Optimizer steps over many tensors at once. The inputs are groups of n tensors, then scalars:
//   sgd   parameters, gradients, velocities (with momentum only), learning rate
//   adam  parameters, gradients, first moments, second moments, learning rate, step (counted from
//   1)
// The outputs are the new parameters and then the new slots, each written over the input it
// replaces where the memory plan allows it.
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

struct Sgd {
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;
  static void describe(Schema<Sgd>&);
  int groups() const { return momentum != 0 ? 3 : 2; }
  int tensors(int inputs) const { return (inputs - 1) / groups(); }
  int outputs(int inputs) const { return tensors(inputs) * (groups() - 1); }
  // The input that output i may be written over.
  int replaces(int output, int inputs) const {
    return output < tensors(inputs) ? output : output + tensors(inputs);
  }
  std::vector<Spec> infer(Specs xs) const;
};
struct Adam {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;
  static void describe(Schema<Adam>&);
  int tensors(int inputs) const { return (inputs - 2) / 4; }
  int outputs(int inputs) const { return tensors(inputs) * 3; }
  int replaces(int output, int inputs) const {
    return output < tensors(inputs) ? output : output + tensors(inputs);
  }
  std::vector<Spec> infer(Specs xs) const;
};

}  // namespace flowbook::ops
