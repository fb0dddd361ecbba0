"""The rates in use, read from any nested state."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from layerwise import cosine, warmup
from layerwise.errors import OptimizerError
from layerwise.optax import explain, learning_rates, scale_by_multipliers, with_multipliers
from tests._support.optax.trees import make_gradients, make_params, train_compiled

RULES = {"low": 0.5, "middle": cosine(10), "high": 0}
SCHEDULE = warmup(4)


def injected(rate: Any) -> Any:
    return optax.inject_hyperparams(optax.adamw)(learning_rate=rate)


def chain(rate: Any) -> Any:
    return optax.chain(injected(rate), scale_by_multipliers(RULES, schedule=SCHEDULE))


def around(rate: Any) -> Any:
    return with_multipliers(injected(rate), RULES, schedule=SCHEDULE)


def inside(rate: Any) -> Any:
    @optax.inject_hyperparams
    def optimizer(learning_rate: Any) -> Any:
        return with_multipliers(optax.adam(learning_rate), RULES, schedule=SCHEDULE)

    return optimizer(learning_rate=rate)


def everywhere(rate: Any) -> Any:
    masked = optax.masked(around(rate), dict.fromkeys(("low", "middle", "high"), True))
    clipped = optax.named_chain(("clip", optax.clip(1.0)), ("rest", masked))
    return optax.MultiSteps(optax.apply_if_finite(clipped, 3), 1)


WAYS = pytest.mark.parametrize("way", [chain, around, inside, everywhere])


@WAYS
def test_from_any_nested_state(way: Any) -> None:
    params = make_params()
    optimizer = way(0.2)
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    plan = explain(params, RULES, learning_rate=0.2, schedule=SCHEDULE)
    names = [row.parameter.name for row in plan.rows]
    for count in range(4):
        rates = learning_rates(state, params)
        assert list(rates) == names
        # The rates of the last update, which was that of step count - 1.
        assert list(rates.values()) == pytest.approx(plan.rates(max(count - 1, 0)))
        updates, state = update(make_gradients(count), state, params)
        assert jax.tree.structure(updates) == jax.tree.structure(params)


@WAYS
def test_a_base_rate_that_is_scheduled_or_set(way: Any) -> None:
    params = make_params()
    base = cosine(8) * 0.2
    _, state = train_compiled(way(base), params, steps=3)
    last = SCHEDULE(2) * base(2)
    assert learning_rates(state, params)["low/bias"] == pytest.approx(0.5 * last)
    assert learning_rates(state, params, learning_rate=base)["low/bias"] == pytest.approx(
        0.5 * last
    )
    assert learning_rates(state, params, learning_rate=1.0)["low/bias"] == pytest.approx(
        0.5 * SCHEDULE(2)
    )


def test_the_nearest_base_rate_counts() -> None:
    params = make_params()
    labels = {"low": "a", "middle": "b", "high": "b"}
    optimizer = optax.partition(
        {
            "a": with_multipliers(injected(0.1), {"low": 0.5}, strict=False),
            "b": with_multipliers(injected(0.3), {"high": 0.5}, strict=False),
        },
        {k: dict.fromkeys(v, labels[k]) for k, v in params.items()},
    )
    rates = learning_rates(optimizer.init(params), params)
    assert {name.split("/")[0]: rate for name, rate in rates.items()} == pytest.approx(
        {"low": 0.05, "middle": 0.3, "high": 0.15}
    )


def test_multipliers_that_are_nested_multiply() -> None:
    params = make_params()
    optimizer = with_multipliers(with_multipliers(injected(0.2), {"low": 0.5}), {"low": 0.25})
    assert learning_rates(optimizer.init(params), params)["low/kernel"] == pytest.approx(0.025)


def test_no_multipliers_in_the_state() -> None:
    params = make_params()
    with pytest.raises(OptimizerError, match="no multipliers in this state"):
        learning_rates(optax.adam(0.1).init(params), params)


def test_a_base_rate_that_is_not_known() -> None:
    params = make_params()
    state = with_multipliers(optax.adam(0.1), {"low": 0.5}).init(params)
    with pytest.raises(OptimizerError, match=r"inject_hyperparams.*learning_rate="):
        learning_rates(state, params)


def test_base_rates_that_contradict() -> None:
    params = make_params()
    optimizer = optax.chain(injected(0.1), injected(0.2), scale_by_multipliers({"low": 0.5}))
    state = optimizer.init(params)
    with pytest.raises(OptimizerError, match=r"0\.1\d*, 0\.2\d*.*learning_rate="):
        learning_rates(state, params)
    assert learning_rates(state, params, learning_rate=0.5)["low/bias"] == 0.25


def test_parameters_of_another_model() -> None:
    params = make_params()
    state = with_multipliers(optax.adam(0.1), {"low": 0.5}).init(params)
    with pytest.raises(OptimizerError, match="6 parameters, and these are 2"):
        learning_rates(state, params["low"], learning_rate=0.1)


def test_a_state_in_the_middle_of_nowhere() -> None:
    """Dictionaries, lists and other people's state around it are no obstacle."""
    params = {"w": jnp.ones(2)}
    state = {"step": 3, "opt": [None, around_one().init(params)]}
    assert learning_rates(state, params, learning_rate=1.0) == {"w": 0.5}


def around_one() -> Any:
    return with_multipliers(optax.sgd(0.1), {"w": 0.5})
