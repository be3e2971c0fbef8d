"""The log of training runs: written line by line, read back whatever happened to it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("flowbook._core")
from flowbook import _chart, _runlog


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBOOK_CACHE_DIR", str(tmp_path))


def fake_run(**more: Any) -> Any:
    given = {"model": "m", "optimizer": "o", "epochs": 3, "epoch": 0, "step": 0, "logs": {}}
    return SimpleNamespace(**{**given, "history": SimpleNamespace(stopped=None), **more})


def log(epochs: int = 3, *, finish: bool = True) -> str:
    entry = _runlog.RunLog()
    run = fake_run()
    entry.on_train_begin(run)
    for epoch in range(epochs):
        run.epoch, run.step, run.logs = epoch, 10 * (epoch + 1), {"loss": 1 / (epoch + 1)}
        entry.on_epoch_end(run)
    if finish:
        entry.on_train_end(run)
    return entry.name


def test_a_run_is_read_back() -> None:
    run = _runlog.read(log())
    assert run["loss"] == [1, 1 / 2, 1 / 3]
    assert (run.steps, run.stopped, list(run)) == (30, None, ["loss"])
    assert run.ended is not None
    assert run.about["model"] == "'m'"


def test_a_killed_run_keeps_its_epochs() -> None:
    name = log(2, finish=False)
    path = _runlog.folder() / f"{name}.jsonl"
    path.write_text(path.read_text() + '{"epoch": 3, "lo')
    run = _runlog.read(name)
    assert len(run.logs) == 2
    assert run.ended is None


def test_nan_is_kept() -> None:
    entry = _runlog.RunLog()
    run = fake_run(logs={"loss": math.nan, "top": math.inf})
    entry.on_train_begin(run)
    entry.on_epoch_end(run)
    entry.on_train_end(run)
    assert all(json.loads(line) for line in (_runlog.folder() / f"{entry.name}.jsonl").open())
    logs = _runlog.read(entry.name).logs[0]
    assert math.isnan(logs["loss"])
    assert logs["top"] == math.inf


def test_runs_are_listed_newest_first_and_junk_is_left_out() -> None:
    names = [log(), log(), log()]
    (_runlog.folder() / "20990101-000000.jsonl").write_text('[1]\n{"logs": 3}\n')
    assert [r.name for r in _runlog.runs()] == names[::-1]


def test_an_unwritable_folder_does_not_stop_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLOWBOOK_CACHE_DIR", str(tmp_path / "file"))
    log()
    assert _runlog.runs() == []


@pytest.mark.parametrize("name", ["../x", ".hidden", "nothing"])
def test_names_do_not_reach_outside(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        _runlog.read(name)


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
    kept = _chart._thin(values)
    assert len(kept) <= 400
    assert (1234, 7.0) in kept
