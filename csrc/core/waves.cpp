// Waves: which steps share one parallel job. A step that falls into independent parts may join the
// wave of an earlier one if nothing it reads is made in that wave or after it: the two gradients of
// a layer, query, key and value, the branches of a block. One hand-over to the threads and one wait
// then serve all of them, and the last part of one step is not waited for alone. Small steps run on
// the calling thread, where they cost least.
#include <algorithm>

#include "core/plan.h"
#include "core/work.h"

namespace flowbook {

namespace {
// A step below this costs less than waking another thread for it.
constexpr int64_t kWorthSharing = 3000;  // nanoseconds
// How many waves a step may move ahead. Moving makes its result live longer, so a step with enough
// parts of its own joins its neighbour only.
constexpr int kLookBack = 12;
constexpr int64_t kManyParts = 16;
}  // namespace

void Planner::form_waves() {
  struct Open {
    std::vector<size_t> steps;
    int64_t parts = 0;
    bool shares = false;
    int device = -1;
  };
  std::vector<Open> waves;
  std::vector<int> made(specs_.size(), -1);  // by root: the wave that writes it
  for (size_t k = 0; k < e_.first_commit_; ++k) {
    const Step& step = e_.steps_[k];
    const bool shares = options_.fuse && step.parts.count > 0 && step.parts.cost >= kWorthSharing;
    const int device = step.out.empty() ? -1 : specs_[size_t(step.out[0])].device;
    int into = int(waves.size());
    if (shares) {
      int earliest = 0;
      for (const Step::Operand& o : step.in)
        earliest = std::max(earliest, made[size_t(o.value)] + 1);
      const int reach = step.parts.count >= kManyParts ? 1 : kLookBack;
      earliest = std::max(earliest, int(waves.size()) - reach);
      count_work(int64_t(waves.size()) - earliest);
      for (int w = int(waves.size()) - 1; w >= earliest; --w)
        if (waves[size_t(w)].shares && waves[size_t(w)].device == device &&
            (reach == kLookBack || waves[size_t(w)].parts < kManyParts ||
             w + 1 == int(waves.size())))
          into = w;
    }
    if (into == int(waves.size())) waves.emplace_back();
    Open& wave = waves[size_t(into)];
    wave.steps.push_back(k);
    wave.parts += step.parts.count;
    wave.shares = shares, wave.device = device;
    for (int32_t v : step.out) made[size_t(v)] = std::max(made[size_t(v)], into);
  }
  std::vector<Step> ordered;
  ordered.reserve(e_.steps_.size());
  for (const Open& wave : waves) {
    const auto first = int32_t(ordered.size());
    for (size_t k : wave.steps) ordered.push_back(std::move(e_.steps_[k]));
    e_.waves_.push_back({first, int32_t(ordered.size()), wave.device});
  }
  for (size_t k = e_.first_commit_; k < e_.steps_.size(); ++k)
    ordered.push_back(std::move(e_.steps_[k]));
  e_.steps_ = std::move(ordered);
}

}  // namespace flowbook
