"""Looking into cells in a real kernel: values, NaNs, versions, stale inputs, errors, memory, help."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("flowbook._core")
from live_kernel import Notebook


@pytest.fixture(scope="module")
def book() -> Any:
    with Notebook() as notebook:
        yield notebook


def text_of(shown: Any) -> str:
    assert not shown.error, shown.error
    (drawn,) = shown.displays
    return str(drawn["text/plain"])


# ---- values -------------------------------------------------------------------------------------


def test_inspect_shows_values_and_the_first_nan(book: Notebook) -> None:
    shown = book.run("%%graph net --inspect\nh = fb.log(x - 2)\nloss = fb.sum(h * 2)")
    text = text_of(shown)
    assert re.search(r"h = log\(%2\).*<-- first NaN", text)
    assert "first NaN: h = log gave 2 NaN of 6, line 2; %2 is finite" in text
    html = shown.displays[0]["text/html"]
    assert 'alt="histogram"' in html
    assert "first NaN: h = log gave 2 NaN of 6" in html
    assert book.value("bool(np.isnan(loss.numpy()))") == "True"  # the cell ran as ever


def test_fit_names_the_cell_and_line_that_made_a_nan(book: Notebook) -> None:
    book.run(
        "class Broken(fb.nn.Module):\n"
        "    def __init__(self):\n"
        "        self.scale = fb.Variable(np.ones((), np.float32))\n"
        "    def forward(self, x):\n"
        "        return fb.log(x * self.scale)"
    )
    here = book.book.cells[-1].execution_count
    book.run(
        "run = fb.fit(Broken(), [(np.float32([[1.0, -1.0]]), np.float32([[0.0, 0.0]]))],"
        " fb.losses.mean_squared_error, on_nan='stop', wait=False)\nrun.wait()"
    )
    text = book.value("run.history.marks[0].text")
    assert "first NaN: log gave 1 NaN of 2 in Broken" in text
    assert f"In [{here}], line 5 `return fb.log(x * self.scale)`" in text


def test_inspect_advances_variables_once(book: Notebook) -> None:
    book.run("v.assign(np.ones(4, np.float32))")
    text_of(book.run("%%graph net --inspect\nv.assign(v + 1)\nq = v * 2"))
    assert book.value("v.numpy().tolist()") == "[2.0, 2.0, 2.0, 2.0]"
    book.run("found = net.inspect()")
    assert book.value("v.numpy().tolist(), found['q'].min") == "([2.0, 2.0, 2.0, 2.0], 6.0)"


def test_profile_and_inspect_together(book: Notebook) -> None:
    shown = book.run("%%graph net --inspect --profile\ny = fb.sum(fb.tanh(x @ w) * 2 + 1)")
    assert not shown.error, shown.error
    drawn, listed = shown.displays
    assert "time</th>" in drawn["text/html"]
    assert "values</th>" in drawn["text/html"]
    assert "optimised: " in drawn["text/plain"]
    assert "flowbook-kind-profile" in listed["text/html"]


def test_a_profile_shows_itself(book: Notebook) -> None:
    book.run("%%graph net --no-view\ny = fb.sum(fb.tanh(x @ w) * 2 + 1)")
    assert book.value("fb.profile(net, runs=3)").startswith("net: ")


# ---- versions -----------------------------------------------------------------------------------


def test_a_changed_cell_says_what_changed(book: Notebook) -> None:
    book.run("%%graph versions\nh = x @ w\ny = fb.sum(h)")
    text = text_of(book.run("%%graph versions\nh = x @ w\nh2 = fb.tanh(h)\ny = fb.sum(h2)"))
    assert "since the last version: 1 added, 1 changed" in text
    assert "+ h2 = tanh : f32[2, 4]" in text
    assert "~ y = sum : f32[]   was sum(h" in text
    again = text_of(book.run("%%graph versions\nh = x @ w\nh2 = fb.tanh(h)\ny = fb.sum(h2)"))
    assert "since the last version" not in again


def test_the_status_says_why_it_was_compiled_again(book: Notebook) -> None:
    book.run("x2 = x")
    book.run("%%graph why\ny = fb.sum(x2 * 2)")
    book.run("x2 = fb.ones((5, 3))")
    book.run("%%graph why\ny = fb.sum(x2 * 2)")
    assert book.value("why.stats['recompiled']") == ("'x2 changed from f32[2, 3] to f32[5, 3]'")
    book.run("%%graph why\ny = fb.sum(x2 * 3)")
    assert "the cell has changed, " in book.value("why.stats['recompiled']")


def test_another_graph_under_the_name_is_not_compared(book: Notebook) -> None:
    book.run("%%graph other\ny = fb.sum(x)")
    text = text_of(
        book.run("%%graph other\nh = fb.exp(v)\nq = fb.mean(h * 2 + 1)\nr = fb.max(q - h)")
    )
    assert "since the last version" not in text


def test_inputs_that_are_bound_anew_make_it_stale(book: Notebook) -> None:
    book.run("x3, scale, model = x, 2.0, fb.nn.Dense(3)")
    book.run("model(x)")
    book.run("%%graph fresh\nx4 = model(x3) * scale\nx3b = x3 + len(list(model.parameters()))")
    assert book.value("fresh.stale") == "{}"
    book.run("unrelated = 1\nv.assign(v * 2)")
    assert book.value("fresh.stale") == "{}"
    book.run("x3 = x3 + 1")
    book.run("scale = 3.0")
    assert re.fullmatch(r"\['scale', 'x3'\]", book.value("sorted(fresh.stale)"))
    assert re.search(r"stale: .*x3 \(since In \[\d+\]\).* are bound", book.run("fresh").result)
    book.run("scale = 2.0")
    assert "scale" not in book.value("fresh.stale")
    book.run("del x3")
    assert "x3" in book.value("fresh.stale")
    assert "model" not in book.value("fresh.stale")  # its bound method is another object each time
    book.run("model = fb.nn.Dense(3)")
    assert "model.parameters" in book.value("fresh.stale")


# ---- errors -------------------------------------------------------------------------------------

ERRORS = {
    "if on a symbol": (
        "h = x @ w\nif fb.sum(h) > 1:\n    h = h * 2",
        "GraphError", "----> 3 if fb.sum(h) > 1:", r"greater\(%3, %4\) : bool\[\]   <-- failed here",
        "fb.where(condition, a, b)",
    ),
    "variable of a symbol": (
        "h = x @ w\nv = fb.Variable(h, name='v')",
        "GraphError", "----> 3 v = fb.Variable", r"\? = Variable\(.*<-- failed here",
        "Create Variables before the graph",
    ),
    "numpy call": (
        "y = np.asarray(x @ w)",
        "GraphError", "----> 2 y = np.asarray", r"matmul\(x, w\).*<-- failed here", "Return it from",
    ),
    "in-place assignment": (
        "h = x @ w\nh[0] = 1.0",
        "TypeError", "----> 3 h[0] = 1.0", r"h = matmul\(x, w\)", "x.at[index].set(value)",
    ),
    "wrong dtype": (
        "h = x @ w\ny = h & 3",
        "DTypeError", "----> 3 y = h & 3", r"bitwise_and\(h, ?\S*\).*<-- failed here|bitwise_and\(h",
        "h is f32[2, 4]",
    ),
    "nested functions": (
        "def inner(a):\n    return a @ a\n\ny = inner(x + 1)",
        "ShapeError", "----> 3     return a @ a", r"matmul\(%2, %2\).*<-- failed here",
        "a is f32[2, 3]",
    ),
    "gradient of no scalar": (
        "h = x @ w\ng = fb.gradients(h, w)",
        "GradientError", "----> 3 g = fb.gradients(h, w)", r"gradients\(h, w\).*<-- failed here",
        "h is f32[2, 4], not a scalar",
    ),
    "gradient of integers": (
        "i = fb.asarray(np.array([1, 2]))\nh = fb.sum(x)\ng = fb.gradients(h, i)",
        "GradientError", "----> 4 g = fb.gradients(h, i)", r"gradients\(h, i\).*<-- failed here",
        "i is i64[2]. Only floating",
    ),
    "captures that were not met": (
        "y = fb.concat([x, w])",
        "ShapeError", "----> 2 y = fb.concat", r"concat\(x, w\).*<-- failed here", "w: f32[3, 4]",
    ),
    "at run time": (
        "def deep(z):\n    return fb.take(z, fb.asarray(np.array([0, 9])), axis=0)\nq = deep(x + 1)",
        "IndexOutOfRange", "----> 3     return fb.take", r"q = take\(%2.*<-- failed here", "index 9",
    ),
    "layers": (
        "y = fb.nn.Dense(2, inputs=5)(x)",
        "ShapeError", "----> 2 y = fb.nn.Dense", r"", "Give it [..., 5]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors_show_line_message_and_partial_graph(book: Notebook, case: str) -> None:
    body, kind, line, drawn, words = ERRORS[case]
    shown = book.run(f"%%graph net\n{body}")
    assert shown.kind == kind, shown.error
    assert line in shown.error
    assert "site-packages" not in shown.error
    assert "src/flowbook" not in shown.error
    text = "\n".join(d["text/plain"] for d in shown.displays)
    assert words in shown.error + text
    if drawn:
        assert len(shown.displays) == 1
        assert re.search(drawn, text), text


def test_errors_of_fed_graphs_draw_the_failing_node(book: Notebook) -> None:
    book.run("%%graph net --no-view\ny = fb.sum(x @ w)")
    shown = book.run("net(x=np.zeros((2, 5), np.float32))")
    assert shown.kind == "ShapeError"
    assert "was traced with other shapes" in shown.error
    assert "x is f32[2, 5], w is f32[3, 4] (5 != 3) (In [" in shown.error  # not matmul's `y`
    assert "_graph.py" not in shown.error
    assert re.search(r"matmul\(x, w\).*<-- failed here", text_of_failed(shown))
    assert "Cast it: fb.asarray(..., fb.float32)" in book.run("net(x=np.zeros((2, 3)))").error
    assert "has no input `z`. It has x, w" in book.run("net(z=1)").error


# Cells without %%graph -> the traceback's line, words of the message, and the failing node.
EAGER = {
    "shape": (
        "u, v = fb.ones((2, 2)), fb.ones((3, 2))\nproduct = u @ v",
        "----> 2 product = u @ v", r"u is f32\[2, 2\], v is f32\[3, 2\] \(2 != 3\)",
        r"u: f32\[2, 2\] \(capture\)\s+v: f32\[3, 2\].*\? = matmul\(u, v\) : \?   <-- failed here",
    ),
    "dtype": (
        "masks = fb.ones(3)\nfb.bitwise_and(masks, masks)",
        "----> 2 fb.bitwise_and(masks, masks)", r"masks is f32\[3\]",
        r"\? = bitwise_and\(masks, masks\).*<-- failed here",
    ),
    "not a scalar": (
        "with fb.tape() as t:\n    h = x @ w\n    out = fb.nn.relu(h)\ng = t.gradients(out, w)",
        "----> 4 g = t.gradients(out, w)", "out is f32.*not a scalar",
        r"relu\(.*\? = gradients\(.*<-- failed here",
    ),
    "not differentiable": (
        "def f(v):\n    return fb.argmax(x @ v, axis=1)\nfb.grad(f)(w)",
        "----> 3 fb.grad(f)(w)", "f returned i64.*Only floating tensors have gradients",
        r"argmax\(.*\? = gradients\(.*<-- failed here",
    ),
    "an array": (
        "rows = fb.ones((2, 4))\nmore = np.ones(3)\nrows + more",
        "----> 3 rows + more", r"rows.* with more: f64\[3\]",
        r"rows: f32.*more: f64\[3\] \(capture\).*add\(rows, more\).*<-- failed here",
    ),
    "no names": (
        "fb.ones((2, 2)) @ fb.ones((3, 2))",
        "----> 1 fb.ones", r"f32\[3, 2\]",
        r"input 0: f32\[2, 2\].*input 1: f32\[3, 2\].*matmul\(input 0, input 1\)",
    ),
    "numbers": (
        "with fb.tape() as t:\n    h = x * 2.5\nt.gradients(h, x)",
        "----> 3 t.grad", "h is f32.*not a scalar", r" 2\.5: f32\[\] .*multiply\(x, 2\.5\)",
    ),
    "an argument": (
        "fb.grad(lambda weights: fb.argmax(weights))(w)",
        "----> 1 fb.grad", "<lambda> returned i64",
        r"weights: f32\[3, 4\].*argmax\(weights\).*gradients\(%1, weights\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EAGER)
def test_errors_of_eager_ops_draw_what_failed(book: Notebook, case: str) -> None:
    body, line, words, drawn = EAGER[case]
    shown = book.run(body)
    assert line in shown.error
    assert re.search(words, shown.error), shown.error
    (text,) = [d["text/plain"] for d in shown.displays]
    assert re.search(drawn, text, re.DOTALL), text


def test_an_error_that_was_caught_draws_nothing(book: Notebook) -> None:
    book.run("try:\n    fb.ones((2, 2)) @ fb.ones((3, 2))\nexcept fb.ShapeError:\n    pass")
    shown = book.run("raise fb.ShapeError('mine: no op was asked.')")
    assert shown.kind == "ShapeError"
    assert not shown.displays
    assert not book.run("fb.grad(fb.ones(2))").displays
    assert "fb.gradients(y, xs)" in book.run("fb.grad(fb.ones(2))").error


def text_of_failed(shown: Any) -> str:
    (drawn,) = shown.displays
    return str(drawn["text/plain"])


def test_errors_in_fit_show_the_step_and_no_frames_of_the_library(book: Notebook) -> None:
    book.run("m = fb.nn.Sequential(fb.nn.Dense(4), fb.nn.Dense(2))")
    shown = book.run(
        "data = np.ones((8, 3), np.float32), np.ones((8, 3), np.float32)\n"
        "fb.fit(m, data, fb.losses.mean_squared_error, progress=False)"
    )
    assert shown.kind == "ShapeError"
    assert "----> 2 fb.fit(m, data" in shown.error
    assert "_fit.py" not in shown.error
    drawn = text_of_failed(shown)
    assert re.search(r"mean_squared_error\(.*target.*<-- failed here", drawn)
    assert "inputs: f32[8, 3] (input)" in drawn


def test_errors_in_compiled_functions_know_the_users_names(book: Notebook) -> None:
    book.run("net = fb.nn.Sequential(fb.nn.Dense(4, inputs=3), fb.nn.Dense(2, inputs=7))")
    book.run("@fb.graph\ndef forward(batch):\n    return net(batch)")
    drawn = text_of_failed(book.run("forward(fb.ones((5, 3)))"))
    assert "net.layers[0].weight: f32[3, 4] (variable)" in drawn
    failed = re.search(r"= Dense\((%\d+)\) : \?   <-- failed here", drawn)
    assert failed is not None
    assert f"{failed[1]} = add(" in drawn  # it hangs at what it was given
    book.run("del net, forward")


def test_xmode_verbose_shows_all_frames(book: Notebook) -> None:
    book.run("%xmode Verbose")
    try:
        assert "flowbook" in book.run("fb.fit(3, 4, 5)").error
    finally:
        book.run("%xmode Context")
    assert "src/flowbook" not in book.run("fb.fit(3, 4, 5)").error


def test_a_comparison_lists_what_is_new_and_gone_only(book: Notebook) -> None:
    """Small ones, too: the largest come first, and old ones took all the places."""
    book.run("old = [fb.ones(1000 + i) for i in range(60)]")
    book.run("%memory diff")
    book.run("tiny = fb.ones(3)\ndel old[0]")
    text = book.value("%memory diff")
    assert re.search(r"^  tiny +12 B .*new$", text, re.MULTILINE), text
    assert "gone: old[0]" in text
    assert re.search(r"^  \d+ as before, ", text, re.MULTILINE)
    assert "old[1]" not in text
    assert not re.search(r"\bnew\b", book.value("%memory diff"))
    book.run("del old, tiny")


def test_a_failed_run_of_a_graph_leaves_nothing_alive(book: Notebook) -> None:
    book.run("import gc\ngc.collect()\nbefore = fb.memory.stats().live")
    book.run("%%graph net\nlarge = fb.ones((512, 1024)) + x[0, 0]\nbad = large @ large")
    book.run("%memory free tracebacks")
    assert int(book.value("fb.memory.stats().live - before")) < 200_000


# ---- memory -------------------------------------------------------------------------------------


def test_books_of_cells(book: Notebook) -> None:
    book.run("kept = fb.ones((256, 1024))\npassing = fb.ones((1024, 1024))\ndel passing")
    n = int(book.value("get_ipython().execution_count")) - 2
    text = book.value("%memory")
    assert re.search(rf"In \[{n}\] \+1\.05 MB \(peak \+5\.2\d? MB\)", text), text
    book.run("del kept")
    assert re.search(r"In \[\d+\] -1\.05 MB", book.value("%memory"))


def test_free_a_name_and_say_who_still_holds_it(book: Notebook) -> None:
    book.run("first = fb.ones((256, 1024))\nfirst")
    assert "freed 1.05 MB" in book.run("%memory free first").stdout
    assert book.value("'first' in globals()") == "False"
    book.run("first = fb.ones((256, 1024))\nbox = {'k': first}")
    out = book.run("%memory free first").stdout
    assert "freed 0 B" in out
    assert "still held by box['k']" in out
    book.run("del box")


def test_diff_lists_what_is_gone(book: Notebook) -> None:
    book.run("old = fb.ones((256, 1024))")
    book.run("%memory")
    book.run("del old\nnew = fb.ones((128, 1024))")
    text = book.value("%memory diff")
    assert re.search(r"new .* new$", text, re.M)
    assert "gone: old  1.05 MB  f32[256, 1024]" in text
    book.run("del new")


def test_the_limit_is_set_and_shown(book: Notebook) -> None:
    assert book.run("%memory limit 1.5 GB").stdout == "limit 1.5 GB\n"
    assert book.value("fb.memory.limit()") == "1500000000"
    assert book.run("%memory limit none").stdout == "no limit\n"
    assert "is no size" in book.run("%memory limit lots").stderr


def test_a_limit_below_what_is_used_says_so(book: Notebook) -> None:
    book.run("used = fb.ones((100, 100))")
    assert "are in use already: nothing more can be made" in book.run("%memory limit 12").stdout
    book.run("%memory limit none\ndel used")


def test_the_first_diff_says_that_it_is_the_first() -> None:
    with Notebook() as book:
        assert "this is the first look" in book.run("%memory diff").stdout
        assert book.run("%memory diff").stdout == ""


def test_only_the_users_frames_hold_memory(book: Notebook) -> None:
    book.run("def fails():\n    inner = fb.ones((64, 1024))\n    return inner @ inner")
    book.run("fb.ones((3, 1024))")
    book.run("fails()")
    text = book.value("%memory")
    assert "traceback (fails: inner)" in text
    assert "run_code" not in text
    book.run("%memory free\ndel fails")


def test_out_of_memory_tells_holders_plan_and_batch(book: Notebook) -> None:
    book.run(
        "d = fb.nn.Dense(2048, activation=fb.tanh)\nd(fb.ones((1, 8)))\n"
        "f = fb.graph(lambda t: fb.sum(fb.cumulative_sum(d(t), axis=1)))\n"
        "rows = fb.ones((8192, 8))\nholder = fb.ones((1024, 1024))"
    )
    book.run("fb.memory.free_cached()\nfb.memory.set_limit(fb.memory.stats().live + 40_000_000)")
    shown = book.run("f(rows)")
    book.run("fb.memory.set_limit(None)\ndel holder")
    assert shown.kind == "OutOfMemoryError"
    assert re.search(r"The plan needs \d+ MB beside its inputs; 40 MB are free", shown.error)
    assert re.search(r"A batch of [\d,]+ instead of 8,192 would fit", shown.error)
    assert "holder: f32[1024, 1024]" in shown.error
    assert any("by kind" in d["text/plain"] for d in shown.displays)


def test_out_of_memory_tells_what_the_notebook_alone_holds(book: Notebook) -> None:
    book.run("%memory free")
    book.run("shown = fb.ones((512, 1024))\nshown")
    n = book.book.cells[-1].execution_count
    book.run("del shown")
    book.run("fb.memory.free_cached()\nfb.memory.set_limit(fb.memory.stats().live + 1_000_000);")
    failed = book.run("more = fb.ones((700, 1024))")
    assert failed.kind == "OutOfMemoryError"
    assert re.search(
        rf"2\.1 MB  Out\[{n}\].*: f32\[512, 1024\]  \(held by the notebook only\)", failed.error
    )
    advice = "are held by the notebook only: `%memory free outputs tracebacks` gives them back."
    assert re.search(rf"2\.1 MB {re.escape(advice)}", failed.error), failed.error
    book.run("%memory free outputs tracebacks")  # and so it does
    assert not book.run("more = fb.ones((700, 1024))\nfb.memory.set_limit(None)\ndel more").error
    book.run("fb.memory.set_limit(None)")


def test_hostile_names_stay_text(book: Notebook) -> None:
    book.run("evil = {'<img src=x onerror=alert(1)>': fb.ones((256, 1024))}")
    shown = book.run("from IPython.display import display\ndisplay(fb.memory.snapshot())")
    html = shown.displays[0]["text/html"]
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror" in html
    book.run("del evil")


# ---- magics -------------------------------------------------------------------------------------


def completions(book: Notebook, text: str) -> list[str]:
    shown = book.run(
        "from IPython.core.completer import provisionalcompleter\n"
        "with provisionalcompleter():\n"
        f"    print([c.text for c in get_ipython().Completer.completions({text!r}, {len(text)})])"
    )
    found: list[str] = __import__("ast").literal_eval(shown.stdout)
    return found


def test_values_complete(book: Notebook) -> None:
    book.run("%%graph completed --no-view\ny = x + 1")
    assert completions(book, "%%graph --device ") == ["cpu"]
    assert "completed" in completions(book, "%graph comp")
    assert {"show", "diff", "free", "limit", "live"} <= set(completions(book, "%memory "))
    offered = completions(book, "%memory free ")
    assert {"outputs", "tracebacks", "caches", "all", "x", "w"} <= set(offered)
    assert completions(book, "%memory limit ") == ["auto", "none"]
    assert completions(book, "%device ") == ["cpu"]
    assert "--inspect" in completions(book, "%%graph net --")
    assert set(completions(book, "%runs ")) == {"list", "show", "compare", "delete"}
    assert completions(book, "%%graph net --ins") == ["--inspect"]


@pytest.mark.parametrize("magic", ["%%graph", "%memory", "%device", "%runs", "%flowbook"])
def test_each_magic_has_help(book: Notebook, magic: str) -> None:
    name = magic.lstrip("%")
    kind = "cell" if magic.startswith("%%") else "line"
    doc = book.run(f"print(get_ipython().find_{kind}_magic({name!r}).__doc__)").stdout
    assert f"%{name}" in doc.replace("%%", "%")
    assert len(doc.strip().splitlines()) >= 3


def test_unloading_leaves_nothing_behind() -> None:
    with Notebook() as book:
        book.run("ip = get_ipython()")
        before = "len(ip.input_transformers_cleanup), len(ip.Completer.custom_matchers)"
        loaded = book.value(before)
        book.run("%%graph net\ny = x + 1")
        book.run("%unload_ext flowbook")
        assert book.value(before) != loaded
        left = book.value(
            "[n for n in vars(get_ipython()) if 'flowbook' in n],"
            "hasattr(fb.FlowbookError, '_render_traceback_'),"
            "[m for kind in get_ipython().magics_manager.magics.values() for m in kind"
            " if m in ('graph', 'memory', 'device', 'runs', 'flowbook')],"
            "__import__('flowbook')._holders.roots_of_notebook,"
            "[f for fs in get_ipython().events.callbacks.values() for f in fs"
            " if 'flowbook' in getattr(f, '__module__', '')]"
        )
        assert re.sub(r"\s+", " ", left) == "([], False, [], None, [])"
        assert "ShapeError" in book.run("x @ x").error  # and errors are shown as ever
        book.run("%load_ext flowbook")
        assert book.value(before) == loaded


@pytest.mark.parametrize(
    "code", ["model.fit(x)", "fb.softmax(x)", "x.backward()", "fb.nn.Linear(3)"]
)
def test_a_missing_name_shows_the_users_frame_alone(book: Notebook, code: str) -> None:
    book.run("model = fb.nn.Sequential(fb.nn.Dense(2))")
    shown = book.run(f"a = 1\n{code}")
    assert shown.kind == "AttributeError"
    assert f"----> 2 {code}" in shown.error
    assert "_hints.py" not in shown.error
    assert "fb." in shown.error.rpartition("has no attribute")[2]
