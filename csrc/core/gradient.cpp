// The gradient walk. Broadcasting is undone here and nowhere else; gradients are added up in the
// order of the walk, so results are the same bits every time.
#include "core/gradient.h"

#include "core/apply.h"
#include "core/work.h"

namespace flowbook {

namespace {

Tensor reduce_to(const Tensor& g, const Spec& to, const OpDef& op) {
  if (g.shape() == to.shape) return g;
  if (op.broadcasts) return g_core_ops.sum_to(g, to.shape);
  internal_error(op.name, ": its gradient rule gave ", g.spec(), " for an input of ", to, ".");
}

// While alive, nodes recorded on the program belong to the gradient of `node`.
class ForwardMark {
 public:
  ForwardMark(Graph& g, int32_t node) : program_(Recorder::program()) {
    if (program_ != &g) program_ = nullptr;
    if (program_)
      before_ =
          std::exchange(program_->forward_node,
                        g.nodes[size_t(node)].forward >= 0 ? g.nodes[size_t(node)].forward : node);
  }
  ~ForwardMark() {
    if (program_) program_->forward_node = before_;
  }

 private:
  Graph* program_;
  int32_t before_ = -1;
};

// Places for what a walk knows of each value: those that the graph had from `first_node` on, and
// the xs before it. The walk through one composite's expansion then costs what the expansion is
// long, not what the graph is.
class Window {
 public:
  Window(const Graph& g, int32_t first_node, std::span<const std::vector<int32_t>> xs)
      : first_(first_node < int32_t(g.nodes.size()) ? g.nodes[size_t(first_node)].output
                                                    : int32_t(g.values.size())),
        end_(int32_t(g.values.size())) {
    for (auto& ids : xs)
      for (int32_t v : ids)
        if (v >= end_ || (v >= 0 && v < first_)) before_.try_emplace(v, before_.size());
  }
  // The last place is shared by all values that are neither: no x, reached by none.
  size_t size() const { return size_t(end_ - first_) + before_.size() + 1; }
  size_t operator()(int32_t v) const {
    if (v >= first_ && v < end_) return size_t(v - first_);
    const auto it = before_.find(v);
    return size_t(end_ - first_) + (it == before_.end() ? before_.size() : it->second);
  }

 private:
  const int32_t first_, end_;
  std::unordered_map<int32_t, size_t> before_;
};

bool carries_gradient(const Spec& s) { return in(s.dtype, kFloating | kComplex); }

}  // namespace

Gradients gradients(Graph& g, std::span<const Tensor> ys, std::span<const std::vector<int32_t>> xs,
                    std::span<const Tensor> seeds, int32_t first_node) {
  if (g.symbolic && Recorder::program() != &g)
    fail(ErrorKind::kGradient, "gradients: the graph `", g.name,
         "` is not recording any more. Call gradients() inside it.");
  if (!seeds.empty() && seeds.size() != ys.size())
    fail(ErrorKind::kGradient, "gradients: there are ", ys.size(), " ys and ", seeds.size(),
         " seeds. Give one seed per y.");
  std::vector<int32_t> y(ys.size());
  for (size_t i = 0; i < ys.size(); ++i) {
    if (!carries_gradient(ys[i].spec()))
      fail(ErrorKind::kGradient, "gradients: y is ", ys[i].spec(),
           ". Only floating tensors have gradients.");
    if (seeds.empty() && !(ys[i].shape().elements() == Dim(1)))
      fail(ErrorKind::kGradient, "gradients: y is ", ys[i].spec(),
           ", not a scalar. Reduce it (fb.sum, fb.mean), or pass seeds of the same shape.");
    if (!seeds.empty() && !(seeds[i].shape() == ys[i].shape()))
      fail(ErrorKind::kGradient, "gradients: seed ", i, " is ", seeds[i].spec(), " for a y of ",
           ys[i].spec(), ". Shapes must be equal.");
    y[i] = g.value_of(ys[i].impl());
  }
  const auto end = int32_t(g.nodes.size());
  const Window at(g, first_node, xs);
  count_work(int64_t(at.size()) + end - first_node);
  std::vector<char> depends(at.size()), is_x(at.size());  // depends: on some x
  for (auto& ids : xs)
    for (int32_t v : ids)
      if (v >= 0) depends[at(v)] = is_x[at(v)] = 1;
  for (int32_t n = first_node; n < end; ++n) {
    const Node& node = g.nodes[size_t(n)];
    if (!node.op || !node.op->differentiable) continue;
    for (int32_t i : node.inputs)
      if (depends[at(i)]) {
        for (int o = 0; o < node.outputs; ++o)
          if (carries_gradient(g.values[size_t(node.output + o)].spec))
            depends[at(node.output + o)] = 1;
        break;
      }
  }

  std::vector<Tensor> adjoint(at.size());
  auto accumulate = [&](int32_t v, Tensor d) {
    Tensor& a = adjoint[at(v)];
    a = a ? g_core_ops.add(a, d) : std::move(d);
  };
  auto take = [&](int32_t v) { return std::exchange(adjoint[at(v)], Tensor()); };
  for (size_t i = 0; i < y.size(); ++i)
    if (depends[at(y[i])])
      accumulate(y[i], seeds.empty() ? g_core_ops.full_like(ys[i].spec(), Scalar(1.0)) : seeds[i]);

  for (int32_t n = end - 1; n >= first_node; --n) {
    const Node& node = g.nodes[size_t(n)];  // stays valid while the rule appends: deque
    if (!node.op || !node.op->differentiable) continue;
    bool wanted_any = false, reached = false;
    std::vector<bool> wanted(node.inputs.size());
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      wanted[i] =
          depends[at(node.inputs[i])] && carries_gradient(g.values[size_t(node.inputs[i])].spec);
      wanted_any = wanted_any || wanted[i];
    }
    for (int o = 0; o < node.outputs; ++o) reached = reached || bool(adjoint[at(node.output + o)]);
    if (!wanted_any || !reached) continue;
    ForwardMark mark(g, n);
    std::vector<Tensor> dy(size_t(node.outputs)), dx(node.inputs.size());
    for (int o = 0; o < node.outputs; ++o) {
      Tensor& a = adjoint[at(node.output + o)];
      const Spec& spec = g.values[size_t(node.output + o)].spec;
      if (a)
        dy[size_t(o)] =
            is_x[at(node.output + o)] ? a : std::move(a);  // others are not needed again
      else if (carries_gradient(spec))
        dy[size_t(o)] = g_core_ops.full_like(spec, Scalar(0.0));
    }
    if (node.op->vjp) {
      Saved saved{g, n, wanted, take};
      node.op->vjp(node.attrs.get(), saved, dy.data(), dx.data());
    } else {  // a composite in a program: differentiate its expansion, here and now
      std::vector<Tensor> in, out(size_t(node.outputs));
      std::vector<TensorImpl*> raw;
      std::vector<std::vector<int32_t>> ids;
      for (int32_t i : node.inputs) {
        in.push_back(g.tensor(i));
        raw.push_back(in.back().impl());
        ids.push_back({i});
      }
      const auto from = int32_t(g.nodes.size());
      node.op->expand(node.attrs.get(), raw, out.data());
      std::vector<Tensor> reached_out, reached_dy;
      for (int o = 0; o < node.outputs; ++o)
        if (dy[size_t(o)])
          reached_out.push_back(out[size_t(o)]), reached_dy.push_back(dy[size_t(o)]);
      Gradients inner = gradients(g, reached_out, ids, reached_dy, from);
      for (size_t i = 0; i < dx.size(); ++i)
        if (inner.connected[i]) dx[i] = inner.values[i];
    }
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (dx[i] && wanted[i]) {
        const int32_t v = node.inputs[i];
        const Spec spec = g.values[size_t(v)].spec;
        Tensor d = reduce_to(dx[i], spec, *node.op);
        if (d.dtype() != spec.dtype)
          internal_error(node.op->name, ": its gradient rule gave ", d.spec(), " for an input of ",
                         spec, ".");
        accumulate(v, std::move(d));
      }
  }

  Gradients result;
  for (auto& ids : xs) {
    Tensor sum;
    const Spec* spec = nullptr;
    for (int32_t v : ids) {
      if (v < 0) continue;
      spec = &g.values[size_t(v)].spec;
      if (const Tensor& a = adjoint[at(v)]) sum = sum ? g_core_ops.add(sum, a) : a;
    }
    result.connected.push_back(bool(sum));
    if (!sum && spec) sum = g_core_ops.full_like(*spec, Scalar(0.0));
    result.values.push_back(std::move(sum));
  }
  return result;
}

}  // namespace flowbook
