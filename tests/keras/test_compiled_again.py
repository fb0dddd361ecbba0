"""A model that is compiled again trains by what it is compiled with now, and by nothing older."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from layerwise import cosine, warmup
from layerwise.keras import LRMultiplier, Recorder, find_lr
from layerwise.keras.callbacks import CircularLR, LRFinder, LRUpdater
from tests._support.keras.networks import fit, make_data, make_network
from tests._support.keras.variables import arrays, bits

# As many variables of the same shapes for all: a step compiled for one runs with another.
OPTIMIZERS = {
    "rules": lambda: LRMultiplier(keras.optimizers.Adam(0.01), {"low": 0.1}),
    "other rules": lambda: LRMultiplier(keras.optimizers.Adam(0.01), {"high": 0.0, "middle": 3.0}),
    "schedule": lambda: LRMultiplier(
        keras.optimizers.Adam(0.01), {"low": 0.1}, schedule=cosine(20)
    ),
    "other schedule": lambda: LRMultiplier(
        keras.optimizers.Adam(0.01), {"low": 0.1}, schedule=warmup(9)
    ),
    "plain": lambda: keras.optimizers.Adam(0.01),
    "other plain": lambda: keras.optimizers.Adam(0.01, clipvalue=1e-3),
}


def search(model: Any) -> None:
    find_lr(model, *make_data(), steps=10, progress=False)


def listen(model: Any, callback: Any, **options: Any) -> Any:
    """Kept by the caller, as a notebook keeps it."""
    model.fit(*make_data(), verbose=0, callbacks=[callback], **options)
    return callback


BETWEEN = {
    "find_lr": lambda model, folder: search(model),
    "Recorder": lambda model, folder: listen(model, Recorder(folder)),
    "CircularLR": lambda model, folder: listen(model, CircularLR(2, 0.1, 0.2)),
    "LRFinder": lambda model, folder: listen(model, LRFinder(steps=10), epochs=6),
}


def check(model: Any, optimizer: str, **options: Any) -> None:
    """Compiled again, the model trains as one that has known nothing else."""
    fresh = make_network()
    model.set_weights(fresh.get_weights())
    fit(model, OPTIMIZERS[optimizer](), **options)
    fit(fresh, OPTIMIZERS[optimizer]())
    assert bits(arrays(model.weights)) == bits(arrays(fresh.weights))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("rules", "other rules"),
        ("schedule", "other schedule"),
        ("plain", "rules"),
        ("plain", "other plain"),
    ],
)
def test_with_another_optimizer(first: str, second: str) -> None:
    model = make_network()
    fit(model, OPTIMIZERS[first]())
    check(model, second)


@pytest.mark.parametrize("between", BETWEEN)
def test_after_a_training_that_something_listened_to(between: str, tmp_path: Path) -> None:
    model = make_network()
    fit(model, OPTIMIZERS["plain" if between == "LRFinder" else "rules"]())
    kept = BETWEEN[between](model, tmp_path)
    check(model, "other rules")
    del kept


def test_the_same_recorder_hears_both(tmp_path: Path) -> None:
    model, recorder = make_network(), Recorder(tmp_path)
    fit(model, OPTIMIZERS["rules"]())
    fit(model, OPTIMIZERS["schedule"](), callbacks=[recorder])
    check(model, "other rules", callbacks=[recorder])


class Numbers(LRUpdater):
    """The rates of some batches, put in before each."""

    def __init__(self, rates: list[float]) -> None:
        super().__init__()
        self.left = list(rates)

    def update_lr(self) -> float:
        return self.left.pop(0)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_same_cycles_under_another_accumulation(scaled: bool) -> None:
    """Their steps are applied updates, of whichever optimizer counts them."""
    cycles = CircularLR(2, 0.1, 0.3)
    fit(make_network(), keras.optimizers.SGD(), callbacks=[cycles])
    models = []
    for callback in (cycles, Numbers([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.2, 0.2])):
        optimizer: Any = keras.optimizers.SGD(gradient_accumulation_steps=2)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0)
        models.append(make_network())
        fit(models[-1], optimizer, callbacks=[callback])
    for mine, theirs in zip(*(arrays(model.weights) for model in models), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-7)


class Broken(keras.utils.PyDataset):
    """Its last batch can't be read."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, place: int) -> Any:
        if place == 2:
            raise OSError("the disk is gone")
        return make_data()


@pytest.mark.filterwarnings("ignore:Your `PyDataset`")
def test_after_a_training_that_was_broken_off(tmp_path: Path) -> None:
    model, recorder = make_network(), Recorder(tmp_path)
    fit(model, OPTIMIZERS["rules"]())
    with pytest.raises(Exception, match="the disk is gone") as kept:
        model.fit(Broken(), verbose=0, callbacks=[recorder])
    check(model, "other rules")
    assert kept.tb is not None  # with all its frames
    recorder.close()


def test_a_plain_training_between_is_not_compiled_anew(tmp_path: Path) -> None:
    traced = []

    class Counting(keras.layers.Dense):
        def call(self, inputs: Any, training: Any = None) -> Any:
            traced.append(1)
            return super().call(inputs)

    if keras.backend.backend() == "torch":
        pytest.skip("Torch runs line by line")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), Counting(1)])
    model.compile("sgd", "mse")
    counts: list[int] = []
    data = np.ones((8, 6), "float32"), np.ones((8, 1), "float32")
    recorder = Recorder(tmp_path)
    for _ in range(2):
        model.fit(*data, verbose=0)
        model.fit(*data, verbose=0, callbacks=[recorder])
        counts.append(len(traced))
    assert 0 < counts[0] == counts[1]
