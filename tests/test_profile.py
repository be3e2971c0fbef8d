"""`fb.profile`: the times add up, fused steps say so, and the trace file is what Chrome reads."""

from __future__ import annotations

import itertools
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

import flowbook as fb
from flowbook import _profile_view

X = np.random.default_rng(0).normal(size=(128, 256)).astype(np.float32)


def made() -> fb.Graph:
    x, w = fb.asarray(X), fb.asarray(X.T)
    with fb.graph("net") as g:
        h = fb.tanh(x @ w * 0.1 + 1.0)
        g.output(h=h, loss=fb.sum(h * h))
    return g.graph


def test_steps_add_up_to_the_run() -> None:
    profile = fb.profile(made(), runs=7)
    assert profile.runs == 7
    assert all(len(step.seconds) == 7 for step in profile.steps)
    for call in profile._calls:
        assert 0 < sum(call.seconds) <= call.end - call.start
    data = profile.to_dict()
    assert abs(sum(step["share"] for step in data["steps"]) - 1) < 1e-9
    assert all(s.min <= s.median <= max(s.seconds) for s in profile.steps)


def test_each_op_is_in_exactly_one_step() -> None:
    graph = made()
    profile = graph.profile(3)
    recorded = {n["id"] for n in graph.record()["nodes"] if n["kind"] in ("op", "output")}
    covered = [n for step in profile.steps for n in step.nodes]
    assert recorded <= set(covered) | set(graph.record()["optimised"]["dropped"])
    fused = [step for step in profile.steps if step.fused]
    assert fused
    assert all(len(step.ops) > 1 and " + " in step.label for step in fused)


def test_the_drawing_says_that_a_time_is_shared() -> None:
    graph = made()
    profile = graph.profile(3)
    step = next(s for s in profile.steps if len(s.nodes) > 1)
    nodes = {n["id"]: n for n in graph.record()["nodes"]}
    for n in step.nodes:
        assert nodes[n]["fused_with"] == len(step.nodes) - 1
        assert nodes[n]["time_us"] == pytest.approx(step.median * 1e6)
    assert f"with {len(step.nodes) - 1} more" in graph._repr_mimebundle_()["text/html"]


def test_variables_keep_their_values() -> None:
    v = fb.Variable(np.ones(3, np.float32))
    with fb.graph() as g:
        v.assign(v * 2)
        g.output(y=v + 1)
    g.profile(5)
    assert v.numpy().tolist() == [1, 1, 1]


def test_a_function_is_compiled_for_the_purpose() -> None:
    def f(x: fb.Tensor, y: float) -> fb.Tensor:
        return fb.sum(fb.exp(x * y))

    profile = fb.profile(f, X, 0.5, runs=2)
    assert [s.graph for s in profile.steps] == ["f"] * len(profile.steps)
    compiled = fb.graph(f)
    assert fb.profile(compiled, X, 0.5, runs=2).runs == 2


def test_a_block_times_whatever_runs_in_it() -> None:
    step = fb.graph(lambda x: fb.sum(x * x))
    x = fb.asarray(X)
    step(x)
    with fb.profile() as p:
        for _ in range(4):
            step(x)
        made()()
    assert p.runs == 5
    assert sorted({s.graph for s in p.steps}) == ["<lambda>", "net"]
    assert "2 graphs, 5 runs" in repr(p)
    assert p.profile.seconds > 0
    step(x)  # not timed any more
    assert p.runs == 5


def test_the_trace_file_is_chromes(tmp_path: Path) -> None:
    profile = fb.profile(made(), runs=2)
    profile.save(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    runs = [e for e in events if e.get("cat") == "run"]
    steps = [e for e in events if e.get("cat") in ("op", "fused")]
    assert len(runs) == 2
    assert len(steps) == 2 * len(profile.steps)
    for run in runs:  # each step lies inside its run, one after another
        inside = [s for s in steps if run["ts"] <= s["ts"] < run["ts"] + run["dur"]]
        assert len(inside) == len(profile.steps)
        assert all(a["ts"] + a["dur"] <= b["ts"] + 1e-6 for a, b in itertools.pairwise(inside))
    with pytest.raises(fb.ArgumentError, match=r"must end with \.json"):
        profile.save(tmp_path / "trace.txt")


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(fb.ArgumentError, match="runs is 0"):
        fb.profile(made(), runs=0)
    with pytest.raises(fb.ArgumentError, match="target is a int"):
        fb.profile(3)
    with pytest.raises(fb.ArgumentError, match="no function"):
        fb.profile(None, 1)
    with fb.profile() as p:
        with pytest.raises(fb.GraphError, match="already"):
            fb.profile(made())
        with pytest.raises(fb.GraphError, match="has ended"):
            p.steps
    assert fb.profile(made(), runs=1).runs == 1  # the failed one has left nothing on


def test_text_and_html_show_the_slowest_first() -> None:
    profile = fb.profile(made(), runs=3)
    lines = repr(profile).splitlines()
    assert lines[0].startswith("net: ")
    shares = [float(line.split("%")[0]) for line in lines[1:]]
    assert shares == sorted(shares, reverse=True)
    html = profile._repr_mimebundle_()["text/html"]
    assert "flowbook-view flowbook-kind-profile flowbook-id-" in html
    assert '<img src="data:image/svg+xml;base64,' in html
    assert not re.search(r">±?[\d.]+ .?s</td>", html)  # a unit stays with its figure
    assert re.search(r">±[\d.]+\N{NO-BREAK SPACE}.?s</td>", html)
    assert "<script" not in html


def test_names_are_escaped() -> None:
    with fb.graph("<script>x</script>") as g:
        g.output(**{"<b>": fb.exp(fb.ones(100)) @ fb.ones(100)})
    html = fb.profile(g.graph, runs=1)._repr_mimebundle_()["text/html"]
    assert "<script" not in html
    assert "<b>" not in html


def test_timing_costs_little() -> None:
    graph = made()
    graph()
    executable, values = graph._plan([graph._named["loss"]], {}, False)
    plain = min(_seconds(lambda: executable.run(values)) for _ in range(50))
    profile = graph.profile(50)
    assert min(c.end - c.start for c in profile._calls) < 3 * plain + 1e-4


def _seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def test_profiles_and_inspections_are_no_news_of_the_graph() -> None:
    x = fb.ones((4, 4))
    with fb.graph("quiet") as g:
        g.output(y=fb.exp(x), z=fb.sum(x))
    graph = g.graph
    graph()
    graph.profile(runs=1)
    graph.inspect()
    assert graph.stats["recompiled"] is None
    fb.Session().run([graph["y"]])
    assert graph.stats["recompiled"] == "other results or inputs are asked for"


def test_short_steps_share_a_bar_that_a_page_can_stretch_apart() -> None:
    steps = [
        {"label": label, "names": [], "graph": "g", "step": i, "share": 0.1, "nodes": [i]}
        for i, label in enumerate(["exp", "sum", "exp", "matmul", "exp"])
    ]
    data = {
        "steps": steps,
        "timeline": [
            {"step": i, "start_us": start, "us": us}
            for i, (start, us) in enumerate(
                [(0.0, 0.1), (0.1, 0.3), (0.4, 0.1), (0.5, 999.0), (999.5, 0.5)]
            )
        ],
    }
    tips = re.findall("<title>(.*?)</title>", _profile_view.timeline(data))
    assert sorted(tips) == ["3 steps, mostly sum: 0.5 µs", "exp: 0.5 µs", "matmul: 999 µs"]
    near = _profile_view.timeline(data, zoom=64)
    assert near.count("<title>") == 5
    many = [{"step": i, "start_us": 2.0 * i, "us": 2.0} for i in range(1000)]
    data = {"steps": [{**steps[0], "step": i} for i in range(1000)], "timeline": many}
    assert 60 <= _profile_view.timeline(data).count("<title>") <= 100
    assert _profile_view.timeline(data, zoom=64).count("<title>") == 1000


def test_the_table_says_that_it_keeps_the_slowest() -> None:
    with fb.graph("chain") as g:
        x = g.input("x", (4, 4))
        for _ in range(60):
            x = fb.tanh(x @ fb.ones((4, 4)))
        g.output(y=x)
    profile = fb.profile(g.graph, runs=1, x=X[:4, :4])
    html = profile._repr_mimebundle_()["text/html"]
    assert f"the slowest 40 of {len(profile.steps)} steps" in html
    assert html.count("<tr>") == 41
    runs = [e for e in profile.trace()["traceEvents"] if e.get("cat") in ("op", "fused")]
    assert len(runs) == len(profile.steps)  # the trace keeps all
