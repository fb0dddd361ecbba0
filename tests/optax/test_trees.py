"""Types of leaves: half precision, complex, double, whole numbers, float0, many devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise import linear
from layerwise.optax import scale_by_multipliers, with_multipliers
from tests._support.optax.trees import make_gradients, make_params, train

RULES = {"low": 0.3, "middle": linear(7), "high": 0}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "complex64"])
@pytest.mark.parametrize("schedule", [None, linear(9)])
def test_every_type_stays_what_it_is(dtype: str, schedule: Any) -> None:
    params = make_params(dtype=dtype)
    optimizer = with_multipliers(optax.adamw(0.1), RULES, schedule=schedule)
    state = first = optimizer.init(params)
    updates, state = jax.jit(optimizer.update)(make_gradients(0, dtype), state, params)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(updates)} == {dtype}
    for before, after in zip(jax.tree.leaves(first), jax.tree.leaves(state), strict=True):
        assert (before.dtype, before.shape, before.weak_type) == (
            after.dtype,
            after.shape,
            after.weak_type,
        )


def test_half_precision_is_rounded_once() -> None:
    """0.3 itself would be rounded to 0.30078 in bfloat16."""
    updates = {"w": jnp.linspace(0.1, 3.0, 64, dtype="bfloat16")}
    optimizer = scale_by_multipliers({"w": 0.3})
    mine, _ = optimizer.update(updates, optimizer.init(updates))
    exact = np.asarray(updates["w"], np.float64) * 0.3
    expected = jnp.asarray(exact, "bfloat16")
    assert (np.asarray(mine["w"]) == np.asarray(expected)).all()
    assert not (np.asarray(updates["w"] * jnp.bfloat16(0.3)) == np.asarray(expected)).all()


def test_double_precision_keeps_all_digits() -> None:
    with jax.enable_x64():
        params = make_params(dtype="float64")
        optimizer = with_multipliers(optax.sgd(0.1), {"low": 0.3, "middle": linear(7)})
        gradients = make_gradients(0, "float64")
        updates, state = optimizer.update(gradients, optimizer.init(params), params)
        updates, _ = optimizer.update(gradients, state, params)
        for layer, multiplier in (("low", 0.3), ("middle", 6 / 7)):
            np.testing.assert_allclose(
                updates[layer]["kernel"], -0.1 * multiplier * gradients[layer]["kernel"], rtol=1e-15
            )
        assert state.multipliers.count.dtype == jnp.int32


def test_numbers_that_are_no_arrays() -> None:
    params = {"a": 1.0, "b": np.float32(2.0)}
    optimizer = optax.chain(optax.sgd(0.5), scale_by_multipliers({"a": 0.5, "b": 0}))
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    assert {name: float(update) for name, update in updates.items()} == {"a": -0.25, "b": 0.0}


def test_leaves_that_have_no_gradient() -> None:
    params = {"w": jnp.ones(2), "n": jnp.arange(3)}
    gradients = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    assert gradients["n"].dtype == jax.dtypes.float0
    optimizer = scale_by_multipliers({"w": 0.5, "n": 0.5})
    updates, _ = optimizer.update(gradients, optimizer.init(params))
    np.testing.assert_array_equal(updates["w"], jnp.ones(2))
    assert updates["n"] is gradients["n"]


def test_vmap_over_optimizers() -> None:
    """An ensemble: three models, each with its own state."""
    optimizer = with_multipliers(optax.adam(0.1), {"low": 0.5, "middle": linear(5)})
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 1, leaf * 2]), make_params())
    states, update = jax.vmap(optimizer.init)(many), jax.jit(jax.vmap(optimizer.update))
    for _ in range(2):
        updates, states = update(many, states, many)
        many = optax.apply_updates(many, updates)
    one = jax.tree.map(lambda leaf: leaf + 1, make_params())
    state = optimizer.init(one)
    for _ in range(2):
        updates, state = optimizer.update(one, state, one)
        one = optax.apply_updates(one, updates)
    for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-6)  # a compiled step fuses multiply and add


def test_donated_buffers() -> None:
    optimizer = with_multipliers(optax.adamw(0.1), RULES)

    def step(params: Any, state: Any) -> Any:
        updates, state = optimizer.update(make_gradients(0), state, params)
        return optax.apply_updates(params, updates), state

    params = make_params()
    expected, _ = train(optimizer, params, steps=1)
    mine, _ = jax.jit(step, donate_argnums=(0, 1))(
        jax.tree.map(jnp.copy, params), optimizer.init(params)
    )
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
