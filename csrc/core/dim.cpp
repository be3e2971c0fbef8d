// Dims as interned polynomials: a sum of terms, each an integer times a product of atoms (symbols
// or floor divisions). The canonical form is sorted, so equal polynomials are the same table entry.
#include "core/dim.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "core/fork.h"

namespace flowbook {

namespace {
using Atoms = std::vector<int32_t>;     // sorted indices into the table of atoms, with repetition
using Poly = std::map<Atoms, int64_t>;  // no zero coefficients
}  // namespace

struct DimTable {
  struct Atom {
    std::string name;  // a symbol; empty for a floor division
    Dim a = 0, b = 0;  // a // b
  };
  DimTable() {
    hold_over_fork(mutex, 1);
    polys.push_back(
        {{{}, -1}});  // Dim(-1), the size that follows from the others in reshape(), is no symbol
  }
  std::mutex mutex;
  std::deque<Atom> atoms;
  std::map<std::tuple<std::string, int64_t, int64_t>, int32_t> atom_index;
  std::deque<Poly> polys;
  std::map<Poly, int64_t> poly_index;

  static DimTable& get() {
    static auto* t = new DimTable;  // never destroyed: dims may outlive static destruction
    return *t;
  }
  static int64_t raw(Dim d) { return d.raw_; }
  int32_t atom(Atom a) {
    auto [it, fresh] = atom_index.try_emplace({a.name, raw(a.a), raw(a.b)}, int32_t(atoms.size()));
    if (fresh) atoms.push_back(std::move(a));
    return it->second;
  }
  Poly poly(Dim d) {
    if (!d.known()) {
      const auto i = uint64_t(-(d.raw_ + 1));
      if (i >= polys.size())  // no symbol: a negative number made into a Dim
        shape_error("a size came out as ", d.raw_, ". Sizes must not be negative.");
      return polys[size_t(i)];
    }
    Poly p;
    if (d.raw_) p[{}] = d.raw_;
    return p;
  }
  Dim dim(Poly p) {
    std::erase_if(p, [](auto& t) { return t.second == 0; });
    if (p.empty()) return 0;
    if (p.size() == 1 && p.begin()->first.empty()) {
      if (p.begin()->second < 0)
        shape_error("a size came out as ", p.begin()->second, ". Sizes must not be negative.");
      return p.begin()->second;
    }
    auto [it, fresh] = poly_index.try_emplace(p, -1 - int64_t(polys.size()));
    if (fresh) polys.push_back(std::move(p));
    return Dim(Dim::Raw{it->second});
  }
};

namespace {
int64_t checked_mul(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_mul_overflow(a, b, &r))
    shape_error("a size of ", a, " * ", b, " elements is more than 2^63. Use smaller sizes.");
  return r;
}
int64_t checked_add(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_add_overflow(a, b, &r))
    shape_error("a size of ", a, " + ", b, " elements is more than 2^63. Use smaller sizes.");
  return r;
}
Poly multiply(const Poly& a, const Poly& b) {
  Poly p;
  for (auto& [x, m] : a)
    for (auto& [y, n] : b) {
      Atoms z(x.size() + y.size());
      std::merge(x.begin(), x.end(), y.begin(), y.end(), z.begin());
      int64_t& c = p[std::move(z)];
      c = checked_add(c, checked_mul(m, n));
    }
  return p;
}
Dim add_scaled(Dim a, Dim b, int64_t factor) {
  DimTable& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  Poly p = t.poly(a);
  for (auto& [atoms, n] : t.poly(b)) p[atoms] = checked_add(p[atoms], checked_mul(n, factor));
  return t.dim(std::move(p));
}
}  // namespace

Dim Dim::symbol(std::string_view name) {
  if (name.empty()) argument_error("a symbolic size needs a name, such as \"batch\".");
  DimTable& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  return t.dim({{{t.atom({std::string(name)})}, 1}});
}
Dim operator+(Dim a, Dim b) {
  if (a.known() && b.known()) return checked_add(a.raw(), b.raw());
  return add_scaled(a, b, 1);
}
Dim operator-(Dim a, Dim b) {
  if (a.known() && b.known()) {
    if (a.raw() < b.raw())
      shape_error("a size came out as ", a.raw() - b.raw(), ". Sizes must not be negative.");
    return a.raw() - b.raw();
  }
  return add_scaled(a, b, -1);
}
Dim operator*(Dim a, Dim b) {
  if (a.known() && b.known()) return checked_mul(a.raw(), b.raw());
  DimTable& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  return t.dim(multiply(t.poly(a), t.poly(b)));
}
Dim floor_div(Dim a, Dim b) {
  if (b == Dim(0)) shape_error("a size is divided by 0.");
  if (a.known() && b.known()) return a.raw() / b.raw();
  if (b == Dim(1)) return a;
  if (a == b) return 1;
  DimTable& t = DimTable::get();
  std::lock_guard lock(t.mutex);
  // Exact where every term of `a` is a multiple of a single-term `b`.
  if (Poly p = t.poly(a), q = t.poly(b); q.size() == 1) {
    const auto& [divisor, n] = *q.begin();
    Poly r;
    bool exact = true;
    for (auto& [atoms, m] : p) {
      Atoms rest;
      exact = exact && m % n == 0 &&
              std::includes(atoms.begin(), atoms.end(), divisor.begin(), divisor.end());
      if (!exact) break;
      std::set_difference(atoms.begin(), atoms.end(), divisor.begin(), divisor.end(),
                          std::back_inserter(rest));
      r[std::move(rest)] = m / n;
    }
    if (exact) return t.dim(std::move(r));
  }
  return t.dim({{{t.atom({"", a, b})}, 1}});
}

Dim substitute(Dim d, std::span<const DimBinding> values) {
  if (d.known() || values.empty() || d == Dim(-1)) return d;
  Poly p;
  {
    DimTable& t = DimTable::get();
    std::lock_guard lock(t.mutex);
    p = t.poly(d);
  }
  Dim sum = 0;
  int64_t constant =
      0;  // negative constants are added last, when the rest is known to be large enough
  for (auto& [atoms, n] : p) {
    if (atoms.empty()) {
      constant = n;
      continue;
    }
    Dim term = 1;
    for (int32_t i : atoms) {
      DimTable::Atom atom;
      {
        DimTable& t = DimTable::get();
        std::lock_guard lock(t.mutex);
        atom = t.atoms[size_t(i)];
      }
      Dim v = 0;
      if (atom.name.empty()) {
        v = floor_div(substitute(atom.a, values), substitute(atom.b, values));
      } else {
        v = Dim::symbol(atom.name);
        for (auto& [symbol, value] : values)
          if (symbol == v) {
            v = value;
            break;
          }
      }
      term = term * v;
    }
    sum = n >= 0 ? sum + term * Dim(n) : add_scaled(sum, term * Dim(-n), -1);
  }
  return constant >= 0 ? sum + Dim(constant) : sum - Dim(-constant);
}

void Dim::unknown() const {
  fail(ErrorKind::kGraph, "the size `", str(),
       "` is not known before the run. Use sizes taken from the shape, or feed a tensor.");
}

std::string Dim::str() const {
  if (known()) return std::to_string(raw_);
  Poly p;
  {
    DimTable& t = DimTable::get();
    std::lock_guard lock(t.mutex);
    p = t.poly(*this);
  }
  std::string s;
  const auto operand = [](Dim d) {  // a sum needs brackets beside //
    const std::string text = d.str();
    return text.find(' ') == std::string::npos ? text : "(" + text + ")";
  };
  auto add = [&](const Atoms& atoms, int64_t n) {
    if (!s.empty())
      s += n < 0 ? " - " : " + ";
    else if (n < 0)
      s += '-';
    bool first = true;
    for (int32_t i : atoms) {
      DimTable::Atom atom;
      {
        DimTable& t = DimTable::get();
        std::lock_guard lock(t.mutex);
        atom = t.atoms[size_t(i)];
      }
      if (!first) s += '*';
      first = false;
      s += atom.name.empty() ? "(" + operand(atom.a) + " // " + operand(atom.b) + ")" : atom.name;
    }
    const int64_t m = n < 0 ? -n : n;
    if (atoms.empty())
      s += std::to_string(m);
    else if (m != 1)
      s += "*" + std::to_string(m);
  };
  for (auto& [atoms, n] : p)
    if (!atoms.empty()) add(atoms, n);
  if (auto it = p.find({}); it != p.end()) add({}, it->second);
  return s;
}

}  // namespace flowbook
