"""Steps count applied updates, and nothing is compiled twice while rates change."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise import cosine, linear, warmup
from layerwise.optax import learning_rates, scale_by_multipliers, with_multipliers
from tests._support.optax.trees import bits, make_gradients, make_params, train, train_compiled

SCHEDULE = warmup(3) >> cosine(5, end=0.1)
RULES = {"low": linear(6, start=1.0, end=0.2), "middle": 0.5}


def around(optimizer: Any) -> Any:
    return with_multipliers(optimizer, RULES, schedule=SCHEDULE)


def chained(optimizer: Any) -> Any:
    return optax.chain(optimizer, scale_by_multipliers(RULES, schedule=SCHEDULE))


WAYS = pytest.mark.parametrize("way", [around, chained])


def count_of(state: Any) -> int:
    (found,) = optax.tree_utils.tree_get_all_with_path(state, "MultipliersState")
    return int(found[1].count)


@WAYS
def test_gradient_accumulation(way: Any) -> None:
    """Three calls are one update, of the mean of their gradients."""
    k = 3

    def mean(step: int) -> Any:
        parts = [make_gradients(k * step + i) for i in range(k)]
        return jax.tree.map(lambda *leaves: sum(leaves) / k, *parts)

    start = make_params()
    accumulating = optax.MultiSteps(way(optax.adam(0.01)), k)
    mine, state = train_compiled(accumulating, start, steps=4 * k + 2)
    theirs, _ = train_compiled(way(optax.adam(0.01)), start, steps=4, gradients=mean)
    assert count_of(state) == 4
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        # MultiSteps keeps a running mean, which rounds differently from a sum.
        np.testing.assert_allclose(a, b, rtol=1e-5)
    rates = learning_rates(state, start, learning_rate=1.0)
    assert rates["low/bias"] == pytest.approx(SCHEDULE(3) * RULES["low"](3))


@WAYS
def test_a_skipped_update_does_not_advance(way: Any) -> None:
    def broken(step: int) -> Any:
        return jax.tree.map(lambda leaf: leaf * (jnp.nan if step in (1, 2) else 1.0), good(step))

    def good(step: int) -> Any:
        return make_gradients(step)

    start = make_params()
    safe = optax.apply_if_finite(way(optax.adam(0.01)), max_consecutive_errors=5)
    mine, state = train_compiled(safe, start, steps=5, gradients=broken)
    applied = [good(0), good(3), good(4)]
    theirs, _ = train_compiled(way(optax.adam(0.01)), start, 3, applied.__getitem__)
    assert count_of(state) == 3
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        # A compiler fuses multiply and add differently inside of lax.cond.
        np.testing.assert_allclose(a, b, rtol=1e-6)


@WAYS
def test_a_thousand_rates_compile_once(way: Any) -> None:
    optimizer = way(optax.chain(optax.adamw(0.01), scale_by_multipliers({"high": linear(1_000)})))
    traced = []

    @jax.jit
    def step(params: Any, state: Any, gradients: Any) -> Any:
        traced.append(1)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    params, gradients = make_params(), make_gradients(0)
    state = optimizer.init(params)
    seen = set()
    for _ in range(1_000):
        params, state = step(params, state, gradients)
        seen.add(tuple(learning_rates(state, params, learning_rate=1.0).values()))
    assert len(traced) == 1
    assert step._cache_size() == 1
    assert len(seen) == 1_000


@WAYS
def test_the_step_inside_of_a_scan_and_from_a_compiled_init(way: Any) -> None:
    optimizer = way(optax.adam(0.01))
    start = make_params()
    batches = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(make_gradients, range(5)))

    def step(carry: Any, gradients: Any) -> Any:
        params, state = carry
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    (mine, state), _ = jax.lax.scan(step, (start, jax.jit(optimizer.init)(start)), batches)
    theirs, expected = train(optimizer, start, steps=5)
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    assert count_of(state) == 5
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)  # a compiled step fuses multiply and add


@WAYS
def test_resuming_from_the_state_alone(way: Any) -> None:
    """A state that went through bytes, into a new optimizer, continues bit for bit."""
    start = make_params()
    whole, _ = train(way(optax.adam(0.01)), start, steps=8)
    half, state = train(way(optax.adam(0.01)), start, steps=5)
    leaves, structure = jax.tree.flatten(state)
    saved = [np.asarray(leaf).copy() for leaf in leaves]
    restored = jax.tree.unflatten(structure, map(jnp.asarray, saved))
    mine, _ = train(way(optax.adam(0.01)), half, steps=3, state=restored, start=5)
    assert bits(mine) == bits(whole)


def test_flax_writes_and_reads_the_state() -> None:
    from flax import serialization

    optimizer = around(optax.adam(0.01))
    params, state = train(optimizer, make_params(), steps=3)
    data = serialization.to_bytes(state)
    loaded = serialization.from_bytes(optimizer.init(params), data)
    assert jax.tree.structure(loaded) == jax.tree.structure(state)
    assert bits(loaded) == bits(state)


def test_the_count_does_not_overflow() -> None:
    optimizer = scale_by_multipliers(schedule=SCHEDULE)
    params = make_params()
    last = optimizer.init(params)._replace(count=jnp.asarray(2**31 - 1, jnp.int32))
    _, state = optimizer.update(params, last)
    assert int(state.count) == 2**31 - 1
    np.testing.assert_allclose(state.factors, 0.1, rtol=1e-6)


def test_tree_map_params_goes_through() -> None:
    """As for sharding: a spec for each state that is built like the parameters."""
    optimizer = around(optax.adam(0.01))
    params = make_params()
    specs = jax.tree.map(lambda leaf: f"spec of {leaf.shape}", params)
    mapped = optax.tree_utils.tree_map_params(
        optimizer,
        lambda _, spec: spec,
        optimizer.init(params),
        specs,
        transform_non_params=lambda _: "shared",
    )
    assert mapped.inner_state[0].mu == specs
    assert mapped.multipliers == ("shared", "shared", "shared")


def test_numbers_are_variables_to_the_kernels() -> None:
    """Kernels that differ in a number are compiled one by one, which took 7 times as long."""
    params = {f"layer_{i}": jnp.ones((8, 8)) for i in range(8)}
    rules = {name: 0.743 + i / 64 for i, name in enumerate(params)}
    optimizer = with_multipliers(optax.adamw(0.01), rules, schedule=SCHEDULE)
    lowered = jax.jit(optimizer.update).lower(params, optimizer.init(params), params)
    text = lowered.compile().as_text()
    kernels = re.findall(r"^%fused\S* .*?^}", text, re.MULTILINE | re.DOTALL)
    of_leaves = [kernel for kernel in kernels if "f32[8,8]" in kernel]
    assert len(of_leaves) >= len(params)
    assert "constant(0.743" in text
    assert not any("constant(0.743" in kernel for kernel in of_leaves)
