// Graph: nodes and values in the order in which they were recorded. A symbolic graph is a program;
// a concrete graph is a gradient tape. One gradient walk (gradient.h) serves both.
#pragma once
#include <deque>
#include <functional>
#include <unordered_map>

#include "core/schema.h"
#include "core/variable.h"

namespace flowbook {

// Where a node comes from. Strings are interned per graph (Graph::strings); 0 is the empty string.
struct Location {
  uint32_t cell = 0;      // cell id or file name
  int32_t execution = 0;  // In [n]; 0 outside notebooks
  int32_t line = 0;       // 1-based; 0: unknown
  uint32_t scope = 0;     // "model/layers[0]"
};

struct Value {
  Spec spec;
  int32_t node = -1;
  Tensor concrete;    // capture (program), or value kept for the gradient (tape)
  uint32_t name = 0;  // interned variable name, set when a cell or function ends
};

// What a node without an op stands for.
enum class SourceKind : uint8_t { kInput, kCapture, kVariable, kKey };

struct Node {
  const OpDef* op = nullptr;  // null: a source
  AttrBox attrs;
  std::vector<int32_t> inputs;
  int32_t output = 0;  // first value; the others follow
  int32_t outputs = 1;
  SourceKind source = SourceKind::kInput;
  Ref<Variable> variable;  // of a kVariable source
  Location location;
  int32_t forward = -1;  // of a gradient node: the node whose rule made it
};

struct Assignment {
  Ref<Variable> variable;
  int32_t value;
};

// A user's gradient rule: from the gradients of the results to those of the arguments.
using GradientRule = std::function<std::vector<Tensor>(std::span<const Tensor> dy)>;

class FB_API Graph : public std::enable_shared_from_this<Graph> {
 public:
  explicit Graph(bool symbolic, std::string name = {});
  ~Graph();

  Tensor input(const Spec& spec, std::string_view name = {});
  // Id of a value of this graph. A concrete stranger becomes a capture (program) or leaf (tape); a
  // symbol of another graph is a GraphError that says where it was made.
  int32_t value_of(TensorImpl* t);
  // The same without adding: -1 for a stranger.
  int32_t find(const TensorImpl* t) const;
  Tensor tensor(int32_t value);  // the concrete tensor, or a new symbol
  int32_t add(const OpDef& op, const void* attrs, Inputs in, const Spec* specs, int outputs);
  void bind(int32_t value, const Tensor& t,
            bool keep);  // tape: `t` is this value; keep it for the gradient
  void note_read(const Variable* v, const Tensor& value);  // tape: `value` was read from `v`

  Tensor read(Variable* v);  // current value: the source, or what was last assigned
  void assign(Variable* v, const Tensor& value);            // effect: committed after a run
  std::vector<int32_t> values_of(const Variable* v) const;  // every value reads of `v` gave
  std::vector<Ref<Variable>> variables() const;             // all that were read, in order
  Tensor key();  // the run's random key, int64[2]; added at the first call
  int64_t next_stream() { return streams++; }

  uint32_t intern(std::string_view s);
  const std::string& string(uint32_t i) const { return strings_[i]; }
  std::string describe(int32_t value) const;  // "h (f32[32, 10], In [3], line 4)" for messages
  std::string text() const;                   // one line per node; golden tests
  // Drops all nodes but those marked in `live`, and numbers the rest anew; returns the new number
  // of each value (-1: gone). For finished graphs: tensors and symbols of the old numbers are not
  // found any more.
  std::vector<int32_t> keep(const std::vector<char>& live);
  // Types and arity re-checked node by node; InternalError on the first that does not hold.
  void verify() const;

  const bool symbolic;
  std::string name;
  bool merge_equal = false;  // add() returns an equal earlier node: common subexpressions vanish
  bool sealed = false;       // finished: recording more is a GraphError
  std::deque<Node> nodes;    // deques: a walk holds references while its own ops append
  std::deque<Value> values;
  std::vector<int32_t> inputs;  // kInput values, in order
  std::vector<int32_t> captures;
  std::vector<int32_t> variable_reads;  // kVariable source values
  std::vector<Assignment> assignments;  // at most one a variable: the last
  int32_t key_value = -1;
  int64_t streams = 0;  // random ops recorded so far; checkpoint() sets it back to replay them
  std::unordered_map<int32_t, GradientRule> rules;  // of `custom` nodes

  // Called for each new node: where are we? Set by the tracer; null outside notebooks and
  // functions.
  std::function<Location()> locate;
  // Called for each op before it is recorded: true if it has given the results by other means.
  // Lowering sets it, so that the parts of composites are lowered, too.
  std::function<bool(const OpDef&, const void* attrs, Inputs, Tensor* out)> replace;
  std::vector<std::string> scopes;  // stack of the current scope names
  int32_t forward_node = -1;        // while a gradient rule runs: its node

 private:
  struct Identity {  // of a tensor: its id, or for symbols graph and value
    const Graph* graph;
    uint64_t id;
    friend bool operator==(const Identity&, const Identity&) = default;
  };
  struct IdentityHash {
    size_t operator()(const Identity& i) const {
      return mix(i.id, reinterpret_cast<uintptr_t>(i.graph));
    }
  };
  static Identity identity(TensorImpl* t);
  int32_t add_source(SourceKind kind, const Spec& spec);
  Location here();
  std::unordered_map<Identity, int32_t, IdentityHash> known_;
  std::unordered_multimap<size_t, int32_t> seen_;  // hash -> node, for merge_equal
  std::unordered_map<const Variable*, int32_t> current_;
  std::unordered_map<const Variable*, size_t> assigned_;  // index into `assignments`
  std::unordered_map<const Variable*, std::vector<int32_t>> reads_;
  std::vector<Ref<Variable>> read_order_;
  std::vector<std::string> strings_;
  std::unordered_map<std::string, uint32_t> string_index_;
};

// While alive, ops of this thread are recorded on `graph`; with null, recording is suspended
// (outside_graph).
class FB_API Recorder {
 public:
  explicit Recorder(std::shared_ptr<Graph> graph);
  ~Recorder();
  Recorder(const Recorder&) = delete;

  static Recorder* top();
  static Graph* program();  // innermost symbolic graph that records here, or null
  static Graph* current();  // innermost graph or tape, or null

  // Ends this recording. GraphError unless it is the innermost one (generators can end out of
  // order).
  void end();

  std::shared_ptr<Graph> graph;
  Recorder* outer = nullptr;

 private:
  bool ended_ = false;
};

}  // namespace flowbook
