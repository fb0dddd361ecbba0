"""Training with multipliers equals optax.partition with one optimizer for each rate.

Multipliers that are powers of two commute with every rounding, so that where both sides do the
same operations, one at a time, the weights must be equal to the last bit. Other multipliers are
applied before a rounding on one side and after it on the other: equal to 1e-6.
"""

from typing import Any

import jax
import numpy as np
import optax
import pytest

from layerwise import cosine, layer_decay, linear
from layerwise.optax import scale_by_multipliers, with_multipliers
from tests._support.optax.optimizers import COMPILED, MOMENTUM_AFTER_RATE, OPTIMIZERS, make
from tests._support.optax.trees import (
    bits,
    labelled,
    make_gradients,
    make_params,
    train,
    train_compiled,
)

POWERS = {"low": 0.25, "middle": 1.0, "high": 2.0}
OTHERS = {"low": 0.3, "middle": 1.0, "high": 1.7}


def assert_close(mine: Any, theirs: Any, rtol: float = 1e-6) -> None:
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_one_optimizer_per_label(name: str) -> None:
    start = make_params()
    mine, _ = train(with_multipliers(make(name), POWERS), start)
    chained, _ = train(optax.chain(make(name), scale_by_multipliers(POWERS)), start)
    theirs, _ = train(labelled(lambda m: make(name, m), POWERS), start)
    assert bits(mine) == bits(theirs) == bits(chained)
    assert all(a != b for a, b in zip(bits(mine), bits(start), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS | COMPILED)
def test_equals_one_optimizer_per_label_for_any_number_and_compiled(name: str) -> None:
    start = make_params()
    mine = train_compiled(with_multipliers(make(name), OTHERS), start)[0]
    assert_close(mine, train_compiled(labelled(lambda m: make(name, m), OTHERS), start)[0])
    # and the multipliers matter at this tolerance
    plain = train_compiled(make(name), start)[0]
    assert not np.allclose(mine["low"]["kernel"], plain["low"]["kernel"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - MOMENTUM_AFTER_RATE - {"sm3"}))
def test_multipliers_that_move_equal_rates_that_move(name: str) -> None:
    """sm3 takes no schedule as its rate."""
    factors = {"low": linear(8, start=1.0, end=0.5), "middle": lambda count: 1.0, "high": cosine(9)}
    start = make_params()
    mine, _ = train(with_multipliers(make(name), factors), start)
    theirs, _ = train(labelled(lambda m: make(name, m), factors), start)
    assert_close(mine, theirs)


@pytest.mark.parametrize("name", ["adamw", "lamb", "novograd"])
def test_the_common_schedule_is_a_factor_on_all_rates(name: str) -> None:
    schedule = cosine(6, start=0.5)
    start = make_params()
    mine, _ = train(with_multipliers(make(name), POWERS, schedule=schedule), start)
    product = {layer: (lambda count, m=m: schedule(count) * m) for layer, m in POWERS.items()}
    theirs, _ = train(labelled(lambda m: make(name, m), product), start)
    assert_close(mine, theirs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_rules_it_is_the_plain_optimizer(name: str) -> None:
    start = make_params()
    mine, state = train(with_multipliers(make(name)), start)
    theirs, plain = train(make(name), start)
    assert bits(mine) == bits(theirs)
    assert jax.tree.structure(state.inner_state) == jax.tree.structure(plain)
    assert bits(state.inner_state) == bits(plain)


def test_a_layerwise_schedule_is_an_optax_schedule() -> None:
    schedule = cosine(20) * 1e-2
    mine = train_compiled(optax.adam(schedule), make_params(), steps=6)[0]
    theirs = optax.adam(optax.cosine_decay_schedule(1e-2, 20))
    assert_close(mine, train_compiled(theirs, make_params(), steps=6)[0])
    multiplied = with_multipliers(optax.adam(schedule), {"low": 0.5})
    by_label = labelled(optax.adam, {"low": schedule * 0.5, "middle": schedule, "high": schedule})
    assert_close(train(multiplied, make_params())[0], train(by_label, make_params())[0])


def test_clipping_by_the_global_norm_sees_all_leaves() -> None:
    clip = optax.clip_by_global_norm(0.5)
    mine, _ = train(with_multipliers(optax.chain(clip, make("adamw")), POWERS), make_params())
    theirs = optax.chain(clip, labelled(lambda m: make("adamw", m), POWERS))
    assert bits(mine) == bits(train(theirs, make_params())[0])


def test_nested_multipliers_multiply() -> None:
    nested = with_multipliers(
        with_multipliers(make("nadam"), {"low": 0.5}), {"low": 0.5, "high": 2.0}
    )
    theirs = labelled(lambda m: make("nadam", m), POWERS)
    assert bits(train(nested, make_params())[0]) == bits(train(theirs, make_params())[0])


def test_strategies_train_as_they_say() -> None:
    rules = layer_decay(0.5, layers=["low", "middle", "high"])
    written = {"low": 0.25, "middle": 0.5}
    mine, _ = train(with_multipliers(make("adam"), rules), make_params())
    assert bits(mine) == bits(train(with_multipliers(make("adam"), written), make_params())[0])


# The update is multiplied at the end; these optimizers do something after their rate.
FACTORS = {"low": linear(4, start=1.0, end=0.25), "middle": linear(9), "high": cosine(5)}


def test_momentum_of_past_rates() -> None:
    start = make_params()
    theirs, _ = train(labelled(lambda m: make("rmsprop-momentum", m), FACTORS), start)
    around, _ = train(with_multipliers(make("rmsprop-momentum"), FACTORS), start)
    between = optax.chain(
        optax.scale_by_stddev(),
        optax.scale_by_learning_rate(0.01),
        scale_by_multipliers(FACTORS),
        optax.trace(0.9),
    )
    assert_close(train(between, start)[0], theirs)
    assert not np.allclose(around["low"]["kernel"], theirs["low"]["kernel"], rtol=1e-4)


def test_weight_decay_of_adafactor_that_its_rate_does_not_scale() -> None:
    start, decay = make_params(), 0.1
    theirs, _ = train(
        labelled(lambda m: optax.adafactor(0.05 * m, weight_decay_rate=decay), POWERS), start
    )
    around = with_multipliers(optax.adafactor(0.05, weight_decay_rate=decay), POWERS)
    before = optax.adafactor(0.05)
    between = optax.chain(before, scale_by_multipliers(POWERS), optax.add_decayed_weights(-decay))
    assert_close(train(between, start)[0], theirs)
    assert not np.allclose(
        train(around, start)[0]["low"]["kernel"], theirs["low"]["kernel"], rtol=1e-4
    )


def test_a_rate_inside_of_a_formula() -> None:
    """Fromage divides by sqrt(1 + rate ** 2): no factor on its update is another rate."""
    theirs, _ = train(labelled(lambda m: optax.fromage(0.5 * m), POWERS), make_params())
    around, _ = train(with_multipliers(optax.fromage(0.5), POWERS), make_params())
    assert not np.allclose(around["low"]["kernel"], theirs["low"]["kernel"], rtol=1e-3)


def test_extra_arguments_reach_the_optimizer() -> None:
    def value(params: Any) -> Any:
        return sum(jax.numpy.sum(leaf**2) for leaf in jax.tree.leaves(params))

    optimizer = with_multipliers(optax.polyak_sgd(), POWERS)
    params = make_params()
    loss, gradient = jax.value_and_grad(value)(params)
    mine, _ = optimizer.update(gradient, optimizer.init(params), params, value=loss)
    plain = optax.polyak_sgd()
    theirs, _ = plain.update(gradient, plain.init(params), params, value=loss)
    expected = {k: {name: u * POWERS[k] for name, u in own.items()} for k, own in theirs.items()}
    assert bits(mine) == bits(expected)


def test_trees_among_the_extra_arguments_are_without_frozen_leaves_too() -> None:
    def update(updates: Any, state: Any, params: Any = None, *, noise: Any, scale: float) -> Any:
        return jax.tree.map(lambda u, n: u + scale * n, updates, noise), state

    inner = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    optimizer = with_multipliers(inner, {"low": 0, "high": 2.0})
    params, noise = make_params(), make_params(1)
    updates, _ = optimizer.update(params, optimizer.init(params), noise=noise, scale=0.5)
    expected = 2.0 * (params["high"]["bias"] + 0.5 * noise["high"]["bias"])
    assert bits(updates["high"]["bias"]) == bits(expected)
    assert not updates["low"]["kernel"].any()


def test_gradients_differ_from_step_to_step() -> None:
    """Or the moments would not be tested."""
    assert bits(make_gradients(0)) != bits(make_gradients(1))
