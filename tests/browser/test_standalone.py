"""An exported page by keyboard alone, as readers with and without sight meet it: no kernel, no mouse."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flowbook as fb
from flowbook import nn

from .graphs import box, boxes

# What has the focus, through all shadow roots.
FOCUS = """let e = document.activeElement;
while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;"""
NAME = f"""() => {{
  {FOCUS}
  return e === document.body ? '' : (e.getAttribute('aria-label') || e.textContent).trim();
}}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawing of a deep net, exported from Python."""
    from flowbook_ext.views.graph import GraphView

    model = nn.Sequential(*[nn.Dense(8, activation=nn.relu) for _ in range(4)], nn.Dense(3))
    x, y = fb.ones((4, 8)), fb.zeros((4,), dtype="int64")
    with fb.graph("deep") as g:
        loss = fb.losses.softmax_cross_entropy(model(x), y)
        g.output(loss=loss, grads=fb.gradients(loss, model.parameters()))
    g.graph()
    path = tmp_path_factory.mktemp("exported") / "deep.html"
    GraphView(g.graph.record()).save(path)
    return path


@pytest.fixture
def page(browser: Any, file: Path) -> Any:
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 800})
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(file.as_uri())
    opened.locator("g.box").first.wait_for()
    yield opened
    context.close()
    assert not problems


def focused(page: Any) -> str:
    """The name that a screen reader says of what has the focus."""
    found: str = page.evaluate(NAME)
    return found


def tab_to(page: Any, test: Callable[[str], bool]) -> str:
    for _ in range(40):
        page.keyboard.press("Tab")
        name = focused(page)
        if test(name):
            return name
    raise AssertionError("Tab does not lead there")


def onto_drawing(page: Any) -> str:
    return tab_to(page, lambda _: page.locator("g.box:focus").count() == 1)


def onto_scope(page: Any) -> str:
    """Walks along the lines until a closed scope has the focus."""
    onto_drawing(page)
    for step in range(40):
        if page.locator("g.box.is-scope:focus").count():
            return focused(page)
        page.keyboard.press("ArrowDown" if step % 3 else "ArrowRight")
    raise AssertionError("no scope on the way")


def test_the_order_of_tab(page: Any) -> None:
    """Search, colours, versions, scopes, zoom, export, keys, then the drawing: one stop of its own."""
    names = []
    for _ in range(14):
        page.keyboard.press("Tab")
        names.append(focused(page))
        if not names[-1] or page.locator("g.box:focus").count():
            break
    assert names[:-1] == [
        "Search nodes; Enter goes to the next", "Colours show", "Optimised", "Open all scopes",
        "Close all scopes", "Zoom out", "Zoom in", "Fit the drawing", "Full screen", "Export",
        "Keys",
    ]  # fmt: skip
    assert page.locator("g.box:focus").count() == 1
    assert page.locator("g.box[tabindex='0']").count() == 1
    # And back, as it came.
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "Keys"


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_scopes_open_and_close(page: Any, key: str) -> None:
    page.get_by_role("button", name="Close all scopes").click()
    name = onto_scope(page)
    assert name.startswith("scope ")
    own = page.locator(f'g.box[aria-label="{name}"]')
    assert own.get_attribute("aria-expanded") == "false"
    before = boxes(page).count()
    page.keyboard.press(key)
    assert boxes(page).count() > before
    assert own.get_attribute("aria-expanded") == "true"
    assert focused(page) == name  # it stays where it was
    assert "opened" in page.locator("[aria-live=polite]").inner_text()
    page.keyboard.press(key)
    assert boxes(page).count() == before
    assert own.get_attribute("aria-expanded") == "false"
    assert focused(page) == name
    assert "closed" in page.locator("[aria-live=polite]").inner_text()


def test_into_a_scope_and_out_of_it(page: Any) -> None:
    page.get_by_role("button", name="Close all scopes").click()
    name = onto_scope(page)
    before = boxes(page).count()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert focused(page) != name
    inside = page.locator("g.box:focus").count()
    assert inside == 1
    # Backspace closes the scope around, wherever in it the focus is.
    page.get_by_role("button", name="Open all scopes").click()
    opened = boxes(page).count()
    box(page, "relu").click()
    page.keyboard.press("Backspace")
    assert before <= boxes(page).count() < opened
    assert focused(page).startswith("scope ")


def test_arrows_follow_the_lines(page: Any) -> None:
    page.get_by_role("button", name="Open all scopes").click()
    onto_drawing(page)
    page.keyboard.press("Home")
    seen = [focused(page)]
    for _ in range(7):
        page.keyboard.press("ArrowDown")
        seen.append(focused(page).split(",")[0])
    # An open scope comes before what is in it, and after that on the way back.
    first = ["scope layers[0]", "capture capture_0", "matmul", "add", "relu"]
    assert seen[1:] == [*first, "scope layers[1…3]", "matmul"]
    page.keyboard.press("ArrowUp")
    assert focused(page).startswith("scope layers[1…3]")
    page.keyboard.press("End")
    last = focused(page)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert focused(page) != last
    # What has the focus is in sight, and its card tells of it.
    stage = page.locator(".stage").bounding_box()
    own = page.locator("g.box:focus").bounding_box()
    page.wait_for_timeout(300)
    own = page.locator("g.box:focus").bounding_box()
    assert stage["x"] <= own["x"] < own["x"] + own["width"] <= stage["x"] + stage["width"] + 1
    assert page.locator(".tip").is_visible()


def test_enter_selects_and_escape_lets_go(page: Any) -> None:
    page.get_by_role("button", name="Open all scopes").click()
    onto_drawing(page)
    for _ in range(40):
        if not page.locator("g.box:focus").get_attribute("aria-expanded"):
            break
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")
    own = page.locator("g.box:focus")
    page.keyboard.press("Enter")
    assert own.get_attribute("aria-pressed") == "true"
    assert page.locator(".tip").is_visible()
    page.keyboard.press("Escape")
    assert own.get_attribute("aria-pressed") == "false"
    assert not page.locator(".tip").is_visible()
    assert page.locator("g.box:focus").count() == 1


def test_menus_open_and_escape_closes_them(page: Any) -> None:
    tab_to(page, lambda name: name == "Export")
    page.keyboard.press("Enter")
    menu = page.locator("details", has_text="SVG drawing")
    assert menu.get_attribute("open") is not None
    page.keyboard.press("Tab")
    assert focused(page) == "SVG drawing"
    page.keyboard.press("Escape")
    assert menu.get_attribute("open") is None
    assert focused(page) == "Export"  # and not lost with the menu
    with page.expect_download() as download:
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "deep.svg"
    assert focused(page) == "Export"


def ring(page: Any) -> float:
    """Width in pixels of what shows where the focus is: an outline, or a thicker rim."""
    found: float = page.evaluate(
        f"""() => {{
          {FOCUS}
          const width = element => {{
            const style = getComputedStyle(element);
            const outline = style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth);
            return Math.max(outline, element.tagName === 'rect' ? parseFloat(style.strokeWidth) : 0);
          }};
          return Math.max(width(e), ...[...e.querySelectorAll(':scope > rect')].map(width));
        }}"""
    )
    return found


def test_the_focus_shows_everywhere(page: Any, shot: Any) -> None:
    for _ in range(12):
        page.keyboard.press("Tab")
        assert ring(page) >= 2, focused(page)
    assert page.locator("g.box:focus").count() == 1
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert ring(page) >= 2
    page.wait_for_timeout(300)
    shot(page, "graph-exported-focus")


def test_everything_has_a_name(page: Any) -> None:
    """As the browser tells it to screen readers; and each box says what it is, once."""
    said = page.locator("body").aria_snapshot()
    for line in said.splitlines():
        role = re.match(r"\s*- (button|combobox|searchbox|textbox|link)\b(.*)", line)
        assert not role or '"' in role[2], line
    assert 'toolbar "Graph"' in said
    assert re.search(r'button "scope layers\[0\], 4 nodes[^"]*" \[expanded\]', said), said
    assert re.search(r'button "softmax_cross_entropy[^"]*f32\[4\]', said), said
    labels = [each.get_attribute("aria-label") for each in boxes(page).all()]
    assert all(labels)


def frames(page: Any) -> int:
    """How many places the drawing takes on its way to the box with the focus."""
    found: int = page.evaluate(
        """async () => {
          const host = [...document.querySelectorAll('*')].find(e => e.shadowRoot);
          const world = host.shadowRoot.querySelector('svg.drawing > g');
          const seen = new Set([world.getAttribute('transform')]);
          const watch = new MutationObserver(() => seen.add(world.getAttribute('transform')));
          watch.observe(world, {attributes: true});
          const fit = [...host.shadowRoot.querySelectorAll('button')]
            .find(b => b.getAttribute('aria-label') === 'Fit the drawing');
          fit.click();
          await new Promise(resolve => setTimeout(resolve, 400));
          watch.disconnect();
          return seen.size - 1;
        }"""
    )
    return found


@pytest.mark.parametrize("still", [False, True], ids=["moving", "still"])
def test_who_wants_it_still_sees_no_way(page: Any, still: bool) -> None:
    """The drawing glides to where it is sent; for who asked for less motion it is there at once."""
    page.emulate_media(reduced_motion="reduce" if still else "no-preference")
    page.get_by_role("button", name="Zoom in").click(click_count=4)
    count = frames(page)
    assert count == 1 if still else count >= 3
    # So it is where the keyboard leads: there within the frame of the key.
    page.get_by_role("button", name="Zoom in").click(click_count=6)
    onto_drawing(page)
    page.keyboard.press("Home")
    page.wait_for_timeout(400)
    moved = page.evaluate(
        """() => new Promise(resolve => {
          const host = [...document.querySelectorAll('*')].find(e => e.shadowRoot);
          const stage = host.shadowRoot.querySelector('.stage');
          const world = stage.querySelector('svg.drawing > g');
          const places = new Set();
          new MutationObserver(() => places.add(world.getAttribute('transform')))
            .observe(world, {attributes: true});
          stage.dispatchEvent(new KeyboardEvent('keydown', {key: 'End', bubbles: true}));
          setTimeout(() => resolve(places.size), 400);
        })"""
    )
    assert moved == 1 if still else moved >= 3
