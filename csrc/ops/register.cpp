// The list of families, and the few ops that core asks for by pointer.
#include "ops/register.h"

#include "ops/ops.h"

namespace flowbook {

void register_ops(OpRegistry& r) {
  ops::register_elementwise(r);
  ops::register_reduce(r);
  ops::register_shape(r);
  ops::register_arrange(r);
  ops::register_index(r);
  ops::register_linalg(r);
  ops::register_conv(r);
  ops::register_pooling(r);
  ops::register_create(r);
  ops::register_nn(r);
  ops::register_batch_norm(r);
  ops::register_attention(r);
  ops::register_random(r);
  ops::register_optim(r);
  ops::register_control(r);
  g_core_ops.add = [](const Tensor& x, const Tensor& y) { return add(x, y); };
  g_core_ops.full_like = [](const Spec& s, const Scalar& v) { return full(s.shape, v, s.dtype); };
  g_core_ops.sum_to = sum_to;
  g_core_ops.cast = cast;
}

}  // namespace flowbook
