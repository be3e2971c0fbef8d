// Variable: the mutable cell (parameters, optimizer slots, running statistics). It holds an
// immutable tensor and replaces it. In a recording, reads and assignments belong to the graph and
// take effect when it runs.
#pragma once
#include <mutex>

#include "core/tensor.h"

namespace flowbook {

class FB_API Variable {
 public:
  // GraphError if the value is a symbol: initialise under Recorder(nullptr) (Python:
  // fb.outside_graph()).
  static Ref<Variable> make(const Tensor& value, std::string name, bool trainable);

  Tensor read();  // the value; inside a recording graph the graph's current value of this variable
  Tensor value() const;  // the stored value, whatever records
  // Same shape and dtype (weak scalars adapt), else ShapeError/DTypeError. Inside a graph: recorded
  // as an effect.
  void assign(const Tensor& value);
  void commit(Tensor value);  // executor only: replaces the value, no checks beyond the spec

  // For the executor's last segment: hold the mutex, then write the slot and touch().
  std::mutex& mutex() { return mutex_; }
  Tensor& slot() { return value_; }
  void touch() { version_.fetch_add(1, std::memory_order_relaxed); }

  const Spec& spec() const { return spec_; }
  uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  const std::string& name() const { return name_; }
  void rename(std::string name) { name_ = std::move(name); }

  std::atomic<uint32_t> refs{1};
  std::atomic<bool> trainable;
  // Set while a background run owns the variable: outside assignments raise GraphError naming the
  // run.
  std::string owner;
  BufferKind kind = BufferKind::kParameter;

 private:
  Variable(const Tensor& value, std::string name, bool trainable);
  mutable std::mutex mutex_;
  Tensor value_;
  Spec spec_;
  std::atomic<uint64_t> version_{0};
  std::string name_;
};
FB_API void destroy(Variable* v);

}  // namespace flowbook
