"""Whatever may be a multiplier or a schedule can be saved, or says how."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import ops
from keras.optimizers import schedules

from layerwise import cosine, override, warmup
from layerwise.errors import ConfigError
from layerwise.keras import LearningRateSchedule, LRMultiplier, annotate
from tests._support.keras.networks import fit, make_network


@keras.saving.register_keras_serializable(package="tests")
class Halves(schedules.LearningRateSchedule):
    """A schedule of the user's, in Keras' form."""

    def __init__(self, every: float) -> None:
        self.every = every

    def __call__(self, step: Any) -> Any:
        return 0.5 ** (ops.cast(step, "float32") / self.every)

    def get_config(self) -> dict[str, Any]:
        return {"every": self.every}


@keras.saving.register_keras_serializable(package="tests")
class Fades:
    """A callable object that Keras can make again."""

    def __init__(self, steps: float) -> None:
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        return 1.0 / (1.0 + step / self.steps)

    def get_config(self) -> dict[str, Any]:
        return {"steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Fades":
        return cls(**config)


class Unhashable:
    """A callable object that Keras can't make again, and that has no hash."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, step: Any) -> Any:
        return 1.0 / (1.0 + step)

    def __eq__(self, other: object) -> bool:
        return self is other


class NotRegistered(schedules.LearningRateSchedule):
    """A schedule in Keras' form that Keras would not find again."""

    def __call__(self, step: Any) -> Any:
        return 0.5

    def get_config(self) -> dict[str, Any]:
        return {}


class WithoutConfig(schedules.LearningRateSchedule):
    """A schedule in Keras' form without a config."""

    def __call__(self, step: Any) -> Any:
        return 0.5


def slower(step: Any, steps: float = 10.0) -> Any:
    """A function that was never registered."""
    return 1.0 / (1.0 + step / steps)


SAVED: dict[str, Any] = {
    "exponential decay": schedules.ExponentialDecay(1.0, 10, 0.9),
    "piecewise constant": schedules.PiecewiseConstantDecay([3, 6], [1.0, 0.5, 0.25]),
    "cosine decay": schedules.CosineDecay(1.0, 20, warmup_steps=2, warmup_target=2.0),
    "ours in Keras' form": LearningRateSchedule(warmup(4) >> cosine(20)),
    "the user's": Halves(5.0),
    "an object": Fades(7.0),
}

REFUSED: dict[str, Any] = {
    "lambda": lambda step: 0.5,
    "partial": partial(slower, steps=5.0),
    "function": slower,
    "method": Fades(3.0).__call__,
    "unhashable object": Unhashable(),
    "not registered": NotRegistered(),
    "without a config": WithoutConfig(),
}


def again(model: Any, folder: Path) -> Any:
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


@pytest.mark.parametrize("name", SAVED)
def test_saved_by_keras_own_means(name: str, tmp_path: Path) -> None:
    value = SAVED[name]
    for rules, factor in (
        ({"low": value}, None),
        ({"low/kernel": override(value)}, None),
        (None, value),
    ):
        model = make_network()
        model.compile(LRMultiplier("sgd", rules, schedule=factor), loss="mse")
        model.optimizer.build(model.trainable_variables)
        model.optimizer.iterations.assign(5)
        rates = model.optimizer.learning_rates()
        assert rates["low/kernel"] == pytest.approx(0.01 * float(value(5)), rel=1e-6)
        loaded = again(model, tmp_path)
        assert loaded.optimizer.learning_rates() == rates
        assert again(loaded, tmp_path).optimizer.learning_rates() == rates


def test_on_a_layer_it_is_one_object(tmp_path: Path) -> None:
    model = make_network()
    annotate(model.get_layer("low"), SAVED["exponential decay"])
    annotate(model.get_layer("high"), {"kernel": SAVED["an object"]})
    fit(model, LRMultiplier("sgd"))
    loaded = again(model, tmp_path)
    assert loaded.optimizer.learning_rates() == model.optimizer.learning_rates()
    assert len(loaded.optimizer.plan().groups) == len(model.optimizer.plan().groups) == 3


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("place", ["rule", "schedule", "layer"])
def test_what_cannot_be_saved_says_how(name: str, place: str, tmp_path: Path) -> None:
    value = REFUSED[name]
    model = make_network()
    if place == "layer":
        annotate(model.get_layer("low"), value)
    optimizer = LRMultiplier(
        "sgd",
        {"low": value} if place == "rule" else None,
        schedule=value if place == "schedule" else None,
    )
    model.compile(optimizer, loss="mse")
    where = {"rule": "The rule 'low'", "schedule": "The schedule", "layer": "the layer 'low'"}
    with pytest.raises(ConfigError, match=f"{where[place]}.*register_keras_serializable"):
        model.save(tmp_path / "model.keras")


@pytest.mark.parametrize("value", [partial(slower), Unhashable()])
def test_a_checkpoint_after_the_first_epoch_says_it_too(value: Any, tmp_path: Path) -> None:
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    with pytest.raises(ConfigError, match="its class, which needs get_config"):
        fit(make_network(), LRMultiplier("sgd", {"low": value}), callbacks=[checkpoint])


def test_from_a_config_with_custom_objects() -> None:
    class Third(NotRegistered):
        def __call__(self, step: Any) -> Any:
            return ops.cast(1 / 3, "float32")

    def fifth(step: Any) -> Any:
        return 0.2

    known: dict[str, Any] = {"Third": Third, "fifth": fifth}
    model = make_network()
    with keras.saving.custom_object_scope(known):
        optimizer = LRMultiplier(
            keras.optimizers.SGD(Third(), momentum=0.5),
            {"low": Third(), "high": fifth},
            schedule=Third(),
            hyperparameters={"momentum": fifth},
        )
        optimizer.build(model.trainable_variables)
        config = optimizer.get_config()
    made = LRMultiplier.from_config(config, custom_objects=known)
    made.build(model.trainable_variables)
    assert made.learning_rates() == optimizer.learning_rates()
    assert made.hyperparameters() == {"momentum": pytest.approx(0.2)}
    assert sorted({round(rate * 135) for rate in made.learning_rates().values()}) == [3, 5, 15]


def test_a_class_that_is_not_known_when_loading(tmp_path: Path) -> None:
    config = LRMultiplier("sgd", {"low": Halves(2.0)}).get_config()
    config["rules"]["rules"]["mapping"][0][1]["function"]["registered_name"] = "tests>Gone"
    with pytest.raises(ConfigError, match=r"'low' needs the function 'Halves'.*register"):
        LRMultiplier.from_config(config)
