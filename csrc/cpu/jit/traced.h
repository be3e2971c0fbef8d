// The names that the float32 functions of cpu/scalar are written with, in another meaning: a value
// is a node of a graph, so that calling a function writes down the instructions that compute it,
// from the one text that the plain loops are compiled from too.
//
// Included by rows.cpp inside an unnamed namespace.
#pragma once

#define FB_SCALAR static inline

thread_local Graph* graph = nullptr;  // where the instructions go

// A node, or a constant that has none yet.
struct f32 {
  int node = -1;
  float constant = 0;
  constexpr f32(float x) : constant(x) {}
  explicit f32(struct i32 x);
  static f32 of(int node) {
    f32 x(0.0f);
    x.node = node;
    return x;
  }
  int in_graph() const {
    return node >= 0 ? node : graph->constant(__builtin_bit_cast(uint32_t, constant));
  }
};
struct i32 {
  int node = -1;
  int constant = 0;
  constexpr i32(int x) : constant(x) {}
  static i32 of(int node) {
    i32 x(0);
    x.node = node;
    return x;
  }
  int in_graph() const { return node >= 0 ? node : graph->constant(uint32_t(constant)); }
};
struct flag {
  int node;
};
FB_SCALAR f32 from_bits(i32 x) { return f32::of(x.in_graph()); }
inline f32::f32(i32 x) : node(graph->make(Kind::kToFloat, x.in_graph())) {}

FB_SCALAR f32 make(Kind kind, f32 a) { return f32::of(graph->make(kind, a.in_graph())); }
FB_SCALAR f32 make(Kind kind, f32 a, f32 b) {
  return f32::of(graph->make(kind, a.in_graph(), b.in_graph()));
}
FB_SCALAR f32 operator+(f32 a, f32 b) { return make(Kind::kAdd, a, b); }
FB_SCALAR f32 operator-(f32 a, f32 b) { return make(Kind::kSub, a, b); }
FB_SCALAR f32 operator*(f32 a, f32 b) { return make(Kind::kMul, a, b); }
FB_SCALAR f32 operator/(f32 a, f32 b) { return make(Kind::kDiv, a, b); }
FB_SCALAR f32 operator-(f32 a) {
  return a.node < 0 ? f32(-a.constant) : make(Kind::kNegate, a, from_bits(-0x7fffffff - 1));
}
FB_SCALAR f32 fma(f32 a, f32 b, f32 c) {
  return f32::of(graph->make(Kind::kFma, a.in_graph(), b.in_graph(), c.in_graph()));
}
FB_SCALAR f32 sqrt(f32 x) { return make(Kind::kSqrt, x); }

FB_SCALAR flag less(Kind kind, f32 a, f32 b) {
  return {graph->make(kind, a.in_graph(), b.in_graph())};
}
FB_SCALAR flag operator<(f32 a, f32 b) { return less(Kind::kLess, a, b); }
FB_SCALAR flag operator>(f32 a, f32 b) { return less(Kind::kLess, b, a); }
FB_SCALAR flag operator<=(f32 a, f32 b) { return less(Kind::kLessEqual, a, b); }
FB_SCALAR flag operator>=(f32 a, f32 b) { return less(Kind::kLessEqual, b, a); }
FB_SCALAR flag operator==(f32 a, f32 b) { return less(Kind::kEqual, a, b); }
FB_SCALAR flag operator!=(f32 a, f32 b) { return less(Kind::kNotEqual, a, b); }
FB_SCALAR flag operator&(flag a, flag b) { return {graph->make(Kind::kAnd, a.node, b.node)}; }
FB_SCALAR flag operator|(flag a, flag b) { return {graph->make(Kind::kOr, a.node, b.node)}; }
FB_SCALAR f32 select(flag c, f32 a, f32 b) {
  return f32::of(graph->make(Kind::kSelect, c.node, a.in_graph(), b.in_graph()));
}

FB_SCALAR i32 make(Kind kind, i32 a, i32 b) {
  return i32::of(graph->make(kind, a.in_graph(), b.in_graph()));
}
FB_SCALAR i32 operator+(i32 a, i32 b) { return make(Kind::kIntAdd, a, b); }
FB_SCALAR i32 operator-(i32 a, i32 b) { return make(Kind::kIntSub, a, b); }
FB_SCALAR i32 operator&(i32 a, i32 b) { return make(Kind::kAnd, a, b); }
FB_SCALAR i32 operator|(i32 a, i32 b) { return make(Kind::kOr, a, b); }
FB_SCALAR i32 operator<<(i32 a, int n) {
  return i32::of(graph->make(Kind::kShiftLeft, a.in_graph(), -1, -1, n));
}
FB_SCALAR flag operator<(i32 a, i32 b) {
  return {graph->make(Kind::kIntGreater, b.in_graph(), a.in_graph())};
}
FB_SCALAR i32 select(flag c, i32 a, i32 b) {
  return i32::of(graph->make(Kind::kSelect, c.node, a.in_graph(), b.in_graph()));
}
// All bits, or none: only to select some of them, for a flag may be in a mask register.
struct Ones {
  int node;
};
FB_SCALAR Ones ones(flag c) { return {c.node}; }
FB_SCALAR i32 operator&(Ones c, i32 x) {
  return i32::of(graph->make(Kind::kAnd, c.node, x.in_graph()));
}
FB_SCALAR i32 bits(f32 x) { return i32::of(x.in_graph()); }

FB_SCALAR f32 abs(f32 x) { return from_bits(bits(x) & 0x7fffffff); }
FB_SCALAR f32 copysign(f32 x, f32 y) {
  return from_bits((bits(x) & 0x7fffffff) | (bits(y) & (-0x7fffffff - 1)));
}
FB_SCALAR f32 at_least(f32 x, f32 lo) { return select(x < lo, lo, x); }
FB_SCALAR f32 at_most(f32 x, f32 hi) { return select(hi < x, hi, x); }
FB_SCALAR f32 clamp(f32 x, f32 lo, f32 hi) { return at_least(at_most(x, hi), lo); }

// See machine.h: both ways are written down, and the loop takes the short one where it may.
struct Usual {
  int number;
  uint32_t bound;
};
FB_SCALAR Usual within(f32 x, float bound) {
  return {(bits(x) & 0x7fffffff).in_graph(), __builtin_bit_cast(uint32_t, bound)};
}
FB_SCALAR f32 either(Usual u, f32 usual, f32 general) {
  return f32::of(graph->either(u.number, u.bound, usual.in_graph(), general.in_graph()));
}

FB_SCALAR f32 poly(f32, f32 c0) { return c0; }
template <class... C>
FB_SCALAR f32 poly(f32 x, f32 c0, C... c) {
  return fma(poly(x, c...), x, c0);
}

template <class T>
inline constexpr T kInf = T(__builtin_inf());
template <class T>
inline constexpr T kNaN = T(__builtin_nan(""));
