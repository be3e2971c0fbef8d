"""Fixtures and settings of all tests: the same random numbers in every run, nothing left recording,
a stack dump where a test hangs."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys

import pytest

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the notebook tests run without it
    settings = None  # type: ignore[assignment]

# A shell has its background jobs ignore interrupts, and Python inherits that: tests that interrupt
# themselves would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `from ops.harness import ...` works wherever pytest was started.
sys.path.insert(0, os.path.dirname(__file__))

if settings is not None:
    common = {"deadline": None, "suppress_health_check": list(HealthCheck)}
    settings.register_profile("quick", max_examples=40, derandomize=True, **common)
    settings.register_profile("long", max_examples=2000, **common)
    settings.load_profile(os.environ.get("FLOWBOOK_HYPOTHESIS", "quick"))


@pytest.fixture(autouse=True)
def _same_random_numbers():
    """Each test starts from seed 0, whatever ran before it."""
    import numpy as np

    np.random.seed(0)
    fb = sys.modules.get("flowbook")
    if fb is not None:
        fb.random.seed(0)


@pytest.fixture(autouse=True)
def _dump_stacks_on_a_hang():
    faulthandler.dump_traceback_later(120, exit=False)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def no_run_is_left():
    """Ends the runs that a test began."""
    import flowbook as fb

    yield
    for run in fb.runs.active():
        run.stop("the test is over")
        run._over.wait(10)
    assert not fb.runs.active()


@pytest.fixture
def threads():
    """Sets the number of threads for one test."""
    import flowbook as fb

    before = fb.get_num_threads()
    yield fb.set_num_threads
    fb.set_num_threads(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
