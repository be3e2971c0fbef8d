// Random numbers as pure functions of a key (int64[2]: seed and counter) and the op's stream
// number.
#pragma once
#include "core/schema.h"

namespace flowbook::ops {

struct Uniform {
  Shape shape;
  double low = 0, high = 1;
  OptionalDType dtype;
  int64_t stream = 0;
  static void describe(Schema<Uniform>&);
  Spec infer(const Spec& key) const;
};
struct Normal {
  Shape shape;
  double mean = 0, std = 1;
  OptionalDType dtype;
  int64_t stream = 0;
  static void describe(Schema<Normal>&);
  Spec infer(const Spec& key) const;
};
struct Randint {
  Shape shape;
  int64_t low = 0, high = 2;
  OptionalDType dtype;
  int64_t stream = 0;
  static void describe(Schema<Randint>&);
  Spec infer(const Spec& key) const;
};
struct Bernoulli {
  Shape shape;
  double p = 0.5;
  int64_t stream = 0;
  static void describe(Schema<Bernoulli>&);
  Spec infer(const Spec& key) const;
};
struct Permutation {
  Dim n = 0;
  int64_t stream = 0;
  static void describe(Schema<Permutation>&);
  Spec infer(const Spec& key) const;
};
// Each entry is zeroed with probability `rate`, the others are divided by 1 - rate. Entry i stays
// if uniform number i of the stream (32 bits) is at least rate.
struct Dropout {
  double rate = 0.5;
  int64_t stream = 0;
  static void describe(Schema<Dropout>&);
  Spec infer(const Spec& key, const Spec& x) const;
  std::array<Tensor, 2> vjp(const Saved&, const Tensor& dy) const;
};

}  // namespace flowbook::ops
