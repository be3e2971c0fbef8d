// Compiled graphs: plans, and one native call per run.
#include "core/executable.h"
#include "core/work.h"

#include <pybind11/numpy.h>

#include "admission.h"
#include "core/inspect.h"
#include "core/profile_log.h"
#include "interrupt.h"

namespace flowbook::python {
namespace {

std::vector<int32_t> ids(const std::vector<int64_t>& v, const Graph& g) {
  std::vector<int32_t> out;
  for (int64_t i : v) {
    if (i < 0 || size_t(i) >= g.values.size())
      fail(ErrorKind::kIndex, "Program: there is no value ", i, ".");
    out.push_back(int32_t(i));
  }
  return out;
}

// The values that are fed, as borrowed tensors: a list or tuple of Tensors, Variables, arrays and
// numbers.
std::vector<Tensor> fed(py::handle list) {
  auto items = py::reinterpret_steal<py::object>(
      checked(PySequence_Fast(list.ptr(), "the feeds must be a list or tuple")));
  std::vector<Tensor> out;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(items.ptr());
  out.reserve(size_t(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    Tensor hold;
    TensorImpl* t = argument(PySequence_Fast_GET_ITEM(items.ptr(), i), hold);
    if (!t)
      fail(ErrorKind::kFeed, "feed ", int64_t(i), " is of type ",
           Py_TYPE(PySequence_Fast_GET_ITEM(items.ptr(), i))->tp_name,
           ". It must be a Tensor, an array or a number.");
    if (std::holds_alternative<Symbol>(t->is)) view_of(t);  // says what the symbol is
    out.emplace_back(t);
  }
  return out;
}

py::list run_executable(Executable& e, py::handle feeds, const std::shared_ptr<CancelToken>& cancel,
                        std::vector<double>* seconds, const ValueObserver* observe = nullptr,
                        const Admission* admit = nullptr) {
  std::vector<Tensor> in = fed(feeds), out;
  {
    CancelToken own;
    CancelToken* token = cancel ? cancel.get() : current_cancel_token();
    if (!token) token = &own;
    if (token != current_cancel_token()) token->poll = signal_poll();
    LongRun unlocked(token);
    RunOptions options;
    options.cancel = token;
    options.step_seconds = seconds;
    options.observe = observe;
    options.admit = admit;
    out = e.run(in, options);
  }
  flush_interrupt();
  py::list results(out.size());
  for (size_t i = 0; i < out.size(); ++i)
    PyList_SET_ITEM(results.ptr(), Py_ssize_t(i), checked(wrap(std::move(out[i]))));
  return results;
}

py::dict stats_record(const ValueStats& s) {
  py::dict d;
  d["count"] = s.count;
  d["nan"] = s.nan;
  d["positive_inf"] = s.positive_inf;
  d["negative_inf"] = s.negative_inf;
  d["zeros"] = s.zeros;
  d["min"] = s.min;
  d["max"] = s.max;
  d["mean"] = s.mean;
  d["std"] = s.std;
  py::list bins;
  for (int64_t n : s.histogram) bins.append(n);
  d["histogram"] = bins;
  return d;
}

// Runs and summarises each value as soon as it is there; `into` is filled up to where a run fails.
py::list inspect_executable(Executable& e, py::handle feeds, py::dict into, bool effects) {
  std::vector<std::pair<int32_t, ValueStats>> seen;
  const ValueObserver observe = [&](int32_t value, const Array& a) {
    if (a.spec->device == 0) seen.emplace_back(value, summarize(a));
  };
  auto fill = [&] {
    for (auto& [value, stats] : seen) into[py::int_(value)] = stats_record(stats);
  };
  try {
    const Admission none = [](std::span<const Tensor>) { return false; };
    py::list out = run_executable(e, feeds, nullptr, nullptr, &observe, effects ? nullptr : &none);
    fill();
    return out;
  } catch (...) {
    fill();
    throw;
  }
}

py::list step_records(const Executable& e) {
  py::list all;
  for (const Step& s : e.steps()) {
    py::dict d;
    d["op"] = s.op ? py::object(py::str(s.op->name)) : py::object(py::none());
    d["fused"] = s.fused != nullptr;
    d["commit"] = s.commit;
    d["workspace"] = s.workspace;
    d["packed"] = s.packed;
    py::list origins;
    for (int32_t n : s.nodes)
      if (n >= 0 && size_t(n) < e.lowered().origin.size())
        origins.append(e.lowered().origin[size_t(n)]);
    d["nodes"] = origins;
    d["lowered"] = s.nodes;
    py::list ops;
    for (int32_t n : s.nodes) {
      const Node& node = e.lowered().graph->nodes[size_t(n)];
      ops.append(node.op ? node.op->name : "");
    }
    d["ops"] = ops;
    all.append(d);
  }
  return all;
}

py::array_t<int32_t> column(const std::vector<int32_t>& v) {
  return py::array_t<int32_t>(py::ssize_t(v.size()), v.data());
}

py::tuple step_columns(const Executable& e) {
  std::vector<int32_t> start = {0}, nodes;
  for (const Step& s : e.steps()) {
    nodes.insert(nodes.end(), s.nodes.begin(), s.nodes.end());
    start.push_back(int32_t(nodes.size()));
  }
  return py::make_tuple(column(start), column(nodes));
}

}  // namespace

void bind_program(py::module_& m) {
  m.def("counted_work", &counted_work,
        "Steps of the compiler's loops on this thread so far; tests compare graphs of two sizes.");
  py::class_<Executable, std::shared_ptr<Executable>>(m, "Executable",
                                                      "A graph planned for given shapes.")
      .def(
          "run",
          [](Executable& e, py::handle feeds, const std::shared_ptr<CancelToken>& cancel,
             bool finite) {
            if (!finite) return run_executable(e, feeds, cancel, nullptr);
            bool admitted = true;
            const Admission admit = [&](std::span<const Tensor> results) {
              return admitted = numbers_are_finite(results);
            };
            py::list out = run_executable(e, feeds, cancel, nullptr, nullptr, &admit);
            if (!admitted) raise_not_finite();
            return out;
          },
          py::arg("feeds"), py::arg("cancel") = nullptr, py::arg("finite") = false,
          "Results in the order of the fetches. `finite`: where a floating 0-d result is not "
          "finite "
          "the run changes nothing and raises NonFiniteError.")
      .def(
          "profile",
          [](Executable& e, py::handle feeds) {
            std::vector<double> seconds;
            py::list out = run_executable(e, feeds, nullptr, &seconds);
            return py::make_tuple(out, seconds);
          },
          "(results, seconds of each step).")
      .def("inspect", inspect_executable, py::arg("feeds"), py::arg("into"),
           py::arg("effects") = true,
           "Runs; `into` gets the statistics of each value of the lowered graph, in the order in "
           "which they were computed. Without `effects` no variable and no random state changes.")
      .def("free_idle", &Executable::free_idle)
      .def("text", &Executable::text)
      .def("lowered_text", [](const Executable& e) { return e.lowered().graph->text(); })
      .def("steps", step_records)
      .def("step_columns", step_columns,
           "(start, lowered nodes): those of step k stand from start[k] to start[k + 1].")
      .def(
          "waves",
          [](const Executable& e) {
            std::vector<std::pair<int, int>> all;
            for (const Wave& w : e.waves()) all.emplace_back(w.first, w.last);
            return all;
          },
          "(first, last) of the steps that run as one job, up to the first that commits.")
      .def_property_readonly("lowered", [](const Executable& e) { return e.lowered().graph; })
      .def_property_readonly("origin",
                             [](const Executable& e) { return column(e.lowered().origin); })
      .def_property_readonly("values", [](const Executable& e) { return e.lowered().values; })
      .def_property_readonly("peak_bytes", &Executable::peak_bytes)
      .def_property_readonly("arena_bytes", &Executable::arena_bytes)
      .def_readonly("compile_seconds", &Executable::compile_seconds);

  m.def("begin_profile", begin_profile, "From now on the times of all runs' steps are logged.");
  m.def(
      "end_profile",
      [] {
        ProfileLog log = end_profile();
        py::list runs;
        for (ProfiledRun& r : log.runs)
          runs.append(py::make_tuple(std::move(r.executable), r.start, r.end, r.seconds));
        return py::make_tuple(runs, log.dropped);
      },
      "([(executable, start, end, seconds of each step)], number of runs beyond those kept).");

  py::class_<Program, std::shared_ptr<Program>>(m, "Program", "A recorded graph with its plans.")
      .def(py::init(
               [](std::shared_ptr<Graph> g) { return std::make_shared<Program>(std::move(g)); }),
           py::arg("graph"))
      .def_property_readonly("graph", &Program::graph)
      .def("plans", &Program::plans)
      .def(
          "peak_bytes",
          [](Program& p, const std::vector<int64_t>& feeds, const std::vector<std::string>& specs,
             const std::vector<int64_t>& fetches, bool effects, int64_t from, int64_t to) {
            std::vector<Spec> given;
            for (const std::string& s : specs) given.push_back(parse_spec(s));
            if (given.size() != feeds.size())
              argument_error("peak_bytes: ", feeds.size(), " feeds and ", given.size(), " specs.");
            Recorder outside(nullptr);
            return p.peak_bytes(ids(feeds, *p.graph()), given, ids(fetches, *p.graph()), effects,
                                {from, to});
          },
          py::arg("feeds"), py::arg("specs"), py::arg("fetches"), py::arg("effects") = true,
          py::arg("from_size") = 0, py::arg("to_size") = 0,
          "What a run with such feeds would need beside them, in bytes; recorded sizes `from_size` "
          "count as `to_size`.")
      .def(
          "plan",
          [](Program& p, const std::vector<int64_t>& feeds, py::handle values,
             const std::vector<int64_t>& fetches, bool effects, bool optimize, bool fuse,
             bool epilogues, bool reuse) {
            CompileOptions options{optimize, fuse, epilogues, reuse};
            Recorder outside(
                nullptr);  // planning replays ops; none of that belongs to what records here
            Program::Found found = p.plan(ids(feeds, *p.graph()), fed(values),
                                          ids(fetches, *p.graph()), effects, options);
            flush_interrupt();
            return py::make_tuple(found.executable, found.why);
          },
          py::arg("feeds"), py::arg("values"), py::arg("fetches"), py::arg("effects") = true,
          py::arg("optimize") = true, py::arg("fuse") = true, py::arg("epilogues") = true,
          py::arg("reuse") = true,
          "(executable, why): the plan for these feeds and fetches; `why` is empty if it was there "
          "already.");
}

}  // namespace flowbook::python
