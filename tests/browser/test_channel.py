"""The hub's channel: messages of the page reach Python while a cell runs, on each ipykernel.

Python's half of a view is played by the cell; the page's half is the real front end, which asks for the
state of each root that it finds.
"""

from __future__ import annotations

from typing import Any

import pytest

from .server import matrix

SETUP = """\
%load_ext flowbook
import threading, time
import numpy as np
import flowbook as fb
from IPython.display import HTML, display
from flowbook_ext.hub import hub

def probe(name, work, seconds=20):
    "Shows a root, works until its message arrives, and says how long that took and on which thread."
    came = []
    hub().attach(name, lambda content, buffers: came.append((time.time(), threading.current_thread())))
    display(HTML(f'<div class="flowbook-view flowbook-kind-graph flowbook-id-{name}">waiting</div>'))
    start = time.time()
    while not came and time.time() < start + seconds:
        work()
    time.sleep(0.2)
    for at, thread in came[:1]:
        main = thread is threading.main_thread()
        print("came after", round(at - start, 2), "s", "on the main thread" if main else "beside it")
    if not came:
        print("nothing came")"""
PYTHON_LOOP = "probe('python', lambda: time.sleep(0.01))"
NATIVE_LOOP = """\
a = fb.asarray(np.ones((1500, 1500), np.float32))
probe('native', lambda: a @ a)"""


@pytest.mark.parametrize(("front_end", "kernel"), matrix(), ids=[f"{f}-{k}" for f, k in matrix()])
def test_messages_arrive_while_a_cell_runs(open_book: Any, front_end: Any, kernel: str) -> None:
    book = open_book([SETUP, PYTHON_LOOP, NATIVE_LOOP], front_end=front_end, kernel=kernel)
    assert "Error" not in book.run(0)
    for index in (1, 2):
        said = book.run(index)
        print(f"{front_end}, ipykernel {kernel}: {said.strip()}")
        if kernel.startswith("6."):
            assert "nothing came" in said  # such kernels read messages between cells only
        else:
            assert "beside it" in said
    assert book.value("__import__('ipykernel').__version__") == repr(kernel)
