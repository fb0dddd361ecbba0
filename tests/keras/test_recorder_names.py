"""Metrics with names of the record's own, and optimizers that begin again."""

from pathlib import Path
from typing import Any

import keras
import pytest

from layerwise.keras import Recorder
from layerwise.recorder import History, RecorderWarning
from tests.keras.test_recorder import line, points


class Times(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs |= {"time": 3.0, "rates/x": 2.0}


def test_a_metric_may_have_any_name(tmp_path: Path) -> None:
    model = line(metrics=[keras.metrics.MeanAbsoluteError(name="rate")])
    callbacks = [Times(), Recorder(tmp_path)]
    model.fit(*points(8), batch_size=2, verbose=0, callbacks=callbacks)
    history = History.load(tmp_path)
    assert len(history.batch["metric/rate"]) == 4
    assert history.epoch["metric/time"].tolist() == [3.0]
    assert history.epoch["metric/rates/x"].tolist() == [2.0]
    assert history.batch["rate"].tolist() == pytest.approx([0.01] * 4)


def test_a_new_optimizer_in_training_that_goes_on_is_told(tmp_path: Path) -> None:
    model, recorder = line(), Recorder(tmp_path)
    data = points(8)
    model.fit(*data, batch_size=2, verbose=0, callbacks=[recorder])
    model.fit(*data, batch_size=2, initial_epoch=1, epochs=2, verbose=0, callbacks=[recorder])
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    with pytest.warns(RecorderWarning, match="begins at epoch 2, but its optimizer at step 0"):
        model.fit(*data, batch_size=2, initial_epoch=2, epochs=3, verbose=0, callbacks=[recorder])
