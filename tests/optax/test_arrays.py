"""Arrays as multipliers: a number for each row, channel or part of a leaf."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise import cosine, layer_decay, override
from layerwise.errors import MultiplierError, OptimizerError
from layerwise.optax import explain, learning_rates, scale_by_multipliers, with_multipliers
from tests._support.optax.kinds import scanned
from tests._support.optax.trees import bits, make_gradients, make_params, train

ARRAYS: dict[str, Any] = {
    "a column": np.array([[0.5], [0.25], [2.0], [1.0]]),
    "a row": jnp.array([0.5, 0.25, 2.0]),
    "all of it": np.linspace(0.25, 2.0, 12, dtype="float32").reshape(4, 3),
    "whole numbers": np.array([[1], [2], [1], [3]]),
    "half precision": jnp.array([0.5, 0.25, 2.0], "bfloat16"),
}
WAYS = pytest.mark.parametrize(
    "way",
    [
        with_multipliers,
        lambda tx, rules, **kw: optax.chain(tx, scale_by_multipliers(rules, **kw)),
    ],
)


@WAYS
@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_update_is_multiplied_by_it(way: Any, name: str, compiled: bool) -> None:
    params, schedule = make_params(), cosine(10, start=0.5)
    optimizer = way(optax.adam(0.1), {"low/kernel": ARRAYS[name]}, schedule=schedule)
    update = jax.jit(optimizer.update) if compiled else optimizer.update
    updates, state = update(make_gradients(0), optimizer.init(params), params)
    plain, _ = optax.adam(0.1).update(make_gradients(0), optax.adam(0.1).init(params), params)
    expected = 0.5 * np.asarray(ARRAYS[name], np.float64) * plain["low"]["kernel"]
    np.testing.assert_allclose(updates["low"]["kernel"], expected, rtol=1e-6)
    np.testing.assert_allclose(updates["low"]["bias"], 0.5 * plain["low"]["bias"], rtol=1e-6)
    rates = learning_rates(state, params, learning_rate=0.1)
    largest = float(np.asarray(ARRAYS[name], np.float64).max())
    assert rates["low/kernel"] == pytest.approx(0.05 * largest)


@pytest.mark.parametrize("make", [optax.adamw, optax.sgd, optax.lion])
def test_rows_of_zeros_keep_every_bit_and_their_state(make: Any) -> None:
    rows = np.array([[0.0], [1.0], [0.0], [0.5]])
    params = make_params()
    params["low"]["kernel"] = params["low"]["kernel"].at[0].set(-0.0)

    def gradients(step: int) -> Any:
        kernel = jnp.where(rows == 0, jnp.nan, make_gradients(step)["low"]["kernel"])
        return make_gradients(step) | {"low": {"kernel": kernel, "bias": jnp.ones(3)}}

    optimizer = with_multipliers(make(0.1), {"low/kernel": rows})
    after, state = train(optimizer, params, gradients=gradients)
    assert bits(after["low"]["kernel"][::2]) == bits(params["low"]["kernel"][::2])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, state)))
    assert bits(after["low"]["kernel"][1::2]) != bits(params["low"]["kernel"][1::2])


def test_zeros_alone_freeze_for_good() -> None:
    params = make_params()
    optimizer = with_multipliers(optax.adam(0.1), {"low/kernel": np.zeros((4, 1))})
    state = optimizer.init(params)
    assert state.inner_state[0].mu["low"]["kernel"] == optax.MaskedNode()
    updates, _ = optimizer.update(make_gradients(0), state, params)
    assert bits(updates["low"]["kernel"]) == bits(jnp.full((4, 3), -0.0))
    factored = optax.adafactor(0.1, min_dim_size_to_factor=2)
    partly = with_multipliers(factored, {"low/kernel": np.eye(4)[:, :1]})
    with pytest.raises(OptimizerError, match="of which no part can be kept"):
        partly.init(params)


def test_beside_strategies_and_in_lists() -> None:
    params = {"body": jnp.ones((3, 2)), "head": jnp.ones(2)}
    column = np.array([[0.5], [0.25], [0.0]])
    for rules in ([layer_decay(0.5), {"body": column}], [{"head": 1.0}, [{"body": column}]]):
        updates, _ = with_multipliers(optax.sgd(1.0), rules).update(
            params, with_multipliers(optax.sgd(1.0), rules).init(params), params
        )
        np.testing.assert_array_equal(-updates["body"], np.broadcast_to(column, (3, 2)))
    stacked = [layer_decay(0.5, stacked={"layers": 0}), {"layers/kernel": np.ones((6, 1, 1)) / 4}]
    optimizer = with_multipliers(optax.sgd(1.0), stacked)
    tree = scanned()
    ones = jax.tree.map(jnp.ones_like, tree)
    updates, _ = optimizer.update(ones, optimizer.init(tree), tree)
    np.testing.assert_array_equal(updates["layers"]["kernel"], -0.25)
    assert float(updates["layers"]["bias"][0, 0]) == -(0.5**6)


def test_the_plan_shows_them() -> None:
    plan = explain(make_params(), {"low/kernel": ARRAYS["a column"]}, learning_rate=0.1)
    columns = plan.to_dict()
    place = columns["parameter"].index("low/kernel")
    assert columns["multiplier"][place] == "4x1 array, 0.25 to 2"
    assert columns["rate @ 0"][place] == pytest.approx(0.2)
    assert "4x1 array, 0.25 to 2" in str(plan)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 1)), r"'low'.*\(3, 1\).*broadcast.*'low/\w+' has the shape"),
        (np.ones((1, 4, 3)), r"\(1, 4, 3\).*broadcast"),
        (np.ones(4), r"\(4,\).*broadcast"),
        (np.array([0.5, -1.0, 1.0]), r"'low' has an array with -1\.0"),
        (np.array([0.5, np.nan, 1.0]), r"an array with nan"),
        (jnp.array([0.5, jnp.inf, 1.0]), r"an array with inf"),
        (np.array([True, False, True]), r"an array of bool"),
        (np.array(["a", "b", "c"]), r"an array of <U1"),
        (np.ones(0), r"an empty array"),
        (np.ones(3, complex), r"an array of complex128"),
    ],
)
def test_an_array_that_is_no_multiplier(array: Any, message: str) -> None:
    for call in (explain, lambda tree, rules: with_multipliers(optax.sgd(0.1), rules).init(tree)):
        with pytest.raises(MultiplierError, match=message):
            call(make_params(), {"low": array})


def test_a_traced_array_is_none() -> None:
    with pytest.raises(MultiplierError, match="traced"):
        jax.jit(lambda rows: with_multipliers(optax.sgd(0.1), {"low": rows}).init(make_params()))(
            jnp.ones(3)
        )
    with pytest.raises(MultiplierError, match="override"):
        with_multipliers(optax.sgd(0.1), {"low": override(np.ones(3))})
