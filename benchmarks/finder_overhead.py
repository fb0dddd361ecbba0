"""What find_lr costs in Keras: a sweep of N updates, as a ratio to N plain training steps.

Both train the same compiled model on the same arrays, in one process; they take turns, in an order
that changes every round, and the ratio is taken within each round. Two plain trainings stand
beside it: ``model.fit`` over so many batches, and the bare train function called in a loop that
reads each loss. Compiling is not counted: the sweep's time is that of its updates, from the first
step that is already compiled, and so is the others'. Run it on an idle machine:

    python benchmarks/finder_overhead.py --backend jax
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import _interleaved

from layerwise.finder import tracked

BATCH = 64
RESULTS = Path(__file__).parent / "results"


def make(width: int, depth: int) -> tuple[Any, Any, Any]:
    """A compiled network and sixteen batches."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(width, activation="relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((width,)), *layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3), loss=loss, metrics=["accuracy"])
    random = np.random.default_rng(0)
    x = random.normal(size=(16 * BATCH, width)).astype("float32")
    return model, x, random.integers(10, size=len(x)).astype("int32")


class Sweep:
    """A sweep's updates, timed from the second to the last: the first one compiles."""

    def __init__(self, model: Any, x: Any, y: Any) -> None:
        self.model, self.x, self.y = model, x, y

    def __call__(self, steps: int) -> float:
        """The seconds of so many steps."""
        from layerwise.keras import find_lr

        times = []

        def watch(losses: Any) -> bool:
            times.append(time.perf_counter())
            return False

        find_lr(
            self.model,
            self.x,
            self.y,
            batch_size=BATCH,
            steps=steps + 1,
            method="sweep",
            stop=watch,
            low=1e-7,
            high=1e-3,
            progress=False,
        )
        return times[-1] - times[0]


class Bare:
    """The model's own train function in a loop that reads each loss."""

    def __init__(self, model: Any, x: Any, y: Any) -> None:
        import keras

        self.model = model
        self.batches = [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH)]
        self.backend = keras.backend.backend()
        if self.backend != "jax":
            self.batches = [tuple(map(keras.ops.convert_to_tensor, b)) for b in self.batches]
        self.train = model.train_function

    def __call__(self, steps: int) -> float:
        """The seconds of so many steps."""
        state: Any = None
        if self.backend == "jax":
            import jax

            parts = self.model._get_jax_state(True, True, True, True)
            state = jax.tree.map(lambda array: array.copy(), parts)
        start = time.perf_counter()
        for number in range(steps):
            batch = self.batches[number % len(self.batches)]
            if self.backend == "jax":
                logs, state = self.train(state, iter([batch]))
            else:
                logs = self.train([batch] if self.backend == "torch" else iter([batch]))
            float(logs["loss"])
        return time.perf_counter() - start


class Fit:
    """``model.fit`` over so many batches."""

    def __init__(self, model: Any, x: Any, y: Any) -> None:
        self.model, self.x, self.y = model, x, y

    def __call__(self, steps: int) -> float:
        """The seconds of so many steps."""
        start = time.perf_counter()
        epochs = steps * BATCH // len(self.x)
        self.model.fit(self.x, self.y, batch_size=BATCH, epochs=epochs, verbose=0)
        return time.perf_counter() - start


def measure(width: int, depth: int, rounds: int, steps: int) -> dict[str, dict[str, float]]:
    """The ratios to what it is compared with."""
    model, x, y = make(width, depth)
    fit = Fit(model, x, y)
    fit(16)
    bare = Bare(model, x, y)
    ways = {"sweep": Sweep(model, x, y), "fit": fit, "bare": bare, "bare again": bare}
    for way in ways.values():
        way(16)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in tracked(range(rounds), f"{depth} layers of {width}"):
        for name in list(ways) if number % 2 else list(ways)[::-1]:
            taken[name].append(ways[name](steps))
    return {
        "to bare steps": _interleaved.ratio(taken["sweep"], taken["bare"]),
        "to fit": _interleaved.ratio(taken["sweep"], taken["fit"]),
        "bare steps again": _interleaved.ratio(taken["bare again"], taken["bare"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("jax", "tensorflow", "torch"), default="jax")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=320)
    arguments = _interleaved.parsed(parser, rounds=4, steps=64)
    os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    rows = []
    for width, depth in _interleaved.SIZES:
        for against, found in measure(width, depth, arguments.rounds, arguments.steps).items():
            rows.append({"width": width, "depth": depth, "against": against, **found})
            words = f"{arguments.backend}, {depth} layers of {width}, {against}"
            print(f"{words}: {_interleaved.text(found)}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"finder-overhead-{arguments.backend}.json"
    path.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
