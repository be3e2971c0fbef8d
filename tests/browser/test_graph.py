"""The live graph view: what the mouse, the keyboard and the kernel do to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from . import contrast
from .cells import NET, SETUP
from .graphs import box, boxes, folded, live

LAYERS = """\
model = fb.nn.Sequential(*[fb.nn.Dense(64, activation=fb.nn.relu) for _ in range(6)], fb.nn.Dense(10))
_ = model(x)"""
DEEP = """\
%%graph deep
out = model(x)
deep_loss = fb.losses.softmax_cross_entropy(out, y)
deep_grads = fb.gradients(deep_loss, list(model.parameters()))"""
DEEP_CELL = 3

# Ten thousand nodes: of a training step, whose equal blocks fold; and without any order to fold.
BIG = """\
blocks = [fb.nn.Sequential(*[fb.nn.Dense(8, activation=fb.tanh) for _ in range(20)]) for _ in range(50)]
big_model = fb.nn.Sequential(*blocks)
u = fb.asarray(np.ones((4, 8), np.float32))
_ = big_model(u)"""
BIG_VIEW = """\
%%graph big --no-run
big_loss = fb.mean(big_model(u))
big_grads = fb.gradients(big_loss, list(big_model.parameters()))"""
FLAT_VIEW = """\
%%graph flat --no-run
h = u
ops = fb.tanh, fb.exp, fb.cos, fb.abs, fb.sin
for k in range(10_000):
    h = ops[k * k * k % 11 % 5](h)"""

# Drags the drawing about and zooms by real events, one a frame; returns what lay between the frames.
MOVE = """async host => {
  const stage = host.shadowRoot.querySelector('.stage');
  const {left, top, width, height} = stage.getBoundingClientRect();
  const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
  const at = (x, y) => ({bubbles: true, composed: true, cancelable: true,
    pointerId: 1, button: 0, buttons: 1, clientX: left + width / 2 + x, clientY: top + height / 2 + y});
  const drag = (type, x, y) => stage.dispatchEvent(new PointerEvent(type, at(x, y)));
  const times = [];
  let last = await frame();
  const next = async () => { const now = await frame(); times.push(now - last); last = now; };
  drag('pointerdown', 0, 0);
  for (let i = 1; i <= 40; ++i) { drag('pointermove', 6 * i, 4 * i); await next(); }
  drag('pointerup', 240, 160);
  for (let i = 0; i < 40; ++i) {
    const deltaY = i < 20 ? -60 : 60;
    stage.dispatchEvent(new WheelEvent('wheel', {...at(0, 0), ctrlKey: true, deltaY}));
    await next();
  }
  return times;
}"""


@pytest.fixture(scope="module")
def book(module_desk: Any) -> Any:
    """A notebook with a small and a deep graph, both live."""
    opened = module_desk.open([SETUP, NET, LAYERS, DEEP], fresh=True)
    for index in range(4):
        assert "Error" not in opened.run(index)
    return opened


@pytest.fixture(autouse=True)
def _check(request: pytest.FixtureRequest, module_desk: Any) -> Iterator[None]:
    yield
    module_desk.check(request)
    for opened in module_desk.books:
        opened.page.mouse.move(5, 5)
        opened.calm()


def test_the_view_takes_the_place_of_the_picture(book: Any, shot: Any) -> None:
    view = live(book, 1)
    assert not book.view(1).locator("img").is_visible()
    assert box(view, "matmul").is_visible()
    assert "22 nodes" in view.locator(".stats").inner_text()
    shot(book.page, "graph")


def test_hover_tells_what_a_node_is(book: Any, shot: Any) -> None:
    view = live(book, 1)
    box(view, "relu").hover()
    card = view.locator(".tip")
    card.wait_for()
    words = card.inner_text()
    for part in ("relu", "h", "f32[32, 128]", "16.4 kB", "In [2], line 2"):
        assert part in words
    shot(book.page, "graph-card")
    # It stands below the box, where the drawing runs to the right, and hides neither it nor the next.
    tip, own, after = (e.bounding_box() for e in (card, box(view, "relu"), box(view, "softmax")))
    assert tip["y"] >= own["y"] + own["height"] - 1
    assert tip["y"] >= after["y"] + after["height"] - 1
    # All of it can be seen: no output cuts it off.
    ends = card.evaluate("""e => {
      const {left, right, bottom} = e.getBoundingClientRect();
      return [left + 3, right - 3].every(x => e.contains(
        e.getRootNode().elementFromPoint(x, bottom - 3)));
    }""")
    assert ends
    book.page.mouse.move(5, 5)
    card.wait_for(state="hidden")


def knows_selection(book: Any, names: str) -> None:
    """Waits until the kernel has heard what is selected."""
    book.until(lambda: book.value("net.view.selection") == names, what=f"{names} is selected")


def test_click_selects_and_python_knows(book: Any) -> None:
    view = live(book, 1)
    box(view, "relu").click()
    assert box(view, "relu").get_attribute("aria-pressed") == "true"
    box(view, "mean").click(modifiers=["Shift"])
    knows_selection(book, "['h', 'loss']")
    box(view, "mean").press("Escape")
    knows_selection(book, "[]")


def test_click_leads_to_the_cell(book: Any) -> None:
    view = live(book, 1)
    box(view, "relu").click()
    link = view.locator(".tip a.jump")
    link.wait_for()
    cell_id = book.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[1].model.id"
    )
    assert link.get_attribute("href") == f"#cell-id={cell_id}"
    book.select(3)
    link.click()
    book.until(lambda: book.active() == 1, what="the cell is active")
    box(view, "relu").press("Escape")


def test_scopes_open_and_close_by_click(book: Any, shot: Any) -> None:
    view = live(book, DEEP_CELL)
    assert 0 < boxes(view).count() <= 60
    shot(view, "graph-deep")
    scopes = folded(view).locator("g.box.is-scope")
    before = boxes(view).count()
    shot(view, "graph-folded")
    name = scopes.first.get_attribute("aria-label")
    scopes.first.click()
    opened = view.locator(f'g.box[aria-label="{name}"]')
    book.until(lambda: boxes(view).count() > before)
    assert opened.get_attribute("aria-expanded") == "true"
    shot(view, "graph-unfolded")
    opened.locator("text").first.click()
    book.until(lambda: boxes(view).count() == before)
    view.get_by_role("button", name="Open all scopes").click()
    assert scopes.count() == 0


def test_search_looks_into_closed_scopes(book: Any, shot: Any) -> None:
    view = folded(live(book, DEEP_CELL))
    before = boxes(view).count()
    field = view.locator("input.search")
    field.fill("softmax_cross")
    count = view.locator(".count")
    assert int(count.inner_text()) >= 1
    field.fill("weight")
    total = int(count.inner_text())
    assert total >= 7
    field.press("Enter")
    assert count.inner_text() == f"1/{total}"
    assert view.locator("g.box.current").count() == 1
    assert boxes(view).count() >= before
    shot(view, "graph-search")
    field.press("Enter")
    assert count.inner_text() == f"2/{total}"
    field.fill("no such thing")
    assert count.inner_text() == "0"
    field.press("Escape")
    assert field.input_value() == ""


def test_by_keyboard_alone(book: Any) -> None:
    view = folded(live(book, DEEP_CELL))
    focused = "() => document.activeElement.shadowRoot?.activeElement?.getAttribute('aria-label')"
    view.locator("input.search").focus()
    for _ in range(30):
        book.page.keyboard.press("Tab")
        if view.locator("g.box:focus").count():
            break
    first = book.page.evaluate(focused)
    assert first
    before = boxes(view).count()
    for _ in range(40):  # along the lines until a scope
        if view.locator("g.box.is-scope:focus").count():
            break
        book.page.keyboard.press("ArrowRight" if _ % 4 < 3 else "ArrowDown")
    assert view.locator("g.box.is-scope:focus").count() == 1
    book.page.keyboard.press("Enter")
    assert boxes(view).count() > before
    assert view.locator("g.box:focus").count() == 1
    book.page.keyboard.press("Enter")
    assert boxes(view).count() == before
    book.page.keyboard.press("/")
    assert view.locator("input.search:focus").count() == 1
    book.page.keyboard.type("matmul")
    book.page.keyboard.press("Enter")
    assert view.locator(".count").inner_text().startswith("1/")
    book.page.keyboard.press("Escape")
    assert book.active() >= 0
    assert len(book.texts()) >= 4  # no key became a command of the notebook


def test_the_card_of_a_focused_scope_stays(book: Any) -> None:
    """Also while the drawing moves to it, and with the pointer at rest over the drawing."""
    view = folded(live(book, DEEP_CELL))
    view.locator(".stage").hover(position={"x": 20, "y": 60})
    view.locator("input.search").focus()
    view.locator("input.search").press("ArrowDown")
    view.get_by_role("button", name="Zoom in").click(click_count=6)
    view.locator("input.search").focus()
    view.locator(".stage").hover(position={"x": 20, "y": 60})
    view.locator("input.search").press("ArrowDown")
    for _ in range(40):
        if view.locator("g.box.is-scope:focus").count():
            break
        book.page.keyboard.press("ArrowRight" if _ % 4 < 3 else "ArrowDown")
    card = view.locator(".tip")
    card.wait_for()
    book.page.wait_for_timeout(700)
    assert card.is_visible()
    assert "scope" in card.inner_text()
    assert "opens it" in card.inner_text()


def test_focus_can_be_seen(book: Any) -> None:
    view = live(book, DEEP_CELL)
    view.locator("input.search").focus()
    view.locator("input.search").press("ArrowDown")
    book.page.keyboard.press("ArrowRight")
    ring = view.locator("g.box:focus").evaluate(
        """g => [g, ...g.querySelectorAll('rect')].some(e => {
             const s = getComputedStyle(e);
             return (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1.5) ||
                    (e.tagName === 'rect' && parseFloat(s.strokeWidth) >= 1.5);
           })"""
    )
    assert ring


def export(book: Any, view: Any, words: str, folder: Path) -> Path:
    """Saves the drawing by the menu, and returns the file."""
    if not view.get_by_role("button", name=words).is_visible():
        view.get_by_text("Export").click()
    with book.page.expect_download() as download:
        view.get_by_role("button", name=words).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_the_png_is_the_drawing(book: Any, tmp_path: Path) -> None:
    """Twice as fine as the SVG, with ink all over, in the drawing's colours."""
    view = live(book, DEEP_CELL)
    drawing = export(book, view, "SVG drawing", tmp_path).read_text()
    wide, tall = (int(re.search(rf'{name}="(\d+)"', drawing)[1]) for name in ("width", "height"))
    path = export(book, view, "PNG picture", tmp_path)
    assert path.name == "deep.png"
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[:2] == (2 * tall, 2 * wide)
    paper = pixels[2, 2]
    inked = abs(pixels - paper).sum(2) > 60
    assert 0.02 < inked.mean() < 0.9
    assert all(
        part.any() for half in np.array_split(inked, 2) for part in np.array_split(half, 2, 1)
    )
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("form", ["svg", "html"])
def test_exports(book: Any, form: str, tmp_path: Path, browser: Any, shot: Any) -> None:
    view = live(book, DEEP_CELL)
    words = {"svg": "SVG drawing", "html": "Interactive HTML page"}[form]
    path = export(book, view, words, tmp_path)
    assert path.name == f"deep.{form}"
    # From the disk, in a browser without network or kernel.
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 800})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    if form == "svg":
        assert page.locator("text", has_text="softmax_cross_entropy").count() >= 1
        assert page.locator("g > title").count() == boxes(view).count()  # each box says what it is
        inside = """() => {
          const {width, height} = document.documentElement.viewBox.baseVal;
          const frame = document.documentElement.getBoundingClientRect();
          return [...document.querySelectorAll('rect, text, path')].every(e => {
            const b = e.getBoundingClientRect();
            return b.right <= frame.left + width + 1 && b.bottom <= frame.top + height + 1;
          });
        }"""
        assert page.evaluate(inside)
    else:
        assert page.locator("g.box").count() >= 5
        page.get_by_role("button", name="Close all scopes").click()
        scope = page.locator("g.box.is-scope").first
        before = page.locator("g.box").count()
        scope.click()
        assert page.locator("g.box").count() > before
        page.locator("input.search").fill("weight")
        assert int(page.locator(".count").inner_text()) >= 7
        assert page.get_by_text("no kernel").count() == 0  # there never was one
        recorded = page.locator("g.box").count()
        page.get_by_role("button", name="Optimised").click()
        assert "steps" in page.locator(".strip").inner_text()
        page.get_by_role("button", name="Optimised").click()
        assert page.locator("g.box").count() == recorded
        page.get_by_text("Export").click()
        assert page.get_by_role("button", name="Interactive HTML page").count() == 0
        with page.expect_download() as again:
            page.get_by_role("button", name="SVG drawing").click()
        assert again.value.suggested_filename == "deep.svg"
        shot(page, "graph-exported")
    assert not problems
    context.close()


def test_the_saved_notebook_stays_small(book: Any) -> None:
    saved = book.save()
    for index in (1, DEEP_CELL):
        (output,) = saved.cells[index].outputs
        assert sum(len(text) for text in output.data.values()) < 50_000
        assert set(output.data) == {"text/html", "text/plain"}
    assert "widgets" not in saved.metadata


def test_no_message_without_need(book: Any) -> None:
    """An idle view is silent; what the reader does costs a message each at most."""
    view = live(book, 1)
    frames = book.messages
    book.page.wait_for_timeout(500)
    before = len(frames)
    for _ in range(12):
        box(view, "relu").hover()
        box(view, "mean").hover()
    book.page.wait_for_timeout(300)
    assert len(frames) - before <= 2


@pytest.mark.parametrize(
    ("theme", "media"),
    [
        ("JupyterLab Light", {}),
        ("JupyterLab Dark", {}),
        ("JupyterLab Light", {"contrast": "more"}),
        ("JupyterLab Dark", {"contrast": "more"}),
    ],
    ids=["light", "dark", "light-high", "dark-high"],
)
def test_contrast(book: Any, shot: Any, theme: str, media: dict[str, str]) -> None:
    book.page.emulate_media(**{"contrast": "no-preference", **media})
    book.theme(theme)
    for index in (1, DEEP_CELL):
        view = live(book, index)
        book.page.wait_for_timeout(300)
        contrast.check(view, 7 if media else 4.5)
        name = f"graph-{theme.split()[1].lower()}{'-high' if media else ''}-{index}"
        shot(view, name)
    box(live(book, 1), "relu").hover()
    live(book, 1).locator(".tip").wait_for()
    contrast.check(live(book, 1).locator(".tip"))


def test_nothing_moves_for_who_wants_it_still(book: Any) -> None:
    book.page.emulate_media(reduced_motion="reduce")
    view = live(book, DEEP_CELL)
    moving = view.evaluate(
        """host => [...host.shadowRoot.querySelectorAll('*')].filter(e => {
             const s = getComputedStyle(e);
             const seconds = text => Math.max(...text.split(',').map(parseFloat));
             return (s.transitionProperty !== 'none' && seconds(s.transitionDuration) > 0) ||
                    s.animationName !== 'none';
           }).length"""
    )
    assert moving == 0


def test_a_narrow_page(book: Any, shot: Any) -> None:
    book.page.set_viewport_size({"width": 620, "height": 900})
    book.page.wait_for_timeout(300)
    view = live(book, DEEP_CELL)
    wide = view.evaluate("host => host.scrollWidth - host.clientWidth")
    assert wide <= 1
    clipped = view.evaluate(
        """host => [...host.shadowRoot.querySelectorAll('input, select, button')].filter(e => {
             const {left, right, width} = e.getBoundingClientRect();
             const frame = host.getBoundingClientRect();
             return width && (left < frame.left - 1 || right > frame.right + 1);
           }).map(e => e.getAttribute('aria-label') || e.textContent)"""
    )
    shot(view, "graph-narrow")
    assert not clipped
    stage = view.locator(".stage").bounding_box()
    middles = [
        (b["x"] + b["width"] / 2, b["y"] + b["height"] / 2)
        for b in (each.bounding_box() for each in boxes(view).all())
        if b
    ]
    inside = [
        (x, y)
        for x, y in middles
        if 0 < x - stage["x"] < stage["width"] and 0 < y - stage["y"] < stage["height"]
    ]
    assert len(inside) >= 2  # the drawing did not stay behind where the page was wide


def test_reload_makes_it_live_again(book: Any) -> None:
    book.save()
    book.reload()
    view = live(book, 1)
    box(view, "relu").click()
    knows_selection(book, "['h']")


def test_two_pages_on_one_kernel(book: Any, module_desk: Any) -> None:
    other = module_desk.again(book)
    view = live(other, 1)
    box(view, "mean").click()
    knows_selection(book, "['loss']")
    other.page.close()


# The last two leave no kernel behind.
def test_kernel_restart_leaves_a_drawing_that_works(book: Any, shot: Any) -> None:
    view = live(book, DEEP_CELL)
    book.restart()
    book.until(lambda: view.get_by_text("no kernel").is_visible(), what="the view says it")
    before = boxes(folded(view)).count()
    view.locator("g.box.is-scope").first.click()
    assert boxes(view).count() > before
    shot(view, "graph-no-kernel")
    assert "Error" not in book.run(0)
    assert "Error" not in book.run(1)
    again = live(book, 1)
    assert not again.get_by_text("no kernel").is_visible()


def test_a_kernel_that_died_leaves_a_drawing_that_works(book: Any) -> None:
    view = live(book, DEEP_CELL)
    book.end_kernel()
    before = boxes(folded(view)).count()
    view.locator("g.box.is-scope").first.click()
    assert boxes(view).count() > before
    view.locator("input.search").fill("matmul")
    assert int(view.locator(".count").inner_text()) > 0


# Notes when the picture of a new view appears, when its data come, when it is live and when painted.
# What a page hears is read off its sockets here, before the page takes it: a listener of the debugger's
# would take longer, and one beside the page's own is called when the page has done its work.
WATCH = """() => {
  const send = WebSocket.prototype.send;
  if (!window.heard) {
    window.heard = new WeakSet();
    WebSocket.prototype.send = function (data) {
      if (!window.heard.has(this)) {
        window.heard.add(this);
        const take = this.onmessage;
        this.onmessage = event => {
          if ((event.data.byteLength || 0) > 50_000 && window.times)
            window.times.data ??= performance.now();
          take.call(this, event);
        };
      }
      return send.call(this, data);
    };
  }
  window.times = undefined;
  window.watch?.disconnect();
  const known = new Set(document.querySelectorAll('.flowbook-view'));
  window.watch = new MutationObserver(() => {
    const root = [...document.querySelectorAll('.flowbook-view')].find(e => !known.has(e));
    if (!root || window.times) return;
    const times = window.times = {picture: performance.now()};
    const look = () => {
      const shadow = root.querySelector('.flowbook-live')?.shadowRoot;
      if (shadow?.querySelector('svg.drawing g.box, canvas.drawing')) {
        times.live = performance.now();
        requestAnimationFrame(() => requestAnimationFrame(() => { times.painted = performance.now(); }));
      } else requestAnimationFrame(look);
    };
    look();
  });
  window.watch.observe(document.body, {childList: true, subtree: true});
}"""


@pytest.fixture(scope="module")
def big_book(module_desk: Any) -> Any:
    opened = module_desk.open([SETUP, BIG, BIG_VIEW, FLAT_VIEW])
    for index in (0, 1):
        assert "Error" not in opened.run(index)
    return opened


@pytest.mark.clock
@pytest.mark.parametrize("name", ["big", "flat"])
def test_ten_thousand_nodes(big_book: Any, shot: Any, name: str) -> None:
    """How soon the drawing is there, and how it moves, as the page sees it.

    Drawing takes 300 ms at most from when the data are there; the best of three, since what else the
    machine does only adds to it.
    """
    index = 2 if name == "big" else 3
    found = []
    for _ in range(3):
        big_book.page.evaluate(WATCH)
        assert "Error" not in big_book.run(index)
        view = live(big_book, index)
        times = big_book.until(
            lambda: (t := big_book.page.evaluate("window.times")) and "painted" in t and t,
            what="it is painted",
        )
        assert times["picture"] < times["data"] < times["live"] < times["painted"]
        found.append(times)
    words = view.locator(".stats").inner_text()
    count = int(re.search(r"([\d,]+) nodes", words)[1].replace(",", ""))
    assert count > 9_000
    if name == "big":
        assert boxes(view).count() <= 60
    drawing = min(t["painted"] - t["data"] for t in found)
    wait = min(t["data"] - t["picture"] for t in found)
    shot(view, f"graph-10000-{name}")  # before it is dragged away
    median, late = np.min([np.percentile(view.evaluate(MOVE), (50, 95)) for _ in range(3)], 0)
    print(
        f"{name}, {count} nodes: data {wait:.0f} ms after the picture, painted {drawing:.0f} ms after "
        f"them; frames of {median:.0f} ms, one in twenty above {late:.0f} ms"
    )
    assert drawing < 300
    assert wait + drawing < 500
    # Two refreshes of a screen that has sixty a second: where the processor draws, and the machine has
    # other work, a frame may miss one. A drawing that stutters for the reader takes longer than that.
    assert median < 34
    assert late < 100
