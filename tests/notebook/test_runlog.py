"""The log of training runs: written line by line, read back whatever happened to it."""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("flowbook._core")
import flowbook as fb
from flowbook import _chart, _runlog, runs
from flowbook._history import Mark
from flowbook.errors import ArgumentError


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBOOK_CACHE_DIR", str(tmp_path))


def fake_run(**more: Any) -> Any:
    given = {
        "name": "20260101-120000", "label": "", "model": "m", "optimizer": "o", "epochs": 3,
        "epoch": 0, "step": 0, "logs": {}, "started": 1.7e9, "steps_per_epoch": 10, "seconds": 1.5,
        "error": None, "facts": {"data": "d"},
    }  # fmt: skip
    history = SimpleNamespace(stopped=None, seconds=2.5, logs=[])
    return SimpleNamespace(**{**given, "history": history, **more})


def log(epochs: int = 3, *, finish: bool = True, **more: Any) -> str:
    run = fake_run(**more)
    entry = _runlog.RunLog(run)
    entry.began(run)
    for epoch in range(epochs):
        entry.tick(run, run.step + 1, [1 / (run.step + k + 1) for k in range(10)])
        run.epoch, run.step = epoch, 10 * (epoch + 1)
        run.history.logs.append({"loss": 1 / (epoch + 1)})
        entry.epoch(run)
    if finish:
        entry.ended(run)
    else:
        entry._due = 0  # a second has gone by
        entry.epoch(run)
        _unfinished.append(entry)  # its lock is held as long as the file is open
    return run.name


_unfinished: list[Any] = []


def path_of(name: str) -> Path:
    return _runlog.folder() / f"{name}.jsonl"


def test_a_run_is_read_back() -> None:
    run = runs.get(log(label="mine"))
    assert run["loss"] == pytest.approx([1, 1 / 2, 1 / 3], rel=1e-11)
    assert (run.steps, run.stopped, list(run), run.status) == (30, None, ["loss"], "finished")
    assert (run.seconds, run.label, run.title) == (2.5, "mine", "mine")
    assert run.about["model"] == "'m'"
    assert run.about["data"] == "d"
    assert run.best() == ("loss", pytest.approx(1 / 3))
    points = run.points()
    assert points.step.tolist() == list(range(1, 31))
    assert points.mean[:3] == pytest.approx([1, 1 / 2, 1 / 3])


def test_the_model_is_described_as_its_first_step_has_built_it() -> None:
    model = fb.nn.Sequential(fb.nn.Dense(128, activation=fb.nn.relu), fb.nn.Dense(10))
    run = fake_run(model=model)
    entry = _runlog.RunLog(run)
    entry.began(run)
    entry._flush()
    assert runs.get(run.name).about["model"] == "Sequential"
    entry.tick(run, 1, [])  # no step yet
    model(fb.ones((2, 64)))
    entry.tick(run, 1, [1.0])
    entry._flush()
    assert runs.get(run.name).about["model"] == "Sequential: 9,610 parameters, 38.4 kB"
    entry.ended(run)
    assert "Dense(64 -> 128, relu)" in runs.get(run.name).summary
    assert "Sequential: 9,610 parameters, 38.4 kB" in repr(runs.all())


def test_runs_are_told_in_words() -> None:
    name = log(label="mine")
    assert "mine: finished, 3 epochs, 30 steps, 2 s, best loss 0.3333\n" in repr(runs.compare(name))
    with pytest.raises(KeyError, match="there is 1 run, so 7 is none of them"):
        runs.get(7)
    log()
    with pytest.raises(KeyError, match="there are 2 runs"):
        runs.get(7)


def test_lists_cut_at_the_end_of_a_word() -> None:
    log(label="the first try with a very small learning rate", model="a " * 40)
    text = repr(runs.all())
    assert "the first try with a very…" in text
    assert "a a a…" in text


def test_a_running_log_is_told_from_one_that_was_killed() -> None:
    name = log(2, finish=False)
    assert runs.get(name).status == "running"
    with pytest.raises(ArgumentError, match="still runs"):
        runs.delete(name)
    _unfinished.pop()._file.close()
    assert runs.get(name).status == "killed"


def test_a_killed_run_keeps_its_epochs() -> None:
    name = log(2, finish=False)
    _unfinished.pop()._file.close()
    with path_of(name).open("a") as file:
        file.write('{"epoch": 3, "lo')
    run = runs.get(name)
    assert len(run.logs) == 2
    assert run.ended is None


def test_every_truncation_can_be_read() -> None:
    whole = path_of(log(label="x")).read_bytes()
    for end in range(0, len(whole), 7):
        path_of("cut").write_bytes(whole[:end])
        run = runs.get("cut")
        assert len(run.logs) <= 3
        assert len(run.points().step) <= 30


HOSTILE = [
    "[1]",
    "null",
    '{"logs": 3}',
    '{"logs": {"loss": "x"}}',
    '{"logs": {"loss": [1]}}',
    '{"logs": {"loss": 1e999}}',
    '{"started": "yesterday"}',
    '{"started": null}',
    '{"course": 7}',
    '{"course": [[1], ["a", 1, 2, 3], [5, 1, 1, 1]]}',
    '{"mark": []}',
    '{"mark": {"step": "1", "epoch": {}, "kind": 1, "text": 2}}',
    '{"ended": {}}',
    '{"ended": 1e300, "steps": "many"}',
    '{"ended": ' + "9" * 5000 + "}",
    "[" * 100_000,
    "\x00\xff\ufffd",
    '{"summary": ["<script>"]}',
    '{"logs": {' + ", ".join(f'"n{i}": 1' for i in range(500)) + "}}",
]


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: line[:20])
def test_hostile_lines_do_no_harm(line: str) -> None:
    name = log(1)
    text = path_of(name).read_text()
    path_of(name).write_text(line + "\n" + text + line + "\n")
    run = runs.get(name)
    assert 1 in run["loss"]
    assert len(list(run)) <= 65
    run._repr_mimebundle_()
    repr(run)
    repr(runs.all())
    runs.all()._repr_html_()


def test_names_are_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>"
    name = log(label=evil, model=evil, facts={"data": evil})
    for html in (
        runs.all()._repr_html_(),
        runs.compare(name, name)._repr_html_(),
        runs.get(name)._repr_mimebundle_()["text/html"],
    ):
        assert evil not in html


def test_nan_is_kept() -> None:
    run = fake_run()
    run.history.logs.append({"loss": math.nan, "top": math.inf})
    entry = _runlog.RunLog(run)
    entry.began(run)
    entry.tick(run, 1, [1.0, math.nan])
    entry.epoch(run)
    entry.ended(run)
    for line in path_of(run.name).open():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    read = runs.get(run.name)
    assert math.isnan(read.logs[0]["loss"])
    assert read.logs[0]["top"] == math.inf
    assert read.points().mean[0] == 1
    assert math.isnan(read.points().mean[1])


def test_means_too_large_for_a_number_are_kept_as_json() -> None:
    run = fake_run()
    entry = _runlog.RunLog(run)
    entry.began(run)
    entry._due = 0
    entry.tick(run, 1, [1.7e308] * 4000)
    run.step = 4000
    entry.ended(run)
    for line in path_of(run.name).open():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert runs.get(run.name).points().step[-1] == 4000


def test_marks_and_errors_are_kept() -> None:
    run = fake_run(error=ValueError("no"))
    entry = _runlog.RunLog(run)
    entry.began(run)
    entry.marked(run, Mark(3, 0.3, "learning rate", "learning rate 0.1 to 0.01", 0.01))
    entry.ended(run)
    read = runs.get(run.name)
    assert read.marks == [Mark(3, 0.3, "learning rate", "learning rate 0.1 to 0.01", 0.01)]
    assert (read.status, read.error) == ("failed", "ValueError: no")


def test_long_runs_have_short_logs() -> None:
    run = fake_run()
    entry = _runlog.RunLog(run)
    entry.began(run)
    losses = [1.0] * 1000
    losses[500] = 99.0
    for k in range(200):
        entry._due = 0
        entry.tick(run, 1000 * k + 1, losses if k == 150 else [1.0] * 1000)
    run.step = 200_000
    entry.ended(run)
    points = runs.get(run.name).points()
    assert len(points.step) < 20_000
    assert points.step[-1] == 200_000
    assert points.high.max() == 99
    assert path_of(run.name).stat().st_size < 700_000


def test_runs_are_listed_newest_first_and_junk_is_left_out() -> None:
    names = [log(started=1.7e9 + k) for k in range(3)]
    assert len(set(names)) == 3
    path_of("20990101-000000").write_text('[1]\n{"logs": 3}\n')
    assert [r.name for r in runs.all()] == names[::-1]
    assert {runs.get(k).name for k in (-1, "-1", 1, "1")} == {names[-1]}
    assert runs.get("3").name == names[0]
    assert len(runs.all(limit=2)) == 2
    with pytest.raises(KeyError, match="3 runs"):
        runs.get(-4)


def test_labels_name_the_newest() -> None:
    log(label="a")
    name = log(label="a", started=1.8e9)
    assert runs.get("a").name == name


def test_deleting_is_all_or_nothing() -> None:
    a, b = log(), log()
    with pytest.raises(KeyError, match="'nothing'"):
        runs.delete(a, "nothing")
    assert runs.delete(a) == [a]
    assert [r.name for r in runs.all()] == [b]


def test_several_kernels_write_at_once() -> None:
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(log())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 8
    assert all(runs.get(name)["loss"] == pytest.approx([1, 1 / 2, 1 / 3]) for name in names)


def test_the_oldest_logs_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_runlog, "_KEPT", 3)
    names = [log(started=1.7e9 + k) for k in range(6)]
    for k, name in enumerate(names):
        if path_of(name).exists():
            os.utime(path_of(name), (k, k))
    log()
    assert len(list(_runlog.folder().glob("*.jsonl"))) <= 4


def test_an_unwritable_folder_does_not_stop_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLOWBOOK_CACHE_DIR", str(tmp_path / "file"))
    log()
    assert len(runs.all()) == 0


@pytest.mark.parametrize("name", ["../x", ".hidden", "nothing", "", "a/b"])
def test_names_do_not_reach_outside(name: str) -> None:
    with pytest.raises(KeyError):
        runs.get(name)


def test_comparing_draws_each_number_once_with_all_runs() -> None:
    a, b = log(label="one"), log(label="two")
    charts = runs.compare(a, b).charts()
    assert [(c.title, [name for name, _ in c.lines]) for c in charts] == [("loss", ["one", "two"])]
    with pytest.raises(ArgumentError, match="at least one"):
        runs.compare()


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.5, 1]), (0.13, 0.92, [0.2, 0.4, 0.6, 0.8]), (3, 3, [3]), (-5, 5, [-5, 0, 5])],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert _chart.nice_ticks(low, high) == pytest.approx(ticks)


def test_charts_escape_names_and_survive_gaps() -> None:
    svg = _chart.chart("<b>", [("<i>", [math.nan, 1.0, math.inf, 2.0]), ("x", [])])
    assert "<b>" not in svg
    assert "<i>" not in svg
    assert "nan" not in svg.lower().replace("nan;", "")
    assert _chart.describe("loss", [("loss", [2.0, 1.0])]) == "loss: loss from 2 to 1"


def test_long_courses_keep_their_extremes() -> None:
    values = [0.0] * 10_000
    values[1234] = 7.0
    kept = _chart._thin(values, 400)
    assert len(kept) <= 400
    assert (1234, 7.0) in kept


def test_short_epochs_share_a_line() -> None:
    """Also where their numbers change; each of them is read back."""
    run = fake_run()
    entry = _runlog.RunLog(run)
    entry.began(run)
    for epoch in range(1000):
        run.history.logs.append({"loss": 1.0 * epoch, **({"val": 2.0} if epoch >= 600 else {})})
        entry.epoch(run)
    entry.ended(run)
    lines = [json.loads(line) for line in path_of(run.name).open()]
    assert len([line for line in lines if "logs" in line]) < 10
    read = runs.get(run.name)
    assert read["loss"] == [float(epoch) for epoch in range(1000)]
    assert [len(logs) for logs in read.logs] == [1] * 600 + [2] * 400
