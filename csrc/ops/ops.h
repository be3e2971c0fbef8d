// The op library as C++ functions: what gradient rules, expansions, tests and C++ programs call.
// Each function builds the op's attributes and goes through apply(). Doubles beside tensors are
// weak, like Python numbers.
#pragma once
#include "core/apply.h"
#include "core/graph.h"

namespace flowbook {

// ---- numbers as operands
// ------------------------------------------------------------------------------------ Weak 0-d
// constants: they take the dtype of what they meet. Kept in float64 so that nothing is lost before.
inline Tensor weak(double v) { return scalar(v, DType::f64, true); }
inline Tensor weak(int64_t v) { return scalar(v, DType::i64, true); }
FB_API Tensor dim(Dim d);  // the size of an axis as a weak 0-d integer; works for symbols, too

// ---- elementwise: one function for each row of elementwise.def
// ------------------------------------------------
#define UNARY(NAME, ...) FB_API Tensor NAME(const Tensor& x);
#define BINARY(NAME, ...)                                                    \
  FB_API Tensor NAME(const Tensor& x, const Tensor& y);                      \
  inline Tensor NAME(const Tensor& x, double y) { return NAME(x, weak(y)); } \
  inline Tensor NAME(double x, const Tensor& y) { return NAME(weak(x), y); }
#define TERNARY(NAME, ...)                                                                       \
  FB_API Tensor NAME(const Tensor& c, const Tensor& x, const Tensor& y);                         \
  inline Tensor NAME(const Tensor& c, const Tensor& x, double y) { return NAME(c, x, weak(y)); } \
  inline Tensor NAME(const Tensor& c, double x, const Tensor& y) { return NAME(c, weak(x), y); }
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY

#define OPERATOR(SIGN, NAME)                                                           \
  inline Tensor operator SIGN(const Tensor& x, const Tensor& y) { return NAME(x, y); } \
  inline Tensor operator SIGN(double x, const Tensor& y) { return NAME(x, y); }        \
  inline Tensor operator SIGN(const Tensor& x, double y) { return NAME(x, y); }
OPERATOR(+, add)
OPERATOR(-, subtract)
OPERATOR(*, multiply)
OPERATOR(/, divide)
OPERATOR(<, less)
OPERATOR(<=, less_equal)
OPERATOR(>, greater)
OPERATOR(>=, greater_equal)
#undef OPERATOR
inline Tensor operator-(const Tensor& x) { return negative(x); }

FB_API Tensor clip(const Tensor& x, const Tensor& min, const Tensor& max);

// ---- reductions
// -----------------------------------------------------------------------------------------------
FB_API Tensor sum(const Tensor& x, const Axes& axis = {}, bool keepdims = false,
                  OptionalDType dtype = {});
FB_API Tensor mean(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
FB_API Tensor prod(const Tensor& x, const Axes& axis = {}, bool keepdims = false,
                   OptionalDType dtype = {});
FB_API Tensor max(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
FB_API Tensor min(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
FB_API Tensor argmax(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
FB_API Tensor argmin(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
FB_API Tensor any(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
FB_API Tensor all(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
FB_API Tensor var(const Tensor& x, const Axes& axis = {}, double correction = 0,
                  bool keepdims = false);
FB_API Tensor stddev(const Tensor& x, const Axes& axis = {}, double correction = 0,
                     bool keepdims = false);
FB_API Tensor logsumexp(const Tensor& x, const Axes& axis = {}, bool keepdims = false);
FB_API Tensor cumulative_sum(const Tensor& x, const Axes& axis = {}, bool include_initial = false,
                             OptionalDType dtype = {});
FB_API Tensor sum_to(const Tensor& x, const Shape& shape);  // undoes a broadcast from `shape`

// ---- shapes
// ---------------------------------------------------------------------------------------------------
FB_API Tensor reshape(const Tensor& x, const Shape& shape);
FB_API Tensor permute_dims(const Tensor& x, const Ints& axes);
FB_API Tensor matrix_transpose(const Tensor& x);
FB_API Tensor moveaxis(const Tensor& x, const Ints& source, const Ints& destination);
FB_API Tensor broadcast_to(const Tensor& x, const Shape& shape);
FB_API Tensor expand_dims(const Tensor& x, int64_t axis);
FB_API Tensor squeeze(const Tensor& x, const Axes& axis);
FB_API Tensor flip(const Tensor& x, const Axes& axis = {});
FB_API Tensor roll(const Tensor& x, const Ints& shift, const Axes& axis = {});
FB_API Tensor concat(std::span<const Tensor> xs, int64_t axis = 0);
FB_API Tensor stack(std::span<const Tensor> xs, int64_t axis = 0);
FB_API std::vector<Tensor> split(const Tensor& x, const Ints& sizes, int64_t axis = 0);
FB_API Tensor narrow(const Tensor& x, Dim start, Dim length, int64_t axis);
FB_API Tensor pad(const Tensor& x, const Ints& widths,
                  Scalar value = 0);  // before and after, axis by axis
FB_API Tensor tile(const Tensor& x, const Ints& repetitions);
FB_API Tensor repeat(const Tensor& x, int64_t repeats, const Axes& axis = {});
FB_API Tensor cast(const Tensor& x, DType dtype);
FB_API Tensor copy(const Tensor& x);
FB_API Tensor stop_gradient(const Tensor& x);

// ---- slices and indices
// ----------------------------------------------------------------------------------------- Slices
// follow Python; kSliceEnd as a stop is the far end of the axis in the direction of the step.
inline constexpr int64_t kSliceEnd = INT64_MAX;
FB_API Tensor slice(const Tensor& x, const Ints& starts, const Ints& stops, const Ints& steps = {});
FB_API Tensor place(const Tensor& x, const Shape& shape, const Ints& starts, const Ints& stops,
                    const Ints& steps = {});
FB_API Tensor set_slice(const Tensor& x, const Tensor& updates, const Ints& starts,
                        const Ints& stops, const Ints& steps = {});
FB_API Tensor add_slice(const Tensor& x, const Tensor& updates, const Ints& starts,
                        const Ints& stops, const Ints& steps = {});
FB_API Tensor take(const Tensor& x, const Tensor& indices, const Axes& axis);
FB_API Tensor take_along_axis(const Tensor& x, const Tensor& indices, int64_t axis = -1);
FB_API Tensor add_along_axis(const Tensor& x, const Tensor& indices, const Tensor& updates,
                             int64_t axis = -1);
FB_API Tensor scatter_add(const Tensor& x, const Tensor& indices, const Tensor& updates,
                          int64_t axis = 0);
FB_API Tensor scatter_set(const Tensor& x, const Tensor& indices, const Tensor& updates,
                          int64_t axis = 0);

// ---- linear algebra
// ---------------------------------------------------------------------------------------------
FB_API Tensor matmul(const Tensor& x, const Tensor& y);
FB_API Tensor vecdot(const Tensor& x, const Tensor& y, int64_t axis = -1);
FB_API Tensor outer(const Tensor& x, const Tensor& y);
FB_API Tensor tensordot(const Tensor& x, const Tensor& y, const Ints& x_axes, const Ints& y_axes);

// ---- creation
// -----------------------------------------------------------------------------------------------------
FB_API Tensor full(const Shape& shape, Scalar value, OptionalDType dtype = {});
FB_API Tensor full_like(const Tensor& x, Scalar value);
FB_API Tensor zeros_like(const Tensor& x);
FB_API Tensor iota(Dim size, DType dtype = kDefaultInt);
FB_API Tensor arange(Scalar start, Scalar stop, Scalar step = 1, OptionalDType dtype = {});
FB_API Tensor linspace(double start, double stop, int64_t num, bool endpoint = true,
                       OptionalDType dtype = {});
FB_API Tensor eye(Dim rows, Dim columns, int64_t k = 0, OptionalDType dtype = {});
FB_API Tensor tril(const Tensor& x, int64_t k = 0);
FB_API Tensor triu(const Tensor& x, int64_t k = 0);

// ---- neural networks
// ------------------------------------------------------------------------------------------------
FB_API Tensor gelu(const Tensor& x, const std::string& approximate = "none");
FB_API Tensor elu(const Tensor& x, double alpha = 1);
FB_API Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01);
FB_API Tensor softmax(const Tensor& x, int64_t axis = -1);
FB_API Tensor log_softmax(const Tensor& x, int64_t axis = -1);
FB_API Tensor softmax_cross_entropy(const Tensor& logits, const Tensor& targets, int64_t axis = -1);
FB_API Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                         int64_t axis = -1, double epsilon = 1e-5);
FB_API Tensor one_hot(const Tensor& indices, Dim classes, OptionalDType dtype = {});
FB_API Tensor embedding(const Tensor& weight, const Tensor& indices);
FB_API Tensor dropout(const Tensor& x,
                      double rate);  // takes the next key; so do the random ones below

// ---- random numbers
// -------------------------------------------------------------------------------------------------
FB_API Tensor uniform(const Shape& shape, double low = 0, double high = 1,
                      OptionalDType dtype = {});
FB_API Tensor normal(const Shape& shape, double mean = 0, double std = 1, OptionalDType dtype = {});
FB_API Tensor randint(const Shape& shape, int64_t low, int64_t high, OptionalDType dtype = {});
FB_API Tensor bernoulli(const Shape& shape, double p = 0.5);
FB_API Tensor permutation(Dim n);

// ---- optimizers: updates of many tensors in one pass
// ------------------------------------------------------------------
struct SgdSettings {
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;
};
// New parameters, then, with momentum, new velocities.
FB_API std::vector<Tensor> sgd(std::span<const Tensor> parameters,
                               std::span<const Tensor> gradients,
                               std::span<const Tensor> velocities, const Tensor& learning_rate,
                               SgdSettings = {});
struct AdamSettings {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;  // weight decay as in AdamW
};
// New parameters, new first moments, new second moments. `step` counts from 1.
FB_API std::vector<Tensor> adam(std::span<const Tensor> parameters,
                                std::span<const Tensor> gradients,
                                std::span<const Tensor> first_moments,
                                std::span<const Tensor> second_moments, const Tensor& learning_rate,
                                const Tensor& step, AdamSettings = {});

// ---- control
// ------------------------------------------------------------------------------------------------------------
FB_API Tensor barrier(const Tensor& x);  // x itself, never merged with x by the compiler
// `results` of a function of `inputs`, linked to a rule for their gradient in whatever records.
FB_API std::vector<Tensor> custom_gradient(std::span<const Tensor> inputs,
                                           std::span<const Tensor> results, GradientRule rule);

// Fills a registry with every op and gives core the few it needs itself.
FB_API void register_ops(OpRegistry& registry);

}  // namespace flowbook
