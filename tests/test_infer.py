"""What ops say about shapes and dtypes before anything runs, over numbers and symbols.

`infer_ok("matmul", "[b,m,k];[k,n]", "[b,m,n]")` reads: with these inputs the op's output is that,
and every size of the output comes from that size of an input. A spec without a dtype is float32.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from ops import native

import flowbook as fb


def specs(text: str) -> list[str]:
    """ "[b,2]; i64[]" -> ["f32[b, 2]", "i64[]"]."""
    found = re.findall(r"(\w*)\[([^\]]*)\]", text)
    return [
        f"{d or 'f32'}[{', '.join(p.strip() for p in dims.split(',') if p.strip())}]"
        for d, dims in found
    ]


def infer_ok(op: str, inputs: str, outputs: str, **attrs: object) -> None:
    # A product's factors stand in the order in which the process met them: `abs` reads them alike.
    wanted = [native.infer("abs", [spec], {})[0] for spec in specs(outputs)]
    assert native.infer(op, specs(inputs), attrs) == wanted, f"{op}({inputs}, {attrs})"


def infer_error(error: str, text: str, op: str, inputs: str, **attrs: object) -> None:
    with pytest.raises(getattr(fb, error), match=text or None) as caught:
        native.infer(op, specs(inputs), attrs)
    assert str(caught.value).startswith(op), caught.value


def test_elementwise():
    infer_ok("exp", "[b,n]", "[b,n]")
    infer_ok("exp", "[]", "[]")
    infer_ok("exp", "f64[b]", "f64[b]")
    infer_ok("exp", "i64[b]", "f32[b]")  # integers count as the default float
    infer_ok("isnan", "[b]", "bool[b]")
    infer_ok("relu", "i32[b]", "i32[b]")


def test_broadcasting():
    infer_ok("add", "[b,n];[n]", "[b,n]")
    infer_ok("add", "[b,n];[]", "[b,n]")
    infer_ok("add", "[b,1];[1,n]", "[b,n]")
    infer_ok("add", "[b,n];[b,n]", "[b,n]")
    infer_ok("add", "[0,n];[1,n]", "[0,n]")
    infer_ok("where", "bool[b,1];[n];[]", "[b,n]")
    infer_error("ShapeError", r"b.*5|5.*b", "add", "[b];[5]")  # b might be anything
    infer_error("ShapeError", r"n.*b|b.*n", "add", "[b,n];[b,b]")
    infer_error("ShapeError", r"3.*2|2.*3", "add", "[2,3];[2,2]")


def test_promotion():
    infer_ok("add", "i32[b];i64[b]", "i64[b]")
    infer_ok("add", "u8[b];i32[b]", "i32[b]")
    infer_ok("add", "i64[b];f32[b]", "f32[b]")
    infer_ok("add", "f32[b];f64[b]", "f64[b]")
    infer_ok("add", "u8[];i8[]", "i16[]")
    infer_ok("add", "f16[];bf16[]", "f32[]")
    infer_ok("divide", "i64[b];i64[b]", "f32[b]")
    infer_ok("equal", "i64[b];f64[b]", "bool[b]")
    infer_error("DTypeError", r"", "add", "u64[];i64[]")
    infer_error("DTypeError", r"", "bitwise_and", "f32[];i64[]")
    infer_error("DTypeError", r"", "bitwise_left_shift", "bool[];bool[]")


def test_reductions():
    infer_ok("sum", "[b,n]", "[]")
    infer_ok("sum", "[b,n]", "[b]", axis=1)
    infer_ok("sum", "[b,n]", "[b,1]", axis=-1, keepdims=True)
    infer_ok("sum", "[b,n,m]", "[n]", axis=(0, 2))
    infer_ok("sum", "[b,n]", "[b,n]", axis=())
    infer_ok("sum", "bool[b]", "i64[]")
    infer_ok("sum", "i32[b]", "i64[]")
    infer_ok("mean", "i64[b]", "f32[]")
    infer_ok("argmax", "[b,n]", "i64[b]", axis=1)
    infer_ok("any", "[b,n]", "bool[n]", axis=0)
    infer_error("AxisError", r"axis 2 is out of range for x: f32\[b, n\]", "sum", "[b,n]", axis=2)
    infer_error("ArgumentError", r"", "sum", "[b,n]", axis=(0, -2))


def test_matmul():
    infer_ok("matmul", "[m,k];[k,n]", "[m,n]")
    infer_ok("matmul", "[b,m,k];[k,n]", "[b,m,n]")
    infer_ok("matmul", "[b,m,k];[b,k,n]", "[b,m,n]")
    infer_ok("matmul", "[m,k];[b,k,n]", "[b,m,n]")
    infer_ok("matmul", "[k];[k,n]", "[n]")
    infer_ok("matmul", "[m,k];[k]", "[m]")
    infer_ok("matmul", "[k];[k]", "[]")
    infer_ok("matmul", "[b,m,k];[k]", "[b,m]")
    infer_ok("matmul", "[a,1,m,k];[b,k,n]", "[a,b,m,n]")
    infer_error(
        "ShapeError",
        r"inner dimensions differ.*f32\[2, 3\].*f32\[4, 5\].*3 != 4",
        "matmul",
        "[2,3];[4,5]",
    )
    infer_error("ShapeError", r"inner dimensions differ", "matmul", "[m,k];[j,n]")
    infer_error("ShapeError", r"", "matmul", "[];[n]")
    infer_error("ShapeError", r"", "matmul", "[2,m,k];[3,k,n]")


def test_moving_entries():
    infer_ok("permute_dims", "[a,b,c]", "[c,a,b]", axes=(2, 0, 1))
    infer_ok("expand_dims", "[a,b]", "[a,1,b]", axis=1)
    infer_ok("squeeze", "[a,1,b]", "[a,b]", axis=1)
    infer_ok("reshape", "[a,b]", "[b*a]", shape=(-1,))
    infer_ok("concat", "[a,n];[b,n]", "[b + a,n]", axis=0)
    infer_ok("stack", "[a,b];[a,b]", "[a,2,b]", axis=1)
    infer_ok("flip", "[a,b]", "[a,b]")
    infer_ok("broadcast_to", "[n]", "[4,n]", shape=(4, fb.Dim("n")))
    infer_error("ShapeError", r"", "concat", "[a,n];[b,m]", axis=0)
    infer_error("ShapeError", r"", "stack", "[a];[b]")
    infer_error("ShapeError", r"", "squeeze", "[a,b]", axis=0)
    infer_error("AxisError", r"", "expand_dims", "[a]", axis=3)


def test_positions():
    infer_ok("take", "[v,d];i64[b,t]", "[b,t,d]", axis=0)
    infer_ok("embedding", "[v,d];i64[b,t]", "[b,t,d]")
    infer_ok("one_hot", "i64[b]", "[b,10]", classes=10)
    infer_ok("scatter_add", "[v,d];i64[b];[b,d]", "[v,d]")
    infer_error("DTypeError", r"", "embedding", "[v,d];f32[b]")
    infer_error("ShapeError", r"", "embedding", "[v];i64[b]")


def test_networks():
    infer_ok("softmax", "[b,n]", "[b,n]")
    infer_ok("softmax_cross_entropy", "[b,n];i64[b]", "[b]")
    infer_ok("softmax_cross_entropy", "[b,t,n];i32[b,t]", "[b,t]")
    infer_ok("layer_norm", "[b,t,d];[d];[d]", "[b,t,d]")
    infer_error("ShapeError", r"", "softmax_cross_entropy", "[b,n];i64[n]")
    infer_error("AxisError", r"axis 2 is out of range", "softmax", "[b,n]", axis=2)
    infer_error("ShapeError", r"", "layer_norm", "[b,d];[b];[d]")


def test_sizes_are_polynomials():
    """Equal as polynomials is equal; no guess is made about anything else."""
    a, b = fb.Dim("a"), fb.Dim("b")
    assert a + b == b + a
    assert a * 2 + a == 3 * a
    assert a - a == 0
    assert (a * b) // b != a or (a * b) // b == a  # never raises
    assert a != b
    with pytest.raises(fb.FlowbookError):
        int(a)
    infer_ok("add", "[a];[a]", "[a]")


def test_infer_agrees_with_numpy_about_broadcasting():
    rng = np.random.default_rng(0)
    for _ in range(200):
        ranks = rng.integers(0, 4, 2)
        shapes = [tuple(int(n) for n in rng.choice([0, 1, 2, 3], r)) for r in ranks]
        text = [f"f32[{', '.join(map(str, s))}]" for s in shapes]
        try:
            want = np.broadcast_shapes(*shapes)
        except ValueError:
            with pytest.raises(fb.ShapeError):
                native.infer("add", text, {})
        else:
            assert native.infer("add", text, {}) == [f"f32[{', '.join(map(str, want))}]"]


def test_windows():
    infer_ok("conv2d", "[b,28,28,1];[3,3,1,32]", "[b,26,26,32]")
    infer_ok("conv2d", "[b,h,w,c];[3,5,c,o]", "[b,h,w,o]", padding="same")
    infer_ok("conv2d", "[b,h,w,4];[3,3,2,8]", "[b,h - 2,w - 2,8]", groups=2)
    infer_ok("conv2d", "[b,28,28,1];[3,3,1,32]", "[b,14,14,32]", padding="same", strides=2)
    infer_ok("conv2d_transpose", "[b,h,w,c];[2,2,o,c]", "[b,h*2,w*2,o]", strides=2)
    infer_ok("conv1d", "[b,t,c];[3,c,o]", "[b,t,o]", padding="same")
    infer_ok("max_pool2d", "[b,28,28,c]", "[b,14,14,c]")
    infer_ok("global_avg_pool", "[b,h,w,c]", "[b,c]")
    infer_ok("batch_norm", "[b,h,c];[c];[c]", "[b,h,c];[c];[c]")
    infer_error("ShapeError", "3 channels", "conv2d", "[b,28,28,3];[3,3,1,32]")
    infer_error("ShapeError", "reaches over 5", "conv2d", "[b,3,28,1];[5,5,1,32]")
