"""The benchmark script runs, agrees with itself and says what it could not measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
    rows = json.loads(out.read_text())["rows"]
    assert rows["mlp_tiny"]["flowbook"]["us"] > 0
    assert 0 < rows["mlp_tiny"]["flowbook"]["loss"] < 5
    assert rows["mlp_tiny"]["numpy"] == {"missing": "no gradients"}
    assert rows["add_tiny"]["numpy"]["us"] > 0
    assert "best peer / flowbook" in done.stdout


def test_unknown_rows_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "r", "--only", "nope")
    assert done.returncode == 2
    assert "unknown: nope" in done.stderr
