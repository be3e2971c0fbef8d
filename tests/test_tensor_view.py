"""How tensors show: any dtype, shape and value, without a warning, and nothing of them as markup."""

from __future__ import annotations

import base64
import re
import warnings

import numpy as np
import pytest

import flowbook as fb
from flowbook._tensor_view import html, statistics

LARGEST = 1.79e308
HARD = {
    "huge and opposite": np.array([LARGEST, -LARGEST] * 40),
    "all the largest": np.full((100, 100), LARGEST),
    "equal": np.full(300, 3.0),
    "subnormal": np.array([5e-324, 0.0] * 30),
    "NaN only": np.full((50, 50), np.nan),
    "infinite only": np.array([np.inf, -np.inf] * 30),
    "one finite": np.array([np.nan] * 60 + [1.0]),
    "images of NaN": np.full((2, 8, 8, 3), np.nan),
    "huge images": np.full((2, 8, 8, 3), 1e300),
    "complex NaN": np.full(100, complex(np.nan, 1)),
    "no columns": np.zeros((5, 0)),
    "0-d": np.array(2.5),
    "0-d NaN": np.array(np.nan),
    "six axes": np.zeros((1, 2, 3, 4, 5, 6)),
    "limits": np.array([-(2**63), 2**63 - 1]),
    "unsigned": np.array([0, 2**64 - 1], np.uint64),
    "one row": np.zeros((1, 100_000), np.float32),
    "bools": np.arange(100) % 3 == 0,
}


@pytest.mark.parametrize("name", HARD)
def test_any_values_show_without_a_warning(name: str) -> None:
    array = HARD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = fb.asarray(array)._repr_html_()
        repr(fb.asarray(array))
    assert len(text) < 30_000


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((8, 8), None), ((8, 8, 3), None), ((1, 8, 8, 1), None), ((2, 8, 8, 3), "[0] of 2"),
        ((5, 8, 8), "[0] of 5"), ((2, 3, 4, 8, 8), "[0, 0, 0] of 2 × 3 × 4"),
    ],
)  # fmt: skip
def test_a_picture_of_a_stack_says_which_part_it_is(
    shape: tuple[int, ...], words: str | None
) -> None:
    text = fb.zeros(shape)._repr_html_()
    assert "<img" in text
    assert re.findall(r">(\[[^<]*)</div>", text) == ([words] if words else [])


@pytest.mark.parametrize("shape", [(64, 64, 3), (2, 32, 32, 3), (2, 3, 4, 5, 6), (3,) * 5])
def test_the_text_of_many_axes_is_a_page_at_most(shape: tuple[int, ...]) -> None:
    assert 4 < len(repr(fb.zeros(shape)).splitlines()) <= 60
    assert str(fb.zeros(shape)).count("...") > 1


@pytest.mark.parametrize("name", [n for n, a in HARD.items() if a.dtype.kind == "f" and a.size > 1])
def test_the_statistics_of_any_numbers_are_finite(name: str) -> None:
    finite = HARD[name][np.isfinite(HARD[name])]
    found = dict(statistics(HARD[name]))
    assert ("mean" in found) == bool(finite.size)
    for word in ("min", "mean", "max", "std"):
        assert np.isfinite(float(found.get(word, 0)))
    if finite.size:
        assert float(found["max"]) == pytest.approx(finite.max(), rel=1e-3)


def test_statistics_are_numpys() -> None:
    values = np.random.default_rng(0).normal(3, 2, (300, 7)).astype(np.float32)
    found = {name: float(value) for name, value in statistics(values)}
    wanted = {"min": values.min(), "mean": values.mean(), "max": values.max(), "std": values.std()}
    assert found == pytest.approx(wanted, rel=1e-3)


def picture(text: str) -> str:
    """The SVG that a tensor's HTML holds."""
    (data,) = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", text)
    return base64.b64decode(data).decode()


def test_a_line_of_equal_values_runs_through_the_middle() -> None:
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", picture(html(np.ones(100), "f64[100]")))
    assert {y for _, y in points} == {"24.0"}


def test_a_line_breaks_where_values_are_not_finite() -> None:
    values = np.arange(100.0)
    values[40:50] = np.nan
    assert picture(html(values, "f64[100]")).count("M") == 2


def test_specs_are_text() -> None:
    assert "<b>" not in html(np.zeros(3), "f64[<b>]")
