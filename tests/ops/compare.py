"""How close is close: bitwise, units in the last place, relative."""

from __future__ import annotations

import numpy as np


def bits(x: np.ndarray) -> np.ndarray:
    """The bytes of an array, every NaN alike."""
    x = np.ascontiguousarray(x)
    if x.dtype.kind == "f":
        x = np.where(np.isnan(x), np.asarray(np.nan, x.dtype), x)
    return x.reshape(-1).view(np.uint8)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(bits(a), bits(b))


def ulps_apart(out: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """|out - reference| in units of the last place of the reference, in `out`'s dtype. 0 where both
    are NaN or the same infinity, inf where only one is."""
    wide = np.longdouble
    with np.errstate(all="ignore"):
        rounded = reference.astype(out.dtype)
        unit = np.spacing(np.abs(rounded)).astype(wide)
        apart = np.abs(out.astype(wide) - reference.astype(wide)) / unit
        same = (out == rounded) | (np.isnan(out) & np.isnan(rounded))
        apart = np.where(same, np.minimum(np.nan_to_num(apart, nan=0.0, posinf=0.0), 0.5), apart)
    return np.nan_to_num(apart, nan=np.inf, posinf=np.inf)


def difference(
    out: np.ndarray, reference: np.ndarray, ulps: float | None = None, rtol: float = 0.0
) -> str | None:
    """None if `out` is as close to `reference` as asked, else what is wrong."""
    if out.shape != reference.shape:
        return f"shape {list(out.shape)}, not {list(reference.shape)}"
    if out.size == 0:
        return None
    if out.dtype.kind != "f":
        wrong = out != reference
        return None if not wrong.any() else describe(out, reference, wrong)
    if ulps is not None:
        apart = ulps_apart(out, reference)
        wrong = apart > max(ulps, 0.5) if reference.dtype != out.dtype else apart > ulps
        if wrong.any():
            return describe(out, reference, wrong) + f" ({float(apart[wrong].max()):.3g} ulp)"
        zero = (out == 0) & (reference == 0) & (np.signbit(out) != np.signbit(reference))
        return None if not zero.any() else describe(out, reference, zero) + " (sign of zero)"
    with np.errstate(all="ignore"):
        finite = reference[np.isfinite(reference)]
        scale = float(np.abs(finite).max()) if finite.size else 1.0
        close = np.isclose(out, reference, rtol=rtol, atol=rtol * max(scale, 1e-30), equal_nan=True)
    return None if close.all() else describe(out, reference, ~close)


def describe(out: np.ndarray, reference: np.ndarray, wrong: np.ndarray) -> str:
    where = tuple(int(i[0]) for i in np.nonzero(wrong)) if wrong.ndim else ()
    return (
        f"{int(wrong.sum())} of {wrong.size} differ; at {list(where)}: "
        f"{out[where]!r}, not {reference[where]!r}"
    )
