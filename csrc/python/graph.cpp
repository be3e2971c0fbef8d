// Graphs and recordings for the Python layer: what _trace.py, _graph.py and the views need, as
// plain data.
#include "core/gradient.h"
#include "core/node_table.h"

#include <pybind11/numpy.h>

#include <map>
#include <optional>

#include "interrupt.h"

namespace flowbook::python {
namespace {

// Where is the user's code? Walks the Python frames to the first one outside the library itself.
class Locator {
 public:
  Locator(std::vector<std::string> skip, std::map<std::string, std::pair<std::string, int>> cells)
      : skip_(std::move(skip)), cells_(std::move(cells)) {}
  ~Locator() {
    if (!Py_IsInitialized()) return;
    PyGILState_STATE state = PyGILState_Ensure();
    for (auto& [code, seen] : codes_) Py_DECREF(code);
    PyGILState_Release(state);
  }
  Locator(const Locator&) = delete;

  Location find(Graph& g) {
    Location l;
    if (!PyGILState_Check()) return l;
    PyFrameObject* frame = PyEval_GetFrame();
    Py_XINCREF(frame);
    while (frame) {
      PyCodeObject* code = PyFrame_GetCode(frame);
      const File& file = look(g, code);
      Py_DECREF(code);
      if (!file.skip) {
        l.cell = file.cell;
        l.execution = file.execution;
        l.line = PyFrame_GetLineNumber(frame);
        Py_DECREF(frame);
        return l;
      }
      PyFrameObject* back = PyFrame_GetBack(frame);
      Py_DECREF(frame);
      frame = back;
    }
    return l;
  }

 private:
  struct File {
    bool skip = false;
    uint32_t cell = 0;
    int execution = 0;
  };
  const File& look(Graph& g, PyCodeObject* code) {
    auto* key = reinterpret_cast<PyObject*>(code);
    auto [it, fresh] = codes_.try_emplace(key);
    if (!fresh) return it->second;
    Py_INCREF(key);
    File& f = it->second;
    const char* name = PyUnicode_AsUTF8(code->co_filename);
    if (!name) return PyErr_Clear(), f;
    for (auto& prefix : skip_)
      f.skip = f.skip || std::string_view(name).substr(0, prefix.size()) == prefix;
    auto cell = cells_.find(name);
    f.cell = g.intern(cell == cells_.end() ? name : cell->second.first);
    f.execution = cell == cells_.end() ? 0 : cell->second.second;
    return f;
  }
  std::vector<std::string> skip_;
  std::map<std::string, std::pair<std::string, int>> cells_;
  std::unordered_map<PyObject*, File> codes_;
};

Location ask_python(Graph& g, py::handle callback) {
  py::gil_scoped_acquire held;
  Location l;
  py::object where = callback();
  if (where.is_none()) return l;
  auto [cell, execution, line] = where.cast<std::tuple<std::string, int, int>>();
  l.cell = g.intern(cell);
  l.execution = execution;
  l.line = line;
  return l;
}

int32_t checked_value(const Graph& g, int64_t v) {
  if (v < 0 || size_t(v) >= g.values.size())
    fail(ErrorKind::kIndex, "Graph: there is no value ", v, ". It has ", g.values.size(), ".");
  return int32_t(v);
}
const Node& checked_node(const Graph& g, int64_t n) {
  if (n < 0 || size_t(n) >= g.nodes.size())
    fail(ErrorKind::kIndex, "Graph: there is no node ", n, ". It has ", g.nodes.size(), ".");
  return g.nodes[size_t(n)];
}

py::dict attrs_dict(const OpDef& op, const void* attrs) {
  py::dict d;
  for (const AttrDef& a : op.attrs) d[a.name] = attr_to_python(a, op.at(attrs, a));
  return d;
}

constexpr const char* kSources[] = {"input", "capture", "variable", "key"};

py::dict node_record(const Graph& g, int64_t index) {
  const Node& n = checked_node(g, index);
  py::dict d;
  d["index"] = index;
  d["op"] = n.op ? py::object(py::str(n.op->name)) : py::object(py::none());
  d["family"] = n.op ? n.op->family : "";
  d["source"] = n.op ? py::object(py::none()) : py::object(py::str(kSources[int(n.source)]));
  d["attrs"] = n.op ? attrs_dict(*n.op, n.attrs.get()) : py::dict();
  py::tuple inputs(n.inputs.size()), outputs(size_t(n.outputs));
  for (size_t i = 0; i < n.inputs.size(); ++i) inputs[i] = py::int_(n.inputs[i]);
  for (int i = 0; i < n.outputs; ++i) outputs[size_t(i)] = py::int_(n.output + i);
  d["inputs"] = inputs;
  d["outputs"] = outputs;
  d["variable"] = n.variable ? py::cast(n.variable) : py::object(py::none());
  d["cell"] = g.string(n.location.cell);
  d["execution"] = n.location.execution;
  d["line"] = n.location.line;
  d["scope"] = g.string(n.location.scope);
  d["forward"] = n.forward;
  return d;
}

py::dict value_record(const Graph& g, int64_t index) {
  const Value& v = g.values[size_t(checked_value(g, index))];
  py::dict d;
  d["index"] = index;
  d["node"] = v.node;
  d["name"] = g.string(v.name);
  d["spec"] = cat(v.spec);
  d["shape"] = from_shape(v.spec.shape);
  d["dtype"] = py::reinterpret_borrow<py::object>(dtype_object(v.spec.dtype));
  d["weak"] = v.spec.weak;
  d["device"] = int(v.spec.device);
  return d;
}

template <class T>
py::array_t<T> column(const std::vector<T>& v) {
  return py::array_t<T>(py::ssize_t(v.size()), v.data());
}

// What src/flowbook/_nodes.py is made of.
py::dict node_columns(const Graph& g) {
  const NodeTable t = node_table(g);
  py::list words, shapes, attrs;
  for (const std::string& word : t.words) words.append(text(word));
  for (const Shape& shape : t.shapes) shapes.append(from_shape(shape));
  for (int32_t i : t.attrs_of) {
    const Node& node = g.nodes[size_t(i)];
    attrs.append(attrs_dict(*node.op, node.attrs.get()));
  }
  py::dict d;
  d["words"] = words;
  d["shapes"] = shapes;
  d["attributes"] = attrs;
  d["op"] = column(t.op);
  d["family"] = column(t.family);
  d["name"] = column(t.name);
  d["spec"] = column(t.spec);
  d["dtype"] = column(t.dtype);
  d["device"] = column(t.device);
  d["kind"] = column(t.kind);
  d["scope"] = column(t.scope);
  d["cell"] = column(t.cell);
  d["shape"] = column(t.shape);
  d["attrs"] = column(t.attrs);
  d["exec"] = column(t.execution);
  d["line"] = column(t.line);
  d["forward_of"] = column(t.forward);
  d["bytes"] = column(t.bytes);
  d["inputs"] = column(t.inputs);
  d["start"] = column(t.start);
  d["node_of"] = column(t.node_of);
  return d;
}

// A value id, a tensor of the graph, or a Variable (its current value there).
int32_t value_id(Graph& g, py::handle x) {
  if (PyLong_Check(x.ptr())) return checked_value(g, x.cast<int64_t>());
  Tensor hold;
  TensorImpl* t = operand(x.ptr(), hold);
  if (!t)
    dtype_error("Graph: a ", Py_TYPE(x.ptr())->tp_name,
                " stands for no value of a graph. Give a Tensor or a value's number.");
  return g.value_of(t);
}

std::pair<std::vector<Tensor>, std::vector<bool>> python_gradients(const std::shared_ptr<Graph>& g,
                                                                   const std::vector<Tensor>& ys,
                                                                   const py::sequence& xs,
                                                                   const py::object& seeds) {
  std::vector<std::vector<int32_t>> ids;
  std::vector<Spec> specs;
  for (py::handle x : xs) {
    if (is_variable(x.ptr())) {
      const Ref<Variable>& v = variable_of(x.ptr());
      ids.push_back(g->values_of(v.get()));
      specs.push_back(v->spec());
      continue;
    }
    if (!is_tensor(x.ptr()))
      dtype_error("gradients: an x is of type ", Py_TYPE(x.ptr())->tp_name,
                  ". It must be a Tensor or a Variable.");
    const Tensor& t = tensor_of(x.ptr());
    ids.push_back({g->find(t.impl())});
    specs.push_back(t.spec());
  }
  for (const Spec& s : specs)
    if (!in(s.dtype, kFloating | kComplex))
      fail(ErrorKind::kGradient, "gradients: an x is ", s,
           ". Only floating tensors have gradients; cast it with astype().");
  std::vector<Tensor> seed;
  if (!seeds.is_none()) seed = seeds.cast<std::vector<Tensor>>();
  Gradients r = gradients(*g, ys, ids, seed);
  for (size_t i = 0; i < r.values.size(); ++i)
    if (!r.values[i]) r.values[i] = g_core_ops.full_like(specs[i], Scalar(0.0));
  flush_interrupt();
  return {std::move(r.values), std::move(r.connected)};
}

// A Recorder that Python may lose: it ends when it must, never twice, and never throws from a
// destructor.
class Recording {
 public:
  explicit Recording(std::shared_ptr<Graph> graph) : graph_(std::move(graph)) {}
  Recording(const Recording&) = delete;
  void begin() {
    if (recorder_) fail(ErrorKind::kGraph, "this recording has begun already. Make a new one.");
    recorder_ = std::make_unique<Recorder>(graph_);
    thread_ = PyThread_get_thread_ident();
  }
  void end() {
    if (!recorder_) return;
    if (thread_ != PyThread_get_thread_ident())
      fail(ErrorKind::kGraph, "a recording must end on the thread that began it.");
    recorder_->end();
    recorder_.reset();
  }
  ~Recording() {
    // On another thread the stack that it is part of cannot be touched: it is left to that thread's
    // end.
    if (recorder_ && thread_ != PyThread_get_thread_ident()) static_cast<void>(recorder_.release());
  }
  const std::shared_ptr<Graph>& graph() const { return graph_; }
  bool active() const { return bool(recorder_); }

 private:
  std::shared_ptr<Graph> graph_;
  std::unique_ptr<Recorder> recorder_;
  unsigned long thread_ = 0;
};

std::shared_ptr<Graph> shared(Graph* g) { return g ? g->shared_from_this() : nullptr; }

}  // namespace

void bind_graph(py::module_& m) {
  py::class_<Graph, std::shared_ptr<Graph>>(m, "Graph", py::dynamic_attr(),
                                            "A recorded program, or a gradient tape.")
      .def(py::init([](bool symbolic, const std::string& name) {
             return std::make_shared<Graph>(symbolic, name);
           }),
           py::arg("symbolic") = true, py::arg("name") = "")
      .def_readonly("symbolic", &Graph::symbolic)
      .def_readwrite("name", &Graph::name)
      .def_readwrite("sealed", &Graph::sealed)
      .def_readwrite("merge_equal", &Graph::merge_equal)
      .def_property_readonly("recording",
                             [](Graph& g) {
                               for (Recorder* r = Recorder::top(); r; r = r->outer)
                                 if (r->graph.get() == &g) return true;
                               return false;
                             })
      .def(
          "input",
          [](Graph& g, const Shape& shape, DType dtype, const std::string& name, bool weak) {
            return g.input({shape, dtype, 0, weak}, name);
          },
          py::arg("shape"), py::arg("dtype"), py::arg("name") = "", py::arg("weak") = false)
      .def(
          "input_spec",
          [](Graph& g, const std::string& spec, const std::string& name) {
            return g.input(parse_spec(spec), name);
          },
          py::arg("spec"), py::arg("name") = "")
      .def("text", &Graph::text)
      .def("verify", &Graph::verify)
      .def("describe", [](const Graph& g, int64_t v) { return g.describe(checked_value(g, v)); })
      .def("node_count", [](const Graph& g) { return g.nodes.size(); })
      .def("value_count", [](const Graph& g) { return g.values.size(); })
      .def("node", node_record)
      .def("value", value_record)
      .def("nodes",
           [](const Graph& g) {
             py::list all;
             for (size_t i = 0; i < g.nodes.size(); ++i) all.append(node_record(g, int64_t(i)));
             return all;
           })
      .def("values",
           [](const Graph& g) {
             py::list all;
             for (size_t i = 0; i < g.values.size(); ++i) all.append(value_record(g, int64_t(i)));
             return all;
           })
      .def("columns", node_columns,
           "The nodes as NumPy columns; words, shapes and attributes by number.")
      .def("value_of", value_id,
           "Number of a tensor's value; a concrete stranger becomes a capture.")
      .def(
          "find",
          [](const Graph& g, py::handle x) {
            if (is_tensor(x.ptr())) return int(g.find(tensor_of(x.ptr()).impl()));
            if (!is_variable(x.ptr())) return -1;
            auto ids = g.values_of(variable_of(x.ptr()).get());
            return ids.empty() ? -1 : int(ids.back());
          },
          "The same, or -1 for a stranger.")
      .def("tensor", [](Graph& g, int64_t v) { return g.tensor(checked_value(g, v)); })
      .def(
          "concrete",
          [](const Graph& g, int64_t v) -> std::optional<Tensor> {
            const Tensor& t = g.values[size_t(checked_value(g, v))].concrete;
            return t ? std::optional(t) : std::nullopt;
          },
          "The tensor of a capture (or one that the tape keeps), else None.")
      .def(
          "set_name",
          [](Graph& g, py::handle v, const std::string& name) {
            g.values[size_t(value_id(g, v))].name = g.intern(name);
          },
          py::arg("value"), py::arg("name"))
      .def("value_name",
           [](const Graph& g, int64_t v) {
             return g.string(g.values[size_t(checked_value(g, v))].name);
           })
      .def_property_readonly("inputs", [](const Graph& g) { return g.inputs; })
      .def_property_readonly("captures", [](const Graph& g) { return g.captures; })
      .def_property_readonly("variable_reads", [](const Graph& g) { return g.variable_reads; })
      .def_property_readonly("assignments",
                             [](const Graph& g) {
                               py::list all;
                               for (const Assignment& a : g.assignments)
                                 all.append(py::make_tuple(a.variable, a.value));
                               return all;
                             })
      .def_property_readonly("key_value", [](const Graph& g) { return g.key_value; })
      .def("key", &Graph::key)
      .def("read", [](Graph& g, const Ref<Variable>& v) { return g.read(v.get()); })
      .def("assign",
           [](Graph& g, const Ref<Variable>& v, const Tensor& t) { g.assign(v.get(), t); })
      .def("values_of", [](const Graph& g, const Ref<Variable>& v) { return g.values_of(v.get()); })
      .def("push_scope", [](Graph& g, const std::string& name) { g.scopes.push_back(name); })
      .def("pop_scope",
           [](Graph& g) {
             if (g.scopes.empty()) fail(ErrorKind::kGraph, "Graph: there is no scope to leave.");
             g.scopes.pop_back();
           })
      .def_property_readonly("scope",
                             [](const Graph& g) {
                               std::string path;
                               for (auto& s : g.scopes) path += (path.empty() ? "" : "/") + s;
                               return path;
                             })
      .def(
          "locate_frames",
          [](Graph& g, std::vector<std::string> skip,
             std::map<std::string, std::pair<std::string, int>> cells) {
            auto locator = std::make_shared<Locator>(std::move(skip), std::move(cells));
            g.locate = [locator, &g] { return locator->find(g); };
          },
          py::arg("skip"), py::arg("cells"),
          "From now on each node notes the line of the innermost Python frame whose file starts "
          "with none of `skip`. "
          "`cells` maps file names to (cell id, execution count).")
      .def(
          "locate_with",
          [](Graph& g, py::object callback) {
            if (callback.is_none()) return void(g.locate = nullptr);
            std::shared_ptr<PyObject> held(callback.release().ptr(), [](PyObject* o) {
              if (!Py_IsInitialized()) return;
              py::gil_scoped_acquire gil;
              Py_DECREF(o);
            });
            g.locate = [held, &g] { return ask_python(g, held.get()); };
          },
          "A callback () -> (cell, execution, line) or None; None ends locating.");

  py::class_<Recording>(
      m, "Recorder",
      "While entered, this thread's ops are recorded; with None, recording is suspended.")
      .def(py::init<std::shared_ptr<Graph>>(), py::arg("graph").none(true))
      .def("begin", &Recording::begin)
      .def("end", &Recording::end)
      .def_property_readonly("graph", &Recording::graph)
      .def_property_readonly("active", &Recording::active)
      .def("__enter__",
           [](py::object self) {
             self.cast<Recording&>().begin();
             return self;
           })
      .def("__exit__", [](Recording& r, const py::args&) { r.end(); });

  m.def(
      "current_program", [] { return shared(Recorder::program()); },
      "The innermost graph that records here, or None.");
  m.def(
      "current_graph", [] { return shared(Recorder::current()); },
      "The innermost graph or tape, or None.");
  m.def("recording_depth", [] {
    int n = 0;
    for (Recorder* r = Recorder::top(); r; r = r->outer) ++n;
    return n;
  });
  m.def("gradients", python_gradients, py::arg("graph"), py::arg("ys"), py::arg("xs"),
        py::arg("seeds") = py::none());
  m.def("graph_of", [](const Tensor& t) -> std::shared_ptr<Graph> {
    auto* s = std::get_if<Symbol>(&t.impl()->is);
    return s ? s->graph : nullptr;
  });
  m.def("symbol_id", [](const Tensor& t) {
    auto* s = std::get_if<Symbol>(&t.impl()->is);
    return s ? int(s->value) : -1;
  });
  m.def("describe", [](const Tensor& t) {
    auto* s = std::get_if<Symbol>(&t.impl()->is);
    return s ? s->graph->describe(s->value) : cat(t.spec());
  });
}

}  // namespace flowbook::python
