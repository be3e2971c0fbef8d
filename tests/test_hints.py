"""Names that are not there: the error says what was meant, in flowbook's words."""

from __future__ import annotations

import inspect
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
        ("optimizer.apply", "In flowbook: optimizer.update(params, grads)."),
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
    ("call", "hint"),
    [
        ("fb.fit(model, data, loss, validation_data=data)", "In flowbook: validation=(x, y)."),
        ("fb.fit(model, data, loss, validation_split=0.2)", "In flowbook: validation=0.2, the"),
        ("fb.fit(model, x, y=x)", "In flowbook: fb.fit(model, (x, y), ...)"),
        ("fb.fit(model, data, loss, verbose=0)", "In flowbook: progress=False"),
        ("fb.fit(model, data, loss, num_epochs=2)", "In flowbook: epochs."),
        ("fb.fit(model, data, loss, epoch=2)", "Did you mean epochs?"),
        ("fb.fit(model, data, loss, learning_rate=0.1)", "fb.optim.Adam(1e-3)"),
        ("fb.evaluate(model, data, loss_fn=loss)", "In flowbook: loss."),
        ("fb.predict(model, x, y=x)", "In flowbook: fb.predict(model, (x, y), ...)"),
    ],
)
def test_the_error_names_the_argument_that_was_meant(call: str, hint: str) -> None:
    names = {**NAMED, "data": None, "loss": fb.losses.mean_squared_error}
    with pytest.raises(TypeError, match="got an unexpected keyword argument") as error:
        eval(call, names)
    assert isinstance(error.value, fb.FlowbookError)  # notebooks show the user's frames alone
    assert hint in str(error.value)


def test_no_argument_is_guessed_where_none_is_near() -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'xyzzy'\.$"):
        fb.fit(None, None, None, xyzzy=1)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'criterion'\.$"):
        fb.predict(None, None, criterion=1)  # it has no loss


@pytest.mark.parametrize("call", [fb.fit, fb.evaluate, fb.predict])
def test_no_word_hides_an_argument_of_ours(call: types.FunctionType) -> None:
    assert not {_hints._fold(name) for name in inspect.signature(call).parameters} & set(
        _hints.ARGUMENTS
    )


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
