"""Hammers random ops with random arguments, eagerly and in graphs. Nothing may crash the process,
hang, raise an untyped error or report a bug of our own.

    python tests/fuzz_ops.py --seconds 60 --seed 3
    python tests/fuzz_ops.py --replay 3:1234        # one call of one seed

Each call is announced in a journal (a memory-mapped file) before it runs, so that after a crash
the parent process can name the call. Seeds make runs repeatable.
"""

from __future__ import annotations

import argparse
import faulthandler
import mmap
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64", "float32", "float32"]
RARE = [
    "int8",
    "int16",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "bfloat16",
    "complex64",
    "complex128",
]
SIZES = [0, 1, 1, 2, 3, 3, 4, 5, 7, 8, 17, 33]
INTS = [
    0,
    1,
    -1,
    2,
    -2,
    3,
    7,
    31,
    64,
    255,
    256,
    -300,
    2**31 - 1,
    -(2**31),
    2**31,
    2**40,
    2**62,
    2**63 - 1,
    -(2**63),
    2**63,
    2**70,
]
FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.1,
    1e-42,
    1e38,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    2.0,
]
STRINGS = ["", "none", "tanh", "left", "right", "float32", "no such thing", "\x00", "é" * 50]


class Fuzzer:
    def __init__(self, seed: int) -> None:
        import numpy as np
        from ops import native

        import flowbook as fb

        self.fb, self.np, self.native = fb, np, native
        fb.memory.set_limit(256 << 20)  # what asks for gigabytes is refused, not computed
        self.records = native.records()
        self.names = sorted(self.records)
        self.seed = seed
        self.typed = (
            fb.FlowbookError,
            TypeError,
            ValueError,
            OverflowError,
            IndexError,
            MemoryError,
        )
        self.counts = {"ran": 0, "refused": 0}

    def case(self, number: int):
        """(name, inputs, attributes, mode) of a call: a function of seed and number only."""
        r = self.r = random.Random(f"{self.seed}:{number}")
        self.g = self.np.random.default_rng([self.seed & 0x7FFFFFFF, number])
        name = r.choice(self.names)
        record = self.records[name]
        shape = self.shape()
        self.common = r.choice(DTYPES)
        inputs = [self.input(i, shape) for i in record["inputs"]]
        if record.get("variadic") or (len(inputs) == 1 and name in ("concat", "stack")):
            inputs = [
                [
                    self.input(record["inputs"][0], shape)
                    for _ in range(r.choice([0, 1, 2, 2, 3, 9]))
                ]
            ]
        if r.random() < 0.03 and inputs:
            inputs.pop()
        if r.random() < 0.02:
            inputs.append(self.input({"name": "x"}, shape))
        attrs = {}
        for a in record["attrs"]:
            if r.random() < 0.75:
                attrs[a["name"]] = self.attr(a, shape)
        if r.random() < 0.02:
            attrs["no_such"] = 1
        return name, inputs, attrs, r.choice(["eager", "eager", "graph", "tape"])

    def shape(self) -> tuple[int, ...]:
        return tuple(
            self.r.choice(SIZES) for _ in range(self.r.choice([0, 1, 1, 2, 2, 2, 3, 3, 4]))
        )

    def related(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Often the same shape, often one that broadcasts or contracts, sometimes anything."""
        r = self.r
        choice = r.random()
        if choice < 0.5:
            return shape
        if choice < 0.65:
            return tuple(1 if r.random() < 0.4 else n for n in shape)
        if choice < 0.75:
            return shape[r.randint(0, len(shape)) :] if shape else shape
        if choice < 0.85:
            return tuple(reversed(shape))
        return self.shape()

    def input(self, record: dict, shape: tuple[int, ...]):
        r, g, np, fb = self.r, self.g, self.np, self.fb
        junk = r.random()
        if junk < 0.02:
            return r.choice([None, "text", [], [1, 2], {}, object, 2**70, float("nan"), (1.0, 2.0)])
        if junk < 0.07:
            return r.choice([0, 1, -1, 2.5, True, 1e300])
        shape = self.related(shape)
        name = record["name"]
        if name in ("indices", "index", "targets", "labels", "key") and r.random() < 0.85:
            if name == "key" and r.random() < 0.7:
                shape = (2,)
            high = r.choice([1, 2, 3, 5, 100, 2**40])
            a = g.integers(-high if r.random() < 0.3 else 0, high, shape)
            return fb.asarray(a.astype(r.choice(["int64", "int64", "int32"])))
        dtype = self.common if r.random() < 0.8 else r.choice(DTYPES)
        if r.random() < 0.04:
            dtype = r.choice(RARE)
        a = g.normal(size=shape) * r.choice([1, 1, 1, 1e-30, 1e30, 100])
        if shape and a.size and r.random() < 0.2:
            a.ravel()[g.integers(0, a.size, 1 + a.size // 4)] = r.choice(FLOATS)
        if dtype == "bool":
            a = a > 0
        elif "int" in dtype:
            i = np.iinfo(dtype)
            with np.errstate(all="ignore"):
                a = np.clip(np.nan_to_num(a), -1e6, 1e6).astype("int64").astype(dtype)
            if a.size and r.random() < 0.3:
                a = a.copy()
                a.ravel()[0] = r.choice([i.min, i.max])
        elif dtype == "bfloat16":
            return fb.astype(fb.asarray(a.astype("float32")), fb.bfloat16)
        else:
            with np.errstate(all="ignore"):
                a = a.astype(dtype)
        t = fb.asarray(a)
        if t.ndim and r.random() < 0.25:
            how = r.random()
            if how < 0.3:
                t = t[::-1]
            elif how < 0.6:
                t = fb.permute_dims(t, tuple(r.sample(range(t.ndim), t.ndim)))
            elif how < 0.8:
                t = t[..., ::2]
            elif t.ndim < 7:
                t = fb.broadcast_to(t, (r.choice([0, 1, 3]), *t.shape))
        return t

    def attr(self, record: dict, shape: tuple[int, ...]):
        r = self.r
        kind = record["kind"]
        if r.random() < 0.04:
            return r.choice(
                [None, "a", 1.5, [], [None], object(), 2**80, {}, b"x", [[1]], True, -1]
            )
        axis = lambda: r.choice([*range(-len(shape) - 1, len(shape) + 1), 0, -1])  # noqa: E731
        size = lambda: r.choice([*shape, *SIZES, -1])  # noqa: E731
        if "axis" in record["name"] or kind == "axes":
            if kind == "int":
                return axis()
            return r.choice([None, axis(), (axis(),), (axis(), axis()), ()])
        if kind == "bool":
            return r.choice([True, False])
        if kind == "int":
            return r.choice([axis(), size(), r.choice(INTS)])
        if kind == "float":
            return r.choice([r.choice(FLOATS), 0.5, 1])
        if kind == "string":
            return r.choice(STRINGS)
        if kind == "dtype":
            return r.choice(
                [None, getattr(self.fb, r.choice(DTYPES)), getattr(self.fb, r.choice(RARE))]
            )
        if kind in ("shape", "dim"):
            if kind == "dim":
                return r.choice([size(), r.choice(INTS)])
            if r.random() < 0.3:
                total = 1
                for n in shape:
                    total *= n
                return r.choice([(total,), (-1,), (1, total), tuple(reversed(shape))])
            if r.random() < 0.1:
                return (r.choice(INTS), r.choice(INTS))
            return tuple(size() for _ in range(r.choice([0, 1, 2, 2, 3, 9])))
        if kind == "ints":
            n = r.choice([len(shape), len(shape), 2 * len(shape), 1, 0])
            few = [axis(), size(), 0, 1] + ([r.choice(INTS)] if r.random() < 0.2 else [])
            return tuple(r.choice(few) for _ in range(n))
        return r.choice([r.choice(INTS), r.choice(FLOATS), True, 0.5])

    def run(self, number: int) -> str | None:
        """None, or what is wrong with the way the call ended."""
        fb, native = self.fb, self.native
        name, inputs, attrs, mode = self.case(number)
        f = native.function(name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if mode == "eager":
                    outputs = f(*inputs, **attrs)
                elif mode == "graph":
                    outputs = fb.graph(lambda: f(*inputs, **attrs))()
                else:
                    with fb.tape() as t:
                        outputs = f(*inputs, **attrs)
                        total = sum(
                            (fb.sum(o) for o in native.listed(outputs) if "float" in str(o.dtype)),
                            fb.asarray(0.0),
                        )
                    xs = [
                        x
                        for x in native.flat(inputs)
                        if isinstance(x, fb.Tensor) and "float" in str(x.dtype)
                    ]
                    if xs:
                        for x, dx in zip(xs, t.gradients(total, xs)):
                            if dx.shape != x.shape or dx.dtype != x.dtype:
                                return f"the gradient of {native.spec(x)} is {native.spec(dx)}"
                for o in native.listed(outputs):
                    if o.size < 1e6:
                        o.numpy().sum()
        except fb.InternalError as error:
            return f"InternalError: {error}"
        except self.typed as error:
            self.counts["refused"] += 1
            if not str(error) and not isinstance(error, MemoryError):
                return f"{type(error).__name__} without a message"
            if "This is a bug" in str(error):
                return str(error)
        except Exception as error:
            return f"untyped {type(error).__name__}: {error}\n{traceback.format_exc()}"
        else:
            self.counts["ran"] += 1
        try:
            if float(fb.sum(fb.ones(3))) != 3.0:
                return "1 + 1 + 1 is not 3 any more"
        except Exception as error:
            return f"after it even a sum fails: {error}"
        return None

    def describe(self, number: int) -> str:
        name, inputs, attrs, mode = self.case(number)

        def show(x):
            if isinstance(x, list):
                return "[" + ", ".join(map(show, x)) + "]"
            return self.native.spec(x) if isinstance(x, self.fb.Tensor) else repr(x)

        parts = [show(x) for x in inputs] + [f"{k}={v!r}" for k, v in attrs.items()]
        return f"{mode} {name}({', '.join(parts)})"


def child(options: argparse.Namespace) -> int:
    faulthandler.enable()
    fuzzer = Fuzzer(options.seed)
    with open(options.journal, "r+b") as f:
        journal = mmap.mmap(f.fileno(), 32)
    end = time.monotonic() + options.seconds
    bad, number = {}, options.start
    while time.monotonic() < end and number < options.start + options.calls:
        journal[:32] = f"{number}".encode().ljust(32)
        started = time.monotonic()
        problem = fuzzer.run(number)
        took = time.monotonic() - started
        if problem is None and took > 5:
            problem = f"took {took:.1f} s"
        if problem:
            name = fuzzer.case(number)[0]
            kind = (name, problem.split("\n")[0][:60])
            if kind not in bad:
                bad[kind] = number
                print(
                    f"--replay {options.seed}:{number}  {fuzzer.describe(number)}\n    {problem}",
                    flush=True,
                )
        number += 1
    print(
        f"seed {options.seed}: {number - options.start} calls, {fuzzer.counts}, "
        f"{len(bad)} problems",
        flush=True,
    )
    return 1 if bad else 0


def parent(options: argparse.Namespace) -> int:
    """Runs children until the time is over; a crash costs one child and is a finding."""
    findings, start = 0, 0
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        with tempfile.NamedTemporaryFile() as journal:
            journal.write(b" " * 32)
            journal.flush()
            command = [
                sys.executable,
                __file__,
                "--journal",
                journal.name,
                "--seed",
                str(options.seed),
            ]
            command += ["--start", str(start), "--seconds", str(max(1.0, end - time.monotonic()))]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=options.seconds + 120
            )
            print(done.stdout, end="")
            journal.seek(0)
            at = journal.read().strip() or b"0"
        if done.returncode == 0:
            break
        findings += 1
        if done.returncode == 1 and "problems" in done.stdout:
            break
        print(f"CRASH, exit {done.returncode}, at --replay {options.seed}:{int(at)}")
        print(done.stderr[-6000:])
        start = int(at) + 1
        if findings > 20:
            break
    return 1 if findings else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calls", type=int, default=10**9)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--journal", help=argparse.SUPPRESS)
    parser.add_argument("--replay", metavar="SEED:NUMBER")
    options = parser.parse_args()
    if options.replay:
        seed, number = map(int, options.replay.split(":"))
        fuzzer = Fuzzer(seed)
        print(fuzzer.describe(number), flush=True)
        problem = fuzzer.run(number)
        print(problem or "fine")
        return 1 if problem else 0
    return child(options) if options.journal else parent(options)


if __name__ == "__main__":
    sys.exit(main())
