"""float16 training: Keras wraps the optimizer in a LossScaleOptimizer, unasked."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from layerwise import linear
from layerwise.keras import LRMultiplier, explain
from tests._support.keras.networks import loss, make_data, make_network
from tests._support.keras.optimizers import make
from tests._support.keras.variables import bits

RULES = {"low": 0, "high": 2.0}


@pytest.fixture(autouse=True)
def float16() -> Iterator[None]:
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    yield
    keras.mixed_precision.set_dtype_policy("float32")


def compiled(optimizer: Any) -> Any:
    model = make_network()
    model.compile(optimizer, loss=loss())
    return model


@pytest.mark.parametrize("name", ["adam", "sgd-momentum", "nadam"])
def test_trains_and_freezes(name: str) -> None:
    model = compiled(LRMultiplier(make(name), RULES))
    before = bits(model.weights)
    x, y = make_data()
    history = model.fit(x, y, batch_size=8, epochs=4, verbose=0)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert history.history["loss"][-1] < history.history["loss"][0]
    after = bits(model.weights)
    assert after[:2] == before[:2]
    assert all(a != b for a, b in zip(after[2:], before[2:], strict=True))


def test_a_non_finite_update_is_skipped_and_no_schedule_advances() -> None:
    schedule = linear(100)
    model = compiled(LRMultiplier("adam", RULES, schedule=schedule))
    inner = model.optimizer.inner_optimizer
    x, y = make_data()
    bad = np.full_like(x, np.inf)
    seen = []
    for batch in (x[:8], bad[:8], x[8:16], bad[8:16], bad[16:24], x[16:24]):
        before = bits(model.trainable_variables)
        model.train_on_batch(batch, y[:8])
        skipped = bits(model.trainable_variables) == before
        seen.append((skipped, int(inner.iterations), inner.learning_rates()["high/kernel"]))
    assert [s for s, _, _ in seen] == [False, True, False, True, True, False]
    assert [n for _, n, _ in seen] == [1, 1, 2, 2, 2, 3]
    np.testing.assert_allclose(
        [r for _, _, r in seen], [0.002 * schedule(n) for _, n, _ in seen], rtol=1e-6
    )


def test_gradual_values_under_loss_scaling() -> None:
    """A multiplier that moves is evaluated in the branch that applies the update."""
    model = compiled(LRMultiplier("sgd", {"low": linear(4, start=0.0, end=1.0)}))
    start = bits(model.trainable_variables)
    x, y = make_data()
    model.train_on_batch(x[:8], y[:8])
    first = bits(model.trainable_variables)
    model.train_on_batch(x[8:16], y[8:16])
    second = bits(model.trainable_variables)
    assert first[:2] == start[:2]
    assert all(a != b for a, b in zip(first, second, strict=True))


def test_explain_looks_inside() -> None:
    model = compiled(LRMultiplier("adam", RULES))
    assert [row.value for row in explain(model).rows] == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
