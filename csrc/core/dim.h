// Dim: the size of an axis, an int or an interned polynomial in symbols (`batch`, `batch*2 + 1`).
// Two dims are equal exactly if their canonical forms are: no solver, no guessing.
#pragma once
#include <span>
#include <utility>

#include "core/error.h"

namespace flowbook {

class FB_API Dim {
 public:
  Dim() = default;  // not initialised: a Shape must not clear eight sizes to use two
  constexpr Dim(int64_t n) : raw_(n) {}
  static Dim symbol(std::string_view name);  // interned by name

  constexpr bool known() const { return raw_ >= 0; }
  int64_t value() const {  // GraphError when symbolic
    if (!known()) [[unlikely]]
      unknown();
    return raw_;
  }
  std::string str() const;
  int64_t raw() const { return raw_; }  // identity; not stable across processes

  friend constexpr bool operator==(Dim, Dim) = default;
  friend FB_API Dim operator+(Dim a, Dim b);
  friend FB_API Dim operator-(Dim a,
                              Dim b);  // ShapeError if both are known and the result is negative
  friend FB_API Dim operator*(Dim a, Dim b);
  friend FB_API Dim floor_div(Dim a, Dim b);

 private:
  friend struct DimTable;
  struct Raw {
    int64_t raw;
  };
  constexpr explicit Dim(Raw r) : raw_(r.raw) {}
  [[noreturn]] void unknown() const;
  int64_t raw_;  // n, or -1 - (index into the table of polynomials)
};

// Values for symbols, substituted when a graph is specialised.
using DimBinding = std::pair<Dim, Dim>;  // symbol, value
FB_API Dim substitute(Dim d, std::span<const DimBinding> values);

inline void append(std::string& s, Dim d) { s += d.str(); }

}  // namespace flowbook
