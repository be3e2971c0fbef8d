// Schema<Op>: an op is a plain struct; its members are its attributes, its member functions its
// meaning.
//   static void describe(Schema<Op>&)       name, doc, inputs, attributes, traits
//   Spec infer(const Spec& x, ...) const    the only code that computes dtypes and shapes
//   (std::array of Specs for
//                                           several outputs; variadic: std::vector<Spec>
//                                           infer(Specs) const)
//   Tensor vjp(const Saved&, const Tensor& dy) const     gradient, written with ops (array/vector
//   like infer) Tensor expand(const Tensor& x, ...) const            its meaning in other ops
//   (composites) bool view(const Spec& out, const Tensor& x, View&) const   a window on x, where
//   the strides allow one
//   int joins(const Spec& y) const          of ops that only put their inputs together: the axis of
//                                           `y` along which these follow each other, each in
//                                           row-major order; -1 for one input in such an order
// From them define<Op>() makes the type-erased OpDef, which is all that the rest of the system
// sees.
#pragma once
#include <array>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "core/attr.h"
#include "core/function_ref.h"
#include "core/tensor.h"

namespace flowbook {

class Graph;

struct AttrDef {
  const char *name, *doc;
  uint32_t offset;
  const AttrType* type;
};

// How an input takes part in type promotion (done once, in apply(), before infer).
enum class Role : uint8_t {
  kValue,  // promoted to the common dtype of all kValue inputs, then to `accepts` (ints become
           // default float)
  kOwn,    // keeps its dtype; must be in `accepts`
};
struct InputDef {
  const char* name;
  DTypeSet accepts;
  Role role;
  const char* doc;
};
struct OutputDef {
  const char *name, *doc;
};

// What a gradient rule may look at. Reading what the record did not declare is an InternalError.
class FB_API Saved {
 public:
  Tensor input(int i) const;
  Tensor output(int i = 0) const;
  const Spec& input_spec(int i) const;
  const Spec& output_spec(int i = 0) const;
  int inputs() const;
  bool wants(int i) const;  // lets a rule skip work nobody asked for
  // The gradient that input i has from its other readers so far, or none. A rule that takes it
  // returns the sum of it and its own share; worth it where the share is zero but for a part.
  Tensor take_so_far(int i) const;

  Graph& graph;
  int32_t node;
  const std::vector<bool>& wanted;
  FunctionRef<Tensor(int32_t value)> take;
};

struct FB_API OpDef {
  const char* name = nullptr;
  const char* doc = nullptr;
  const char* formula = nullptr;  // value expression of an elementwise op, for device code
  const char* family = "";        // "elementwise", "reduce", ... for docs
  std::vector<InputDef> inputs;   // a variadic op has one: its repeated input
  std::vector<OutputDef> outputs;
  std::vector<AttrDef> attrs;
  std::vector<std::pair<const char*, const char*>>
      examples;  // Python call on the op, its printed result

  int id = -1;
  int elementwise = -1;     // row of the elementwise table, or -1
  bool variadic = false;    // takes any number of inputs
  int fixed_outputs = 1;    // -1: depends on the attributes and the number of inputs
  bool broadcasts = false;  // gradients may have more axes than their input: the walk reduces them
  bool random = false;      // its first input is a key, `stream` an attribute numbered at trace
  bool as_program = false;  // eager calls run `expand` compiled, where there is no kernel
  bool differentiable = true;
  uint64_t reads_inputs = ~0ull;  // what the gradient rule may look at
  uint64_t reads_outputs = ~0ull;
  size_t size = 0;                       // of the struct; 0 if it has no members
  std::shared_ptr<const void> defaults;  // never null

  void (*copy)(void* to, const void* from) = nullptr;
  void (*destroy)(void*) = nullptr;
  int (*output_count)(const void*, int inputs) = nullptr;
  void (*infer)(const void*, Inputs, Spec*) = nullptr;
  void (*vjp)(const void*, const Saved&, const Tensor* dy, Tensor* dx) = nullptr;
  void (*expand)(const void*, Inputs, Tensor*) = nullptr;
  bool (*view)(const void*, const Spec&, const Tensor&, View&) = nullptr;
  int (*joins)(const void*, const Spec&) = nullptr;

  int outputs_of(const void* attrs, int inputs) const {
    return fixed_outputs >= 0 ? fixed_outputs : output_count(attrs, inputs);
  }
  const void* at(const void* attrs, const AttrDef& a) const {
    return static_cast<const char*>(attrs) + a.offset;
  }
  bool equal(const void* a, const void* b) const;
  size_t hash(const void* a) const;
  std::string json(const void* a) const;  // {"axis": [0], "keepdims": false}
  std::string signature() const;          // (x, axis=None, keepdims=False)
  std::string docstring() const;
};

template <class Op>
class Schema {
 public:
  explicit Schema(OpDef& d) : d_(d) {}
  Schema& name(const char* s) { return d_.name = s, *this; }
  Schema& doc(const char* s) { return d_.doc = s, *this; }
  Schema& family(const char* s) { return d_.family = s, *this; }
  Schema& input(const char* name, DTypeSet accepts, const char* doc) {
    return d_.inputs.push_back({name, accepts, Role::kValue, doc}), *this;
  }
  // An input outside promotion: indices, conditions, keys.
  Schema& own_input(const char* name, DTypeSet accepts, const char* doc) {
    return d_.inputs.push_back({name, accepts, Role::kOwn, doc}), *this;
  }
  Schema& output(const char* name, const char* doc) {
    return d_.outputs.push_back({name, doc}), *this;
  }
  Schema& example(const char* call, const char* result) {
    return d_.examples.emplace_back(call, result), *this;
  }
  Schema& broadcasts() { return d_.broadcasts = true, *this; }
  Schema& random() { return d_.random = true, *this; }
  // The meaning in other ops is one pass over memory when compiled: eager calls run it that way
  // too, so that they give the bits of a graph.
  Schema& as_program() { return d_.as_program = true, *this; }
  Schema& not_differentiable() { return d_.differentiable = false, *this; }
  Schema& elementwise(int row, const char* formula) {
    return d_.elementwise = row, d_.formula = formula, d_.broadcasts = true, *this;
  }
  // Which values the rule looks at ("x", "y"): a tape keeps only those. Nothing declared: all;
  // gradient_reads(): none.
  template <class... Names>
  Schema& gradient_reads(Names... names) {
    d_.reads_inputs = d_.reads_outputs = 0;
    (reads(names), ...);
    return *this;
  }
  template <class T>
  Schema& attr(const char* name, T Op::*member, const char* doc) {
    const Op
        probe{};  // an offset instead of a stored member pointer: every later use is type-erased
    auto at =
        reinterpret_cast<const char*>(&(probe.*member)) - reinterpret_cast<const char*>(&probe);
    d_.attrs.push_back({name, doc, uint32_t(at), &attr_type(attr_kind<T>())});
    return *this;
  }

 private:
  void reads(std::string_view name) {
    if (name.empty()) return;  // lets a generated record leave names out
    for (size_t i = 0; i < d_.inputs.size(); ++i)
      if (name == d_.inputs[i].name)
        return void(d_.reads_inputs |= d_.variadic ? ~0ull : 1ull << i);
    for (size_t i = 0; i < d_.outputs.size(); ++i)
      if (name == d_.outputs[i].name) return void(d_.reads_outputs |= 1ull << i);
    internal_error(d_.name, ": gradient_reads names `", name,
                   "`, which is no input or output declared above it.");
  }
  OpDef& d_;
};

// The specs of a variadic op's inputs.
class Specs {
 public:
  explicit Specs(Inputs in) : in_(in) {}
  size_t size() const { return in_.size(); }
  const Spec& operator[](size_t i) const { return in_[i]->spec; }

 private:
  Inputs in_;
};

// ---- reading the member functions
// ------------------------------------------------------------------------
template <class F>
struct Signature;
template <class C, class R, class... A>
struct Signature<R (C::*)(A...) const> {
  using Result = R;
  static constexpr int kArity = sizeof...(A);
  static constexpr bool kVariadic = (std::same_as<A, Specs> || ...);
};
template <class T>
inline constexpr int kCount = 1;
template <class T, size_t N>
inline constexpr int kCount<std::array<T, N>> = N;
template <class T>
inline constexpr int kCount<std::vector<T>> = -1;
template <class T>
void spread(T&& value, T* out) {
  *out = std::move(value);
}
template <class T, size_t N>
void spread(std::array<T, N>&& values, T* out) {
  for (T& v : values) *out++ = std::move(v);
}
template <class T>
void spread(std::vector<T>&& values, T* out) {
  for (T& v : values) *out++ = std::move(v);
}

// How many members an aggregate has: a member without `.attr` would make unequal ops compare equal.
struct AnyMember {
  template <class T>
  operator T() const;
};
template <class T, class... A>
consteval size_t member_count() {
  if constexpr (requires { T{A{}..., AnyMember{}}; })
    return member_count<T, A..., AnyMember>();
  else
    return sizeof...(A);
}

template <class Op>
OpDef define() {
  using Sig = Signature<decltype(&Op::infer)>;
  OpDef d;
  d.variadic = Sig::kVariadic;
  d.fixed_outputs = kCount<typename Sig::Result>;
  d.size = std::is_empty_v<Op> ? 0 : sizeof(Op);
  d.defaults = std::make_shared<const Op>();
  d.copy = [](void* to, const void* from) { new (to) Op(*static_cast<const Op*>(from)); };
  d.destroy = [](void* p) { static_cast<Op*>(p)->~Op(); };
  if constexpr (kCount<typename Sig::Result> < 0)  // int outputs(int inputs) const
    d.output_count = [](const void* self, int inputs) {
      return static_cast<const Op*>(self)->outputs(inputs);
    };
  d.infer = [](const void* self, Inputs in, Spec* out) {
    if constexpr (Sig::kVariadic)
      spread(static_cast<const Op*>(self)->infer(Specs(in)), out);
    else
      [&]<size_t... I>(std::index_sequence<I...>) {
        spread(static_cast<const Op*>(self)->infer(in[I]->spec...), out);
      }(std::make_index_sequence<Sig::kArity>{});
  };
  if constexpr (requires { &Op::vjp; })
    // One output: vjp(saved, dy). Several: vjp(saved, const Tensor* dy); an absent dy is a tensor
    // of zeros.
    d.vjp = [](const void* self, const Saved& saved, const Tensor* dy, Tensor* dx) {
      if constexpr (kCount<typename Sig::Result> == 1)
        spread(static_cast<const Op*>(self)->vjp(saved, *dy), dx);
      else
        spread(static_cast<const Op*>(self)->vjp(saved, dy), dx);
    };
  if constexpr (requires { &Op::expand; })
    d.expand = [](const void* self, Inputs in, Tensor* out) {
      if constexpr (Sig::kVariadic) {
        std::vector<Tensor> held;
        for (TensorImpl* t : in) held.emplace_back(t);
        spread(static_cast<const Op*>(self)->expand(std::span<const Tensor>(held)), out);
      } else {
        [&]<size_t... I>(std::index_sequence<I...>) {
          spread(static_cast<const Op*>(self)->expand(Tensor(in[I])...), out);
        }(std::make_index_sequence<Sig::kArity>{});
      }
    };
  if constexpr (requires { &Op::view; })
    d.view = [](const void* self, const Spec& spec, const Tensor& x, View& v) {
      return static_cast<const Op*>(self)->view(spec, x, v);
    };
  if constexpr (requires { &Op::joins; })
    d.joins = [](const void* self, const Spec& y) {
      return static_cast<const Op*>(self)->joins(y);
    };
  Schema<Op> schema(d);
  Op::describe(schema);
  if (!d.name || d.attrs.size() != member_count<Op>())
    internal_error(d.name ? d.name : "?", ": a member of the op lacks its .attr line.");
  if (!Sig::kVariadic && int(d.inputs.size()) != Sig::kArity)
    internal_error(d.name, ": infer takes ", Sig::kArity, " inputs, the record declares ",
                   d.inputs.size(), ".");
  return d;
}

class FB_API OpRegistry {
 public:
  template <class... Ops>
  void add() {
    (insert(define<Ops>()), ...);
  }
  const OpDef& find(std::string_view name) const;  // ArgumentError, suggests the nearest name
  const OpDef* look(std::string_view name) const;  // or null
  const std::vector<std::unique_ptr<OpDef>>& all() const { return defs_; }

 private:
  // Refuses duplicates, missing docs, and ops that have neither vjp nor expand nor
  // not_differentiable().
  void insert(OpDef d);
  std::vector<std::unique_ptr<OpDef>> defs_;
};
FB_API OpRegistry& registry();

// An op's attributes, owned.
class FB_API AttrBox {
 public:
  AttrBox() = default;
  AttrBox(const OpDef& op, const void* attrs) : op_(&op) {
    if (op.size) op.copy(p_ = ::operator new(op.size), attrs);
  }
  AttrBox(AttrBox&& o) noexcept
      : op_(std::exchange(o.op_, nullptr)), p_(std::exchange(o.p_, nullptr)) {}
  AttrBox& operator=(AttrBox o) noexcept {
    std::swap(op_, o.op_), std::swap(p_, o.p_);
    return *this;
  }
  ~AttrBox() {
    if (p_) op_->destroy(p_), ::operator delete(p_);
  }
  const void* get() const { return p_ ? p_ : op_ ? op_->defaults.get() : nullptr; }
  void* mutate(const AttrDef& a) { return static_cast<char*>(p_) + a.offset; }

 private:
  const OpDef* op_ = nullptr;
  void* p_ = nullptr;
};

}  // namespace flowbook
