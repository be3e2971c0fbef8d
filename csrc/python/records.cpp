// The records of the ops as plain data (for docs, stubs and the test harness), and each way to run
// an op by itself.
#include "interrupt.h"

namespace flowbook::python {
namespace {

const char* role_name(Role r) { return r == Role::kValue ? "value" : "own"; }
constexpr const char* kAttrKinds[] = {"bool",  "int", "float", "string", "axes",
                                      "shape", "dim", "dtype", "ints",   "scalar"};

py::list dtypes_in(DTypeSet s) {
  py::list names;
  for (int i = 0; i < kDTypes; ++i)
    if (in(DType(i), s)) names.append(name_of(DType(i)));
  return names;
}

// Names of the values a gradient rule looks at.
py::list reads(const OpDef& d) {
  py::list names;
  for (size_t i = 0; i < d.inputs.size(); ++i)
    if (d.reads_inputs >> i & 1) names.append(d.inputs[i].name);
  for (size_t i = 0; i < d.outputs.size(); ++i)
    if (d.reads_outputs >> i & 1) names.append(d.outputs[i].name);
  return names;
}

py::dict record(const OpDef& d) {
  py::dict r;
  r["name"] = d.name;
  r["doc"] = d.doc;
  r["family"] = d.family;
  r["formula"] = d.formula ? py::object(py::str(d.formula)) : py::object(py::none());
  py::list inputs, outputs, attrs, examples;
  for (const InputDef& i : d.inputs) {
    py::dict x;
    x["name"] = i.name;
    x["doc"] = i.doc;
    x["accepts"] = dtypes_in(i.accepts);
    x["role"] = role_name(i.role);
    inputs.append(x);
  }
  for (const OutputDef& o : d.outputs) {
    py::dict x;
    x["name"] = o.name;
    x["doc"] = o.doc;
    outputs.append(x);
  }
  for (const AttrDef& a : d.attrs) {
    py::dict x;
    x["name"] = a.name;
    x["kind"] = kAttrKinds[int(a.type->kind)];
    x["type"] = a.type->python;
    x["default"] = attr_to_python(a, d.at(d.defaults.get(), a));
    x["doc"] = a.doc;
    attrs.append(x);
  }
  for (auto& [call, result] : d.examples) examples.append(py::make_tuple(call, result));
  r["inputs"] = inputs;
  r["outputs"] = outputs;
  r["fixed_outputs"] = d.fixed_outputs;
  r["attrs"] = attrs;
  r["examples"] = examples;
  r["variadic"] = d.variadic;
  r["differentiable"] = d.differentiable;
  r["elementwise"] = d.elementwise >= 0;
  r["broadcasts"] = d.broadcasts;
  r["random"] = d.random;
  r["has_vjp"] = d.vjp != nullptr;
  r["has_expand"] = d.expand != nullptr;
  r["has_view"] = d.view != nullptr;
  py::dict kernels;
  for (Backend* b : devices())
    if (const KernelEntry* e = b->find(d)) {
      py::dict k;
      k["dtypes"] = dtypes_in(e->dtypes);
      k["strided"] = e->strided;
      k["in_place"] = e->in_place != nullptr;
      kernels[py::str(b->name())] = k;
    }
  r["kernels"] = kernels;
  r["reads"] = reads(d);
  r["signature"] = d.signature();
  return r;
}

py::list tensors_out(std::vector<Tensor>& out, int n) {
  py::list list;
  for (int i = 0; i < n; ++i)
    list.append(py::reinterpret_steal<py::object>(checked(wrap(std::move(out[size_t(i)])))));
  return list;
}

}  // namespace

void bind_testing(py::module_& m) {
  m.def(
      "op_records",
      [] {
        py::list all;
        for (auto& d : registry().all()) all.append(record(*d));
        return all;
      },
      "The records of all ops.");
  m.def(
      "op_families",
      [] {
        py::dict all;
        for (auto& d : registry().all()) all[d->name] = d->family;
        return all;
      },
      "Family of each op, by name.");
  m.def("op_record", [](py::handle op) {
    if (const OpDef* d = op_of(op.ptr())) return record(*d);
    return record(registry().find(op.cast<std::string>()));
  });

  auto infer = [](const std::string& name, const std::vector<std::string>& specs,
                  const py::kwargs& kwargs) {
    const OpDef& op = registry().find(name);
    AttrFrame attrs(op);
    set_attrs(op, attrs, kwargs);
    std::vector<Tensor> held;
    std::vector<TensorImpl*> in;
    if (!op.variadic && specs.size() != op.inputs.size())
      argument_error("infer: ", name, " has ", op.inputs.size(), " inputs, ", specs.size(),
                     " specs were given.");
    auto scratch = std::make_shared<Graph>(true);
    for (const std::string& s : specs) {
      held.push_back(scratch->input(parse_spec(s)));
      in.push_back(held.back().impl());
    }
    Recorder recorder(scratch);  // promotion may add casts
    std::vector<Spec> out;
    infer_only(op, attrs.get(), in, out);
    std::vector<std::string> texts;
    for (const Spec& s : out) texts.push_back(cat(s));
    return texts;
  };
  auto expand = [](const std::string& name, const py::list& inputs, const py::kwargs& kwargs) {
    const OpDef& op = registry().find(name);
    if (!op.expand) argument_error("expand: ", name, " is no composite.");
    AttrFrame attrs(op);
    set_attrs(op, attrs, kwargs);
    std::vector<Tensor> held(inputs.size());
    std::vector<TensorImpl*> in;
    for (size_t i = 0; i < inputs.size(); ++i) {
      TensorImpl* t = argument(py::object(inputs[i]).ptr(), held[i]);
      if (!t) dtype_error("expand: input ", i, " is no tensor.");
      in.push_back(t);
    }
    const int n = op.outputs_of(attrs.get(), int(in.size()));
    std::vector<Tensor> out(size_t(n) + 1);
    op.expand(attrs.get(), in, out.data());
    flush_interrupt();
    return tensors_out(out, n);
  };
  auto attrs_json = [](const std::string& name, const py::kwargs& kwargs) {
    const OpDef& op = registry().find(name);
    AttrFrame attrs(op);
    set_attrs(op, attrs, kwargs);
    return op.json(attrs.get());
  };
  // There and back: attributes to Python objects and again; true if nothing changed.
  auto attrs_round_trip = [](const std::string& name, const py::kwargs& kwargs) {
    const OpDef& op = registry().find(name);
    AttrFrame a(op), b(op);
    set_attrs(op, a, kwargs);
    for (const AttrDef& d : op.attrs)
      attr_from_python(op, d, b.data(), attr_to_python(d, op.at(a.get(), d)).ptr());
    return op.equal(a.get(), b.get()) && op.hash(a.get()) == op.hash(b.get());
  };

  m.def("infer", infer);
  m.def("run_expanded", expand);
  m.def("attrs_json", attrs_json);
  py::module_ t =
      m.def_submodule("testing", "Each way to run an op by itself; for the test harness.");
  t.def("function", [m](const std::string& name) { return m.attr("op")(name); });
  t.def("infer", infer);
  t.def("expand", expand);
  t.def("attrs_json", attrs_json);
  t.def("attrs_round_trip", attrs_round_trip);
  t.def("spec", [](const Tensor& x) { return cat(x.spec()); });
  t.def("dense", [](const Tensor& x) { return view_of(x).dense; });
}

}  // namespace flowbook::python
