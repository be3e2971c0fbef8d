// Variable: the mutable cell (parameters, optimizer slots, running statistics). It holds an
// immutable tensor and replaces it. In a recording, reads and assignments belong to the graph and
// take effect when it runs.
#pragma once
#include <mutex>

#include "core/tensor.h"

namespace flowbook {

class Owner;

class FB_API Variable {
 public:
  // GraphError if the value is a symbol: initialise under Recorder(nullptr) (Python:
  // fb.outside_graph()).
  static Ref<Variable> make(const Tensor& value, std::string name, bool trainable);

  Tensor read();  // the value; inside a recording graph the graph's current value of this variable
  Tensor value() const;  // the stored value, whatever records
  // Same shape and dtype (weak scalars adapt), else ShapeError/DTypeError. Inside a graph: recorded
  // as an effect. GraphError while a run owns it and this thread does not act for that run.
  void assign(const Tensor& value);

  // For the executor's last segment: hold the mutex, check the writer, write the slot and touch().
  std::mutex& mutex() { return mutex_; }
  Tensor& slot() { return value_; }
  // GraphError unless `writer` (null: nobody in particular) may write. The mutex is held.
  void require_writer(const Owner* writer) const {
    if (owner_ && owner_ != writer) [[unlikely]]
      refuse_writer();
  }
  Owner* owner() const { return owner_; }  // the mutex is held
  std::string owner_name() const;          // empty: nobody
  void touch() { version_.fetch_add(1, std::memory_order_relaxed); }

  const Spec& spec() const { return spec_; }
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  const std::string& name() const { return name_; }
  void rename(std::string name) { name_ = std::move(name); }

  std::atomic<uint32_t> refs{1};
  std::atomic<bool> trainable;
  BufferKind kind = BufferKind::kParameter;

 private:
  friend class Owner;
  Variable(const Tensor& value, std::string name, bool trainable);
  [[noreturn]] void refuse_writer() const;
  mutable std::mutex mutex_;
  Tensor value_;
  Spec spec_;
  std::atomic<uint64_t> version_{0};
  std::string name_;
  Owner* owner_ = nullptr;  // under the mutex; an Owner gives up its Variables before it goes
};
FB_API void destroy(Variable* v);

}  // namespace flowbook
