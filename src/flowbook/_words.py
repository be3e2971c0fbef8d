"""Small words for pictures and tables: sizes, times, counts, and how wide a text is drawn."""

from __future__ import annotations

import base64
import functools

# Advance widths of a common sans-serif face in thousandths of the size; other letters count as 560.
_WIDTHS = {
    **dict.fromkeys("ijl'|", 240),
    **dict.fromkeys("ft.,:;!/\\[]()I ", 300),
    **dict.fromkeys('r-*"`', 350),
    **dict.fromkeys("sckvxyzJ", 510),
    **dict.fromkeys("mMW", 860),
    **dict.fromkeys("w@%", 760),
    **dict.fromkeys("ABCDEFGHKNOPQRSTUVXYZ+=<>~&∂×", 680),
}


@functools.lru_cache(4096)
def text_width(text: str, size: float, *, mono: bool = False, bold: bool = False) -> float:
    """Estimates how wide a text is drawn, in pixels, a little on the safe side."""
    if mono:
        return len(text) * size * 0.612
    units = sum(_WIDTHS.get(c, 560) for c in text)
    return units * size / 1000 * (1.24 if bold else 1.13)


def shorten(text: str, limit: int) -> str:
    """Cuts a text to `limit` characters, with an ellipsis in the middle."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def fitting(text: str, room: float, size: float) -> str:
    """A bold text, shortened to the room in pixels that there is for it."""
    words, limit = text, len(text)
    while limit > 4 and text_width(words, size, bold=True) > room:
        limit -= 1
        words = shorten(text, limit)
    return words


def first_words(text: str, limit: int) -> str:
    """Cuts a text to `limit` characters behind a word, with an ellipsis.

    Example:
        >>> first_words("Sequential: 9,610 parameters, 38.4 kB", 32)
        'Sequential: 9,610 parameters…'
    """
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    if not text[limit - 1].isspace():
        kept = kept.rpartition(" ")[0] or kept
    return kept.rstrip(" ,;:·-") + "…"


def human_bytes(count: float) -> str:
    """Writes a number of bytes as a person would: `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000 or unit == "GB":
            return (
                f"{count:.0f} {unit}" if unit == "B" or abs(count) >= 100 else f"{count:.3g} {unit}"
            )
        count /= 1000
    raise AssertionError


def human_time(microseconds: float) -> str:
    """Writes a duration as a person would: `1.2 ms`."""
    if microseconds < 1000:
        return f"{microseconds:.3g} µs"
    if microseconds < 1e6:
        return f"{microseconds / 1000:.3g} ms"
    return f"{microseconds / 1e6:.3g} s"


def human_count(n: int) -> str:
    """Writes a large number as a person would: `1.2M`."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= size:
            return f"{n / size:.3g}{unit}"
    return str(n)


def image(document: str) -> str:
    """An SVG document as the address of an image."""
    return "data:image/svg+xml;base64," + base64.b64encode(document.encode()).decode()
