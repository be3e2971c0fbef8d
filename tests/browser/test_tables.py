"""Memory and profiles: views that the kernel writes as HTML, and that sort, filter and act here."""

from __future__ import annotations

import re
from typing import Any

import pytest

from . import contrast
from .cells import NET, SETUP

HOLD = """\
fb.asarray(np.ones((1000, 1000), np.float32)) * 2"""
FILL = """\
big = fb.asarray(np.zeros((2000, 1000), np.float32))
small = fb.asarray(np.zeros((10, 10), np.float32))"""


def tables(book: Any, index: int, kind: str) -> Any:
    """The live view below a cell."""
    book.cell(index).scroll_into_view_if_needed()
    found = book.cell(index).locator(f".flowbook-kind-{kind} .fb-tables-host").first
    found.wait_for()
    return found


def words(view: Any) -> str:
    """Everything that the view says."""
    found: str = view.locator(".fb-body").inner_text()
    return found


def column(view: Any, name: str, table: int = 0) -> list[str]:
    """The words of a table's column, from top to bottom, hidden rows left out."""
    found: list[str] = view.locator("table").nth(table).evaluate(
        """(table, name) => {
          const heads = [...table.querySelectorAll('th')];
          const at = heads.findIndex(head => head.textContent.trim() === name);
          return [...table.tBodies[0].rows].filter(row => !row.hidden)
            .map(row => row.cells[at].textContent.trim());
        }""",
        name,
    )  # fmt: skip
    return found


def size(text: str) -> float:
    """Bytes or microseconds of "1.05 MB" and "±3 µs"."""
    number, unit = re.match(r"[±+]?(-?[\d.]+)\s*(\S*)", text).groups()
    units = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "ns": 1e-3, "µs": 1, "ms": 1e3, "s": 1e6}
    return float(number) * units.get(unit, 1)


@pytest.fixture
def memory(open_book: Any) -> Any:
    """A notebook that keeps 4 MB in `Out`, with a live memory view of it."""
    book = open_book([SETUP, HOLD, FILL, "%memory live"])
    for index in range(4):
        assert "Error" not in book.run(index)
    return book


def test_memory_is_freed_by_a_click(memory: Any, shot: Any) -> None:
    view = tables(memory, 3, "memory")
    before = float(memory.value("fb.memory.stats().live"))
    shot(view, "memory")
    assert "Out[2]" in words(view)
    view.get_by_role("button", name="Free outputs").click()
    memory.until(lambda: "Out[2]" not in words(view), what="the output is gone")
    assert before - float(memory.value("fb.memory.stats().live")) >= 4e6
    assert "big" in column(view, "name")  # what variables hold stays
    shot(view, "memory-freed")


def test_memory_sorts_and_filters(memory: Any) -> None:
    view = tables(memory, 3, "memory")
    heading = view.get_by_role("button", name="bytes", exact=True).first
    heading.click()
    sizes = [size(text) for text in column(view, "bytes")]
    assert sizes == sorted(sizes, reverse=True)
    heading.click()
    sizes = [size(text) for text in column(view, "bytes")]
    assert sizes == sorted(sizes)
    assert view.locator('th[aria-sort="ascending"]').count() == 1
    view.locator(".fb-filter").fill("small")
    assert column(view, "name") == ["small"]
    memory.run(memory.add("more = fb.asarray(np.zeros((500, 500), np.float32))"))
    view.locator(".fb-filter").fill("")
    memory.until(lambda: "more" in column(view, "name"), what="it keeps up with the cells")
    sizes = [size(text) for text in column(view, "bytes")]
    assert sizes == sorted(sizes)  # and stays sorted


def test_memory_keeps_up_while_a_cell_runs(memory: Any) -> None:
    view = tables(memory, 3, "memory")
    cell = memory.add(
        "import time\nkept = []\nfor _ in range(30):\n"
        "    kept.append(fb.asarray(np.ones((500, 1000), np.float32)))\n    time.sleep(0.1)"
    )
    head = words(view).split("\n")[0]
    wait = memory.start(cell)
    seen: set[str] = set()

    def moved() -> bool:
        seen.add(words(view))
        return len(seen) > 3

    memory.until(moved, 4, f"the figures move, from {head}")
    wait(20)


def test_memory_chart_grows_with_what_other_cells_allocate(memory: Any, shot: Any) -> None:
    view = tables(memory, 3, "memory")
    slider = view.get_by_role("slider")
    drawn = view.locator(".fb-course .fb-live")
    before, path = size(live_now(slider)), drawn.get_attribute("d")
    grow = "import time\ntime.sleep(0.3)\nmore = fb.asarray(np.ones((4000, 1000), np.float32))"
    memory.run(memory.add(grow))
    memory.until(lambda: size(live_now(slider)) - before >= 15.9e6, what="the chart grows")
    assert drawn.get_attribute("d") != path
    memory.run(memory.add("time.sleep(0.3)\ndel more"))
    memory.until(lambda: size(live_now(slider)) - before < 1e6, what="and shrinks")
    box = slider.locator("svg").bounding_box()
    memory.page.mouse.move(box["x"] + 5, box["y"] + 50)
    assert "live" in view.locator(".fb-moment").inner_text()
    first = slider.get_attribute("aria-valuetext")
    slider.press("End")
    assert slider.get_attribute("aria-valuetext") != first
    shot(view, "memory-chart")


def live_now(slider: Any) -> str:
    """The live bytes that the chart tells of the moment chosen, at first the last one."""
    return re.search(r": (.*?) live", slider.get_attribute("aria-valuetext"))[1]


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("more", [False, True], ids=["", "high"])
def test_memory_contrast(memory: Any, shot: Any, theme: str, more: bool) -> None:
    memory.page.emulate_media(contrast="more" if more else "no-preference")
    memory.theme(theme)
    view = tables(memory, 3, "memory")
    view.locator("summary", has_text="by cell").click()
    assert view.locator(".fb-course text").count() >= 3
    memory.page.wait_for_timeout(300)
    shot(view, f"memory-{theme.split()[1].lower()}{'-high' if more else ''}")
    contrast.check(view, 7 if more else 4.5)


@pytest.fixture
def profile(open_book: Any) -> Any:
    """A notebook with the live profile of a small net."""
    book = open_book([SETUP, NET, "fb.profile(net, runs=5)"])
    for index in range(3):
        assert "Error" not in book.run(index)
    return book


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("more", [False, True], ids=["", "high"])
def test_profile_contrast(profile: Any, shot: Any, theme: str, more: bool) -> None:
    profile.page.emulate_media(contrast="more" if more else "no-preference")
    profile.theme(theme)
    view = tables(profile, 2, "profile")
    profile.page.wait_for_timeout(300)
    shot(view, f"profile-{theme.split()[1].lower()}{'-high' if more else ''}")
    contrast.check(view, 7 if more else 4.5)


def test_a_profile_by_keyboard(profile: Any) -> None:
    """Filter, headings and zoom are reached by Tab and work by Enter; the notebook sees no key."""
    view = tables(profile, 2, "profile")
    view.locator(".fb-filter").focus()
    keyboard = profile.page.keyboard
    keyboard.type("matmul")
    steps = column(view, "step")
    assert steps
    assert all("matmul" in step for step in steps)
    keyboard.press("Control+a")
    keyboard.press("Delete")
    names = []
    for _ in range(30):
        keyboard.press("Tab")
        name = profile.page.evaluate(
            """() => {
              let e = document.activeElement;
              while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
              return (e.getAttribute('aria-label') || e.textContent).trim();
            }"""
        )
        names.append(name)
        if name == "median":
            break
    assert {"wider", "median"} <= set(names)
    keyboard.press("Enter")
    heading = view.locator("th[aria-sort]", has_text="median")
    assert heading.get_attribute("aria-sort") == "descending"
    medians = [size(text) for text in column(view, "median")]
    assert medians == sorted(medians, reverse=True)
    keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert len(profile.texts()) == 3  # no key became a command of the notebook


def test_a_profile_on_a_narrow_page(profile: Any, shot: Any) -> None:
    profile.page.set_viewport_size({"width": 560, "height": 900})
    profile.page.wait_for_timeout(300)
    view = tables(profile, 2, "profile")
    shot(view, "profile-narrow")
    outer = view.bounding_box()
    for part in (".fb-filter", ".fb-wider", "svg", "table"):
        box = view.locator(part).locator("visible=true").first.bounding_box()
        assert outer["x"] < box["x"] < outer["x"] + outer["width"]
    # What is wider scrolls inside of the view, with a shadow at the edge that hides more; words in
    # the timeline are hardly squeezed, and the view itself fits its cell.
    share = "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
    assert view.locator(".fb-body svg").evaluate(share) > 0.75
    scroller = view.locator(".fb-body [style*='max-height']")
    assert scroller.evaluate("e => e.scrollWidth > e.clientWidth")
    assert "gradient" in scroller.evaluate("e => getComputedStyle(e).backgroundImage")
    assert view.evaluate("host => host.scrollWidth - host.clientWidth") <= 1


def test_a_profile_sorts_and_stretches(profile: Any, shot: Any) -> None:
    view = tables(profile, 2, "profile")
    shot(view, "profile")
    shares = [size(text) for text in column(view, "share")]
    assert shares == sorted(shares, reverse=True)  # the slowest first
    view.get_by_role("button", name="median").click()
    medians = [size(text) for text in column(view, "median")]
    assert medians == sorted(medians, reverse=True)
    steps = column(view, "step")
    view.get_by_role("button", name="step", exact=True).click()
    assert column(view, "step") != steps
    bar = view.locator("svg g rect").first
    assert bar.locator("title").text_content()  # a bar says what it is
    width = bar.bounding_box()["width"]
    view.get_by_role("button", name="wider").click()
    assert bar.bounding_box()["width"] == pytest.approx(2 * width, rel=0.1)
    view.locator(".fb-filter").fill("matmul")
    steps = column(view, "step")
    assert steps
    assert all("matmul" in step for step in steps)


def test_figures_stay_on_one_line_on_a_narrow_page(open_book: Any, shot: Any) -> None:
    """The table of `%memory` scrolls where it has no room, and its numbers keep their units."""
    book = open_book([SETUP, HOLD, FILL, "%memory"], size=(640, 900))
    for index in range(4):
        assert "Error" not in book.run(index)
    view = book.view(3)
    view.scroll_into_view_if_needed()
    shot(view, "memory-static-narrow")
    rows = view.locator("table").first.evaluate(
        """table => [...table.tBodies[0].rows].map(row => [...row.cells].slice(1).map(cell => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return new Set([...range.getClientRects()].map(r => Math.round(r.top))).size;
        }))"""
    )
    assert len(rows) >= 4
    assert all(lines <= 1 for row in rows for lines in row), rows
    assert view.evaluate("view => view.scrollWidth - view.clientWidth") <= 1
