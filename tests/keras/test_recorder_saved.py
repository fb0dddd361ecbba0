"""What a recorder saves beside the record: with what was trained, and what was found."""

import keras
import numpy as np
import pytest

from layerwise.finder import LRFinding, QuadraticTrainer, RatesFinding, search
from layerwise.keras import LRMultiplier, Recorder
from layerwise.recorder import History
from tests._support.rates import found

X, Y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")


def train(recorder, optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="head")])
    model.compile(optimizer, loss="mse")
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[recorder])


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (lambda: keras.optimizers.SGD(0.1), "SGD()"),
        (lambda: keras.optimizers.SGD(0.1, momentum=0.9), "SGD(momentum=0.9)"),
        (
            lambda: LRMultiplier(keras.optimizers.AdamW(1e-3, weight_decay=0.05), {"head": 0.1}),
            "AdamW(beta_1=0.9, beta_2=0.999, weight_decay=0.05)",
        ),
        (
            lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.RMSprop()),
            "RMSprop(rho=0.9)",
        ),
    ],
)
def test_the_optimizer_and_the_versions_are_saved(tmp_path, optimizer, text):
    train(Recorder(tmp_path), optimizer())
    setup = History.load(tmp_path).setup
    assert setup["optimizer"] == text
    assert setup["versions"]["keras"] == keras.__version__


def test_a_finding_is_saved_before_during_and_after_training(tmp_path):
    rate = search(QuadraticTrainer(), range(60), method="sweep", progress=False)
    recorder = Recorder(tmp_path)
    recorder.save_finding(rate)
    train(recorder, "sgd")
    recorder.save_finding(found(0.3))  # the record is closed by now
    history = History.load(tmp_path)
    assert LRFinding.from_config(history.finding) == rate
    assert RatesFinding.from_config(history.found_rates) == found(0.3)
    assert len(history.batch["step"]) == 2
