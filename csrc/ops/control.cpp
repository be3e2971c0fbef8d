// Records of the control family.
#include "ops/control.h"

#include "core/graph.h"
#include "ops/ops.h"
#include "ops/register.h"

namespace flowbook {

namespace ops {

void Barrier::describe(Schema<Barrier>& op) {
  op.name("barrier").doc("`x` itself, kept apart from `x` by the compiler.").family("control");
  op.input("x", kAll, "Operand of any shape.").output("y", "Equal to `x`.");
  op.attr("id", &Barrier::id, "Barriers with different numbers are never merged.").gradient_reads();
  op.example("barrier([1., 2.])", "[1., 2.]");
}
bool Barrier::view(const Spec&, const Tensor& x, View& v) const {
  v = view_of(x);
  return true;
}

void Custom::describe(Schema<Custom>& op) {
  op.name("custom")
      .doc("Results of a function that has a gradient rule of its own; see custom_gradient().")
      .family("control");
  op.own_input("values", kAll, "The function's arguments, then its results.");
  op.output("y", "The results.");
  op.attr("inputs", &Custom::inputs, "How many of the values are arguments.").gradient_reads();
}
std::vector<Spec> Custom::infer(Specs in) const {
  if (inputs < 0 || size_t(inputs) > in.size())
    argument_error("inputs is ", inputs, " of ", in.size(), " values.");
  std::vector<Spec> out;
  for (size_t i = size_t(inputs); i < in.size(); ++i) out.push_back(in[i]);
  return out;
}
std::vector<Tensor> Custom::expand(std::span<const Tensor> in) const {
  std::vector<Tensor> out(in.begin() + inputs, in.end());
  // A tape knows tensors by identity: the results need one of their own beside the arguments.
  for (Tensor& t : out)
    if (!t.symbolic()) t = barrier(t);
  return out;
}
std::vector<Tensor> Custom::vjp(const Saved& saved, const Tensor* dy) const {
  auto it = saved.graph.rules.find(saved.node);
  if (it == saved.graph.rules.end())
    fail(ErrorKind::kGradient,
         "the op was called without a gradient rule. Use fb.custom_gradient().");
  std::vector<Tensor> dx = it->second({dy, size_t(saved.inputs() - inputs)});
  if (int64_t(dx.size()) != inputs)
    fail(ErrorKind::kGradient, "the rule returned ", dx.size(), " gradients for ", inputs,
         " arguments. Return one for each, in order.");
  for (int64_t i = 0; i < inputs; ++i) {
    const Spec& x = saved.input_spec(int(i));
    if (!dx[size_t(i)] || !in(x.dtype, kFloating | kComplex)) {
      dx[size_t(i)] = Tensor();
      continue;
    }
    if (!(dx[size_t(i)].shape() == x.shape))
      fail(ErrorKind::kGradient, "the rule returned ", dx[size_t(i)].spec(), " for argument ", i,
           ", which is ", x, ". Shapes must be equal.");
    dx[size_t(i)] = cast(dx[size_t(i)], x.dtype);
  }
  dx.resize(size_t(saved.inputs()));  // none for the results
  return dx;
}

void register_control(OpRegistry& r) { r.add<Barrier, Custom>(); }

}  // namespace ops

Tensor barrier(const Tensor& x) {
  static std::atomic<int64_t> next{1};
  return call(ops::Barrier{next.fetch_add(1)}, x);
}
std::vector<Tensor> custom_gradient(std::span<const Tensor> inputs, std::span<const Tensor> results,
                                    GradientRule rule) {
  Graph* program = Recorder::program();
  Graph* g = Recorder::current();
  if (!g) return {results.begin(), results.end()};
  std::vector<Tensor> values(inputs.begin(), inputs.end());
  values.insert(values.end(), results.begin(), results.end());
  std::vector<Tensor> out = call_list(ops::Custom{int64_t(inputs.size())}, values);
  // The node is the last one of every recording that took it.
  if (program) program->rules.emplace(int32_t(program->nodes.size()) - 1, rule);
  for (Recorder* r = Recorder::top(); r && r->graph; r = r->outer)
    if (!r->graph->symbolic) r->graph->rules.emplace(int32_t(r->graph->nodes.size()) - 1, rule);
  return out;
}

}  // namespace flowbook
