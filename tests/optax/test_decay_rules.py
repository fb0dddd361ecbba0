"""Weight decay rules in Optax: equal to one optimizer for each decay."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise import cosine, layer_decay, linear, reduce_on_plateau
from layerwise.errors import MultiplierError, OptimizerError, UnmatchedRuleError
from layerwise.optax import (
    DecayState,
    add_decayed_weights,
    carry_state,
    explain,
    learning_rates,
    with_multipliers,
)
from tests._support.optax.trees import LAYERS, bits, make_params, train, train_compiled

DECAYS = {"low": 0.3, "middle": 1.0, "high": 0.0}
LABELS = {layer: layer for layer in LAYERS}


def adamw(decay: Any, rules: Any = None, **options: Any) -> optax.GradientTransformation:
    return optax.chain(
        optax.scale_by_adam(),
        add_decayed_weights(decay, rules, **options),
        optax.scale_by_learning_rate(0.1),
    )


KINDS: dict[str, Any] = {
    "adamw": lambda decay: optax.adamw(0.1, weight_decay=decay),
    "lion": lambda decay: optax.lion(0.1, b2=0.99, weight_decay=decay),
    "lamb": lambda decay: optax.lamb(0.1, eps=1e-6, weight_decay=decay),
}
LINKS: dict[str, Any] = {
    "adamw": ([optax.scale_by_adam()], []),
    "lion": ([optax.scale_by_lion()], []),
    "lamb": ([optax.scale_by_adam(eps=1e-6)], [optax.scale_by_trust_ratio()]),
}


def with_rules(name: str) -> optax.GradientTransformation:
    before, after = LINKS[name]
    link = add_decayed_weights(0.2, DECAYS)
    return optax.chain(*before, link, *after, optax.scale_by_learning_rate(0.1))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", KINDS)
def test_equals_one_optimizer_for_each_decay(name: str, dtype: str) -> None:
    start = make_params(dtype=dtype)
    label = {layer: KINDS[name](0.2 * decay) for layer, decay in DECAYS.items()}
    mine, _ = train(with_rules(name), start)
    theirs, _ = train(optax.partition(label, LABELS), start)
    assert bits(mine) == bits(theirs)


def test_a_decay_and_a_rule_that_move() -> None:
    start = make_params()
    mine, state = train_compiled(adamw(linear(8), {"low": cosine(8), "high": 0.5}), start)
    assert int(state[1].count) == 4

    def plain(decay: Any) -> optax.GradientTransformation:
        return optax.chain(
            optax.scale_by_adam(),
            optax.add_decayed_weights(decay),
            optax.scale_by_learning_rate(0.1),
        )

    decays = {
        "low": lambda t: linear(8)(t) * cosine(8)(t),
        "middle": linear(8),
        "high": lambda t: linear(8)(t) * 0.5,
    }
    label = {layer: plain(decay) for layer, decay in decays.items()}
    theirs, _ = train_compiled(optax.partition(label, LABELS), start)
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


def test_the_state_is_that_of_optax() -> None:
    params = make_params()
    plain = optax.adamw(0.1, weight_decay=0.2)
    mine = adamw(0.2, {"low": 0.5})
    assert jax.tree.structure(mine.init(params)) == jax.tree.structure(plain.init(params))
    _, state = train(plain, params, 3)
    carried = carry_state(mine, params, state)
    assert bits(carried) == bits(state)
    moving = carry_state(adamw(0.2, {"low": cosine(9)}), params, state)
    assert moving[1] == DecayState(jnp.asarray(3, jnp.int32))
    _, went_on = train(adamw(0.2, {"low": cosine(9)}), params, 2, state=moving)
    assert int(carry_state(adamw(0.2, {"low": linear(9)}), params, went_on)[1].count) == 5


def test_frozen_leaves_do_not_decay() -> None:
    start = make_params()
    optimizer = with_multipliers(adamw(0.2, {"low": 0.5}), {"low": 0, "high": 0.5})
    mine, state = train(optimizer, start)
    assert bits(mine["low"]) == bits(start["low"])
    rates = learning_rates(state, start, learning_rate=0.1)
    assert float(rates["high/bias"]) == pytest.approx(0.05)
    theirs, _ = train(
        optax.partition(
            {
                "low": optax.set_to_zero(),
                "middle": adamw(0.2),
                "high": optax.chain(adamw(0.2), optax.scale(0.5)),
            },
            LABELS,
        ),
        start,
    )
    assert bits(mine) == bits(theirs)


def test_no_decay_changes_no_bit() -> None:
    params = {"a": jnp.asarray([jnp.inf, jnp.nan, 1.0]), "b": jnp.ones(1)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    link = add_decayed_weights(0.5, {"a": 0})
    updates, _ = link.update(zeros, link.init(params), params)
    assert updates["a"].tolist() == [0, 0, 0]
    assert updates["b"].tolist() == [0.5]


def test_arrays_strategies_and_masked_leaves() -> None:
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones(2)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    link = add_decayed_weights(0.5, [{"a": np.array([[1.0], [0.0]])}])
    updates, _ = link.update(zeros, link.init(params), params)
    assert updates["a"].tolist() == [[0.5] * 3, [0.0] * 3]
    deep = add_decayed_weights(1.0, layer_decay(0.5), layers=["a", "b"])
    updates, _ = deep.update(zeros, deep.init(params), params)
    assert (updates["a"][0, 0].item(), updates["b"][0].item()) == (0.5, 1.0)
    masked = optax.masked(add_decayed_weights(1.0, {"a": 0.5}), {"a": True, "b": False})
    updates, _ = masked.update(zeros, masked.init(params), params)
    assert (updates["a"][0, 0].item(), updates["b"][0].item()) == (0.5, 0.0)


def test_leaves_that_are_none() -> None:
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    link = add_decayed_weights(0.5, {"a": 0.5})
    updates, _ = link.update({"a": jnp.zeros(2), "b": None}, link.init(params), params)
    assert updates["b"] is None
    assert updates["a"].tolist() == [0.25, 0.25]


def test_explain() -> None:
    params = make_params()
    plan = explain(params, {"low": 0.1}, weight_decay=0.5, decay_rules={"high/bias": 0})
    assert plan.weight_decays(0) == [0, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert "decay" in str(plan)
    moving = explain(params, weight_decay=linear(4), step=2)
    assert set(moving.weight_decays(2)) == {0.5}
    assert explain(params, decay_rules={"low": 0.5}).rows[2].decay == 0.5


@pytest.mark.parametrize("decay", [-1, float("nan"), None, "0.1", True])
def test_a_bad_decay(decay: Any) -> None:
    with pytest.raises(MultiplierError, match="weight_decay must be a finite number"):
        add_decayed_weights(decay)
    if decay is not None:
        with pytest.raises(MultiplierError, match="weight_decay must be a finite number"):
            explain(make_params(), weight_decay=decay)


def test_bad_rules() -> None:
    with pytest.raises(MultiplierError, match="multiplier -1"):
        add_decayed_weights(0.1, {"low": -1})
    with pytest.raises(UnmatchedRuleError, match="'lwo'"):
        add_decayed_weights(0.1, {"lwo": 1}).init(make_params())
    link = add_decayed_weights(0.1, {"low": 0.5})
    params = make_params()
    with pytest.raises(OptimizerError, match="Weight decay needs the parameters"):
        link.update(params, link.init(params))


def test_weight_decay_by_tokens_follows_what_update_is_told() -> None:
    tx = add_decayed_weights(linear(1_000).by("tokens"))
    params = {"a": jnp.ones(2)}
    state = tx.init(params)
    for seen in (0, 250, 1_000):
        updates, state = tx.update({"a": jnp.zeros(2)}, state, params, tokens=seen)
        assert updates["a"].tolist() == [1 - seen / 1_000] * 2


def test_weight_decay_that_a_metric_decides_is_refused() -> None:
    with pytest.raises(MultiplierError, match=r"^weight_decay is moved by a metric"):
        add_decayed_weights(reduce_on_plateau("loss"))
