"""model.fit with multipliers equals Keras' own MultiOptimizer, one optimizer for each layer.

Both run through the backend's compiler, which may fuse the same sums and products in another
order (fused multiply-adds): a few units in the last place of weights of order one. Hence the
tolerance of 1e-6; where nothing is compiled, equality is exact and is tested as such in
``test_one_optimizer_per_layer.py``.
"""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise import linear
from layerwise.keras import LRMultiplier
from tests._support.keras.networks import fit, loss, make_data, make_network
from tests._support.keras.optimizers import OPTIMIZERS, make
from tests._support.keras.variables import arrays
from tests._support.keras.versions import since

MULTIPLIERS = {"low": 0.25, "high": 2.0}
BACKEND = keras.backend.backend()
COMPILED: dict[str, dict[str, Any]] = {
    "jit_compile": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 4, "jit_compile": BACKEND == "jax"},
}


def multi_optimizer(name: str, **options: Any) -> Any:
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            make(name, **options),
            {f"{k}/.*": make(name, m, **options) for k, m in MULTIPLIERS.items()},
        )
    )


def assert_equal_training(mine: Any, theirs: Any) -> None:
    for a, b in zip(arrays(mine.weights), arrays(theirs.weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


# Torch's compiler takes some thirty seconds a test. The kinds of update that it can meet (fused,
# fused with shared state, one variable at a time) are tested always, the rest with `-m slow`.
ALWAYS = OPTIMIZERS if BACKEND != "torch" else ("adamw", "nadam", "lamb")


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    """Torch gives up compiling a function that was compiled for other models too often."""
    if BACKEND == "torch":
        import torch

        torch.compiler.reset()


@since(3, 14)
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's compiler's own
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(name, "jit_compile", marks=[] if name in ALWAYS else [pytest.mark.slow])
        for name in OPTIMIZERS
    ]
    + [(name, "steps_per_execution") for name in OPTIMIZERS if BACKEND != "torch"],
)
def test_fit_equals_multi_optimizer(name: str, mode: str) -> None:
    mine, theirs = make_network(), make_network()
    start = arrays(mine.weights)
    fit(mine, LRMultiplier(make(name, weight_decay=0.01), MULTIPLIERS), **COMPILED[mode])
    fit(theirs, multi_optimizer(name, weight_decay=0.01), **COMPILED[mode])
    assert_equal_training(mine, theirs)
    assert all(not np.array_equal(a, b) for a, b in zip(arrays(mine.weights), start, strict=True))


@since(3, 14)
@pytest.mark.parametrize("name", ["adam", "nadam", "sgd-momentum", "muon"])
@pytest.mark.parametrize(
    "options",
    [
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
        {"clipnorm": 0.1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_fit_equals_multi_optimizer_under_options(name: str, options: dict[str, Any]) -> None:
    mine, theirs = make_network(), make_network()
    fit(mine, LRMultiplier(make(name, **options), MULTIPLIERS))
    fit(theirs, multi_optimizer(name, **options))
    assert_equal_training(mine, theirs)


def test_global_clipnorm_counts_every_layer() -> None:
    """MultiOptimizer would clip each layer by itself; plain Adam at one rate is the oracle."""
    mine, theirs = make_network(), make_network()
    fit(mine, LRMultiplier(make("adam", 2.0, global_clipnorm=0.1), {"*": 0.5}, match="glob"))
    fit(theirs, make("adam", global_clipnorm=0.1))
    assert_equal_training(mine, theirs)


@pytest.mark.parametrize("name", ["adam", "nadam", "lamb"])
def test_custom_training_loop(name: str) -> None:
    """A loop of one's own, in the form each backend has for it, equals model.fit."""
    mine, theirs = make_network(), make_network()
    train = {"jax": _loop_jax, "tensorflow": _loop_tensorflow, "torch": _loop_torch}[BACKEND]
    optimizer = LRMultiplier(make(name), MULTIPLIERS)
    optimizer.build(mine.trainable_variables)
    x, y = make_data()
    train(mine, optimizer, [(x[i : i + 8], y[i : i + 8]) for i in range(0, 64, 8)])
    fit(theirs, LRMultiplier(make(name), MULTIPLIERS))
    assert_equal_training(mine, theirs)


def _loop_jax(model: Any, optimizer: Any, batches: list[Any]) -> None:
    import jax

    def loss_of(weights: Any, frozen: Any, x: Any, y: Any) -> Any:
        return loss()(y, model.stateless_call(weights, frozen, x)[0])

    @jax.jit
    def step(weights: Any, frozen: Any, state: Any, x: Any, y: Any) -> Any:
        gradients = jax.grad(loss_of)(weights, frozen, x, y)
        return optimizer.stateless_apply(state, gradients, weights)

    weights = [v.value for v in model.trainable_variables]
    state = [v.value for v in optimizer.variables]
    for x, y in batches:
        weights, state = step(weights, [], state, x, y)
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)


def _loop_tensorflow(model: Any, optimizer: Any, batches: list[Any]) -> None:
    import tensorflow as tf

    @tf.function
    def step(x: Any, y: Any) -> None:
        with tf.GradientTape() as tape:
            value = loss()(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    for x, y in batches:
        step(tf.constant(x), tf.constant(y))


def _loop_torch(model: Any, optimizer: Any, batches: list[Any]) -> None:
    import torch

    for x, y in batches:
        model.zero_grad()
        loss()(torch.tensor(y), model(torch.tensor(x), training=True)).backward()
        gradients = [v.value.grad for v in model.trainable_variables]
        with torch.no_grad():
            optimizer.apply(gradients, model.trainable_variables)


@pytest.mark.skipif(BACKEND != "torch", reason="of Torch's compiler; the other legs trace once")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's compiler's own
def test_torch_compiles_nothing_again_while_rates_change() -> None:
    from torch._dynamo.utils import counters

    rules = {"low": linear(100), "high": 0.5}
    model = make_network()
    counters.clear()
    fit(
        model,
        LRMultiplier("adam", rules, schedule=linear(200)),
        jit_compile=True,
    )
    graphs = counters["stats"]["unique_graphs"]
    x, y = make_data()
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    model.optimizer.learning_rate = 0.0005
    model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    assert graphs > 0
    assert counters["stats"]["unique_graphs"] == graphs
    other = make_network()
    fit(other, LRMultiplier("adam", rules, schedule=linear(200)), epochs=3)
    other.optimizer.learning_rate = 0.0005
    other.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    assert_equal_training(model, other)
