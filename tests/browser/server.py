"""A Jupyter server of the tests' own: free port, own settings, own kernels, nothing of the user's.

It serves JupyterLab at /lab and Notebook 7 at /notebooks. The kernels differ in the version of
ipykernel only: a version that is not the environment's lies in a folder that `make test-browsers`
fills (see `KERNELS`), and comes first on the kernel's path.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[2]
# Each folder in here is named after the version of ipykernel that it holds.
KERNELS = ROOT / "build" / "kernels"

_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {
        "checkForUpdates": False,
        "doNotDisturbMode": True,
        "fetchNews": "false",
    },
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


def kernels() -> dict[str, Path | None]:
    """Versions of ipykernel that can be tested here, with the folder of each.

    The environment's own comes first and has no folder.
    """
    found: dict[str, Path | None] = {version("ipykernel"): None}
    if KERNELS.is_dir():
        for folder in sorted(KERNELS.iterdir()):
            if (folder / "ipykernel").is_dir():
                found.setdefault(folder.name, folder)
    return found


def matrix() -> list[tuple[str, str]]:
    """Front ends with versions of ipykernel: JupyterLab on the environment's, or all of them.

    `make test-browsers` asks for all with FLOWBOOK_BROWSERS=all.
    """
    versions = list(kernels())
    if os.environ.get("FLOWBOOK_BROWSERS") != "all":
        return [("lab", versions[0])]
    return [(front_end, name) for front_end in ("lab", "notebook") for name in versions]


class Server:
    """A running server; `close` ends it and its kernels.

    Args:
        home: Empty folder for notebooks, settings, logs and everything else.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.notebooks = home / "notebooks"
        self.data, self.runtime, self.log_path = home / "data", home / "runtime", home / "log.txt"
        for folder in (self.notebooks, self.data, self.runtime):
            folder.mkdir(parents=True)
        for name, folder in kernels().items():
            self._write_kernel(name, folder)
        for plugin, values in _SETTINGS.items():
            path = home / "settings" / f"{plugin}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        self._log = self.log_path.open("wb")
        self._process = subprocess.Popen(
            self._command(), env=self._environment(), cwd=home, stdin=subprocess.DEVNULL,
            stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.url = self._wait()

    def _command(self) -> list[str]:
        options = {
            "ServerApp.port": 0,  # any free one
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.root_dir": str(self.notebooks),
            "ServerApp.jpserver_extensions": "{'notebook': True, 'jupyterlab': True}",
            "IdentityProvider.token": "",
            "ServerApp.disable_check_xsrf": True,  # for `end_kernel`
            "LabApp.expose_app_in_browser": True,
            "JupyterNotebookApp.expose_app_in_browser": True,
            "KernelSpecManager.ensure_native_kernel": False,
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "jupyterlab", *arguments]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "IPYTHONDIR": str(self.home / "ipython"),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.data),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "FLOWBOOK_CACHE_DIR": str(self.home / "cache"),
        }

    def _write_kernel(self, name: str, folder: Path | None) -> None:
        spec: dict[str, Any] = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": f"ipykernel {name}",
            "language": "python",
        }
        if folder is not None:
            before = os.environ.get("PYTHONPATH")
            spec["env"] = {
                "PYTHONPATH": os.pathsep.join([str(folder), *([before] if before else [])])
            }
        target = self.data / "kernels" / name
        target.mkdir(parents=True)
        (target / "kernel.json").write_text(json.dumps(spec))

    def _wait(self, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            for path in self.runtime.glob("jpserver-*.json"):
                try:
                    url: str = json.loads(path.read_text())["url"].rstrip("/")
                    with urllib.request.urlopen(f"{url}/api/status", timeout=5):
                        return url
                except (OSError, ValueError):
                    pass  # not yet written, or not yet listening
            time.sleep(0.1)
        self.close()
        raise RuntimeError(f"the Jupyter server did not start:\n{self.log()}")

    def log(self, characters: int = 20_000) -> str:
        """The end of what the server and its kernels printed."""
        return self.log_path.read_text(errors="replace")[-characters:]

    def write(self, name: str, book: Any) -> str:
        """Stores a notebook under the server's root and returns its path from there."""
        path = self.notebooks / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(book, path)
        return path.name

    def read(self, name: str) -> Any:
        """The stored notebook."""
        return nbformat.read(self.notebooks / name, as_version=4)

    def sessions(self) -> list[dict[str, Any]]:
        """The running notebooks with their kernels."""
        with urllib.request.urlopen(f"{self.url}/api/sessions", timeout=20) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def end_kernel(self, name: str) -> None:
        """Shuts down the kernel of a notebook, if it has one."""
        for session in self.sessions():
            if session["path"] == name:
                address = f"{self.url}/api/sessions/{session['id']}"
                request = urllib.request.Request(address, method="DELETE")
                with urllib.request.urlopen(request, timeout=20):
                    pass

    def close(self) -> None:
        """Ends the server; its kernels end with it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._log.close()
