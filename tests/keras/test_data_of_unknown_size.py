"""A dataset that does not know its size trains and is recorded as arrays are.

On TensorFlow the end of such data is an error inside the compiled step, and what needs nothing of
the batch could run before it.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from layerwise import linear
from layerwise.keras import LRMultiplier, Recorder
from layerwise.keras.callbacks import Counter
from layerwise.recorder import History
from tests._support.keras.networks import loss, make_data, make_network
from tests._support.keras.variables import arrays

SIZE = 16

# Keras' own, at each end of such data.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")


def trained(known: bool, optimizer: Any, callbacks: Any = (), **options: Any) -> tuple[Any, Any]:
    model = make_network()
    model.compile(optimizer, loss=loss(), **options)
    x, y = make_data()
    x, y = x[: 3 * SIZE], y[: 3 * SIZE]
    if known:
        data: Any = {"x": x, "y": y, "batch_size": SIZE}
    else:
        tf = pytest.importorskip("tensorflow")
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(SIZE)
        data = {"x": batches.filter(lambda *_: True)}
    history = model.fit(**data, shuffle=False, epochs=2, verbose=0, callbacks=list(callbacks))
    return model, history.history


class Largest(keras.metrics.Metric):
    """The largest output so far: no sum, so that the recorder takes another way."""

    def __init__(self) -> None:
        super().__init__(name="largest")
        self.largest = self.add_variable((), "zeros", name="largest")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(y_pred)))

    def result(self) -> Any:
        return self.largest


@pytest.mark.parametrize("more", [(), (Largest,)], ids=["sums", "another"])
def test_the_recorder_leaves_the_epoch_logs_as_they_are(more: Any, tmp_path: Path) -> None:
    logs = []
    for callbacks in ([], [Recorder(tmp_path)]):
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        metrics += [make() for make in more]
        adam = keras.optimizers.Adam(0.01)
        logs.append(trained(False, adam, callbacks, metrics=metrics)[1])
    assert min(logs[0]["accuracy"]) > 0
    assert logs[1] == logs[0]
    assert len(History.load(tmp_path).batch["accuracy"]) == 6


def moved(**options: Any) -> LRMultiplier:
    schedule = linear(8, start=1.0, end=0.1)
    return LRMultiplier(keras.optimizers.Adam(0.01, **options), {"low": 0.5}, schedule=schedule)


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}])
def test_only_updates_are_counted(options: dict[str, Any]) -> None:
    known, _ = trained(True, moved(**options))
    unknown, _ = trained(False, moved(**options))
    for one, other in zip(arrays(unknown.weights), arrays(known.weights), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert int(unknown.optimizer.iterations) == 6 // options.get("gradient_accumulation_steps", 1)


def test_with_everything_frozen_only_updates_are_counted() -> None:
    model, _ = trained(False, LRMultiplier("adam", {"low": 0, "middle": 0, "high": 0}))
    assert int(model.optimizer.iterations) == 6


def test_only_what_was_in_updates_is_counted() -> None:
    by_samples = LRMultiplier("sgd", schedule=linear(200).by("samples"))
    model, _ = trained(False, by_samples, [Counter(samples=SIZE)])
    assert model.optimizer.counts == {"samples": 6 * SIZE}
    assert int(model.optimizer.iterations) == 6
