// Owner in Python: training runs claim what they train.
#include "core/owner.h"

#include "binding.h"

namespace flowbook::python {
namespace {

std::vector<Ref<Variable>> variables_of(py::handle list) {
  auto items = py::reinterpret_steal<py::object>(
      checked(PySequence_Fast(list.ptr(), "Owner: give a list of Variables")));
  std::vector<Ref<Variable>> out;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.ptr()); ++i) {
    PyObject* o = PySequence_Fast_GET_ITEM(items.ptr(), i);
    if (!is_variable(o))
      dtype_error("Owner: entry ", int64_t(i), " is a ", Py_TYPE(o)->tp_name,
                  ". It must be a Variable.");
    out.push_back(variable_of(o));
  }
  return out;
}

}  // namespace

void bind_owner(py::module_& m) {
  py::class_<Owner, std::shared_ptr<Owner>>(
      m, "Owner", "Who may write a set of Variables; others may read them.")
      .def(py::init<std::string>(), py::arg("name"))
      .def(
          "claim",
          [](Owner& o, py::handle list) {
            const auto variables = variables_of(list);
            py::gil_scoped_release unlocked;  // a step may hold a Variable while it ends
            o.claim(variables);
          },
          py::arg("variables"),
          "All or none; GraphError names the owner that has one of them already.")
      .def("release", &Owner::release, py::call_guard<py::gil_scoped_release>(),
           "Gives all of them back.")
      .def_property_readonly("name", &Owner::name)
      // A pair rather than a context manager: a run's thread begins once, callbacks come and go.
      .def(
          "begin", [](Owner& o) { return Owner::act(&o) == nullptr; },
          "This thread acts for the owner from now on.")
      .def("end", [](Owner&) { Owner::act(nullptr); }, "This thread acts for nobody any more.");
  m.def(
      "read_together",
      [](py::handle list) {
        const auto variables = variables_of(list);
        std::vector<Tensor> values;
        {
          py::gil_scoped_release unlocked;
          values = read_together(variables);
        }
        py::list out;
        for (Tensor& t : values)
          out.append(py::reinterpret_steal<py::object>(checked(wrap(std::move(t)))));
        return out;
      },
      py::arg("variables"),
      "The stored values of Variables, all as they are between the same two steps of a run.");
}

}  // namespace flowbook::python
