"""A multiplier of 0 freezes: weights and their optimizer state stay as they are, bit for bit."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise import gradual_unfreezing, piecewise_constant
from layerwise.optax import scale_by_multipliers, with_multipliers
from tests._support.optax.optimizers import OPTIMIZERS, make
from tests._support.optax.trees import bits, make_gradients, make_params, state_of, train

MOVING = {
    "a schedule": piecewise_constant([10_000], [0.0, 1.0]),
    "a callable": lambda count: 0.0 * count,
}
FREEZERS = {"a number": 0} | MOVING


def gradients_with_nan(step: int) -> Any:
    """Those of the layer low are NaN and infinite."""
    gradients = make_gradients(step)
    gradients["low"] = {"kernel": jnp.full((4, 3), jnp.nan), "bias": jnp.full((3,), -jnp.inf)}
    return gradients


def with_negative_zeros() -> Any:
    params = make_params()
    kernel = params["low"]["kernel"]
    params["low"]["kernel"] = jnp.where(kernel > 0.5, -0.0, kernel)
    assert np.signbit(params["low"]["kernel"]).sum() > (kernel < 0).sum()
    return params


@pytest.mark.parametrize(
    ("name", "freezer"),
    [(name, freezer) for name in OPTIMIZERS for freezer in ("a number", "a schedule")]
    + [("adamw", "a callable")],
)
def test_frozen_weights_and_their_state_keep_every_bit(name: str, freezer: str) -> None:
    start = with_negative_zeros()
    optimizer = with_multipliers(make(name), {"low": FREEZERS[freezer]})
    first = optimizer.init(start)
    after, state = train(optimizer, start, gradients=gradients_with_nan, state=first)
    assert bits(after["low"]) == bits(start["low"])
    assert bits(state_of(state, "low")) == bits(state_of(first, "low"))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, state)))
    for layer in ("middle", "high"):
        assert all(a != b for a, b in zip(bits(after[layer]), bits(start[layer]), strict=True))
    # The others train as if the frozen layer were not there.
    rest = {layer: start[layer] for layer in ("middle", "high")}
    alone, _ = train(make(name), rest, gradients=lambda step: _without_low(make_gradients(step)))
    assert bits({layer: after[layer] for layer in rest}) == bits(alone)


def _without_low(tree: Any) -> Any:
    return {layer: tree[layer] for layer in ("middle", "high")}


@pytest.mark.parametrize("freezer", FREEZERS)
def test_frozen_for_many_compiled_steps(freezer: str) -> None:
    start = with_negative_zeros()
    optimizer = with_multipliers(make("adamw"), {"low": FREEZERS[freezer]})

    @jax.jit
    def step(carry: Any, key: Any) -> Any:
        params, state = carry
        gradients = jax.tree.map(lambda leaf: jax.random.normal(key, leaf.shape), params)
        gradients["low"] = jax.tree.map(lambda leaf: leaf * jnp.nan, gradients["low"])
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(jax.random.key(0), 2_000)
    (after, state), _ = jax.lax.scan(step, (start, optimizer.init(start)), keys)
    assert int(state.multipliers.count) == 2_000
    assert bits(after["low"]) == bits(start["low"])
    assert bits(state_of(state, "low")) == bits(state_of(optimizer.init(start), "low"))
    assert all(a != b for a, b in zip(bits(after["high"]), bits(start["high"]), strict=True))


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "sgd"])
def test_a_leaf_frozen_for_good_has_no_state(name: str) -> None:
    params = make_params()
    state = with_multipliers(make(name), {"low": 0}).init(params)
    plain = with_multipliers(make(name)).init(params)
    assert state_of(state, "low") == {}
    assert len(state_of(state, "high")) == len(state_of(plain, "high"))


@pytest.mark.parametrize("freezer", FREEZERS)
def test_a_nan_in_a_frozen_leaf_does_not_reach_the_global_norm(freezer: str) -> None:
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.01))
    frozen = with_multipliers(optimizer, {"low": FREEZERS[freezer]})
    after, _ = train(frozen, make_params(), gradients=gradients_with_nan)
    alone, _ = train(
        optimizer, _without_low(make_params()), gradients=lambda s: _without_low(make_gradients(s))
    )
    assert bits(_without_low(after)) == bits(alone)


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"sm3"}))
def test_state_is_held_only_while_frozen(name: str) -> None:
    """Trains, is frozen for two steps that bring NaN, and goes on with the state it had."""
    window = piecewise_constant([2, 4], [1.0, 0.0, 1.0])
    optimizer = with_multipliers(make(name), {"low": window})
    params, state = train(optimizer, make_params(), steps=2)
    kept, own = bits(params["low"]), bits(state_of(state, "low"))
    params, state = train(optimizer, params, 2, gradients_with_nan, state=state, start=2)
    assert bits(params["low"]) == kept
    assert bits(state_of(state, "low")) == own
    after, state = train(optimizer, params, 2, state=state, start=4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, state)))
    assert all(a != b for a, b in zip(bits(after["low"]), kept, strict=True))


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.masked(optax.adam(0.1), {"low": True, "middle": False, "high": True}),
        optax.partition(
            {"matrix": optax.sgd(0.1, momentum=0.9), "vector": optax.adam(0.1)},
            lambda tree: jax.tree.map(lambda x: "matrix" if x.ndim == 2 else "vector", tree),
        ),
        optax.inject_hyperparams(optax.adamw)(learning_rate=0.1, weight_decay=0.1),
        optax.named_chain(("scale", optax.scale_by_adam()), ("rate", optax.scale(-0.1))),
        optax.chain(optax.adam(0.1), optax.ema(0.9)),
    ],
    ids=["masked", "partition", "inject_hyperparams", "named_chain", "ema after it"],
)
@pytest.mark.parametrize("freezer", FREEZERS)
def test_state_is_found_inside_of_wrappers(optimizer: Any, freezer: str) -> None:
    start = make_params()
    frozen = with_multipliers(optimizer, {"low": FREEZERS[freezer]})
    first = frozen.init(start)
    after, state = train(frozen, start, gradients=gradients_with_nan, state=first)
    assert bits(after["low"]) == bits(start["low"])
    assert bits(state_of(state, "low")) == bits(state_of(first, "low"))
    assert (state_of(first, "low") == {}) == (freezer == "a number")
    assert bits(state_of(state, "high")) != bits(state_of(first, "high"))


@pytest.mark.parametrize("freezer", FREEZERS)
def test_in_a_chain_the_update_is_nothing_and_the_state_is_not_ours(freezer: str) -> None:
    start = with_negative_zeros()
    optimizer = optax.chain(make("adamw"), scale_by_multipliers({"low": FREEZERS[freezer]}))
    after, state = train(optimizer, start, gradients=gradients_with_nan)
    assert bits(after["low"]) == bits(start["low"])
    assert not np.isfinite(state[0][0].mu["low"]["kernel"]).any()  # as documented
    assert bits(after["high"]) != bits(start["high"])


@pytest.mark.parametrize("name", ["sgd", "adamw", "adafactor"])
def test_everything_frozen_still_counts_steps(name: str) -> None:
    start = make_params()
    optimizer = with_multipliers(make(name), dict.fromkeys(start, 0))
    after, state = train(optimizer, start, steps=3, gradients=gradients_with_nan)
    assert int(state.multipliers.count) == 3
    assert bits(after) == bits(start)


def test_gradual_unfreezing_from_the_head_down() -> None:
    rules = gradual_unfreezing(every=2, layers=["low", "middle", "high"])
    optimizer = with_multipliers(optax.sgd(0.1, momentum=0.9), rules)
    params, state, moved = make_params(), None, []
    for step in range(6):
        before = params
        params, state = train(optimizer, params, 1, state=state, start=step)
        moved.append([bits(params[k]) != bits(before[k]) for k in ("low", "middle", "high")])
    assert moved == [[False, False, True]] * 2 + [[False, True, True]] * 2 + [[True] * 3] * 2


def test_a_schedule_that_is_0_for_all_is_a_rate_of_0_and_freezes_no_state() -> None:
    """As with any optimizer whose rate is 0 at a step, warm-up's first for example."""
    schedule = piecewise_constant([2], [0.0, 1.0])
    start = make_params()
    params, state = train(with_multipliers(optax.adam(0.1), schedule=schedule), start, steps=2)
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(start), strict=True):
        np.testing.assert_array_equal(a, b)
    _, plain = train(optax.adam(0.0), start, steps=2)
    assert bits(state.inner_state) == bits(plain)
