// Places: which steps commit, and where every value lives. Lifetimes are counted in steps; an arena
// interval is reused when its last reader has run, or by that reader itself where its kernel may
// work in place.
#include <algorithm>
#include <map>
#include <set>

#include "core/plan.h"
#include "core/work.h"

namespace flowbook {

namespace {
constexpr int64_t kAlign = 64;
int64_t aligned(int64_t n) { return std::max(kAlign, (n + kAlign - 1) / kAlign * kAlign); }

// Free intervals of the arena, kept merged: by offset, and by size for the best fit.
class Intervals {
 public:
  int64_t take(int64_t bytes) {
    count_work(1);
    const auto best = by_size_.lower_bound({bytes, 0});
    if (best == by_size_.end()) {  // the end of the arena is the last resort
      int64_t at = end_;
      if (!free_.empty()) {  // grow the interval at the end, if it is free
        const auto last = std::prev(free_.end());
        if (last->first + last->second == end_) at = last->first, erase(last);
      }
      end_ = at + bytes;
      return at;
    }
    const auto [size, at] = *best;
    erase(free_.find(at));
    if (size > bytes) insert(at + bytes, size - bytes);
    return at;
  }
  void give(int64_t at, int64_t bytes) {
    auto next = free_.lower_bound(at);
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == at)
        at = before->first, bytes += before->second, erase(before);
    }
    if (next != free_.end() && at + bytes == next->first) bytes += next->second, erase(next);
    insert(at, bytes);
  }
  int64_t end() const { return end_; }

 private:
  using Free = std::map<int64_t, int64_t>;
  void insert(int64_t at, int64_t bytes) { free_.emplace(at, bytes), by_size_.emplace(bytes, at); }
  void erase(Free::iterator i) { by_size_.erase({i->second, i->first}), free_.erase(i); }

  Free free_;                                      // offset -> size
  std::set<std::pair<int64_t, int64_t>> by_size_;  // size, offset
  int64_t end_ = 0;
};

// Whether output `o` may be written over input `i`, which has as many elements as wide.
bool may_overwrite(const Step& step, int i, int o) {
  if (!step.windows.empty()) return false;
  if (!step.fused)
    return step.entry->in_place &&
           step.entry->in_place(step.attrs.get(), int(step.in.size()), o) == i;
  if (step.product.value < 0) return step.fused->in_place(i, o);
  // What the kernel reads is read until the last block, and its blocks are written before the
  // program reads anything.
  if (i < step.product.inputs || o == step.product.target) return false;
  return step.fused->in_place(1 + i - step.product.inputs, o);
}
}  // namespace

// Steps that write nothing but new values of variables, over the old ones, move to the end: after
// every check, nothing in them can fail.
void Planner::order_commits() {
  std::unordered_map<int32_t, Variable*> assigned;  // root -> variable
  std::unordered_map<int32_t, int> assigned_count;
  for (const Assignment& a : g_.assignments) {
    const int32_t root = e_.views_[size_t(a.value)].root;
    if (root == a.value) assigned[root] = a.variable.get();
    ++assigned_count[root];
  }
  std::unordered_map<const Variable*, int32_t> source;
  for (int32_t v : g_.variable_reads)
    source[g_.nodes[size_t(g_.values[size_t(v)].node)].variable.get()] = v;
  std::vector<char> fetched(specs_.size());
  for (int32_t v : e_.lowered_.fetches) fetched[size_t(e_.views_[size_t(v)].root)] = 1;
  std::unordered_map<int32_t, int> readers;  // root -> steps reading it
  for (const Step& s : e_.steps_) {
    std::vector<int32_t> roots;
    for (const Step::Operand& o : s.in) roots.push_back(o.value);
    std::sort(roots.begin(), roots.end());
    roots.erase(std::unique(roots.begin(), roots.end()), roots.end());
    for (int32_t r : roots) ++readers[r];
  }
  auto commits = [&](const Step& s) {
    if (!s.op || !s.entry->in_place || !s.windows.empty()) return false;
    for (size_t o = 0; o < s.out.size(); ++o) {
      const int32_t v = s.out[o];
      auto it = assigned.find(v);
      if (it == assigned.end() || assigned_count[v] != 1 || readers.count(v) || fetched[size_t(v)])
        return false;
      const int i = s.entry->in_place(s.attrs.get(), int(s.in.size()), int(o));
      if (i < 0) return false;
      const Step::Operand& x = s.in[size_t(i)];
      if (!source.count(it->second) || x.value != source[it->second] || !x.dense || x.offset)
        return false;
      if (fetched[size_t(x.value)]) return false;  // the old value was asked for
    }
    return true;
  };
  std::unordered_map<int32_t, size_t>
      writer;  // source of a variable -> the step that writes over it
  for (size_t k = 0; k < e_.steps_.size(); ++k) {
    Step& s = e_.steps_[k];
    s.commit = commits(s);
    if (s.commit)
      for (int32_t v : s.out) writer[source[assigned[v]]] = k;
  }
  // A step that also reads what another one overwrites must run before it, among the ordinary ones.
  for (size_t k = 0; k < e_.steps_.size(); ++k)
    for (const Step::Operand& x : e_.steps_[k].in)
      if (auto it = writer.find(x.value); it != writer.end() && it->second != k)
        e_.steps_[k].commit = false;
  std::vector<Step> first, last;
  for (Step& s : e_.steps_) (s.commit ? last : first).push_back(std::move(s));
  e_.first_commit_ = first.size();
  for (Step& s : last) first.push_back(std::move(s));
  e_.steps_ = std::move(first);
}

void Planner::place_values() {
  const size_t count = specs_.size();
  auto& places = e_.places_;
  using Place = Executable::Place;
  places.resize(count);
  auto bytes = [&](int32_t v) { return bytes_of(specs_[size_t(v)]); };

  // Sources.
  for (size_t i = 0; i < e_.lowered_.feeds.size(); ++i)
    places[size_t(e_.lowered_.feeds[i])] = {Place::kFeed, int64_t(i), 0};
  for (int32_t v : g_.captures) {
    places[size_t(v)] = {Place::kConstant, int64_t(e_.constants_.size()), 0};
    e_.constants_.push_back(dense(g_.values[size_t(v)].concrete));
  }
  std::unordered_map<const Variable*, int> place_of_variable;
  for (int32_t v : g_.variable_reads) {
    places[size_t(v)] = {Place::kVariable, int64_t(e_.variables_.size()), 0};
    e_.variables_.push_back(g_.nodes[size_t(g_.values[size_t(v)].node)].variable);
    place_of_variable[e_.variables_.back().get()] = int(e_.variables_.size()) - 1;
    e_.variable_values_.push_back(v);
  }
  if (g_.key_value >= 0) {
    places[size_t(g_.key_value)] = {Place::kKey, 0, 0};
    e_.key_.push_back(g_.key_value);
  }

  // Results, and variables' new values: buffers of their own, made anew for each run.
  auto fresh = [&](int32_t root) {
    if (places[size_t(root)].kind != Place::kNone) return;
    places[size_t(root)] = {Place::kFresh, int64_t(e_.fresh_.size()), bytes(root)};
    e_.fresh_.push_back(specs_[size_t(root)]);
    e_.fresh_.back().weak = false;
    e_.fresh_values_.push_back(root);
  };
  for (int32_t v : e_.lowered_.fetches) fresh(e_.views_[size_t(v)].root);
  std::unordered_map<int32_t, std::pair<int, int>> committed;  // root -> step, output
  for (size_t s = e_.first_commit_; s < e_.steps_.size(); ++s)
    for (size_t o = 0; o < e_.steps_[s].out.size(); ++o)
      committed[e_.steps_[s].out[o]] = {int(s), int(o)};
  for (const Assignment& a : g_.assignments) {
    Executable::Update u;
    u.variable = a.variable;
    u.value = a.value;
    if (auto it = committed.find(a.value); it != committed.end()) {
      u.step = it->second.first, u.output = it->second.second;
      u.source = place_of_variable.at(a.variable.get());
      fresh(a.value);  // used only where the old value is held by someone else
    } else {
      fresh(e_.views_[size_t(a.value)].root);
    }
    e_.updated_.push_back(u.variable.get());
    e_.updates_.push_back(std::move(u));
  }
  std::sort(e_.updated_.begin(), e_.updated_.end());
  e_.updated_.erase(std::unique(e_.updated_.begin(), e_.updated_.end()), e_.updated_.end());
  e_.committed_.assign(e_.fresh_.size(), 0);
  for (const Executable::Update& u : e_.updates_)
    if (u.step >= 0) e_.committed_[size_t(places[size_t(u.value)].at)] = 1;

  // Everything else: the arena. Time is counted in waves; a commit step is one of its own.
  const int steps = int(e_.steps_.size());
  std::vector<int> wave_of(size_t(steps), 0);
  int waves = int(e_.waves_.size());
  for (int w = 0; w < waves; ++w)
    for (int32_t s = e_.waves_[size_t(w)].first; s < e_.waves_[size_t(w)].last; ++s)
      wave_of[size_t(s)] = w;
  for (size_t s = e_.first_commit_; s < size_t(steps); ++s) wave_of[s] = waves++;
  std::vector<int> last(count, -1);  // the wave after which nobody reads it
  for (int s = 0; s < steps; ++s)
    for (const Step::Operand& o : e_.steps_[size_t(s)].in)
      last[size_t(o.value)] = wave_of[size_t(s)];
  Intervals arena;
  std::vector<std::vector<int32_t>> ending(size_t(waves) +
                                           1);  // roots whose memory is free after wave w
  std::vector<int32_t> taken;  // inputs whose memory an output of this wave took over
  int64_t workspace = 0;       // of this wave
  for (int s = 0; s < steps; ++s) {
    Step& step = e_.steps_[size_t(s)];
    const int wave = wave_of[size_t(s)];
    const bool begins = s == 0 || wave_of[size_t(s) - 1] != wave,
               ends = s + 1 == steps || wave_of[size_t(s) + 1] != wave;
    if (begins) taken.clear(), workspace = 0;
    step.workspace_at = workspace;
    if (step.workspace) workspace += aligned(step.workspace);
    e_.workspace_bytes_ = std::max(e_.workspace_bytes_, workspace);
    for (size_t o = 0; o < step.out.size(); ++o) {
      const int32_t v = step.out[o];
      if (places[size_t(v)].kind != Place::kNone) continue;
      const int64_t n = aligned(bytes(v));
      Place place{Place::kArena, -1, n};
      if (options_.reuse && begins && ends) {
        // Over an input that ends here: a fused group any dense one of the same width, a kernel the
        // one it names.
        for (size_t i = 0; i < step.in.size() && place.at < 0; ++i) {
          count_work(int64_t(step.in.size()));
          const Step::Operand& x = step.in[i];
          const Place& p = places[size_t(x.value)];
          if (p.kind != Place::kArena || p.bytes != n || last[size_t(x.value)] != wave ||
              !x.dense || x.offset)
            continue;
          if (std::find(taken.begin(), taken.end(), x.value) != taken.end()) continue;
          if (x.spec.shape.size() != specs_[size_t(v)].shape.size() ||
              size_of(x.spec.dtype) != size_of(specs_[size_t(v)].dtype))
            continue;
          // Read once by this step, or a later read in it would see the new value.
          int reads = 0;
          for (const Step::Operand& other : step.in) reads += other.value == x.value;
          if (reads != 1) continue;
          if (!may_overwrite(step, int(i), int(o))) continue;
          place.at = p.at;
          taken.push_back(x.value);
        }
      }
      if (place.at < 0) place.at = arena.take(n);
      places[size_t(v)] = place;
      ending[size_t(std::max(last[size_t(v)], wave))].push_back(v);
    }
    if (options_.reuse && ends)
      for (int32_t v : ending[size_t(wave)])
        if (std::find(taken.begin(), taken.end(), v) == taken.end())
          arena.give(places[size_t(v)].at, places[size_t(v)].bytes);
  }
  e_.arena_bytes_ = arena.end();
}

}  // namespace flowbook
