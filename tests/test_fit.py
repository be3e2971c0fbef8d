"""`fit`: it learns, it is one graph, it can be interrupted, it tells what it does."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import flowbook as fb
from flowbook import _progress, nn

QUIET = {"progress": False}


def line(count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-1, 1, count, dtype=np.float32)[:, None]
    return x, 3 * x + 1


def fit_line(**settings):
    fb.random.seed(0)
    model = nn.Sequential(nn.Dense(1))
    optimizer = settings.pop("optimizer", None) or fb.optim.SGD(0.1, momentum=0.9)
    data = settings.pop("data", None) or line()
    settings = {**QUIET, "epochs": 5, **settings}
    return model, fb.fit(model, data, fb.losses.mean_squared_error, optimizer, **settings)


def digits_model() -> nn.Module:
    return nn.Sequential(nn.Dense(64, activation=nn.relu), nn.Dropout(0.1), nn.Dense(10))


def test_digits_reach_97_percent() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    fb.random.seed(0)
    data = fb.data.from_arrays(digits.data / 16, digits.target)
    train, test = data.split(0.2, seed=0, stratify=digits.target)
    model = digits_model()
    history = fb.fit(
        model,
        train,
        fb.losses.softmax_cross_entropy,
        fb.optim.AdamW(fb.optim.cosine(3e-3, steps=45 * 30, warmup=45)),
        epochs=30,
        validation=test,
        metrics=[fb.metrics.Accuracy()],
        **QUIET,
    )
    assert history.epochs == 30
    assert history.last("val_accuracy") >= 0.97
    assert history.last("loss") < history["loss"][0] / 5
    numbers = fb.evaluate(model, test, fb.losses.softmax_cross_entropy, [fb.metrics.Accuracy()])
    assert numbers["accuracy"] == pytest.approx(history.last("val_accuracy"))
    assert numbers["loss"] == pytest.approx(history.last("val_loss"))
    prediction = fb.predict(model, test.columns[0])
    share = (prediction.numpy().argmax(-1) == test.columns[1]).mean()
    assert share == pytest.approx(numbers["accuracy"])


def test_same_seed_same_bits() -> None:
    runs = [fit_line(batch_size=7) for _ in range(2)]
    assert runs[0][1]["loss"] == runs[1][1]["loss"]
    for a, b in zip(runs[0][0].variables(), runs[1][0].variables()):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_loss_is_weighted_by_examples() -> None:
    """The last batch is smaller: a mean of batch means would be wrong."""
    x = np.zeros((5, 1), np.float32)
    y = np.array([[0.0], [0.0], [0.0], [0.0], [10.0]], np.float32)
    model = nn.Dense(1, weight_init=nn.init.Zeros())
    history = fb.fit(
        model,
        (x, y),
        fb.losses.mean_squared_error,
        fb.optim.SGD(0.0),
        batch_size=4,
        shuffle=False,
        metrics={"error": fb.losses.mean_absolute_error, "squares": fb.metrics.MeanSquaredError()},
        **QUIET,
    )
    assert history.last("loss") == pytest.approx(20)
    assert history.last("error") == pytest.approx(2)
    assert history.last("squares") == pytest.approx(20)


def test_matches_a_loop_written_by_hand() -> None:
    x, y = line(32)
    fb.random.seed(0)
    model = nn.Dense(1, inputs=1)
    optimizer = fb.optim.Adam(0.05)
    for a, b in fb.data.from_arrays(x, y).batch(8, shuffle=True, seed=3).epoch(0):
        with fb.tape() as tape:
            loss = fb.losses.mean_squared_error(model(a), b)
        optimizer.update(model, tape.gradients(loss, model.parameters()))
    fb.random.seed(0)
    other = nn.Dense(1, inputs=1)
    fb.fit(
        other,
        (x, y),
        fb.losses.mean_squared_error,
        fb.optim.Adam(0.05),
        batch_size=8,
        seed=3,
        **QUIET,
    )
    np.testing.assert_allclose(other.weight.numpy(), model.weight.numpy(), rtol=1e-5)
    np.testing.assert_allclose(other.bias.numpy(), model.bias.numpy(), rtol=1e-5, atol=1e-7)


def test_dropout_is_on_while_training_and_off_in_validation() -> None:
    seen: list[bool] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(1)

        def forward(self, x):
            seen.append(nn.is_training())
            return self.dense(x)

    fb.fit(Spy(), line(), fb.losses.mean_squared_error, validation=line(8), **QUIET)
    assert set(seen) == {True, False}
    assert not nn.is_training()


def test_many_inputs_and_weights() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(1)

        def forward(self, left, right):
            return self.dense(fb.concat([left, right], axis=-1))

    x, y = line(16)
    weights = np.concatenate([np.ones((8, 1)), np.zeros((8, 1))])
    loss = fb.losses.mean_squared_error
    for inputs in ((x, x), {"left": x, "right": x}):
        history = fb.fit(Two(), fb.data.Dataset((inputs, y, weights)), loss, epochs=2, **QUIET)
        assert history.epochs == 2
        assert math.isfinite(history.last("loss"))


def test_iterables_of_batches() -> None:
    x, y = line(16)
    _, history = fit_line(data=[(x[:8], y[:8]), (x[8:], y[8:])])
    assert history.steps == 10
    with pytest.raises(fb.DataError, match="not a generator"):
        fit_line(data=iter([(x, y)]))


def test_frozen_layers_stay() -> None:
    model = nn.Sequential(nn.Dense(4, inputs=1).freeze(), nn.Dense(1, inputs=4))
    before = model.layers[0].weight.numpy().copy()
    after = model.layers[1].weight.numpy().copy()
    fb.fit(model, line(), fb.losses.mean_squared_error, **QUIET)
    np.testing.assert_array_equal(model.layers[0].weight.numpy(), before)
    assert (model.layers[1].weight.numpy() != after).any()


def test_a_second_fit_continues() -> None:
    model, history = fit_line(epochs=30)
    optimizer = fb.optim.SGD(0.1, momentum=0.9)
    loss = fb.losses.mean_squared_error
    again = fb.fit(model, line(), loss, optimizer, epochs=5, **QUIET)
    assert again["loss"][0] < history["loss"][0]
    fb.fit(model, line(), loss, optimizer, epochs=5, **QUIET)
    assert int(optimizer.step.numpy()) == 20


def test_zero_epochs() -> None:
    _, history = fit_line(epochs=0)
    assert (history.epochs, history.steps) == (0, 0)
    assert "0 epochs" in repr(history)


# Callbacks


def test_callbacks_are_called_in_order() -> None:
    calls: list[str] = []

    class Recorder(fb.callbacks.Callback):
        def on_train_begin(self, run):
            calls.append("begin")

        def on_epoch_begin(self, run):
            calls.append(f"epoch {run.epoch}")

        def on_step_end(self, run):
            assert float(run.loss) >= 0
            calls.append(f"step {run.step}")

        def on_epoch_end(self, run):
            calls.append(f"end {sorted(run.logs)}")

        def on_train_end(self, run):
            calls.append("done")

    fit_line(callbacks=[Recorder()], batch_size=32, epochs=2)
    end = "end ['loss']"
    assert calls == [
        "begin", "epoch 0", "step 1", "step 2", end, "epoch 1", "step 3", "step 4", end, "done",
    ]  # fmt: skip


def test_functions_can_stop_the_run() -> None:
    _, history = fit_line(callbacks=[lambda run: run.stop("enough") if run.epoch == 1 else None])
    assert (history.epochs, history.stopped) == (2, "enough")
    assert "stopped: enough" in repr(history)


def test_early_stopping_goes_back_to_the_best_epoch() -> None:
    rates = iter([0.05, 0.05, 5.0, 5.0, 5.0, 5.0])
    optimizer = fb.optim.SGD(0.05)

    class Diverge(fb.callbacks.Callback):
        def on_epoch_begin(self, run):
            optimizer.lr.assign(fb.asarray(np.float32(next(rates))))

    stop = fb.callbacks.EarlyStopping("val_loss", patience=2)
    model, history = fit_line(
        epochs=6, optimizer=optimizer, validation=line(16), callbacks=[Diverge(), stop]
    )
    assert history.epochs == 4
    assert stop.best_epoch == 1
    now = fb.evaluate(model, line(16), fb.losses.mean_squared_error)["loss"]
    assert now == pytest.approx(history["val_loss"][1])


def test_monitoring_something_unknown_says_what_there_is() -> None:
    with pytest.raises(fb.ArgumentError, match=r"no 'val_loss'.*There are loss.*validation set"):
        fit_line(callbacks=[fb.callbacks.EarlyStopping("val_loss")])


def test_checkpoints_and_csv(tmp_path: Path) -> None:
    model, history = fit_line(
        epochs=4,
        callbacks=[
            fb.callbacks.Checkpoint(tmp_path / "m-{epoch}.safetensors", every=2),
            fb.callbacks.Checkpoint(tmp_path / "best.safetensors", monitor="loss"),
            fb.callbacks.CSVLogger(tmp_path / "log.csv"),
        ],
    )
    assert sorted(os.listdir(tmp_path)) == [
        "best.safetensors", "log.csv", "m-2.safetensors", "m-4.safetensors",
    ]  # fmt: skip
    saved = fb.load(tmp_path / "m-4.safetensors")
    np.testing.assert_array_equal(
        saved["model.layers[0].weight"].numpy(), model.layers[0].weight.numpy()
    )
    assert int(saved["optimizer.step"]) == 8
    assert fb.load_metadata(tmp_path / "m-4.safetensors") == {"epoch": "4", "step": "8"}
    rows = (tmp_path / "log.csv").read_text().split()
    assert rows[0] == "epoch,loss"
    assert len(rows) == 5
    assert float(rows[-1].split(",")[1]) == history.last("loss")


def test_stop_on_nan() -> None:
    _, history = fit_line(
        epochs=50, optimizer=fb.optim.SGD(1e30), callbacks=[fb.callbacks.StopOnNaN()],
        on_nan="ignore",
    )  # fmt: skip
    assert history.epochs < 50
    assert "the loss is" in history.stopped


# Interrupts


def raise_signal_at(step: int, times: int = 1) -> fb.callbacks.Callback:
    class Press(fb.callbacks.Callback):
        def on_step_end(self, run):
            if run.step == step:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)

    return Press()


def test_first_interrupt_returns_what_there_is() -> None:
    before = signal.getsignal(signal.SIGINT)
    model, history = fit_line(epochs=100, callbacks=[raise_signal_at(7)])
    assert history.stopped == "interrupted"
    assert history.steps == 7
    assert history.epochs == 4  # the epoch in progress counts, with what it measured
    assert all(np.isfinite(v.numpy()).all() for v in model.variables())
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_epoch_does_not_confuse_callbacks() -> None:
    """EarlyStopping watches val_loss, which an epoch that was cut short does not have."""
    stop = fb.callbacks.EarlyStopping("val_loss")
    _, history = fit_line(
        epochs=9, validation=line(8), callbacks=[raise_signal_at(5), stop], batch_size=32
    )
    assert history.epochs == 3
    assert math.isnan(history["val_loss"][2])


def test_second_interrupt_raises() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit_line(epochs=100, callbacks=[raise_signal_at(3, times=2)])
    assert signal.getsignal(signal.SIGINT) is before
    assert not nn.is_training()
    fit_line()


def test_fit_works_outside_of_the_main_thread() -> None:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(fit_line()[1].epochs))
    thread.start()
    thread.join()
    assert results == [5]


# Errors


def test_an_error_in_the_model_leaves_variables_alone() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(1, inputs=1)

        def forward(self, x):
            return self.dense(x) @ fb.asarray(np.ones((2, 2), np.float32))

    model = Broken()
    before = model.dense.weight.numpy().copy()
    with pytest.raises(fb.ShapeError):
        fb.fit(model, line(), fb.losses.mean_squared_error, **QUIET)
    np.testing.assert_array_equal(model.dense.weight.numpy(), before)
    assert not nn.is_training()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": 3}, fb.ArgumentError, "must be a fb.nn.Module"),
        ({"loss": "mse"}, fb.ArgumentError, "loss is 'mse'"),
        ({"optimizer": fb.optim.Adam}, fb.ArgumentError, "optimizer is"),
        ({"epochs": -1}, fb.ArgumentError, "epochs is -1"),
        ({"data": np.ones(3)}, fb.ArgumentError, r"Give \(x, y\)"),
        ({"data": (np.ones((3, 1)),)}, fb.DataError, "1 parts"),
        ({"data": (np.ones((0, 1)), np.ones((0, 1)))}, fb.DataError, "no examples"),
        ({"metrics": [fb.metrics.Accuracy]}, fb.ArgumentError, r"Did you mean Accuracy\(\)"),
        ({"metrics": ["accuracy"]}, fb.ArgumentError, r"Did you mean fb.metrics.Accuracy\(\)"),
        ({"metrics": [fb.metrics.Mean("loss")]}, fb.ArgumentError, "two numbers are called 'loss'"),
        ({"loss": lambda p, t: (p - t) ** 2}, fb.ShapeError, r"loss returned f32\[32, 1\]"),
        ({"loss": lambda p, t: 1.0}, fb.ShapeError, "returned float"),
        ({"model": nn.Identity()}, fb.ArgumentError, "no trainable parameters"),
        ({"validation": 2.0}, fb.DataError, "part empty"),
    ],
)
def test_bad_arguments(arguments: dict, error: type[Exception], message: str) -> None:
    settings = {
        "model": nn.Dense(1),
        "data": line(),
        "loss": fb.losses.mean_squared_error,
        **QUIET,
        **arguments,
    }
    with pytest.raises(error, match=message):
        fb.fit(**settings)


# History and progress


def test_history_is_readable() -> None:
    _, history = fit_line(epochs=3, validation=0.25)
    assert history.keys() == ["loss", "val_loss"]
    assert len(history["loss"]) == len(history) == 3
    assert history.best("loss") == (2, min(history["loss"]))
    assert "epoch" in repr(history)
    with pytest.raises(KeyError, match=r"no 'acc'.*'loss'"):
        history["acc"]
    html = history._repr_html_()
    assert "<img" in html
    assert "http" not in html
    assert "<script" not in html
    frame = pytest.importorskip("pandas") and history.frame()
    assert list(frame.columns) == ["loss", "val_loss"]


def test_history_with_nan_draws() -> None:
    history = fb.History()
    history.add({"loss": math.nan})
    assert "<img" in history._repr_html_()
    assert history.best("loss")[0] == -1


def test_text_progress_is_a_line_per_epoch_at_most_twice_a_second(capsys) -> None:
    fit_line(epochs=50, progress="text")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch 1/50  loss ")
    assert lines[-1].startswith("epoch 50/50  loss ")
    assert len(lines) < 40


def test_progress_objects_are_told() -> None:
    events: list[str] = []

    class Told:
        def step(self, run):
            events.append("step")

        def epoch(self, run):
            events.append(f"epoch {run.epoch}")

        def close(self, run):
            events.append("close")

    fit_line(epochs=2, progress=Told())
    assert [e for e in events if e != "step"] == ["epoch 0", "epoch 1", "close"]
    assert events.count("step") <= 2


def test_predict_keeps_the_structure() -> None:
    class Two(nn.Module):
        def forward(self, x):
            return {"double": x * 2, "pair": (x, x + 1)}

    out = fb.predict(Two(), np.arange(10, dtype=np.float32), batch_size=4)
    np.testing.assert_array_equal(out["double"].numpy(), np.arange(10) * 2)
    np.testing.assert_array_equal(out["pair"][1].numpy(), np.arange(10) + 1)
    with pytest.raises(fb.DataError, match="no examples"):
        fb.predict(Two(), np.zeros((0, 2)))
    with pytest.raises(fb.ArgumentError, match="neither"):
        fb.evaluate(Two(), line())


class Slow(fb.callbacks.Callback):
    def on_step_end(self, run):
        time.sleep(0.1)


def test_notebook_progress_updates_one_output(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, bundle, raw):
            assert raw
            shown.append(bundle["text/plain"])

    def display(bundle, raw, display_id):
        assert raw
        assert display_id
        assert not shown
        shown.append(bundle["text/plain"])
        return Handle()

    monkeypatch.setattr(_progress, "INTERVAL", 0.15)
    start = time.monotonic()
    fit_line(epochs=3, batch_size=16, callbacks=[Slow()], progress=_progress.NotebookLine(display))
    assert len(shown) <= 2 + (time.monotonic() - start) / 0.15
    assert "/4" in shown[0]
    assert "us/step" in shown[0] or "ms/step" in shown[0]
    assert shown[-1].startswith("epoch 3/3  loss ")


def test_terminal_bars(capsys) -> None:
    fit_line(epochs=2, batch_size=16, callbacks=[Slow()], progress=_progress.TerminalBar())
    lines = capsys.readouterr().err.split("\n")
    assert lines[0].split("\r")[-1].startswith("epoch 1/2  loss ")
    assert lines[1].split("\r")[-1].startswith("epoch 2/2  loss ")
    pytest.importorskip("tqdm")
    fit_line(epochs=2, progress="tqdm")
    assert "epoch 2/2: 100%" in capsys.readouterr().err


def test_durations() -> None:
    spans = [0.01, 12.4, 200, 7500, math.inf]
    assert [_progress.duration(s) for s in spans] == [
        "10 ms",
        "12 s",
        "3 min 20 s",
        "2 h 5 min",
        "?",
    ]


SECOND_INTERRUPT = """
import os, signal, threading, time
import numpy as np
import flowbook as fb

class Long(fb.nn.Module):
    def __init__(self):
        self.weight = fb.Variable(np.full((800, 800), 0.01, np.float32), name="weight")
    def forward(self, x):
        for _ in range(400):
            x = fb.tanh(x @ self.weight)
        return x

class Press(fb.callbacks.Callback):
    def on_epoch_begin(self, run):
        def press():
            for _ in range(2):
                time.sleep(0.4)
                os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=press).start()

model = Long()
before = model.weight.numpy().copy()
x = np.ones((800, 800), np.float32)
try:
    fb.fit(model, (x, x), fb.losses.mean_squared_error, fb.optim.SGD(0.1), batch_size=800,
           callbacks=[Press()], progress=False)
    print("finished")
except KeyboardInterrupt:
    assert (model.weight.numpy() == before).all()
    assert not fb.nn.is_training()
    print("interrupted")
"""


def test_a_second_interrupt_ends_the_running_step_and_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SECOND_INTERRUPT], capture_output=True, text=True, timeout=100
    )
    if done.stdout == "finished\n":
        pytest.skip("the step was over before the second interrupt")
    assert done.stdout == "interrupted\n", done.stderr


def test_a_slow_first_step_counts_as_one() -> None:
    """The time of a step is that of the run, whatever the first one took."""
    traced = []

    def loss(prediction, target):
        if not traced:  # as slowly as a large model's
            traced.append(time.sleep(0.2))
        return fb.losses.mean_squared_error(prediction, target)

    run = fb.fit(nn.Dense(1), line(400), loss, epochs=40, batch_size=4, wait=False, **QUIET)
    run.wait()
    assert run.seconds_per_step < 1.5 * run.history.seconds / run.step
