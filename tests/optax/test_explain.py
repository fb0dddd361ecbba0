"""explain: the same table as in Keras, from a tree of parameters."""

import jax
import numpy as np
import optax
import pytest

from layerwise import cosine, layer_decay, warmup
from layerwise.errors import MultiplierError
from layerwise.optax import explain, learning_rates, with_multipliers
from tests._support.optax.trees import bits, make_params, train

RULES = {"low": 0, "middle": cosine(20), "high/kernel": 0.5}
SCHEDULE = warmup(4) >> cosine(16)


def test_it_shows_what_training_does_and_changes_nothing() -> None:
    params = make_params()
    before = bits(params)
    plan = explain(params, RULES, learning_rate=0.01, schedule=SCHEDULE, steps=(4, 20), step=2)
    assert bits(params) == before
    optimizer = with_multipliers(optax.adam(0.01), RULES, schedule=SCHEDULE)
    for steps in (1, 3, 7):
        _, state = train(optimizer, params, steps=steps)
        rates = learning_rates(state, params, learning_rate=0.01)
        assert list(rates) == plan.to_dict()["parameter"]
        assert list(rates.values()) == pytest.approx(plan.rates(steps - 1))
    columns = plan.to_dict()
    assert columns["rate @ 2"] == pytest.approx(plan.rates(2))
    assert columns["rate @ 20"] == [0.0] * 6
    assert columns["frozen"] == [False, False, True, True, False, False]
    assert columns["shape"][:2] == [[3], [4, 3]]


def test_without_rules_it_lists_the_parameters() -> None:
    columns = explain(make_params(), learning_rate=0.01).to_dict()
    assert columns["parameter"] == explain(make_params(), RULES).to_dict()["parameter"]
    assert columns["rule"] == [None] * 6
    assert columns["rate @ 0"] == [0.01] * 6


def test_it_prints_a_table() -> None:
    text = str(explain(make_params(), RULES, learning_rate=0.01, steps=(10,)))
    for part in ("low", "high/kernel", "cosine(20)", "5e-3", "rate @ 10", "frozen"):
        assert part in text


def test_without_a_rate_it_shows_multipliers() -> None:
    columns = explain(make_params(), RULES, steps=(10,)).to_dict()
    assert columns["multiplier @ 10"] == pytest.approx([1.0, 0.5, 0.0, 0.0, 0.5, 0.5])


def test_shapes_are_enough() -> None:
    shapes = jax.eval_shape(make_params)
    assert explain(shapes, RULES).to_dict() == explain(make_params(), RULES).to_dict()


def test_strategies_with_levels() -> None:
    plan = explain(make_params(), layer_decay(0.5), layers=["low", "middle", "high"])
    np.testing.assert_array_equal(plan.multipliers(0), np.repeat([1.0, 0.25, 0.5], 2))


@pytest.mark.parametrize("rate", [-1.0, float("inf"), lambda count: 0.1])
def test_a_base_rate_is_a_number(rate: object) -> None:
    with pytest.raises(MultiplierError, match=r"learning_rate.* must be"):
        explain(make_params(), RULES, learning_rate=rate)
