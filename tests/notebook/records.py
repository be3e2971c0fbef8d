"""Graph records for tests of views: what `Graph.record()` gives, made by hand."""

from __future__ import annotations

from typing import Any


class Builder:
    """Collects nodes in the form of `Graph.record()`."""

    def __init__(self, name: str = "mlp") -> None:
        self.name = name
        self.nodes: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []

    def add(self, op: str, *inputs: int, **more: Any) -> int:
        node: dict[str, Any] = {
            "id": len(self.nodes), "op": op, "name": None, "inputs": list(inputs),
            "spec": "f32[32, 10]", "shape": [32, 10], "dtype": "f32", "bytes": 1280, "kind": "op",
            "scope": "", "cell": "c1", "exec": 3, "line": None, "time_us": None, "failed": False,
            "forward_of": None, "attrs": {},
        }  # fmt: skip
        node.update(more)
        node["family"] = {"matmul": "linalg", "relu": "nn", "sum": "reduce"}.get(op, "elementwise")
        self.nodes.append(node)
        return int(node["id"])

    def output(self, name: str, node: int) -> None:
        self.outputs.append({"name": name, "node": node})

    def record(self, **more: Any) -> dict[str, Any]:
        stats = {
            "nodes": len(self.nodes), "planned_peak_bytes": 123456, "trace_ms": 0.41,
            "compile_ms": 1.2, "run_ms": 0.18, "recompiled": None,
        }  # fmt: skip
        return {
            "name": self.name, "nodes": self.nodes, "outputs": self.outputs, "assignments": [],
            "stats": stats, **more,
        }  # fmt: skip


def mlp(*, gradients: bool = False, fail: bool = False) -> dict[str, Any]:
    """Two dense layers and a loss, as a `%%graph` cell would give them."""
    g = Builder()
    x = g.add("input", name="x", spec="f32[32, 784]", kind="capture")
    w1 = g.add("variable", name="w1", spec="f32[784, 128]", kind="variable")
    m1 = g.add("matmul", x, w1, spec="f32[32, 128]", line=2)
    b1 = g.add("variable", name="b1", spec="f32[128]", kind="variable")
    a1 = g.add("add", m1, b1, spec="f32[32, 128]", line=2)
    h = g.add("relu", a1, name="h", spec="f32[32, 128]", line=2)
    g.output("h", h)
    w2 = g.add("variable", name="w2", spec="f32[128, 10]", kind="variable")
    if fail:
        g.add("matmul", h, w2, line=3, failed=True, spec=None)
        error = {
            "type": "ShapeError", "message": "matmul: inner dimensions differ.", "line": 3,
            "source": "logits = h @ w2", "names": [("h", "f32[32, 128]"), ("w2", "f32[10, 128]")],
        }  # fmt: skip
        return g.record(error=error)
    logits = g.add("matmul", h, w2, name="logits", line=3)
    y = g.add("input", name="y", spec="i32[32]", kind="capture")
    loss = g.add("softmax_cross_entropy", logits, y, name="loss", spec="f32[]", line=4)
    g.output("loss", loss)
    if gradients:
        seed = g.add("full", spec="f32[]", kind="gradient", line=5, forward_of=loss)
        dl = g.add("sce_grad", seed, logits, y, kind="gradient", line=5, forward_of=loss)
        dw2 = g.add("matmul", h, dl, name="dw2", kind="gradient", line=5, forward_of=logits)
        dh = g.add(
            "matmul", dl, w2, spec="f32[32, 128]", kind="gradient", line=5, forward_of=logits
        )
        da = g.add("where", dh, a1, spec="f32[32, 128]", kind="gradient", line=5, forward_of=h)
        dw1 = g.add("matmul", x, da, spec="f32[784, 128]", kind="gradient", line=5, forward_of=m1)
        g.output("grads[0]", dw1)
        g.output("grads[1]", dw2)
    return g.record()


def tower(blocks: int = 12, *, gradients: bool = True) -> dict[str, Any]:
    """A residual tower with scopes, parameters, gradients and an optimizer."""
    g = Builder("train_step")
    params, forward = [], []
    x = g.add("input", name="x", kind="input")
    for k in range(blocks):
        scope = f"model/blocks[{k}]"
        skip = x
        for part in ("up", "down"):
            inner = f"{scope}/{part}"
            w = g.add(
                "variable", name=f"model.blocks[{k}].{part}.weight", kind="variable", scope=inner
            )
            b = g.add(
                "variable", name=f"model.blocks[{k}].{part}.bias", kind="variable", scope=inner
            )
            params += [w, b]
            x = g.add("matmul", x, w, scope=inner)
            x = g.add("add", x, b, scope=inner)
            forward += [x - 1, x]
        x = g.add("add", x, skip, scope=scope)
        forward.append(x)
    y = g.add("input", name="y", kind="input")
    loss = g.add("mse", x, y, name="loss", spec="f32[]")
    g.output("loss", loss)
    if gradients:
        last = g.add("full", kind="gradient", forward_of=loss)
        grads = []
        for f in reversed(forward):
            last = g.add("backward", last, kind="gradient", forward_of=f)
            grads.append(last)
        g.add("adam", *params, *grads, kind="optimizer", scope="optimizer")
    return g.record()
