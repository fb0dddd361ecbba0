"""Schedules by tokens: a loop that scales Optax' own updates by hand is the oracle."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise import cosine, linear, warmup
from layerwise.errors import ScheduleError
from layerwise.optax import (
    carry_state,
    explain,
    learning_rates,
    scale_by_multipliers,
    with_multipliers,
)

SIZES = [4, 4, 8, 1, 16, 3, 2, 8]
SCHEDULE = warmup(10, start=0.2) >> cosine(60, end=0.1)
PARAMS = {"body": jnp.linspace(-1.0, 1.0, 6), "head": jnp.ones(3)}

# The same operations in float32, in another order.
RELATIVE, FLOOR = 1e-5, 1e-6


def gradients(step: int) -> dict[str, jax.Array]:
    random = np.random.default_rng(step)
    return {
        name: jnp.asarray(random.normal(size=leaf.shape), jnp.float32)
        for name, leaf in PARAMS.items()
    }


def by_hand(optimizer: Any) -> list[dict[str, jax.Array]]:
    """The parameters after each update."""
    params, state, seen, found = PARAMS, optimizer.init(PARAMS), 0, []
    for step, size in enumerate(SIZES):
        updates, state = optimizer.update(gradients(step), state, params)
        factor = SCHEDULE(seen)
        updates = {"body": updates["body"] * factor, "head": updates["head"] * factor * 0.5}
        params = optax.apply_updates(params, updates)
        found.append(params)
        seen += size
    return found


def assert_close(found: Any, expected: Any) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=RELATIVE, atol=FLOOR), found, expected
    )


MAKE: dict[str, Callable[[], optax.GradientTransformationExtraArgs]] = {
    "with_multipliers": lambda: with_multipliers(
        optax.adam(0.1), {"head": 0.5}, schedule=SCHEDULE.by("tokens")
    ),
    "scale_by_multipliers": lambda: optax.chain(
        optax.adam(0.1), scale_by_multipliers({"head": 0.5}, schedule=SCHEDULE.by("tokens"))
    ),
    "two schedules": lambda: with_multipliers(
        with_multipliers(optax.adam(0.1), {"head": 0.5}), schedule=SCHEDULE.by("tokens")
    ),
}
every = pytest.mark.parametrize("make", MAKE.values(), ids=list(MAKE))


@every
@pytest.mark.parametrize("kind", [int, jnp.int32, jnp.float32])
@pytest.mark.parametrize("jit", [True, False])
def test_sizes_that_change(make: Any, kind: Any, jit: bool) -> None:
    optimizer = make()
    update = jax.jit(optimizer.update) if jit else optimizer.update
    params, state, seen = PARAMS, optimizer.init(PARAMS), 0
    for step, (size, expected) in enumerate(zip(SIZES, by_hand(optax.adam(0.1)), strict=True)):
        updates, state = update(gradients(step), state, params, tokens=kind(seen))
        params = optax.apply_updates(params, updates)
        assert_close(params, expected)
        rates = learning_rates(state, params, learning_rate=0.1)
        assert rates["body"] == pytest.approx(0.1 * SCHEDULE(seen))
        seen += size


@every
def test_resumed_in_the_middle(make: Any) -> None:
    expected = by_hand(optax.adam(0.1))
    optimizer = make()
    params, state, seen = PARAMS, optimizer.init(PARAMS), 0
    for step, size in enumerate(SIZES):
        if step == 4:  # what is kept is arrays and a number
            leaves, structure = jax.tree.flatten((params, state))
            kept = [np.asarray(leaf) for leaf in leaves]
            optimizer = make()
            params, state = jax.tree.unflatten(structure, map(jnp.asarray, kept))
        updates, state = jax.jit(optimizer.update)(gradients(step), state, params, tokens=seen)
        params = optax.apply_updates(params, updates)
        seen += size
    assert_close(params, expected[-1])


def test_accumulation_reads_the_count_when_it_applies() -> None:
    optimizer = optax.MultiSteps(
        with_multipliers(optax.sgd(1.0), schedule=linear(100).by("tokens")), every_k_schedule=2
    )
    params, state = {"w": jnp.zeros(2)}, optimizer.init({"w": jnp.zeros(2)})
    for seen in (0, 0, 50, 50):
        updates, state = optimizer.update({"w": jnp.ones(2)}, state, params, tokens=seen)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params["w"], -1.5, rtol=1e-6)


def test_counts_beyond_32_bits_and_half_epochs() -> None:
    optimizer = with_multipliers(
        optax.sgd(1.0), {"body": linear(10**12).by("tokens"), "head": linear(4).by("epochs")}
    )
    state = optimizer.init(PARAMS)
    updates, _ = optimizer.update(
        gradients(0), state, PARAMS, tokens=25 * 10**10, epochs=1.5, value=3.0
    )
    assert_close(updates["body"], -0.75 * gradients(0)["body"])
    assert_close(updates["head"], -0.625 * gradients(0)["head"])


def test_frozen_by_tokens_keeps_its_state() -> None:
    frozen_first = (linear(10, 0.0, 0.0) >> linear(10, 1.0, 1.0)).by("tokens")
    optimizer = with_multipliers(optax.sgd(0.1, momentum=0.9), {"body": frozen_first})
    state = optimizer.init(PARAMS)
    updates, state = jax.jit(optimizer.update)(gradients(0), state, PARAMS, tokens=3)
    np.testing.assert_array_equal(updates["body"], 0.0)
    np.testing.assert_array_equal(state.inner_state[0].trace["body"], 0.0)
    updates, state = jax.jit(optimizer.update)(gradients(1), state, PARAMS, tokens=13)
    assert_close(updates["body"], -0.1 * gradients(1)["body"])


@every
def test_without_a_count_it_is_an_error(make: Any) -> None:
    optimizer = make()
    state = optimizer.init(PARAMS)
    for update in (optimizer.update, jax.jit(optimizer.update)):
        for given in ({}, {"samples": 3}):
            with pytest.raises(
                ScheduleError, match=r"updates can't stand for that.*params, tokens=seen\)"
            ):
                update(gradients(0), state, PARAMS, **given)


@pytest.mark.parametrize("count", ["3", None, -1, float("nan"), jnp.ones(2), jnp.asarray(True)])
def test_what_is_no_count(count: Any) -> None:
    optimizer = MAKE["with_multipliers"]()
    with pytest.raises(ScheduleError, match="The count of tokens must be"):
        optimizer.update(gradients(0), optimizer.init(PARAMS), PARAMS, tokens=count)


def test_explained_at_the_start_and_carried_over() -> None:
    plan = explain(PARAMS, {"head": 0.5}, schedule=SCHEDULE.by("tokens"), learning_rate=1.0)
    assert plan.rates(0).tolist() == [0.2, 0.1]
    optimizer = MAKE["with_multipliers"]()
    _, state = optimizer.update(gradients(0), optimizer.init(PARAMS), PARAMS, tokens=0)
    other = with_multipliers(optax.adam(0.1), schedule=SCHEDULE.by("samples"))
    state = carry_state(other, PARAMS, state)
    assert int(state.multipliers.count) == 1
    other.update(gradients(0), state, PARAMS, samples=30)
