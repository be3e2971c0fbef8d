// The table of attribute types: one row per kind.
#include "core/attr.h"

#include <bit>
#include <cmath>

namespace flowbook {

namespace {

size_t hash_of(bool v) { return mix(1, v); }
size_t hash_of(int64_t v) { return mix(2, uint64_t(v)); }
size_t hash_of(double v) { return mix(3, std::bit_cast<uint64_t>(v)); }
size_t hash_of(const std::string& v) { return std::hash<std::string>()(v); }
size_t hash_of(const Axes& v) {
  size_t h = v.all;
  for (int i = 0; i < v.count; ++i) h = mix(h, uint64_t(v.axis[i]));
  return h;
}
size_t hash_of(const Shape& v) {
  size_t h = 4;
  for (Dim d : v) h = mix(h, uint64_t(d.raw()));
  return h;
}
size_t hash_of(Dim v) { return mix(5, uint64_t(v.raw())); }
size_t hash_of(const OptionalDType& v) { return mix(6, v.given ? uint64_t(v.value) : 99); }
size_t hash_of(const Ints& v) {
  size_t h = v.size();
  for (int64_t i : v) h = mix(h, uint64_t(i));
  return h;
}
size_t hash_of(const Scalar& v) {
  return mix(v.kind, v.kind == Scalar::kFloat ? std::bit_cast<uint64_t>(v.d) : uint64_t(v.i));
}

template <class T>
bool same(const T& a, const T& b) {
  return a == b;
}
// Bits, not values: 0.0 and -0.0 make different graphs, and NaN equals itself.
bool same(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }
bool same(const Scalar& a, const Scalar& b) {
  return a.kind == b.kind && (a.kind == Scalar::kFloat ? same(a.d, b.d) : a.i == b.i);
}

void to_json(std::string& s, bool v) { append(s, v); }
void to_json(std::string& s, int64_t v) { append(s, v); }
void to_json(std::string& s, double v) {
  if (std::isfinite(v)) {
    const size_t from = s.size();
    append(s, v);
    if (s.find_first_of(".e", from) == std::string::npos) s += ".0";
  } else {
    s += std::isnan(v) ? "\"nan\"" : v > 0 ? "\"inf\"" : "\"-inf\"";
  }
}
void to_json(std::string& s, const std::string& v) {
  s += '"';
  for (char c : v) {
    if (c == '"' || c == '\\') s += '\\';
    if (uint8_t(c) < 32) continue;
    s += c;
  }
  s += '"';
}
void to_json(std::string& s, Dim v) {
  if (v.known())
    append(s, v);
  else
    to_json(s, v.str());
}
template <class List>
void list_json(std::string& s, const List& list) {
  s += '[';
  bool first = true;
  for (auto v : list) {
    if (!first) s += ", ";
    first = false;
    to_json(s, v);
  }
  s += ']';
}
void to_json(std::string& s, const Shape& v) { list_json(s, v); }
void to_json(std::string& s, const Ints& v) { list_json(s, v); }
void to_json(std::string& s, const Axes& v) {
  if (v.all) return void(s += "null");
  Ints axes;
  for (int i = 0; i < v.count; ++i) axes.push_back(v.axis[i]);
  list_json(s, axes);
}
void to_json(std::string& s, const OptionalDType& v) {
  if (v.given)
    to_json(s, std::string(name_of(v.value)));
  else
    s += "null";
}
void to_json(std::string& s, const Scalar& v) {
  if (v.kind == Scalar::kFloat)
    to_json(s, v.d);
  else if (v.kind == Scalar::kInt)
    to_json(s, v.i);
  else
    to_json(s, v.i != 0);
}

template <class T>
constexpr AttrType make_type(const char* python) {
  return {attr_kind<T>(), python,
          [](const void* a, const void* b) {
            return same(*static_cast<const T*>(a), *static_cast<const T*>(b));
          },
          [](const void* a) { return hash_of(*static_cast<const T*>(a)); },
          [](std::string& s, const void* a) { to_json(s, *static_cast<const T*>(a)); }};
}

}  // namespace

const AttrType& attr_type(AttrKind kind) {
  static constexpr AttrType types[] = {
      make_type<bool>("bool"),
      make_type<int64_t>("int"),
      make_type<double>("float"),
      make_type<std::string>("str"),
      make_type<Axes>("int | Sequence[int] | None"),
      make_type<Shape>("int | Sequence[int]"),
      make_type<Dim>("int"),
      make_type<OptionalDType>("DType | None"),
      make_type<Ints>("Sequence[int]"),
      make_type<Scalar>("bool | int | float"),
  };
  return types[int(kind)];
}

}  // namespace flowbook
