// Variables: reads and writes, eager or recorded.
#include "core/variable.h"

#include "core/apply.h"
#include "core/graph.h"
#include "core/owner.h"

namespace flowbook {

Ref<Variable> Variable::make(const Tensor& value, std::string name, bool trainable) {
  if (value.symbolic())
    fail(ErrorKind::kGraph, "Variable", name.empty() ? std::string() : cat(" `", name, "`"),
         ": its initial value is symbolic. Create Variables before the graph, or under "
         "fb.outside_graph().");
  return Ref<Variable>(new Variable(value, std::move(name), trainable), false);
}
Variable::Variable(const Tensor& value, std::string name, bool trainable)
    : trainable(trainable), value_(dense(value)), spec_(value.spec()), name_(std::move(name)) {
  if (spec_.weak) {
    spec_.weak = false;
    value_ = make_view(spec_, view_of(value_));
  }
}
void destroy(Variable* v) { delete v; }

Tensor Variable::value() const {
  std::lock_guard lock(mutex_);
  return value_;
}
Tensor Variable::read() {
  if (!Recorder::top()) [[likely]]
    return value();
  Graph* program = Recorder::program();
  Tensor t = program ? program->read(this) : value();
  for (Recorder* r = Recorder::top(); r && r->graph; r = r->outer)
    if (!r->graph->symbolic) r->graph->note_read(this, t);
  return t;
}
void Variable::assign(const Tensor& given) {
  const std::string label =
      name_.empty() ? std::string("Variable.assign") : cat("Variable `", name_, "`");
  Tensor t = given;
  if (t.spec().weak && t.rank() == 0 && !t.symbolic())
    t = g_core_ops.full_like(spec_, scalar_of(t));
  if (!(t.shape() == spec_.shape))
    shape_error(label, ": it is ", spec_, " and cannot take a value of ", t.spec(),
                ". Shapes must be equal.");
  if (t.dtype() != spec_.dtype)
    dtype_error(label, ": it is ", spec_, " and cannot take a value of ", t.spec(),
                ". Cast the value with astype().");
  if (Graph* program = Recorder::program()) return program->assign(this, t);
  Tensor d = dense(t);
  if (!(d.spec() == spec_)) d = make_view(spec_, view_of(d));  // drops weakness
  std::lock_guard lock(mutex_);
  require_writer(Owner::current());
  std::swap(value_, d);  // the old value is released after the lock
  touch();
}
void Variable::refuse_writer() const {
  fail(ErrorKind::kGraph, name_.empty() ? std::string("Variable") : cat("Variable `", name_, "`"),
       ": it belongs to ", owner_->name(),
       ", which is training. Wait for the run or stop it before you change it.");
}
std::string Variable::owner_name() const {
  std::lock_guard lock(mutex_);
  return owner_ ? owner_->name() : std::string();
}

}  // namespace flowbook
