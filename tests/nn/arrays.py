"""Arrays that tests of layers share."""

from __future__ import annotations

import numpy as np


def arr(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
