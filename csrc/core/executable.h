// Executable: a graph planned for concrete specs on one device. Steps in order, every value at a
// known place of one arena, the peak known before the run. Running it makes no decisions and, but
// for the results, allocates nothing.
#pragma once
#include <mutex>

#include "core/backend.h"
#include "core/cancel.h"
#include "core/lower.h"

namespace flowbook {

struct CompileOptions {
  bool optimize = true;   // fold, simplify, merge
  bool fuse = true;       // groups of maps and reductions, shared jobs
  bool epilogues = true;  // groups on the blocks of the product that they read
  bool reuse = true;      // arena memory by liveness; off keeps every intermediate (inspection)
  Resize resize = {};     // to see what another batch would need
};

// Is shown each value of the lowered graph as soon as the run has it; the memory is lent for the
// call.
using ValueObserver = std::function<void(int32_t value, const Array& array)>;

// Whether a run may take effect, by its results. If not it returns them all the same, and no
// variable and no random state has changed.
using Admission = std::function<bool(std::span<const Tensor> results)>;

struct RunOptions {
  CancelToken* cancel = nullptr;
  std::vector<double>* step_seconds = nullptr;  // filled with the time of each step
  const ValueObserver* observe = nullptr;
  const Admission* admit = nullptr;
};

// One kernel call, one fused group, or both: a product with a program as its epilogue.
struct Step {
  const OpDef* op = nullptr;  // null: a fused group alone
  AttrBox attrs;
  const KernelEntry* entry = nullptr;
  std::unique_ptr<FusedKernel> fused;
  std::vector<int32_t> nodes;  // of the lowered graph
  struct Operand {
    int32_t value;  // whose memory: a root, never a view
    Spec spec;
    int64_t offset = 0;  // bytes
    bool dense = true;
    int64_t strides[kMaxRank];
  };
  std::vector<Operand> in;
  std::vector<int32_t> out;      // roots
  std::vector<Operand> windows;  // where the outputs lie, if some of them are only parts of `out`
  // Of a product with an epilogue. The program's input 0 are the product's blocks. `in` holds the
  // kernel's inputs, then the program's others; `out` the program's results, then the product
  // itself if somebody else reads it.
  struct Product {
    int32_t value = -1;     // what the kernel computes; -1: there is no epilogue
    int inputs = 0;         // of the kernel
    int target = 0;         // the entry of `out` whose memory the kernel writes
    int64_t workspace = 0;  // where the program's part of the workspace begins
  } product;
  int64_t workspace = 0;     // bytes
  int64_t workspace_at = 0;  // where in the workspace: steps of one wave have room of their own
  Parts parts;               // what it can give to a job that it shares
  int64_t packed = 0;        // bytes of the packed form of an input that is kept between runs
  bool commit = false;       // writes variables in place: part of the last, uncancellable segment
};

// Steps [first, last) that do not depend on each other and share one parallel job, or a single
// step.
struct Wave {
  int32_t first, last;
  int device;
};

class FB_API Executable : public std::enable_shared_from_this<Executable> {
 public:
  // See lower() for the arguments.
  static std::shared_ptr<Executable> compile(const Graph& graph, std::span<const int32_t> feeds,
                                             std::span<const Spec> specs,
                                             std::span<const int32_t> fetches, bool effects,
                                             const CompileOptions& options = {});
  ~Executable();

  // Results in the order of the fetches. Strong guarantee: if it throws, no variable and no random
  // state has changed.
  // While a profile is taken (profile_log.h) the times of its steps are logged.
  std::vector<Tensor> run(std::span<const Tensor> feeds, const RunOptions& options = {});

  int64_t peak_bytes() const;  // of one run: arena, workspace and results
  int64_t free_idle();         // gives the arenas of finished runs back; how many bytes
  int64_t arena_bytes() const { return arena_bytes_; }
  const std::vector<Step>& steps() const { return steps_; }
  const Lowered& lowered() const { return lowered_; }
  const std::vector<Wave>& waves() const { return waves_; }
  std::string text() const;  // the steps, one a line; those of a shared job under `together:`
  double compile_seconds = 0;

 private:
  friend class Planner;
  struct State;   // the memory and resolved pointers of one run; kept for the next
  struct Place {  // where a root value lives
    enum Kind : uint8_t { kNone, kArena, kFeed, kConstant, kVariable, kKey, kFresh } kind = kNone;
    int64_t at = 0;  // arena offset, or index into the list of its kind
    int64_t bytes = 0;
  };
  struct View {  // a value as a window on its root
    int32_t root = -1;
    int64_t offset = 0;
    bool dense = true;
    int64_t strides[kMaxRank];
  };
  struct Update {  // a variable that the run assigns
    Ref<Variable> variable;
    int32_t value = -1;  // root of the new value
    int step = -1;       // commit step that writes it in place; -1: a swap of pointers
    int output = -1;     // of that step
    int source = -1;     // index of the variable among those read, if it is written in place
  };
  Executable() = default;
  std::vector<Tensor> run_steps(std::span<const Tensor> feeds, const RunOptions& options);
  std::unique_ptr<State> take_state();
  void resolve(State& s) const;
  template <class Call>
  void call_kernel(State& s, size_t i, Call&& call) const;
  void run_step(State& s, size_t i) const;
  void finish_epilogue(State& s, size_t i) const;
  void pack(State& s) const;
  void run_wave(State& s, const Wave& wave) const;
  [[noreturn]] void rethrow(const Step& step, Error& e) const;
  void commit(State& s, const RunOptions& options);
  void observe_sources(const State& s, const ValueObserver& observe) const;
  void observe_step(const State& s, size_t i, const ValueObserver& observe) const;
  void observe_root(int32_t root, char* data, const ValueObserver& observe) const;
  bool alone(const State& s, const Update& u) const;
  Tensor result(const State& s, int32_t value) const;

  Lowered lowered_;
  std::vector<Step> steps_;
  std::vector<Wave> waves_;    // of the steps before the first commit
  std::vector<Place> places_;  // by value
  std::vector<View> views_;    // by value
  std::vector<Tensor> constants_;
  std::vector<Ref<Variable>> variables_;
  std::vector<int32_t> variable_values_;
  std::vector<Spec> fresh_;  // results, and new values of variables that are swapped in
  std::vector<int32_t> fresh_values_;
  std::vector<char> committed_;     // by fresh value: written by the last segment, mostly in place
  std::vector<Variable*> updated_;  // those of `updates_`, each once, by address
  std::vector<Update> updates_;
  std::vector<int32_t> key_;  // the key's value, if there is one
  int64_t arena_bytes_ = 0, workspace_bytes_ = 0;
  size_t first_commit_ = 0;  // index of the first commit step

  std::mutex mutex_;
  std::vector<std::unique_ptr<State>> idle_;
};

// Whether all floating 0-d results are finite: an admission for steps of training.
FB_API bool numbers_are_finite(std::span<const Tensor> results);

// Gives back the arenas that finished runs of any executable keep for their next one.
FB_API int64_t free_idle_arenas();

// A recorded graph with its plans: finds or makes the executable for what is asked.
class FB_API Program {
 public:
  explicit Program(std::shared_ptr<Graph> graph) : graph_(std::move(graph)) {}
  struct Found {
    std::shared_ptr<Executable> executable;
    std::string why;  // empty: an old plan; else why a new one was made
  };
  Found plan(std::span<const int32_t> feeds, std::span<const Tensor> values,
             std::span<const int32_t> fetches, bool effects, const CompileOptions& options = {});
  const std::shared_ptr<Graph>& graph() const { return graph_; }
  size_t plans() const;
  // What a run with feeds of these specs would need beside them, in bytes. Plans, but keeps
  // nothing.
  int64_t peak_bytes(std::span<const int32_t> feeds, std::span<const Spec> specs,
                     std::span<const int32_t> fetches, bool effects, Resize resize = {}) const;

 private:
  struct Plan {
    std::vector<int32_t> feeds, fetches;
    std::vector<Spec> specs;
    bool effects, optimize, fuse, epilogues, reuse;
    std::shared_ptr<Executable> executable;
  };
  std::shared_ptr<Graph> graph_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Plan>> plans_;  // the last used first
};

}  // namespace flowbook
