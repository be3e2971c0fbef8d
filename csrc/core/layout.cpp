// Folding and frames; the geometry of one level is in layered.cpp. Frames are arranged from the
// inside out, and a line that crosses the border of a frame does so in a port, so that each level
// is an ordinary layered drawing.
#include "core/layout.h"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <utility>

#include "core/error.h"

namespace flowbook::layout {
namespace {

uint64_t mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
  return hash * 0xff51afd7ed558ccdu;
}

// A scope with what it holds: child scopes and nodes in the order of their first node.
struct Scope {
  std::vector<int32_t> children;  // scopes; nodes are ~node
  std::vector<int32_t> inside;    // all forward nodes below, ascending
  uint64_t signature = 0;
  int32_t repeat = 1;  // of the run that this scope stands for
  int32_t run = -1;    // the scope that stands for this one's run, or -1
  int32_t member = 0;  // its place in the run
  bool open = false;
};

void require(bool holds, const char* what) {
  if (!holds) argument_error("layout: ", what, ".");
}

// Every index is checked once, so that nothing that Python passes can reach outside the arrays.
void check(const Description& g) {
  size_t nodes = g.width.size(), scopes = g.parent.size();
  require(nodes < (1u << 30) && scopes < (1u << 30) && g.from.size() < (1u << 30),
          "the graph is too large");
  require(g.height.size() == nodes && g.scope.size() == nodes && g.beside.size() == nodes &&
              g.signature.size() == nodes,
          "width, height, scope, beside and signature need one entry per node");
  require(
      g.state.size() == scopes && g.scope_width.size() == scopes && g.scope_height.size() == scopes,
      "parent, state, scope_width and scope_height need one entry per scope");
  require(g.from.size() == g.to.size(), "every edge needs two ends");
  auto sized = [](double v) { return v >= 0 && v <= 1e6; };
  for (size_t i = 0; i < nodes; ++i) {
    require(sized(g.width[i]) && sized(g.height[i]), "box sizes must lie between 0 and a million");
    require(g.scope[i] >= -1 && g.scope[i] < static_cast<int64_t>(scopes),
            "a node names a scope that does not exist");
    require(g.beside[i] >= -1 && g.beside[i] < static_cast<int64_t>(i),
            "a gradient node must follow its forward node");
  }
  for (size_t i = 0; i < scopes; ++i) {
    require(sized(g.scope_width[i]) && sized(g.scope_height[i]),
            "box sizes must lie between 0 and a million");
    require(g.parent[i] >= -1 && g.parent[i] < static_cast<int64_t>(i),
            "a scope must follow its parent");
  }
  for (size_t i = 0; i < g.from.size(); ++i) {
    auto node = [&](int32_t v) { return v >= 0 && v < static_cast<int64_t>(nodes); };
    require(node(g.from[i]) && node(g.to[i]), "an edge names a node that does not exist");
  }
}

class Folder {
 public:
  Folder(const Description& graph, const Options& options) : graph_(graph), options_(options) {}

  Picture run() {
    collect();
    if (options_.fold_repeats) fold_repeats();
    decide();
    make_boxes();
    make_levels();
    place();
    return std::move(picture_);
  }

 private:
  bool folded(int32_t node) const { return graph_.beside[node] >= 0; }
  size_t nodes() const { return graph_.width.size(); }
  size_t scopes() const { return graph_.parent.size(); }
  Scope& root() { return scopes_.back(); }

  void collect() {
    scopes_.resize(scopes() + 1);
    std::vector<uint8_t> listed(scopes() + 1, 0);
    listed[scopes()] = 1;
    alias_.resize(nodes());
    for (size_t i = 0; i < nodes(); ++i) {
      int32_t node = static_cast<int32_t>(i);
      alias_[i] = node;
      if (folded(node)) continue;
      int32_t entry = ~node;
      for (int32_t s = graph_.scope[i];; s = graph_.parent[s]) {
        Scope& scope = s < 0 ? root() : scopes_[s];
        if (entry < 0 || !listed[entry]) {
          if (entry >= 0) listed[entry] = 1;
          scope.children.push_back(entry);
        }
        scope.inside.push_back(node);
        scope.signature = mix(scope.signature, static_cast<uint64_t>(graph_.signature[i]));
        if (s < 0) break;
        entry = s;
      }
    }
  }

  // Finds runs of three or more equal scopes that follow each other; the first stands for all.
  void fold_repeats() {
    for (Scope& scope : scopes_) fold_children(scope);
  }

  void fold_children(Scope& scope) {
    std::vector<int32_t> kept;
    auto& list = scope.children;
    for (size_t i = 0; i < list.size();) {
      size_t j = i + 1;
      if (list[i] >= 0) {
        const Scope& first = scopes_[list[i]];
        while (j < list.size() && list[j] >= 0 && scopes_[list[j]].signature == first.signature &&
               scopes_[list[j]].inside.size() == first.inside.size()) {
          ++j;
        }
      }
      if (j - i >= 3) {
        Scope& first = scopes_[list[i]];
        first.repeat = static_cast<int32_t>(j - i);
        has_runs_ = true;
        for (size_t m = i; m < j; ++m) {
          Scope& other = scopes_[list[m]];
          other.run = list[i];
          other.member = static_cast<int32_t>(m - i);
        }
        kept.push_back(list[i]);
      } else {
        kept.insert(kept.end(), list.begin() + static_cast<std::ptrdiff_t>(i),
                    list.begin() + static_cast<std::ptrdiff_t>(j));
      }
      i = j;
    }
    list = std::move(kept);
  }

  // Opens scopes, outer and small ones first, while the picture stays readable.
  void decide() {
    for (size_t s = 0; s < scopes(); ++s) scopes_[s].open = graph_.state[s] == kOpen;
    root().open = true;
    using Entry = std::pair<std::pair<int32_t, int32_t>, int32_t>;  // (depth, growth), scope
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> waiting;
    int64_t boxes = 0;
    auto show = [&](auto&& self, const Scope& scope, int32_t depth) -> void {
      for (int32_t child : scope.children) {
        ++boxes;
        if (child < 0) continue;
        Scope& inner = scopes_[child];
        if (inner.open) {
          self(self, inner, depth + 1);
        } else if (graph_.state[child] == kDecide) {
          waiting.push({{depth, static_cast<int32_t>(inner.children.size())}, child});
        }
      }
    };
    show(show, root(), 0);
    while (!waiting.empty()) {
      auto [key, s] = waiting.top();
      waiting.pop();
      if (boxes + key.second > options_.max_boxes) continue;
      scopes_[s].open = true;
      show(show, scopes_[s], key.first + 1);
    }
    // Nodes of a repeated block stand for those of its first member.
    for (size_t s = 0; s < scopes(); ++s) {
      const Scope& scope = scopes_[s];
      if (scope.run < 0 || scope.run == static_cast<int32_t>(s)) continue;
      const auto& first = scopes_[scope.run].inside;
      for (size_t i = 0; i < first.size(); ++i) alias_[scope.inside[i]] = first[i];
    }
  }

  int32_t seen_as(int32_t node) const {
    while (folded(node)) node = graph_.beside[node];
    while (alias_[node] != node) node = alias_[node];
    return node;
  }

  void make_boxes() {
    box_of_.assign(nodes(), -1);
    levels_.emplace_back();  // of the root
    boxes_below(root(), -1, 1);
    picture_.box_of_node.resize(nodes());
    for (size_t i = 0; i < nodes(); ++i) {
      int32_t box = box_of_[seen_as(static_cast<int32_t>(i))];
      picture_.box_of_node[i] = box;
      if (folded(static_cast<int32_t>(i)) && box >= 0) ++picture_.boxes[box].gradients;
    }
  }

  void boxes_below(const Scope& scope, int32_t frame, int32_t times) {
    for (int32_t child : scope.children) {
      int32_t id = static_cast<int32_t>(picture_.boxes.size());
      Box box;
      box.frame = frame;
      if (child < 0) {
        int32_t node = ~child;
        box.index = node;
        box.nodes = 1;
        box.width = graph_.width[node];
        box.height = graph_.height[node];
        box_of_[node] = id;
        picture_.boxes.push_back(box);
        continue;
      }
      const Scope& inner = scopes_[child];
      box.index = child;
      box.repeat = inner.repeat;
      box.nodes = static_cast<int32_t>(inner.inside.size()) * inner.repeat * times;
      box.kind = inner.open ? Box::kFrame : Box::kScope;
      box.width = graph_.scope_width[child];
      box.height = graph_.scope_height[child];
      picture_.boxes.push_back(box);
      if (inner.open) {
        boxes_below(inner, id, times * inner.repeat);
      } else {
        for (int32_t node : inner.inside) box_of_[node] = id;
      }
    }
  }

  struct Shared {  // one line of a level; several edges may use it
    int32_t level, link, from, to, edge;
    bool start, arrow;
  };

  // True where the edge joins different members of one repeated block: "xN" says that already.
  bool within_run(int32_t u, int32_t v) const {
    for (int32_t a = graph_.scope[u]; a >= 0; a = graph_.parent[a]) {
      if (scopes_[a].run < 0) continue;
      for (int32_t b = graph_.scope[v]; b >= 0; b = graph_.parent[b]) {
        if (scopes_[b].run == scopes_[a].run && scopes_[b].member != scopes_[a].member) return true;
      }
    }
    return false;
  }

  int32_t level_of(int32_t frame) const { return frame < 0 ? 0 : level_of_frame_[frame]; }

  int32_t port(int32_t frame, int32_t source, int8_t pin) {
    uint64_t key =
        (static_cast<uint64_t>(frame) << 33) | (static_cast<uint64_t>(source) << 1) | (pin > 0);
    auto [it, fresh] = ports_.try_emplace(key, 0);
    if (fresh) {
      Level& level = levels_[level_of(frame)];
      it->second = static_cast<int32_t>(level.items.size());
      Item item;
      item.pin = pin;
      level.items.push_back(item);
    }
    return it->second;
  }

  // Adds a line once; `a_port` and `b_port` are the ports of frames at its ends, or -1.
  void link(int32_t frame, int32_t a, int32_t b, int32_t a_port, int32_t b_port, const Shared& use,
            bool hidden) {
    int32_t level = level_of(frame);
    uint64_t key = mix(mix(mix(mix(static_cast<uint64_t>(level), static_cast<uint64_t>(a)),
                               static_cast<uint64_t>(b)),
                           static_cast<uint64_t>(a_port + 1)),
                       static_cast<uint64_t>(b_port + 1) * 2 + hidden);
    if (!links_.insert({key, 0}).second) return;
    Link l;
    l.from = a;
    l.to = b;
    l.stub = hidden;
    Shared shared = use;
    shared.level = level;
    shared.link = static_cast<int32_t>(levels_[level].links.size());
    levels_[level].links.push_back(l);
    ends_.push_back({a_port, b_port});
    shared_.push_back(shared);
    hidden_.push_back(hidden);
  }

  void make_levels() {
    auto& boxes = picture_.boxes;
    level_of_frame_.assign(boxes.size(), 0);
    item_of_.resize(boxes.size());
    depth_.resize(boxes.size());
    for (size_t i = 0; i < boxes.size(); ++i) {
      if (boxes[i].kind == Box::kFrame) {
        level_of_frame_[i] = static_cast<int32_t>(levels_.size());
        levels_.emplace_back();
      }
    }
    for (size_t i = 0; i < boxes.size(); ++i) {
      int32_t k = level_of(boxes[i].frame);
      Level& level = levels_[k];
      depth_[i] = boxes[i].frame < 0 ? 0 : depth_[boxes[i].frame] + 1;
      item_of_[i] = static_cast<int32_t>(level.items.size());
      Item item;
      item.left = item.right = boxes[i].width / 2;
      if (boxes[i].gradients > 0) item.right += options_.mark_gap + options_.mark_width;
      item.height = boxes[i].height;
      item.spread = boxes[i].kind != Box::kFrame;
      level.items.push_back(item);
    }
    for (size_t e = 0; e < graph_.from.size(); ++e) add_edge(static_cast<int32_t>(e));
  }

  void add_edge(int32_t e) {
    const auto& boxes = picture_.boxes;
    int32_t u = graph_.from[e], v = graph_.to[e];
    bool u_folded = folded(u), v_folded = folded(v);
    int32_t source = picture_.box_of_node[u], target = picture_.box_of_node[v];
    if (source < 0 || target < 0 || source == target) return;
    if (v_folded) {  // marks read what their neighbours' marks made
      if (u_folded) marks_.push_back({source, target, e});
      return;
    }
    if (u_folded && boxes[source].frame == boxes[target].frame)
      updates_.push_back({source, target, e});
    if (has_runs_ && within_run(u, v)) return;
    Shared use{0, 0, source, target, e, true, false};
    int32_t a = source, b = target, a_port = -1, b_port = -1;
    int32_t da = depth_[a], db = depth_[b];
    struct Down {
      int32_t frame, box, port;
    };
    std::vector<Down> down;
    // What is made of a gradient leaves frames without ports: it only puts the outer boxes in
    // order.
    while (boxes[a].frame != boxes[b].frame) {
      if (da >= db) {  // leave the frame of a
        int32_t frame = boxes[a].frame;
        if (!u_folded) {
          int32_t out = port(frame, source, 1);
          link(frame, item_of_[a], out, a_port, -1, use, false);
          a_port = out;
        }
        use.start = false;
        a = frame;
        --da;
      } else {  // enter the frame of b, drawn once the outer part is
        if (!u_folded) {
          down.push_back({boxes[b].frame, b, b_port});
          b_port = port(boxes[b].frame, source, -1);
        }
        b = boxes[b].frame;
        --db;
      }
    }
    if (a == b) return;
    use.arrow = down.empty();
    link(boxes[a].frame, item_of_[a], item_of_[b], a_port, b_port, use, u_folded);
    use.start = false;
    for (size_t i = down.size(); i-- > 0;) {
      use.arrow = i == 0;
      int32_t in = port(down[i].frame, source, -1);
      link(down[i].frame, in, item_of_[down[i].box], -1, down[i].port, use, false);
    }
  }

  double frame_sides() const { return options_.frame_left + options_.frame_right; }

  double inside_left(const Box& frame, const Level& inner) const {
    return options_.frame_left + (frame.width - inner.width - frame_sides()) / 2;
  }

  void place() {
    auto& boxes = picture_.boxes;
    std::vector<std::vector<int32_t>> shared_in(levels_.size());
    for (size_t i = 0; i < shared_.size(); ++i)
      shared_in[shared_[i].level].push_back(static_cast<int32_t>(i));
    std::vector<std::vector<int32_t>> boxes_in(levels_.size());
    for (size_t i = 0; i < boxes.size(); ++i) {
      boxes_in[level_of(boxes[i].frame)].push_back(static_cast<int32_t>(i));
    }
    std::vector<int32_t> box_of_item;
    // Inner levels have higher numbers: their sizes are known when the outer level needs them.
    for (size_t k = levels_.size(); k-- > 0;) {
      Level& level = levels_[k];
      box_of_item.assign(level.items.size(), -1);
      for (int32_t i : boxes_in[k]) {
        box_of_item[item_of_[i]] = i;
        if (boxes[i].kind != Box::kFrame) continue;
        const Level& inner = levels_[level_of_frame_[i]];
        boxes[i].width = std::max(inner.width + frame_sides(), boxes[i].width);
        boxes[i].height = inner.height + options_.frame_before + options_.frame_after;
        Item& item = level.items[item_of_[i]];
        item.left = boxes[i].width / 2;
        item.right = item.left;
        if (boxes[i].gradients > 0) item.right += options_.mark_gap + options_.mark_width;
        item.height = boxes[i].height;
      }
      for (int32_t i : shared_in[k]) {
        Link& l = level.links[shared_[i].link];
        auto port_at = [&](int32_t item, int32_t port_item) {
          int32_t box = box_of_item[item];
          const Level& inner = levels_[level_of_frame_[box]];
          return inside_left(boxes[box], inner) + inner.items[port_item].x - boxes[box].width / 2;
        };
        if (ends_[i].first >= 0) l.from_at = port_at(l.from, ends_[i].first);
        if (ends_[i].second >= 0) l.to_at = port_at(l.to, ends_[i].second);
      }
      arrange(level, options_.spacing);
    }
    // Outer frames come before what is in them: absolute places from the outside in.
    std::vector<Point> origin(levels_.size());
    for (size_t i = 0; i < boxes.size(); ++i) {
      Box& box = boxes[i];
      int32_t k = level_of(box.frame);
      const Item& item = levels_[k].items[item_of_[i]];
      box.x = origin[k].x + item.x - box.width / 2;
      box.y = origin[k].y + item.y;
      if (box.kind != Box::kFrame) continue;
      const Level& inner = levels_[level_of_frame_[i]];
      origin[level_of_frame_[i]] = {box.x + inside_left(box, inner), box.y + options_.frame_before};
    }
    for (size_t i = 0; i < shared_.size(); ++i) {
      const Shared& use = shared_[i];
      const Level& level = levels_[use.level];
      const Link& l = level.links[use.link];
      if (hidden_[i]) continue;
      Segment s;
      s.kind = l.stub ? Segment::kStub : Segment::kLine;
      s.arrow = use.arrow;
      s.start = use.start;
      s.from = use.from;
      s.to = use.to;
      s.edge = use.edge;
      s.first = static_cast<int32_t>(picture_.points.size());
      s.count = l.count;
      for (int32_t p = l.first; p < l.first + l.count; ++p) {
        Point at = level.points[p];
        picture_.points.push_back({at.x + origin[use.level].x, at.y + origin[use.level].y});
      }
      // The border of a frame lies outside its padding.
      if (!s.start && ends_[i].first < 0) picture_.points[s.first].y -= options_.frame_before;
      if (!s.arrow && ends_[i].second < 0) picture_.points.back().y += options_.frame_after;
      picture_.segments.push_back(s);
    }
    place_marks();
    place_updates();
    picture_.width = levels_[0].width;
    picture_.height = levels_[0].height;
    picture_.layers = levels_[0].layers;
  }

  // Gradients run from mark to mark against the lines of the forward nodes; only those beside a
  // short line are drawn.
  void place_marks() {
    auto key = [](int32_t a, int32_t b) {
      return (static_cast<uint64_t>(a) << 32) | static_cast<uint32_t>(b);
    };
    std::unordered_map<uint64_t, bool> lines;
    for (const Segment& s : picture_.segments) {
      if (s.kind == Segment::kLine && s.arrow && s.start && s.count == 2)
        lines[key(s.from, s.to)] = true;
    }
    for (const Mark& m : marks_) {
      auto it = lines.find(key(m.to, m.from));
      if (it == lines.end() || !it->second) continue;
      it->second = false;
      const Box &a = picture_.boxes[m.from], &b = picture_.boxes[m.to];
      double aside = options_.mark_gap + options_.mark_width / 2;
      Segment s;
      s.kind = Segment::kGradient;
      s.arrow = s.start = true;
      s.from = m.from;
      s.to = m.to;
      s.edge = m.edge;
      s.first = static_cast<int32_t>(picture_.points.size());
      s.count = 2;
      picture_.points.push_back(
          {a.x + a.width + aside, a.y + (a.height - options_.mark_height) / 2});
      picture_.points.push_back(
          {b.x + b.width + aside, b.y + (b.height + options_.mark_height) / 2});
      picture_.segments.push_back(s);
    }
  }

  // What is made of a gradient, such as the new value of a variable, hangs on its mark.
  void place_updates() {
    double aside = options_.mark_gap + options_.mark_width / 2;
    for (const Mark& u : updates_) {
      const Box &a = picture_.boxes[u.from], &b = picture_.boxes[u.to];
      Segment s;
      s.kind = Segment::kGradient;
      s.arrow = s.start = true;
      s.from = u.from;
      s.to = u.to;
      s.edge = u.edge;
      s.first = static_cast<int32_t>(picture_.points.size());
      s.count = 2;
      picture_.points.push_back(
          {a.x + a.width + aside, a.y + (a.height + options_.mark_height) / 2});
      picture_.points.push_back({b.x + b.width / 2, b.y});
      picture_.segments.push_back(s);
    }
  }

  struct Mark {
    int32_t from, to, edge;
  };

  const Description& graph_;
  const Options& options_;
  Picture picture_;
  std::vector<Scope> scopes_;  // the last one is the root
  std::vector<int32_t> alias_, box_of_, level_of_frame_, item_of_, depth_;
  std::vector<Level> levels_;  // 0 is the root's
  std::unordered_map<uint64_t, int32_t> ports_, links_;
  std::vector<Shared> shared_;
  std::vector<std::pair<int32_t, int32_t>> ends_;  // per shared line: ports at frames on both sides
  std::vector<uint8_t> hidden_;  // per shared line: orders the levels but is not drawn
  bool has_runs_ = false;
  std::vector<Mark> marks_, updates_;
};

}  // namespace

Picture layout(const Description& graph, const Options& options) {
  check(graph);
  return Folder(graph, options).run();
}

}  // namespace flowbook::layout
