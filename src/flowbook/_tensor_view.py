"""Shows an array as HTML: what it is, its statistics, and a small picture chosen by its shape.

Few numbers are written out; a vector becomes a sparkline, a matrix a heat map, three channels an
image. NaN and infinities are counted and marked. Plain NumPy in, text out: no notebook import.
"""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape
from typing import Any

import numpy as np

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


def _heat(a: np.ndarray) -> np.ndarray:
    """Colours of numbers, from the smallest to the largest finite one."""
    finite = np.isfinite(a)
    low, high = (a[finite].min(), a[finite].max()) if finite.any() else (0.0, 1.0)
    span = high - low if high > low else 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        t = np.clip((np.where(finite, a, low) - low) / span, 0, 1) * (len(_RAMP) - 1)
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


def _spark(a: np.ndarray) -> str:
    """A vector as a line; gaps where it is not finite."""
    n = min(len(a), 240)
    values = a[np.linspace(0, len(a) - 1, n).round().astype(int)]
    finite = np.isfinite(values)
    if not finite.any():
        return ""
    low, high = float(values[finite].min()), float(values[finite].max())
    span = high - low or 1.0
    parts, pen = [], "M"
    for i, v in enumerate(values):
        if not finite[i]:
            pen = "M"
            continue
        x, y = 2 + 236 * i / max(1, n - 1), 46 - 44 * (float(v) - low) / span
        parts.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="48" viewBox="0 0 240 48">'
        f'<path d="{"".join(parts)}" fill="none" stroke="#2a9d8f" stroke-width="1.5"/></svg>'
    )
    address = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{address}" alt="line of {len(a)} values">'


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


def statistics(a: np.ndarray) -> list[tuple[str, str]]:
    """Smallest, mean and largest value, spread, and counts of what is not finite or zero."""
    if a.size < 2 or a.dtype.kind not in "biuf":
        return []
    values = a.astype(np.float64, copy=False)
    finite = np.isfinite(values)
    good = values[finite]
    out: list[tuple[str, str]] = []
    if a.dtype.kind == "b":
        return [("true", f"{int(good.sum()):,} of {a.size:,}")]
    if good.size:
        out += [("min", _number(good.min())), ("mean", _number(good.mean()))]
        out += [("max", _number(good.max())), ("std", _number(good.std()))]
    for name, count in (("NaN", np.isnan(values).sum()), ("Inf", np.isinf(values).sum())):
        if count:
            out.append((name, f"{int(count):,}"))
    return out


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
    elif a.size and a.dtype.kind in "biuf":
        if a.ndim == 1:
            picture = _spark(a.astype(np.float64, copy=False))
        elif a.ndim == 2:
            small = _shrink(a, _SIDE, _SIDE).astype(np.float64)
            picture = _picture(_heat(small), f"heat map of {spec}")
        elif a.ndim >= 3:
            picture = _image(a, spec)
    facts = "".join(
        f'<span{_alarm(name)}><span style="opacity:.65">{name}</span> {value}</span>'
        for name, value in statistics(a)
    )
    return (
        '<div class="flowbook-view flowbook-tensor"><div style="display:flex;flex-wrap:wrap;'
        f'gap:2px 14px;font-size:12px;margin-bottom:4px"><code>{escape(spec)}</code>{facts}</div>'
        f"{picture}</div>"
    )


def _alarm(name: str) -> str:
    return ' style="color:#d02a2a;font-weight:600"' if name in ("NaN", "Inf") else ""


def _image(a: np.ndarray, spec: str) -> str:
    """The first picture of a stack: channels-last colours, else the last two axes."""
    channels = a.shape[-1]
    if channels in (1, 3) and min(a.shape[-3:-1]) >= 4:
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
    small = _shrink(first, _SIDE, _SIDE).astype(np.float64)
    return _picture(_heat(small), f"heat map of the first matrix of {spec}")
