"""The memory books, who holds what, limits, and what an OutOfMemoryError says."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core, _holders, _memory_view

MB = 1 << 20


@pytest.fixture(autouse=True)
def _no_limit():
    gc.collect()  # what earlier failures hold in cycles must not go in the middle of a test
    yield
    fb.memory.set_limit(None)


def block(mb: int) -> fb.Tensor:
    return fb.zeros((mb, MB // 4))


def test_the_books_are_exact_on_a_scripted_sequence() -> None:
    start = fb.memory.stats().live
    _core.begin_memory_window()
    a = block(3)
    b = block(5)
    assert fb.memory.stats().live - start == 8 * MB
    del b
    c = block(1)
    assert fb.memory.stats().live - start == 4 * MB
    assert _core.memory_window_peak() - start == 8 * MB
    _core.begin_memory_window()
    assert _core.memory_window_peak() == fb.memory.stats().live
    del a, c
    assert fb.memory.stats().live == start


def test_history_keeps_last_state_and_peak_of_each_interval() -> None:
    import time

    kept = block(2)
    time.sleep(0.12)
    high = block(16)
    del high  # a peak that lasted no time at all
    time.sleep(0.12)
    more = block(1)
    history = fb.memory.history()
    times = [t for t, _, _ in history]
    assert times == sorted(times)
    live = fb.memory.stats().live
    assert history[-1][1] == live
    assert any(n == live - MB and peak >= n + 16 * MB for _, n, peak in history[-4:])
    assert all(peak >= n for _, n, peak in history)
    del kept, more


def test_history_is_bounded() -> None:
    assert len(fb.memory.history()) <= 1025


OTHER_DEVICE = r"""
import pathlib, time
import flowbook as fb
from flowbook import _core

_core.load_plugin(str(next((pathlib.Path(_core.__file__).resolve().parent / "lib").glob("*null*"))))
MB = 1 << 20
for ask in (fb.memory.history, fb.memory.stats, fb.memory.snapshot):
    try:
        ask("warp9")
    except fb.DeviceError as error:
        assert "null" in str(error), error
    else:
        raise AssertionError(ask)

assert fb.memory.history("null")[-1][1:] == (0, 0)
kept = fb.zeros((MB, 1), device="null")
time.sleep(0.12)
passing = fb.zeros((4 * MB, 1), device="null")
del passing
time.sleep(0.12)
host = fb.zeros((2 * MB, 1))
history = fb.memory.history("null")
assert history[-1][1] == fb.memory.stats("null").live == 4 * MB, history
assert max(peak for _, _, peak in history) == fb.memory.stats("null").peak == 20 * MB, history
assert fb.memory.history()[-1][1] == fb.memory.stats().live >= 8 * MB
assert abs(fb.memory.history()[-1][0] - history[-1][0]) < 1  # one clock
shot = fb.memory.take_snapshot("null")
assert [h[1:] for h in shot["history"]] == [h[1:] for h in history]
names = [name for row in shot["rows"] for name in row["names"]]
assert "kept" in names and "host" not in names, names

# What is the CPU's alone is left alone.
before = fb.memory.stats()
assert before.reserved > before.live and fb.memory.free_cached("null") == 0
assert fb.memory.stats().reserved == before.reserved
try:
    fb.memory.reset_peak("null")
except fb.DeviceError as error:
    assert "device `null` keeps its own peak" in str(error)
else:
    raise AssertionError("reset_peak")
assert fb.memory.stats().peak == before.peak

# Its errors tell its own holders.
column = fb.zeros((1, 4096), device="null")
try:
    fb.broadcast_to(column, (1 << 38, 4096)) + column
except fb.OutOfMemoryError as error:
    print(error)

# Places are found on the host, wherever the numbers are, and are put where they are wanted.
(places,) = fb.nonzero(fb.asarray([1, 0, 3], device="null"))
assert places.numpy().tolist() == [0, 2]
with fb.device("null"):
    assert [str(i.device) for i in fb.nonzero([[1, 0], [0, 1]])] == ["null", "null"]
"""


def test_other_devices_have_their_own_history_and_holders() -> None:
    """In a process of its own: a device stays as long as the process does."""
    done = subprocess.run([sys.executable, "-c", OTHER_DEVICE], capture_output=True, text=True)
    assert not done.stderr, done.stderr
    assert "on device `null`" in done.stdout
    assert re.search(r"4\.19 MB  kept: f32\[1048576, 1\]", done.stdout), done.stdout
    assert "host" not in done.stdout


def test_variables_parameters_and_gradients_are_told_apart() -> None:
    model = fb.nn.Sequential(fb.nn.Dense(512, inputs=512), fb.nn.Dense(256, inputs=512))
    optimizer = fb.optim.Adam()
    x = fb.ones((4, 512))
    with fb.tape() as t:
        loss = fb.sum(model(x))
    grads = t.gradients(loss, model.parameters())
    optimizer.update(model, grads)
    rows = fb.memory.snapshot().snapshot["rows"]
    kind = {name: row["kind"] for row in rows for name in row["names"]}
    assert kind["model.layers[0].weight"] == "parameter"
    assert kind["grads[0]"] == "gradient"
    slots = [r for r in rows if r["kind"] == "optimizer" and "optimizer" in r["names"][0]]
    assert len([r for r in slots if r["bytes"] == 512 * 512 * 4]) == 2
    shot = fb.memory.snapshot().snapshot
    assert shot["by_kind"]["parameter"] >= (512 * 512 + 512 * 256) * 4
    assert sum(shot["by_kind"].values()) == shot["live"]


def test_views_are_one_row_with_all_their_names() -> None:
    base = block(2)
    holder = {"rows": [base[:1], base.T]}
    rows = fb.memory.snapshot().snapshot["rows"]
    (row,) = [r for r in rows if "base" in r["names"]]
    assert row["bytes"] == 2 * MB
    assert {"base", "holder['rows'][0]", "holder['rows'][1]"} <= set(row["names"])
    assert "shared by" in _memory_view.html({**snapshot(), "rows": [row]})
    del holder


def snapshot() -> dict:
    return fb.memory.snapshot().snapshot


def test_what_is_behind_the_users_back_is_named_apart() -> None:
    hidden = block(2)
    held = _holders.held([("x", 1)], [("Out[3]", hidden), ("_", hidden)])
    assert [(h.names, h.holders, h.bytes) for h in held] == [((), ("Out[3]", "_"), 2 * MB)]


def test_objects_that_misbehave_are_passed_over() -> None:
    class Bad:
        def __getattribute__(self, name):
            raise RuntimeError("no")

        def __iter__(self):
            raise AssertionError("walking must not run the user's code")

    class Loop:
        pass

    loop = Loop()
    loop.self, loop.t = loop, block(1)
    found = _holders.held([("bad", Bad()), ("loop", loop)])
    assert [h.names for h in found] == [("loop.t",)]


def test_a_snapshot_can_be_compared() -> None:
    before = fb.memory.take_snapshot()
    gone = block(3)
    middle = fb.memory.take_snapshot(before=before)
    assert [r["change"] for r in middle["rows"] if "gone" in r["names"]] == ["new"]
    del gone
    after = fb.memory.take_snapshot(before=middle)
    assert {"names": ["gone"], "bytes": 3 * MB, "spec": f"f32[3, {MB // 4}]"} in after["gone"]
    assert "gone: gone  3.15 MB" in _memory_view.text(after)


# ---- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("1.5 GB", 1_500_000_000), ("800M", 800_000_000), ("2 GiB", 2 << 30),
     ("64kb", 64_000), ("1 Ki", 1024)],
)  # fmt: skip
def test_sizes_are_read(text: str, size: int) -> None:
    fb.memory.set_limit(text)
    assert fb.memory.limit() == size


@pytest.mark.parametrize("bad", ["much", "1.5.2 GB", "-3", "", "1 TB x", 0, -5])
def test_other_sizes_are_refused(bad) -> None:
    with pytest.raises(fb.ArgumentError):
        fb.memory.set_limit(bad)


def test_the_limit_is_kept() -> None:
    fb.memory.set_limit(fb.memory.stats().live + 4 * MB)
    ok = block(3)
    with pytest.raises(
        fb.OutOfMemoryError,
        match=r"3.15 MB were asked for; \S+ .?B are in use and the limit is \S+ .?B\.",
    ):  # not a word on what is cached, which no limit counts
        block(3)
    del ok
    block(3)


def test_arenas_of_finished_runs_give_way() -> None:
    x = block(8)
    f = fb.graph(lambda x: fb.sum(fb.cumulative_sum(x * 2.0, axis=1)))
    f(x)
    kept = fb.memory.stats()
    assert kept.by_kind["activation"] >= 8 * MB
    fb.memory.set_limit(kept.live + 4 * MB)
    more = block(8)  # fits only without the arena
    assert fb.memory.stats().live <= fb.memory.limit()
    del more
    assert float(f(x)) == 0.0  # and the function still runs


# ---- the message -------------------------------------------------------------------------------


FIRST_RUN = """
import resource
import flowbook as fb

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

x = fb.zeros((16, 1 << 18))
f = fb.graph(lambda x: fb.sum(fb.cumulative_sum(fb.cumulative_sum(x * 2.0, axis=1), axis=0)))
start = resident()
f(x)
print(resident() - start, fb.memory.stats().by_kind["activation"])
"""


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/statm")
def test_the_pages_of_a_large_arena_come_at_once(threads: str) -> None:
    """All of the arena is resident after the first run, and hardly more than the plan says."""
    environment = {**os.environ, "FLOWBOOK_NUM_THREADS": threads}
    done = subprocess.run(  # a process of its own: no memory that was there before
        [sys.executable, "-c", FIRST_RUN],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    grown, arena = map(int, done.stdout.split())
    assert arena >= 32 * MB
    assert arena - MB < grown < arena + 16 * MB


def test_a_run_is_cancelled_before_its_pages_are_there() -> None:
    x = block(16)
    f = fb.graph(lambda x: fb.cumulative_sum(fb.cumulative_sum(x, axis=1), axis=0) * 0.5)
    token = _core.CancelToken()
    token.cancel()
    _core.set_thread_cancel_token(token)
    try:
        with pytest.raises(fb.errors.CancelledError):
            f(x)
    finally:
        _core.set_thread_cancel_token(None)
    assert f(x).numpy().sum() == 0.0


def test_the_message_names_the_holders() -> None:
    weights = {"layer": [block(6)]}
    small = fb.ones(10)
    fb.memory.set_limit(fb.memory.stats().live + MB)
    with pytest.raises(fb.OutOfMemoryError) as caught:
        block(4)
    text = str(caught.value)
    assert re.search(r"6\.29 MB  weights\['layer'\]\[0\]: f32\[6, 262144\]", text)
    assert "small" not in text
    del weights, small


def step(x, w1, w2):
    h = fb.tanh(x @ w1)
    g = fb.cumulative_sum(h, axis=1)
    return fb.sum(h * g @ w2)


W1 = np.ones((256, 1024), np.float32)
W2 = np.ones((1024, 64), np.float32)


def told(text: str) -> int:
    found = re.search(r"A batch of ([\d,]+) instead of ([\d,]+) would fit", text)
    assert found, text
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("room", [3, 9, 20])
def test_the_batch_that_would_fit_does_and_not_much_more(room: int) -> None:
    f = fb.graph(step)
    w1, w2 = fb.asarray(W1), fb.asarray(W2)
    x = fb.ones((8192, 256))
    fb.memory.free_cached()
    fb.memory.set_limit(fb.memory.stats().live + room * MB)
    with pytest.raises(fb.OutOfMemoryError) as caught:
        f(x, w1, w2)
    text = str(caught.value)
    assert "The plan needs" in text
    fits = told(text)
    assert 1 <= fits < 8192
    fb.memory.set_limit(None)
    fb.memory.free_cached()
    fb.memory.set_limit(fb.memory.stats().live + room * MB)
    f(fb.ones((fits, 256)), w1, w2)  # what is promised holds
    fb.memory.free_cached()
    with pytest.raises(fb.OutOfMemoryError):
        f(fb.ones((int(fits * 1.1) + 2, 256)), w1, w2)


def test_a_graph_with_captures_tells_the_batch_too() -> None:
    x, w1 = fb.ones((8192, 256)), fb.asarray(W1)
    with fb.graph("big") as g:
        h = fb.tanh(x @ w1)
        g.output(s=fb.sum(fb.cumulative_sum(h, axis=1)))
    fb.memory.free_cached()
    fb.memory.set_limit(fb.memory.stats().live + 16 * MB)
    with pytest.raises(fb.OutOfMemoryError) as caught:
        g()
    assert 64 <= told(str(caught.value)) < 8192


def test_fit_tells_the_batch() -> None:
    model = fb.nn.Sequential(fb.nn.Dense(2048, activation=fb.tanh), fb.nn.Dense(1))
    x = np.ones((8192, 64), np.float32)
    y = np.ones((8192, 1), np.float32)
    model(x[:1])
    fb.memory.free_cached()
    fb.memory.set_limit(fb.memory.stats().live + 40 * MB)

    def train(batch: int) -> None:
        fb.fit(
            model, (x, y), fb.losses.mean_squared_error, fb.optim.SGD(1e-3), batch_size=batch,
            progress=False, shuffle=False,
        )  # fmt: skip

    with pytest.raises(fb.OutOfMemoryError) as caught:
        train(8192)
    fits = told(str(caught.value))
    del caught
    fb.memory.free_cached()
    train(fits)


def test_nothing_fits_is_said_plainly() -> None:
    w = fb.ones((2048, 2048))
    f = fb.graph(lambda x, w: fb.sum(fb.tanh(w @ fb.transpose(w)) * fb.sum(x)))
    fb.memory.free_cached()
    fb.memory.set_limit(fb.memory.stats().live + MB)
    with pytest.raises(fb.OutOfMemoryError) as caught:
        f(fb.ones((4, 2)), w)
    assert "would fit." not in str(caught.value) or "Not even" in str(caught.value)


# ---- views -------------------------------------------------------------------------------------


def test_html_is_escaped_and_stands_alone() -> None:
    names = {"<img src=x onerror=alert(1)>": block(1)}
    html = fb.memory.snapshot()._repr_html_()
    assert "<img src=x" not in html
    assert "&lt;img" in html
    assert "flowbook-view flowbook-kind-memory" in html
    assert "<script" not in html
    del names


def test_the_course_marks_the_peak_and_the_limit() -> None:
    shot = {
        "device": "cpu", "live": 5, "peak": 9, "reserved": 5, "limit": 20,
        "history": [(0.0, 1, 1), (1.0, 9, 9), (2.0, 5, 9), (3.0, 5, 5)],
    }  # fmt: skip
    svg = _memory_view.course(shot)
    assert svg.startswith("<svg")
    assert "peak 9 B" in svg
    assert 'class="m"' in svg
    assert "3 s ago" in svg
    assert _memory_view.course({"history": []}) == ""


@pytest.mark.parametrize("limit", [None, 1000, 1100, 1500, 4000])
@pytest.mark.parametrize("peak", [1000, 600, 100])
def test_no_line_runs_through_the_words_at_the_peak(limit: int | None, peak: int) -> None:
    """A use that stays at its peak struck the words through."""
    history = [(0.0, 10, 10), (1.0, peak, peak), (2.0, peak, peak)]
    if limit is None:
        history.append((3.0, 1000, 1000))
    svg = _memory_view.course({"history": history, "limit": limit})
    at = float(re.search(r'cy="([\d.]+)"', svg)[1])  # type: ignore[index]
    words = float(re.search(r'y="([\d.]+)"[^>]*>peak', svg)[1])  # type: ignore[index]
    levels = [at] + [float(y) for y in re.findall(r'd="M8 ([\d.]+)h', svg)]
    assert 9 <= words <= 112 - 20
    assert [y for y in levels if words - 9 < y < words + 1] == []


def test_a_live_view_gets_data_instead_of_the_picture() -> None:
    shot = {
        "device": "cpu", "live": 5, "peak": 9, "reserved": 5, "limit": None, "by_kind": {}, "rows": [],
        "history": [(0.00049, 1, 1), (1.0, 9, 9)],
        "cells": [{"exec": 2, "cell": None, "source": "x", "change": 8, "peak": 8, "at": (0.25, 1.0)}],
    }  # fmt: skip
    assert "<img" in _memory_view.html(shot)
    assert "<img" not in _memory_view.html(shot, live=True)
    assert _memory_view.live_course(shot) == {
        "history": [[0.0, 1, 1], [1.0, 9, 9]],
        "cells": [{"exec": 2, "at": [0.25, 1.0]}],
        "limit": None,
    }
