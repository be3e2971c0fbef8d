"""`Course`: the loss of every step in bounded memory, for charts.

Steps are gathered into buckets that keep their least, greatest and mean value, so that a spike of
one step among millions is still drawn. When the buckets are used up, pairs of them are merged.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ._core import summary

LIMIT = 2048  # buckets; even, so that they merge in pairs


class Points(NamedTuple):
    """Buckets as arrays of equal length: the last step of each, and its values."""

    step: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray


class Course:
    """The values of a number over the steps of a run; one thread adds, any thread reads.

    Example:
        >>> course = Course()
        >>> course.extend([3.0, 2.0, 1.0])
        >>> course.points().step.tolist(), course.points().mean.tolist()
        ([1, 2, 3], [3.0, 2.0, 1.0])
    """

    def __init__(self, limit: int = LIMIT) -> None:
        if limit < 2 or limit % 2:
            raise ValueError(f"Course: limit is {limit}. It must be even and at least 2.")
        self._limit = limit
        self._lock = threading.Lock()
        self._size = 1  # steps of a bucket
        self._buckets = np.empty((3, limit))  # low, high, mean
        self._used = 0
        self._rest = np.empty(0)  # steps of the bucket that is not full yet

    @property
    def steps(self) -> int:
        """How many values were added."""
        with self._lock:
            return self._used * self._size + len(self._rest)

    def extend(self, values: Iterable[float]) -> None:
        """Adds the values of the next steps, NaN and infinities included."""
        fresh = np.asarray(
            values if isinstance(values, (list, np.ndarray)) else list(values), np.float64
        )
        with self._lock:
            values = np.concatenate([self._rest, fresh]) if len(self._rest) else fresh
            while len(values) >= self._size:
                if self._used == self._limit:
                    self._merge()
                    continue
                count = min(self._limit - self._used, len(values) // self._size)
                part = values[: count * self._size]
                self._buckets[:, self._used : self._used + count] = summary(part, self._size)
                self._used += count
                values = values[count * self._size :]
            self._rest = values.copy()

    def _merge(self) -> None:
        half = self._limit // 2
        low, high, mean = self._buckets
        self._buckets[:, :half] = summary(low, 2)[0], summary(high, 2)[1], summary(mean, 2)[2]
        self._used, self._size = half, self._size * 2

    def points(self) -> Points:
        """All buckets, the one that is not full included."""
        with self._lock:
            buckets = self._buckets[:, : self._used].copy()
            step = np.arange(1, self._used + 1) * self._size
            if len(self._rest):
                buckets = np.concatenate([buckets, summary(self._rest, self._size)], axis=1)
                step = np.append(step, self._used * self._size + len(self._rest))
        return Points(step, *buckets)


def buckets(first: int, values: np.ndarray, most: int) -> Points:
    """`values` of the steps from `first` on, in at most `most` buckets."""
    size = max(1, -(-len(values) // most))
    step = first - 1 + size * np.arange(1, -(-len(values) // size) + 1)
    return Points(np.minimum(step, first - 1 + len(values)), *summary(values, size))
