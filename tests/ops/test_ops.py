"""Every op of the registry, checked the same way.

    value       the answer is NumPy's, dtype and shape included; inputs stay as they were
    infer       the inferred spec is the actual one, over numbers and over symbols
    graph       a graph gives the bits that the eager op gives
    expand      a composite's kernel agrees with its meaning in other ops
    gradient    slopes along random directions, to second order, in float64
    strides     views of any layout, also with gaps, backwards or far apart
    errors      what must fail fails with the right class and words
    record      documented; attributes survive a round trip; the example is true

An op without samples fails, and so do samples without an op.
"""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
import pytest

import flowbook as fb

from . import native, samples
from .compare import difference, same_bits
from .harness import (
    STRIDES,
    Failures,
    arrays,
    attempt,
    cases,
    concrete_spec,
    differentiated,
    gradient_problem,
    restrided,
    substituted,
    symbolic_spec,
    value_problem,
)
from .sample import ALL, DECLARED, OpSamples, Sample

assert samples
RECORDS = native.records()
OPS = sorted(set(RECORDS) & set(DECLARED))
TESTED_ELSEWHERE = {"barrier", "custom"}  # checkpoint and custom_gradient: tests/test_gradients.py


def op_parameter(names=OPS):
    return pytest.mark.parametrize("op", [DECLARED[n] for n in names], ids=names)


def test_every_op_has_samples():
    assert not sorted(set(RECORDS) - set(DECLARED) - set(TESTED_ELSEWHERE))


def test_samples_have_their_op():
    assert not sorted(set(DECLARED) - set(RECORDS))


@op_parameter()
def test_value(op: OpSamples):
    with Failures(op.name) as failures:
        for dtype, sample in cases(op):
            failures.check(f"{dtype} {sample}", value_problem(op, dtype, sample))


@op_parameter()
def test_infer(op: OpSamples):
    with Failures(op.name) as failures:
        for dtype, sample in cases(op):
            outputs, problem = attempt(
                native.call, op.name, [native.tensor(x) for x in sample.inputs], sample.attrs
            )
            if problem:
                continue  # test_value says so
            actual = [native.spec(t) for t in outputs]
            flat = [np.asarray(x) for x in native.flat(sample.inputs)]
            inferred, problem = attempt(
                native.infer, op.name, [concrete_spec(x) for x in flat], sample.attrs
            )
            if inferred is not None and inferred != actual:
                problem = f"inferred {inferred}, got {actual}"
            failures.check(f"{dtype} {sample}", problem)

            # The key of a random op, its first input, has a size of its own.
            keys = int(RECORDS[op.name]["random"])
            specs = [concrete_spec(x) if i < keys else symbolic_spec(x) for i, x in enumerate(flat)]
            inferred, problem = attempt(native.infer, op.name, specs, sample.attrs)
            if inferred is not None:
                numbers = [substituted(s) for s in inferred]
                problem = None if numbers == actual else f"inferred {inferred}, got {actual}"
            elif (not sample.symbolic or op.family == "conv") and re.match(
                r"raised (ShapeError|GraphError)", problem or ""
            ):
                problem = None
            failures.check(f"{dtype} {sample} over symbols", problem)


def recording(op: OpSamples, sample: Sample):
    """The sample's call as a function of its tensors."""

    def recorded(*tensors):
        left = list(tensors)
        inputs = [
            [left.pop(0) for _ in x] if isinstance(x, (list, tuple)) else left.pop(0)
            for x in sample.inputs
        ]
        return tuple(native.call(op.name, inputs, sample.attrs))

    return recorded


@op_parameter()
def test_graph(op: OpSamples):
    with Failures(op.name) as failures:
        for dtype, sample in cases(op):
            tensors = native.flat([native.tensor(x) for x in sample.inputs])
            eager, problem = attempt(
                native.call, op.name, [native.tensor(x) for x in sample.inputs], sample.attrs
            )
            if problem:
                continue

            graph = fb.graph(recording(op, sample))
            for attempt_number in ("first", "second"):
                outputs, problem = attempt(graph, *tensors)
                if outputs is not None:
                    for a, b in zip(arrays(native.listed(outputs)), arrays(eager)):
                        if not same_bits(a, b):
                            problem = (
                                difference(a, b, ulps=0)
                                or f"{a.dtype}{a.shape}, eager {b.dtype}{b.shape}"
                            )
                failures.check(f"{dtype} {sample} {attempt_number} run", problem)


COMPOSITES = [n for n in OPS if RECORDS[n]["has_expand"] and RECORDS[n]["has_kernel"]]


@op_parameter(COMPOSITES)
def test_expand(op: OpSamples):
    with Failures(op.name) as failures:
        for dtype, sample in cases(op):
            inputs = [native.tensor(x) for x in sample.inputs]
            outputs, problem = attempt(native.call, op.name, inputs, sample.attrs)
            if problem:
                continue
            meaning, problem = attempt(native.expand, op.name, inputs, sample.attrs)
            if meaning is not None:
                for a, b in zip(arrays(outputs), arrays(native.listed(meaning))):
                    if a.dtype != b.dtype:
                        problem = f"the expansion gives {b.dtype}, not {a.dtype}"
                    problem = problem or difference(a, b, rtol=2 * op.tolerance(dtype) or 1e-6)
            failures.check(f"{dtype} {sample}", problem)


DIFFERENTIABLE = [n for n in OPS if RECORDS[n]["differentiable"]]


@pytest.mark.parametrize("order", [1, 2])
@op_parameter(DIFFERENTIABLE)
def test_gradient(op: OpSamples, order: int):
    if order > op.order:
        pytest.skip(f"differentiable {op.order} times")
    with Failures(op.name) as failures:
        for _, sample in cases(op, ("float64",)):
            if sample.grad and differentiated(op, sample):
                wrong, problem = attempt(gradient_problem, op, sample, order)
                failures.check(sample, problem or wrong)


@op_parameter()
def test_strides(op: OpSamples):
    if not op.strided:
        pytest.skip("takes no tensors")
    elementwise = RECORDS[op.name]["elementwise"]
    with Failures(op.name) as failures:
        for dtype, sample in cases(op):
            if any(getattr(x, "size", 0) > 5000 for x in native.flat(sample.inputs)):
                continue
            dense, problem = attempt(
                native.call, op.name, [native.tensor(x) for x in sample.inputs], sample.attrs
            )
            if problem:
                continue
            for how in STRIDES:
                inputs = [restrided(x, how) for x in sample.inputs]
                outputs, problem = attempt(native.call, op.name, inputs, sample.attrs)
                if outputs is not None:
                    for a, b in zip(arrays(outputs), arrays(dense)):
                        problem = problem or difference(
                            a, b, *((0.0,) if elementwise else (None, op.tolerance(dtype) or 1e-6))
                        )
                failures.check(f"{dtype} {sample} {how.__name__}", problem)


@op_parameter([n for n in OPS if DECLARED[n].errors])
def test_errors(op: OpSamples):
    with Failures(op.name) as failures:
        for case in op.errors:
            try:
                native.call(op.name, [native.tensor(x) for x in case.inputs], case.attrs)
            except getattr(fb, case.error) as error:
                text = str(error)
                problem = None
                if not re.search(case.text, text):
                    problem = f"the message lacks /{case.text}/: {text}"
                elif not re.match(r"[\w.]+: \S.*[.?)`\]]", text, re.S):
                    problem = f"not `<op>: <what>. <what would be right>.`: {text}"
            except Exception as error:
                problem = f"raised {type(error).__name__}, not {case.error}: {error}"
            else:
                problem = f"raised nothing, not {case.error}"
            failures.check(f"{[getattr(x, 'shape', x) for x in case.inputs]} {case.attrs}", problem)


@op_parameter()
def test_other_dtypes(op: OpSamples):
    """A dtype that is not on the list either works through promotion or raises DTypeError."""
    with Failures(op.name) as failures:
        for dtype in [*ALL, "int8", "uint16", "float16", "complex64"]:
            if dtype in op.dtypes:
                continue
            base = op.samples(op.dtypes[0])[0]
            inputs = [
                native.tensor(
                    x
                    if not isinstance(x, np.ndarray) or str(x.dtype) != op.dtypes[0]
                    else (x > 0 if dtype == "bool" else x.astype(dtype))
                )
                for x in base.inputs
            ]
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    native.call(op.name, inputs, base.attrs)
                problem = None
            except (fb.DTypeError, fb.ArgumentError, fb.IndexOutOfRange, fb.ShapeError) as error:
                problem = None if "This is a bug" not in str(error) else str(error)
            except Exception as error:
                problem = f"raised {type(error).__name__}: {error}"
            failures.check(dtype, problem)


@op_parameter()
def test_record(op: OpSamples):
    record = RECORDS[op.name]
    assert len(record["doc"]) > 8
    assert record["doc"].rstrip().endswith(".")
    for part in [*record["inputs"], *record["attrs"]]:
        assert part["doc"], f"{op.name}: {part['name']} has no doc"
    assert re.fullmatch(r"[a-z][a-z0-9_]*", op.name)


@op_parameter()
def test_attributes_survive_a_round_trip(op: OpSamples):
    with Failures(op.name) as failures:
        for dtype, sample in cases(op):
            text, problem = attempt(native.attrs_json, op.name, sample.attrs)
            if text is not None and not isinstance(json.loads(text), dict):
                problem = f"no object: {text}"
            same, failed = attempt(native.attrs_round_trip, op.name, sample.attrs)
            problem = problem or failed or (None if same else f"{text} came back different")
            failures.check(f"{dtype} {sample}", problem)


EXAMPLES = [(n, *e) for n in RECORDS for e in RECORDS[n]["examples"]]


@pytest.mark.parametrize(("name", "call", "result"), EXAMPLES, ids=[e[1] for e in EXAMPLES])
def test_example(name: str, call: str, result: str):
    """The documented call gives the documented result, to the digits shown."""
    namespace = {n: getattr(fb, n) for n in dir(fb) if not n.startswith("_")}
    namespace.update({n: native.function(n) for n in RECORDS})
    got = eval(call, namespace)
    show = lambda x: np.asarray(x.numpy(), dtype="f8")  # noqa: E731
    want = eval(result, {"nan": np.nan, "inf": np.inf, "True": True, "False": False})
    if isinstance(got, (list, tuple)):
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(show(g), np.asarray(w, "f8"), atol=6e-5)
    else:
        np.testing.assert_allclose(show(got), np.asarray(want, "f8"), atol=6e-5, rtol=1e-4)
