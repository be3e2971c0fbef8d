// Out-of-line parts of the error type and of message text.
#include "core/error.h"

#include <charconv>

namespace flowbook {

const char* Error::what() const noexcept { return text.c_str(); }

void append(std::string& s, double v) {
  char b[32];
  auto [end, ec] = std::to_chars(b, b + sizeof b, v);
  s.append(b, end);
}

}  // namespace flowbook
