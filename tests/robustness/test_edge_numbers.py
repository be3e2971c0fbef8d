"""Numbers at the edge: integer corners, subnormals, NaN and infinity."""

from __future__ import annotations

import numpy as np

import flowbook as fb


def test_integer_corners_give_numpys_results():
    i = np.iinfo("i4")
    a = np.array([i.min, i.max, -1, 0, 7, -7], "i4")
    x, y = (v.ravel() for v in np.meshgrid(a, a))
    with np.errstate(all="ignore"):
        for op in ("floor_divide", "remainder", "add", "multiply", "subtract"):
            want = getattr(np, op)(x, y)
            np.testing.assert_array_equal(
                getattr(fb, op)(fb.asarray(x), fb.asarray(y)).numpy(), want, op
            )
    np.testing.assert_array_equal(fb.abs(fb.asarray(a)).numpy(), np.abs(a))


def test_float_to_integer_conversion_is_defined():
    """NaN, infinities and too large values: no trap, the same in eager and in a graph."""
    x = fb.asarray(np.array([np.nan, np.inf, -np.inf, 3e9, -3e9, 1e30, 2.9, -2.9], "f4"))
    for dtype in (fb.int32, fb.int64, fb.uint8, fb.bool):
        eager = fb.astype(x, dtype).numpy()
        graph = fb.graph(lambda x, d=dtype: fb.astype(x, d))(x).numpy()
        np.testing.assert_array_equal(eager, graph)
        assert eager[6] == {"uint8": 2, "bool": True}.get(str(eager.dtype), 2)


def test_subnormals_are_kept():
    """No library sets flush-to-zero for the process."""
    x = fb.asarray(np.array([1e-42, 2e-45], "f4"))
    assert (x + 0.0).numpy().tolist() == x.numpy().tolist()
    assert (fb.graph(lambda x: x * 1.0 + 0.0)(x).numpy() != 0).all()
    a = fb.asarray(np.full((8, 8), 1e-20, "f4"))
    assert ((a @ a).numpy() != 0).all()
    assert np.float32(1e-42) * np.float32(0.5) != 0


def test_nan_and_infinity_in_matmul():
    a = np.ones((5, 5), "f4")
    a[2, 3], a[4, 4] = np.nan, np.inf
    b = np.zeros((5, 5), "f4")
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal((fb.asarray(a) @ fb.asarray(b)).numpy(), a @ b)
