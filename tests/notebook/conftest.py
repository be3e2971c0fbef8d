"""Kernels that tests start log their training runs into a folder of the session, not the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator

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
