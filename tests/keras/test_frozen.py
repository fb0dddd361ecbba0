"""A multiplier of 0 freezes: weights and their optimizer state stay as they are, bit for bit."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from layerwise import gradual_unfreezing, piecewise_constant
from layerwise.keras import LRMultiplier
from tests._support.keras.optimizers import OPTIMIZERS, make
from tests._support.keras.variables import arrays, bits, make_gradients, make_variables

LOW = slice(0, 2)  # the variables of the layer "low"
STEPS = 100


def make_frozen_gradients(step: int) -> list[Any]:
    """Gradients of which the first layer's are NaN."""
    nan, *rest = make_gradients(step)[1:]
    kernel = ops.full((4, 3), float("nan"), dtype="float32")
    return [kernel, ops.full(nan.shape, float("nan"), dtype="float32"), *rest]


def own_state(optimizer: Any, variables: list[Any]) -> list[Any]:
    """The optimizer's variables that carry the name of one of these."""
    names = [v.path.replace("/", "_") for v in variables]
    return [s for s in optimizer.variables if any(name in s.path for name in names)]


FREEZERS = {
    "a number": 0,
    "a schedule": piecewise_constant([10_000], [0.0, 1.0]),
    "a callable": lambda step: 0.0 * step,
}


@pytest.mark.parametrize("freezer", FREEZERS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_weights_and_their_state_keep_every_bit(name: str, freezer: str) -> None:
    steps = STEPS if freezer == "a number" else 12
    variables = make_variables(keras.constraints.MaxNorm(0.5, axis=0))
    variables[0].assign(ops.convert_to_tensor(np.where(arrays(variables)[0] > 1, -0.0, 1.0)))
    before = bits(variables)
    optimizer = LRMultiplier(make(name, weight_decay=0.1), {"low": FREEZERS[freezer]})
    optimizer.build(variables)
    state = own_state(optimizer, variables[LOW])
    state_before = bits(state)
    for step in range(steps):
        optimizer.apply(make_frozen_gradients(step), variables)
    assert bits(variables)[LOW] == before[LOW]
    assert bits(state) == state_before
    assert all(np.isfinite(a).all() for a in arrays(variables))
    assert all(a != b for a, b in zip(bits(variables)[2:], before[2:], strict=True))
    assert int(optimizer.iterations) == steps


@pytest.mark.parametrize("freezer", FREEZERS)
@pytest.mark.parametrize("name", ["ftrl", "nadam"])
def test_an_average_of_a_frozen_weight_is_the_weight(name: str, freezer: str) -> None:
    """Ftrl divides by its rate: what it would write at a rate of 0 is NaN."""
    variables = make_variables()
    before = bits(variables)
    optimizer = LRMultiplier(make(name, use_ema=True), {"low": FREEZERS[freezer]})
    for step in range(3):
        optimizer.apply(make_frozen_gradients(step), variables)
    optimizer.finalize_variable_values(variables)
    assert bits(variables)[LOW] == before[LOW]


class NaNGradient(keras.layers.Layer):
    """Passes its input on; the gradient of its weight is NaN."""

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(3,), initializer="ones", name="kernel")

    def call(self, x: Any) -> Any:
        return x + ops.sum(ops.sqrt(self.kernel - self.kernel))


@pytest.mark.parametrize(
    ("name", "freezer"),
    [(name, "a number") for name in OPTIMIZERS]
    + [(name, freezer) for name in ("adam", "ftrl", "nadam") for freezer in list(FREEZERS)[1:]],
)
def test_frozen_in_a_compiled_fit(name: str, freezer: str) -> None:
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, name="free")(inputs)
    model = keras.Model(inputs, NaNGradient(name="broken")(x))
    optimizer = make(name, weight_decay=0.1, global_clipnorm=1.0)
    model.compile(LRMultiplier(optimizer, {"broken": FREEZERS[freezer]}), loss="mse")
    data = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
    before = bits(model.weights)
    model.fit(data, data[:, :3] ** 2, batch_size=8, verbose=0)
    assert bits(model.weights)[-1] == before[-1]
    assert bits(model.weights)[0] != before[0]
    assert all(np.isfinite(a).all() for a in arrays(model.weights))


@pytest.mark.parametrize("freezer", FREEZERS)
@pytest.mark.parametrize(
    "options",
    [
        {"global_clipnorm": 0.5},
        {"clipnorm": 0.5},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True},
        {"use_ema": True, "ema_overwrite_frequency": 3},
    ],
    ids=str,
)
def test_frozen_under_every_option(freezer: str, options: dict[str, Any]) -> None:
    variables = make_variables()
    before = bits(variables)
    optimizer = LRMultiplier(make("adam", **options), {"low": FREEZERS[freezer]})
    for step in range(8):
        optimizer.apply(make_frozen_gradients(step), variables)
    optimizer.finalize_variable_values(variables)
    assert bits(variables)[LOW] == before[LOW]
    assert all(np.isfinite(a).all() for a in arrays(variables))
    assert all(a != b for a, b in zip(bits(variables)[2:], before[2:], strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_unfrozen_later_it_trains_as_if_it_began_then(name: str) -> None:
    """The others train as if the frozen layer were not there; then it joins."""
    rules = {"low": piecewise_constant([3], [0.0, 1.0])}
    variables, others = make_variables(), make_variables()
    start = bits(variables)[LOW]
    optimizer, alone = LRMultiplier(make(name), rules), LRMultiplier(make(name), {"low": 0})
    for step in range(3):
        optimizer.apply(make_frozen_gradients(step), variables)
        alone.apply(make_gradients(step), others)
    assert bits(variables) == bits(others)
    assert bits(variables)[LOW] == start
    for step in range(3, 6):
        optimizer.apply(make_gradients(step), variables)
    assert all(np.isfinite(a).all() for a in arrays(variables))
    assert bits(variables)[LOW] != start


def test_everything_frozen_still_counts_steps() -> None:
    variables = make_variables()
    before = bits(variables)
    optimizer = LRMultiplier(make("adam", use_ema=True), {"low": 0, "m": 0, "h": 0})
    for step in range(3):
        optimizer.apply(make_gradients(step), variables)
    optimizer.finalize_variable_values(variables)
    assert int(optimizer.iterations) == 3
    assert bits(variables) == before


def test_gradual_unfreezing_from_the_head_down() -> None:
    variables = make_variables()
    optimizer = LRMultiplier(make("sgd"), gradual_unfreezing(every=2))
    moved = []
    for step in range(6):
        before = bits(variables)
        optimizer.apply(make_gradients(step), variables)
        after = bits(variables)
        moved.append([before[2 * i] != after[2 * i] for i in range(3)])
    assert moved == [[False, False, True]] * 2 + [[False, True, True]] * 2 + [[True] * 3] * 2


@pytest.mark.parametrize("freezer", FREEZERS)
@pytest.mark.parametrize("frequency", [None, 2])
def test_an_average_from_before_does_not_reach_a_frozen_weight(
    frequency: int | None, freezer: str
) -> None:
    """A run that goes on with a layer now frozen may hold an average that is not the weight."""
    options = {"use_ema": True, "ema_overwrite_frequency": frequency}
    first = make("adam", **options)
    variables = make_variables()
    for step in range(3):
        first.apply(make_gradients(step), variables)
    optimizer = LRMultiplier(first, {"low": FREEZERS[freezer]})
    optimizer.build(variables)
    averages = optimizer._model_variables_moving_average[LOW]
    before = bits(variables)[LOW], bits(averages)
    assert before[0] != before[1]
    for step in range(3, 7):
        optimizer.apply(make_gradients(step), variables)
    optimizer.finalize_variable_values(variables)
    assert (bits(variables)[LOW], bits(averages)) == before
    assert bits(variables)[2:] == bits(optimizer._model_variables_moving_average[2:])
