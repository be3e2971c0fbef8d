"""Fixtures of the browser tests: one server and one browser, a fresh page for each notebook.

Screenshots of important states and what is left of failures stay in build/browser.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flowbook._core")

from .server import ROOT, kernels

ARTEFACTS = ROOT / "build" / "browser"
CHROMIUM = os.environ.get("FLOWBOOK_CHROMIUM") or next(
    (p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None
)


def missing() -> str | None:
    """Why no browser test can run here; None where they can."""
    for module in ("playwright", "jupyterlab", "notebook", "anywidget", "ipykernel"):
        try:
            __import__(module)
        except ImportError:
            return f"needs the package {module}"
    return None if CHROMIUM else "needs chromium: apt-get install chromium"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = missing()
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.timeout(180))
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: Any = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


_FAILED = pytest.StashKey[bool]()


# Package scope, not session: Playwright's synchronous interface leaves a running event loop in the
# main thread, in which the other tests' asyncio.run() would fail.
@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from .server import Server

    running = Server(tmp_path_factory.mktemp("jupyter") / "home")
    yield running
    running.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    options = ["--disable-background-networking", "--disable-dev-shm-usage", "--disable-gpu"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def context(browser: Any) -> Iterator[Any]:
    """One cache for all pages: JupyterLab's code is loaded once."""
    shared = browser.new_context(viewport={"width": 1280, "height": 1000})
    yield shared
    shared.close()


class Pages:
    """Pages of JupyterLab that notebooks are opened in one after the other, as its users do.

    Loading one takes some five seconds of the processor, opening a notebook in it half of one.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._idle: list[Any] = []

    def take(self) -> Any:
        return self._idle.pop() if self._idle else self.new()

    def new(self) -> Any:
        return self._context.new_page()

    def give_back(self, book: Any) -> None:
        """Keeps the page of a book that nobody needs any more, without the book."""
        book.leave()
        self._idle.append(book.page)


@pytest.fixture(scope="package")
def pages(context: Any) -> Pages:
    return Pages(context)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")


class Desk:
    """Opens notebooks for a test or a module, and clears up after it.

    Args:
        name: Of what uses it; the notebooks are called after it.
    """

    def __init__(self, server: Any, pages: Pages, name: str) -> None:
        self._server, self._pages, self._name = server, pages, _slug(name)
        self.books: list[Any] = []
        self._well = True

    def open(
        self,
        cells: list[str] | None = None,
        *,
        book: Any = None,
        front_end: Any = "lab",
        kernel: str | None = next(iter(kernels())),
        media: dict[str, Any] | None = None,
        size: tuple[int, int] | None = None,
        fresh: bool = False,
    ) -> Any:
        """Opens a notebook in a page of its own.

        Args:
            cells: Sources of its cells.
            book: The notebook, instead of `cells`.
            front_end: `lab` or `notebook`.
            kernel: A version of ipykernel; None for no kernel.
            media: What the page is told of the reader: arguments of Playwright's `emulate_media`.
            size: Width and height of the page.
            fresh: Whether the page must not have shown other notebooks, which those need that are
                reloaded: JupyterLab would open the others again.
        """
        from .cells import notebook
        from .page import Book

        book = book or notebook(*cells or [""])
        book.metadata.pop("kernelspec", None)
        if kernel is not None:
            spec = {"name": kernel, "display_name": f"ipykernel {kernel}", "language": "python"}
            book.metadata["kernelspec"] = spec
        name = self._server.write(f"{self._name}-{len(self.books)}", book)
        reusable = front_end == "lab" and kernel is not None and not fresh
        page = self._pages.take() if reusable else self._pages.new()
        if media:
            page.emulate_media(**media)
        if size:
            page.set_viewport_size({"width": size[0], "height": size[1]})
        opened = Book(page, self._server, name, front_end, reusable)
        self.books.append(opened)
        opened.open(kernel=kernel is not None)
        return opened

    def again(self, book: Any) -> Any:
        """Opens a notebook that is open already, as a second reader does."""
        from .page import Book

        opened = Book(self._pages.new(), self._server, book.name, book.front_end)
        self.books.append(opened)
        opened.open()
        return opened

    def check(self, request: pytest.FixtureRequest) -> None:
        """After a test: keeps what explains a failure, and fails on errors of our own code."""
        problems = [p for book in self.books for p in book.problems]
        failed = bool(problems) or request.node.stash.get(_FAILED, True)
        self._well = self._well and not failed
        if failed:
            for book in self.books:
                book.keep(ARTEFACTS / "failures" / _slug(f"{request.node.name}-{book.name}"))
        for book in self.books:
            book.problems.clear()
        self.books = [book for book in self.books if not book.page.is_closed()]
        assert not problems, "errors of ours in the browser's console:\n" + "\n".join(problems)

    def close(self) -> None:
        for book in self.books:
            if self._well and book.reusable:
                self._pages.give_back(book)
            else:
                book.page.close()
        for name in {book.name for book in self.books}:
            self._server.end_kernel(name)


@pytest.fixture
def open_book(
    request: pytest.FixtureRequest, server: Any, pages: Pages
) -> Iterator[Callable[..., Any]]:
    """Opens notebooks for one test; see `Desk.open`."""
    desk = Desk(server, pages, request.node.name)
    yield desk.open
    try:
        desk.check(request)
    finally:
        desk.close()


@pytest.fixture(scope="module")
def module_desk(request: pytest.FixtureRequest, server: Any, pages: Pages) -> Iterator[Desk]:
    """Opens notebooks that the tests of a module share; the tests call `check` after each."""
    desk = Desk(server, pages, request.node.name)
    yield desk
    desk.close()


@pytest.fixture
def shot() -> Callable[..., Path]:
    """Keeps a screenshot: `shot(page_or_locator, "name")` writes build/browser/name.png."""

    def keep(target: Any, name: str) -> Path:
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        target.screenshot(path=path, animations="disabled")
        return path

    return keep
