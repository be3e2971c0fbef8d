"""Names that are not there: the error says what was meant, in flowbook's words."""

from __future__ import annotations

import re
import traceback
import types

import pytest

import flowbook as fb
from flowbook import _hints

OBJECTS = {
    "Tensor": fb.ones((2,)),
    "Module": fb.nn.Sequential(fb.nn.Dense(3)),
    "Optimizer": fb.optim.SGD(0.1),
}
NAMED = {
    "fb": fb,
    "x": OBJECTS["Tensor"],
    "model": OBJECTS["Module"],
    "optimizer": OBJECTS["Optimizer"],
}
MEANINGS = [
    *_hints._IN_MODULES.values(),
    *(m for table in _hints._ON.values() for m in table.values()),
]


@pytest.mark.parametrize("meaning", sorted(set(MEANINGS)))
def test_what_is_named_is_there(meaning: str) -> None:
    for root, path in re.findall(r"\b(fb|x|model|optimizer)\.([\w.]*\w)", meaning):
        found = NAMED[root]
        for part in path.split("."):
            if found is not fb.data.from_arrays:  # what it returns is not called here
                found = getattr(found, part)


@pytest.mark.parametrize("kind", OBJECTS)
def test_no_word_hides_a_name_of_ours(kind: str) -> None:
    ours = {_hints._fold(name) for name in dir(OBJECTS[kind]) if name[0] not in "_T"}  # x.t is x.T
    assert not ours & set(_hints._ON[kind])


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("fb.softmax", "Did you mean fb.nn.softmax?"),
        ("fb.Dense", "Did you mean fb.nn.Dense?"),
        ("fb.nn.Conv2d", "Did you mean fb.nn.Conv2D?"),
        ("fb.metrics.accurate", "Did you mean fb.metrics.accuracy?"),
        ("fb.nn.Linear", "In flowbook: fb.nn.Dense."),
        ("fb.losses.MSELoss", "In flowbook: fb.losses.mean_squared_error."),
        ("fb.optim.adam", "Did you mean fb.optim.Adam?"),
        ("fb.random.randn", "In flowbook: fb.random.normal."),
        ("fb.data.DataLoader", "In flowbook: fb.data.from_arrays(...).batch(size)."),
        ("fb.no_grad", "flowbook needs no such thing: only what"),
        ("x.backward", "fb.grad(f)"),
        ("x.view", "In flowbook: x.reshape(shape)."),
        ("x.exp", "It is a function: fb.exp(x)."),
        ("x.softmax", "It is a function: fb.nn.softmax(x)."),
        ("x.add_", "Tensors do not change"),
        ("fb.Variable(x).detach", "In flowbook: fb.stop_gradient(x)."),
        ("model.fit", "In flowbook: fb.fit(model, data, loss, optimizer)."),
        ("model.state_dict", "fb.save(path, model)"),
        ("optimizer.zero_grad", "flowbook needs no such thing: gradients do not add up"),
    ],
)  # fmt: skip
def test_the_error_names_what_was_meant(expression: str, hint: str) -> None:
    with pytest.raises(AttributeError) as error:
        eval(expression, dict(NAMED))
    assert hint in str(error.value)
    assert expression.rpartition(".")[2] in str(error.value)
    shown = "".join(traceback.format_exception_only(error.value))
    assert shown.count("Did you mean") <= 1  # Python adds none of its own


@pytest.mark.parametrize(
    "expression", ["fb.xyz", "x.xyz", "model.xyz", "fb.nn.__wrapped__", "x.save"]
)
def test_nothing_is_guessed_where_nothing_is_known(expression: str) -> None:
    with pytest.raises(AttributeError, match=r"has no attribute '\w+'$"):
        eval(expression, dict(NAMED))


def test_a_misspelt_name_of_an_object_is_left_to_python() -> None:
    with pytest.raises(AttributeError) as error:
        _ = OBJECTS["Tensor"].shap
    assert (error.value.name, error.value.obj) == ("shap", OBJECTS["Tensor"])


def test_probing_stays_possible() -> None:
    assert not any(hasattr(OBJECTS["Tensor"], name) for name in ("detach", "cpu", "exp", "values"))
    assert not hasattr(OBJECTS["Module"], "fit")


def test_an_error_within_a_property_is_seen() -> None:
    class Net(fb.nn.Module):
        @property
        def train(self) -> int:
            return self.lost  # type: ignore[no-any-return]

    with pytest.raises(AttributeError, match="no attribute 'lost'"):
        _ = Net().train


def test_a_users_own_names_come_first() -> None:
    class Net(fb.nn.Module):
        def fit(self) -> str:
            return "mine"

    assert Net().fit() == "mine"


@pytest.mark.parametrize(
    "module",
    [fb, fb.nn, fb.nn.init, fb.optim, fb.losses, fb.metrics, fb.data, fb.random]
    + [fb.callbacks, fb.runs, fb.memory],
    ids=lambda module: module.__name__,
)
def test_completion_offers_what_is_meant_to_be_used(module: types.ModuleType) -> None:
    offered = {name for name in dir(module) if not name.startswith("_")}
    assert offered == set(module.__all__)
    assert not offered & {"TYPE_CHECKING", "Any", "annotations", "np"}
    for name in offered:
        getattr(module, name)
