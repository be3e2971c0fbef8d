// Records of the optimizer steps.
#include "ops/optim.h"

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {

namespace {
// Each group must be shaped and typed as the parameters; then come 0-d scalars.
std::vector<Spec> check(Specs xs, int groups, int scalars) {
  const int inputs = int(xs.size());
  if (inputs < scalars || (inputs - scalars) % groups)
    argument_error(inputs, " tensors are given. There must be ", groups, " for each parameter and ",
                   scalars, " number", scalars > 1 ? "s." : ".");
  const int n = (inputs - scalars) / groups;
  constexpr const char* kNames[] = {"parameter", "gradient", "slot", "second slot"};
  std::vector<Spec> out;
  for (int g = 0; g < groups; ++g)
    for (int i = 0; i < n; ++i) {
      const Spec &p = xs[size_t(i)], &x = xs[size_t(g * n + i)];
      if (!in(p.dtype, kFloating))
        dtype_error("parameter ", i, " is ", p, ". Parameters must be floating.");
      if (!(x.shape == p.shape) || x.dtype != p.dtype)
        shape_error(kNames[g], " ", i, " is ", x, " for a parameter of ", p,
                    ". They must be alike.");
      if (g != 1) out.push_back(like(p, p.shape));
    }
  for (int i = inputs - scalars; i < inputs; ++i)
    if (xs[size_t(i)].shape.rank)
      shape_error("learning rate and step must be 0-d; one of them is ", xs[size_t(i)], ".");
  return out;
}
void require_share(double v, const char* name) {
  if (!(v >= 0 && v < 1)) argument_error("`", name, "` is ", v, ". It must be from 0 to below 1.");
}
void append_all(std::vector<Tensor>& to, std::span<const Tensor> from) {
  to.insert(to.end(), from.begin(), from.end());
}
}  // namespace

void Sgd::describe(Schema<Sgd>& op) {
  op.name("sgd")
      .doc("One step of gradient descent for many parameters: v = momentum v + g, p = p - rate v.")
      .family("optim");
  op.own_input("tensors", kReal,
               "Parameters, gradients, with momentum velocities, then the learning rate (0-d).");
  op.attr("momentum", &Sgd::momentum, "Share of the last velocity that stays.");
  op.attr("weight_decay", &Sgd::weight_decay, "Times the parameter, added to its gradient.");
  op.attr("nesterov", &Sgd::nesterov, "Whether to step by g + momentum v instead of v.");
  op.output("updated", "New parameters, then with momentum new velocities.").not_differentiable();
}
std::vector<Spec> Sgd::infer(Specs xs) const {
  if (!(momentum >= 0)) argument_error("`momentum` is ", momentum, ". It must not be negative.");
  return check(xs, groups(), 1);
}

void Adam::describe(Schema<Adam>& op) {
  op.name("adam")
      .doc(
          "One step of Adam (Kingma and Ba 2015) for many parameters; decoupled: AdamW (Loshchilov "
          "and Hutter 2019).")
      .family("optim");
  op.own_input("tensors", kReal,
               "Parameters, gradients, first moments, second moments, then the learning rate and "
               "the step, counted from 1 (0-d).");
  op.attr("beta1", &Adam::beta1, "Share of the last first moment that stays.")
      .attr("beta2", &Adam::beta2, "The same for the second.");
  op.attr("epsilon", &Adam::epsilon, "Added to the root of the second moment.");
  op.attr("weight_decay", &Adam::weight_decay, "Times the parameter, added to its gradient.");
  op.attr("decoupled", &Adam::decoupled,
          "Whether weight decay shrinks the parameter itself instead, as in AdamW.");
  op.output("updated", "New parameters, new first moments, new second moments.")
      .not_differentiable();
}
std::vector<Spec> Adam::infer(Specs xs) const {
  require_share(beta1, "beta1"), require_share(beta2, "beta2");
  return check(xs, 4, 2);
}

void register_optim(OpRegistry& r) { r.add<Sgd, Adam>(); }

}  // namespace ops

std::vector<Tensor> sgd(std::span<const Tensor> parameters, std::span<const Tensor> gradients,
                        std::span<const Tensor> velocities, const Tensor& learning_rate,
                        SgdSettings s) {
  std::vector<Tensor> in;
  for (auto group : {parameters, gradients, velocities}) ops::append_all(in, group);
  in.push_back(learning_rate);
  return call_list(ops::Sgd{s.momentum, s.weight_decay, s.nesterov}, in);
}
std::vector<Tensor> adam(std::span<const Tensor> parameters, std::span<const Tensor> gradients,
                         std::span<const Tensor> first_moments,
                         std::span<const Tensor> second_moments, const Tensor& learning_rate,
                         const Tensor& step, AdamSettings s) {
  std::vector<Tensor> in;
  for (auto group : {parameters, gradients, first_moments, second_moments})
    ops::append_all(in, group);
  in.push_back(learning_rate), in.push_back(step);
  return call_list(ops::Adam{s.beta1, s.beta2, s.epsilon, s.weight_decay, s.decoupled}, in);
}

}  // namespace flowbook
