"""Attention as users meet it: memory, views, threads, masks, the layer. The op itself, its gradients
and its edges are in tests/ops/samples/attention.py."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb

attend = fb.nn.scaled_dot_product_attention


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def reference(q, k, v, mask=None, causal=False, scale=None):
    s = q.astype("f8") @ np.swapaxes(k, -1, -2) * (scale or q.shape[-1] ** -0.5)
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) @ v


def gradients(f, *xs):
    with fb.tape() as tape:
        y = f(*xs)
    return tape.gradients(y, list(xs))


def training_step(length: int):
    @fb.graph
    def step(q, k, v):
        loss = fb.sum(attend(q, k, v, causal=True) ** 2)
        return fb.gradients(loss, [q, k, v])

    x = [fb.asarray(normal(1, 2, length, 16, seed=i)) for i in range(3)]
    fb.memory.reset_peak()
    before = fb.memory.stats().live
    step(*x)
    return fb.memory.stats().peak - before


def test_memory_grows_with_the_length_and_not_with_its_square() -> None:
    short, long = training_step(512), training_step(2048)
    assert long < 2 * 2048 * 2048 * 4  # one matrix of scores of both heads
    assert long < 6 * max(short, 1)


@pytest.mark.parametrize("causal", [False, True])
def test_heads_may_be_views_of_one_projection(causal: bool) -> None:
    b, t, heads, d = 2, 130, 3, 8
    qkv = fb.asarray(normal(b, t, 3, heads, d))
    q, k, v = (fb.permute_dims(x, (0, 2, 1, 3)) for x in fb.unstack(qkv, 2))
    got = attend(q, k, v, causal=causal)
    want = reference(q.numpy(), k.numpy(), v.numpy(), causal=causal)
    np.testing.assert_allclose(got.numpy(), want, rtol=2e-5, atol=2e-6)
    again = attend(*(fb.asarray(np.ascontiguousarray(x.numpy())) for x in (q, k, v)), causal=causal)
    np.testing.assert_array_equal(got.numpy(), again.numpy())


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (5, 5), (70, 70), (130, 300), (300, 130)])
def test_gradients_at_every_edge_of_the_blocks(queries: int, keys: int, causal: bool) -> None:
    q, k, v = (normal(2, n, d, seed=n) for n, d in [(queries, 12), (keys, 12), (keys, 20)])
    dy = normal(2, queries, 20, seed=7)
    hidden = np.where(np.tri(queries, keys) > 0, 0, -np.inf if causal else 0).astype(np.float32)

    def plain(q, k, v):
        s = fb.asarray(q) @ fb.permute_dims(fb.asarray(k), (0, 2, 1)) * 12**-0.5
        return fb.nn.softmax(s + hidden) @ v

    for f in (lambda *x: attend(*x, causal=causal), plain):
        x = [fb.asarray(a) for a in (q, k, v)]
        with fb.tape() as tape:
            y = f(*x)
            loss = fb.sum(y * dy)
        results = [y.numpy(), *(g.numpy() for g in tape.gradients(loss, x))]
        if f is not plain:
            got = results
    for a, b in zip(got, results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    q, k, v = (fb.asarray(normal(1, 2, 200, 16, seed=i)) for i in range(3))

    def run() -> list[np.ndarray]:
        def f(q, k, v):
            return fb.sum(fb.sin(attend(q, k, v, causal=True)))

        return [g.numpy() for g in gradients(f, q, k, v)]

    threads = fb.get_num_threads()
    try:
        results = []
        for n in (1, 2, 3):
            fb.set_num_threads(n)
            results.append(run())
    finally:
        fb.set_num_threads(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_masks_and_scales_are_those_of_the_formula() -> None:
    q, k, v = normal(2, 3, 20, 8), normal(2, 3, 30, 8, seed=1), normal(2, 3, 30, 5, seed=2)
    allowed = np.random.default_rng(3).random((2, 1, 20, 30)) > 0.3
    bias = normal(3, 20, 30, seed=4)
    for mask in (allowed, bias, bias.astype(np.float64)):
        got = attend(q, k, v, mask=mask, scale=0.3)
        np.testing.assert_allclose(
            got.numpy(), reference(q, k, v, mask, scale=0.3), rtol=3e-5, atol=3e-6
        )
    even = attend(q, k, v, scale=0.0).numpy()
    np.testing.assert_allclose(
        even, np.broadcast_to(v.mean(2, keepdims=True), even.shape), 1e-4, 1e-5
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("causal", [False, True])
def test_the_short_ways_have_the_bits_of_the_general_one(dtype: str, causal: bool) -> None:
    """Without a mask, with one, and where scores are extreme, whose exponential is 0 as well."""
    q, k, v, dy = (normal(2, 100, 12, seed=i).astype(dtype) for i in range(4))
    hidden = np.random.default_rng(4).random((100, 100)) < 0.3
    hidden[:, 0] = False

    def run(mask) -> list[np.ndarray]:
        x = [fb.asarray(a) for a in (q, k, v)]
        with fb.tape() as tape:
            y = attend(*x, mask=mask, causal=causal)
            loss = fb.sum(y * dy)
        return [y.numpy(), *(g.numpy() for g in tape.gradients(loss, x))]

    extreme = np.where(hidden, -2000, 0).astype(dtype)
    for one, other in [
        (None, np.zeros((100, 100), dtype)),
        (extreme, np.where(hidden, -np.inf, 0).astype(dtype)),
        (extreme, ~hidden),
    ]:
        for a, b in zip(run(one), run(other), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [5, 10, 30, 100])
@pytest.mark.parametrize("keys", [40, 300])
def test_large_scores_take_part_as_they_should(size: float, keys: int) -> None:
    """Their exponentials are subnormal, zero, or too large but for the maximum; a second block of
    keys may have larger ones than the first."""
    q, k, v = normal(2, 50, 12), normal(2, keys, 12, seed=1), normal(2, keys, 12, seed=2)
    q *= size
    k[:, keys // 2 :] *= 2
    np.testing.assert_allclose(attend(q, k, v).numpy(), reference(q, k, v), rtol=1e-2, atol=1e-4)
    x = [fb.asarray(a) for a in (q, k, v)]
    for g in gradients(lambda *x: fb.sum(attend(*x) ** 2), *x):
        assert np.isfinite(g.numpy()).all()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("at", [0, 100, 299])
def test_one_score_may_be_too_large_to_go_without_a_maximum(at: int, causal: bool) -> None:
    """In the first block of keys, at its end, or in the second one; seen by some queries or by all
    others than them."""
    q, k, v = normal(2, 300, 12), normal(2, 300, 12, seed=1), normal(2, 300, 12, seed=2)
    k[:, at] *= 40
    got = attend(q, k, v, causal=causal).numpy()
    np.testing.assert_allclose(got, reference(q, k, v, causal=causal), 2e-4, 2e-5)
    x = [fb.asarray(a) for a in (q, k, v)]
    wide = [fb.asarray(a.astype("f8")) for a in (q, k, v)]
    f = lambda *x: fb.sum(attend(*x, causal=causal) ** 2)  # noqa: E731
    for g, w in zip(gradients(f, *x), gradients(f, *wide), strict=True):
        # A score of 140 is known to 1e-5, and keys are 40 times as large.
        np.testing.assert_allclose(g.numpy(), w.numpy(), 1e-2, 1e-2)


@pytest.mark.parametrize("causal", [False, True])
def test_huge_values_do_not_overflow_under_large_scores(causal: bool) -> None:
    q, k, v = normal(1, 70, 8), normal(1, 70, 8, seed=1), normal(1, 70, 8, seed=2)
    q[0, :] = k[0, 0] = 9.0  # scores of 229 * 0.125 = 28.6
    got = attend(q, k, v * np.float32(1e30), causal=causal, scale=1 / 8).numpy() / 1e30
    assert np.isfinite(got).all()
    want = reference(q, k, v, causal=causal, scale=1 / 8)
    np.testing.assert_allclose(got, want, 2e-4, 2e-5)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("queries", [1, 2, 3, 66])
def test_few_queries_are_answered_as_many_are(queries: int, causal: bool, dtype: str) -> None:
    """Also the last ones of a head; with grouped heads, and operands in any layout."""
    tolerance = 2e-5 if dtype == "f4" else 1e-13
    q = normal(3, 4, queries, 12).astype(dtype)
    k, v = (normal(3, 2, 300, n, seed=n).astype(dtype) for n in (12, 20))
    mask = np.random.default_rng(5).random((queries, 300)) < 0.7
    mask[:, 0] = True
    all_k, all_v = (np.repeat(x, 2, axis=1) for x in (k, v))
    for m in (None, mask, normal(queries, 300, seed=6).astype(dtype)):
        want = reference(q, all_k, all_v, mask=m, causal=causal)
        got = attend(q, k, v, mask=m, causal=causal).numpy()
        np.testing.assert_allclose(got, want, tolerance, tolerance)
        lying = [
            fb.permute_dims(fb.asarray(np.swapaxes(x, -1, -2).copy()), (0, 1, 3, 2))
            for x in (q, k, v)
        ]
        got = attend(*lying, mask=m, causal=causal).numpy()
        np.testing.assert_allclose(got, want, tolerance, tolerance)


def test_a_query_that_may_look_nowhere_gives_zeros_and_no_gradient() -> None:
    q, k, v = (fb.asarray(normal(1, 1, 4, 3, seed=i)) for i in range(3))
    mask = np.ones((4, 4), bool)
    mask[2] = False
    y = attend(q, k, v, mask=mask).numpy()
    assert (y[0, 0, 2] == 0).all()
    assert np.isfinite(y).all()
    dq, dk, dv = gradients(lambda *x: fb.sum(attend(*x, mask=mask) ** 2), q, k, v)
    assert (dq.numpy()[0, 0, 2] == 0).all()
    assert all(np.isfinite(d.numpy()).all() for d in (dq, dk, dv))


def test_nan_is_seen_where_it_is_and_nowhere_else() -> None:
    q = normal(1, 1, 100, 4)
    q[0, 0, 70, 1] = np.nan
    y = attend(q, normal(1, 1, 100, 4, seed=1), normal(1, 1, 100, 4, seed=2), causal=True).numpy()
    assert np.isnan(y[0, 0, 70]).all()
    assert np.isfinite(np.delete(y, 70, 2)).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("length", "at"), [(7, 3), (66, 65), (100, 70), (300, 266)])
def test_what_is_not_finite_is_not_seen_from_before(dtype: str, bad: float, length, at) -> None:
    """Zeros of the triangle don't make NaN of it, in the results nor in any gradient."""
    q, k, v, dy = (normal(1, 1, length, 20, seed=i).astype(dtype) for i in range(4))

    def run(q, k, v, dy):
        x = [fb.asarray(a) for a in (q, k, v)]
        with fb.tape() as tape:
            y = attend(*x, causal=True)
            loss = fb.sum(y * dy)
        return [y.numpy()[0, 0], *(g.numpy()[0, 0] for g in tape.gradients(loss, x))]

    want = run(q, k, v, dy)
    for which in range(4):
        with_bad = [a.copy() for a in (q, k, v, dy)]
        with_bad[which][0, 0, at, 3] = bad
        y, dq, dk, dv = run(*with_bad)
        # Keys and values are seen by later queries; queries and dy see earlier keys and values.
        clean = slice(0, at) if which in (1, 2) else slice(at + 1, length)
        if which != 3:
            np.testing.assert_array_equal(y[clean], want[0][clean])
        np.testing.assert_array_equal(dq[clean], want[1][clean])
        if which in (0, 3):
            np.testing.assert_array_equal(dk[clean], want[2][clean])
            np.testing.assert_array_equal(dv[clean], want[3][clean])


def test_grouped_heads_are_repeated_heads() -> None:
    q, k, v = normal(2, 6, 9, 4), normal(2, 2, 9, 4, seed=1), normal(2, 2, 9, 4, seed=2)
    wide = [np.repeat(x, 3, 1) for x in (k, v)]
    np.testing.assert_allclose(attend(q, k, v).numpy(), reference(q, *wide), rtol=2e-5, atol=2e-6)


def test_a_float_mask_has_a_gradient() -> None:
    q, k, v = (normal(1, 2, 5, 4, seed=i).astype(np.float64) for i in range(3))
    bias = fb.asarray(normal(2, 1, 5, seed=3).astype(np.float64))
    f = lambda m: fb.sum(fb.sin(attend(q, k, v, mask=m)))  # noqa: E731
    g = gradients(f, bias)[0].numpy()
    step = np.zeros_like(g)
    step[1, 0, 2] = 1e-6
    difference = (f(fb.asarray(bias.numpy() + step)) - f(fb.asarray(bias.numpy() - step))).item()
    assert g[1, 0, 2] == pytest.approx(difference / 2e-6, rel=1e-5)


def test_the_layer_attends_to_itself_and_to_a_context() -> None:
    layer = fb.nn.MultiHeadAttention(4, kv_heads=2, causal=True)
    x = fb.asarray(normal(2, 7, 16))
    y = layer(x)
    assert y.shape == (2, 7, 16)
    first = layer(x[:, :3]).numpy()  # causal: what comes later changes nothing
    np.testing.assert_allclose(y.numpy()[:, :3], first, rtol=1e-4, atol=1e-6)
    assert len(layer.parameters()) == 8
    cross = fb.nn.MultiHeadAttention(2, size=5)
    assert cross(x, fb.asarray(normal(2, 3, 10))).shape == (2, 7, 16)


@pytest.mark.parametrize(
    ("error", "text", "make"),
    [
        (fb.ArgumentError, "kv_heads is 2", lambda: fb.nn.MultiHeadAttention(3, kv_heads=2)),
        (fb.ArgumentError, "heads is 0", lambda: fb.nn.MultiHeadAttention(0)),
        (
            fb.ShapeError,
            "do not divide",
            lambda: fb.nn.MultiHeadAttention(3)(fb.asarray(normal(2, 7, 16))),
        ),
    ],
)
def test_the_layer_refuses_what_does_not_fit(error: type, text: str, make) -> None:
    with pytest.raises(error, match=text):
        make()
