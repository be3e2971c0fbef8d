// The four steps of a layered drawing (Sugiyama, Tagawa, Toda 1981): layers, order, positions,
// lines. Positions are isotonic regressions of one layer at a time: the closest places to where the
// neighbours pull that keep the order and the gaps. All loops are linear in items + links + passing
// points, but for the sorts.
#include "core/layered.h"

#include <algorithm>
#include <limits>

namespace flowbook::layout {
namespace {

// A place in a layer: an item, or the point where a long link passes.
struct Place {
  int32_t layer = 0;
  double left = 0, right = 0;
  double x = 0;
  int32_t rank = 0;  // position in the layer
};

struct Step {  // a link's way from one layer to the next
  int32_t from, to;
  double from_at, to_at;
  double pull;  // how much it wants to be straight
};

// Neighbour lists in one allocation: entries of `place` are [begin[place], begin[place + 1]).
struct Neighbours {
  std::vector<int32_t> begin, step;

  template <class Key>
  void build(size_t places, const std::vector<Step>& steps, Key key) {
    begin.assign(places + 1, 0);
    step.resize(steps.size());
    for (const Step& s : steps) ++begin[key(s) + 1];
    for (size_t i = 0; i < places; ++i) begin[i + 1] += begin[i];
    std::vector<int32_t> next(begin.begin(), begin.end() - 1);
    for (size_t i = 0; i < steps.size(); ++i) step[next[key(steps[i])]++] = static_cast<int32_t>(i);
  }
};

class Arranger {
 public:
  Arranger(Level& level, const Spacing& spacing) : level_(level), spacing_(spacing) {}

  void run() {
    if (level_.items.empty()) return;
    orient();
    assign_layers();
    insert_places();
    order();
    position();
    finish();
  }

 private:
  int32_t head(const Link& link) const { return link.upwards ? link.to : link.from; }
  int32_t tail(const Link& link) const { return link.upwards ? link.from : link.to; }

  // Turns round the links that close a cycle (scopes that feed each other).
  void orient() {
    size_t n = level_.items.size();
    std::vector<int32_t> begin(n + 1, 0), out(level_.links.size());
    for (const Link& l : level_.links) ++begin[l.from + 1];
    for (size_t i = 0; i < n; ++i) begin[i + 1] += begin[i];
    std::vector<int32_t> next(begin.begin(), begin.end() - 1);
    for (size_t i = 0; i < level_.links.size(); ++i)
      out[next[level_.links[i].from]++] = static_cast<int32_t>(i);
    enum : uint8_t { kNew, kOpen, kDone };
    std::vector<uint8_t> state(n, kNew);
    std::vector<int32_t> at(begin.begin(), begin.end() - 1), stack;
    for (size_t root = 0; root < n; ++root) {
      if (state[root] != kNew) continue;
      stack.push_back(static_cast<int32_t>(root));
      state[root] = kOpen;
      while (!stack.empty()) {
        int32_t u = stack.back();
        if (at[u] == begin[u + 1]) {
          state[u] = kDone;
          stack.pop_back();
          continue;
        }
        Link& link = level_.links[out[at[u]++]];
        link.upwards = state[link.to] == kOpen;
        if (state[link.to] == kNew) {
          state[link.to] = kOpen;
          stack.push_back(link.to);
        }
      }
    }
  }

  void assign_layers() {
    size_t n = level_.items.size();
    std::vector<int32_t> waiting(n, 0), begin(n + 1, 0), out(level_.links.size());
    for (const Link& l : level_.links) {
      if (l.from == l.to) continue;
      ++waiting[tail(l)];
      ++begin[head(l) + 1];
    }
    for (size_t i = 0; i < n; ++i) begin[i + 1] += begin[i];
    std::vector<int32_t> next(begin.begin(), begin.end() - 1);
    for (size_t i = 0; i < level_.links.size(); ++i) {
      const Link& l = level_.links[i];
      if (l.from != l.to) out[next[head(l)]++] = tail(l);
    }
    std::vector<int32_t> queue;
    std::vector<uint8_t> source(n, 0);
    for (size_t i = 0; i < n; ++i) {
      level_.items[i].layer = 0;
      if (waiting[i] == 0) {
        source[i] = 1;
        queue.push_back(static_cast<int32_t>(i));
      }
    }
    for (size_t i = 0; i < queue.size(); ++i) {
      int32_t u = queue[i];
      for (int32_t k = begin[u]; k < begin[u + 1]; ++k) {
        Item& to = level_.items[out[k]];
        to.layer = std::max(to.layer, level_.items[u].layer + 1);
        if (--waiting[out[k]] == 0) queue.push_back(out[k]);
      }
    }
    int32_t last = 0;
    for (const Item& item : level_.items) last = std::max(last, item.layer);
    // What has no inputs stands right above its first use, not at the top of the picture.
    for (size_t i = 0; i < n; ++i) {
      Item& item = level_.items[i];
      if (!source[i] || item.pin != 0 || begin[i] == begin[i + 1]) continue;
      int32_t use = std::numeric_limits<int32_t>::max();
      for (int32_t k = begin[i]; k < begin[i + 1]; ++k)
        use = std::min(use, level_.items[out[k]].layer);
      item.layer = use - 1;
    }
    for (Item& item : level_.items) {
      if (item.pin > 0) item.layer = last;
    }
    level_.layers = last + 1;
    source_ = std::move(source);
  }

  void insert_places() {
    for (const Item& item : level_.items)
      places_.push_back({item.layer, item.left, item.right, 0, 0});
    int32_t items = static_cast<int32_t>(places_.size());
    passing_.assign(level_.links.size() + 1, items);
    for (size_t i = 0; i < level_.links.size(); ++i) {
      Link& l = level_.links[i];
      passing_[i] = static_cast<int32_t>(places_.size());
      int32_t a = head(l), b = tail(l);
      int32_t span = level_.items[b].layer - level_.items[a].layer;
      l.stub = l.stub || span > spacing_.long_link || span <= 0;
      if (l.stub) continue;
      double a_at = l.upwards ? l.to_at : l.from_at, b_at = l.upwards ? l.from_at : l.to_at;
      int32_t from = a;
      for (int32_t k = 1; k < span; ++k) {
        int32_t place = static_cast<int32_t>(places_.size());
        places_.push_back({level_.items[a].layer + k, 0, 0, 0, 0});
        steps_.push_back({from, place, from == a ? a_at : 0, 0, from == a ? 2.0 : 8.0});
        from = place;
      }
      // Boxes without inputs give way, so that the chain which they feed stays straight.
      double pull = from != a ? 2.0 : source_[a] && level_.items[a].pin == 0 ? 0.002 : 1.0;
      steps_.push_back({from, b, from == a ? a_at : 0, b_at, pull});
    }
    passing_.back() = static_cast<int32_t>(places_.size());
    above_.build(places_.size(), steps_, [](const Step& s) { return s.to; });
    below_.build(places_.size(), steps_, [](const Step& s) { return s.from; });
    layers_.resize(level_.layers);
  }

  // Starts from a walk up the inputs in their order (x left of w in x @ w), then sweeps by
  // barycentres.
  void order() {
    size_t n = places_.size();
    std::vector<uint8_t> seen(n, 0);
    std::vector<std::pair<int32_t, int32_t>> stack;
    auto visit = [&](int32_t root) {
      if (seen[root]) return;
      seen[root] = 1;
      stack.emplace_back(root, above_.begin[root]);
      while (!stack.empty()) {
        auto [u, k] = stack.back();
        if (k == above_.begin[u + 1]) {
          layers_[places_[u].layer].push_back(u);
          stack.pop_back();
          continue;
        }
        ++stack.back().second;
        int32_t v = steps_[above_.step[k]].from;
        if (!seen[v]) {
          seen[v] = 1;
          stack.emplace_back(v, above_.begin[v]);
        }
      }
    };
    for (size_t i = 0; i < n; ++i) {
      if (below_.begin[i] == below_.begin[i + 1]) visit(static_cast<int32_t>(i));
    }
    for (size_t i = 0; i < n; ++i) visit(static_cast<int32_t>(i));
    for (auto& layer : layers_) rank(layer);

    bool careful =
        n <= 2000;  // counting crossings pays off in pictures that someone looks at as a whole
    int64_t best = careful ? crossings() : 0;
    auto kept = layers_;
    std::vector<double> key(n);
    for (int32_t sweep = 0; sweep < spacing_.sweeps && (!careful || best > 0); ++sweep) {
      bool down = sweep % 2 == 0;
      const Neighbours& near = down ? above_ : below_;
      for (int32_t k = 0; k < level_.layers; ++k) {
        auto& layer = layers_[down ? k : level_.layers - 1 - k];
        for (int32_t u : layer) {
          double sum = 0;
          int32_t count = near.begin[u + 1] - near.begin[u];
          for (int32_t e = near.begin[u]; e < near.begin[u + 1]; ++e) {
            const Step& s = steps_[near.step[e]];
            // Ports of a frame count in their order across it.
            double at = down ? s.from_at : s.to_at;
            const Place& p = places_[down ? s.from : s.to];
            sum += p.rank + at / (p.left + p.right + 1);
          }
          key[u] = count ? sum / count : places_[u].rank;
        }
        std::stable_sort(layer.begin(), layer.end(),
                         [&](int32_t a, int32_t b) { return key[a] < key[b]; });
        rank(layer);
      }
      if (!careful) continue;
      int64_t now = crossings();
      if (now < best) {
        best = now;
        kept = layers_;
      }
    }
    if (!careful) return;
    layers_ = std::move(kept);
    for (auto& layer : layers_) rank(layer);
    for (int32_t round = 0; round < 4 && exchange(); ++round) {
    }
  }

  void rank(const std::vector<int32_t>& layer) {
    for (size_t i = 0; i < layer.size(); ++i) places_[layer[i]].rank = static_cast<int32_t>(i);
  }

  // Crossings of all steps between neighbouring layers, by inversions in a counting tree.
  int64_t crossings() const {
    int64_t total = 0;
    std::vector<int32_t> tree, targets;
    for (int32_t k = 0; k + 1 < level_.layers; ++k) {
      size_t width = layers_[k + 1].size();
      tree.assign(width + 1, 0);
      int64_t seen = 0;
      for (int32_t u : layers_[k]) {
        targets.clear();
        for (int32_t e = below_.begin[u]; e < below_.begin[u + 1]; ++e) {
          targets.push_back(places_[steps_[below_.step[e]].to].rank);
        }
        for (int32_t t : targets) {
          int64_t before = 0;
          for (size_t i = static_cast<size_t>(t) + 1; i > 0; i -= i & (~i + 1)) before += tree[i];
          total += seen - before;
        }
        for (int32_t t : targets) {
          for (size_t i = static_cast<size_t>(t) + 1; i <= width; i += i & (~i + 1)) ++tree[i];
        }
        seen += static_cast<int64_t>(targets.size());
      }
    }
    return total;
  }

  int64_t pair_crossings(const Neighbours& near, bool down, int32_t a, int32_t b) const {
    int64_t total = 0;
    for (int32_t i = near.begin[a]; i < near.begin[a + 1]; ++i) {
      const Step& s = steps_[near.step[i]];
      int32_t x = places_[down ? s.from : s.to].rank;
      for (int32_t j = near.begin[b]; j < near.begin[b + 1]; ++j) {
        const Step& t = steps_[near.step[j]];
        total += x > places_[down ? t.from : t.to].rank;
      }
    }
    return total;
  }

  // Swaps neighbours where that removes crossings; true if any swap did.
  bool exchange() {
    bool changed = false;
    for (auto& layer : layers_) {
      for (size_t i = 0; i + 1 < layer.size(); ++i) {
        int32_t a = layer[i], b = layer[i + 1];
        int64_t now = pair_crossings(above_, true, a, b) + pair_crossings(below_, false, a, b);
        int64_t swapped = pair_crossings(above_, true, b, a) + pair_crossings(below_, false, b, a);
        if (swapped >= now) continue;
        std::swap(layer[i], layer[i + 1]);
        std::swap(places_[a].rank, places_[b].rank);
        changed = true;
      }
    }
    return changed;
  }

  double gap(int32_t a, int32_t b) const {
    int32_t items = static_cast<int32_t>(level_.items.size());
    bool line = a >= items || b >= items;
    return places_[a].right + places_[b].left + (line ? spacing_.line : spacing_.across);
  }

  void position() {
    for (auto& layer : layers_) {
      double x = 0;
      for (size_t i = 0; i < layer.size(); ++i) {
        if (i > 0) x += gap(layer[i - 1], layer[i]);
        places_[layer[i]].x = x;
      }
      for (int32_t u : layer) places_[u].x -= x / 2;
    }
    for (int32_t round = 0; round < spacing_.sweeps; ++round) {
      for (int32_t k = 1; k < level_.layers; ++k) settle(layers_[k], true, false);
      for (int32_t k = level_.layers - 2; k >= 0; --k) settle(layers_[k], false, true);
    }
    for (int32_t round = 0; round < 3; ++round) {
      for (auto& layer : layers_) settle(layer, true, true);
    }
  }

  // Moves one layer to where its neighbours pull it: weighted isotonic regression (pool adjacent
  // violators).
  void settle(const std::vector<int32_t>& layer, bool by_above, bool by_below) {
    blocks_.clear();
    double shift = 0;
    for (size_t i = 0; i < layer.size(); ++i) {
      int32_t u = layer[i];
      if (i > 0) shift += gap(layer[i - 1], u);
      double sum = 0, weight = 0;
      if (by_above) {
        for (int32_t e = above_.begin[u]; e < above_.begin[u + 1]; ++e) {
          const Step& s = steps_[above_.step[e]];
          sum += s.pull * (places_[s.from].x + s.from_at - s.to_at);
          weight += s.pull;
        }
      }
      if (by_below) {
        for (int32_t e = below_.begin[u]; e < below_.begin[u + 1]; ++e) {
          const Step& s = steps_[below_.step[e]];
          sum += s.pull * (places_[s.to].x + s.to_at - s.from_at);
          weight += s.pull;
        }
      }
      if (weight == 0) {
        weight = 0.01;
        sum = weight * places_[u].x;
      }
      blocks_.push_back({sum - weight * shift, weight, 1});
      while (blocks_.size() > 1) {
        Block& a = blocks_[blocks_.size() - 2];
        const Block& b = blocks_.back();
        if (a.sum * b.weight <= b.sum * a.weight) break;
        a.sum += b.sum;
        a.weight += b.weight;
        a.count += b.count;
        blocks_.pop_back();
      }
    }
    shift = 0;
    size_t i = 0;
    for (const Block& block : blocks_) {
      double base = block.sum / block.weight;
      for (int32_t k = 0; k < block.count; ++k, ++i) {
        if (i > 0) shift += gap(layer[i - 1], layer[i]);
        places_[layer[i]].x = base + shift;
      }
    }
  }

  void finish() {
    double low = std::numeric_limits<double>::max(), high = -low;
    for (const Place& p : places_) {
      low = std::min(low, p.x - p.left);
      high = std::max(high, p.x + p.right);
    }
    for (Place& p : places_) p.x -= low;
    level_.width = high - low;

    std::vector<double> top(level_.layers, 0), tall(level_.layers, 0);
    for (const Item& item : level_.items)
      tall[item.layer] = std::max(tall[item.layer], item.height);
    for (int32_t k = 0; k < level_.layers; ++k) {
      top[k] = level_.height;
      level_.height += tall[k];
      if (k + 1 == level_.layers) break;
      bool ports = tall[k] == 0 || tall[k + 1] == 0;  // the border of a frame needs no full gap
      level_.height += ports ? spacing_.along / 2 : spacing_.along;
    }
    for (size_t i = 0; i < level_.items.size(); ++i) {
      Item& item = level_.items[i];
      item.x = places_[i].x;
      // In a layer made tall by a frame, sources stand close to what reads them.
      double slack = tall[item.layer] - item.height;
      bool low = item.pin > 0 || (item.pin == 0 && source_[i]);
      item.y = top[item.layer] + (item.pin < 0 ? 0 : low ? slack : slack / 2);
    }
    spread();
    for (size_t i = 0; i < level_.links.size(); ++i) {
      Link& l = level_.links[i];
      const Item &a = level_.items[head(l)], &b = level_.items[tail(l)];
      l.first = static_cast<int32_t>(level_.points.size());
      double a_at = l.upwards ? l.to_at : l.from_at, b_at = l.upwards ? l.from_at : l.to_at;
      level_.points.push_back({a.x + a_at, a.y + a.height});
      for (int32_t p = passing_[i]; p < passing_[i + 1]; ++p) {
        const Place& place = places_[p];
        level_.points.push_back({place.x, top[place.layer]});
        if (tall[place.layer] > 0)
          level_.points.push_back({place.x, top[place.layer] + tall[place.layer]});
      }
      level_.points.push_back({b.x + b_at, b.y});
      l.count = static_cast<int32_t>(level_.points.size()) - l.first;
      if (l.upwards) std::reverse(level_.points.begin() + l.first, level_.points.end());
    }
  }

  // Lets links that meet one box end side by side, in the order in which they come.
  void spread() {
    std::vector<std::vector<int32_t>> links_of(level_.items.size());
    for (size_t i = 0; i < level_.links.size(); ++i) {
      const Link& l = level_.links[i];
      if (!l.stub && level_.items[tail(l)].spread)
        links_of[tail(l)].push_back(static_cast<int32_t>(i));
    }
    auto comes_from = [&](int32_t i) {
      bool direct = passing_[i] == passing_[i + 1];
      return direct ? level_.items[head(level_.links[i])].x : places_[passing_[i + 1] - 1].x;
    };
    for (size_t u = 0; u < level_.items.size(); ++u) {
      auto& list = links_of[u];
      if (list.size() < 2) continue;
      std::stable_sort(list.begin(), list.end(),
                       [&](int32_t a, int32_t b) { return comes_from(a) < comes_from(b); });
      const Item& item = level_.items[u];
      double room = 2 * std::min(item.left, item.right) - 24;
      double each = std::clamp(room / static_cast<double>(list.size() - 1), 0.0, spacing_.spread);
      double at = -each * static_cast<double>(list.size() - 1) / 2;
      for (int32_t i : list) {
        Link& l = level_.links[i];
        (l.upwards ? l.from_at : l.to_at) = at;
        at += each;
      }
    }
  }

  struct Block {
    double sum, weight;
    int32_t count;
  };

  Level& level_;
  const Spacing& spacing_;
  std::vector<Place> places_;     // items, then passing points
  std::vector<int32_t> passing_;  // per link: its first passing point
  std::vector<Step> steps_;
  Neighbours above_, below_;
  std::vector<std::vector<int32_t>> layers_;
  std::vector<uint8_t> source_;
  std::vector<Block> blocks_;
};

}  // namespace

void arrange(Level& level, const Spacing& spacing) { Arranger(level, spacing).run(); }

}  // namespace flowbook::layout
