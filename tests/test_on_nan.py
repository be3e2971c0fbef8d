"""What `fit` does about a loss that is not finite: it finds where it came from, and changes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core, _nan, runs
from flowbook._state import named_variables

BAD = 3  # the step whose batch breaks the loss, from 1


class Net(fb.nn.Module):
    """Takes the logarithm of what must be positive; has random numbers in front of it."""

    def __init__(self) -> None:
        self.first = fb.nn.Dense(4, 2)
        self.drop = fb.nn.Dropout(0.25)
        self.last = fb.nn.Dense(1, 4)

    def forward(self, x: Any) -> Any:
        h = self.drop(self.first(x))
        return self.last(h) + fb.log(x[:, :1])  # the line that fails


def batches(bad: float = -1.0, count: int = 5) -> list[Any]:
    rng = np.random.default_rng(0)
    made = []
    for k in range(count):
        x = rng.uniform(1, 2, (8, 2)).astype(np.float32)
        if k + 1 == BAD:
            x[2, 0] = bad
        made.append((x, x[:, 1:].copy()))
    return made


def fit(data: Any, model: Any = None, **options: Any) -> tuple[Any, Any]:
    if model is None:
        fb.random.seed(4)
        model = Net()
    fb.random.seed(5)
    optimizer = options.pop("optimizer", None) or fb.optim.Adam(0.01)
    options = {"progress": False, **options}
    return model, fb.fit(model, data, fb.losses.mean_squared_error, optimizer, **options)


def state(model: Any) -> list[bytes]:
    values = [v.numpy().tobytes() for v in model.variables()]
    return [*values, repr(_core.generator_state()).encode()]


def test_the_layer_the_line_and_the_inputs_are_named_once() -> None:
    with pytest.warns(RuntimeWarning, match="fit: the loss is nan from step 3 on") as caught:
        _, history = fit(batches(), epochs=2)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    (mark,) = history.marks
    assert (mark.kind, mark.value, mark.step) == ("alert", BAD, BAD - 1)
    line = 1 + Path(__file__).read_text().split("\n").index(
        "        return self.last(h) + fb.log(x[:, :1])  # the line that fails"
    )
    assert "log gave 1 NaN of 8 in Net, test_on_nan.py, line " in mark.text
    assert f"line {line} `return self.last(h) + fb.log(x[:, :1])" in mark.text
    assert math.isnan(history["loss"][0])
    assert history.epochs == 2


@pytest.mark.parametrize("wait", [True, False])
def test_looking_changes_nothing(wait: bool) -> None:
    """Variables, moments, metrics and random numbers are those of a run that does not look."""
    kept = []
    for choice in ("ignore", "warn"):
        fb.random.seed(4)
        optimizer = fb.optim.Adam(0.01)
        model = Net()

        def train(model: Any = model, optimizer: Any = optimizer, choice: str = choice) -> Any:
            found = fit(
                batches(), model, optimizer=optimizer, epochs=2, metrics=[fb.metrics.Mean(
                    "size", lambda p, y: fb.mean(fb.abs(y)))], on_nan=choice, wait=wait,
            )[1]  # fmt: skip
            return found if wait else found.wait(30)

        if choice == "ignore":
            history = train()
            assert not history.marks
        else:
            with pytest.warns(RuntimeWarning):
                history = train()
        moments = [v.numpy().tobytes() for v in named_variables(optimizer).values()]
        kept.append((state(model), moments, repr(history.logs)))
    assert kept[0] == kept[1]


def test_stop_keeps_the_model_of_the_step_before() -> None:
    model, history = fit(batches(), epochs=3, on_nan="stop")
    before, _ = fit(batches()[: BAD - 1], epochs=1, on_nan="ignore")
    assert state(model) == state(before)
    assert history.stopped == "the loss is nan from step 3 on"
    assert history.steps == BAD - 1
    assert [m.kind for m in history.marks] == ["alert"]


@pytest.mark.parametrize("wait", [True, False])
def test_raise_ends_the_run_with_the_model_of_the_step_before(wait: bool) -> None:
    fb.random.seed(4)
    model = Net()
    with pytest.raises(
        fb.NonFiniteError, match="fit: the loss is nan from step 3 on; first NaN: log"
    ):
        found = fit(batches(), model, on_nan="raise", wait=wait)[1]
        found.wait(30)
    fb.random.seed(4)
    before, _ = fit(batches()[: BAD - 1], Net(), on_nan="ignore")
    assert state(model)[:-1] == state(before)[:-1]
    assert issubclass(fb.NonFiniteError, (fb.FlowbookError, ArithmeticError))


def test_an_infinite_loss_counts() -> None:
    _, history = fit(batches(bad=0.0), on_nan="stop")
    assert history.stopped == "the loss is inf from step 3 on"
    assert "first Inf: log gave 1 Inf of 8 in Net" in history.marks[0].text


def test_a_nan_in_the_data_is_told_as_such() -> None:
    data = batches(bad=1.0)
    data[BAD - 1][1][3] = np.nan
    _, history = fit(data, on_nan="stop")
    assert "first NaN: input target holds 1 NaN of 8 already" in history.marks[0].text


class Root(fb.nn.Module):
    """Its loss is finite at zero, its gradient is not."""

    def __init__(self) -> None:
        self.weight = fb.Variable(np.zeros(3, np.float32))

    def forward(self, x: Any) -> Any:
        return x[:, 1:] + fb.sum(fb.sqrt(self.weight * self.weight))


def test_a_gradient_that_breaks_the_weights_is_found_where_that_is_asked_for() -> None:
    model, history = fit(batches(bad=1.0), Root(), on_nan="stop")
    assert history.stopped == "a gradient is not finite from step 1 on"
    assert "in the gradient of sqrt in Root, test_on_nan.py, line" in history.marks[0].text
    assert model.weight.numpy().tolist() == [0, 0, 0]
    with pytest.warns(RuntimeWarning):
        _, history = fit(batches(bad=1.0), Root())
    text = history.marks[0].text
    assert text.startswith("the loss is nan from step 2 on; first NaN: variable weight holds 3 NaN")
    assert "on_nan='raise' looks at gradients" in text


def test_nothing_is_looked_at_while_all_is_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nan, "explain", lambda *args: pytest.fail("nothing to explain"))
    results = []
    for choice in _nan.CHOICES:
        model, history = fit(batches(bad=1.0), epochs=2, on_nan=choice)
        results.append((state(model), history["loss"]))
    assert all(result == results[0] for result in results)


def test_a_run_goes_on_without_an_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise fb.OutOfMemoryError("no room")

    monkeypatch.setattr("flowbook._steps.TrainingStep.inspect", fail)
    with pytest.warns(
        RuntimeWarning, match=r"not finite from step 3 on \(no cause was found: no r"
    ):
        _, history = fit(batches())
    assert history.steps == 5


def test_the_log_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBOOK_CACHE_DIR", str(tmp_path))
    fit(batches(), on_nan="stop", log=True)
    (path,) = (tmp_path / "runs").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (mark,) = [line["mark"] for line in lines if "mark" in line]
    assert "log gave 1 NaN of 8 in Net" in mark["text"]
    assert runs.all()[0].marks[0].kind == "alert"


def test_other_words_are_refused() -> None:
    with pytest.raises(fb.ArgumentError, match=r"on_nan is 'wanr'\. It is one of 'warn', 'stop'"):
        fit(batches(), on_nan="wanr")
