"""Minimax polynomials with rounded coefficients: where the numbers of csrc/cpu/scalar come from.

`fit` runs Remez's exchange in 60 digits on the relative (or weighted) error, rounds the leading coefficient it returns
to the working format, fits the others again around it, and so on, so that later coefficients make up for the rounding
of earlier ones. `python coefficients.py` prints every set used.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def _solve(f, basis, weight, points):
    n = len(basis)
    a = mp.matrix(n + 1, n + 1)
    b = mp.matrix(n + 1, 1)
    for i, x in enumerate(points):
        for j, phi in enumerate(basis):
            a[i, j] = phi(x)
        a[i, n] = (-1) ** i / weight(x)
        b[i] = f(x)
    s = mp.lu_solve(a, b)
    return [s[j] for j in range(n)], abs(s[n])


def remez(f, basis, weight, lo, hi, rounds=12, grid=600):
    """Coefficients c minimising max |weight(x) (f(x) - sum c_i basis_i(x))| on [lo, hi], and that maximum."""
    n = len(basis)
    lo, hi = mp.mpf(lo), mp.mpf(hi)
    points = [
        (lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * n + 2))
        for i in range(n + 1)
    ]
    xs = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * i / grid) for i in range(grid + 1)]
    fx = [f(x) for x in xs]
    wx = [weight(x) for x in xs]
    bx = [[phi(x) for phi in basis] for x in xs]
    worst, best = None, None
    for _ in range(rounds):
        c, level = _solve(f, basis, weight, points)
        err = [w * (y - mp.fdot(c, b)) for w, y, b in zip(wx, fx, bx)]
        extrema = []
        for i, e in enumerate(err):  # the largest of each run of one sign
            if extrema and (e > 0) == (err[extrema[-1]] > 0):
                if abs(e) > abs(err[extrema[-1]]):
                    extrema[-1] = i
            else:
                extrema.append(i)
        worst = max(abs(e) for e in err)
        if best is None or worst < best[1]:
            best = c, worst
        while len(extrema) > n + 1:
            extrema.pop(0 if abs(err[extrema[0]]) < abs(err[extrema[-1]]) else -1)
        if len(extrema) < n + 1 or worst <= level * mp.mpf("1.0001"):
            break
        points = [xs[i] for i in extrema]
    return best


def rounder(bits: int) -> Callable:
    return (
        (lambda v: mp.mpf(float(np.float32(float(v)))))
        if bits == 24
        else (lambda v: mp.mpf(float(v)))
    )


def fit(f, powers, lo, hi, *, weight=None, bits=24, fixed=None):
    """Rounded coefficients of x**p for p in powers. `fixed` gives coefficients in advance: {power: value}."""
    signed = weight or (lambda x: 1 / f(x))
    weight = lambda x: abs(signed(x))  # alternation needs one sign
    rnd = rounder(bits)
    done = {p: mp.mpf(v) for p, v in (fixed or {}).items()}
    worst = None
    for p in sorted(powers):
        if p in done:
            continue
        rest = [q for q in powers if q not in done]
        target = lambda x: f(x) - mp.fsum(v * x**q for q, v in done.items())
        c, worst = remez(target, [lambda x, q=q: x**q for q in rest], weight, lo, hi)
        done[p] = rnd(dict(zip(rest, c))[p])
    xs = [mp.mpf(lo) + (mp.mpf(hi) - mp.mpf(lo)) * i / 1000 for i in range(1001)]
    error = max(abs(weight(x) * (f(x) - mp.fsum(v * x**q for q, v in done.items()))) for x in xs)
    return {q: done[q] for q in sorted(done)}, float(mp.log(error, 2))


def quotient(f, n, m, lo, hi, *, weight, first, rounds=6):
    """Rounded coefficients of p and q, of degrees n and m and with p(0) = first, whose quotient is next to f.

    p - f q is linear in both; its weight comes from the q of the round before. p is fitted once more to f times the
    rounded q.
    """
    basis = [lambda x, i=i: x**i for i in range(n + 1)]
    basis += [lambda x, i=i: -f(x) * x**i for i in range(1, m + 1)]
    q = [mp.mpf(1)]
    for _ in range(rounds):
        at = lambda x, q=q: mp.polyval(q[::-1], x)
        c, _ = remez(f, basis, lambda x, at=at: weight(x) / at(x), lo, hi, rounds=20, grid=400)
        q = [mp.mpf(1), *c[n + 1 :]]
    q = [rounder(24)(v * first / f(mp.mpf(lo))) for v in q]
    below = lambda x: mp.polyval(q[::-1], x)
    p = fit(
        lambda x: f(x) * below(x),
        range(n + 1),
        lo,
        hi,
        weight=lambda x: weight(x) / below(x),
        fixed={0: first},
    )
    return p, (dict(enumerate(q)), p[1])


def show(name, result, bits=24):
    coefficients, error = result
    print(f"{name}: 2^{error:.1f}")
    for p, v in coefficients.items():
        text = (
            np.format_float_scientific(np.float32(float(v)), unique=True) + "f"
            if bits == 24
            else repr(float(v))
        )
        print(f"  x^{p:<3} {text:>24}   {float(v).hex()}")
