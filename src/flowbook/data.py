"""Data: random-access tables of examples, shuffled by index and cut into batches.

A `Dataset` holds columns (arrays with one row per example) and a list of row numbers; splitting,
shuffling, taking and skipping only change the row numbers. A `Batches` object makes tensors of it.
Shuffles depend on a seed and the epoch only, so any epoch can be repeated exactly.
Floating columns are cast to the dtype policy's dtype (float32); integers and booleans stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

import flowbook as fb

from . import _hints
from ._policy import FLOATS, dtype_policy
from ._state import SHORT_NAMES, dtype_name

__all__ = ["Batches", "Dataset", "from_arrays", "from_dict", "from_pandas"]

_BLOCK_BYTES = 4 << 20  # rows are gathered in blocks of about this size, then sliced into batches


class Dataset:
    """Examples in columns: a tuple `(x, y)`, a dict of columns, or one array.

    Args:
        columns: An array, or a (nested) tuple, list or dict of arrays, all with the same number of
            rows. NumPy arrays, tensors, pandas Series and anything `numpy.asarray` understands.

    Raises:
        DataError: If there are no columns, the numbers of rows differ, or a column holds objects.

    Example:
        >>> data = fb.data.Dataset((np.zeros((6, 2)), np.arange(6)))
        >>> len(data)
        6
        >>> data
        Dataset: 6 examples of (f32[2], i64[])
    """

    def __init__(self, columns: Any) -> None:
        self._columns = _map_tree(columns, _column, "data")
        leaves = _leaves(self._columns)
        if not leaves:
            raise fb.DataError("Dataset: no columns. Give arrays: fb.data.from_arrays(x, y).")
        rows = {len(column) for column in leaves}
        if len(rows) > 1:
            sizes = ", ".join(f"{path}: {len(leaf)}" for path, leaf in _paths(self._columns))
            raise fb.DataError(
                f"Dataset: the columns have different numbers of rows ({sizes}). "
                "Each needs one row per example."
            )
        self._rows: Any = None  # None: all rows in order
        self._count = rows.pop()

    @classmethod
    def _of(cls, columns: Any, rows: Any, count: int) -> Dataset:
        made = cls.__new__(cls)
        made._columns, made._rows, made._count = columns, rows, count
        return made

    def __len__(self) -> int:
        return self._count

    @property
    def columns(self) -> Any:
        """The rows of this dataset as NumPy arrays, in the structure it was made with.

        Example:
            >>> x, y = fb.data.from_arrays(np.zeros((6, 2)), np.arange(6)).take(2).columns
            >>> y
            array([0, 1])
        """
        return _map_tree(self._columns, lambda column, _: _rows_of(column, self._rows))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> Dataset: ...
    def __getitem__(self, index: Any) -> Any:
        """One example as tensors for an integer, a `Dataset` for a slice, a list or a mask."""
        if isinstance(index, (int, np.integer)):
            if not -self._count <= index < self._count:
                raise fb.IndexOutOfRange(
                    f"Dataset: index {index} of {self._count} examples. "
                    f"Valid are {-self._count} to {self._count - 1}."
                )
            row = int(index) % self._count
            row = row if self._rows is None else int(self._rows[row])
            return _map_tree(self._columns, lambda c, _: fb.asarray(np.array(c[row])))
        rows = np.arange(self._count) if self._rows is None else self._rows
        if isinstance(index, slice):
            chosen = rows[index]
        else:
            wanted = np.asarray(index)
            if wanted.dtype != bool and wanted.size == 0:
                wanted = wanted.astype(np.int64)
            try:
                chosen = rows[wanted]
            except IndexError as error:
                raise fb.IndexOutOfRange(f"Dataset: {error}.") from None
            if chosen.ndim != 1:
                raise fb.DataError("Dataset: rows are chosen by a 1-d list of numbers or a mask.")
        return Dataset._of(self._columns, chosen, len(chosen))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._count))

    def take(self, count: int) -> Dataset:
        """The first `count` examples (all, if there are fewer).

        Example:
            >>> len(fb.data.from_arrays(np.arange(6)).take(4))
            4
        """
        return self[: max(0, count)]

    def skip(self, count: int) -> Dataset:
        """All but the first `count` examples.

        Example:
            >>> fb.data.from_arrays(np.arange(6)).skip(4).columns
            array([4, 5])
        """
        return self[max(0, count) :]

    def shuffle(self, seed: int = 0) -> Dataset:
        """The same examples in an order that depends on `seed` only.

        Batches that are shuffled anew each epoch: `data.batch(32, shuffle=True)`.

        Args:
            seed: Integer that decides the order.

        Example:
            >>> fb.data.from_arrays(np.arange(6)).shuffle(seed=1).columns.tolist()
            [3, 5, 2, 0, 1, 4]
        """
        return self[_permutation(self._count, seed, 0)]

    def split(
        self, validation: float | int = 0.2, *, seed: int | None = 0, stratify: Any = None
    ) -> tuple[Dataset, Dataset]:
        """Divides the examples into a training and a validation part.

        Args:
            validation: Share of the examples (a float in (0, 1)) or their number (an integer) that
                go to the second part.
            seed: Decides which ones; None takes the last ones without shuffling.
            stratify: One label per example (in the order of this dataset), each of which is
                divided in the same proportion; or None.

        Returns:
            `(train, validation)`, which share the columns.

        Raises:
            DataError: If a part would be empty, or `stratify` has another number of rows.

        Example:
            >>> train, valid = fb.data.from_arrays(np.arange(10)).split(0.3)
            >>> len(train), len(valid)
            (7, 3)
        """
        count = self._count
        is_share = isinstance(validation, (float, np.floating))
        wanted = round(count * validation) if is_share else int(validation)
        if is_share and 0 < validation < 1 and count >= 2:
            wanted = min(max(wanted, 1), count - 1)
        if not 0 < wanted < count:
            raise fb.DataError(
                f"split: validation={validation} of {count} examples leaves a part empty. "
                f"Give a share between 0 and 1, or a number from 1 to {max(1, count - 1)}."
            )
        order = np.arange(count) if seed is None else _permutation(count, seed, 0)
        if stratify is not None:
            labels = np.asarray(stratify)
            if labels.ndim != 1 or len(labels) != count:
                raise fb.DataError(
                    f"split: stratify has shape {labels.shape}, but there are {count} examples. "
                    "Give one label per example."
                )
            # position of each example within its class, as a share: the smallest go first
            _, codes = np.unique(labels[order], return_inverse=True)
            sizes = np.bincount(codes)
            starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            by_class = np.argsort(codes, kind="stable")
            place = np.empty(count)
            place[by_class] = np.arange(count) - np.repeat(starts, sizes)
            order = order[np.argsort((place + 0.5) / sizes[codes], kind="stable")]
        held = np.sort(order[count - wanted :]) if seed is not None else order[count - wanted :]
        kept = np.sort(order[: count - wanted]) if seed is not None else order[: count - wanted]
        return self[kept], self[held]

    def batch(
        self,
        size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
    ) -> Batches:
        """Cuts the dataset into batches of tensors.

        Args:
            size: Examples per batch.
            shuffle: Reorder the examples in each epoch.
            seed: Decides the orders.
            drop_last: Leave out a last batch with fewer than `size` examples.

        Raises:
            DataError: If `size` is not positive, or every batch would be dropped.

        Example:
            >>> data = fb.data.from_arrays(np.zeros((5, 2)), np.arange(5))
            >>> [y.numpy().tolist() for x, y in data.batch(2)]
            [[0, 1], [2, 3], [4]]
        """
        return Batches(self, size, shuffle=shuffle, seed=seed, drop_last=drop_last)

    def __repr__(self) -> str:
        return f"Dataset: {self._count:,} examples of {_structure(self._columns)}"


class Batches:
    """An iterable of batches; each pass over it is one epoch.

    Made by `Dataset.batch`. `epoch(n)` gives the batches of one particular epoch; iterating counts
    the epochs up.

    Args:
        dataset: The examples.
        size: Examples per batch.
        shuffle: Reorder the examples in each epoch.
        seed: Decides the orders.
        drop_last: Leave out a last batch with fewer than `size` examples.

    Example:
        >>> batches = fb.data.from_arrays(np.arange(6)).batch(3, shuffle=True, seed=1)
        >>> [b.numpy().tolist() for b in batches.epoch(0)]
        [[3, 5, 2], [0, 1, 4]]
        >>> len(batches)
        2
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise fb.DataError(f"batch: size is {size!r}. It must be a positive integer.")
        if drop_last and len(dataset) < size:
            raise fb.DataError(
                f"batch: {len(dataset)} examples make no batch of {size}, and drop_last leaves out "
                "the rest. Choose a smaller size, or drop_last=False."
            )
        self.dataset = dataset
        self.size = int(size)
        self.shuffle = bool(shuffle)
        self.seed = int(seed)
        self.drop_last = bool(drop_last)
        self._maps: tuple[Callable[..., Any], ...] = ()
        self._next_epoch = 0

    def __len__(self) -> int:
        count = len(self.dataset)
        return count // self.size if self.drop_last else math.ceil(count / self.size)

    def __iter__(self) -> Iterator[Any]:
        epoch = self._next_epoch
        self._next_epoch += 1
        return self.epoch(epoch)

    def map(self, function: Callable[..., Any]) -> Batches:
        """Batches that pass through a function, which gets the columns and returns the new batch.

        Args:
            function: Called as `function(x, y)` for tuples, `function(batch)` otherwise.

        Example:
            >>> data = fb.data.from_arrays(np.ones((4, 2)), np.arange(4)).batch(4)
            >>> x, y = next(iter(data.map(lambda x, y: (x * 2, y))))
            >>> float(fb.max(x))
            2.0
        """
        made = Batches(
            self.dataset,
            self.size,
            shuffle=self.shuffle,
            seed=self.seed,
            drop_last=self.drop_last,
        )
        made._maps = (*self._maps, function)
        return made

    def epoch(self, number: int) -> Iterator[Any]:
        """The batches of epoch `number` (from 0): the same ones each time it is asked for.

        Example:
            >>> batches = fb.data.from_arrays(np.arange(4)).batch(4, shuffle=True)
            >>> first, again = next(batches.epoch(3)), next(batches.epoch(3))
            >>> bool(fb.all(first == again))
            True
        """
        data = self.dataset
        count = len(self) * self.size if self.drop_last else len(data)
        rows = data._rows
        if self.shuffle:
            order = _permutation(len(data), self.seed, number)[:count]
            rows = order if rows is None else rows[order]
        leaves = _leaves(data._columns)
        row_bytes = max(1, sum(c.nbytes // max(1, len(c)) for c in leaves))
        block = self.size * max(1, _BLOCK_BYTES // (row_bytes * self.size))
        # a gathered block is ours alone, so its slices are shared; user arrays are copied
        share = False if rows is not None else None
        for start in range(0, count, block):
            stop = min(start + block, count)
            part = slice(start, stop) if rows is None else rows[start:stop]
            gathered = _select(data._columns, part)
            for low in range(0, stop - start, self.size):
                high = min(low + self.size, stop - start)
                batch = _map_tree(
                    _select(gathered, slice(low, high)), lambda c, _: fb.asarray(c, copy=share)
                )
                for function in self._maps:
                    batch = function(*batch) if isinstance(batch, tuple) else function(batch)
                yield batch

    def __repr__(self) -> str:
        order = f"shuffled (seed {self.seed})" if self.shuffle else "in order"
        return (
            f"Batches: {len(self):,} of {self.size} x {_structure(self.dataset._columns)}, {order}"
        )


def from_arrays(*arrays: Any) -> Dataset:
    """A dataset from arrays with one row per example.

    Args:
        *arrays: NumPy arrays, tensors, or anything `numpy.asarray` understands.

    Returns:
        A dataset whose examples are tuples, or single values if there is one array.

    Raises:
        DataError: If the numbers of rows differ or a column holds objects.

    Example:
        >>> fb.data.from_arrays(np.zeros((6, 2)), np.arange(6))
        Dataset: 6 examples of (f32[2], i64[])
    """
    return Dataset(arrays[0] if len(arrays) == 1 else tuple(arrays))


def from_dict(columns: Mapping[str, Any], target: str | None = None) -> Dataset:
    """A dataset from named columns.

    Args:
        columns: Arrays by name, each with one row per example.
        target: Name of the column to predict; None for none.

    Returns:
        A dataset whose examples are dicts, or pairs `(dict of the other columns, target)`.

    Raises:
        DataError: If the numbers of rows differ, or there is no column `target`.

    Example:
        >>> fb.data.from_dict({"age": [31, 45], "size": [1.8, 1.7], "label": [0, 1]}, "label")
        Dataset: 2 examples of ({'age': i64[], 'size': f32[]}, i64[])
    """
    if target is None:
        return Dataset(dict(columns))
    if target not in columns:
        raise fb.DataError(
            f"from_dict: no column {target!r}. There are {', '.join(map(repr, columns))}."
        )
    rest = {name: column for name, column in columns.items() if name != target}
    return Dataset((rest, columns[target]))


def from_pandas(
    frame: Any, target: str | None = None, features: Sequence[str] | None = None
) -> Dataset:
    """A dataset from a pandas DataFrame: numeric columns become one matrix.

    Args:
        frame: The DataFrame.
        target: Name of the column to predict; None for none. Texts and categories become the
            numbers of their sorted values.
        features: Names of the columns of the matrix; by default all but `target`.

    Returns:
        A dataset of `(features, target)` or, without target, of feature rows.

    Raises:
        DataError: If a feature is not numeric, a column does not exist, or a value is missing in
            the target or in an integer column.

    Example:
        >>> import pandas
        >>> frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3, 4], "kind": ["cat", "dog"]})
        >>> data = fb.data.from_pandas(frame, target="kind")
        >>> x, y = data[1]
        >>> x.numpy(), int(y)
        (array([2., 4.], dtype=float32), 1)
    """
    names = [str(c) for c in frame.columns]
    if len(set(names)) != len(names):
        raise fb.DataError("from_pandas: two columns have the same name. Rename one.")
    by_name = dict(zip(names, frame.columns, strict=True))
    if features is None:
        features = [name for name in names if name != target]
    missing = [
        n for n in [*features, *([target] if target is not None else [])] if n not in by_name
    ]
    if missing:
        raise fb.DataError(
            f"from_pandas: no column {missing[0]!r}. There are {', '.join(map(repr, names))}."
        )
    wrong = [n for n in features if frame[by_name[n]].dtype.kind not in "biuf"]
    if wrong:
        raise fb.DataError(
            f"from_pandas: column {wrong[0]!r} is {frame[by_name[wrong[0]]].dtype}, not numeric. "
            "Encode it (pandas.get_dummies, .cat.codes), or name the columns in features=[...]."
        )
    if not features:
        raise fb.DataError("from_pandas: no feature columns. Name them in features=[...].")
    try:
        matrix = frame[[by_name[n] for n in features]].to_numpy(dtype=_numpy_policy())
    except (TypeError, ValueError):
        raise fb.DataError(
            "from_pandas: a feature has missing values that are not NaN. "
            "Fill them first: frame.fillna(0)."
        ) from None
    if target is None:
        return Dataset(matrix)
    labels = frame[by_name[target]]
    if labels.isna().any():
        raise fb.DataError(
            f"from_pandas: the target {target!r} has missing values. Drop those rows first: "
            f"frame.dropna(subset=[{target!r}])."
        )
    if labels.dtype.kind not in "biuf":
        _, codes = np.unique(labels.astype(str).to_numpy(dtype=object), return_inverse=True)
        return Dataset((matrix, codes.astype(np.int64)))
    return Dataset((matrix, labels.to_numpy()))


# Columns


def _numpy_policy() -> Any:
    name = dtype_name(dtype_policy())
    return np.dtype("float32" if name == "bfloat16" else name)


def _column(value: Any, path: str) -> np.ndarray:
    """`value` as an array with rows; floating ones in the policy's dtype."""
    if isinstance(value, (fb.Tensor, fb.Variable)):
        array = value.numpy()
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise fb.DataError(f"Dataset: {path} is not a regular array: {error}.") from None
    if array.dtype.kind not in "biufc":
        raise fb.DataError(
            f"Dataset: {path} holds {array.dtype} values, not numbers. "
            "Encode them first, for example by their index in a list of categories."
        )
    if array.ndim == 0:
        raise fb.DataError(f"Dataset: {path} is a single number. It needs one row per example.")
    if array.dtype.kind == "f" or array.dtype.name in FLOATS:
        array = array.astype(_numpy_policy(), copy=False)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _select(columns: Any, rows: Any) -> Any:
    return _map_tree(columns, lambda column, _: column[rows])


def _rows_of(column: np.ndarray, rows: Any) -> np.ndarray:
    return column if rows is None else column[rows]


def _map_tree(tree: Any, function: Callable[[Any, str], Any], path: str = "") -> Any:
    if isinstance(tree, Mapping):
        return {k: _map_tree(v, function, f"{path}[{k!r}]") for k, v in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_map_tree(v, function, f"{path}[{i}]") for i, v in enumerate(tree))
    return function(tree, path)


def _paths(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        return [leaf for k, v in tree.items() for leaf in _paths(v, f"{path}[{k!r}]")]
    if isinstance(tree, tuple):
        return [leaf for i, v in enumerate(tree) for leaf in _paths(v, f"{path}[{i}]")]
    return [(path or "data", tree)]


def _leaves(tree: Any) -> list[Any]:
    return [leaf for _, leaf in _paths(tree)]


def _structure(tree: Any) -> str:
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f"{k!r}: {_structure(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, tuple):
        return "(" + ", ".join(_structure(v) for v in tree) + ("," * (len(tree) == 1)) + ")"
    return f"{SHORT_NAMES.get(tree.dtype.name, tree.dtype.name)}{list(tree.shape[1:])}"


def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `range(count)` that depends on its arguments alone.

    Sorts raw Philox numbers: unlike NumPy's `permutation`, whose stream may change between
    versions, the bits of the counter-based generator are fixed by its definition.
    """
    key = np.array([seed % 2**64, epoch], dtype=np.uint64)
    bits = np.random.Philox(key=key).random_raw(count)
    return np.argsort(bits, kind="stable")


if not TYPE_CHECKING:  # a type checker knows the names
    __getattr__, __dir__ = _hints.of_module(__name__, __all__)
