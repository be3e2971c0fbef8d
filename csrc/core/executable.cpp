// Running a plan.
#include "core/executable.h"

#include <algorithm>
#include <chrono>
#include <unordered_set>

#include "core/apply.h"
#include "core/fork.h"
#include "core/memory_log.h"
#include "core/owner.h"
#include "core/plan.h"
#include "core/profile_log.h"
#include "core/random.h"
#include "core/resident.h"

namespace flowbook {

namespace {
double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The executables there are, for memory pressure: what their finished runs keep is a cache.
struct Living {
  Living() {
    hold_over_fork(mutex, 3);
    on_memory_pressure(free_idle_arenas);
  }
  std::mutex mutex;
  std::unordered_set<Executable*> all;
};
Living& living() {
  static auto* l = new Living;  // never destroyed: executables may outlive static destruction
  return *l;
}

}  // namespace

int64_t free_idle_arenas() {
  Living& l = living();
  std::lock_guard lock(l.mutex);
  int64_t bytes = 0;
  for (Executable* e : l.all) bytes += e->free_idle();
  return bytes;
}

// What one run needs: memory, and the arguments of every step with their pointers resolved.
// Pointers into the arena and to constants never change; the others are written anew for each run.
struct Executable::State {
  Ref<Buffer> arena, workspace;
  std::vector<char*> address;  // by root
  struct Arguments {
    std::vector<Array> in, out;    // kernels
    std::vector<void*> fin, fout;  // fused groups
    void *workspace = nullptr, *fused_workspace = nullptr;
    const void* packed = nullptr;
  };
  std::vector<Arguments> arguments;  // by step
  // Packed forms of inputs that were the same in earlier runs, too.
  struct Packed {
    size_t step;
    int variable;  // index of the variable it comes from; -1: a constant
    uint64_t version = 0;
    Ref<Buffer> memory;  // empty until it is filled
  };
  std::vector<Packed> packed;
  struct Patch {
    void** where;
    int32_t root;
    int64_t offset;
  };
  std::vector<Patch> patches;  // pointers that change from run to run
  std::vector<Tensor> feeds, variables, fresh, swaps;
  std::vector<uint64_t> versions;  // of the variables, where something packed asks for them
  Tensor key;
  GeneratorState key_state;
};

std::shared_ptr<Executable> Executable::compile(const Graph& graph, std::span<const int32_t> feeds,
                                                std::span<const Spec> specs,
                                                std::span<const int32_t> fetches, bool effects,
                                                const CompileOptions& options) {
  const double start = seconds();
  std::shared_ptr<Executable> e(new Executable);
  Recorder eager(nullptr);  // compiling inside a recording must not add to it
  e->lowered_ = lower(graph, feeds, specs, fetches, effects, {options.optimize, options.resize});
  Planner(*e, options).run();
  e->compile_seconds = seconds() - start;
  std::lock_guard lock(living().mutex);
  living().all.insert(e.get());
  return e;
}

Executable::~Executable() {
  std::lock_guard lock(living().mutex);
  living().all.erase(this);
}

int64_t Executable::free_idle() {
  std::vector<std::unique_ptr<State>> idle;
  {
    std::lock_guard lock(mutex_);
    idle.swap(idle_);
  }
  return int64_t(idle.size()) * (arena_bytes_ + workspace_bytes_);
}

std::unique_ptr<Executable::State> Executable::take_state() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto s = std::move(idle_.back());
      idle_.pop_back();
      return s;
    }
  }
  auto s = std::make_unique<State>();
  s->arena = allocate(arena_bytes_, BufferKind::kActivation);
  make_resident(s->arena->data, arena_bytes_);  // a run writes all of it
  if (workspace_bytes_) s->workspace = allocate(workspace_bytes_, BufferKind::kWorkspace);
  s->address.resize(places_.size());
  s->feeds.resize(lowered_.feeds.size());
  s->variables.resize(variables_.size());
  s->versions.resize(variables_.size());
  s->fresh.resize(fresh_.size());
  for (size_t v = 0; v < places_.size(); ++v) {
    const Place& p = places_[v];
    if (p.kind == Place::kArena) s->address[v] = static_cast<char*>(s->arena->data) + p.at;
    if (p.kind == Place::kConstant)
      s->address[v] = static_cast<char*>(view_of(constants_[size_t(p.at)]).data());
  }
  s->arguments.resize(steps_.size());
  auto patch = [&](void*& where, int32_t root, int64_t offset) {
    where = s->address[size_t(root)] + offset;
    const auto kind = places_[size_t(root)].kind;
    if (kind != Place::kArena && kind != Place::kConstant)
      s->patches.push_back({&where, root, offset});
  };
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    State::Arguments& a = s->arguments[i];
    if (step.workspace) {
      a.workspace = static_cast<char*>(s->workspace->data) + step.workspace_at;
      a.fused_workspace = static_cast<char*>(a.workspace) + step.product.workspace;
    }
    if (step.packed) {
      const Place& p = places_[size_t(step.in[size_t(step.entry->packing.input)].value)];
      s->packed.push_back({i, p.kind == Place::kVariable ? int(p.at) : -1, 0, {}});
    }
    const bool epilogue = step.product.value >= 0;
    const size_t inputs = epilogue ? size_t(step.product.inputs) : step.op ? step.in.size() : 0;
    if (step.fused) {
      const size_t given = epilogue;  // the first one comes with each block
      a.fin.resize(given + step.in.size() - inputs);
      a.fout.resize(step.out.size());
      for (size_t k = inputs; k < step.in.size(); ++k)
        patch(a.fin[given + k - inputs], step.in[k].value, step.in[k].offset);
      for (size_t k = 0; k < step.out.size(); ++k) patch(a.fout[k], step.out[k], 0);
    }
    if (!step.op) continue;
    for (size_t k = 0; k < inputs; ++k) {
      const Step::Operand& o = step.in[k];
      a.in.push_back({nullptr, &o.spec, o.dense ? nullptr : o.strides});
    }
    for (size_t k = 0; k < inputs; ++k) patch(a.in[k].data, step.in[k].value, step.in[k].offset);
    if (!step.windows.empty()) {
      for (const Step::Operand& o : step.windows)
        a.out.push_back({nullptr, &o.spec, o.dense ? nullptr : o.strides});
      for (size_t k = 0; k < a.out.size(); ++k)
        patch(a.out[k].data, step.windows[k].value, step.windows[k].offset);
      continue;
    }
    const auto results =
        epilogue ? std::span(&step.out[size_t(step.product.target)], 1) : std::span(step.out);
    const auto& values = lowered_.graph->values;
    for (int32_t v : results) {
      const Place& p = places_[size_t(v)];
      const Spec& spec = epilogue                    ? values[size_t(step.product.value)].spec
                         : p.kind == Place::kFresh   ? fresh_[size_t(p.at)]
                         : values.size() > size_t(v) ? values[size_t(v)].spec
                                                     : step.in[0].spec;
      a.out.push_back({nullptr, &spec, nullptr});
    }
    for (size_t k = 0; k < results.size(); ++k) patch(a.out[k].data, results[k], 0);
  }
  return s;
}

void Executable::resolve(State& s) const {
  for (const State::Patch& p : s.patches) *p.where = s.address[size_t(p.root)] + p.offset;
}

// Packs what is not packed yet, or was packed from an older value.
void Executable::pack(State& s) const {
  for (State::Packed& p : s.packed) {
    // Read before the value was: a value that is newer than its version is packed once too often.
    const uint64_t version = p.variable < 0 ? 0 : s.versions[size_t(p.variable)];
    if (p.memory && p.version == version) continue;
    const Step& step = steps_[p.step];
    State::Arguments& a = s.arguments[p.step];
    if (!p.memory) p.memory = allocate(step.packed, BufferKind::kWorkspace);
    a.packed = nullptr;  // in case packing fails
    p.version = ~uint64_t{0};
    step.entry->packing.pack({*step.op, step.attrs.get(), a.in, a.out, a.workspace},
                             p.memory->data);
    a.packed = p.memory->data;
    p.version = version;
  }
}

// Calls a step's kernel, or a part of it, with the step's program as epilogue if it has one.
template <class Call>
void Executable::call_kernel(State& s, size_t i, Call&& call) const {
  const Step& step = steps_[i];
  State::Arguments& a = s.arguments[i];
  const auto program = [&](int64_t row, int64_t row_end, int64_t col, int64_t col_end, void* block,
                           int64_t stride) {
    step.fused->run_block(a.fin.data(), a.fout.data(), a.fused_workspace,
                          {row, row_end - row, col, col_end - col, 0, block, stride});
  };
  const Epilogue epilogue = program;
  try {
    call({*step.op, step.attrs.get(), a.in, a.out, a.workspace, a.packed,
          step.fused ? &epilogue : nullptr});
  } catch (Error& e) {
    rethrow(step, e);
  }
}

void Executable::run_step(State& s, size_t i) const {
  const Step& step = steps_[i];
  State::Arguments& a = s.arguments[i];
  if (!step.op) return step.fused->run(a.fin.data(), a.fout.data(), a.workspace);
  call_kernel(s, i, [&](const KernelArgs& args) { step.entry->run(args); });
  finish_epilogue(s, i);
}

void Executable::finish_epilogue(State& s, size_t i) const {
  const State::Arguments& a = s.arguments[i];
  if (const Step& step = steps_[i]; step.op && step.fused)
    step.fused->finish_blocks(a.fin.data(), a.fout.data(), a.fused_workspace);
}

void Executable::run_wave(State& s, const Wave& wave) const {
  int64_t total = 0;
  for (int32_t i = wave.first; i < wave.last; ++i) total += steps_[size_t(i)].parts.count;
  const int where = wave.device;
  device(where).share(total, [&](int64_t part) {
    size_t i = size_t(wave.first);
    while (part >= steps_[i].parts.count) part -= steps_[i++].parts.count;
    call_kernel(s, i, [&](const KernelArgs& args) { steps_[i].entry->part(args, part); });
  });
  for (int32_t i = wave.first; i < wave.last; ++i) finish_epilogue(s, size_t(i));
}

void Executable::rethrow(const Step& step, Error& e) const {
  if (!e.located && e.kind != ErrorKind::kCancelled) {
    e.text = cat(step.op->name, ": ", e.text);
    e.located = true;
    e.op = step.op->name;
    if (!step.nodes.empty()) {
      const int32_t node = lowered_.origin[size_t(step.nodes[0])];
      e.text += node >= 0 ? cat(" (node ", node, " of the graph)") : std::string();
    }
  }
  throw;
}

// Whether this run and the variable are the only holders of the old value: then it may be written
// over.
bool Executable::alone(const State& s, const Update& u) const {
  const Tensor& slot = u.variable->slot();
  return s.variables[size_t(u.source)].impl() == slot.impl() &&
         slot.impl()->refs.load(std::memory_order_acquire) == 2 &&
         view_of(slot).buffer->refs.load(std::memory_order_acquire) == 1 &&
         !view_of(slot).buffer->release;  // never into an array's memory
}

// The last segment: all checks are done, and nothing in it is cancelled.
void Executable::commit(State& s, const RunOptions& options) {
  CancelScope shield(nullptr);
  std::vector<std::unique_lock<std::mutex>>
      held;  // in one order everywhere; readers wait for whole values
  held.reserve(updated_.size());
  Owner* const writer = Owner::current();
  for (Variable* v : updated_) {
    held.emplace_back(v->mutex());
    v->require_writer(writer);
  }
  if (writer)
    for (Variable* v : updated_)
      if (!v->owner()) writer->adopt(v);
  // In place where nobody else holds the old value; else into a buffer that is swapped in. Memory
  // for the latter is the last thing that can fail, before anything is written.
  for (const Update& u : updates_) {
    if (u.step < 0) continue;
    const int64_t at = places_[size_t(u.value)].at;
    char* target;
    if (alone(s, u)) {
      target = static_cast<char*>(view_of(u.variable->slot()).data());
    } else {
      s.fresh[size_t(at)] = empty(fresh_[size_t(at)]);
      target = static_cast<char*>(view_of(s.fresh[size_t(at)]).data());
    }
    s.arguments[size_t(u.step)].out[size_t(u.output)].data = target;
  }
  for (size_t i = first_commit_; i < steps_.size(); ++i) {
    const double start = options.step_seconds ? seconds() : 0;
    run_step(s, i);
    if (options.step_seconds) (*options.step_seconds)[i] += seconds() - start;
    if (options.observe) observe_step(s, i, *options.observe);
  }
  for (size_t k = 0; k < updates_.size(); ++k) {
    Update& u = updates_[k];
    if (u.step >= 0) {
      Tensor& fresh = s.fresh[size_t(places_[size_t(u.value)].at)];
      if (fresh) std::swap(u.variable->slot(), fresh);
    } else {
      std::swap(u.variable->slot(), s.swaps[k]);
    }
    u.variable->touch();
  }
}

// ---- inspection: off the ordinary path ----------------------------------------------------------

// A root and every window on it.
void Executable::observe_root(int32_t root, char* data, const ValueObserver& observe) const {
  const Graph& g = *lowered_.graph;
  for (size_t v = 0; v < g.values.size(); ++v) {
    const View& view = views_[v];
    if (view.root != root) continue;
    const Spec& spec = g.values[v].spec;
    observe(int32_t(v), {data + view.offset, &spec, view.dense ? nullptr : view.strides});
  }
}
void Executable::observe_sources(const State& s, const ValueObserver& observe) const {
  for (size_t v = 0; v < lowered_.graph->values.size(); ++v) {
    const auto kind = places_[v].kind;
    if (kind == Place::kFeed || kind == Place::kConstant || kind == Place::kVariable)
      observe_root(int32_t(v), s.address[v], observe);
  }
}
void Executable::observe_step(const State& s, size_t i, const ValueObserver& observe) const {
  const State::Arguments& a = s.arguments[i];
  if (!steps_[i].windows.empty()) {  // a value in several windows is there after the last of them
    const auto written_later = [&](int32_t root) {
      return std::any_of(steps_.begin() + long(i) + 1, steps_.end(), [&](const Step& later) {
        return std::find(later.out.begin(), later.out.end(), root) != later.out.end();
      });
    };
    for (int32_t root : steps_[i].out)
      if (!written_later(root)) observe_root(root, s.address[size_t(root)], observe);
    return;
  }
  for (size_t k = 0; k < steps_[i].out.size(); ++k)
    observe_root(steps_[i].out[k], static_cast<char*>(steps_[i].fused ? a.fout[k] : a.out[k].data),
                 observe);
}

Tensor Executable::result(const State& s, int32_t value) const {
  const View& v = views_[size_t(value)];
  const Place& p = places_[size_t(v.root)];
  Tensor root = p.kind == Place::kFresh      ? s.fresh[size_t(p.at)]
                : p.kind == Place::kFeed     ? s.feeds[size_t(p.at)]
                : p.kind == Place::kConstant ? constants_[size_t(p.at)]
                : p.kind == Place::kVariable ? s.variables[size_t(p.at)]
                                             : s.key;
  if (v.root == value && !root.spec().weak) return root;
  flowbook::View window;
  const flowbook::View& from = view_of(root);
  window.buffer = from.buffer;
  window.offset = from.offset + v.offset;
  window.dense = v.dense;
  if (!v.dense) std::copy(std::begin(v.strides), std::end(v.strides), window.strides);
  Spec spec = lowered_.graph->values[size_t(value)].spec;
  spec.weak = false;
  return make_view(spec, std::move(window));
}

bool numbers_are_finite(std::span<const Tensor> results) {
  for (const Tensor& t : results)
    if (t.spec().shape.rank == 0 && in(t.spec().dtype, kFloating) && !std::isfinite(scalar_of(t).d))
      return false;
  return true;
}

std::vector<Tensor> Executable::run(std::span<const Tensor> feeds, const RunOptions& options) {
  if (!profiling() || options.step_seconds) [[likely]]
    return run_steps(feeds, options);
  ProfiledRun logged{shared_from_this(), seconds(), 0, {}};
  RunOptions timed = options;
  timed.step_seconds = &logged.seconds;
  std::vector<Tensor> out = run_steps(feeds, timed);
  logged.end = seconds();
  log_run(std::move(logged));
  return out;
}

std::vector<Tensor> Executable::run_steps(std::span<const Tensor> feeds,
                                          const RunOptions& options) {
  if (feeds.size() != lowered_.feeds.size())
    fail(ErrorKind::kFeed, "the plan takes ", lowered_.feeds.size(), " inputs, got ", feeds.size(),
         ".");
  Recorder eager(nullptr);
  CancelScope scope(options.cancel ? options.cancel : current_cancel_token());
  std::unique_ptr<State> state = take_state();
  State& s = *state;
  // Whatever happens, the next run must not hold this run's tensors alive.
  struct Release {
    Executable& e;
    std::unique_ptr<State>& state;
    bool keep = true;  // the memory, for the next run
    ~Release() {
      if (!keep) return;
      for (Tensor& t : state->feeds) t = Tensor();
      for (Tensor& t : state->variables) t = Tensor();
      for (Tensor& t : state->fresh) t = Tensor();
      for (Tensor& t : state->swaps) t = Tensor();
      std::lock_guard lock(e.mutex_);
      e.idle_.push_back(std::move(state));
    }
  } release{*this, state};

  for (size_t i = 0; i < feeds.size(); ++i) {
    s.feeds[i] = dense(feeds[i]);
    s.address[size_t(lowered_.feeds[i])] = static_cast<char*>(view_of(s.feeds[i]).data());
  }
  if (!s.packed.empty())
    for (size_t i = 0; i < variables_.size(); ++i) s.versions[i] = variables_[i]->version();
  if (reads_need_care()) [[unlikely]] {  // a run trains meanwhile: between two of its steps
    for (Variable* v : updated_) {       // refused now rather than after the work
      std::lock_guard lock(v->mutex());
      v->require_writer(nullptr);
    }
    s.variables = read_together(variables_);
  } else {
    for (size_t i = 0; i < variables_.size(); ++i) s.variables[i] = variables_[i]->value();
  }
  for (size_t i = 0; i < variables_.size(); ++i) {
    s.address[size_t(variable_values_[i])] = static_cast<char*>(view_of(s.variables[i]).data());
  }
  release.keep = false;  // a run that finds no memory must not hold on to its arena
  for (size_t i = 0; i < fresh_.size(); ++i) {
    if (committed_[i]) continue;  // mostly written in place
    s.fresh[i] = empty(fresh_[i]);
    s.address[size_t(fresh_values_[i])] = static_cast<char*>(view_of(s.fresh[i]).data());
  }
  release.keep = true;
  if (!key_.empty()) {
    // Taken now, given back if the run fails: a cancelled run consumes no random numbers.
    s.key_state = take_generator_counter();
    s.key = make_key(s.key_state);
    s.address[size_t(key_[0])] = static_cast<char*>(view_of(s.key).data());
  }
  resolve(s);
  if (options.step_seconds) options.step_seconds->assign(steps_.size(), 0);
  if (options.observe) observe_sources(s, *options.observe);
  try {
    pack(s);
    if (!options.step_seconds && !options.observe) [[likely]] {
      for (const Wave& wave : waves_) {
        check_cancelled();
        if (wave.last - wave.first == 1) [[likely]]
          run_step(s, size_t(wave.first));
        else
          run_wave(s, wave);
      }
    } else {  // one after another, or their times and values could not be told apart
      for (size_t i = 0; i < first_commit_; ++i) {
        check_cancelled();
        const double start = options.step_seconds ? seconds() : 0;
        run_step(s, i);
        if (options.step_seconds) (*options.step_seconds)[i] = seconds() - start;
        if (options.observe) observe_step(s, i, *options.observe);
      }
    }
    check_cancelled();
  } catch (const Error& e) {
    release.keep = e.kind != ErrorKind::kOutOfMemory;
    if (!key_.empty()) return_generator_counter(s.key_state);
    throw;
  } catch (...) {
    if (!key_.empty()) return_generator_counter(s.key_state);
    throw;
  }
  std::vector<Tensor> out;
  out.reserve(lowered_.fetches.size());
  for (int32_t v : lowered_.fetches) out.push_back(result(s, v));
  if (options.admit && !(*options.admit)(out)) {
    if (!key_.empty()) return_generator_counter(s.key_state);
    return out;
  }
  if (updates_.empty()) return out;
  s.swaps.resize(updates_.size());
  for (size_t k = 0; k < updates_.size(); ++k)
    if (updates_[k].step < 0) s.swaps[k] = dense(result(s, updates_[k].value));
  commit(s, options);
  return out;
}

int64_t Executable::peak_bytes() const {
  int64_t n = arena_bytes_ + workspace_bytes_;
  for (const Step& step : steps_) n += step.packed;
  for (size_t i = 0; i < fresh_.size(); ++i)
    if (!committed_[i]) n += bytes_of(fresh_[i]);
  return n;
}

std::string Executable::text() const {
  std::string s;
  size_t wave = 0;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    auto place = [&](int32_t root) {
      const Place& p = places_[size_t(root)];
      constexpr const char* kinds[] = {"?",        "arena", "feed",  "constant",
                                       "variable", "key",   "result"};
      return cat("%", root, ":", kinds[p.kind],
                 p.kind == Place::kKey ? std::string() : cat("+", p.at));
    };
    if (i == first_commit_) s += "commit:\n";
    while (wave < waves_.size() && size_t(waves_[wave].last) <= i) ++wave;
    const bool together = wave < waves_.size() && waves_[wave].last - waves_[wave].first > 1;
    if (together) s += size_t(waves_[wave].first) == i ? "together " : "     and ";
    s += cat(step.op ? step.op->name : "fused", "(");
    for (size_t k = 0; k < step.in.size(); ++k) {
      const bool program = step.product.value >= 0 && int(k) == step.product.inputs;
      s += cat(program ? ") then fused(" : k ? ", " : "", place(step.in[k].value));
    }
    if (step.product.value >= 0 && step.product.inputs == int(step.in.size())) s += ") then fused(";
    s += ") ->";
    for (int32_t v : step.out) s += cat(" ", place(v));
    s += '\n';
    if (step.fused) s += step.fused->text();
  }
  s += cat("arena ", arena_bytes_, " bytes\n");
  return s;
}

}  // namespace flowbook
