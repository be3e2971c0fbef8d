"""Drives one notebook in JupyterLab or Notebook 7: run, read, click, type, reload, restart.

Cells are run through the application's own commands and read from its own model; everything else is
done as a user does it, with the mouse and the keyboard on what the page shows.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, ViewportSize, WebSocket

from .server import Server

FrontEnd = Literal["lab", "notebook"]

_PANEL = "window.jupyterapp.shell.currentWidget"
_KERNEL = f"{_PANEL}?.sessionContext?.session?.kernel"
_SIZE: ViewportSize = {"width": 1280, "height": 1000}
# Outputs as text: streams as they are, errors by their message, displays by their plain text.
_TEXTS = f"""() => Array.from({_PANEL}.content.widgets).map(cell => cell.model.type != 'code' ? '' :
  cell.model.outputs.toJSON().map(o => {{
    const join = text => Array.isArray(text) ? text.join('') : text;
    if (o.output_type == 'stream') return join(o.text);
    if (o.output_type == 'error') return o.ename + ': ' + o.evalue;
    return join((o.data || {{}})['text/plain'] || '');
  }}).join(''))"""


_runs = itertools.count()  # of all books, since some share a page


class Book:
    """A notebook that is open in a page.

    Attributes:
        page: Playwright's page, for everything that has no method here.
        name: Path of the notebook below the server's root.
        reusable: Whether the page may have shown other notebooks, and may show others later.
        problems: What our own code printed as errors to the browser's console.
        console: Everything the console showed.
        messages: Times and contents of the custom messages that the hub sent to the page.
    """

    def __init__(
        self,
        page: Page,
        server: Server,
        name: str,
        front_end: FrontEnd,
        reusable: bool = False,
    ) -> None:
        self.page, self.server, self.name, self.front_end = page, server, name, front_end
        self.reusable = reusable
        self.console: list[str] = []
        self.problems: list[str] = []
        self.messages: list[tuple[float, dict[str, Any]]] = []
        self._listeners: dict[Any, Any] = {
            "console": self._note,
            "pageerror": self._note_exception,
            "websocket": self._listen,
        }
        for event, listener in self._listeners.items():
            page.on(event, listener)

    # ---- opening ----------------------------------------------------------------------------------
    def open(self, kernel: bool = True) -> None:
        """Loads the page if it is a new one; with `kernel` waits until one is there."""
        if self.page.url == "about:blank":
            path = (
                f"lab/tree/{self.name}?reset"
                if self.front_end == "lab"
                else f"notebooks/{self.name}"
            )
            self.page.goto(f"{self.server.url}/{path}")
        else:
            self.page.bring_to_front()  # the browser draws no frames of a page behind another
            self.command("docmanager:open", path=self.name)
        self._wait_for_cells()
        if kernel:
            self.wait_for_kernel("idle")
        else:
            self.page.locator(".jp-Dialog button.jp-mod-reject").click()  # "No Kernel"

    def reload(self) -> None:
        """Loads the page anew, as F5 does; a kernel goes on meanwhile."""
        assert not self.reusable, "JupyterLab would open other notebooks as well: fresh=True"
        self.page.reload()
        self._wait_for_cells()

    def leave(self) -> None:
        """Closes the notebook without a question, and leaves the page as it was before it."""
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)
        self.calm()
        self.page.emulate_media(
            media="null", color_scheme="null", contrast="null", forced_colors="null",
            reduced_motion="null",
        )  # fmt: skip
        self.page.evaluate("""() => {
          for (const widget of Array.from(window.jupyterapp.shell.widgets('main'))) widget.dispose();
          delete window.finished;
        }""")

    def _wait_for_cells(self) -> None:
        self.page.wait_for_function(
            f"window.jupyterapp && {_PANEL}?.content?.widgets?.length > 0 && {_PANEL}.isVisible"
            f" && {_PANEL}.context.path == '{self.name}'",
            timeout=60_000,
        )
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=30_000)

    def wait_for_kernel(self, status: str = "idle", seconds: float = 60) -> None:
        """Waits until the kernel has a status such as `idle` or `busy`."""
        self.page.wait_for_function(f"{_KERNEL}?.status == '{status}'", timeout=seconds * 1000)

    # ---- cells ------------------------------------------------------------------------------------
    def start(self, index: int) -> Callable[..., None]:
        """Starts a cell and returns a function that waits for its end."""
        run = next(_runs)
        self.page.evaluate(
            f"""([index, run]) => {{
              {_PANEL}.content.activeCellIndex = index;
              window.finished = window.finished || {{}};
              window.jupyterapp.commands.execute('notebook:run-cell')
                .finally(() => {{ window.finished[run] = true; }});
            }}""",
            [index, run],
        )

        def wait(seconds: float = 60) -> None:
            self.page.wait_for_function(f"window.finished?.[{run}]", timeout=seconds * 1000)

        return wait

    def run(self, index: int, seconds: float = 60) -> str:
        """Runs a cell to its end and returns its outputs as text."""
        self.start(index)(seconds)
        return self.text(index)

    def add(self, source: str) -> int:
        """Appends a code cell and returns its index."""
        index: int = self.page.evaluate(
            f"""source => {{
              const book = {_PANEL}.content;
              book.activeCellIndex = book.widgets.length - 1;
              window.jupyterapp.commands.execute('notebook:insert-cell-below');
              book.activeCell.model.sharedModel.setSource(source);
              return book.activeCellIndex;
            }}""",
            source,
        )
        return index

    def edit(self, index: int, source: str) -> None:
        """Replaces what stands in a cell."""
        self.page.evaluate(
            f"([i, text]) => {_PANEL}.content.widgets[i].model.sharedModel.setSource(text)",
            [index, source],
        )

    def select(self, index: int) -> None:
        """Makes a cell the active one."""
        self.page.evaluate(f"i => {{ {_PANEL}.content.activeCellIndex = i; }}", index)

    def active(self) -> int:
        found: int = self.page.evaluate(f"() => {_PANEL}.content.activeCellIndex")
        return found

    def value(self, expression: str) -> str:
        """Runs an expression in a cell at the end and returns how it shows."""
        return self.run(self.add(expression)).strip()

    def texts(self) -> list[str]:
        """The outputs of all cells as text, from the application's model."""
        found: list[str] = self.page.evaluate(_TEXTS)
        return found

    def text(self, index: int) -> str:
        return self.texts()[index]

    def cell(self, index: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        return self.cell(index).locator(".jp-OutputArea-output")

    def trusted(self, index: int) -> bool:
        found: bool = self.page.evaluate(f"i => {_PANEL}.content.widgets[i].model.trusted", index)
        return found

    def view(self, index: int) -> Locator:
        """The view in a cell's output: static, or what the front end made of it."""
        return self.cell(index).locator(".flowbook-view").first

    # ---- the notebook -----------------------------------------------------------------------------
    def command(self, name: str, **arguments: Any) -> None:
        """Runs a command of the application and waits for it."""
        self.page.evaluate(
            "([n, a]) => window.jupyterapp.commands.execute(n, a)", [name, arguments]
        )

    def save(self) -> Any:
        """Saves and returns the stored notebook."""
        self.command("docmanager:save")
        return self.server.read(self.name)

    def size(self) -> int:
        """Saves and returns the bytes of the file."""
        self.save()
        return (self.server.notebooks / self.name).stat().st_size

    def restart(self) -> None:
        """Restarts the kernel; outputs stay."""
        self.page.evaluate(f"() => {_PANEL}.sessionContext.restartKernel()")
        self.wait_for_kernel("idle")

    def end_kernel(self) -> None:
        """Shuts the kernel down for good, as the menu does."""
        self.page.evaluate(f"() => {_PANEL}.sessionContext.shutdown()")

    def interrupt(self) -> None:
        """What the application's own stop button does."""
        self.page.evaluate(f"() => {_KERNEL}.interrupt()")

    def theme(self, name: str) -> None:
        """Changes the application's theme, such as `JupyterLab Dark`."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function(f"document.body.dataset.jpThemeName == '{name}'")

    def calm(self) -> None:
        """Takes back what a test changed of the page's looks."""
        self.page.emulate_media(contrast="no-preference", reduced_motion="no-preference")
        self.page.set_viewport_size(_SIZE)
        if self.page.evaluate("document.body.dataset.jpThemeName") != "JupyterLab Light":
            self.theme("JupyterLab Light")

    def until(self, condition: Callable[[], Any], seconds: float = 20, what: str = "") -> Any:
        """Asks again until the condition holds, and returns what it returned."""
        end = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:g} s: {what or condition}")
            self.page.wait_for_timeout(50)

    # ---- what went on -----------------------------------------------------------------------------
    def _note(self, message: ConsoleMessage) -> None:
        where = message.location.get("url", "")
        line = f"{message.type}: {message.text} ({where})"
        self.console.append(line)
        if message.type == "error" and self._ours(f"{message.text} {where}"):
            self.problems.append(line)

    def _note_exception(self, error: Error) -> None:
        line = f"exception: {error.message}\n{error.stack or ''}"
        self.console.append(line)
        if self._ours(line):
            self.problems.append(line)

    @staticmethod
    def _ours(text: str) -> bool:
        # anywidget loads our bundle from a blob: address, and reports errors in it under its name.
        return "blob:" in text or "anywidget" in text or "flowbook" in text

    def _listen(self, socket: WebSocket) -> None:
        def received(frame: str | bytes) -> None:
            data = frame if isinstance(frame, bytes) else frame.encode()
            if b'"protocol": 1' not in data and b'"protocol":1' not in data:
                return
            # Messages come in a binary envelope: the JSON with the hub's content is inside.
            start = data.find(b'{"data"')
            try:
                content = json.JSONDecoder().raw_decode(data[start:].decode(errors="replace"))[0]
                self.messages.append((time.monotonic(), content["data"]["content"]))
            except (ValueError, KeyError, TypeError):
                self.messages.append((time.monotonic(), {}))

        socket.on("framereceived", received)

    def keep(self, folder: Path) -> None:
        """Stores what helps to understand a failure."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "console.txt").write_text("\n".join(self.console))
        (folder / "server.txt").write_text(self.server.log())
        try:
            self.page.screenshot(path=folder / "page.png")
            (folder / "outputs.txt").write_text("\n-----\n".join(self.texts()))
            (folder / "page.html").write_text(self.page.content())
        except Error as error:
            (folder / "page.txt").write_text(str(error))
