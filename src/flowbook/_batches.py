"""Batches as the training loop sees them: arrays, datasets and iterables all become an iterator of
nested tensors, and a batch falls into inputs, target and weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

import flowbook as fb

from ._policy import cast_floating
from .data import Batches, Dataset


def as_dataset(data: Any, what: str) -> Dataset:
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple):
        return Dataset(data)
    raise fb.ArgumentError(
        f"fit: {what} needs arrays or a Dataset, not {type(data).__name__}. "
        "Split the data yourself and give validation=... ."
    )


def as_batches(data: Any, size: int, shuffle: bool, seed: int) -> Any:
    if isinstance(data, Batches):
        return data
    if isinstance(data, (tuple, Dataset)):
        dataset = data if isinstance(data, Dataset) else Dataset(data)
        if len(dataset) == 0:
            raise fb.DataError("fit: the data have no examples. Give at least one row.")
        return dataset.batch(size, shuffle=shuffle, seed=seed)
    if isinstance(data, (fb.Tensor, np.ndarray)) or not isinstance(data, Iterable):
        raise fb.ArgumentError(
            f"fit: data is a {type(data).__name__}. Give (x, y), a fb.data.Dataset, or an iterable "
            "of batches."
        )
    return data


def epoch_of(batches: Any, epoch: int) -> Iterator[Any]:
    return batches.epoch(epoch) if isinstance(batches, Batches) else iter(batches)


# Four walks over the batch are made for each step. What is asked first is what is common and quick:
# whether something is a Mapping takes longer than a step of a small model's Python.
_LEAVES = frozenset((fb.Tensor, np.ndarray))


def tensors(batch: Any) -> Any:
    if type(batch) in _LEAVES:
        return cast_floating(batch)
    if isinstance(batch, (tuple, list)):
        return tuple([tensors(value) for value in batch])
    if isinstance(batch, Mapping):
        return {key: tensors(value) for key, value in batch.items()}
    return cast_floating(batch)


def parts_of(batch: Any) -> tuple[Any, Any, Any]:
    """(inputs, target, weights) of a batch."""
    if not isinstance(batch, tuple) or len(batch) not in (2, 3):
        what = f"{len(batch)} parts" if isinstance(batch, tuple) else type(batch).__name__
        raise fb.DataError(
            f"fit: a batch has {what}. It is (inputs, target) or (inputs, target, weights)."
        )
    return batch[0], batch[1], batch[2] if len(batch) == 3 else None


def call_model(model: Any, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def rows_of(batch: Any) -> int:
    """Number of examples of a batch: rows of its first array that has any."""
    for leaf in leaves_of(batch):
        shape = leaf.shape
        if shape:
            return int(shape[0])
    return 1


def leaves_of(tree: Any) -> list[Any]:
    if type(tree) in _LEAVES:
        return [tree]
    if isinstance(tree, tuple):
        return [leaf for value in tree for leaf in leaves_of(value)]
    if isinstance(tree, Mapping):
        return [leaf for value in tree.values() for leaf in leaves_of(value)]
    return [tree]


def structure_of(tree: Any) -> Any:
    if type(tree) in _LEAVES:
        return None
    if isinstance(tree, tuple):
        return tuple([structure_of(value) for value in tree])
    if isinstance(tree, Mapping):
        return tuple([(key, structure_of(value)) for key, value in tree.items()])
    return None


def rebuild(tree: Any, values: Iterator[Any]) -> Any:
    if isinstance(tree, Mapping):
        return {key: rebuild(value, values) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(rebuild(value, values) for value in tree)
    return next(values)


def join(outputs: list[Any]) -> Any:
    first = outputs[0]
    if isinstance(first, Mapping):
        return {key: join([o[key] for o in outputs]) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(join([o[i] for o in outputs]) for i in range(len(first)))
    return fb.concat(outputs, axis=0)
