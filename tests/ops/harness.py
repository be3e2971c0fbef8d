"""The machinery behind `test_ops.py`: runs samples, differentiates numerically, makes awkward
strides."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import flowbook as fb

from . import native
from .compare import difference
from .sample import FLOATS, OpSamples, Sample


class Failures:
    """Collects what went wrong with an op's samples, so that one bad sample does not hide the
    others."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.texts: list[str] = []
        self.tried = 0

    def check(self, where: Any, problem: str | None) -> None:
        self.tried += 1
        if problem:
            self.texts.append(f"{where}: {problem}")

    def __enter__(self) -> Failures:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None and self.texts:
            shown = "\n  ".join(self.texts[:12])
            raise AssertionError(
                f"{self.name}: {len(self.texts)} of {self.tried} samples fail\n  {shown}"
            )


def cases(op: OpSamples, dtypes: tuple[str, ...] | None = None) -> Iterator[tuple[str, Sample]]:
    for dtype in op.dtypes:
        if dtypes is None or dtype in dtypes:
            for sample in op.samples(dtype):
                yield dtype, sample


def attempt(f: Any, *args: Any) -> tuple[Any, str | None]:
    """(result, None), or (None, what was raised)."""
    try:
        return f(*args), None
    except Exception as error:
        return None, f"raised {type(error).__name__}: {error}"


def arrays(outputs: list[Any]) -> list[np.ndarray]:
    return [np.asarray(t.numpy()) for t in outputs]


def expected(op: OpSamples, sample: Sample) -> list[np.ndarray]:
    """The reference's answers, in higher precision where the op's tolerance is in ulps."""

    def widened(x: Any, to: Any) -> Any:
        if isinstance(x, (list, tuple)):
            return [widened(i, to) for i in x]
        return x.astype(to) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x

    def run(to: Any) -> list[np.ndarray]:
        inputs = sample.inputs if to is None else [widened(x, to) for x in sample.inputs]
        assert op.reference is not None
        return [np.asarray(r) for r in native.listed(op.reference(*inputs, **sample.attrs))]

    narrow = run(None)
    if not op.ulps or narrow[0].dtype.kind != "f":
        return narrow
    if narrow[0].dtype == np.float32:
        return run(np.float64)
    try:
        return run(np.longdouble)
    except TypeError:  # SciPy has no long double
        return narrow


def value_problem(op: OpSamples, dtype: str, sample: Sample) -> str | None:
    inputs = [native.tensor(x) for x in sample.inputs]
    outputs, problem = attempt(native.call, op.name, inputs, sample.attrs)
    if problem:
        return problem
    before = [np.asarray(x) for x in native.flat(sample.inputs) if isinstance(x, np.ndarray)]
    after = [t.numpy() for t in native.flat(inputs) if isinstance(t, fb.Tensor)]
    for a, b in zip(before, after):
        if a.tobytes() != np.ascontiguousarray(b).tobytes():
            return "the op changed its input"
    if op.reference is None:
        return None
    own = op.reference(*sample.inputs, **sample.attrs)
    references = expected(op, sample)
    results = arrays(outputs)
    if len(results) != len(references):
        return f"{len(results)} outputs, not {len(references)}"
    for out, reference, narrow in zip(results, references, native.listed(own)):
        if out.dtype != np.asarray(narrow).dtype:
            return f"dtype {out.dtype}, not {np.asarray(narrow).dtype}"
        ulps = op.ulps
        if ulps and out.dtype == np.float64 and reference.dtype == np.float64:
            ulps += 2  # the reference errs as well
        if problem := difference(out, reference, ulps, op.tolerance(dtype)):
            return problem
    return None


# --- gradients ----------


def differentiated(op: OpSamples, sample: Sample) -> list[int]:
    """Which of the flattened inputs are differentiated."""
    flat = native.flat(sample.inputs)
    return [
        i
        for i, x in enumerate(flat)
        if isinstance(x, np.ndarray) and x.dtype == np.float64 and (op.grad is None or i in op.grad)
    ]


class Projection:
    """The op as a function from its chosen inputs to one number: a fixed random weighting of all
    its floating outputs. Differences along random directions check every derivative at once."""

    def __init__(self, op: OpSamples, sample: Sample) -> None:
        self.op, self.sample = op, sample
        self.rng = np.random.default_rng(7)
        self.chosen = differentiated(op, sample)
        flat = native.flat(sample.inputs)
        self.start = [flat[i] for i in self.chosen]
        self.weights: list[Any] = []

    def inputs(self, chosen: list[Any]) -> list[Any]:
        replaced = dict(zip(self.chosen, chosen))
        count = itertools.count()

        def build(x: Any) -> Any:
            if isinstance(x, (list, tuple)):
                return [build(i) for i in x]
            i = next(count)
            return replaced.get(i, native.tensor(x))

        return [build(x) for x in self.sample.inputs]

    def __call__(self, chosen: list[Any]) -> Any:
        outputs = native.call(self.op.name, self.inputs(chosen), self.sample.attrs)
        outputs = [o for o in outputs if "float" in str(o.dtype)]
        if not self.weights:
            self.weights = [fb.asarray(self.rng.uniform(0.5, 1.5, o.shape)) for o in outputs]
        total = fb.asarray(0.0, dtype=fb.float64)
        for o, w in zip(outputs, self.weights):
            total = total + fb.sum(o * w)
        return total

    def gradients(self, chosen: list[np.ndarray]) -> list[np.ndarray]:
        tensors = [fb.asarray(x) for x in chosen]
        with fb.tape() as tape:
            y = self(tensors)
        return [g.numpy() for g in tape.gradients(y, tensors)]

    def second(self, chosen: list[np.ndarray], along: list[np.ndarray]) -> list[np.ndarray]:
        """Gradient of <gradient, along>."""
        tensors = [fb.asarray(x) for x in chosen]
        with fb.tape() as tape:
            first = fb.gradients(self(tensors), tensors)
            s = sum(
                (fb.sum(g * fb.asarray(u)) for g, u in zip(first, along)),
                fb.asarray(0.0, dtype=fb.float64),
            )
        return [g.numpy() for g in tape.gradients(s, tensors)]

    def direction(self) -> list[np.ndarray]:
        return [self.rng.uniform(-1, 1, x.shape) for x in self.start]

    def moved(self, d: list[np.ndarray], eps: float) -> list[np.ndarray]:
        return [x + eps * v for x, v in zip(self.start, d)]


def dot(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    return float(sum((x * y).sum() for x, y in zip(a, b)))


def gradient_problem(op: OpSamples, sample: Sample, order: int) -> str | None:
    p = Projection(op, sample)
    if not p.start:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # second derivatives of linear ops are unconnected
        return first_problem(p) if order == 1 else second_problem(p)


def first_problem(p: Projection) -> str | None:
    eps = 1e-6
    got = p.gradients(p.start)
    for x, g in zip(p.start, got):
        if g.shape != x.shape or g.dtype != x.dtype:
            return f"gradient is {g.dtype}{list(g.shape)} of an input {x.dtype}{list(x.shape)}"
    for _ in range(2):
        d = p.direction()
        high, low = (float(p([fb.asarray(v) for v in p.moved(d, s)])) for s in (eps, -eps))
        want, have = (high - low) / (2 * eps), dot(got, d)
        if not np.isclose(have, want, rtol=2e-6, atol=2e-6 * (1 + max(abs(high), abs(want)))):
            return f"slope {have!r}, by differences {want!r}"
    return None


def second_problem(p: Projection) -> str | None:
    eps = 1e-6
    along = p.direction()
    got = p.second(p.start, along)
    d = p.direction()
    high, low = (dot(p.gradients(p.moved(d, s)), along) for s in (eps, -eps))
    want, have = (high - low) / (2 * eps), dot(got, d)
    if not np.isclose(have, want, rtol=2e-5, atol=2e-5 * (1 + max(abs(high), abs(want)))):
        return f"second derivative {have!r}, by differences {want!r}"
    return None


# --- strides ----------


def every_second(x: np.ndarray) -> Any:
    """A window with a gap after every entry; what lies in the gaps must not matter."""
    if x.ndim == 0:
        return fb.asarray(np.stack([x, x]))[1]
    wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    wide[...] = np.nan if x.dtype.kind == "f" else 1
    index = (slice(None, None, 2),) * x.ndim
    wide[index] = x
    return fb.asarray(wide)[index]


def backwards(x: np.ndarray) -> Any:
    if x.ndim == 0:
        return fb.asarray(x)
    index = (slice(None, None, -1),) * x.ndim
    return fb.asarray(x[index].copy())[index]


def column_major(x: np.ndarray) -> Any:
    axes = tuple(reversed(range(x.ndim)))
    return fb.permute_dims(fb.asarray(x.T.copy()), axes)


def far_apart(x: np.ndarray) -> Any:
    """Neighbours 32 KiB apart: more than a page, a whole first-level cache."""
    if x.size > 24 or x.ndim == 0 or x.ndim > 7:
        return fb.asarray(x)
    wide = np.ones((*x.shape, 32768 // x.itemsize), x.dtype)
    wide[..., 5] = x
    return fb.asarray(wide)[..., 5]


STRIDES = [every_second, backwards, column_major, far_apart]


def restrided(x: Any, how: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return [restrided(i, how) for i in x]
    return how(x) if isinstance(x, np.ndarray) else x


# --- specs ----------

SHORT = {
    "bool": "bool",
    "uint8": "u8",
    "int32": "i32",
    "int64": "i64",
    "float32": "f32",
    "float64": "f64",
}


def symbolic_spec(x: np.ndarray) -> str:
    """Sizes above one become symbols; equal sizes the same one."""
    dims = [f"s{n}" if n > 1 else str(n) for n in x.shape]
    return f"{SHORT[str(x.dtype)]}[{', '.join(dims)}]"


def concrete_spec(x: np.ndarray) -> str:
    return f"{SHORT[str(x.dtype)]}[{', '.join(map(str, x.shape))}]"


def substituted(spec: str) -> str:
    """The same spec with the sizes behind `symbolic_spec`'s symbols."""
    dtype, dims = re.fullmatch(r"(\w+)\[(.*)\]", spec).groups()  # type: ignore[union-attr]
    if not dims.strip():
        return f"{dtype}[]"
    sizes = []
    for d in dims.split(","):
        expression = re.sub(r"\bs(\d+)\b", r"\1", d)
        if not re.fullmatch(r"[\d+\-*/() ]+", expression):
            raise ValueError(f"not a size: {d}")
        sizes.append(int(eval(expression)))
    return f"{dtype}[{', '.join(map(str, sizes))}]"


def all_floats(op: OpSamples) -> bool:
    return all(d in FLOATS for d in op.dtypes)
