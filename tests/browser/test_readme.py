"""The pictures of the README: they show what a page shows now.

They are written to build/browser as readme-*.png; docs/graph.png and docs/training.png are copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import ARTEFACTS, Desk, Pages
from .graphs import card, live

SETUP = """\
%load_ext flowbook
import numpy as np
import flowbook as fb
from sklearn.datasets import load_digits
fb.random.seed(0)
x = fb.asarray(np.ones((32, 784), np.float32))
y = fb.asarray(np.arange(32) % 10)
w1 = fb.Variable(fb.random.normal((784, 128)) * 0.05, name="w1")
b1 = fb.Variable(fb.zeros(128), name="b1")
w2 = fb.Variable(fb.random.normal((128, 10)) * 0.05, name="w2")
b2 = fb.Variable(fb.zeros(10), name="b2")
digits = load_digits()
data = fb.data.from_arrays((digits.data / 16).astype("float32"), digits.target)
train, test = data.split(0.2, seed=1)
model = fb.nn.Sequential(fb.nn.Dense(128, activation=fb.nn.relu), fb.nn.Dense(10))
%xmode Minimal

class Steer(fb.callbacks.Callback):  # on the run's own thread, which cannot be too late
    def on_epoch_begin(self, run):
        if run.epoch == 18:
            run.learning_rate = 1e-3
        if run.epoch == 54:
            run.pause()

fit = fb.fit  # the cell in the picture says nothing of this
fb.fit = lambda *args, **options: fit(*args, callbacks=[Steer()], **options)"""

GRAPH = """\
%%graph mlp --profile
h = fb.nn.relu(x @ w1 + b1)
logits = h @ w2 + b2
loss = fb.nn.softmax_cross_entropy(logits, y).mean()
grads = fb.gradients(loss, [w1, b1, w2, b2])"""

TRAINING = """\
loss, accuracy = fb.losses.softmax_cross_entropy, fb.metrics.Accuracy()
run = fb.fit(model, train, loss, fb.optim.Adam(1e-4), epochs=100, validation=test,
             metrics=[accuracy], label="digits", wait=False)"""


@pytest.fixture(scope="module")
def book(server: Any, browser: Any) -> Iterator[Any]:
    sharp = browser.new_context(viewport={"width": 1320, "height": 1100}, device_scale_factor=1.5)
    desk = Desk(server, Pages(sharp), "readme")
    opened = desk.open([SETUP, GRAPH, TRAINING])
    opened.run(0)
    yield opened
    opened.end_kernel()
    sharp.close()


def keep(element: Any, name: str) -> None:
    """Takes the picture of something in the page."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    element.scroll_into_view_if_needed()
    element.page.evaluate("document.activeElement?.blur()")
    element.screenshot(path=ARTEFACTS / f"readme-{name}.png")
    assert (ARTEFACTS / f"readme-{name}.png").stat().st_size < 400_000


def test_graph(book: Any) -> None:
    book.run(1)
    view = live(book, 1)
    book.select(0)  # the picture shows no mark of the chosen cell
    shown = card(view, "relu")
    assert "h" in shown.inner_text()
    table = book.cell(1).locator(".jp-OutputArea-child").nth(1)
    table.evaluate("e => { e.style.display = 'none'; }")  # the times stand on the drawing, too
    keep(book.cell(1), "graph")


def test_training(book: Any) -> None:
    book.run(2)
    view = book.cell(2).locator(".fb-run")
    view.wait_for()
    book.until(lambda: "paused" in view.inner_text().lower(), what="the run holds")
    assert book.value("[(m.kind, m.epoch) for m in run.history.marks]") == (
        "[('learning rate', 18.0), ('pause', 54.0)]"
    )
    keep(book.cell(2), "training")
    book.value("run.stop()")
