"""`fb.doctor()`: versions, threads, devices and providers, and what is not as it should be."""

from __future__ import annotations

import os
import platform
import sys
from html import escape
from typing import Any

from . import _core
from ._memory_needs import container_limit
from ._words import human_bytes

_VARIABLES = (
    "FLOWBOOK_NUM_THREADS",
    "FLOWBOOK_CACHE_DIR",
    "FLOWBOOK_LOG",
    "FLOWBOOK_MEMORY_LIMIT",
    "FLOWBOOK_DISABLE_ONEDNN",
    "FLOWBOOK_JIT",
)


class Report(dict[str, Any]):
    """Facts by name; prints as a table."""

    def __repr__(self) -> str:
        width = max(map(len, self))
        return "\n".join(f"{k:<{width}}  {v}" for k, v in self.items())

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(k)}</th>'
            f'<td style="text-align:left">{escape(str(v))}</td></tr>'
            for k, v in self.items()
        )
        return f"<table>{rows}</table>"


def doctor() -> Report:
    """Tells how flowbook runs here.

    Returns:
        Versions, instruction set, threads, devices, matrix providers (and why one is not used), the
        random generator's seed, settings from the environment. It prints as a table.

    Example:
        >>> fb.doctor()["flowbook"] == fb.__version__
        True
    """
    import numpy as np

    facts = Report()
    facts["flowbook"] = _core.__version__
    facts["python"] = platform.python_version()
    facts["numpy"] = np.__version__
    facts["system"] = f"{platform.system()} {platform.machine()}"
    facts["instruction set"] = _core.instruction_set()
    facts["compiled loops"] = _core.jit_mode()
    facts["threads"] = f"{_core.num_threads()} of {os.cpu_count()} processors"
    facts["devices"] = ", ".join(_core.device_names())
    usable = []
    for fact in _core.provider_facts():
        facts[f"provider {fact['name']}"] = fact["status"]
        if fact["usable"]:
            usable.append(fact["name"])
    facts["matrix products"] = " then ".join(usable[: usable.index("own") + 1])
    if not any("onednn" in n for n in usable) and platform.machine() in ("x86_64", "AMD64"):
        slow = "convolutions" if usable[0] == "own" else "convolutions and matrix products"
        facts["advice"] = f"oneDNN is not used, {slow} are slower than they could be: " + (
            f"it is {facts['provider onednn']}."
            if not _core.onednn_enabled()
            else "install onednn-cpu-gomp, or libdnnl of your system."
        )
    seed, counter = _core.generator_state()
    facts["random"] = f"seed {seed}, {counter} draws"
    limit = _core.memory_limit()
    facts["memory limit"] = human_bytes(limit) if limit else "none"
    if container := container_limit():
        facts["container's memory"] = human_bytes(container)
    for name in _VARIABLES:
        if name in os.environ:
            facts[name] = os.environ[name]
    facts["ipykernel"] = _version_if_loaded("ipykernel")
    facts["library"] = getattr(_core, "__file__", "built in")
    return facts


def _version_if_loaded(name: str) -> str:
    module = sys.modules.get(name)
    return str(getattr(module, "__version__", "loaded")) if module else "not loaded"


def set_num_threads(n: int) -> None:
    """Sets how many threads ops use, the caller's included. Results do not depend on it.

    Args:
        n: 1 or more.

    Raises:
        ArgumentError: If it is less than 1.
    """
    _core.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads ops use, the caller's included.

    At first it is what FLOWBOOK_NUM_THREADS says, or else what the process may use.
    """
    return int(_core.num_threads())


def enable_onednn(on: bool = True) -> None:
    """Switches oneDNN on or off: for convolutions, and for matrix products where it is the fastest.

    Without it flowbook's own loops and Eigen do them. With AVX2 all matrix products are our own, and
    all convolutions but those of narrow groups.

    Args:
        on: Whether to use it where it can be loaded. At first FLOWBOOK_DISABLE_ONEDNN decides.
    """
    _core.enable_onednn(on)
