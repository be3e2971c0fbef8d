// Building messages and listings: cat(a, b, ...) joins anything that has an append() overload.
// Free of <sstream>: op files compile faster and a message stays one line long.
#pragma once
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/export.h"

namespace flowbook {

inline void append(std::string& s, std::string_view t) { s += t; }
inline void append(std::string& s, char c) { s += c; }
template <std::integral T>
  requires(!std::same_as<T, char>)
void append(std::string& s, T n) {
  if constexpr (std::same_as<T, bool>)
    s += n ? "true" : "false";  // no plain bool overload: pointers would convert
  else
    s += std::to_string(n);
}
FB_API void append(std::string& s, double v);  // shortest text that reads back as the same double

template <class... A>
std::string cat(const A&... a) {
  std::string s;
  (append(s, a), ...);
  return s;
}

}  // namespace flowbook
