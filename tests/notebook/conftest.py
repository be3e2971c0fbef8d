"""Kernels that tests start log their training runs into a folder of the session, not the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("FLOWBOOK_CACHE_DIR")
    os.environ["FLOWBOOK_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["FLOWBOOK_CACHE_DIR"]
    else:
        os.environ["FLOWBOOK_CACHE_DIR"] = before


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The widgets that get displayed in a front end whose outputs share no page."""
    import IPython.display
    from stand_in import FakeWidget

    from flowbook_ext import hub

    class Shell:
        kernel = object()

    shown: list[Any] = []
    monkeypatch.setattr(hub, "_shell", lambda: Shell)
    monkeypatch.setattr(hub, "_widget_class", lambda: FakeWidget)
    monkeypatch.setattr(hub, "shares_page", lambda: False)
    monkeypatch.setattr(IPython.display, "display", shown.append)
    return shown
