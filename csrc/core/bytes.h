// A number of bytes as a person would write it: cat(Bytes{1234567}) is "1.23 MB".
#pragma once
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <string>

namespace flowbook {

struct Bytes {
  double count;
  template <class T>
  explicit Bytes(T n) : count(double(n)) {}
};

inline void append(std::string& s, Bytes bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double n = bytes.count;
  size_t unit = 0;
  for (; n >= 999.5 && unit + 1 < std::size(kUnits); ++unit) n /= 1000;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 || n >= 100 ? "%.0f %s" : "%.3g %s", n, kUnits[unit]);
  s += text;
}

}  // namespace flowbook
