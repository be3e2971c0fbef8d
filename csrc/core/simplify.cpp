// Algebraic identities that hold bit for bit. x + 0 is not among them (-0 + 0 is +0), x * 1, x - 0
// and x / 1 are.
#include <cmath>
#include <string_view>

#include "core/apply.h"
#include "core/lower.h"

namespace flowbook {

namespace {

const Node* producer(Graph& g, const TensorImpl* t) {
  const int32_t v = g.find(t);
  return v < 0 ? nullptr : &g.nodes[size_t(g.values[size_t(v)].node)];
}

// The one number that all elements of a value equal, if it is known.
bool uniform_value(Graph& g, const TensorImpl* t, double& value) {
  const int32_t v = g.find(t);
  if (v < 0) return false;
  const Value& x = g.values[size_t(v)];
  if (x.concrete && x.concrete.rank() == 0 && in(x.spec.dtype, kReal))
    return value = scalar_value(x.concrete), true;
  const Node& n = g.nodes[size_t(x.node)];
  if (!n.op || std::string_view(n.op->name) != "full") return false;
  for (const AttrDef& a : n.op->attrs)
    if (a.type->kind == AttrKind::kScalar)
      return value = static_cast<const Scalar*>(n.op->at(n.attrs.get(), a))->as_double(), true;
  return false;
}

bool keeps_spec(const Spec& x, Inputs in) {  // the result is shaped like x
  for (const TensorImpl* t : in)
    if (t->spec.dtype != x.dtype || (x.weak && !t->spec.weak) ||
        !(broadcast(t->spec.shape, x.shape) == x.shape))
      return false;
  return true;
}

Tensor product(TensorImpl* x, TensorImpl* y) {
  static const OpDef& multiply = registry().find("multiply");
  TensorImpl* factors[] = {x, y};
  Tensor out;
  apply(multiply, multiply.defaults.get(), factors, &out);
  return out;
}

// The slope of a ReLU below a max pool, of the image x: only entries that reach their window's
// maximum have a gradient, and these are as large as it, so that it is taken for the fewer results.
Tensor relu_gradient_of_pool(Graph& g, const OpDef& op, const void* attrs, Inputs in) {
  const Node* pool = producer(g, in[0]);
  if (!pool || !pool->op || std::string_view(pool->op->name) != "max_pool2d_gradient" ||
      pool->inputs[0] != g.find(in[1]))
    return {};
  Tensor x = g.tensor(pool->inputs[0]), y = g.tensor(pool->inputs[1]);
  Tensor dy = g.tensor(pool->inputs[2]);
  const OpDef& pooling = *pool->op;
  const void* windows = pool->attrs.get();  // stays where it is when the graph grows
  TensorImpl* results[] = {dy.impl(), y.impl()};
  apply(op, attrs, results, &dy);
  TensorImpl* operands[] = {x.impl(), y.impl(), dy.impl()};
  Tensor out;
  apply(pooling, windows, operands, &out);
  return out;
}

}  // namespace

Tensor simplify(Graph& g, const OpDef& op, const void* attrs, Inputs in) {
  const std::string_view name = op.name;
  if (in.empty()) return {};
  const Spec& x = in[0]->spec;
  double c;
  if (in.size() == 2) {
    const Spec& y = in[1]->spec;
    if (name == "multiply") {
      if (uniform_value(g, in[1], c) && c == 1 && keeps_spec(x, in)) return Tensor(in[0]);
      if (uniform_value(g, in[0], c) && c == 1 && keeps_spec(y, in)) return Tensor(in[1]);
    } else if (name == "divide") {
      if (uniform_value(g, in[1], c) && c == 1 && keeps_spec(x, in)) return Tensor(in[0]);
    } else if (name == "subtract") {
      if (uniform_value(g, in[1], c) && c == 0 && !std::signbit(c) && keeps_spec(x, in))
        return Tensor(in[0]);
    } else if (name == "pow") {
      if (!uniform_value(g, in[1], c) || !keeps_spec(x, in)) return {};
      if (c == 1) return Tensor(in[0]);
      if (c == 2) return product(in[0], in[0]);  // so that compiled loops may have it
    } else if (name == "relu_gradient") {
      return relu_gradient_of_pool(g, op, attrs, in);
    }
    return {};
  }
  if (in.size() != 1) return {};
  if (name == "stop_gradient" || name == "copy" || name == "positive") return Tensor(in[0]);
  if (name == "cast" || name == "reshape" || name == "broadcast_to") {
    std::vector<Spec> out;
    infer_only(op, attrs, in, out);
    if (out[0].dtype == x.dtype && out[0].shape == x.shape && out[0].weak == x.weak)
      return Tensor(in[0]);
  }
  const Node* from = producer(g, in[0]);
  if (!from || !from->op) return {};
  const std::string_view before = from->op->name;
  if ((name == "reshape" && before == "reshape") || (name == "negative" && before == "negative")) {
    Tensor inner = g.tensor(from->inputs[0]);
    if (name == "negative") return inner;
    TensorImpl* raw = inner.impl();
    if (Tensor same = simplify(g, op, attrs, {&raw, 1})) return same;
    Tensor out;
    apply(op, attrs, {&raw, 1}, &out);
    return out;
  }
  return {};
}

}  // namespace flowbook
