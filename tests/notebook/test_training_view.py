"""TrainingView: what it tells the page and what the page may ask, with a page that is not one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from stand_in import FakeWidget, answer

pytest.importorskip("flowbook._core")
pytest.importorskip("IPython")
import flowbook as fb
from flowbook import _run_view, nn
from flowbook_ext import hub
from flowbook_ext.views import attached, training
from flowbook_ext.views import sender as sending
from flowbook_ext.views.sender import Sender
from flowbook_ext.views.training import TrainingView, View


class FakePage:
    """A hub that writes down what it is given, and when."""

    def __init__(self) -> None:
        self.messages: list[tuple[float, dict[str, Any], list[bytes]]] = []
        self.handlers: dict[str, Any] = {}
        self.came = threading.Condition()

    def attach(self, view_id: str, handler: Any) -> None:
        self.handlers[view_id] = handler

    def detach(self, view_id: str) -> None:
        del self.handlers[view_id]

    def attached(self, view_id: str) -> bool:
        return view_id in self.handlers

    def send(self, view_id: str, content: dict[str, Any], buffers: Any = ()) -> None:
        json.dumps(content, allow_nan=False)
        with self.came:
            self.messages.append((time.monotonic(), content, list(buffers)))
            self.came.notify_all()

    def say(self, view_id: str, **content: Any) -> None:
        self.handlers[view_id](content, [])

    def wait(
        self, condition: Callable[[dict[str, Any]], Any], seconds: float = 10
    ) -> dict[str, Any]:
        """The first message that fulfils a condition."""
        end = time.monotonic() + seconds
        with self.came:
            while True:
                for _, content, _ in self.messages:
                    if condition(content):
                        return content
                assert self.came.wait(end - time.monotonic()), [m[1] for m in self.messages][-3:]

    def kinds(self, kind: str) -> list[tuple[dict[str, Any], list[bytes]]]:
        return [
            (content, buffers) for _, content, buffers in self.messages if content["kind"] == kind
        ]


class Handle:
    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, bundle: dict[str, str], raw: bool, display_id: bool) -> Handle:
        self.shown.append(bundle)
        return self

    def update(self, bundle: dict[str, str], raw: bool) -> None:
        self.shown.append(bundle)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePage]:
    page = FakePage()
    sender = Sender()
    monkeypatch.setattr(training, "sender", sender)
    monkeypatch.setattr(attached, "_views", {})
    monkeypatch.setattr(hub, "hub", lambda: page)
    yield page
    for run in fb.runs.active():
        run.stop("the test is over")
        run._over.wait(10)


def start(
    page: FakePage, handle: Handle | None = None, **settings: Any
) -> tuple[Any, TrainingView]:
    made: list[TrainingView] = []

    def view(run: Any) -> TrainingView:
        made.append(TrainingView(run))
        training.connect(made[0])
        if handle:
            made[0].show(handle.display)
        return made[0]

    from flowbook import _run

    _run.views.insert(0, view)
    try:
        fb.random.seed(0)
        x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        given = {"epochs": 100_000, "batch_size": 16, "wait": False, **settings}
        data = given.pop("data", (x, 3 * x + 1))
        run = fb.fit(
            nn.Sequential(nn.Dense(1)),
            data,
            fb.losses.mean_squared_error,
            fb.optim.SGD(0.1),
            **given,
        )
    finally:
        _run.views.remove(view)
    return run, made[0]


def rows(buffers: list[bytes], k: int = 0) -> np.ndarray:
    return np.frombuffer(buffers[k], "<f8").reshape(-1, 4)


def step_of(message: dict[str, Any]) -> int:
    """The step of the (first) run that a message is about."""
    return (message["runs"][0] if message["kind"] == "state" else message)["progress"]["step"]


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


# What goes to the page


def test_nothing_is_sent_before_a_page_asks(page: FakePage) -> None:
    run, _ = start(page, epochs=3)
    run.wait(10)
    time.sleep(0.05)
    assert [kind["kind"] for _, kind, _ in page.messages if kind["kind"] != "state"] == []


def test_the_state_and_the_updates_together_have_every_step(page: FakePage) -> None:
    run, view = start(page)
    until(lambda: run.step > 50)
    page.say(view.id, kind="open")
    page.wait(lambda m: m["kind"] == "state")
    page.wait(lambda m: m["kind"] == "update" and m["points"])
    page.wait(lambda m: m["kind"] == "update" and m["epochs"])
    run.stop()
    run.wait(10)
    final = page.wait(
        lambda m: m["kind"] == "state" and m["runs"][0]["progress"]["status"] == "stopped"
    )
    (state, buffers), *_ = page.kinds("state")
    assert state["controls"] is True
    seen = [rows(buffers)]
    assert len(seen[0]) == state["runs"][0]["points"]
    for content, buffers in page.kinds("update"):
        if content["points"]:
            seen.append(rows(buffers))
            assert len(seen[-1]) <= 64
    steps = np.concatenate([part[:, 0] for part in seen])
    assert np.unique(steps)[-1] >= 50
    assert (seen[1][:, 1] <= seen[1][:, 3]).all()
    assert (seen[1][:, 3] <= seen[1][:, 2]).all()
    record = final["runs"][0]
    assert record["progress"]["reason"] == "stop was asked for"
    (table,) = record["epochs"]
    assert table == {"loss": run.history["loss"][-2000:]}


def gaps(page: FakePage) -> np.ndarray:
    return np.diff([t for t, _, _ in page.messages])


def test_at_most_ten_messages_a_second(page: FakePage) -> None:
    run, view = start(page)
    page.say(view.id, kind="open")
    until(lambda: len(page.messages) >= 12)
    run.stop()
    run.wait(10)
    assert gaps(page).min() >= sending.GAP


def test_answers_share_the_messages_that_a_view_may_send(page: FakePage) -> None:
    """Whatever is clicked, however often: everything is answered, and no two messages are near."""
    run, view = start(page)
    page.say(view.id, kind="open")
    for number in range(120):
        action = ("rate", "pause", "resume")[number % 3]
        page.say(view.id, kind="control", id=number, action=action, value=0.01)
        time.sleep(0.01)
    page.wait(lambda m: answer(m, 119))
    page.say(view.id, kind="control", id=120, action="stop")
    run.wait(10)
    page.wait(lambda m: answer(m, 120))
    page.wait(lambda m: m["kind"] == "state" and m["runs"][0]["progress"]["status"] == "stopped")
    acknowledged = [ack["id"] for _, m, _ in page.messages for ack in m.get("acks", [])]
    assert sorted(acknowledged) == list(range(121))
    assert gaps(page).min() >= sending.GAP


def test_what_is_dear_is_sent_less_often(page: FakePage) -> None:
    """A view whose messages take 3 ms of the processor keeps to its share; clicks are answered."""
    run, view = start(page)
    send = page.send

    def dear(*args: Any) -> None:
        end = time.thread_time() + 0.003
        while time.thread_time() < end:
            pass
        send(*args)

    page.send = dear  # type: ignore[method-assign]
    page.say(view.id, kind="open")
    until(lambda: len(page.messages) >= 10, 20)
    assert np.median(gaps(page)[-4:]) > 0.5
    begin = time.monotonic()
    assert ask(page, view, 1, "stop") == ""
    assert time.monotonic() - begin < 0.4
    run.wait(10)


def test_the_slowest_view_still_speaks_once_a_second() -> None:
    pace = sending.Pace()
    for _ in range(50):
        pace.note(10.0)
    assert sending.GAP < pace.interval <= sending.LONGEST
    for _ in range(50):
        pace.note(0.0)
    assert pace.interval == pytest.approx(sending.GAP, rel=0.01)


@pytest.mark.clock
def test_a_view_does_not_wait_for_the_time_of_another(page: FakePage) -> None:
    run, busy = start(page)
    page.say(busy.id, kind="open")  # one message after the other, each waits for its time
    quiet = TrainingView(run)
    quiet.id = "quiet"
    training.connect(quiet)
    waited = []
    for number in range(5):
        time.sleep(0.13)  # the quiet view may send again
        begin = time.monotonic()
        page.say("quiet", kind="control", id=number, action="rate", value=0.01)
        page.wait(lambda m, number=number: answer(m, number))
        waited.append(time.monotonic() - begin)
    run.stop()
    run.wait(10)
    assert min(waited) < 0.05
    assert sorted(waited)[2] < 0.09  # most of them: the machine may be busy


def test_steps_before_a_batch_that_takes_long_are_told(page: FakePage) -> None:
    opened, goes_on = threading.Event(), threading.Event()

    def batches() -> Iterator[Any]:
        for number in range(5):
            if number == 0:
                opened.wait(20)
            if number == 1:
                time.sleep(0.05)  # the first step is told, the next two come too soon after it
            if number == 3:
                goes_on.wait(20)
            yield np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)

    class Batches:
        def __iter__(self) -> Iterator[Any]:
            return batches()

    run, view = start(page, data=Batches(), epochs=1)
    page.say(view.id, kind="open")
    page.wait(lambda m: step_of(m) == 0)
    time.sleep(0.3)
    opened.set()
    page.wait(lambda m: step_of(m) == 3)
    told = len(page.messages)
    time.sleep(1.5 * sending.LONGEST)
    assert len(page.messages) <= told + 1  # nothing new, nothing said
    goes_on.set()
    run.wait()
    page.wait(lambda m: step_of(m) == 5)


def test_numbers_that_are_not_finite_are_json(page: FakePage) -> None:
    x = np.ones((16, 1), np.float32)
    run, view = start(page, data=(x, x * np.nan), epochs=2, on_nan="ignore")
    run.wait(10)
    page.say(view.id, kind="open")
    state = page.wait(lambda m: m["kind"] == "state")
    assert state["runs"][0]["epochs"] == [{"loss": [None, None]}]


def test_epochs_that_do_not_fit_into_a_message_are_left_out(page: FakePage) -> None:
    """The newest are told, under their own numbers, and none of them twice."""
    run, view = start(page, epochs=5)
    run.wait(10)
    run.history.logs += [{"loss": float(number)} for number in range(6, 3001)]
    content, _ = view._update(run, [])
    assert content["firstEpoch"] == 1001
    assert content["epochs"] == [{"loss": list(range(1001, 3001))}]
    run.history.logs.append({"loss": 3001.0})
    content, _ = view._update(run, [])
    assert content["firstEpoch"] == 3001
    assert content["epochs"] == [{"loss": [3001.0]}]


def test_a_second_page_gets_everything_again(page: FakePage) -> None:
    run, view = start(page)
    for count in (1, 2):
        page.say(view.id, kind="open")
        until(lambda count=count: len(page.kinds("state")) == count)
    run.stop()
    run.wait(10)


# What the page may ask


def ask(page: FakePage, view: TrainingView, number: int, action: str, value: Any = None) -> str:
    page.say(view.id, kind="control", id=number, action=action, value=value)
    return answer(page.wait(lambda m: answer(m, number)), number)[0]


def test_controls_reach_the_run_and_are_acknowledged(page: FakePage) -> None:
    run, view = start(page)
    page.say(view.id, kind="open")
    assert ask(page, view, 1, "pause") == ""
    until(lambda: run.status == "paused")
    held = run.step
    assert ask(page, view, 2, "step") == ""
    until(lambda: run.step == held + 1)
    assert ask(page, view, 3, "rate", 0.025) == ""
    until(lambda: run.learning_rate == np.float32(0.025))
    assert ask(page, view, 4, "resume") == ""
    until(lambda: run.step > held + 5)
    assert ask(page, view, 5, "stop") == ""
    assert run.wait(10).stopped == "stopped in the view"
    kinds = [m.kind for m in run.history.marks]
    assert kinds == ["pause", "learning rate", "resume"]
    told = [run for content, _ in page.kinds("state") for run in content["runs"]]
    told += [content for content, _ in page.kinds("update")]
    assert {m["kind"] for part in told for m in part["marks"]} >= {"pause", "learning rate"}
    assert ask(page, view, 6, "stop") == "the run has ended"


def test_detach_lets_a_blocking_fit_return(page: FakePage) -> None:
    def press() -> None:
        until(lambda: page.handlers)
        (view_id,) = page.handlers
        page.say(view_id, kind="open")
        page.wait(lambda m: m["kind"] == "update" and m["progress"]["attached"])
        page.say(view_id, kind="control", id=1, action="detach")

    thread = threading.Thread(target=press)
    thread.start()
    history, view = start(page, wait=True)
    thread.join()
    (run,) = fb.runs.active()
    assert run.history is history
    assert run.status == "running"
    assert page.wait(lambda m: m["kind"] == "update" and not m["progress"]["attached"])
    assert ask(page, view, 2, "stop") == ""
    run.wait(10)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"kind": "control", "action": "rate", "value": -1}, "not negative"),
        ({"kind": "control", "action": "rate", "value": "fast"}, "could not convert"),
        ({"kind": "control", "action": "rate", "value": None}, "float"),
        ({"kind": "control", "action": "explode"}, "unknown action 'explode'"),
        ({"kind": "control"}, "unknown action"),
    ],
)
def test_bad_requests_are_refused_in_words(
    page: FakePage, content: dict[str, Any], text: str
) -> None:
    run, view = start(page)
    page.say(view.id, id=9, **content)
    assert text in answer(page.wait(lambda m: answer(m, 9)), 9)[0]
    assert run.status == "running"


def test_unknown_messages_are_ignored(page: FakePage) -> None:
    run, view = start(page)
    page.say(view.id, kind="dance")
    page.say(view.id)
    until(lambda: run.step > 3)


# What stays in the notebook


def test_the_cell_keeps_the_last_picture(page: FakePage) -> None:
    handle = Handle()
    run, _ = start(page, handle, epochs=20)
    run.wait(10)
    first, *_, last = handle.shown
    assert f"flowbook-kind-run flowbook-id-{run.name}" in first["text/html"]
    assert f"flowbook-view flowbook-kind-run flowbook-id-{run.name}" in last["text/html"]
    assert "finished: 20 epochs" in last["text/html"]
    assert 'src="data:image/svg+xml;base64,' in last["text/html"]
    assert "widget" not in json.dumps(last)
    assert last["text/plain"].startswith(f"Run {run.name}: finished")


def test_where_no_page_answers_the_picture_follows_slowly(
    page: FakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PICTURES", 0.2)
    handle = Handle()
    run, view = start(page, handle)
    until(lambda: len(handle.shown) >= 3)
    page.say(view.id, kind="open")
    page.wait(lambda m: m["kind"] == "update")
    count = len(handle.shown)
    time.sleep(0.5)
    assert len(handle.shown) == count  # a live view is not replaced under the user's hands
    run.stop()
    run.wait(10)
    assert len(handle.shown) == count + 1


def test_a_saved_view_is_small(page: FakePage) -> None:
    handle = Handle()
    x = np.random.default_rng(0).normal(size=(4096, 1)).astype(np.float32)
    metrics = {f"m{k}": fb.losses.mean_squared_error for k in range(6)}
    run, _ = start(
        page, handle, data=(x, x), epochs=60, validation=0.1, metrics=metrics, batch_size=32
    )
    run.learning_rate = 0.01
    run.wait(60)
    assert sum(len(text) for text in handle.shown[-1].values()) < 50_000


def test_an_ended_view_does_not_keep_the_model_alive(page: FakePage) -> None:
    import gc
    import weakref

    run, view = start(page, epochs=1)
    run.wait(10)
    until(lambda: not view._runs)
    model = weakref.ref(run.model)
    del run
    until(lambda: gc.collect() is not None and model() is None)


def test_a_view_that_fails_does_not_disturb_the_run(page: FakePage, monkeypatch: Any) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no page")

    monkeypatch.setattr(page, "send", fail)
    run, view = start(page, epochs=50)
    page.say(view.id, kind="open")
    assert run.wait(10).epochs == 50


def test_logged_runs_are_laid_over_each_other(page: FakePage) -> None:
    runs = []
    for rate in (0.1, 0.01):
        run, _ = start(page, epochs=2, log=True, label=f"rate {rate}")
        run.wait(10)
        runs.append(fb.runs.get(run.name))
    view = View("runs-x", runs)
    training.connect(view)
    page.say("runs-x", kind="open")
    state = page.wait(lambda m: m["kind"] == "state" and len(m["runs"]) == 2)
    assert state["controls"] is False
    assert [run["label"] for run in state["runs"]] == ["rate 0.1", "rate 0.01"]
    _, buffers = next(p for p in page.kinds("state") if len(p[0]["runs"]) == 2)
    assert len(rows(buffers, 1)) == 8
    html = _run_view.html(runs[0])
    assert "finished: 2 epochs, 8 steps" in html


def test_old_views_make_room(page: FakePage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_KEPT", 3)
    for k in range(5):
        training.connect(View(str(k), []))
    assert list(page.handlers) == ["2", "3", "4"]


def test_where_outputs_share_no_page_a_run_has_a_widget_of_its_own(
    monkeypatch: pytest.MonkeyPatch, displayed: list[FakeWidget]
) -> None:
    monkeypatch.setattr(attached, "_views", {})
    monkeypatch.setattr(training, "sender", Sender())
    for view in (View("runs-y", []), View("runs-y", [])):  # a second copy is the same widget
        training.connect(view)
    own, again = displayed
    assert own is again
    assert own.traits == {"_flowbook_view": "runs-y", "_flowbook_kind": "run"}
    own.get("runs-y", "open")
    end = time.monotonic() + 10
    while not own.sent:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert own.sent[0][0]["kind"] == "state"


def test_smoothing_goes_by_steps_however_many_values_tell_of_them() -> None:
    steps = np.arange(1, 10001)
    few = steps[(steps <= 5000) | (steps % 20 == 0)]

    def told(at: np.ndarray) -> float:
        return float(_run_view.smooth(at, (at > 5000).astype(float))[at == 5200][0])

    assert told(steps) == pytest.approx(1 - np.exp(-1), abs=0.01)
    assert told(few) == pytest.approx(told(steps))


def test_smoothing_skips_what_is_not_finite() -> None:
    smooth = _run_view.smooth(np.array([1, 2, 3]), np.array([np.nan, 5.0, np.inf]))
    np.testing.assert_allclose(smooth, [np.nan, 5, 5])
