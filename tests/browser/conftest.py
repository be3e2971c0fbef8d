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


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")


@pytest.fixture
def open_book(
    request: pytest.FixtureRequest, server: Any, context: Any
) -> Iterator[Callable[..., Any]]:
    """Opens notebooks: `open_book([source, ...])` or `open_book(book=nbformat_notebook)`.

    Further arguments: `front_end` (`lab`, `notebook`), `kernel` (a version of ipykernel; None for
    none at all), `media` (arguments of Playwright's `emulate_media`).
    """
    import nbformat

    from .page import Book

    books: list[Book] = []

    def open_one(
        cells: list[str] | None = None,
        *,
        book: Any = None,
        front_end: Any = "lab",
        kernel: str | None = next(iter(kernels())),
        media: dict[str, Any] | None = None,
    ) -> Book:
        if book is None:
            book = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell(source) for source in cells or [""]]
            )
        book.metadata.pop("kernelspec", None)
        if kernel is not None:
            book.metadata["kernelspec"] = {
                "name": kernel, "display_name": f"ipykernel {kernel}", "language": "python",
            }  # fmt: skip
        name = server.write(f"{_slug(request.node.name)}-{len(books)}", book)
        page = context.new_page()
        if media:
            page.emulate_media(**media)
        opened = Book(page, server, name, front_end)
        books.append(opened)
        opened.open(kernel=kernel is not None)
        return opened

    yield open_one

    failed = request.node.stash.get(_FAILED, True)
    problems = [p for b in books for p in b.problems]
    for k, b in enumerate(books):
        if failed or b.problems:
            b.keep(ARTEFACTS / "failures" / f"{_slug(request.node.nodeid)}-{k}")
        b.page.close()
        server.end_kernel(b.name)
    assert not problems, "errors of our bundle in the browser's console:\n" + "\n".join(problems)


@pytest.fixture
def shot() -> Callable[..., Path]:
    """Keeps a screenshot: `shot(page_or_locator, "name")` writes build/browser/name.png."""

    def keep(target: Any, name: str) -> Path:
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        target.screenshot(path=path, animations="disabled")
        return path

    return keep
