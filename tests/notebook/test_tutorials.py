"""The tutorials: they run from a fresh kernel, keep their promises, and are stored with outputs."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flowbook._core")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("sklearn")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
if not NOTEBOOKS:
    pytest.skip("the tutorials are not part of this tree", allow_module_level=True)


def html_of(cell: Any) -> str:
    return "".join(o.get("data", {}).get("text/html", "") for o in cell.outputs)


def execute(book: Any, folder: Path) -> int | None:
    """Runs a notebook in a fresh kernel; the kernel's peak of resident bytes, where the system tells."""
    client = nbclient.NotebookClient(
        book, timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    with client.setup_kernel():
        for index, cell in enumerate(book.cells):
            client.execute_cell(cell, index)
        status = Path(f"/proc/{client.km.provisioner.pid}/status")
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_tutorial_runs_from_a_fresh_kernel(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    peak = execute(book, path.parent)
    seconds = time.perf_counter() - start
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        failed = any(o.output_type == "error" for o in cell.outputs)
        assert failed == ("raises-exception" in cell.metadata.get("tags", [])), cell.source
        assert not any(o.get("name") == "stderr" for o in cell.outputs), cell.outputs
        if cell.source.startswith("%%graph"):
            assert '<img src="data:image/svg+xml;base64,' in html_of(cell)
    # What Binder's machines can bear; a few seconds on a quiet machine.
    assert seconds < 60
    assert peak is None or peak < 600e6
    if path.stem == "01-quickstart":
        text = "".join(
            o.text for c in book.cells if c.cell_type == "code" for o in c.outputs if "text" in o
        )
        accuracy = re.search(r"^test accuracy: (\d+\.\d) %$", text, re.M)
        assert accuracy
        assert float(accuracy[1]) >= 97


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_tutorial_is_stored_with_its_outputs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [c for c in book.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    assert any(c.outputs for c in code)
    assert "widgets" not in book.metadata
    assert path.stat().st_size < 400_000
    stored = path.read_text()
    assert "widget-view" not in stored
    assert str(ROOT) not in stored
    assert "/home/" not in stored


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_nbval_agrees_with_the_stored_outputs(path: Path) -> None:
    """Runs the notebook once more; cells marked `# NBVAL_CHECK_OUTPUT` must print the same."""
    pytest.importorskip("nbval")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "-p",
         "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(path.parent),
         "--nbval-cell-timeout=120", str(path)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
