"""Datasets and batches: structure, splits, shuffles, casts, errors."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb


def ints(batches) -> list[list[int]]:
    return [b.numpy().tolist() for b in batches]


def test_columns_keep_their_structure() -> None:
    x, y = np.zeros((5, 2), np.float32), np.arange(5)
    a, b = fb.data.from_arrays(x, y)[3]
    assert a.shape == (2,)
    assert int(b) == 3
    nested = fb.data.Dataset({"a": (x, y), "b": y})[1]
    assert set(nested) == {"a", "b"}
    assert int(nested["a"][1]) == 1
    assert len(list(fb.data.from_arrays(y))) == 5


def test_floats_follow_the_policy_and_integers_stay() -> None:
    columns = fb.data.from_arrays(
        np.zeros(3, np.float64), np.zeros(3, np.float16), np.zeros(3, np.uint8), np.zeros(3, bool)
    ).columns
    assert [c.dtype.name for c in columns] == ["float32", "float32", "uint8", "bool"]


def test_big_endian_and_strided_columns_become_ordinary_tensors() -> None:
    x = np.arange(12, dtype=">i4").reshape(6, 2)[::2]
    (batch,) = fb.data.from_arrays(x).batch(8)
    np.testing.assert_array_equal(batch.numpy(), np.arange(12).reshape(6, 2)[::2])


def test_batches_do_not_change_when_the_source_does() -> None:
    x = np.zeros(4, np.float32)
    first = next(iter(fb.data.from_arrays(x).batch(2)))
    x[:] = 7
    np.testing.assert_array_equal(first.numpy(), 0)


def test_last_batch_is_short_or_dropped() -> None:
    data = fb.data.from_arrays(np.arange(5))
    assert ints(data.batch(2)) == [[0, 1], [2, 3], [4]]
    assert ints(data.batch(2, drop_last=True)) == [[0, 1], [2, 3]]
    assert len(data.batch(2)) == 3
    assert len(data.batch(2, drop_last=True)) == 2
    assert ints(data.batch(100)) == [[0, 1, 2, 3, 4]]


def test_shuffled_epochs_differ_and_repeat_exactly() -> None:
    batches = fb.data.from_arrays(np.arange(100)).batch(10, shuffle=True, seed=3)
    first, second = ints(batches), ints(batches)
    assert first != second
    assert ints(batches.epoch(0)) == first
    assert ints(batches.epoch(1)) == second
    assert sorted(row for batch in first for row in batch) == list(range(100))
    other = fb.data.from_arrays(np.arange(100)).batch(10, shuffle=True, seed=4)
    assert ints(other.epoch(0)) != first


def test_shuffles_are_the_same_on_every_machine() -> None:
    """The order is part of what a seed promises; it must never change."""
    assert fb.data.from_arrays(np.arange(8)).shuffle(7).columns.tolist() == [4, 1, 6, 3, 2, 7, 5, 0]


def test_blocks_larger_than_the_gather_size() -> None:
    """Rows are gathered in blocks of some megabytes; batches must not notice."""
    x = np.arange(3000 * 600, dtype=np.float32).reshape(3000, 600)
    batches = fb.data.from_arrays(x, np.arange(3000)).batch(700, shuffle=True)
    seen = []
    for rows, numbers in batches.epoch(0):
        np.testing.assert_array_equal(rows.numpy(), x[numbers.numpy()])
        seen += numbers.numpy().tolist()
    assert sorted(seen) == list(range(3000))


@pytest.mark.parametrize(("share", "held"), [(0.2, 20), (7, 7), (0.001, 1), (0.999, 99)])
def test_split_is_a_partition(share: float, held: int) -> None:
    train, valid = fb.data.from_arrays(np.arange(100)).split(share, seed=1)
    assert (len(train), len(valid)) == (100 - held, held)
    both = np.concatenate([train.columns, valid.columns])
    assert sorted(both.tolist()) == list(range(100))


def test_split_without_seed_takes_the_end() -> None:
    train, valid = fb.data.from_arrays(np.arange(10)).split(3, seed=None)
    assert valid.columns.tolist() == [7, 8, 9]
    assert train.columns.tolist() == list(range(7))


def test_stratified_split_keeps_proportions() -> None:
    labels = np.repeat([0, 1, 2], [80, 15, 5])
    _, valid = fb.data.from_arrays(labels).split(0.2, stratify=labels)
    assert np.bincount(valid.columns).tolist() == [16, 3, 1]


def test_selections_compose() -> None:
    data = fb.data.from_arrays(np.arange(10)).skip(2)[::2]
    assert data.columns.tolist() == [2, 4, 6, 8]
    assert data.take(3)[[2, 0]].columns.tolist() == [6, 2]
    assert data[np.array([True, False, False, True])].columns.tolist() == [2, 8]
    assert int(data[-1]) == 8
    assert len(data[[]]) == 0
    assert list(data[[]].batch(2)) == []
    assert ints(data.batch(3, shuffle=True).epoch(0)) != ints(data.batch(3).epoch(0))


def test_map_applies_to_batches() -> None:
    data = fb.data.from_arrays(np.ones((4, 2), np.float32), np.arange(4)).batch(2)
    doubled = data.map(lambda x, y: (x * 2, y)).map(lambda x, y: (x + 1, y))
    for x, _ in doubled:
        np.testing.assert_array_equal(x.numpy(), 3)
    with_names = fb.data.from_dict({"a": np.ones(2)}).batch(2).map(lambda b: b["a"] * 3)
    np.testing.assert_array_equal(next(iter(with_names)).numpy(), 3)


def test_pandas_frames() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {"a": [1.0, 2.0, 3.0], "b": [1, 2, 3], "c": [True, False, True], "kind": ["x", "y", "x"]}
    )
    x, y = fb.data.from_pandas(frame, target="kind").columns
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [[1, 1, 1], [2, 2, 0], [3, 3, 1]])
    np.testing.assert_array_equal(y, [0, 1, 0])
    x, y = fb.data.from_pandas(frame, target="b", features=["a"]).columns
    assert (x.shape, y.tolist()) == ((3, 1), [1, 2, 3])
    assert fb.data.from_pandas(frame[["a", "b"]]).columns.shape == (3, 2)


def test_pandas_errors_name_the_column() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, None], "kind": ["x", None]})
    with pytest.raises(fb.DataError, match=r"no column 'nope'"):
        fb.data.from_pandas(frame, target="nope")
    with pytest.raises(fb.DataError, match=r"'kind' is .*, not numeric"):
        fb.data.from_pandas(frame)
    with pytest.raises(fb.DataError, match="missing values"):
        fb.data.from_pandas(frame, target="kind")
    assert np.isnan(fb.data.from_pandas(frame, features=["a"]).columns[1, 0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fb.data.from_arrays(np.zeros(3), np.zeros(4)), "different numbers of rows"),
        (lambda: fb.data.from_arrays(np.array(["a", "b"])), "not numbers"),
        (lambda: fb.data.from_arrays(np.array([object()])), "not numbers"),
        (lambda: fb.data.from_arrays(3.0), "single number"),
        (lambda: fb.data.from_arrays([[1, 2], [3]]), "not a regular array"),
        (lambda: fb.data.Dataset(()), "no columns"),
        (lambda: fb.data.from_arrays(np.zeros(3)).batch(0), "positive integer"),
        (lambda: fb.data.from_arrays(np.zeros(3)).batch(2.5), "positive integer"),
        (lambda: fb.data.from_arrays(np.zeros(3)).batch(4, drop_last=True), "drop_last"),
        (lambda: fb.data.from_arrays(np.zeros(3)).split(1.0), "part empty"),
        (lambda: fb.data.from_arrays(np.zeros(3)).split(3), "part empty"),
        (lambda: fb.data.from_arrays(np.zeros(3)).split(1, stratify=[1]), "one label per example"),
        (lambda: fb.data.from_dict({"a": [1]}, target="b"), "no column 'b'"),
    ],
)
def test_bad_input_gives_data_errors(make, message: str) -> None:
    with pytest.raises(fb.DataError, match=message):
        make()


def test_index_out_of_range() -> None:
    data = fb.data.from_arrays(np.arange(3))
    for index in (3, -4, [0, 3]):
        with pytest.raises(fb.IndexOutOfRange):
            data[index]


def test_printing() -> None:
    data = fb.data.from_arrays(np.zeros((4, 2)), np.zeros(4, np.int64))
    assert repr(data) == "Dataset: 4 examples of (f32[2], i64[])"
    assert repr(data.batch(3)) == "Batches: 2 of 3 x (f32[2], i64[]), in order"
