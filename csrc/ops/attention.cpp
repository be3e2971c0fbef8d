// Records of attention. What it means stands in expand(), over whole matrices of scores.
#include "ops/attention.h"

#include <cmath>

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook::ops {

double attention_scale(double scale, Dim size) {
  return scale != 0 ? scale : 1 / std::sqrt(double(std::max<int64_t>(size.value(), 1)));
}

namespace {

constexpr const char* kScaleDoc =
    "What scores are multiplied by; 0 stands for 1 / sqrt(size of a query).";
constexpr const char* kCausalDoc = "Whether query i meets keys 0 ... i only.";
constexpr DTypeSet kMasks = DTypeSet(set_of(DType::bool_) | kFloating);

Dim end(const Spec& x, int i) { return x.shape[x.shape.rank - i]; }  // the i-th size from the end
Shape with(const Spec& x, Dim rows, Dim columns) {
  Shape s = x.shape;
  s[s.rank - 2] = rows, s[s.rank - 1] = columns;
  return s;
}
Shape scores_shape(const Spec& query, const Spec& key) {
  return with(query, end(query, 2), end(key, 2));
}

void require(const Spec& query, const Spec& key, const Spec& value, const Spec& mask) {
  for (const auto& [name, x] : {std::pair("query", &query), {"key", &key}, {"value", &value}}) {
    require_rank(*x, name, 2);
    if (x->shape.rank != query.shape.rank)
      shape_error("query is ", query, ", ", name, " is ", *x, ". They must have as many axes.");
  }
  if (end(query, 1) != end(key, 1))
    shape_error("query is ", query, ", key is ", key, ". Their last axes must be equal.");
  if (end(key, 2) != end(value, 2))
    shape_error("key is ", key, ", value is ", value,
                ". They must be as long: axis -2 must be equal.");
  const int rank = query.shape.rank;
  for (int i = 0; i + 2 < rank; ++i) {
    if (key.shape[i] != value.shape[i])
      shape_error("key is ", key, ", value is ", value, ". Their axis ", i, " must be equal.");
    if (query.shape[i] == key.shape[i]) continue;
    const bool heads = i + 3 == rank && query.shape[i].known() && key.shape[i].known() &&
                       key.shape[i].value() > 0 &&
                       query.shape[i].value() % key.shape[i].value() == 0;
    if (!heads)
      shape_error("query is ", query, ", key is ", key, ". Their axis ", i, " must be equal",
                  i + 3 == rank ? ", or the query's heads a multiple of the key's." : ".");
  }
  if (mask.dtype != DType::bool_ && mask.dtype != query.dtype)
    fail(ErrorKind::kDType, "mask is ", mask, ", query is ", query,
         ". A mask is boolean (true: look) or of the query's dtype (added to the scores).");
  const Shape scores = scores_shape(query, key);
  const int skip = rank - mask.shape.rank;
  bool fits = skip >= 0;
  for (int i = 0; fits && i < mask.shape.rank; ++i)
    fits = mask.shape[i] == Dim(1) || mask.shape[i] == scores[skip + i];
  if (!fits)
    shape_error("mask is ", mask, " and the scores have shape ", scores,
                ". The mask must broadcast to them: [..., heads, queries, keys].");
}

// Keys or values for each head of the query: a head serves as many as there are heads more.
Tensor for_each_head(const Tensor& x, const Tensor& query) {
  const int rank = x.rank();
  if (rank < 3 || x.shape()[rank - 3] == query.shape()[rank - 3]) return x;
  const Dim groups = query.shape()[rank - 3].value() / x.shape()[rank - 3].value();
  Shape wide = x.shape();
  wide.push_back(0);
  for (int i = wide.rank - 1; i > rank - 2; --i) wide[i] = wide[i - 1];
  wide[rank - 2] = groups;
  Shape flat = x.shape();
  flat[rank - 3] = query.shape()[rank - 3];
  return reshape(broadcast_to(expand_dims(x, rank - 2), wide), flat);
}
// Adds up what the heads that share a key or value say of it.
Tensor to_shared_heads(const Tensor& d, const Tensor& x) {
  const int rank = x.rank();
  if (rank < 3 || x.shape()[rank - 3] == d.shape()[rank - 3]) return d;
  const Dim groups = d.shape()[rank - 3].value() / x.shape()[rank - 3].value();
  Shape wide = x.shape();
  wide.push_back(0);
  for (int i = wide.rank - 1; i > rank - 2; --i) wide[i] = wide[i - 1];
  wide[rank - 2] = groups;
  return sum(reshape(d, wide), {rank - 2});
}

// Scaled scores with the mask in them: minus infinity where a query must not look.
Tensor masked_scores(const Tensor& query, const Tensor& key, const Tensor& mask, double scale,
                     bool causal) {
  Tensor s = matmul(query, matrix_transpose(for_each_head(key, query))) *
             attention_scale(scale, end(query.spec(), 1));
  if (mask.spec().dtype == DType::bool_)
    s = where(mask, s, -INFINITY);
  else
    s = s + mask;
  if (causal) {
    const Tensor rows = expand_dims(iota(end(query.spec(), 2)), 1);
    s = where(rows >= iota(end(key.spec(), 2)), s, -INFINITY);
  }
  return s;
}
// x, but 0 where it is minus infinity: a row that may look nowhere subtracts nothing.
Tensor shift_of(const Tensor& x) { return where(equal(x, -INFINITY), 0.0, x); }

// Probabilities, made again from the scores.
Tensor probabilities(const Tensor& scores, const Tensor& logsumexp) {
  return exp(scores - expand_dims(shift_of(logsumexp), -1));
}
// Gradient of the masked scores.
Tensor score_gradient(const Tensor& p, const Tensor& value, const Tensor& y, const Tensor& dy,
                      const Tensor& dlogsumexp) {
  const Tensor dp = matmul(dy, matrix_transpose(for_each_head(value, dy)));
  return p * (dp - expand_dims(sum(dy * y, {-1}) - dlogsumexp, -1));
}

}  // namespace

void Attention::describe(Schema<Attention>& op) {
  op.name("attention")
      .doc(
          "softmax(scale query key^T + mask) value: each query's mixture of the values, by blocks, "
          "without the whole matrix of scores. A query that may look nowhere gives zeros.")
      .family("nn")
      .input("query", kFloating, "[..., heads, queries, size].")
      .input("key", kFloating, "[..., heads, keys, size]; fewer heads may serve several each.")
      .input("value", kFloating, "[..., heads, keys, width], as many heads as `key`.")
      .own_input("mask", kMasks,
                 "Broadcasts to [..., heads, queries, keys]. Boolean: true where a query may look; "
                 "floating: added to the scores. A scalar `true` masks nothing.")
      .attr("scale", &Attention::scale, kScaleDoc)
      .attr("causal", &Attention::causal, kCausalDoc)
      .output("y", "[..., heads, queries, width].")
      .output("logsumexp", "Logarithm of the sum of exp(score) of each query, [..., queries].")
      .gradient_reads("query", "key", "value", "mask", "y", "logsumexp");
}
std::array<Spec, 2> Attention::infer(const Spec& query, const Spec& key, const Spec& value,
                                     const Spec& mask) const {
  require(query, key, value, mask);
  return {like(query, with(query, end(query, 2), end(value, 1))),
          like(query, without(query.shape, query.shape.rank - 1))};
}
std::array<Tensor, 4> Attention::vjp(const Saved& saved, const Tensor* d) const {
  const Tensor query = saved.input(0), key = saved.input(1), value = saved.input(2),
               mask = saved.input(3), y = saved.output(0), logsumexp = saved.output(1);
  std::array<Tensor, 4> dx;
  if (saved.wants(0) || saved.wants(1) || saved.wants(2)) {
    std::array<Tensor, 3> g =
        call(AttentionGradient{scale, causal}, query, key, value, mask, y, logsumexp, d[0], d[1]);
    for (int i = 0; i < 3; ++i) dx[size_t(i)] = g[size_t(i)];
  }
  // The gradient of a mask is as large as the mask: nothing is lost by whole matrices here.
  if (mask.spec().dtype != DType::bool_ && saved.wants(3)) {
    const Tensor p = probabilities(masked_scores(query, key, mask, scale, causal), logsumexp);
    dx[3] = sum_to(score_gradient(p, value, y, d[0], d[1]), mask.shape());
  }
  return dx;
}
std::array<Tensor, 2> Attention::expand(const Tensor& query, const Tensor& key, const Tensor& value,
                                        const Tensor& mask) const {
  const Tensor s = masked_scores(query, key, mask, scale, causal);
  if (end(key.spec(), 2) == Dim(0)) {
    const auto [y, l] = infer(query.spec(), key.spec(), value.spec(), mask.spec());
    return {full(y.shape, 0.0, y.dtype), full(l.shape, -INFINITY, l.dtype)};
  }
  const Tensor top = shift_of(max(s, {-1}, true)), e = exp(s - top), size = sum(e, {-1}, true);
  return {divide_no_nan(matmul(e, for_each_head(value, query)), size),
          squeeze(top + log(size), {-1})};
}

void AttentionGradient::describe(Schema<AttentionGradient>& op) {
  op.name("attention_gradient")
      .doc("Gradients of attention.")
      .family("nn")
      .input("query", kFloating, "Operand of attention.")
      .input("key", kFloating, "Operand of attention.")
      .input("value", kFloating, "Operand of attention.")
      .own_input("mask", kMasks, "Operand of attention.")
      .input("y", kFloating, "Its first result.")
      .input("logsumexp", kFloating, "Its second result.")
      .input("dy", kFloating, "Gradient of its first result.")
      .input("dlogsumexp", kFloating, "Gradient of its second result.")
      .attr("scale", &AttentionGradient::scale, kScaleDoc)
      .attr("causal", &AttentionGradient::causal, kCausalDoc)
      .output("dquery", "Shaped like `query`.")
      .output("dkey", "Shaped like `key`.")
      .output("dvalue", "Shaped like `value`.");
}
std::array<Spec, 3> AttentionGradient::infer(const Spec& query, const Spec& key, const Spec& value,
                                             const Spec& mask, const Spec& y, const Spec& logsumexp,
                                             const Spec& dy, const Spec& dlogsumexp) const {
  const auto [out, size] = Attention{scale, causal}.infer(query, key, value, mask);
  for (const auto& [name, x, want] : {std::tuple("y", &y, &out),
                                      {"dy", &dy, &out},
                                      {"logsumexp", &logsumexp, &size},
                                      {"dlogsumexp", &dlogsumexp, &size}})
    if (x->shape != want->shape)
      shape_error(name, " is ", *x, ". It must have shape ", want->shape, ".");
  return {like(query, query.shape), like(key, key.shape), like(value, value.shape)};
}
std::array<Tensor, 3> AttentionGradient::expand(const Tensor& query, const Tensor& key,
                                                const Tensor& value, const Tensor& mask,
                                                const Tensor& y, const Tensor& logsumexp,
                                                const Tensor& dy, const Tensor& dlogsumexp) const {
  const Tensor p = probabilities(masked_scores(query, key, mask, scale, causal), logsumexp);
  const Tensor ds =
      score_gradient(p, value, y, dy, dlogsumexp) * attention_scale(scale, end(query.spec(), 1));
  return {matmul(ds, for_each_head(key, query)),
          to_shared_heads(matmul(matrix_transpose(ds), query), key),
          to_shared_heads(matmul(matrix_transpose(p), dy), value)};
}

void register_attention(OpRegistry& r) { r.add<Attention, AttentionGradient>(); }

}  // namespace flowbook::ops
