"""Frozen is frozen for loss scaling too: gradients of frozen weights skip no update."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from layerwise import gradual_unfreezing, piecewise_constant
from layerwise.errors import OptimizerError
from layerwise.keras import LossScaleOptimizer, LRMultiplier, explain, find_lr
from tests._support.keras.variables import arrays, bits, make_gradients, make_variables

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
Y = X[:, :3] ** 2
NEVER = 10_000

FREEZERS: dict[str, Any] = {
    "a number": 0,
    "a schedule": piecewise_constant([NEVER], [0.0, 1.0]),
    "a callable": lambda step: 0.0 * step,
}


class NaNGradient(keras.layers.Layer):
    """Passes its input on; the gradient of its weight is NaN."""

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(3,), initializer="ones", name="kernel")

    def call(self, x: Any) -> Any:
        return x + ops.cast(ops.sum(ops.sqrt(self.kernel - self.kernel)), x.dtype)


def make_network() -> Any:
    keras.utils.set_random_seed(2)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, name="free")(inputs)
    return keras.Model(inputs, NaNGradient(name="broken")(x), name="network")


def scale_of(optimizer: Any) -> float:
    return float(ops.convert_to_numpy(optimizer.dynamic_scale))


@pytest.fixture
def float16() -> Iterator[None]:
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    yield
    keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"global_clipnorm": 0.5},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_overwrite_frequency": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("freezer", FREEZERS)
def test_a_nan_in_a_frozen_gradient_skips_nothing(freezer: str, options: dict[str, Any]) -> None:
    """The others train as if that layer were not there, at a scale that does not fall."""
    rules = {"broken": FREEZERS[freezer]}
    scaled, plain = make_network(), make_network()
    adam = keras.optimizers.Adam(0.01, **options)
    scaled.compile(LossScaleOptimizer(LRMultiplier(adam, rules), initial_scale=64.0), loss="mse")
    plain.compile(LRMultiplier(adam, rules), loss="mse")
    for model in (scaled, plain):
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    assert scale_of(scaled.optimizer) == 64.0
    assert int(scaled.optimizer.step_counter) == 6
    assert bits(scaled.weights)[-1] == bits(make_network().weights)[-1]
    # 64 is a power of two: scaling up and down again changes no bit.
    np.testing.assert_allclose(
        np.concatenate([a.ravel() for a in arrays(scaled.weights)]),
        np.concatenate([a.ravel() for a in arrays(plain.weights)]),
        rtol=1e-6,
    )


@pytest.mark.usefixtures("float16")
def test_under_mixed_float16_it_is_not_wrapped_again() -> None:
    model = make_network()
    optimizer = LossScaleOptimizer(LRMultiplier("adam", {"broken": 0}), initial_scale=64)
    model.compile(optimizer, loss="mse")
    assert model.optimizer is optimizer
    before = bits(model.weights)
    model.fit(X, Y, batch_size=8, verbose=0)
    assert scale_of(optimizer) == 64.0
    assert [a == b for a, b in zip(bits(model.weights), before, strict=True)] == [
        False,
        False,
        True,
    ]
    assert optimizer.inner_optimizer.learning_rates()["broken/kernel"] == 0.0


def test_once_it_trains_its_gradient_counts() -> None:
    model = make_network()
    inner = LRMultiplier("sgd", {"broken": piecewise_constant([4], [0.0, 1.0])})
    model.compile(LossScaleOptimizer(inner, initial_scale=64.0), loss="mse")
    model.fit(X, Y, batch_size=8, verbose=0)
    assert int(inner.iterations) == 4  # and then the two others were skipped
    assert scale_of(model.optimizer) == 16.0
    assert all(np.isfinite(a).all() for a in arrays(model.weights))


def test_an_infinite_gradient_of_another_weight_skips_the_update() -> None:
    model = make_network()
    inner = LRMultiplier("sgd", {"broken": 0})
    model.compile(LossScaleOptimizer(inner, initial_scale=64.0), loss="mse")
    bad = np.full_like(X[:8], np.inf)
    for x in (X[:8], bad, X[8:16]):
        model.train_on_batch(x, Y[:8])
    assert (int(inner.iterations), scale_of(model.optimizer)) == (2, 32.0)


def test_with_another_optimizer_it_is_keras_own() -> None:
    ours, keras_own = make_network(), make_network()
    ours.compile(LossScaleOptimizer("sgd", initial_scale=64.0), loss="mse")
    its = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=64.0)
    keras_own.compile(its, loss="mse")
    for model in (ours, keras_own):
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    assert bits(ours.weights) == bits(keras_own.weights)
    assert scale_of(ours.optimizer) == scale_of(its) == 1.0


def test_everything_frozen() -> None:
    model = make_network()
    inner = LRMultiplier("sgd", {"free": 0, "broken": 0})
    model.compile(LossScaleOptimizer(inner, initial_scale=64.0), loss="mse")
    before = bits(model.weights)
    model.fit(X, Y, batch_size=8, verbose=0)
    assert bits(model.weights) == before
    assert (int(inner.iterations), scale_of(model.optimizer)) == (6, 64.0)


@pytest.mark.skipif(BACKEND == "jax", reason="Keras' own needs stateless_apply() there")
def test_by_hand_with_fewer_variables() -> None:
    variables = make_variables()
    optimizer = LossScaleOptimizer(LRMultiplier("sgd", {"low": 0}), initial_scale=1.0)
    optimizer.build(variables)
    gradients = make_gradients(0)
    nan = ops.full((4, 3), float("nan"))
    before = bits(variables)
    optimizer.apply([gradients[5], nan], [variables[5], variables[0]])
    moved = [a != b for a, b in zip(bits(variables), before, strict=True)]
    assert moved == [False] * 5 + [True]


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras has no stateless updates there")
def test_stateless_by_hand() -> None:
    variables = make_variables()
    rules = {"low": piecewise_constant([1], [0.0, 1.0])}
    optimizer = LossScaleOptimizer(LRMultiplier("sgd", rules), initial_scale=2.0)
    with pytest.raises(ValueError, match="must be built"):
        optimizer.stateless_apply([], [], [])
    optimizer.build(variables)
    gradients = [ops.full((4, 3), float("nan")), *make_gradients(0)[1:]]
    weights = [ops.convert_to_tensor(a) for a in arrays(variables)]
    state = [ops.convert_to_tensor(a) for a in arrays(optimizer.variables)]
    weights, state = optimizer.stateless_apply(state, gradients, weights)
    moved = [a != b for a, b in zip(bits(weights), bits(variables), strict=True)]
    assert moved == [False] * 2 + [True] * 4
    before = bits(weights)
    again, state = optimizer.stateless_apply(state, gradients, weights)  # now it is skipped
    assert bits(again) == before
    places = [v is optimizer.dynamic_scale for v in optimizer.variables]
    assert [float(v) for v, here in zip(state, places, strict=True) if here] == [1.0]


def test_it_is_saved_with_the_model(tmp_path: Path) -> None:
    inner = LRMultiplier("adam", {"free": 0.5})
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="free")])
    model.compile(LossScaleOptimizer(inner, initial_scale=128.0), loss="mse")
    model.fit(X, Y, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, LossScaleOptimizer)
    for each in (model, loaded):
        each.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    assert bits(loaded.weights) == bits(model.weights)


def test_a_search_inside_it() -> None:
    model = make_network()
    inner = LRMultiplier("sgd", {"broken": 0})
    model.compile(LossScaleOptimizer(inner, initial_scale=64.0), loss="mse")
    found = find_lr(model, X, Y, batch_size=8, steps=10, progress=False, method="sweep")
    assert np.isfinite(found.losses).all()
    assert found.updates == 10
    assert found.group_factors["broken"] == 0.0


@pytest.mark.parametrize("given", [None, 3, keras.layers.Dense], ids=str)
def test_around_no_optimizer(given: Any) -> None:
    with pytest.raises(OptimizerError):
        LossScaleOptimizer(given)


def test_around_it_is_an_error() -> None:
    with pytest.raises(OptimizerError, match=r"inside: LossScaleOptimizer\(LRMultiplier\("):
        LRMultiplier(LossScaleOptimizer("sgd"), {"broken": 0})


NOTE = "layerwise.keras.LossScaleOptimizer(LRMultiplier(...)) leaves them out."


@pytest.mark.parametrize("rules", [{"broken": 0}, gradual_unfreezing(3)], ids=["0", "moving"])
def test_explain_says_that_keras_own_looks_at_them(rules: Any) -> None:
    model = make_network()
    its = keras.optimizers.LossScaleOptimizer(LRMultiplier("sgd", rules))
    model.compile(its, loss="mse")
    assert explain(model).notes[0].endswith(NOTE)
    assert NOTE in " ".join(str(explain(model)).split())
    model.compile(LossScaleOptimizer(LRMultiplier("sgd", rules)), loss="mse")
    assert explain(model).notes == ()
    model.compile(keras.optimizers.LossScaleOptimizer(LRMultiplier("sgd")), loss="mse")
    assert explain(model).notes == ()


@pytest.mark.usefixtures("float16")
def test_explain_says_so_before_it_is_wrapped() -> None:
    model = make_network()
    assert explain(model, {"broken": 0}).notes[0].endswith(NOTE)
    assert explain(model, {"broken": 0}, optimizer=LossScaleOptimizer("sgd")).notes == ()
    assert explain(model, {"broken": 0.5}).notes == ()
