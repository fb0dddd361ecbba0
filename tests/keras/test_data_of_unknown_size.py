"""Recording a dataset that does not know its size changes nothing.

On TensorFlow the end of such data is an error inside the compiled step, and what needs nothing of
the batch could run before it.
"""

from pathlib import Path
from typing import Any

import keras
import pytest

from layerwise.keras import Recorder
from layerwise.recorder import History
from tests._support.keras.networks import loss, make_data, make_network

SIZE = 16

# Keras' own, at each end of such data.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")


def logs_of(callbacks: Any, metrics: Any) -> Any:
    tf = pytest.importorskip("tensorflow")
    model = make_network()
    model.compile(keras.optimizers.Adam(0.01), loss=loss(), metrics=metrics)
    x, y = make_data()
    data = tf.data.Dataset.from_tensor_slices((x[: 3 * SIZE], y[: 3 * SIZE])).batch(SIZE)
    data = data.filter(lambda *_: True)
    return model.fit(data, shuffle=False, epochs=2, verbose=0, callbacks=callbacks).history


class Largest(keras.metrics.Metric):
    """The largest output so far: no sum, so that the recorder takes another way."""

    def __init__(self) -> None:
        super().__init__(name="largest")
        self.largest = self.add_variable((), "zeros", name="largest")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(y_pred)))

    def result(self) -> Any:
        return keras.ops.convert_to_tensor(self.largest)


@pytest.mark.parametrize("more", [(), (Largest,)], ids=["sums", "another"])
def test_the_recorder_leaves_the_epoch_logs_as_they_are(more: Any, tmp_path: Path) -> None:
    logs = []
    for callbacks in ([], [Recorder(tmp_path)]):
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        metrics += [make() for make in more]
        logs.append(logs_of(callbacks, metrics))
    assert min(logs[0]["accuracy"]) > 0
    assert logs[1] == logs[0]
    assert len(History.load(tmp_path).batch["accuracy"]) == 6
