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

PLATEAU = optax.contrib.reduce_on_plateau(factor=0.5, patience=1)

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


# --- the effective rate --------------------------------------------------------------------------


def in_front(tx: Any) -> Any:
    return optax.chain(PLATEAU, tx)


def behind(tx: Any) -> Any:
    return optax.chain(tx, PLATEAU)


def within_multi_steps(tx: Any) -> Any:
    return optax.MultiSteps(optax.chain(tx, PLATEAU), 1)


def deep(tx: Any) -> Any:
    return optax.chain(optax.chain(optax.identity(), PLATEAU), optax.named_chain(("tx", tx)))


def scaled_by_a_number_in_the_state(tx: Any) -> Any:
    return optax.chain(tx, optax.inject_hyperparams(optax.scale)(step_size=0.25))


def inside_of_them(tx: Any) -> Any:
    del tx
    return with_multipliers(optax.chain(optax.sgd(0.1), PLATEAU), {"low": 0.5})


def twice(tx: Any) -> Any:
    return behind(behind(tx))


@pytest.mark.parametrize(
    "place",
    [
        in_front,
        behind,
        within_multi_steps,
        deep,
        scaled_by_a_number_in_the_state,
        inside_of_them,
        twice,
    ],
)
def test_the_rate_is_the_effective_one(place: Any) -> None:
    """What comes out of a gradient of ones is the rate, whatever scales it."""
    params = make_params()
    ones = jax.tree.map(jnp.ones_like, params)
    optimizer = place(with_multipliers(optax.sgd(0.1), {"low": 0.5}))
    state, seen = optimizer.init(params), set()
    for _ in range(5):
        updates, state = optimizer.update(ones, state, params, value=jnp.float32(1.0))
        rates = learning_rates(state, params, learning_rate=0.1)
        for layer in params:
            assert rates[f"{layer}/bias"] == pytest.approx(-float(updates[layer]["bias"][0]))
        seen.add(rates["low/bias"])
    assert len(seen) > 1 or place is scaled_by_a_number_in_the_state


def test_the_step_of_a_line_search_is_in_the_rate() -> None:
    params = {"low": jnp.ones(2), "high": jnp.ones(2)}
    loss = lambda p: 8 * jnp.sum(p["low"] ** 2) + jnp.sum(p["high"] ** 2)  # noqa: E731
    optimizer = optax.chain(
        optax.sgd(1.0),
        scale_by_multipliers({"low": 0.5}),
        optax.scale_by_backtracking_linesearch(20, store_grad=False),
    )
    value, gradient = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(
        gradient, optimizer.init(params), params, value=value, grad=gradient, value_fn=loss
    )
    rates = learning_rates(state, params, learning_rate=1.0)
    assert rates["low"] < 0.5
    for name, rate in rates.items():
        assert rate == pytest.approx(-float(updates[name][0] / gradient[name][0]))


def test_scales_of_other_labels_are_theirs() -> None:
    params = make_params()
    labels = {"low": "a", "middle": "a", "high": "b"}
    mine = with_multipliers(optax.sgd(0.1), {"low": 0.5})
    for theirs in (behind(optax.sgd(0.2)), behind(with_multipliers(optax.sgd(0.1)))):
        optimizer = optax.partition({"a": mine, "b": theirs}, labels)
        state = optimizer.init(params)
        for _ in range(4):
            updates, state = optimizer.update(params, state, params, value=jnp.float32(1.0))
        rates = learning_rates(state, params, learning_rate=0.1)
        assert rates["low/bias"] == pytest.approx(0.05)
        assert rates.get("high/bias", 0.0) < 0.1
        del updates


def test_a_scale_of_nobody_knows_which_leaves_is_said() -> None:
    params = make_params()
    halves = optax.masked(PLATEAU, {"low": True, "middle": False, "high": False})
    for optimizer in (
        optax.chain(with_multipliers(optax.sgd(0.1), {"low": 0.5}), halves),
        with_multipliers(optax.chain(optax.sgd(0.1), halves), {"low": 0.5}),
    ):
        with pytest.raises(OptimizerError, match=r"scales the rates of some leaves alone"):
            learning_rates(optimizer.init(params), params, learning_rate=0.1)


@pytest.mark.parametrize("way", [chain, around, inside, everywhere])
def test_states_of_many_members_say_so(way: Any) -> None:
    params = make_params()
    many = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), params)
    states = jax.vmap(way(0.1).init)(many)
    with pytest.raises(OptimizerError, match=r"jax\.vmap.*one member"):
        learning_rates(states, params)
    one = jax.tree.map(lambda leaf: leaf[1], states)
    assert learning_rates(one, params) == learning_rates(way(0.1).init(params), params)


def test_inside_of_a_compiled_or_mapped_function_it_says_so() -> None:
    params = make_params()
    state = around(0.1).init(params)
    read = lambda state: learning_rates(state, params, learning_rate=0.1)  # noqa: E731
    many = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), state)
    for call in (lambda: jax.jit(read)(state), lambda: jax.vmap(read)(many)):
        with pytest.raises(OptimizerError, match=r"jax\.jit.*explain"):
            call()


@pytest.mark.parametrize("rate", ["fast", -1.0, float("nan"), None])
def test_a_base_rate_is_a_number(rate: Any) -> None:
    params = make_params()
    state = with_multipliers(optax.adafactor(None), {"low": 0.5}).init(params)
    message = "base rate is not in this state" if rate is None else "learning_rate must be"
    with pytest.raises(OptimizerError, match=message):
        learning_rates(state, params, learning_rate=rate)
