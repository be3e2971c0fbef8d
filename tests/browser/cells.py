"""Cells that several tests run, and notebooks that ran without a browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

SETUP = """\
%load_ext flowbook
import numpy as np
import flowbook as fb
fb.random.seed(0)
x = fb.asarray(np.ones((32, 784), np.float32))
w1 = fb.Variable(fb.random.normal((784, 128)) * 0.05, name="w1")
w2 = fb.Variable(fb.random.normal((128, 10)) * 0.05, name="w2")
y = fb.asarray(np.arange(32) % 10)"""

NET = """\
%%graph net
h = fb.nn.relu(x @ w1)
loss = fb.losses.softmax_cross_entropy(h @ w2, y)
grads = fb.gradients(loss, [w1, w2])"""


def notebook(*cells: str) -> Any:
    """A new notebook with code cells."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])


def jupyter(*arguments: Any) -> str:
    """Runs a command of Jupyter and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


def executed(folder: Path, *cells: str) -> Path:
    """Runs cells by nbconvert, as pipelines do, and returns the file with the outputs."""
    path = folder / "executed.ipynb"
    nbformat.write(notebook(*cells), path)
    jupyter("nbconvert", "--to", "notebook", "--execute", "--inplace", path)
    return path
