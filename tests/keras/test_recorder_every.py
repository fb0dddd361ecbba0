"""What ``every=`` keeps of executions of several batches, and of ratios."""

from pathlib import Path

import keras
import numpy as np
import pytest

from layerwise.keras import Recorder
from layerwise.recorder import History
from tests.keras.test_recorder import line, points


@pytest.mark.parametrize(
    ("batches", "every", "steps"),
    [
        (4, 10, [3, 11, 23, 31]),
        (4, 8, [3, 11, 19, 27, 33]),
        (5, 10, [4, 14, 24, 33]),
        (10, 10, [9, 19, 29, 33]),
        (3, 2, [2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 32]),
    ],
)
def test_an_execution_is_kept_for_any_of_its_steps(
    batches: int, every: int, steps: list[int], tmp_path: Path
) -> None:
    if keras.backend.backend() == "torch":
        pytest.skip("Keras on Torch has one batch an execution")
    model = line(steps_per_execution=batches)
    model.fit(*points(68), batch_size=2, verbose=0, callbacks=[Recorder(tmp_path, every=every)])
    assert History.load(tmp_path).batch["step"].tolist() == steps


@pytest.mark.parametrize(("every", "steps"), [(2, [1, 2, 4]), (3, [1, 4]), (5, [1, 5])])
def test_an_execution_may_end_within_an_update(
    every: int, steps: list[int], tmp_path: Path
) -> None:
    if keras.backend.backend() == "torch":
        pytest.skip("Keras on Torch has one batch an execution")
    # Executions of three batches, of which two make an update: steps 0-1, 1-2, 3-4, 4-5.
    optimizer = keras.optimizers.SGD(0.01, gradient_accumulation_steps=2)
    model = line(optimizer=optimizer, steps_per_execution=3)
    recorder = Recorder(tmp_path, every=every, ratios=every)
    model.fit(*points(24), batch_size=2, verbose=0, callbacks=[recorder])
    history = History.load(tmp_path)
    assert history.batch["step"].tolist() == steps
    (ratios,) = history.ratios.values()
    assert np.isfinite(ratios).any()


@pytest.mark.parametrize(("batches", "steps"), [(1, [0, 20]), (4, [3, 23])])
def test_ratios_are_those_of_batches_that_are_kept(
    batches: int, steps: list[int], tmp_path: Path
) -> None:
    if keras.backend.backend() == "torch" and batches > 1:
        pytest.skip("Keras on Torch has one batch an execution")
    model = line(steps_per_execution=batches)
    recorder = Recorder(tmp_path, every=4, ratios=10)
    model.fit(*points(48), batch_size=2, verbose=0, callbacks=[recorder])
    history = History.load(tmp_path)
    (ratios,) = history.ratios.values()
    assert history.batch["step"][~np.isnan(ratios)].tolist() == steps
