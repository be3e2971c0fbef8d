"""The magics in a real kernel: what they bind, show and refuse; errors point at the cell."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

pytest.importorskip("flowbook._core")
from live_kernel import Notebook


@pytest.fixture(scope="module")
def book() -> Any:
    with Notebook() as notebook:
        yield notebook


def test_names_become_eager_tensors_and_the_graph_is_drawn(book: Notebook) -> None:
    shown = book.run("%%graph net\ny = fb.nn.relu(x @ w + b)\nloss = fb.sum(y)")
    assert not shown.error, shown.error
    (drawn,) = shown.displays
    assert drawn["text/plain"].startswith("net: ")
    assert "y = relu(" in drawn["text/plain"]
    assert "x: f32[2, 3]" in drawn["text/plain"]
    assert '<img src="data:image/svg+xml;base64,' in drawn["text/html"]
    assert "application/vnd.jupyter.widget-view+json" not in drawn
    assert book.value("float(loss)") == "72.0"
    assert book.value("y.symbolic, y.shape") == "(False, (2, 4))"
    assert book.value("type(net).__name__") == "'Graph'"


def test_the_graph_can_be_called_with_other_inputs(book: Notebook) -> None:
    book.run("%%graph net\ny = x @ w\nloss = fb.sum(y)")
    assert book.value("float(net(x=np.zeros((5, 3), np.float32)).loss)") == "0.0"
    assert book.value("float(net().loss)") == "60.0"


def test_the_last_expression_is_shown(book: Notebook) -> None:
    shown = book.run("%%graph\ny = x + 1\ny + y")
    assert "2" in shown.result
    assert not book.run("%%graph\ny = x + 1\ny;").result


def test_containers_of_symbols_become_eager(book: Notebook) -> None:
    shown = book.run(
        "%%graph\n"
        "from collections import namedtuple\n"
        "Pair = namedtuple('Pair', 'left right')\n"
        "parts = {'a': [x + 1, (x * 2,)], 'p': Pair(x, 3)}\n"
        "count = 5"
    )
    assert not shown.error, shown.error
    assert (
        book.value("parts['a'][1][0].symbolic, parts['p'].left.shape, count")
        == "(False, (2, 3), 5)"
    )
    assert book.value("float(parts['p'].right), type(parts['p']).__name__") == "(3.0, 'Pair')"


def test_a_failing_cell_binds_nothing_and_shows_the_partial_graph(book: Notebook) -> None:
    book.run("h = 7\nz = 'before'")
    shown = book.run("%%graph net\nh = fb.nn.relu(x @ w)\nz = h @ w\nnew = 1")
    assert shown.kind == "ShapeError"
    assert "----> 3 z = h @ w" in shown.error
    assert "%%graph net" in shown.error
    assert "flowbook_ext" not in shown.error
    assert "run_cell_magic" not in shown.error
    (drawn,) = shown.displays
    assert "<-- failed here" in drawn["text/plain"]
    assert "line 3: z = h @ w" in drawn["text/plain"]
    assert "h: f32[2, 4]" in drawn["text/plain"]
    assert "w: f32[3, 4]" in drawn["text/plain"]
    assert book.value("h, z, 'new' in globals()") == "(7, 'before', False)"


def test_variables_keep_their_values_when_a_cell_fails(book: Notebook) -> None:
    book.run("v.assign(np.ones(4, np.float32))")
    shown = book.run("%%graph\nv.assign(v + 1)\n1 / 0")
    assert shown.kind == "ZeroDivisionError"
    assert "----> 3 1 / 0" in shown.error
    assert book.value("v.numpy().tolist()") == "[1.0, 1.0, 1.0, 1.0]"


def test_assignments_advance_once(book: Notebook) -> None:
    book.run("v.assign(np.ones(4, np.float32))")
    shown = book.run("%%graph\nv.assign(v + 1)\ntwice = v * 2")
    assert not shown.error, shown.error
    assert book.value("v.numpy().tolist(), twice.numpy().tolist()") == (
        "([2.0, 2.0, 2.0, 2.0], [4.0, 4.0, 4.0, 4.0])"
    )


def test_no_run_compiles_and_advances_nothing(book: Notebook) -> None:
    book.run("v.assign(np.ones(4, np.float32))\nq = None")
    shown = book.run("%%graph later --no-run\nv.assign(v + 1)\nq = v * 2\ndef f(): return 4")
    assert not shown.error, shown.error
    assert len(shown.displays) == 1
    assert book.value("v.numpy().tolist(), q, f()") == "([1.0, 1.0, 1.0, 1.0], None, 4)"
    assert book.value("type(later).__name__") == "'Graph'"


def test_no_view_draws_nothing(book: Notebook) -> None:
    assert not book.run("%%graph --no-view\ny = x + 1").displays


def test_profile_adds_times(book: Notebook) -> None:
    shown = book.run("%%graph timed --profile\ny = fb.sum(x @ w)")
    assert not shown.error, shown.error
    drawn, listed = shown.displays
    assert "<th>time</th>" in drawn["text/html"]
    assert "flowbook-kind-profile" in listed["text/html"]  # the table and the timeline, once
    found = re.match(
        r"timed: (\S+) (\S+) a run, median of 10 runs, (\d+) steps", listed["text/plain"]
    )
    assert found, listed["text/plain"]
    (picture,) = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", drawn["text/html"])
    assert f"run {found[1]} {found[2]}" in base64.b64decode(picture).decode()


def test_profile_is_listed_without_a_view_too(book: Notebook) -> None:
    (listed,) = book.run("%%graph --profile --no-view\ny = fb.sum(x @ w)").displays
    assert "flowbook-kind-profile" in listed["text/html"]


def test_lines_are_right_below_comments(book: Notebook) -> None:
    shown = book.run("# a word first\n\n# and another\n%%graph\ny = x + 1\n1 / 0")
    assert "----> 6 1 / 0" in shown.error


def test_lines_are_right_inside_functions_of_the_cell(book: Notebook) -> None:
    shown = book.run("%%graph\ndef f(a):\n    return a @ a\n\ny = f(x)")
    assert shown.kind == "ShapeError"
    assert "----> 5 y = f(x)" in shown.error
    assert "----> 3     return a @ a" in shown.error or "3     return a @ a" in shown.error


def test_syntax_errors_point_at_the_cell(book: Notebook) -> None:
    shown = book.run("%%graph\na = = 2")
    assert shown.kind == "SyntaxError"
    assert "line 2" in shown.error
    assert "a = = 2" in shown.error
    assert "ast.py" not in shown.error


def test_functions_of_the_cell_have_their_source(book: Notebook) -> None:
    book.run("%%graph\ndef twice(u):\n    # doubles\n    return u * 2\n\ny = twice(x)")
    shown = book.run("import inspect\nprint(inspect.getsource(twice))")
    assert "# doubles" in shown.stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%%graph --bogus\ny = x", "%graph has no option '--bogus'; there are --"),
        ("%%graph --porfile\ny = x", "%graph has no option '--porfile'. Did you mean '--profile'?"),
        ("%memory --help", "%memory? shows the help."),
        ("%flowbook now", "%flowbook takes no 'now'."),
        ("%flowbook --now", "%flowbook has no option '--now'."),
        ("%%graph 1x\ny = x", "'1x' can't name a graph"),
        ("%%graph class\ny = x", "'class' can't name a graph"),
        ("%%graph n --shapes x\ny = x", "should read NAME=DIMS"),
        ("%%graph 'n\ny = x", "No closing quotation"),
        ("%graph nothing_here", "There is no graph 'nothing_here'"),
        ("%graph", "needs the name of a graph"),
        ("%memory bogus", "%memory has no action 'bogus'; there are show, diff, free"),
        ("%memory fre", "%memory has no action 'fre'. Did you mean 'free'?"),
        ("%memory --devise cpu", "%memory has no option '--devise'. Did you mean '--device'?"),
        ("%memory limit 5QB", "%memory limit: '5QB' is no size."),
        ("%runs sow 1", "there is no action or run 'sow'. Did you mean 'show'?"),
        ("%%graph n --shapes nope=batch\ny = x", "--shapes: there is no variable `nope`"),
        ("%%graph n --shapes x='batch 4'\ny = x", "--shapes: x has shape (2, 3), which is not"),
        ("%memory free lunch", "'lunch' is no variable and none of"),
        ("%device warp9", "warp9"),
    ],
)
def test_usage_errors_are_plain_words(book: Notebook, line: str, words: str) -> None:
    shown = book.run(line)
    text = shown.stderr + shown.error
    assert words in text
    assert "Traceback" not in text


def test_a_graph_is_shown_again(book: Notebook) -> None:
    book.run("%%graph again --no-view\ny = x + 1")
    (drawn,) = book.run("%graph again").displays
    assert drawn["text/plain"].startswith("again: ")


def test_a_graph_shows_itself(book: Notebook) -> None:
    book.run("%%graph again --no-view\ny = x + 1")
    assert book.run("again").result.startswith("again: ")


def test_gradients_are_drawn_beside_their_forward_ops(book: Notebook) -> None:
    shown = book.run(
        "%%graph net\nloss = fb.sum(fb.nn.relu(x @ w) * v)\ngrads = fb.gradients(loss, [w, v])"
    )
    assert not shown.error, shown.error
    assert "grads[0]" in shown.displays[0]["text/plain"]
    assert book.value("[g.shape for g in grads]") == "[(3, 4), (4,)]"


def test_arguments_complete(book: Notebook) -> None:
    shown = book.run(
        "from IPython.core.completer import provisionalcompleter\n"
        "with provisionalcompleter():\n"
        "    for text in ('%%graph --d', '%%graph net --no', '%memory fr'):\n"
        "        print([c.text for c in get_ipython().Completer.completions(text, len(text))])"
    )
    assert shown.stdout.splitlines() == ["['--device']", "['--no-run', '--no-view']", "['free']"]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("%runs show 1 ", []),
        ("%runs show no_such_", []),
        ("%runs list ", []),
        ("%runs delete x", []),
        ("%device cpu ", []),
        ("%device x", []),
        ("%flowbook ", []),
        ("%flowbook -", []),
        ("%memory free no_such_", []),
        ("%memory diff ", ["--device"]),
        ("%memory -", ["--device"]),
        ("%%graph --no-r", ["--no-run"]),
    ],
)
def test_completion_offers_nothing_that_does_not_fit(
    book: Notebook, text: str, offered: list[str]
) -> None:
    """Where a magic has no more words, IPython filled in files, modules and other magics."""
    shown = book.run(
        "from IPython.core.completer import provisionalcompleter\n"
        "with provisionalcompleter():\n"
        f"    found = list(get_ipython().Completer.completions({text!r}, {len(text)}))\n"
        f"print([{text!r}[:c.start] + c.text for c in found])"
    )
    begin = text[: text.rindex(" ") + 1]
    assert shown.stdout.strip() == str([begin + word for word in offered])


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        ("%%graph", ["Record a cell as a dataflow graph", "--no-run", "--shapes NAME=DIMS"]),
        ("%memory", ["Show memory by kind, variable and cell", "`diff`", "--device"]),
        ("%device", ["List the devices, or choose", "Device for the tensors"]),
        ("%runs", ["List the training runs", "`delete RUN ...`"]),
        ("%flowbook", ["versions"]),
    ],
)
def test_help_tells_the_arguments(book: Notebook, magic: str, words: list[str]) -> None:
    """`%memory?` as a user types it: through IPython's inspector."""
    shown = book.run(
        f"get_ipython().run_line_magic('pinfo', {magic!r})\n"
        f"print(get_ipython().object_inspect_text({magic!r}))"
    )
    assert not shown.error, shown.error
    assert "not found" not in shown.stdout + shown.stderr
    assert [word for word in words if word not in shown.stdout] == []


def test_devices_are_listed_and_chosen(book: Notebook) -> None:
    assert book.value("%device") == '[device("cpu")]'
    assert book.value("%device cpu") == 'device("cpu")'
    assert book.value("fb.zeros(2).device") == 'device("cpu")'
    refused = book.run("%device warp9")
    text = refused.stderr + refused.error
    assert "warp9" in text
    assert "cpu" in text  # those there are
    assert "Traceback" not in text


def test_a_chosen_device_is_where_tensors_are_put() -> None:
    """In a kernel of its own: a device stays as long as the process does."""
    with Notebook() as book:
        book.run(
            "import pathlib\nfrom flowbook import _core\n"
            "lib = pathlib.Path(_core.__file__).resolve().parent / 'lib'\n"
            "_core.load_plugin(str(next(lib.glob('*null*'))))"
        )
        assert book.value("%device") == '[device("cpu"), device("null")]'
        book.run("%device null")
        assert book.value("there = fb.zeros((256, 1024)); there.device") == 'device("null")'
        text = book.value("%memory --device null")
        assert text.startswith("null: 1.05 MB live, peak 1.05 MB")
        assert re.search(r"there +1\.05 MB +f32\[256, 1024\]", text)
        book.run("view = %memory live --device null\nhost = fb.ones((512, 1024), device='cpu')")
        assert "by cell" not in text + book.value("view")
        book.run("more = fb.zeros((512, 1024))\ndel host\nview.tick()")
        last = "view.snapshot['live'], view.snapshot['history'][-1][1]"
        assert book.value(last) == "(3145728, 3145728)"
        kept = book.value(
            "view.free('caches'); fb.memory.stats().reserved - fb.memory.stats().live"
        )
        assert int(kept) >= 2 << 20  # the CPU's cache is not this view's to free
        assert "keeps its own peak" in book.run("%memory reset --device null").stderr
        book.run("%device cpu")
        assert book.value("fb.zeros(2).device") == 'device("cpu")'


TRAINED = """\
data = fb.ones((32, 3)), fb.ones((32, 2))
for label in ("slow", "fast"):
    fb.fit(fb.nn.Dense(2), data, fb.losses.mean_squared_error, epochs=3, batch_size=8,
           label=label, progress=False)"""


def test_runs_outlive_their_kernel() -> None:
    with Notebook() as book:
        assert not (shown := book.run(TRAINED)).error, shown.error
    with Notebook() as book:
        listed = book.value("%runs")
        assert "slow" in listed
        assert "fast" in listed
        one = book.value("%runs show slow")
        assert one.startswith("slow: finished, 3 epochs, 12 steps"), one
        assert "fast" not in one
        both = book.value("%runs compare slow fast")
        assert re.search(r"^slow: finished", both, re.M)
        assert re.search(r"^fast: finished", both, re.M)
        book.run("found = %runs compare slow fast")
        html = book.run("print(found._repr_html_())").stdout
        pictures = re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", html)
        for picture in [base64.b64decode(p).decode() for p in pictures]:
            legend = re.findall(r'class="s\d+ l">(\w+)</text>', picture)
            assert sorted(legend) == ["fast", "slow"]
            lines = re.findall(r'<path d="M[\d. ]+(?:L[\d. ]+){2}[^"]*" class="s(\d+)"', picture)
            assert lines == ["0", "1"], picture
        assert pictures
        gone = book.run("%runs delete slow")
        assert gone.stdout.startswith("deleted "), gone.stdout + gone.stderr
        assert "slow" not in book.value("%runs")
        assert "slow" in book.run("%runs show slow").stderr
        assert "fast: finished" in book.value("%runs show fast")
        book.run("%runs delete fast")


def test_flowbook_reports_the_installation(book: Notebook) -> None:
    shown = book.run("%flowbook")
    assert not shown.error, shown.error
    assert "thread" in (shown.result + shown.stdout).lower()


def test_memory_names_the_holders_and_frees_what_the_notebook_keeps(book: Notebook) -> None:
    book.run("big = fb.zeros((256, 1024))\nclass Box: pass\nbox = Box()\nbox.parts = [big]")
    text = book.value("%memory")
    assert re.search(r"big = box\.parts\[0\]\s+1\.05 MB\s+f32\[256, 1024\]", text)
    book.run("hidden = fb.ones((512, 1024))\nhidden")
    book.run("del hidden")
    text = book.value("%memory")
    assert re.search(r"Out\[\d+\] .*2\.1 MB.*held by the notebook only", text)
    freed = book.run("%memory free outputs")
    assert re.search(r"freed 2\.[12]\d? MB", freed.stdout), freed.stdout
    assert "held by the notebook" not in book.value("%memory")


def test_memory_of_a_traceback_is_found_and_freed(book: Notebook) -> None:
    book.run("def f():\n    inner = fb.ones((512, 1024))\n    raise ValueError('x')")
    book.run("f()")
    assert re.search(
        r"traceback \(f: inner\) .*2\.1 MB.*held by the notebook", book.value("%memory")
    )
    assert "freed 2.1 MB" in book.run("%memory free tracebacks").stdout


def test_memory_diff_marks_what_is_new(book: Notebook) -> None:
    book.run("%memory")
    book.run("fresh = fb.ones((128, 1024))")
    text = book.value("%memory diff")
    assert re.search(r"fresh .* new", text)


def test_the_extension_leaves_no_trace_when_unloaded() -> None:
    with Notebook() as book:
        book.run("%unload_ext flowbook")
        assert "not found" in book.run("%%graph\ny = 1").stderr
        assert book.value("'_flowbook_cells' in vars(get_ipython())") == "False"
        assert not book.run("%load_ext flowbook").error
        assert not book.run("%%graph\ny = x + 1").error


def test_errors_of_the_run_point_at_their_line(book: Notebook) -> None:
    book.run("i = fb.asarray(np.array([0, 9]))")
    shown = book.run("%%graph\nok = x + 1\npicked = fb.take(ok, i, axis=0)")
    assert shown.kind == "IndexOutOfRange"
    assert "----> 3 picked = fb.take(ok, i, axis=0)" in shown.error
    text = shown.displays[0]["text/plain"]
    assert re.search(r"picked = take\(ok, i\).*<-- failed here", text)
    assert "i: i64[2]" in text


def test_an_interrupt_shows_the_cell_only(book: Notebook) -> None:
    shown = book.run("h = 7\n").error + book.run("%%graph\nh = x\nraise KeyboardInterrupt").error
    assert "----> 3 raise KeyboardInterrupt" in shown
    assert "flowbook_ext" not in shown
    assert book.value("h") == "7"


def test_open_sizes(book: Notebook) -> None:
    shown = book.run("%%graph net --shapes x='batch 3'\ny = fb.sum(x @ w, axis=1)")
    assert "x: f32[batch, 3] (input)" in shown.displays[0]["text/plain"]
    assert book.value("net(x=np.ones((7, 3), np.float32)).y.shape, x.symbolic") == "((7,), False)"


def test_unknown_devices_are_refused(book: Notebook) -> None:
    shown = book.run("%%graph --device warp9\ny = x + 1")
    assert "--device: " in shown.stderr + shown.error


def test_leaked_symbols_say_where_they_are_from(book: Notebook) -> None:
    book.run("kept = []")
    book.run("%%graph net\ny = x + 1\nkept.append(y)")
    shown = book.run("kept[0] + 1")
    assert shown.kind == "GraphError"
    assert re.search(r"y \(f32\[2, 3\], In \[\d+\], line 2\)", shown.error)


def test_layers_are_scopes_of_the_drawing(book: Notebook) -> None:
    book.run("model = fb.nn.Sequential(*[fb.nn.Dense(3, activation=fb.nn.relu) for _ in range(4)])")
    shown = book.run("%%graph net\nout = model(x)")
    assert not shown.error, shown.error
    assert book.value(
        "sorted({n['scope'] for n in net.record()['nodes'] if n['op'] == 'relu'})"
    ) == (
        "['Sequential/layers[0]',\n 'Sequential/layers[1]',\n"
        " 'Sequential/layers[2]',\n 'Sequential/layers[3]']"
    )


def test_out_of_memory_lists_the_holders(book: Notebook) -> None:
    book.run("held = fb.ones((256, 1024))\nfb.memory.set_limit(fb.memory.stats().live + 1000)")
    shown = book.run("more = fb.ones((1024, 1024))")
    book.run("fb.memory.set_limit(None)")
    assert shown.kind == "OutOfMemoryError"
    assert "held" in shown.displays[0]["text/plain"]


def test_a_drawing_can_be_saved(book: Notebook, tmp_path: Any) -> None:
    book.run("%%graph net --no-view\ny = x @ w")
    for ending, start in (
        (".svg", "<svg"),
        (".html", "<!DOCTYPE"),
        (".txt", "net:"),
        (".json", "{"),
    ):
        path = tmp_path / f"net{ending}"
        shown = book.run(f"net.draw({str(path)!r})")
        assert not shown.error, shown.error
        assert path.read_text().startswith(start)
    assert "must be one of .svg" in book.run("net.draw('net.bmp')").error
