"""What a cell shows that ran out of memory: who holds it, what was needed, what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from . import contrast

SETUP = """\
%load_ext flowbook
import flowbook as fb
dense = fb.nn.Dense(2048, activation=fb.tanh)
_ = dense(fb.ones((1, 8)))
step = fb.graph(lambda t: fb.sum(fb.cumulative_sum(dense(t), axis=1)))
rows = fb.ones((8192, 8))
holder = fb.ones((1024, 1024))
fb.memory.free_cached()"""
SHOWN = "fb.ones((700, 1024)) * 1"
FAILS = """\
fb.memory.set_limit(fb.memory.stats().live + 40_000_000)
step(rows)"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_out_of_memory(open_book: Any, shot: Any, theme: str) -> None:
    book = open_book([SETUP, SHOWN, FAILS])
    book.theme(theme)
    assert "Error" not in book.run(0)
    book.run(1)
    message = book.run(2)
    assert message.startswith("OutOfMemoryError: ") or "OutOfMemoryError: " in message
    assert re.search(r"The plan needs \d+ MB beside its inputs; \d+ MB are free", message)
    fits = re.search(r"A batch of ([\d,]+) instead of 8,192 would fit", message)
    assert re.search(r"4\.19 MB\s+holder: f32\[1024, 1024\]", message)
    assert "2.87 MB  Out[2]" in message
    assert "`%memory free outputs tracebacks` gives them back" in message
    # The traceback in the page, and the live memory view below it, with a button that frees.
    cell = book.cell(2)
    cell.scroll_into_view_if_needed()
    words = cell.locator(".jp-OutputArea").inner_text()
    assert "step(rows)" in words
    view = cell.locator(".flowbook-kind-memory").first
    view.wait_for()
    assert "holder" in view.inner_text() or view.locator(".fb-tables-host").count()
    book.page.wait_for_timeout(300)
    shot(cell, f"out-of-memory-{theme.split()[1].lower()}")
    contrast.check(view)
    # What it says is true: the batch that it names fits, and what it frees is free.
    batch = int(fits[1].replace(",", ""))
    assert 1 <= batch < 8192
    assert "Error" not in book.value(f"step(rows[:{batch}]).shape")
    before = int(book.value("fb.memory.stats().live"))
    book.run(book.add("%memory free outputs tracebacks"))
    assert before - int(book.value("fb.memory.stats().live")) >= 2_800_000
