"""Saving, loading and going on equals not stopping; plain and multiplied files are the same."""

from pathlib import Path
from typing import Any

import keras
import pytest

from layerwise import constant, cosine, layer_decay, override, warmup
from layerwise.errors import ConfigError
from layerwise.keras import LearningRateSchedule, LRMultiplier, annotate, layers
from tests._support.keras.networks import fit, make_data, make_network
from tests._support.keras.optimizers import OPTIMIZERS, make
from tests._support.keras.variables import bits

RULES = {"low": 0.25, "high": warmup(20, start=0.5)}


@keras.saving.register_keras_serializable(package="tests")
def slow_start(step: Any) -> Any:
    """A registered callable multiplier."""
    return 1.0 - 0.5 / (1.0 + step)


def go_on(model: Any) -> None:
    x, y = make_data()
    model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)


def everything(model: Any) -> list[bytes]:
    return bits(model.weights) + bits(model.optimizer.variables)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_keras_file_continues_as_if_never_stopped(name: str, tmp_path: Path) -> None:
    model = make_network()
    schedule = warmup(4) >> cosine(12)
    fit(model, LRMultiplier(make(name, weight_decay=0.01), RULES, schedule=schedule))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert everything(loaded) == everything(model)
    go_on(model)
    go_on(loaded)
    assert everything(loaded) == everything(model)
    assert loaded.optimizer.learning_rates() == model.optimizer.learning_rates()


@pytest.mark.parametrize("name", ["adam", "nadam", "muon", "adafactor"])
def test_weights_file_continues_as_if_never_stopped(name: str, tmp_path: Path) -> None:
    model, other = make_network(), make_network(seed=8)
    fit(model, LRMultiplier(make(name), RULES))
    model.save_weights(tmp_path / "model.weights.h5")
    other.compile(LRMultiplier(make(name), RULES), loss=model.loss)
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    assert everything(other) == everything(model)
    go_on(model)
    go_on(other)
    assert everything(other) == everything(model)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
@pytest.mark.parametrize("to_plain", [False, True])
def test_plain_and_multiplied_files_are_interchangeable(
    ending: str, to_plain: bool, tmp_path: Path
) -> None:
    kinds = [make("adam"), LRMultiplier(make("adam"), {"low": 0.5})]
    source, target = kinds[::-1] if to_plain else kinds
    model, other = make_network(), make_network(seed=8)
    fit(model, source)
    path = tmp_path / f"model{ending}"
    (model.save if ending == ".keras" else model.save_weights)(path)
    other.compile(target, loss=model.loss)
    other.optimizer.build(other.trainable_variables)
    other.load_weights(path)
    assert everything(other) == everything(model)
    assert int(other.optimizer.iterations) == 8


def test_rules_schedules_and_annotations_survive(tmp_path: Path) -> None:
    model = make_network(layers=layers, lr_multiplier={"kernel": 0.5, "bias": constant(2.0)})
    annotate(model.get_layer("middle"), 0.125)
    rules = [layer_decay(0.5), {"low/kernel": slow_start, "high/bias": override(0.75)}]
    schedule = (warmup(4) >> cosine(12)) * 0.5
    fit(model, LRMultiplier(make("adam"), rules, schedule=schedule, match="prefix"))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.learning_rates() == model.optimizer.learning_rates()
    assert [row.rule for row in loaded.optimizer.plan().rows] == [
        "low/kernel",
        "layer_decay(0.5)",
        "annotation",
        "annotation",
        "annotation",
        "high/bias",
    ]
    assert loaded.get_layer("middle").lr_multiplier == 0.125
    assert loaded.get_layer("high").lr_multiplier == {"kernel": 0.5, "bias": constant(2.0)}
    go_on(model)
    go_on(loaded)
    assert everything(loaded) == everything(model)


def test_nested_multipliers_and_a_schedule_as_rate_survive(tmp_path: Path) -> None:
    model = make_network()
    rate = LearningRateSchedule(cosine(20) * 0.01)
    inner = LRMultiplier(keras.optimizers.Nadam(rate), {"low": 0.5})
    fit(model, LRMultiplier(inner, {"high": 2.0}, schedule=warmup(10)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    go_on(model)
    go_on(loaded)
    assert everything(loaded) == everything(model)
    assert loaded.optimizer.learning_rates() == model.optimizer.learning_rates()


def test_a_lambda_says_how_to_register_it(tmp_path: Path) -> None:
    model = make_network()
    fit(model, LRMultiplier("adam", {"low": lambda step: 0.5}))
    with pytest.raises(ConfigError, match=r"'low'.*register_keras_serializable"):
        model.save(tmp_path / "model.keras")


@pytest.mark.parametrize("built", [False, True])
def test_config_round_trip(built: bool) -> None:
    optimizer = LRMultiplier(
        keras.optimizers.AdamW(0.02, beta_1=0.8, global_clipnorm=1.0),
        {"*/bias": 0.0, "low/*": slow_start},
        match="glob",
        strict=False,
    )
    if built:
        optimizer.build(make_network().trainable_variables)
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(again) == config
    assert isinstance(again, LRMultiplier)
    assert isinstance(again, keras.optimizers.AdamW)
    assert (again.beta_1, again.global_clipnorm) == (0.8, 1.0)
