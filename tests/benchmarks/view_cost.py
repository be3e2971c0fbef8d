"""What watching a run costs: the throughput of `fit` with a live view and a log on disk, against without.

    python tests/benchmarks/view_cost.py [--rounds N] [--seconds S]

The view is the notebook's own, connected to a page that asks for it and takes what it gets; each
message is serialised as a kernel does it. Rounds with and without take turns, so that a busy machine
disturbs both alike; the figure is the median of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from typing import Any

import numpy as np

import flowbook as fb
from flowbook import _run
from flowbook_ext.views import training

LIMIT = 1.0  # per cent of throughput


class Page:
    """Takes messages as a kernel's session would send them."""

    def __init__(self) -> None:
        from jupyter_client.session import Session

        self._session = Session(key=b"benchmark")
        self.messages = self.bytes = 0

    def attach(self, view_id: str, handler: Any) -> None:
        self.handler = handler
        handler({"kind": "open"}, [])

    def detach(self, view_id: str) -> None:
        pass

    def send(self, view_id: str, content: dict[str, Any], buffers: Any = ()) -> None:
        data = {"comm_id": view_id, "data": {"method": "custom", "content": content}}
        parts = self._session.serialize(self._session.msg("comm_msg", data))
        self.messages += 1
        self.bytes += sum(map(len, parts)) + sum(map(len, buffers))


class Until(fb.callbacks.Callback):
    """Ends a run after some time, and measures its steps after a start."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.rate = 0.0

    def on_epoch_end(self, run: Any) -> None:
        now = time.perf_counter()
        if run.epoch == 0:
            self._begin, self._step = now, run.step
        elif now - self._begin >= self._seconds:
            self.rate = (run.step - self._step) / (now - self._begin)
            run.stop("measured")


def steps_per_second(name: str, seconds: float, page: Page | None) -> float:
    sizes = {"mlp_tiny": (4, [16, 3], 16), "mlp": (784, [256, 128, 10], 128)}[name]
    inputs, units, batch = sizes
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200 * batch, inputs)).astype(np.float32)
    y = rng.integers(0, units[-1], 200 * batch)
    layers = [fb.nn.Dense(n, activation=fb.nn.relu) for n in units[:-1]]
    model = fb.nn.Sequential(*layers, fb.nn.Dense(units[-1]))
    until = Until(seconds)

    def view(run: Any) -> Any:
        made = training.TrainingView(run)
        training.sender.attach(made, page)
        return made

    if page is not None:
        _run.views.append(view)
    try:
        fb.fit(
            model, (x, y), fb.losses.softmax_cross_entropy, fb.optim.Adam(1e-3), epochs=10**6,
            batch_size=batch, callbacks=[until], progress=page is not None, log=page is not None,
        )  # fmt: skip
    finally:
        if page is not None:
            _run.views.remove(view)
    return until.rate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    os.environ["FLOWBOOK_CACHE_DIR"] = tempfile.mkdtemp()
    worst = 0.0
    for name in ("mlp_tiny", "mlp"):
        pairs = []
        page = Page()
        for _ in range(options.rounds):
            with_view = steps_per_second(name, options.seconds, page)
            pairs.append((with_view, steps_per_second(name, options.seconds, None)))
        bare = statistics.median(b for _, b in pairs)
        cost = 100 * (1 - statistics.median(a / b for a, b in pairs))
        worst = max(worst, cost)
        print(
            f"{name:9} {1e6 / bare:8.1f} us/step without view, cost of view and log {cost:5.2f} %, "
            f"{page.messages} messages, {page.bytes / page.messages:,.0f} bytes each"
        )
    print("within" if worst <= LIMIT else "above", f"the limit of {LIMIT:g} %")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
