"""Runs code in processes of their own, so that a crash or a hang fails one test only."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def script(code: str, timeout: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a fresh process, so that a crash or a hang fails one test only."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **env},
    )


def succeeds(code: str, **options: object) -> str:
    done = script(code, **options)  # type: ignore[arg-type]
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
