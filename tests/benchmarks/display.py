"""What showing a graph costs, from evaluating it to the HTML and to the live view's first state.

    python tests/benchmarks/display.py [--nodes N ...] [--rounds N] [--stages]

Traces and runs training steps of a transformer of about so many nodes and of a convolutional network,
then displays each as a notebook does: once as nobody has seen it before, then again. `shown` is all of
it up to the MIME bundle, `state` is what answers the page when the live view opens. The requirement is
100 ms for 1,000 nodes and 300 ms for 10,000; the smallest of the rounds counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import flowbook as fb
from flowbook import _drawing, _graph_svg, _graph_words, _scene
from flowbook._diff import difference
from flowbook._optimised import optimised_record
from flowbook._record import record_of
from flowbook._words import image
from flowbook_ext.views.graph import GraphView
from flowbook_ext.views.packing import pack_record

BUDGET = ((2_000, 100.0), (20_000, 300.0))  # up to so many nodes, milliseconds


class Block(fb.nn.Module):
    """A transformer block: attention and two dense layers, each with its norm and its sum."""

    def __init__(self, width: int) -> None:
        self.norms = [fb.nn.LayerNorm(), fb.nn.LayerNorm()]
        self.attention = fb.nn.MultiHeadAttention(2, causal=True)
        self.up, self.down = fb.nn.Dense(2 * width, activation="gelu"), fb.nn.Dense(width)

    def forward(self, x: Any) -> Any:
        x = x + self.attention(self.norms[0](x))
        return x + self.down(self.up(self.norms[1](x)))


class Transformer(fb.nn.Module):
    """Embedding, blocks, scores."""

    def __init__(self, blocks: int, width: int = 16, words: int = 11) -> None:
        self.embedding = fb.nn.Embedding(words, width)
        self.blocks = [Block(width) for _ in range(blocks)]
        self.head = fb.nn.Dense(words)

    def forward(self, tokens: Any) -> Any:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Residual(fb.nn.Module):
    """Two convolutions with batch norm beside a shortcut."""

    def __init__(self, channels: int) -> None:
        self.convs = [fb.nn.Conv2D(channels, 3, padding="same") for _ in range(2)]
        self.norms = [fb.nn.BatchNorm() for _ in range(2)]

    def forward(self, x: Any) -> Any:
        y = fb.nn.relu(self.norms[0](self.convs[0](x)))
        return fb.nn.relu(x + self.norms[1](self.convs[1](y)))


def training_step(model: fb.nn.Module, x: Any, y: Any) -> fb.Graph:
    """The graph of a step as a cell records it, after its first run."""
    optimizer = fb.optim.Adam(0.001)
    with fb.nn.training():
        model(x)  # makes the parameters
        with fb.graph() as step:
            scores = model(x)
            loss = fb.losses.softmax_cross_entropy(scores, y)
            optimizer.update(model, fb.gradients(loss, model.parameters()))
            step.output(loss=loss)
        step()
    graph: fb.Graph = step.graph
    return graph


def transformer(blocks: int) -> fb.Graph:
    rng = np.random.default_rng(0)
    x, y = (fb.asarray(rng.integers(0, 11, (2, 8))) for _ in range(2))
    return training_step(Transformer(blocks), x, y)


def convolutions(blocks: int) -> fb.Graph:
    rng = np.random.default_rng(0)
    x = fb.asarray(rng.normal(size=(2, 8, 8, 3)).astype(np.float32))
    y = fb.asarray(rng.integers(0, 10, 2))
    layers = [fb.nn.Conv2D(8, 3), *(Residual(8) for _ in range(blocks))]
    model = fb.nn.Sequential(*layers, fb.nn.GlobalAvgPool(), fb.nn.Dense(10))
    return training_step(model, x, y)


def shown(graph: fb.Graph) -> None:
    """Displays it as nobody has seen it before."""
    graph._made_record = None
    GraphView(graph)._repr_mimebundle_()


class Page:
    """Takes messages as a kernel's session would send them."""

    def __init__(self) -> None:
        from jupyter_client.session import Session

        self._session = Session(key=b"benchmark")
        self.bytes = 0

    def send(self, view_id: str, content: dict[str, Any], buffers: Any = ()) -> None:
        data = {"comm_id": view_id, "data": {"method": "custom", "content": content}}
        parts = self._session.serialize(self._session.msg("comm_msg", data))
        self.bytes += sum(map(len, parts)) + sum(map(len, buffers))


def opened(view: GraphView) -> int:
    """Answers a page as a kernel's session does; returns the bytes."""
    page = Page()
    view.receive(page, {"kind": "open"})
    return page.bytes


def stages(graph: fb.Graph) -> dict[str, Callable[[], object]]:
    """The parts of a display, by name."""
    record = graph._compact_record()
    nodes = record["nodes"]
    scene = _scene.build(record)
    picture = _graph_svg.svg(record, scene)
    return {
        "columns": lambda: record_of(graph._core, graph.name, list(graph._named.items())),
        "optimised": lambda: optimised_record(graph._executable, nodes),
        "scene": lambda: _scene.build(record),
        "svg": lambda: _graph_svg.svg(record, scene),
        "image": lambda: image(picture),
        "html": lambda: _drawing.html(record),
        "text": lambda: _graph_words.text(record),
        "id": lambda: _drawing.view_id(record),
        "diff": lambda: difference(record, record),
        "packed": lambda: pack_record(record),
        "record()": graph.record,
    }


def milliseconds(run: Callable[[], object], rounds: int) -> float:
    """Of the fastest round."""
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        spent.append((time.perf_counter() - start) * 1e3)
    return min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--stages", action="store_true", help="the parts of a display, too")
    options = parser.parse_args()
    graphs = {f"transformer {n:,}": transformer(max(1, n // 146)) for n in options.nodes}
    graphs["conv net 1,000"] = convolutions(13)
    print(
        f"{'graph':20} {'nodes':>7} {'shown':>9} {'again':>9} {'state':>9} {'HTML':>9} {'state':>9}"
    )
    late = []
    for name, graph in graphs.items():
        first = milliseconds(lambda: shown(graph), options.rounds)  # noqa: B023
        again = milliseconds(lambda: GraphView(graph).bundle(), options.rounds)  # noqa: B023
        view = GraphView(graph)
        state = milliseconds(lambda: opened(view), options.rounds)  # noqa: B023
        html = len(view.bundle()["text/html"])
        print(
            f"{name:20} {len(graph):7,} {first:6.1f} ms {again:6.1f} ms {state:6.1f} ms "
            f"{html / 1e3:6.0f} kB {opened(view) / 1e3:6.0f} kB"
        )
        if options.stages:
            for part, run in stages(graph).items():
                print(f"  {part:18} {milliseconds(run, options.rounds):24.1f} ms")
        limit = next(ms for nodes, ms in BUDGET if len(graph) <= nodes)
        if first > limit:
            late.append(f"{name}: {first:.0f} ms instead of {limit:.0f}")
    if late:
        raise SystemExit("; ".join(late))


if __name__ == "__main__":
    main()
