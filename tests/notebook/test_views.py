"""Tensors and memory as HTML and text: the right picture for a shape, nothing unescaped."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flowbook._core")
from flowbook import _memory_view, _palette, _tensor_view


def png_in(html: str) -> bytes:
    found = re.search(r"data:image/png;base64,([^\"]+)", html)
    assert found
    return base64.b64decode(found[1])


def test_png_is_valid() -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    data = _tensor_view.png(pixels)
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24]) == (3, 2)
    at = data.index(b"IDAT")
    size = struct.unpack(">I", data[at - 4 : at])[0]
    rows = zlib.decompress(data[at + 4 : at + 4 + size])
    assert rows == b"\0" + pixels[0].tobytes() + b"\0" + pixels[1].tobytes()


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((), "<table"), ((3, 4), "<table"), ((300,), "svg+xml"), ((40, 50), "png"),
        ((2, 16, 16, 3), "png"), ((16, 16, 1), "png"), ((5, 6, 7), "png"), ((2, 0, 3), "<code"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "uint8", "float16"])
def test_the_picture_follows_the_shape(shape: tuple[int, ...], kind: str, dtype: str) -> None:
    a = (np.arange(int(np.prod(shape))) % 7).reshape(shape).astype(dtype)
    assert kind in _tensor_view.html(a, f"{dtype}{list(shape)}")


def test_nan_and_infinity_are_counted_and_marked() -> None:
    a = np.ones((20, 20), np.float32)
    a[3, 4], a[5, 6] = np.nan, np.inf
    facts = dict(_tensor_view.statistics(a))
    assert (facts["NaN"], facts["Inf"], facts["max"]) == ("1", "1", "1")
    assert _tensor_view.html(a, "f32[20, 20]").count(_palette.ALARMED) == 2


def test_only_nan_is_drawn() -> None:
    for shape in ((200,), (20, 20), (2, 8, 8, 3)):
        _tensor_view.html(np.full(shape, np.nan), "x")


def test_large_arrays_make_small_html() -> None:
    assert len(_tensor_view.html(np.random.default_rng(0).normal(size=(2000, 3000)), "x")) < 40_000


def snapshot(**more: Any) -> dict[str, Any]:
    rows = [
        {"id": 1, "names": ["model.w", "w"], "bytes": 8_000_000, "kind": "parameter", "cell": 4,
         "spec": "f32[2000, 1000]", "holders": []},
        {"id": 2, "names": ["Out[3]"], "bytes": 1_000_000, "kind": "tensor", "cell": 0,
         "spec": "f32[500, 500]", "holders": ["Out[3]", "_"]},
    ]  # fmt: skip
    given = {
        "device": "cpu", "live": 9_000_000, "peak": 20_000_000, "reserved": 12_000_000,
        "limit": None, "by_kind": {"parameter": 8_000_000, "tensor": 1_000_000, "gradient": 0},
        "rows": rows, "history": [(0.0, 0, 0), (2.0, 20_000_000, 20_000_000), (3.0, 9_000_000, 9_000_000)],
        "cells": [{"exec": 4, "cell": "c4", "source": "model = <big>()", "change": 8_000_000,
                   "peak": 12_000_000}],
        "held_by_notebook": 1_000_000,
    }  # fmt: skip
    return {**given, **more}


def test_memory_as_text() -> None:
    assert _memory_view.text(snapshot()) == (
        "cpu: 9 MB live, peak 20 MB, 3 MB cached\n"
        "  by kind: parameter 8 MB, tensor 1 MB\n"
        "  model.w = w      8 MB  f32[2000, 1000]    parameter  In [4]\n"
        "  Out[3]           1 MB  f32[500, 500]      tensor              "
        "held by the notebook only, as _ too\n"
        "  by cell: In [4] +8 MB (peak +12 MB)\n"
        "  1 MB held by the notebook only: %memory free outputs tracebacks"
    )


def test_memory_as_html_is_escaped() -> None:
    shot = snapshot()
    shot["rows"][0]["names"] = ["d['<script>']"]
    shot["rows"][1]["holders"] = ["<b>"]
    html = _memory_view.html(shot)
    assert "<script>" not in html
    assert "<b>" not in html.replace("<b>cpu</b>", "")
    assert "3 MB" in html


def test_memory_of_nothing() -> None:
    empty = snapshot(rows=[], cells=[], by_kind={}, live=0, reserved=0, held_by_notebook=0)
    assert _memory_view.text(empty) == "cpu: 0 B live, peak 20 MB, 0 B cached"
    _memory_view.html(empty)
