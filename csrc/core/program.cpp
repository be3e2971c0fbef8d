// The plan cache of a graph: a short list searched from the last used; specs are compared, nothing
// is hashed.
#include <algorithm>

#include "core/executable.h"

namespace flowbook {

namespace {
constexpr size_t kMaxPlans = 16;

bool equal_list(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

std::string difference(const Graph& g, std::span<const int32_t> feeds,
                       std::span<const Tensor> values, const std::vector<Spec>& old) {
  std::string s;
  for (size_t i = 0; i < feeds.size(); ++i)
    if (!(old[i] == values[i].spec())) {
      const uint32_t name = g.values[size_t(feeds[i])].name;
      s += cat(s.empty() ? "" : ", ", name ? g.string(name) : cat("input ", i), " changed from ",
               old[i], " to ", values[i].spec());
    }
  return s;
}
}  // namespace

Program::Found Program::plan(std::span<const int32_t> feeds, std::span<const Tensor> values,
                             std::span<const int32_t> fetches, bool effects,
                             const CompileOptions& options) {
  std::string why = "first run";
  {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < plans_.size(); ++i) {
      Plan& p = *plans_[i];
      if (p.effects != effects || p.optimize != options.optimize || p.fuse != options.fuse ||
          p.epilogues != options.epilogues || p.reuse != options.reuse)
        continue;
      if (!equal_list(p.feeds, feeds) || !equal_list(p.fetches, fetches)) continue;
      bool same = true;
      for (size_t k = 0; same && k < values.size(); ++k) same = p.specs[k] == values[k].spec();
      if (!same) {
        if (why == "first run") why = difference(*graph_, feeds, values, p.specs);
        continue;
      }
      if (i) std::rotate(plans_.begin(), plans_.begin() + long(i), plans_.begin() + long(i) + 1);
      return {plans_[0]->executable, {}};
    }
    if (why == "first run" && !plans_.empty()) why = "other results or inputs are asked for";
  }
  auto plan = std::make_unique<Plan>();
  plan->feeds.assign(feeds.begin(), feeds.end());
  plan->fetches.assign(fetches.begin(), fetches.end());
  for (const Tensor& t : values) plan->specs.push_back(t.spec());
  plan->effects = effects, plan->optimize = options.optimize, plan->fuse = options.fuse,
  plan->epilogues = options.epilogues, plan->reuse = options.reuse;
  plan->executable = Executable::compile(*graph_, feeds, plan->specs, fetches, effects, options);
  std::lock_guard lock(mutex_);
  plans_.insert(plans_.begin(), std::move(plan));
  if (plans_.size() > kMaxPlans) plans_.pop_back();
  return {plans_[0]->executable, std::move(why)};
}
int64_t Program::peak_bytes(std::span<const int32_t> feeds, std::span<const Spec> specs,
                            std::span<const int32_t> fetches, bool effects, Resize resize) const {
  CompileOptions options;
  options.resize = resize;
  return Executable::compile(*graph_, feeds, specs, fetches, effects, options)->peak_bytes();
}
size_t Program::plans() const {
  std::lock_guard lock(mutex_);
  return plans_.size();
}

}  // namespace flowbook
