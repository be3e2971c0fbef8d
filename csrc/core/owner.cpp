// Claims on Variables, and reads that respect the steps of a run.
#include "core/owner.h"

#include <algorithm>

namespace flowbook {

namespace {
constinit thread_local Owner* t_current __attribute__((tls_model("initial-exec"))) = nullptr;
std::atomic<int> g_owned{0};  // Variables that have an owner
}  // namespace

Owner* Owner::current() { return t_current; }
Owner* Owner::act(Owner* owner) { return std::exchange(t_current, owner); }
bool reads_need_care() { return g_owned.load(std::memory_order_relaxed) && !t_current; }

void Owner::claim(std::span<const Ref<Variable>> variables) {
  std::vector<Ref<Variable>> taken;
  try {
    for (const Ref<Variable>& v : variables) {
      std::lock_guard lock(v->mutex());
      if (v->owner_ == this) continue;
      v->require_writer(this);
      v->owner_ = this;
      g_owned.fetch_add(1);
      taken.push_back(v);
    }
  } catch (...) {
    for (const Ref<Variable>& v : taken) {
      std::lock_guard lock(v->mutex());
      v->owner_ = nullptr;
      g_owned.fetch_sub(1);
    }
    throw;
  }
  std::lock_guard lock(mutex_);
  held_.insert(held_.end(), taken.begin(), taken.end());
}
void Owner::adopt(Variable* v) {
  std::lock_guard lock(mutex_);
  held_.push_back(Ref<Variable>(v));
  v->owner_ = this;
  g_owned.fetch_add(1);
}
void Owner::release() {
  std::vector<Ref<Variable>> held;
  {
    std::lock_guard lock(mutex_);
    held.swap(held_);
  }
  for (const Ref<Variable>& v : held) {
    std::lock_guard lock(v->mutex());
    v->owner_ = nullptr;
    g_owned.fetch_sub(1);
  }
}

std::vector<Tensor> read_together(std::span<const Ref<Variable>> variables) {
  std::vector<Variable*> order;
  std::vector<std::unique_lock<std::mutex>> held;
  if (reads_need_care()) {
    for (const Ref<Variable>& v : variables) order.push_back(v.get());
    std::sort(order.begin(), order.end());  // the order in which a step takes them
    order.erase(std::unique(order.begin(), order.end()), order.end());
    for (Variable* v : order) held.emplace_back(v->mutex());
  }
  std::vector<Tensor> values;
  values.reserve(variables.size());
  for (const Ref<Variable>& v : variables) values.push_back(held.empty() ? v->value() : v->slot());
  return values;
}

}  // namespace flowbook
