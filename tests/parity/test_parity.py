"""Equal weights, batches, rules and schedule give equal trajectories on all five backends."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests._support.parity import native, task

KERAS = ("jax", "tensorflow", "torch")


@pytest.fixture(scope="module")
def keras_trajectories(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, np.ndarray]]:
    """What each Keras backend did, in a process of its own."""
    folder: Path = tmp_path_factory.mktemp("keras")
    found = {}
    for backend in KERAS:
        path = folder / f"{backend}.npz"
        done = subprocess.run(
            [sys.executable, "-m", "tests._scripts.parity_run_keras", str(path)],
            env=os.environ | {"KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(path) as arrays:
            found[backend] = dict(arrays)
    return found


@pytest.mark.parametrize("name", task.RATES)
def test_every_weight_at_every_step(
    name: str, keras_trajectories: dict[str, dict[str, np.ndarray]]
) -> None:
    weights = len(task.start())
    ours = {
        backend: [arrays[f"{name}{i}"] for i in range(weights)]
        for backend, arrays in keras_trajectories.items()
    }
    ours |= {"torch-native": native.with_torch(name), "optax": native.with_optax(name)}
    reference = ours.pop("jax")
    for i, start in enumerate(task.start()):
        assert reference[i].shape == (task.STEPS, *start.shape)
        assert np.abs(reference[i][-1] - start).max() > 0.01  # it has trained
        scale = np.abs(reference[i]).max(axis=tuple(range(1, start.ndim + 1)), keepdims=True)
        for backend, trajectory in ours.items():
            # Sums of float32 in another order, carried through 200 steps; relative to the
            # largest weight of the tensor, for single ones pass through zero.
            error = (np.abs(trajectory[i] - reference[i]) / scale).max()
            assert error <= 1e-5, f"{backend}, {name}, weight {i}: {error:.1e}"
