"""After a search for rates, however it ends, everything is as it was; and what it refuses."""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise import cosine
from layerwise.errors import FinderError, LayerwiseError
from layerwise.keras import LRMultiplier, find_rates
from tests._support.keras.everything import everything
from tests._support.keras.networks import loss, make_data

BACKEND = keras.backend.backend()
QUIET: dict[str, Any] = {"budget": 90, "progress": False, "batch_size": 8}

OPTIMIZERS: dict[str, Any] = {
    "adam": keras.optimizers.Adam,
    "nadam with ema": lambda: keras.optimizers.Nadam(use_ema=True, ema_overwrite_frequency=3),
    "schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9)),
    "accumulating": lambda: keras.optimizers.Adam(gradient_accumulation_steps=2),
    "multiplied": lambda: LRMultiplier("adam", schedule=cosine(20)),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()),
}


def make(optimizer: Any = "adam", built: bool = True, model: type = keras.Sequential) -> Any:
    """A network with dropout and batch normalization, compiled, not trained."""
    keras.utils.set_random_seed(11)
    layers = [
        keras.layers.Dense(8, activation="tanh", name="first"),
        keras.layers.Dropout(0.3),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(3, name="last"),
    ]
    made = model([keras.Input((6,)), *layers] if built else layers, name="network")
    known = OPTIMIZERS[optimizer]() if isinstance(optimizer, str) else optimizer
    made.compile(known, loss=loss(), metrics=["accuracy"])
    return made


def train(model: Any) -> dict[str, Any]:
    """Two epochs with shuffled data; all that came of it but the model's functions."""
    x, y = make_data(40)
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0).history
    after = everything(model)
    for name in ("objects", "gradient objects", "rate"):
        after.pop(name, None)
    return after | {"history": history}


@pytest.mark.parametrize(
    ("optimizer", "memory"),
    [*((name, "device") for name in OPTIMIZERS), ("adam", "host")],
)
def test_all_is_as_before(optimizer: str, memory: Any) -> None:
    model = make(optimizer)
    own = model.optimizer
    before = everything(model)
    found = find_rates(model, *make_data(40), memory=memory, **QUIET)
    assert found.probes
    assert model.optimizer is own
    assert everything(model) == before
    assert train(model) == train(make(optimizer))


@pytest.mark.parametrize("built", [True, False])
def test_all_is_as_before_in_the_midst_of_training(built: bool) -> None:
    model = make(built=built)
    if built:
        train(model)
    before = everything(model) if built else None
    find_rates(model, *make_data(40), **QUIET)
    assert not built or everything(model) == before
    result = train(model)
    other = make(built=built)
    if built:
        train(other)
    assert result == train(other)


class Failing(keras.Sequential):
    """A model whose step goes wrong after some batches, where it runs eagerly."""

    steps = 0  # of the class: a search puts back what the model itself counts
    after = 0
    error: BaseException

    def train_step(self, *arguments: Any) -> Any:
        result = super().train_step(*arguments)
        Failing.steps += 1
        if Failing.steps > Failing.after:
            raise self.error
        return result


@pytest.mark.parametrize(
    ("error", "after"), [(RuntimeError("out of luck"), 40), (KeyboardInterrupt(), 5)]
)
def test_a_step_that_raises(error: BaseException, after: int) -> None:
    model = make(model=Failing)
    model.run_eagerly, model.jit_compile = True, False
    Failing.error, Failing.steps, Failing.after = error, 0, after
    before = everything(model)
    with pytest.raises(type(error)):
        find_rates(model, *make_data(40), **QUIET)
    assert everything(model) == before


def test_ctrl_c_answers_with_what_there_is() -> None:
    model = make(model=Failing)
    model.run_eagerly, model.jit_compile = True, False
    Failing.error, Failing.steps, Failing.after = KeyboardInterrupt(), 0, 60
    before = everything(model)
    found = find_rates(model, *make_data(40), **QUIET)
    assert found.ended == "stopped by the user"
    assert len(found.probes) >= 1
    assert everything(model) == before


# -- what can't be searched ----------------------------------------------------------------------


class OwnStep(keras.Sequential):
    """A model that trains in a way of its own."""

    def train_step(self, *arguments: Any) -> Any:
        return super().train_step(*arguments)


def without_loss() -> Any:
    model = OwnStep([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile("sgd")
    return model


X, Y = make_data(40)

BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no model": (lambda: "model", {}, r"^find_rates\(\) takes a Keras model"),
    "not compiled": (keras.Sequential, {}, r"is not compiled with an optimizer"),
    "no data": (make, {"x": None, "y": None}, r"^There is no data"),
    "one example": (make, {"x": X[:1], "y": Y[:1]}, r"nothing can be held out"),
    "one class": (make, {"y": np.zeros_like(Y)}, r"one class only"),
    "held out": (make, {"held_out": (X[:0], Y[:0])}, r"has no batch"),
    "no targets": (make, {"held_out": X}, r"can't be tested on a held-out batch like"),
    "other inputs": (
        make,
        {"held_out": (X[:, :4], Y)},
        r"can't be tested on a held-out batch like \(float32\[",
    ),
    "overlap": (make, {"layers": [["first", "last"], ["last"]]}, r"last"),
    "frozen": (
        make,
        {"rules": {"first": 0, "batch_normalization": 0, "last": 0}},
        r"^There is nothing to search for: every parameter is frozen",
    ),
    "moving": (make, {"rules": {"first": cosine(9)}}, r"^The multiplier of 'first' must be a num"),
    "unmatched": (make, {"rules": {"frist": 0.5}}, r"'frist'"),
    "budget": (make, {"budget": 40}, r"^A budget of 40 updates is too small for one probe"),
    "accumulate": (make, {"accumulate": 2}, r"^accumulate=2 must be how many batches"),
    "rules": (
        lambda: make(LRMultiplier("adam", {"first": 0.1})),
        {},
        r"^The optimizer has rules of its own, {'first': 0\.1}, .* give as rules= ",
    ),
    "no loss": (without_loss, {}, r"Override test_step\(\) as well"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    made, options, message = BAD[name]
    model = made()
    compiled = isinstance(model, keras.Model) and model.compiled
    before = everything(model) if compiled else None
    data = {"x": X, "y": Y} | options
    with pytest.raises(LayerwiseError, match=message):
        find_rates(model, **(QUIET | data))
    assert not compiled or everything(model) == before


def test_a_test_step_of_the_users_own_is_used() -> None:
    class Own(OwnStep):
        def test_step(self, *arguments: Any) -> Any:
            found = super().test_step(*arguments)
            if BACKEND == "jax":
                return {"loss": found[0]["loss"] + 5.0}, found[1]
            return {"loss": found["loss"] + 5.0}

    model = make(model=Own)
    found = find_rates(model, X, Y, **QUIET)
    assert min(found.untrained) > 5

    class Nothing(OwnStep):
        def test_step(self, *arguments: Any) -> Any:
            return ({}, arguments[0]) if BACKEND == "jax" else {}

    with pytest.raises(FinderError, match=r"^The test_step\(\) of 'network' returns no 'loss'"):
        find_rates(make(model=Nothing), X, Y, **QUIET)


def test_an_unknown_option_is_named_and_the_way_out() -> None:
    with pytest.raises(
        TypeError, match=r"^find_rates\(\) has no option 'validation_data'\. .*held_o"
    ):
        find_rates(make(), X, Y, validation_data=(X, Y))  # type: ignore[call-arg]
    with pytest.raises(
        TypeError, match=r"^find_rates\(\) has no option 'epochs'\. .*budget, horizon"
    ):
        find_rates(make(), X, Y, epochs=3)  # type: ignore[call-arg]
