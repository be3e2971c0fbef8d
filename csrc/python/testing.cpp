// flowbook._core.testing: what the op harness asks beyond running ops. No part of the public surface.
#include "binding.h"

namespace flowbook::python {

namespace {

std::vector<std::string> infer(const std::string& name, const std::vector<std::string>& specs, const py::kwargs& kwargs) {
  const OpDef& op = registry().find(name);
  AttrFrame attrs(op);
  set_attrs(op, attrs, kwargs);
  // Symbols of a graph of their own: promotion may record casts.
  auto graph = std::make_shared<Graph>(true, "infer");
  Recorder recorder(graph);
  std::vector<Tensor> inputs;
  std::vector<TensorImpl*> in;
  for (const std::string& s : specs) {
    inputs.push_back(graph->input(parse_spec(s)));
    in.push_back(inputs.back().impl());
  }
  if (!op.variadic && in.size() != op.inputs.size())
    argument_error("infer: ", name, " takes ", op.inputs.size(), " inputs, ", in.size(), " specs were given.");
  std::vector<Spec> out;
  infer_only(op, attrs.get(), in, out);
  std::vector<std::string> texts;
  for (const Spec& s : out) texts.push_back(cat(s));
  return texts;
}

std::vector<Tensor> expand(const std::string& name, const py::list& values, const py::kwargs& kwargs) {
  const OpDef& op = registry().find(name);
  if (!op.expand) argument_error("expand: ", name, " is no composite.");
  AttrFrame attrs(op);
  set_attrs(op, attrs, kwargs);
  std::vector<Tensor> inputs(values.size());
  std::vector<TensorImpl*> in;
  for (size_t i = 0; i < values.size(); ++i) {
    TensorImpl* t = argument(values[i].ptr(), inputs[i]);
    if (!t) argument_error("expand: input ", i, " is no tensor.");
    in.push_back(t);
  }
  if (!op.variadic && in.size() != op.inputs.size())
    argument_error("expand: ", name, " takes ", op.inputs.size(), " inputs, ", in.size(), " were given.");
  std::vector<Tensor> out(size_t(op.outputs_of(attrs.get(), int(in.size()))));
  op.expand(attrs.get(), in, out.data());
  return out;
}

}  // namespace

void bind_testing(py::module_& m) {
  py::module_ t = m.def_submodule("testing", "For the test suite only.");
  t.def("infer", infer);
  t.def("expand", expand);
  t.def("attrs_json", [](const std::string& name, const py::kwargs& kwargs) {
    const OpDef& op = registry().find(name);
    AttrFrame attrs(op);
    set_attrs(op, attrs, kwargs);
    return op.json(attrs.get());
  });
  t.def("spec", [](const Tensor& x) { return cat(x.spec()); });
}

}  // namespace flowbook::python
