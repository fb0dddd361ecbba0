"""What per-layer rates cost in Keras: step and compile time, as ratios to the plain optimizer.

One process for each backend. All candidates train the same 200-layer network; they take turns,
a slice of steps each, in an order that is shuffled every round, so that a slow moment of the
machine falls on all alike. The ratio is taken within each round and its median and quartiles
over the rounds are shown. Run it on an idle machine: ``make bench``, or

    python benchmarks/overhead.py --backend jax
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _interleaved
from rich.console import Console
from rich.table import Table

BACKENDS = ("jax", "tensorflow", "torch")
LAYERS, WIDTH, BATCH = 200, 64, 32
COUNTS = (1, 2, 24, 200)
FEW = (
    "plain Adam again",
    "LRMultiplier, 200 multipliers",
    "LRMultiplier, 24 multipliers that move",
)
RESULTS = Path(__file__).parent / "results"


def multipliers(count: int) -> dict[str, float]:
    """A rule for each layer, with this many different multipliers, none of them 1."""
    return {f"layer{i:03d}/": 0.9 - 0.5 * (i % count) / count for i in range(LAYERS)}


def candidates() -> dict[str, Callable[[], Any]]:
    """The optimizers to be measured, by name; the first is the plain one."""
    import keras

    from layerwise import cosine, linear, warmup
    from layerwise.keras import LRMultiplier

    def adam(rate: float = 1e-3) -> Any:
        return keras.optimizers.Adam(rate)

    def multi(count: int) -> Any:
        own = [adam(1e-3 * m) for m in sorted(set(multipliers(count).values()))]
        rates = sorted(set(multipliers(count).values()))
        by_layer = {
            rf"layer{i:03d}/.*": own[rates.index(m)]
            for i, m in enumerate(multipliers(count).values())
        }
        return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(adam(), by_layer))

    schedule = warmup(1000) >> cosine(100_000)
    made: dict[str, Callable[[], Any]] = {"plain Adam": adam, "plain Adam again": adam}
    for count in COUNTS:
        made[f"LRMultiplier, {count} multipliers"] = lambda c=count: LRMultiplier(
            adam(), multipliers(c)
        )
    made["LRMultiplier, schedule"] = lambda: LRMultiplier(adam(), schedule=schedule)
    made["LRMultiplier, 24 multipliers and schedule"] = lambda: LRMultiplier(
        adam(), multipliers(24), schedule=schedule
    )
    made["LRMultiplier, 24 multipliers that move"] = lambda: LRMultiplier(
        adam(),
        {k: linear(10**6, start=m, end=0.1) for k, m in multipliers(24).items()},
    )
    for count in COUNTS[1:]:
        made[f"MultiOptimizer, {count} optimizers"] = lambda c=count: multi(c)
    return made


def make_model(optimizer: Any) -> Any:
    """The 200-layer network: equal weights for all, one narrow layer after the other."""
    import keras

    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((WIDTH,))
    for i in range(LAYERS):
        x = keras.layers.Dense(WIDTH, activation="relu", name=f"layer{i:03d}")(x)
    model = keras.Model(inputs, x)
    model.compile(optimizer, loss="mse")
    return model


def measure(backend: str, rounds: int, steps: int, compiles: int) -> dict[str, Any]:
    """Every candidate's ratios to the plain optimizer, in this process."""
    import numpy as np

    made = candidates()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(steps * BATCH, WIDTH)).astype("float32")
    order = random.Random(0)
    models: dict[str, Any] = {}
    first: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(compiles):
        for name in order.sample(list(made), len(made)):
            models[name] = make_model(made[name]())
            first[name].append(_seconds(models[name], x[:BATCH]))
    taken: dict[str, list[float]] = {name: [] for name in made}
    for name in made:
        _seconds(models[name], x)  # every shape compiled, every cache warm
    for _ in range(rounds):
        for name in order.sample(list(made), len(made)):
            taken[name].append(_seconds(models[name], x) / steps)
    plain = next(iter(made))
    return {
        "backend": backend,
        "layers": LAYERS,
        "width": WIDTH,
        "batch": BATCH,
        "rounds": rounds,
        "steps": steps,
        "plain_step_ms": 1e3 * statistics.median(taken[plain]),
        "plain_first_step_s": statistics.median(first[plain]),
        "candidates": {
            name: {
                "step": _interleaved.ratio(taken[name], taken[plain]),
                "first_step": _interleaved.ratio(first[name], first[plain]),
            }
            for name in made
        },
    }


def _seconds(model: Any, x: Any) -> float:
    start = time.perf_counter()
    model.fit(x, x, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    return time.perf_counter() - start


def show(result: dict[str, Any]) -> None:
    """The result as a table."""
    table = Table(
        title=f"Keras on {result['backend']}: {result['layers']} Dense layers of "
        f"{result['width']}, Adam, {result['plain_step_ms']:.1f} ms a plain step"
    )
    table.add_column("optimizer")
    table.add_column("step / plain (quartiles)", justify="right")
    table.add_column("first step, with compiling / plain", justify="right")
    for name, row in result["candidates"].items():
        cells = [_interleaved.text(r) for r in (row["step"], row["first_step"])]
        table.add_row(name, *cells)
    Console().print(table)
    rows = result["candidates"]
    _interleaved.page(
        f"Keras on {result['backend']}",
        {
            title: {name: row[key] for name, row in rows.items()}
            for title, key in (("step", "step"), ("first step", "first_step"))
        },
    )


def main() -> None:
    """Measure one backend here, or each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backend", choices=BACKENDS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20, help="steps in a slice")
    parser.add_argument("--compiles", type=int, default=2)
    arguments = _interleaved.parsed(parser, rounds=5, steps=10, compiles=1)
    if arguments.backend is None:
        for backend in BACKENDS:
            if arguments.quick and backend == "tensorflow":
                print("TensorFlow compiles each of these for a minute: --backend tensorflow")
                continue
            subprocess.run(
                [sys.executable, __file__, "--backend", backend, *sys.argv[1:]], check=True
            )
        return
    os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    result = measure(arguments.backend, arguments.rounds, arguments.steps, arguments.compiles)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"overhead-{arguments.backend}.json"
    path.write_text(json.dumps(result, indent=1))
    show(result)


if __name__ == "__main__":
    main()
