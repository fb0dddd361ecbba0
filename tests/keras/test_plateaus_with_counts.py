"""Counts, hyperparameters, decay rules and what metrics decide, all in one ``LRMultiplier``."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from layerwise import cosine, linear, on_plateau, plateau, reduce_on_plateau
from layerwise.errors import ScheduleError
from layerwise.keras import LRMultiplier

WHEN = plateau("loss", patience=1)
SIZES = [3, 9, 1, 20, 4, 30]
LOSSES = [1.0, 2.0, 0.5, 2.0, 2.0, 0.1]
RATE, DECAY = 0.1, 0.2
SCHEDULE = cosine(100, end=0.1)
MOMENTUM = linear(100, start=0.9, end=0.5)
DECAYS = linear(80, start=1.0, end=0.25)
START = {"a": 1.0, "b": -2.0, "c": 0.5}


def rules() -> dict[str, Any]:
    return {"b": on_plateau(WHEN, [0.0, 0.5, 1.0])}


def variables() -> list[Any]:
    return [keras.Variable([value], name=name) for name, value in START.items()]


def make(plain: Any = None) -> Any:
    return LRMultiplier(
        plain or keras.optimizers.SGD(RATE, momentum=0.9, weight_decay=DECAY),
        rules(),
        schedule=SCHEDULE.by("tokens"),
        decay_rules={"a": DECAYS.by("samples"), "c": reduce_on_plateau("loss", 0.5, 1)},
        hyperparameters={"momentum": MOMENTUM.by("tokens") * reduce_on_plateau("loss", 0.9, 1)},
    )


def train(optimizer: Any, weights: list[Any], steps: range) -> list[float]:
    for number in steps:
        optimizer.count(tokens=SIZES[number], samples=2 * SIZES[number])
        optimizer.apply([keras.ops.sin(weight + number) for weight in weights], weights)
        optimizer.report({"loss": LOSSES[number]})
    return values(weights)


def values(weights: list[Any]) -> list[float]:
    return [float(keras.ops.convert_to_numpy(weight)[0]) for weight in weights]


def by_hand(steps: int) -> list[float]:
    """Keras' SGD with decoupled weight decay, written out."""
    weights, velocities = dict(START), dict.fromkeys(START, 0.0)
    tokens, fired, best = 0, 0, float("inf")
    for number in range(steps):
        factor, momentum = SCHEDULE(tokens), MOMENTUM(tokens) * 0.9**fired
        decays = {"a": DECAYS(2 * tokens), "b": 1.0, "c": 0.5**fired}
        for name, weight in weights.items():
            multiplier = [0.0, 0.5, 1.0][min(fired, 2)] if name == "b" else 1.0
            if not multiplier:
                continue
            rate, gradient = RATE * factor * multiplier, np.sin(weight + number)
            decayed = weight - weight * DECAY * decays[name] * rate
            velocities[name] = velocities[name] * momentum - gradient * rate
            weights[name] = decayed + velocities[name]
        tokens += SIZES[number]
        fired, best = fired + (LOSSES[number] >= best), min(best, LOSSES[number])
    return list(weights.values())


def test_training_is_that_of_a_loop_by_hand() -> None:
    weights = variables()
    optimizer = make()
    optimizer.build(weights)
    assert train(optimizer, weights, range(6)) == pytest.approx(by_hand(6), rel=2e-5)
    assert optimizer.counts == {"tokens": sum(SIZES), "samples": 2 * sum(SIZES)}
    assert optimizer.decisions.counts() == {WHEN: 3}
    fired, tokens = 3, sum(SIZES)
    assert optimizer.hyperparameters() == {"momentum": pytest.approx(MOMENTUM(tokens) * 0.9**fired)}
    rates = optimizer.learning_rates()
    assert list(rates.values()) == pytest.approx([RATE * SCHEDULE(tokens)] * 3, rel=1e-6)


def test_what_is_kept_comes_after_what_the_plain_optimizer_has() -> None:
    weights, others = variables(), variables()
    optimizer, plain = make(), keras.optimizers.SGD(RATE, momentum=0.9, weight_decay=DECAY)
    optimizer.build(weights)
    plain.build(others)
    shapes = [tuple(variable.shape) for variable in optimizer.variables]
    known = [tuple(variable.shape) for variable in plain.variables]
    assert shapes == [*known, (4,), (4,), (6,)]


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_new_rules_around_a_trained_optimizer_go_on(stop: int) -> None:
    weights = variables()
    optimizer = make()
    optimizer.build(weights)
    train(optimizer, weights, range(stop))
    again = optimizer.with_rules(
        rules(),
        schedule=SCHEDULE.by("tokens"),
        decay_rules={"a": DECAYS.by("samples"), "c": reduce_on_plateau("loss", 0.5, 1)},
        hyperparameters={"momentum": MOMENTUM.by("tokens") * reduce_on_plateau("loss", 0.9, 1)},
    )
    again.build(weights)
    assert again.counts == optimizer.counts
    assert again.decisions.states == optimizer.decisions.states
    assert train(again, weights, range(stop, 6)) == pytest.approx(by_hand(6), rel=2e-5)


def test_a_trained_plain_optimizer_is_taken_over() -> None:
    weights = variables()
    plain = keras.optimizers.SGD(RATE, momentum=0.9, weight_decay=DECAY)
    plain.build(weights)
    plain.apply([keras.ops.ones(1)] * 3, weights)
    optimizer = make(plain)
    optimizer.build(weights)
    pairs = zip(optimizer.variables, plain.variables, strict=False)
    for mine, its in pairs:
        assert np.array_equal(keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(its))
    assert optimizer.counts == {"tokens": 0, "samples": 0}


def model_of(optimizer: Any) -> Any:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(2, name=name) for name in "abc"]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    return model


def test_a_saved_model_has_all_and_a_plain_file_loads(tmp_path: Path) -> None:
    model = model_of(make())
    optimizer = model.optimizer
    gradients = [keras.ops.ones(variable.shape) for variable in model.trainable_variables]
    for loss in (1.0, 2.0):
        optimizer.count(tokens=5, samples=7)
        optimizer.apply(gradients)
        optimizer.report(loss)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert loaded.counts == {"tokens": 10, "samples": 14}
    assert loaded.decisions.states == optimizer.decisions.states
    assert loaded.hyperparameters() == optimizer.hyperparameters()
    assert list(loaded.learning_rates().values()) == list(optimizer.learning_rates().values())

    plain = keras.optimizers.SGD(RATE, momentum=0.9, weight_decay=DECAY)
    other = model_of(plain)
    plain.apply(gradients)
    other.save_weights(tmp_path / "plain.weights.h5")
    model.load_weights(tmp_path / "plain.weights.h5")
    assert int(optimizer.iterations) == 1
    # The file says nothing of what was counted and decided, so that begins anew.
    assert optimizer.counts == {"tokens": 0, "samples": 0}
    assert optimizer.decisions.states == {when: when.start() for when in optimizer.decisions.states}
    assert optimizer.hyperparameters() == {"momentum": pytest.approx(MOMENTUM(0))}


def test_an_optimizer_around_another_reads_its_own_plateaus() -> None:
    falling = reduce_on_plateau("loss", 0.5, 1)
    weights = variables()
    inner = LRMultiplier(
        keras.optimizers.SGD(RATE, momentum=0.8), hyperparameters={"momentum": falling * 0.8}
    )
    inner.build(weights)
    inner.report({"loss": 1.0})
    inner.report({"loss": 2.0})
    outer = LRMultiplier(inner, {"a": 0.5})
    outer.build(weights)
    assert outer.hyperparameters() == {"momentum": pytest.approx(0.4)}
    inner.report({"loss": 3.0})  # each goes its own way from here on
    assert outer.hyperparameters() == {"momentum": pytest.approx(0.4)}
    for loss in (4.0, 5.0):
        outer.report({"loss": loss})
    assert outer.hyperparameters() == {"momentum": pytest.approx(0.1)}
    assert inner.hyperparameters() == {"momentum": pytest.approx(0.2)}
    before = values(weights)
    outer.apply([keras.ops.ones(1)] * 3, weights)
    outer.apply([keras.ops.ones(1)] * 3, weights)
    rates = [0.5 * RATE, RATE, RATE]
    expected = [v - rate * (1 + 1.1) for v, rate in zip(before, rates, strict=True)]
    assert values(weights) == pytest.approx(expected, rel=1e-5)


def test_a_momentum_that_a_metric_would_raise_to_1_is_refused() -> None:
    rising = on_plateau(WHEN, [0.9, 1.0])
    with pytest.raises(ScheduleError, match="must be below 1"):
        LRMultiplier(keras.optimizers.SGD(0.1, momentum=0.9), hyperparameters={"momentum": rising})
