"""What recording every batch costs in Keras: the time of ``fit`` as a ratio to the plain one.

One process for each backend. All candidates train the same network; they take turns, an epoch
each, in an order that is shuffled every round, so that a slow moment of the machine falls on all
alike. The ratio is taken within each round and its median and quartiles over the rounds are
shown. Run it on an idle machine:

    python benchmarks/recording.py --backend jax
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _interleaved
from rich.console import Console
from rich.table import Table

from layerwise.finder import tracked

BACKENDS = ("jax", "tensorflow", "torch")
LAYERS, WIDTH, BATCH = 20, 256, 64
RESULTS = Path(__file__).parent / "results"


def candidates(folder: Path) -> dict[str, Callable[[], list[Any]]]:
    """The callbacks to be measured, by name; the first are none."""
    import keras

    from layerwise.keras import Recorder
    from layerwise.keras.callbacks import CircularLR, LRUpdater, PerformanceLogger

    class ReadsTheRate(keras.callbacks.Callback):
        """What people write today."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.last = logs["loss"], float(self.model.optimizer.learning_rate)

    class Number(LRUpdater):
        def update_lr(self) -> float:
            return 1e-3 / (1 + self.step)

    def recorder(name: str, **options: Any) -> Callable[[], list[Any]]:
        made = Recorder(folder / name, **options)  # kept, so that nothing compiles anew
        return lambda: [made]

    kept = {"number": Number(), "cycle": CircularLR(50, 1e-4, 1e-3), "log": PerformanceLogger()}
    return {
        "plain": list,
        "plain again": list,
        "Recorder": recorder("all"),
        "Recorder, ratios every 100": recorder("ratios", ratios=100),
        "Recorder, each row at once": recorder("at-once", wait=0.0),
        "PerformanceLogger": lambda: [kept["log"]],
        "CircularLR": lambda: [kept["cycle"]],
        "LRUpdater, a number a batch": lambda: [kept["number"]],
        "a callback that reads loss and rate": lambda: [ReadsTheRate()],
    }


def make_model() -> Any:
    """A network under two multipliers, with a metric."""
    import keras

    from layerwise.keras import LRMultiplier

    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((WIDTH,))
    for i in range(LAYERS):
        x = keras.layers.Dense(WIDTH, activation="relu", name=f"layer{i:02d}")(x)
    model = keras.Model(inputs, x)
    optimizer = LRMultiplier(keras.optimizers.Adam(1e-3), {"layer0": 0.5})
    model.compile(optimizer, loss="mse", metrics=["mae"])
    return model


def measure(backend: str, rounds: int, steps: int) -> dict[str, Any]:
    """Every candidate's ratios to the plain training, in this process."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(steps * BATCH, WIDTH)).astype("float32")
    order = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        made = candidates(Path(folder))
        models = {name: make_model() for name in made}
        taken: dict[str, list[float]] = {name: [] for name in made}
        for name in made:
            _seconds(models[name], x, made[name]())  # compiled and warm
        for _ in tracked(range(rounds), "training"):
            for name in order.sample(list(made), len(made)):
                taken[name].append(_seconds(models[name], x, made[name]()) / steps)
    return {
        "backend": backend,
        "layers": LAYERS,
        "width": WIDTH,
        "batch": BATCH,
        "rounds": rounds,
        "steps": steps,
        "plain_step_ms": 1e3 * statistics.median(taken["plain"]),
        "candidates": {name: _interleaved.ratio(taken[name], taken["plain"]) for name in made},
    }


def _seconds(model: Any, x: Any, callbacks: list[Any]) -> float:
    start = time.perf_counter()
    model.fit(x, x, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
    return time.perf_counter() - start


def show(result: dict[str, Any]) -> None:
    """The result as a table."""
    table = Table(
        title=f"Keras on {result['backend']}: {result['layers']} Dense layers of "
        f"{result['width']}, Adam, {result['plain_step_ms']:.1f} ms a plain step"
    )
    table.add_column("callback")
    table.add_column("fit / plain (quartiles)", justify="right")
    for name, row in result["candidates"].items():
        table.add_row(name, _interleaved.text(row))
    Console().print(table)
    _interleaved.page(f"Keras on {result['backend']}", {"fit / plain": result["candidates"]})


def main() -> None:
    """Measure one backend here, or each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backend", choices=BACKENDS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=200, help="steps in an epoch")
    arguments = _interleaved.parsed(parser, rounds=4, steps=40)
    if arguments.backend is None:
        for backend in BACKENDS:
            subprocess.run(
                [sys.executable, __file__, "--backend", backend, *sys.argv[1:]], check=True
            )
        return
    os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    result = measure(arguments.backend, arguments.rounds, arguments.steps)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"recording-{arguments.backend}.json"
    path.write_text(json.dumps(result, indent=1))
    show(result)


if __name__ == "__main__":
    main()
