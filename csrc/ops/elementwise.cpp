// Records of the elementwise ops, made from the rows of elementwise.def. What a rule reads is taken
// from its text.
#include "ops/elementwise.h"

#include "ops/register.h"
#include "ops/rules.h"

namespace flowbook {

namespace ops {
namespace {

enum Result { kSame, kBool };

// Whether `text` uses the variable `v`: "dz * x" mentions x and not z.
constexpr bool mentions(std::string_view text, char v) {
  auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9');
  };
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == v && (i == 0 || !letter(text[i - 1])) &&
        (i + 1 == text.size() || !letter(text[i + 1])))
      return true;
  return false;
}
static_assert(mentions("dz * x", 'x') && !mentions("dz * exp(x)", 'z') && mentions("(z)", 'z'));

Shape broadcast(const Spec& x, const Spec& y) {
  if (x.shape == y.shape) return x.shape;
  try {
    return flowbook::broadcast(x.shape, y.shape);
  } catch (Error& e) {  // say the dtypes as well
    e.text = cat("cannot broadcast x: ", x, " with y: ", y,
                 e.text.substr(std::min(e.text.find(" ("), e.text.size())));
    throw;
  }
}
inline Spec merge(const Spec& x, const Spec& y, Result result) {
  return {broadcast(x, y), result == kBool ? DType::bool_ : x.dtype, x.weak ? y.device : x.device,
          result == kSame && x.weak && y.weak};
}
inline Spec map(const Spec& x, Result result) {
  return {x.shape, result == kBool ? DType::bool_ : x.dtype, x.device, result == kSame && x.weak};
}
const char* family(ElementwiseRow row) { return row >= kRow_relu ? "nn" : "elementwise"; }

// The gradient texts say which values a rule needs; only those are fetched (and kept by a tape).
#define UNARY(NAME, CLASS, RESULT, DOC, VALUE, GRADIENT)                                    \
  struct El_##NAME {                                                                        \
    static constexpr std::string_view kText = #GRADIENT;                                    \
    static void describe(Schema<El_##NAME>& op) {                                           \
      op.name(#NAME).doc(DOC).family(family(kRow_##NAME)).elementwise(kRow_##NAME, #VALUE); \
      op.input("x", CLASS, "Operand of any shape.").output("z", "Shaped like `x`.");        \
      op.gradient_reads(mentions(kText, 'x') ? "x" : "", mentions(kText, 'z') ? "z" : "");  \
      if (kText == "kNoGradient") op.not_differentiable();                                  \
    }                                                                                       \
    Spec infer(const Spec& x) const { return map(x, RESULT); }                              \
    Tensor vjp(const Saved& saved, [[maybe_unused]] const Tensor& dz) const {               \
      const Tensor x = mentions(kText, 'x') ? saved.input(0) : Tensor();                    \
      const Tensor z = mentions(kText, 'z') ? saved.output() : Tensor();                    \
      return GRADIENT;                                                                      \
    }                                                                                       \
  };
#define BINARY(NAME, CLASS, RESULT, DOC, VALUE, GRADIENT_X, GRADIENT_Y)                            \
  struct El_##NAME {                                                                               \
    static constexpr std::string_view kTextX = #GRADIENT_X, kTextY = #GRADIENT_Y;                  \
    static constexpr bool mentioned(char v) { return mentions(kTextX, v) || mentions(kTextY, v); } \
    static void describe(Schema<El_##NAME>& op) {                                                  \
      op.name(#NAME).doc(DOC).family(family(kRow_##NAME)).elementwise(kRow_##NAME, #VALUE);        \
      op.input("x", CLASS, "First operand.")                                                       \
          .input("y", CLASS, "Second operand; the two broadcast.");                                \
      op.output("z", "Shaped like the broadcast of both.");                                        \
      op.gradient_reads(mentioned('x') ? "x" : "", mentioned('y') ? "y" : "",                      \
                        mentioned('z') ? "z" : "");                                                \
      if (kTextX == "kNoGradient" && kTextY == "kNoGradient") op.not_differentiable();             \
    }                                                                                              \
    Spec infer(const Spec& x, const Spec& y) const { return merge(x, y, RESULT); }                 \
    std::array<Tensor, 2> vjp(const Saved& saved, [[maybe_unused]] const Tensor& dz) const {       \
      const Tensor x = mentioned('x') ? saved.input(0) : Tensor();                                 \
      const Tensor y = mentioned('y') ? saved.input(1) : Tensor();                                 \
      const Tensor z = mentioned('z') ? saved.output() : Tensor();                                 \
      std::array<Tensor, 2> d;                                                                     \
      if (saved.wants(0)) d[0] = GRADIENT_X;                                                       \
      if (saved.wants(1)) d[1] = GRADIENT_Y;                                                       \
      return d;                                                                                    \
    }                                                                                              \
  };
#define TERNARY(NAME, CLASS, RESULT, DOC, VALUE, GRADIENT_C, GRADIENT_X, GRADIENT_Y)           \
  struct El_##NAME {                                                                           \
    static constexpr bool mentioned(char v) {                                                  \
      return mentions(#GRADIENT_C, v) || mentions(#GRADIENT_X, v) || mentions(#GRADIENT_Y, v); \
    }                                                                                          \
    static void describe(Schema<El_##NAME>& op) {                                              \
      op.name(#NAME).doc(DOC).family(family(kRow_##NAME)).elementwise(kRow_##NAME, #VALUE);    \
      op.own_input("c", kBoolean, "Condition.").input("x", CLASS, "First operand.");           \
      op.input("y", CLASS, "Second operand; the three broadcast.");                            \
      op.output("z", "Shaped like the broadcast of the three.");                               \
      op.gradient_reads(mentioned('c') ? "c" : "", mentioned('x') ? "x" : "",                  \
                        mentioned('y') ? "y" : "", mentioned('z') ? "z" : "");                 \
    }                                                                                          \
    Spec infer(const Spec& c, const Spec& x, const Spec& y) const {                            \
      Spec z = merge(x, y, RESULT);                                                            \
      z.shape = broadcast(c, z);                                                               \
      z.weak = z.weak && c.shape.rank == 0;                                                    \
      return z;                                                                                \
    }                                                                                          \
    std::array<Tensor, 3> vjp(const Saved& saved, [[maybe_unused]] const Tensor& dz) const {   \
      const Tensor c = mentioned('c') ? saved.input(0) : Tensor();                             \
      const Tensor x = mentioned('x') ? saved.input(1) : Tensor();                             \
      const Tensor y = mentioned('y') ? saved.input(2) : Tensor();                             \
      const Tensor z = mentioned('z') ? saved.output() : Tensor();                             \
      std::array<Tensor, 3> d;                                                                 \
      if (saved.wants(0)) d[0] = GRADIENT_C;                                                   \
      if (saved.wants(1)) d[1] = GRADIENT_X;                                                   \
      if (saved.wants(2)) d[2] = GRADIENT_Y;                                                   \
      return d;                                                                                \
    }                                                                                          \
  };
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY

struct Clip {
  static void describe(Schema<Clip>& op) {
    op.name("clip")
        .doc("`x` cut off at `min` below and at `max` above; NaN stays.")
        .family("elementwise");
    op.input("x", kReal, "Operand of any shape.")
        .input("min", kReal, "Lower bound; broadcasts against `x`.");
    op.input("max", kReal, "Upper bound; it wins where it is below `min`.")
        .output("y", "Shaped like the broadcast of all.");
    op.example("clip([-2., 0.5, 3.], 0., 1.)", "[0., 0.5, 1.]");
  }
  Spec infer(const Spec& x, const Spec& min, const Spec& max) const {
    return merge(merge(x, min, kSame), max, kSame);
  }
  Tensor expand(const Tensor& x, const Tensor& min, const Tensor& max) const {
    return minimum(maximum(x, min), max);
  }
};

}  // namespace

void register_elementwise(OpRegistry& r) {
#define UNARY(NAME, ...) r.add<El_##NAME>();
#define BINARY(NAME, ...) r.add<El_##NAME>();
#define TERNARY(NAME, ...) r.add<El_##NAME>();
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  r.add<Clip>();
}

}  // namespace ops

// The records have no attributes, so the functions need no more than a name.
namespace {
template <class... T>
Tensor run(const OpDef& op, const T&... in) {
  std::array<TensorImpl*, sizeof...(T)> ins{in.impl()...};
  Tensor out;
  apply(op, op.defaults.get(), ins, &out);
  return out;
}
}  // namespace

#define UNARY(NAME, ...)                             \
  Tensor NAME(const Tensor& x) {                     \
    static const OpDef& op = registry().find(#NAME); \
    return run(op, x);                               \
  }
#define BINARY(NAME, ...)                            \
  Tensor NAME(const Tensor& x, const Tensor& y) {    \
    static const OpDef& op = registry().find(#NAME); \
    return run(op, x, y);                            \
  }
#define TERNARY(NAME, ...)                                         \
  Tensor NAME(const Tensor& c, const Tensor& x, const Tensor& y) { \
    static const OpDef& op = registry().find(#NAME);               \
    return run(op, c, x, y);                                       \
  }
#include "ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY

Tensor clip(const Tensor& x, const Tensor& min, const Tensor& max) {
  return call(ops::Clip{}, x, min, max);
}

}  // namespace flowbook
