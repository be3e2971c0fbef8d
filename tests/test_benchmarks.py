"""The benchmark script runs, agrees with itself and says what it could not measure."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "benchmarks" / "run.py"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the benchmarks by name."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module


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
    assert "flowbook / floor  least / best floor" in done.stdout
    floors, machine = results["floors"]["mlp_tiny"], rows["mlp_tiny"]["machine"]
    assert 0 < floors["best"]["us"] <= floors["median"]["us"] < rows["mlp_tiny"]["flowbook"]["us"]
    # The machine measured what this row is made of, and nothing else.
    assert len(machine["median"]) == 2
    assert "products" in machine["median"]
    assert machine["best"]["products"] >= results["machine"]["rates"]["best"]["products"]
    assert 0 < rows["mlp_tiny"]["flowbook"]["us_least"] <= rows["mlp_tiny"]["flowbook"]["us"]
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
def test_other_models_run(scripts: Any, name: str) -> None:
    with_flowbook = scripts("with_flowbook")
    step = with_flowbook.prepare(name)
    assert callable(step)
    losses = [with_flowbook.finish(step()) for _ in range(3)]
    assert losses[2] <= losses[0]


def test_unknown_rows_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "r", "--only", "nope")
    assert done.returncode == 2
    assert "unknown: nope" in done.stderr


# ---- floors --------------------------------------------------------------------------------------
RATES = {"products": 100.0, "copy 1000": 50.0, "copy 4000": 20.0, "copy 16000": 25.0, "exp": 5.0}


def test_phases_add_up_and_the_longest_part_of_each_counts(scripts: Any) -> None:
    rates, phase = scripts("rates"), scripts("workloads").Phase
    both = phase(flops=2e6, bytes=5e5, footprint=1000, math={"exp": 1e4})  # 20, 10 and 2 us
    found = rates.floor([both, phase(math={"exp": 5e4})], RATES)
    assert found == pytest.approx({"us": 30, "products": 20, "bytes": 10, "math": 12})
    assert rates.needed([both, phase(math={"exp": 5e4})], RATES) == pytest.approx(
        {"products": 20, "copy 1000": 10, "exp": 12}
    )


@pytest.mark.parametrize(
    ("footprint", "name"),
    # 4,000 bytes fit where 16,000 do, which was measured to be faster; beyond all, the largest counts
    [(500, "copy 1000"), (1001, "copy 16000"), (20_000, "copy 16000")],
)
def test_the_copy_that_bounds_a_footprint(scripts: Any, footprint: int, name: str) -> None:
    assert scripts("rates").copy_rate(footprint, RATES) == name


def test_bursts_have_a_median_and_single_runs_a_least(scripts: Any) -> None:
    # One, two and four runs of 1 ms are tried: four make the 4 ms that were asked for.
    taken = iter([*[1e-3] * 3, *[1e-3] * 4, 9e-3, *[1e-3] * 3, 0.5e-3, 9e-3, *[1e-3] * 2])
    middle, least = scripts("rates").timed_in_bursts(lambda: next(taken), 0, 4e-3)
    assert (middle, least) == pytest.approx((11.5e-3 / 4, 0.5e-3))
    assert next(taken, None) is None


def test_rates_of_a_row_are_medians_of_turns_and_the_best_of_all(scripts: Any) -> None:
    turns = [{"median": {"exp": m}, "best": {"exp": b}} for m, b in [(3, 4), (1, 2), (2, 6)]]
    over_turns = scripts("rates").over_turns
    assert over_turns(turns, {"best": {"exp": 5}}) == {"median": {"exp": 2}, "best": {"exp": 6}}
    assert over_turns(turns, {"best": {"exp": 7}})["best"] == {"exp": 7}


def test_ratios_compare_like_with_like(scripts: Any) -> None:
    over_floor = scripts("report").over_floor
    row = {"flowbook": {"us": 30.0, "us_least": 18.0}}
    floors = {"median": {"us": 20.0}, "best": {"us": 15.0}}
    results = {"rows": {"gpt": row}, "floors": {"gpt": floors}}
    assert over_floor(results, "gpt") == pytest.approx({"median": 1.5, "least": 1.2})
    assert over_floor({"rows": {"gpt": row}, "floors": {}}, "gpt") == {}


def test_attention_without_scores_in_memory_computes_them_twice(scripts: Any) -> None:
    workloads = scripts("workloads")
    texts, layers, t, d = 16, 4, 128, 128
    forward, training = workloads.ALL["gpt_1"].work(texts), workloads.ALL["gpt"].work(1)
    again = training[0].flops - 3 * forward[0].flops
    assert again == layers * 2 * (texts * t) * t * d / 2
    exps = training[1].math["exp"] - forward[1].math["exp"]
    assert exps == layers * texts * workloads.GPT["heads"] * t * t / 2


def test_a_machine_that_fails_is_a_problem_not_a_floor(scripts: Any) -> None:
    run = scripts("run")
    row = {"machine": {"missing": "failed: no rates"}, "flowbook": {"us": 1.0}}
    assert run.problems_of({"mlp": row}) == ["mlp, machine: failed: no rates"]
