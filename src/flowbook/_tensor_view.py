"""Shows an array as HTML: what it is, its statistics, and a small picture chosen by its shape.

Few numbers are written out; a vector becomes a sparkline, a matrix a heat map, three channels an
image. NaN and infinities are counted and marked. Plain NumPy in, text out: no notebook import.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

from ._palette import ALARMED, FIGURE, spread
from ._words import image

_SIDE = 96  # cells of a heat map at most
_WRITTEN = 36  # numbers that are written out instead of drawn
# A perceptually even ramp from dark blue over green to yellow (five anchors of viridis).
_RAMP = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], float)
_NAN = (220, 40, 140)


def png(pixels: np.ndarray) -> bytes:
    """Encodes `[height, width, 3]` bytes as a PNG file."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # filter byte 0 before each row
    rows[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(rows.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _shrink(a: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Picks evenly spaced entries where an axis is longer than the picture."""
    pick = [
        np.linspace(0, size - 1, min(size, limit)).round().astype(int)
        for size, limit in zip(a.shape, (rows, columns), strict=False)
    ]
    return a[np.ix_(pick[0], pick[1])]


def _share(a: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Where numbers are between the smallest, 0, and the largest, 1; the middle if all are equal."""
    if not finite.any():
        return np.zeros(a.shape)
    scale = float(np.abs(a[finite]).max()) or 1.0  # the largest differences would overflow
    scaled = np.where(finite, a, a[finite].flat[0]) / scale
    low, high = scaled.min(), scaled.max()
    return (scaled - low) / (high - low) if high > low else np.full(a.shape, 0.5)


def _heat(a: np.ndarray) -> np.ndarray:
    """Colours of numbers, from the smallest to the largest finite one."""
    finite = np.isfinite(a)
    t = _share(a, finite) * (len(_RAMP) - 1)
    i = np.minimum(t.astype(int), len(_RAMP) - 2)
    colour = _RAMP[i] + (t - i)[..., None] * (_RAMP[i + 1] - _RAMP[i])
    colour[np.isnan(a)] = _NAN
    colour[np.isposinf(a)] = (255, 60, 60)
    colour[np.isneginf(a)] = (40, 80, 255)
    return colour.round().astype(np.uint8)


def _picture(pixels: np.ndarray, alt: str) -> str:
    height, width, _ = pixels.shape
    scale = max(1, min(12, 480 // width, 192 // height))
    data = base64.b64encode(png(pixels)).decode()
    return (
        f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" width="{width * scale}" '
        f'height="{height * scale}" style="image-rendering:pixelated;border-radius:3px">'
    )


def _real(a: np.ndarray) -> np.ndarray:
    """What is drawn of numbers: themselves, or the magnitudes of complex ones."""
    return np.abs(a).astype(np.float64) if a.dtype.kind == "c" else a.astype(np.float64)


def _spark(a: np.ndarray) -> str:
    """A vector as a line; gaps where it is not finite."""
    n = min(len(a), 240)
    values = _real(a[np.linspace(0, len(a) - 1, n).round().astype(int)])
    finite = np.isfinite(values)
    if not finite.any():
        return ""
    at = _share(values, finite)
    parts, pen = [], "M"
    for i in range(n):
        if not finite[i]:
            pen = "M"
            continue
        x, y = 2 + 236 * i / max(1, n - 1), 46 - 44 * float(at[i])
        parts.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="48" viewBox="0 0 240 48">'
        f'<path d="{"".join(parts)}" fill="none" stroke="{FIGURE}" stroke-width="1.5"/></svg>'
    )
    return f'<img src="{image(svg)}" alt="line of {len(a)} values">'


def histogram_image(counts: Sequence[int], width: int = 96, height: int = 20) -> str:
    """A histogram as a small image; the highest bin fills the height.

    It stands in every row of a table, so it is one outline in whole pixels: some 300 bytes.
    """
    top = max(counts, default=0)
    if not top:
        return ""
    step = width / len(counts)
    outline = "".join(
        f"V{height - max(1, round((height - 1) * n / top)) if n else height}h{step:g}"
        for n in counts
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f'<path fill="{FIGURE}" d="M0 {height}{outline}V{height}"/></svg>'
    )
    return (
        f'<img src="{image(svg)}" alt="histogram" width="{width}" height="{height}" '
        'style="vertical-align:middle">'
    )


def _number(v: Any) -> str:
    if isinstance(v, (bool, np.bool_)):
        return str(bool(v))
    if isinstance(v, (int, np.integer)):
        return str(int(v))
    if isinstance(v, (complex, np.complexfloating)):
        return f"{v:.4g}"
    return f"{float(v):.4g}"


def _written(a: np.ndarray) -> str:
    rows = a.reshape(1, -1) if a.ndim < 2 else a.reshape(-1, a.shape[-1])
    body = "".join(
        "<tr>" + "".join(f'<td style="padding:1px 7px">{_number(v)}</td>' for v in row) + "</tr>"
        for row in rows
    )
    return f'<table style="font-size:12px;margin:2px 0"><tbody>{body}</tbody></table>'


_CHUNK = 1 << 18  # elements looked at in one go: large arrays need no large copies


def statistics(a: np.ndarray) -> list[tuple[str, str]]:
    """Smallest, mean and largest value, spread, and counts of what is not finite or zero.

    Complex numbers count by magnitude.
    """
    if a.size < 2 or a.dtype.kind not in "biufc":
        return []
    if a.dtype.kind == "b":
        return [("true", f"{int(np.count_nonzero(a)):,} of {a.size:,}")]
    flat = a.reshape(-1)
    nan = inf = good = 0
    low, high, total = np.inf, -np.inf, 0.0
    for values in _chunks(flat):
        finite = np.isfinite(values)
        nan += int(np.isnan(values).sum())
        inf += int(np.isinf(values).sum())
        kept = values[finite]
        if kept.size:
            good += kept.size
            low, high = min(low, float(kept.min())), max(high, float(kept.max()))
            with np.errstate(over="ignore", invalid="ignore"):
                total += float(kept.sum())
    out: list[tuple[str, str]] = []
    if good:
        scale = max(abs(low), abs(high)) or 1.0  # squares of the largest numbers would overflow
        mean = total / good
        if not np.isfinite(mean):
            parts = (values[np.isfinite(values)] / scale for values in _chunks(flat))
            mean = scale * (sum(float(part.sum()) for part in parts) / good)
        squares = 0.0
        for values in _chunks(flat):
            kept = values[np.isfinite(values)]
            squares += float(((kept / scale - mean / scale) ** 2).sum())
        names = ("|min|", "|mean|", "|max|", "std") if a.dtype.kind == "c" else _NAMES
        numbers = (low, mean, high, scale * (squares / good) ** 0.5)
        whole = a.dtype.kind in "iu"
        for name, number in zip(names, numbers, strict=True):
            exact = whole and name in ("min", "max")
            out.append((name, _number(int(number)) if exact else _number(number)))
    out += [(name, f"{count:,}") for name, count in (("NaN", nan), ("Inf", inf)) if count]
    return out


_NAMES = ("min", "mean", "max", "std")


def _chunks(flat: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of a flat array as doubles; magnitudes of complex ones."""
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        yield np.abs(part).astype(np.float64) if flat.dtype.kind == "c" else part.astype(np.float64)


def html(array: Any, spec: str) -> str:
    """Shows an array as HTML.

    Args:
        array: The values.
        spec: Dtype and shape as text, such as `f32[32, 10]`.
    """
    a = np.asarray(array)
    picture = ""
    if a.dtype.kind == "V":
        pass
    elif 0 < a.size <= _WRITTEN and a.ndim <= 2:
        picture = _written(a)
    elif a.size and a.dtype.kind in "biufc":
        if a.ndim == 1:
            picture = _spark(a)
        elif a.ndim == 2:
            picture = _picture(_heat(_real(_shrink(a, _SIDE, _SIDE))), f"heat map of {spec}")
        elif a.ndim >= 3:
            picture = _image(a, spec) + _which(a)
    facts = "".join(
        f'<span style="{spread(14)}{_alarm(name)}"><span style="opacity:0.65">{name}</span> {value}</span>'
        for name, value in statistics(a)
    )
    return (
        '<div class="flowbook-view flowbook-tensor"><div style="font-size:12px;margin-bottom:4px">'
        f'<code style="{spread(14)}">{escape(spec)}</code>{facts}</div>'
        f"{picture}</div>"
    )


def _pictured_axes(a: np.ndarray) -> int:
    """How many of the last axes the picture of a stack has: with colours 3, else 2."""
    return 3 if a.shape[-1] in (1, 3) and min(a.shape[-3:-1]) >= 4 and a.dtype.kind != "c" else 2


def _which(a: np.ndarray) -> str:
    """Which part of a stack the picture shows, where it has more than one."""
    stack = a.shape[: -_pictured_axes(a)]
    if np.prod(stack, dtype=int) < 2:
        return ""
    of = " × ".join(map(str, stack))
    return f'<div style="font-size:11px;opacity:0.8">{[0] * len(stack)} of {of}</div>'


def _alarm(name: str) -> str:
    return f";{ALARMED}" if name in ("NaN", "Inf") else ""


def _image(a: np.ndarray, spec: str) -> str:
    """The first picture of a stack: channels-last colours, else the last two axes."""
    channels = a.shape[-1]
    if _pictured_axes(a) == 3:
        first = a.reshape(-1, *a.shape[-3:])[0]
        small = np.stack([_shrink(first[..., c], _SIDE, _SIDE) for c in range(channels)], -1)
        if channels == 1:
            return _picture(_heat(small[..., 0].astype(np.float64)), f"first image of {spec}")
        values = small.astype(np.float64)
        finite = values[np.isfinite(values)]
        low = min(0.0, float(finite.min())) if finite.size else 0.0
        top = 255.0 if a.dtype == np.uint8 else float(finite.max()) if finite.size else 1.0
        scaled = np.nan_to_num((values - low) / max(top - low, 1e-30)) * 255
        return _picture(np.clip(scaled, 0, 255).astype(np.uint8), f"first image of {spec}")
    first = a.reshape(-1, *a.shape[-2:])[0]
    small = _real(_shrink(first, _SIDE, _SIDE))
    return _picture(_heat(small), f"heat map of the first matrix of {spec}")
