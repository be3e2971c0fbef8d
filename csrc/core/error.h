// The one exception type of the library. It carries a kind instead of a subclass, so that catching
// never depends on the identity of type information across shared libraries; the binding maps kinds
// to Python classes. Text: "<op>: <what, with actual specs and names>. <what would be right>."
#pragma once
#include <exception>
#include <string>

#include "core/text.h"

namespace flowbook {

enum class ErrorKind : uint8_t {
  kShape,          // ShapeError(ValueError)
  kAxis,           // AxisError(ShapeError, IndexError)
  kDType,          // DTypeError(TypeError)
  kMissingKernel,  // MissingKernelError(DTypeError)
  kIndex,          // IndexOutOfRange(IndexError)
  kArgument,       // ArgumentError(ValueError)
  kDevice,         // DeviceError(RuntimeError)
  kGraph,          // GraphError(RuntimeError)
  kFeed,           // FeedError(GraphError)
  kGradient,       // GradientError(RuntimeError)
  kInternal,       // InternalError(RuntimeError): a bug of ours
  kLoad,           // LoadError(ValueError)
  kData,           // DataError(ValueError)
  kOutOfMemory,    // OutOfMemoryError(MemoryError)
  kCancelled,      // KeyboardInterrupt or a stopped run
};
inline constexpr int kErrorKinds = 15;

class FB_API Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string text) : kind(kind), text(std::move(text)) {}
  const char* what() const noexcept override;  // out of line: pins vtable and type information here

  ErrorKind kind;
  std::string text;
  std::string op;        // name of the op in whose apply() it was thrown; empty otherwise
  bool located = false;  // the text already names the op
};

template <class... A>
[[noreturn, gnu::cold, gnu::noinline]] void fail(ErrorKind kind, const A&... a) {
  throw Error(kind, cat(a...));
}
template <class... A>
[[noreturn, gnu::cold, gnu::noinline]] void shape_error(const A&... a) {
  throw Error(ErrorKind::kShape, cat(a...));
}
template <class... A>
[[noreturn, gnu::cold, gnu::noinline]] void dtype_error(const A&... a) {
  throw Error(ErrorKind::kDType, cat(a...));
}
template <class... A>
[[noreturn, gnu::cold, gnu::noinline]] void argument_error(const A&... a) {
  throw Error(ErrorKind::kArgument, cat(a...));
}
template <class... A>
[[noreturn, gnu::cold, gnu::noinline]] void internal_error(const A&... a) {
  throw Error(ErrorKind::kInternal, cat(a..., " This is a bug in flowbook; please report it."));
}

}  // namespace flowbook
