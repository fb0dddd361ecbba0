"""Training with multipliers equals one separate optimizer for each layer.

The same gradients go to both, one update at a time and without a compiler, so the operations
are the same and the weights must be equal to the last bit.
"""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise import linear
from layerwise.keras import LRMultiplier
from tests._support.keras.optimizers import OPTIMIZERS, make
from tests._support.keras.variables import LAYERS, arrays, bits, make_gradients, make_variables

MULTIPLIERS = {"low": 0.3, "middle": 1.0, "high": 1.7}
STEPS = 4

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weight decay": {"weight_decay": 0.01},
    "gradient accumulation": {"gradient_accumulation_steps": 2, "weight_decay": 0.01},
    "moving average": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 2},
    "clipnorm": {"clipnorm": 0.5},
    "global clipnorm": {"global_clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.2},
}


def train_multiplied(optimizer: Any, variables: list[Any], steps: int = STEPS) -> None:
    for step in range(steps):
        optimizer.apply(make_gradients(step), variables)
    optimizer.finalize_variable_values(variables)


def at_rate(name: str, multiplier: float, options: dict[str, Any]) -> Any:
    """The plain optimizer at the product of base rate and multiplier, both in float32."""
    optimizer = make(name, **options)
    optimizer.learning_rate = np.float32(OPTIMIZERS[name][1]) * np.float32(multiplier)
    return optimizer


def train_separately(name: str, variables: list[Any], options: dict[str, Any]) -> None:
    """One optimizer a layer, each at its own rate."""
    options = dict(options)
    clip = make(name, global_clipnorm=options.pop("global_clipnorm", None))
    optimizers = [at_rate(name, MULTIPLIERS[layer], options) for layer in LAYERS]
    parts = [variables[2 * i : 2 * i + 2] for i in range(len(LAYERS))]
    for step in range(STEPS):
        gradients = clip._clip_gradients(make_gradients(step))  # over all layers, as for one
        for i, optimizer in enumerate(optimizers):
            optimizer.apply(gradients[2 * i : 2 * i + 2], parts[i])
    for optimizer, part in zip(optimizers, parts, strict=True):
        optimizer.finalize_variable_values(part)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_one_optimizer_per_layer(name: str, variant: str) -> None:
    options = VARIANTS[variant]
    mine, theirs = make_variables(), make_variables()
    start = arrays(mine)
    train_multiplied(LRMultiplier(make(name, **options), MULTIPLIERS), mine)
    train_separately(name, theirs, options)
    for value, expected, before in zip(arrays(mine), arrays(theirs), start, strict=True):
        np.testing.assert_array_equal(value, expected)
        assert not np.array_equal(value, before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_one_optimizer_per_layer_under_constraints(name: str) -> None:
    mine = make_variables(keras.constraints.MaxNorm(1.0, axis=0))
    theirs = make_variables(keras.constraints.MaxNorm(1.0, axis=0))
    train_multiplied(LRMultiplier(make(name), MULTIPLIERS), mine)
    train_separately(name, theirs, {})
    assert bits(mine) == bits(theirs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_rules_it_is_the_plain_optimizer(name: str) -> None:
    mine, theirs = make_variables(), make_variables()
    plain, multiplied = make(name, weight_decay=0.01), LRMultiplier(make(name, weight_decay=0.01))
    train_multiplied(multiplied, mine)
    train_multiplied(plain, theirs)
    assert bits(mine) == bits(theirs)
    assert bits(multiplied.variables) == bits(plain.variables)
    names = [[v.name.rstrip("_0123456789") for v in o.variables] for o in (multiplied, plain)]
    assert names[0] == names[1]


def test_nested_multipliers_multiply() -> None:
    mine, theirs = make_variables(), make_variables()
    nested = LRMultiplier(LRMultiplier(make("nadam"), {"low": 0.5}), {"low": 0.6, "high": 1.7})
    train_multiplied(nested, mine)
    train_separately("nadam", theirs, {})
    assert bits(mine) == bits(theirs)


@pytest.mark.parametrize("name", ["adam", "nadam", "adamw", "muon", "adafactor"])
def test_a_schedule_as_multiplier_equals_an_optimizer_whose_rate_is_set(name: str) -> None:
    mine, theirs = make_variables(), make_variables()
    schedule = linear(8, start=1.0, end=0.5)
    rules = MULTIPLIERS | {"low": schedule}
    train_multiplied(LRMultiplier(make(name, weight_decay=0.01), rules), mine)
    optimizers = [at_rate(name, MULTIPLIERS[layer], {"weight_decay": 0.01}) for layer in LAYERS]
    base = np.float32(OPTIMIZERS[name][1])
    for step in range(STEPS):
        optimizers[0].learning_rate = base * np.float32(schedule(step))
        gradients = make_gradients(step)
        for i, optimizer in enumerate(optimizers):
            optimizer.apply(gradients[2 * i : 2 * i + 2], theirs[2 * i : 2 * i + 2])
    assert bits(mine) == bits(theirs)


def test_weight_decay_that_leaves_variables_out_stays_so() -> None:
    plain = make("sgd", weight_decay=0.1)
    plain.exclude_from_weight_decay(var_names=["bias"])
    multiplied = LRMultiplier(plain, {"low": 0.5})
    mine, theirs = make_variables(), make_variables()
    train_multiplied(multiplied, mine)
    other = make("sgd", weight_decay=0.1)
    other.exclude_from_weight_decay(var_names=["bias"])
    train_multiplied(other, theirs)
    assert bits(mine[2:]) == bits(theirs[2:])
    assert bits(mine[:2]) != bits(theirs[:2])
