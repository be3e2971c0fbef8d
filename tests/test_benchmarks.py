"""The benchmark script runs, agrees with itself and says what it could not measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "benchmarks" / "run.py"


def run(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--out", str(out), "--rounds", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_rows_of_flowbook_and_numpy(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    done = run(
        out,
        *("--seconds", "0.02", "--no-import"),
        *("--frameworks", "flowbook", "numpy"),
        *("--only", "mlp_tiny", "add_tiny"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())
    rows = results["rows"]
    assert rows["mlp_tiny"]["flowbook"]["us"] > 0
    assert 0 < rows["mlp_tiny"]["flowbook"]["loss"] < 5
    assert rows["mlp_tiny"]["numpy"] == {"missing": "no gradients"}
    assert rows["add_tiny"]["numpy"]["us"] > 0
    assert "best peer / flowbook" in done.stdout
    assert 0 < results["floors"]["mlp_tiny"]["us"] < rows["mlp_tiny"]["flowbook"]["us"]
    assert rows["mlp_tiny"]["flowbook"]["peak_bytes"] > 0
    assert out.with_suffix(".png").stat().st_size > 0
    assert "<svg" in out.with_suffix(".svg").read_text()


def test_eager_table(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    done = run(
        out, *("--seconds", "0.003", "--only", "--eager", "--frameworks", "flowbook", "numpy")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = json.loads(out.read_text())["eager"]
    assert len(table["flowbook"]) == len(table["numpy"]) == 36
    assert "numpy / flowbook, mean" in done.stdout


def test_growth_with_threads_and_batch(tmp_path: Path) -> None:
    out = tmp_path / "scaling.json"
    script = SCRIPT.parent / "scaling.py"
    options = ["--seconds", "0.02", "--rounds", "1", "--only", "mlp_1"]
    command = [sys.executable, str(script), "--out", str(out), "--threads", "1,2", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    by_batch = json.loads(out.read_text())["scaling"]["rows"]["mlp_1"]
    assert [list(by_threads) for by_threads in by_batch.values()] == [["1", "2"]] * 2
    assert "serial" in out.with_suffix(".txt").read_text()


@pytest.mark.parametrize("name", ["resblock", "lstm", "gru", "unet", "cnn_1", "gpt_1", "mlp_odd"])
def test_other_models_run(name: str) -> None:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import with_flowbook
    finally:
        sys.path.pop(0)
    step = with_flowbook.prepare(name)
    assert callable(step)
    losses = [with_flowbook.finish(step()) for _ in range(3)]
    assert losses[2] <= losses[0]


def test_unknown_rows_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "r", "--only", "nope")
    assert done.returncode == 2
    assert "unknown: nope" in done.stderr
