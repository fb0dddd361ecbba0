"""Searches under schedules by samples: what is counted stands still, and multipliers with it."""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise import constant, linear
from layerwise.errors import MultiplierError, ScheduleError
from layerwise.keras import LRMultiplier, find_lr, find_rates
from layerwise.keras.callbacks import Counter
from tests._support.keras.networks import loss, make_data, make_network

BACKEND = keras.backend.backend()
BY_SAMPLES = linear(1_000).by("samples")
COUNT = 250


def make(optimizer: Any, count: int = 0) -> Any:
    model = make_network()
    model.compile(optimizer, loss=loss())
    if count:
        optimizer.build(model.trainable_variables)
        optimizer.counts = {"samples": count}
    return model


def sgd(**options: Any) -> Any:
    return keras.optimizers.SGD(0.1, momentum=0.9, **options)


def found(model: Any, **options: Any) -> Any:
    x, y = make_data()
    return find_lr(model, x, y, batch_size=16, steps=40, progress=False, **options)


def fit(model: Any, *callbacks: Any) -> Any:
    x, y = make_data()
    return model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=callbacks)


@pytest.mark.parametrize("count", [0, COUNT])
def test_a_common_schedule_is_left_out(count: int) -> None:
    rules = {"low": 0.5}
    plain = found(make(LRMultiplier(sgd(), rules)))
    finding = found(make(LRMultiplier(sgd(), rules, schedule=BY_SAMPLES), count))
    assert finding.suggestion == plain.suggestion
    assert finding.group_factors == plain.group_factors == {"low": 0.5, "default": 1.0}
    assert "counts samples, not updates, and is left out" in finding.reason


@pytest.mark.parametrize("accumulate", [None, 2])
def test_multipliers_and_hyperparameters_stay_where_they_are(accumulate: int | None) -> None:
    value = BY_SAMPLES(samples=COUNT)
    counted = LRMultiplier(
        sgd(gradient_accumulation_steps=accumulate),
        {"low": BY_SAMPLES},
        hyperparameters={"momentum": 0.8 * BY_SAMPLES},
    )
    model = make(counted, COUNT)
    if accumulate:  # an update that is not complete, and that the search begins anew
        counted.count(samples=500)
        counted.apply([0 * v for v in model.trainable_variables])
    held = LRMultiplier(
        sgd(gradient_accumulation_steps=accumulate),
        {"low": value},
        hyperparameters={"momentum": constant(0.8 * value)},
    )
    # Higher rates are wild: there a probe makes any rounding a hundred times larger.
    finding, plain = found(model, high=0.3), found(make(held), high=0.3)
    assert finding.losses == pytest.approx(plain.losses, rel=1e-5)
    scores, still = ([probe.score for probe in each.probes] for each in (finding, plain))
    assert scores == pytest.approx(still, rel=1e-5)
    assert finding.suggestion == pytest.approx(plain.suggestion, rel=1e-5)
    assert finding.group_factors == pytest.approx({"low": value, "default": 1.0})
    assert counted.counts == {"samples": COUNT}


def test_training_goes_on_as_without_a_search() -> None:
    searched, plain = (make(LRMultiplier(sgd(), schedule=BY_SAMPLES)) for _ in range(2))
    for _ in range(2):
        found(searched)
        with pytest.raises(ScheduleError, match="nobody counts them"):
            fit(make(LRMultiplier(sgd(), schedule=BY_SAMPLES)))
        for model in (searched, plain):
            fit(model, Counter(samples=16))
    assert searched.optimizer.counts == plain.optimizer.counts == {"samples": 128}
    for ours, theirs in zip(searched.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    found(searched)
    with pytest.raises(ScheduleError, match="nobody counts them"):
        fit(searched)  # what the search compiled serves no training


def test_find_rates_under_counts() -> None:
    x, y = make_data()
    given: dict[str, Any] = {"batch_size": 16, "budget": 150, "progress": False}
    momentum = {"momentum": 0.8 * BY_SAMPLES}
    counted = LRMultiplier(sgd(), schedule=BY_SAMPLES, hyperparameters=momentum)
    still = {"momentum": constant(0.8 * BY_SAMPLES(samples=COUNT))}
    finding = find_rates(make(counted, COUNT), x, y, **given)
    plain = find_rates(make(LRMultiplier(sgd(), hyperparameters=still)), x, y, **given)
    assert finding.rules == plain.rules
    assert finding.learning_rate == pytest.approx(plain.learning_rate, rel=1e-5)
    assert counted.counts == {"samples": COUNT}


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch traces nothing")
def test_an_error_of_layerwise_is_no_unfit_batch() -> None:
    untraceable = LRMultiplier(sgd(), {"low": lambda step: 1.0 if int(step) < 5 else 0.5})
    with pytest.raises(MultiplierError, match="must return a number or a scalar tensor"):
        found(make(untraceable))
