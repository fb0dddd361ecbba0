"""Bad input: one clear error of ours each, before anything changes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise import cosine
from layerwise.errors import (
    LayerwiseError,
    MultiplierError,
    OptimizerError,
)
from layerwise.optax import explain, scale_by_multipliers, with_multipliers
from tests._support.bad_rules import at_once, levels, with_a_model
from tests._support.optax.trees import make_gradients, make_params, train

AT_CONSTRUCTION = [*at_once("low", arrays=True), *levels("low")]
AT_INIT = [
    *with_a_model("low"),
    pytest.param(
        {"rules": {"low": lambda count: count / 0.0}}, MultiplierError, r"'low'.*nan", id="0 / 0"
    ),
    pytest.param(
        {"schedule": lambda count: jnp.nan}, MultiplierError, r"schedule.*nan", id="schedule"
    ),
]

WAYS = pytest.mark.parametrize(
    "way", [scale_by_multipliers, lambda **kw: with_multipliers(optax.adam(0.1), **kw)]
)


@WAYS
@pytest.mark.parametrize(("arguments", "error", "message"), AT_CONSTRUCTION)
def test_construction_refuses(
    way: Any, arguments: dict[str, Any], error: type[LayerwiseError], message: str
) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        way(**arguments)
    with pytest.raises(error, match=f"(?s){message}"):
        explain(make_params(), **arguments)


@WAYS
@pytest.mark.parametrize(("arguments", "error", "message"), AT_INIT)
def test_init_refuses_compiled_or_not(
    way: Any, arguments: dict[str, Any], error: type[LayerwiseError], message: str
) -> None:
    params = make_params()
    for init in (way(**arguments).init, jax.jit(way(**arguments).init)):
        with pytest.raises(error, match=f"(?s){message}"):
            init(params)
    with pytest.raises(error, match=f"(?s){message}"):
        explain(params, **arguments)


@WAYS
def test_strict_false_allows_a_dead_rule(way: Any) -> None:
    state = way(rules={"nowhere": 0.5}, strict=False).init(make_params())
    factors = optax.tree_utils.tree_get(state, "factors")
    assert factors.tolist() == [1.0] * 6


@WAYS
@pytest.mark.parametrize("tree", [{}, [], None, {"a": {"b": None}}])
def test_a_tree_without_parameters(way: Any, tree: Any) -> None:
    with pytest.raises(OptimizerError, match="no parameters in this"):
        way().init(tree)


@WAYS
def test_a_state_of_another_tree(way: Any) -> None:
    optimizer = way()
    params = make_params()
    state = optimizer.init({"low": params["low"]})
    with pytest.raises(OptimizerError, match=r"made for 2 parameters.*have 6"):
        optimizer.update(make_gradients(0), state, params)


@pytest.mark.parametrize("thing", [None, 0.1, "adam", optax.adam, optax.GradientTransformation])
def test_not_an_optimizer(thing: Any) -> None:
    with pytest.raises(OptimizerError, match="no Optax optimizer"):
        with_multipliers(thing, {"low": 0.5})


def test_around_multi_steps() -> None:
    steps = optax.MultiSteps(optax.adam(0.1), 4)
    with pytest.raises(OptimizerError, match=r"inside of optax\.MultiSteps.*MultiSteps\(with_"):
        with_multipliers(steps, {"low": 0.5})
    hidden = with_multipliers(optax.chain(steps.gradient_transformation()), {"low": 0.5})
    with pytest.raises(OptimizerError, match=r"inside of optax\.MultiSteps"):
        hidden.init(make_params())


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (optax.contrib.schedule_free(optax.adam(0.1), 0.1, b1=0.9), "schedule_free"),
        (
            optax.chain(optax.lookahead(optax.sgd(0.1), 3, 0.5), optax.identity()),
            "lookahead",
        ),
    ],
)
def test_around_what_has_to_know_the_applied_updates(optimizer: Any, name: str) -> None:
    params = make_params()
    given = optax.LookaheadParams.init_synced(params) if name == "lookahead" else params
    with pytest.raises(OptimizerError, match=rf"inside of .*{name}.*around"):
        with_multipliers(optimizer, {"low": 0.5}, match="substring").init(given)


def test_a_schedule_around_what_leaves_updates_out() -> None:
    params = make_params()
    safe = optax.apply_if_finite(optax.adam(0.1), 3)
    for arguments in ({"schedule": cosine(10)}, {"rules": {"low": cosine(10)}}):
        with pytest.raises(OptimizerError, match=r"inside of optax\.apply_if_finite"):
            with_multipliers(safe, **arguments).init(params)
    # Numbers need no clock, and so a NaN in what is frozen does not stop the others.
    optimizer = with_multipliers(safe, {"low": 0})
    gradients = make_gradients(0) | {"low": jax.tree.map(lambda x: x * jnp.nan, params["low"])}
    after, _ = train(optimizer, params, steps=1, gradients=lambda step: gradients)
    assert not np.array_equal(after["high"]["bias"], params["high"]["bias"])


def test_a_state_that_can_not_be_held_leaf_by_leaf() -> None:
    flat = optax.flatten(optax.adam(0.1))
    with pytest.raises(OptimizerError, match=r"can't be told which part of this state is whose"):
        with_multipliers(flat, {"low": cosine(10)}).init(make_params())
    after, _ = train(with_multipliers(flat, {"low": 0.5}), make_params())
    plain, _ = train(with_multipliers(optax.adam(0.1), {"low": 0.5}), make_params())
    np.testing.assert_allclose(after["low"]["kernel"], plain["low"]["kernel"], rtol=1e-6)
