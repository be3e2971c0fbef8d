"""Errors: the right class, the op's name, the specs, what would be right; and nothing changed
after."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

import flowbook as fb

BASES = {
    "ShapeError": (ValueError,),
    "AxisError": (fb.ShapeError, IndexError),
    "DTypeError": (TypeError,),
    "MissingKernelError": (fb.DTypeError,),
    "IndexOutOfRange": (IndexError,),
    "ArgumentError": (ValueError,),
    "DeviceError": (RuntimeError,),
    "GraphError": (RuntimeError,),
    "FeedError": (fb.GraphError,),
    "GradientError": (RuntimeError,),
    "InternalError": (RuntimeError,),
    "LoadError": (ValueError,),
    "DataError": (ValueError,),
    "OutOfMemoryError": (MemoryError,),
}


@pytest.mark.parametrize("name", BASES)
def test_the_table_of_errors(name):
    error = getattr(fb, name)
    assert issubclass(error, fb.FlowbookError)
    for base in BASES[name]:
        assert issubclass(error, base)
    assert error.__doc__
    assert error.__module__ == "flowbook"
    again = pickle.loads(pickle.dumps(error("text")))
    assert type(again) is error
    assert str(again) == "text"


A = np.ones((2, 3), "f4")

CALLS = [
    # matmul and broadcasting
    ("ShapeError", r"matmul: inner dimensions differ.*f32\[2, 3\].*3 != 2", lambda x: x @ x),
    ("ShapeError", r"add: .*\[2, 3\].*\[4\]", lambda x: x + fb.ones(4)),
    ("ShapeError", r"add: ", lambda x: x + np.ones((3, 2), "f4")),
    # axes and sizes
    ("AxisError", r"sum: axis 2 is out of range", lambda x: fb.sum(x, axis=2)),
    ("AxisError", r"softmax: axis", lambda x: fb.nn.softmax(x, axis=-3)),
    ("ShapeError", r"reshape: .*\[2, 3\]", lambda x: fb.reshape(x, (4, 2))),
    ("ShapeError", r"", lambda x: fb.zeros((2, -1))),
    ("ShapeError", r"max: ", lambda x: fb.max(fb.zeros((0, 3)), axis=0)),
    ("ShapeError", r"", lambda x: fb.zeros((1,) * 9)),
    ("ShapeError", r"concat: ", lambda x: fb.concat([x, fb.ones((2, 2))], axis=0)),
    # dtypes
    ("DTypeError", r"bitwise_and: .*f32", lambda x: x & 1),
    ("DTypeError", r"", lambda x: fb.asarray(np.array(["a"]))),
    ("DTypeError", r"", lambda x: fb.asarray(np.array([object()]))),
    ("DTypeError", r"", lambda x: fb.astype(x, "no dtype")),
    # positions
    ("IndexOutOfRange", r"2.*", lambda x: x[2]),
    ("IndexOutOfRange", r"take: .*5", lambda x: fb.take(x, fb.asarray([0, 5]), axis=1)),
    ("IndexOutOfRange", r"", lambda x: x.at[fb.asarray([7])].set(0.0)),
    ("IndexOutOfRange", r"", lambda x: x[0, 0, 0]),
    (
        "IndexOutOfRange",
        r"softmax_cross_entropy: .*3",
        lambda x: fb.nn.softmax_cross_entropy(x, fb.asarray([0, 3])),
    ),
    # gradients
    ("GradientError", r"tape", lambda x: fb.gradients(fb.sum(x), [x])),
    # options
    ("ArgumentError", r"", lambda x: fb.arange(0, 1, 0)),
    ("ArgumentError", r"", lambda x: fb.nn.dropout(x, 1.5)),
]


@pytest.mark.parametrize(("error", "text", "call"), CALLS, ids=range(len(CALLS)))
def test_calls_that_fail(error, text, call):
    x = fb.asarray(A)
    with pytest.raises(getattr(fb, error), match=text or None) as caught:
        call(x)
    message = str(caught.value)
    assert "\n\n" not in message
    assert len(message) > 15
    assert "0x" not in message
    np.testing.assert_array_equal(x.numpy(), A)


ARGUMENTS = [
    (r"sum.*axes|axes.*sum", lambda x: fb.sum(x, axes=1)),
    (r"sum.*`?x`? is missing|missing", lambda x: fb.sum()),
    (r"sum: .*str", lambda x: fb.sum(x, axis="a")),
    (r"sum: .*", lambda x: fb.sum(x, keepdims="yes") if False else fb.sum(x, axis=1.5)),
    (r"exp", lambda x: fb.exp("a")),
    (r"exp", lambda x: fb.exp(None)),
    (r"exp", lambda x: fb.exp(x, x)),
    (r"", lambda x: x + "a"),
    (r"", lambda x: x + None),
    (r"", lambda x: x @ [[1, 2], "a"]),
    (r"", lambda x: fb.concat(x, axis="a")),
    (r"", lambda x: fb.reshape(x, "ab")),
    (r"", lambda x: fb.reshape(x, (2.0, 3.0))),
    (r"", lambda x: fb.zeros("a")),
    (r"", lambda x: x["a"]),
    (r"", lambda x: x[1.5]),
]


@pytest.mark.parametrize(("text", "call"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_wrong_arguments_are_type_errors(text, call):
    with pytest.raises((TypeError, IndexError), match=text or None):
        call(fb.asarray(A))


def test_messages_write_numbers_as_the_caller_did():
    """Not as `y`, which is what the op calls its second argument."""
    batch = fb.ones((2, 4))
    for call, words in [
        (lambda: batch & 3, "batch is f32[2, 4], 3 is f32[]"),
        (lambda: 3 & batch, "3 is f32[], batch is f32[2, 4]"),
        (lambda: batch << 2.5, "batch is f32[2, 4], 2.5 is f32[]"),
        (lambda: fb.where(7, batch, batch), "where: 7 is i64[]"),
    ]:
        with pytest.raises(fb.DTypeError, match=re.escape(words)):
            call()
    with pytest.raises(fb.DTypeError, match=r"y is c128"):  # too long to be read
        fb.bitwise_and(batch, 1.2345678901234567 + 1.2345678901234567j)


def test_messages_name_the_variables():
    """DESIGN section 6: x and w1 by the names they have where the call stands."""
    batch = fb.asarray(np.ones((32, 784), "f4"))
    w1 = fb.asarray(np.ones((128, 10), "f4"))
    with pytest.raises(fb.ShapeError) as caught:
        batch @ w1
    text = str(caught.value)
    assert "batch is f32[32, 784]" in text
    assert "w1 is f32[128, 10]" in text
    assert "784 != 128" in text


def test_a_missing_kernel_lists_what_exists():
    x = fb.asarray(np.ones(3, "i2"))
    with pytest.raises(fb.MissingKernelError, match="float32"):
        x * x


def test_symbols_refuse_to_be_numbers():
    """Python control flow on a symbol names the line and the way out."""
    x = fb.asarray(A)

    def branches(x):
        if fb.sum(x) > 0.0:
            return x
        return -x

    for f in (
        branches,
        lambda x: float(fb.sum(x)),
        lambda x: x.numpy(),
        lambda x: [1, 2][fb.argmax(x)],
        lambda x: np.asarray(x),
        lambda x: range(fb.argmax(x)),
        lambda x: x.item(),
    ):
        with pytest.raises(fb.GraphError, match=r"graph"):
            fb.graph(f)(x)
    with pytest.raises(fb.GraphError, match=r"line \d+"):
        fb.graph(branches)(x)
    assert float(fb.sum(x)) == 6  # nothing is left recording


def test_a_leaked_symbol_says_where_it_was_made():
    leaked = []

    @fb.graph
    def f(x):
        h = x * 2.0
        leaked.append(h)
        return h

    f(fb.asarray(A))
    with pytest.raises(fb.GraphError):
        leaked[0] + 1.0
    with pytest.raises(fb.GraphError):
        leaked[0].numpy()
    with pytest.raises(fb.GraphError):
        fb.graph(lambda x: x + leaked[0])(fb.asarray(A))
    repr(leaked[0])
    assert leaked[0].shape == (2, 3)


def test_a_failing_trace_leaves_nothing_recording():
    v = fb.Variable([1.0, 2.0])

    @fb.graph
    def f(x):
        v.assign(v * 2.0)
        return x @ x

    with pytest.raises(fb.ShapeError):
        f(fb.asarray(A))
    np.testing.assert_array_equal(v.numpy(), [1, 2])
    assert float(fb.sum(fb.asarray(A))) == 6


def test_a_failing_run_changes_no_variable():
    v = fb.Variable([1.0, 2.0])

    @fb.graph
    def f(i):
        v.assign(v * 2.0)
        return fb.take(fb.asarray([1.0, 2.0, 3.0]), i, axis=0)

    f(fb.asarray([0]))
    np.testing.assert_array_equal(v.numpy(), [2, 4])
    with pytest.raises(fb.IndexOutOfRange):
        f(fb.asarray([99]))
    np.testing.assert_array_equal(v.numpy(), [2, 4])


def test_variables_refuse_what_does_not_fit():
    v = fb.Variable(np.ones((2, 3), "f4"))
    with pytest.raises(fb.ShapeError):
        v.assign(np.ones((3, 2), "f4"))
    with pytest.raises(fb.FlowbookError):
        v.assign(np.ones((2, 3), "c8"))
    np.testing.assert_array_equal(v.numpy(), A)

    @fb.graph
    def f(x):
        return fb.Variable(x)

    with pytest.raises(fb.GraphError):
        f(fb.asarray(A))


def test_feeding_what_does_not_fit():
    @fb.graph
    def f(x):
        return x @ fb.ones((3, 2))

    f(fb.asarray(A))
    with pytest.raises(fb.ShapeError):
        f(fb.ones((2, 4)))
    with pytest.raises(fb.ArgumentError, match="x"):
        f()
    with pytest.raises(fb.ArgumentError, match="no_such_input"):
        f(fb.asarray(A), no_such_input=1)
    assert f(fb.asarray(A)).shape == (2, 2)


def test_an_error_survives_names_that_are_not_bound_yet():
    def make():
        @fb.graph
        def f(x):
            return x @ fb.ones((5, 2)) if x.size else later

        with pytest.raises(fb.ShapeError, match="matmul"):
            f(fb.asarray(A))
        later = 1
        return later

    assert make() == 1


def test_a_misspelt_name_gets_one_hint():
    code = "import flowbook as fb; fb.zeroz"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.count("Did you mean") == 1
    assert "Did you mean fb.zeros?" in done.stderr
