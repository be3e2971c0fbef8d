// Owner: who may write a set of Variables. A training run owns what it trains: others may read it
// meanwhile, and get whole values as they are between two steps, but not write it.
#pragma once
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "core/variable.h"

namespace flowbook {

class FB_API Owner {
 public:
  explicit Owner(std::string name) : name_(std::move(name)) {}
  ~Owner() { release(); }
  Owner(const Owner&) = delete;

  // All or none: GraphError if another owner has one of them.
  void claim(std::span<const Ref<Variable>> variables);
  // Takes one that nobody owns; the caller holds its mutex. For what a step of the owner writes
  // without having been claimed before, such as Variables that were born in its first step.
  void adopt(Variable* v);
  void release();
  const std::string& name() const { return name_; }  // as messages say it: "run 20260101-120000"

  // The owner for which this thread acts, or null; `act` returns the one before.
  static Owner* current();
  static Owner* act(Owner* owner);

 private:
  std::string name_;
  std::mutex mutex_;  // taken while no Variable's mutex is held, except by adopt()
  std::vector<Ref<Variable>> held_;
};

// Values of several Variables as they are between two steps of whoever trains them.
FB_API std::vector<Tensor> read_together(std::span<const Ref<Variable>> variables);
// Whether a read of several Variables could meet a run in the middle: some run owns Variables, and
// it isn't this thread's.
FB_API bool reads_need_care();

}  // namespace flowbook
