"""Finding names and lines in cells, without a kernel."""

from __future__ import annotations

import ast
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("flowbook._core")
pytest.importorskip("IPython")
from flowbook_ext import _cells, _names, _tracebacks


def read(code: str, **names: Any) -> dict[str, Any]:
    return _names.names_read(ast.parse(code), [names])


def test_names_attributes_and_items_are_found() -> None:
    w = object()
    model = SimpleNamespace(layers=[SimpleNamespace(w=w)], by={"k": w})
    found = read("y = model.layers[0].w + model.by['k'] + x", model=model, x=3)
    assert found["model.layers[0].w"] is w
    assert found["model.by['k']"] is w
    assert found["x"] == 3


def test_nothing_of_the_users_is_called() -> None:
    calls = []

    class Sly:
        @property
        def value(self) -> int:
            calls.append("property")
            return 1

        def __getitem__(self, key: Any) -> int:
            calls.append("item")
            return 1

    assert set(read("sly.value + sly[0] + f()", sly=Sly(), f=calls.append)) == {"sly", "f"}
    assert not calls


@pytest.mark.parametrize("code", ["missing", "a.missing", "a[7]", "a[0]['k']", "f(x).y"])
def test_what_is_not_there_is_left_out(code: str) -> None:
    assert code not in read(code, a=[1], f=print, x=1)


def test_stored_names_in_order_of_their_last_store() -> None:
    tree = ast.parse(
        "a = 1\nb, (c, *d) = 2, (3, 4)\na = 5\nfor i in []:\n    e = i\n"
        "def f():\n    inner = 1\nclass K: pass\nimport os.path as p, sys\nwith x as h: pass\n"
        "if (n := 3): pass\n"
    )
    assert _names.names_stored(tree) == [
        "b", "c", "d", "a", "i", "e", "f", "K", "p", "sys", "h", "n",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "first"),
    [
        ("# hi\n\n%%graph m\nx = 1\n", "%%graph m\n"),
        ("%%graph m\nx = 1\n", "%%graph m\n"),
        ("# hi\nx = 1\n%%graph m\n", "# hi\n"),
        ("# hi\n%%time\nx = 1\n", "# hi\n"),
        ("  # hi\n  %%graph m\n", "  # hi\n"),
    ],
)
def test_comments_may_stand_above_the_magic(cell: str, first: str) -> None:
    assert _cells.allow_comments_above(cell.splitlines(keepends=True))[0] == first


def test_tracebacks_lose_the_frames_of_the_library() -> None:
    import flowbook

    library = compile("def fail():\n    raise ValueError('x')", flowbook.__file__, "exec")
    names: dict[str, Any] = {}
    exec(library, names)
    outer = compile("user()", flowbook.__file__, "exec")
    user = compile("def user():\n    fail()", "cell", "exec")
    exec(user, names)
    try:
        exec(outer, names)
    except ValueError as error:
        own = error.__traceback__
        assert own is not None
        trace = _tracebacks.trim(own.tb_next)
    assert trace is not None
    assert [trace.tb_frame.f_code.co_filename, trace.tb_next] == ["cell", None]
