"""Prints the polynomials of csrc/cpu/scalar, one set a function; pass names to choose."""

from __future__ import annotations

import sys

import mpmath as mp
from minimax import fit, quotient, show

LN2 = mp.log(2)


def ratio(g):
    """g continued to 0, where it is 0/0."""
    return lambda x: g(x if abs(x) > mp.mpf(10) ** -25 else mp.mpf(10) ** -25)


def log1p_tail(x):  # (log(1 + x) - x) / x^2
    return (mp.log1p(x) - x) / x**2


def odd(g):  # (g(sqrt z) / sqrt z - 1) / z, and the weight that makes its error relative to g
    return (
        ratio(lambda z: (g(mp.sqrt(z)) / mp.sqrt(z) - 1) / z),
        ratio(lambda z: z * mp.sqrt(z) / g(mp.sqrt(z))),
    )


def odd_fit(g, n, hi, bits):
    f, w = odd(g)
    return fit(f, range(n), 0, hi, weight=w, bits=bits)


def erfcx_mapped(t):  # exp(a^2) erfc(a) (a + 3) with t = (a - 3) / (a + 3)
    a = 3 * (1 + t) / (1 - t)
    return mp.exp(a * a) * mp.erfc(a) * (a + 3)


def normal_ratio(a):  # of a normal distribution's density to what lies above a
    return mp.npdf(a) / (mp.erfc(a / mp.sqrt(2)) / 2)


def normal_fit():
    """p / q = normal_ratio(a) - a. With this p(0) the float q(0) is right to 2^-31."""
    return quotient(
        lambda a: normal_ratio(a) - a,
        4,
        5,
        0,
        mp.mpf("14.6"),
        weight=lambda a: 1 / normal_ratio(a),
        first=mp.mpf("1.490234375"),
    )


THIRD = mp.mpf(1) / 3
SETS = {
    # float32, computed in float32
    "exp_f": lambda: fit(mp.exp, range(7), -LN2 / 2, LN2 / 2, fixed={0: 1, 1: 1}),
    "exp2_f": lambda: fit(lambda x: mp.power(2, x), range(7), -0.5, 0.5, fixed={0: 1}),
    "expm1_f": lambda: fit(
        ratio(lambda x: (mp.expm1(x) - x) / x**2),
        range(5),
        -LN2 / 2,
        LN2 / 2,
        weight=ratio(lambda x: x**2 / mp.expm1(x)),
        fixed={0: 0.5},
    ),
    "log_f": lambda: fit(
        ratio(log1p_tail),
        range(9),
        -THIRD,
        THIRD,
        fixed={0: -0.5},
        weight=ratio(lambda x: x**2 / mp.log1p(x)),
    ),
    "tanh_step_f": lambda: odd_fit(mp.tanh, 3, (LN2 / 4) ** 2, 24),
    "sin_f": lambda: odd_fit(mp.sin, 3, (mp.pi / 4) ** 2, 24),
    "cos_f": lambda: fit(
        lambda z: mp.cos(mp.sqrt(z)), range(5), 0, (mp.pi / 4) ** 2, fixed={0: 1, 1: -0.5}
    ),
    "asin_f": lambda: odd_fit(mp.asin, 5, 0.25, 24),
    "atan_f": lambda: odd_fit(mp.atan, 9, 1, 24),
    "erf_f": lambda: fit(
        ratio(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1),
        range(7),
        0,
        1,
        weight=ratio(lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z))),
    ),
    # log2(erfc(a)), where erf(a) = 1 - erfc(a)
    "erf_tail_f": lambda: fit(lambda a: mp.log(mp.erfc(a)) / LN2, range(7), 1, 4, weight=mp.erfc),
    "normal_p_f": lambda: normal_fit()[0],
    "normal_q_f": lambda: normal_fit()[1],
    # "wide": computed in double for float32 results
    "exp2_w": lambda: fit(lambda x: mp.power(2, x), range(8), -0.5, 0.5, bits=53),
    "log_w": lambda: fit(
        ratio(log1p_tail),
        range(14),
        -THIRD,
        THIRD,
        weight=ratio(lambda x: x**2 / mp.log1p(x)),
        bits=53,
    ),
    "sin_w": lambda: odd_fit(mp.sin, 4, (mp.pi / 4) ** 2, 53),
    "cos_w": lambda: fit(lambda z: mp.cos(mp.sqrt(z)), range(6), 0, (mp.pi / 4) ** 2, bits=53),
    "sinh_w": lambda: odd_fit(mp.sinh, 5, 1, 53),
    "erfcx_w": lambda: fit(erfcx_mapped, range(12), -1, mp.mpf(8) / 14, bits=53),
    # erfinv(x) / x over w = -log(1 - x^2), and over sqrt(w) beyond
    "erfinv_w": lambda: fit(
        ratio(lambda w: mp.erfinv(mp.sqrt(-mp.expm1(-w))) / mp.sqrt(-mp.expm1(-w))),
        range(12),
        0,
        mp.mpf("6.25"),
        bits=53,
    ),
    "erfinv_tail_w": lambda: fit(
        lambda s: mp.erfinv(mp.sqrt(-mp.expm1(-s * s))), range(9), 2.5, 4.1, bits=53
    ),
    # float64
    "exp_d": lambda: fit(mp.exp, range(13), -LN2 / 2, LN2 / 2, fixed={0: 1, 1: 1, 2: 0.5}, bits=53),
    "expm1_d": lambda: fit(
        ratio(lambda x: (mp.expm1(x) - x) / x**2),
        range(11),
        -LN2 / 2,
        LN2 / 2,
        weight=ratio(lambda x: x**2 / mp.expm1(x)),
        fixed={0: 0.5},
        bits=53,
    ),
    # log(1 + f) = 2 atanh(s) with s = f / (2 + f): (2 atanh(s) / s - 2) / s^2 in z = s^2
    "log_d": lambda: fit(
        ratio(lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z),
        range(8),
        0,
        ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2,
        weight=lambda z: z,
        bits=53,
    ),
}

if __name__ == "__main__":
    for name in sys.argv[1:] or SETS:
        show(name, SETS[name](), 53 if name.endswith(("_d", "_w")) else 24)
