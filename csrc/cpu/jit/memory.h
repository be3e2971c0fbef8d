// Executable memory, never writable and executable at once: code is written to fresh pages that
// then lose the right to be written.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace flowbook::cpu::jit {

// Pages with code, or nothing where the system refuses them. A child of fork() has them too.
class Pages {
 public:
  Pages() = default;
  explicit Pages(const std::vector<uint8_t>& code);
  Pages(Pages&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pages();

  explicit operator bool() const { return at_ != nullptr; }
  const uint8_t* data() const { return static_cast<const uint8_t*>(at_); }

 private:
  void* at_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace flowbook::cpu::jit
