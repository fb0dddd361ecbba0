"""What per-leaf rates cost in Optax: step and compile time, as ratios to the plain optimizer.

All candidates update the same 200-layer network's parameters with the same gradients: the
optimizer's step alone, where a cost is easiest to see, and beside it a whole training step with
the network's forward and backward pass. They take turns, a slice of steps each, in an order that
is shuffled every round, so that a slow moment of the machine falls on all alike. The ratio is
taken within each round and its median and quartiles over the rounds are shown. Run it on an idle
machine: ``make bench``, or

    python benchmarks/optax_overhead.py
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import _interleaved
from rich.console import Console
from rich.table import Table

from layerwise.finder import tracked

LAYERS, WIDTH, BATCH = 200, 64, 32
COUNTS = (1, 2, 24, 50, 200)
RATE = 1e-3
RESULTS = Path(__file__).parent / "results"


def multipliers(count: int) -> dict[str, float]:
    """A rule for each layer, with this many different multipliers, none of them 1."""
    return {f"layer{i:03d}": 0.9 - 0.5 * (i % count) / count for i in range(LAYERS)}


def make_params() -> Any:
    """Equal weights for all candidates, one narrow layer after the other."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)
    return {
        f"layer{i:03d}": {
            "kernel": jax.numpy.asarray(rng.normal(size=(WIDTH, WIDTH)) / 8, "float32"),
            "bias": jax.numpy.zeros(WIDTH),
        }
        for i in range(LAYERS)
    }


def candidates(partition_up_to: int) -> dict[str, Callable[[], Any]]:
    """The optimizers to be measured, by name; the first is the plain one."""
    import optax

    from layerwise import cosine, linear, warmup
    from layerwise.optax import scale_by_multipliers, with_multipliers

    def adamw(rate: float = RATE) -> Any:
        return optax.adamw(rate)

    def partition(count: int) -> Any:
        rules = multipliers(count)
        labels = {name: {"kernel": m, "bias": m} for name, m in rules.items()}
        return optax.partition({m: adamw(RATE * m) for m in set(rules.values())}, labels)

    schedule = warmup(1000) >> cosine(100_000)

    def moving(count: int, end: float) -> dict[str, Any]:
        return {k: linear(10**6, start=m, end=end) for k, m in multipliers(count).items()}

    made: dict[str, Callable[[], Any]] = {"plain AdamW": adamw, "plain AdamW again": adamw}
    for count in COUNTS:
        made[f"with_multipliers, {count}"] = lambda c=count: with_multipliers(
            adamw(), multipliers(c)
        )
    for count in (COUNTS[0], COUNTS[-1]):
        made[f"scale_by_multipliers, {count}"] = lambda c=count: optax.chain(
            adamw(), scale_by_multipliers(multipliers(c))
        )
    made["with_multipliers, 24 and schedule"] = lambda: with_multipliers(
        adamw(), multipliers(24), schedule=schedule
    )
    for count in (24, LAYERS):
        made[f"with_multipliers, {count} that move"] = lambda c=count: with_multipliers(
            adamw(), moving(c, 0.1)
        )
        made[f"with_multipliers, {count} that move to 0"] = lambda c=count: with_multipliers(
            adamw(), moving(c, 0.0)
        )
    for count in COUNTS:
        if count <= partition_up_to:
            made[f"optax.partition, {count}"] = lambda c=count: partition(c)
    return made


class Candidate:
    """One optimizer, its parameters and state, and its compiled step."""

    def __init__(self, make: Callable[[], Any], training: bool) -> None:
        import jax

        self.optimizer = make()
        self.params = make_params()
        self.state = self.optimizer.init(self.params)
        self.leaves = len(jax.tree.leaves(self.state))
        # Not zeros: a moment that decays into denormal numbers would be measured instead.
        self.given = jax.tree.map(lambda leaf: leaf + 0.1, self.params)
        if training:
            self.given = jax.random.normal(jax.random.key(0), (BATCH, WIDTH))
        self.training = training
        self.compiled: Any = None

    def compile(self) -> float:
        """Trace and compile the step anew; the seconds that it took."""
        import jax

        start = time.perf_counter()
        step = jax.jit(partial(self._step), donate_argnums=(0, 1))  # a new one
        self.compiled = step.lower(self.params, self.state, self.given).compile()
        return time.perf_counter() - start

    def run(self, steps: int) -> float:
        """Take steps; the seconds for each."""
        import jax

        start = time.perf_counter()
        for _ in range(steps):
            self.params, self.state = self.compiled(self.params, self.state, self.given)
        jax.block_until_ready((self.params, self.state))
        return (time.perf_counter() - start) / steps

    def _step(self, params: Any, state: Any, given: Any) -> Any:
        import jax
        import optax

        gradients = jax.grad(_loss)(params, given) if self.training else given
        updates, state = self.optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state


def _loss(params: Any, x: Any) -> Any:
    import jax.numpy as jnp

    y = x
    for layer in params.values():
        y = y + jnp.tanh(y @ layer["kernel"] + layer["bias"]) / LAYERS
    return jnp.mean((y - x) ** 2)


def measure(
    training: bool, rounds: int, steps: int, compiles: int, partition_up_to: int
) -> dict[str, Any]:
    """Every candidate's ratios to the plain optimizer, in this process."""
    order = random.Random(0)
    made = {name: Candidate(make, training) for name, make in candidates(partition_up_to).items()}
    names = list(made)
    compiling: dict[str, list[float]] = {name: [] for name in names}
    made[names[0]].compile()  # the first one in a process pays for more than itself
    for _ in tracked(range(compiles), "compiling"):
        for name in order.sample(names, len(names)):
            compiling[name].append(made[name].compile())
    taken: dict[str, list[float]] = {name: [] for name in names}
    for candidate in made.values():
        candidate.run(2)  # every cache warm
    for _ in tracked(range(rounds), "stepping"):
        for name in order.sample(names, len(names)):
            taken[name].append(made[name].run(steps))
    plain = names[0]
    return {
        "plain_step_ms": 1e3 * statistics.median(taken[plain]),
        "plain_compile_s": statistics.median(compiling[plain]),
        "candidates": {
            name: {
                "step": _interleaved.ratio(taken[name], taken[plain]),
                "compile": _interleaved.ratio(compiling[name], compiling[plain]),
                "state_leaves": made[name].leaves,
            }
            for name in names
        },
    }


def show(title: str, result: dict[str, Any]) -> None:
    """The result as a table."""
    table = Table(
        title=f"Optax, {title}: {LAYERS} layers of {WIDTH}, AdamW, "
        f"{result['plain_step_ms']:.2f} ms a plain step"
    )
    table.add_column("optimizer")
    table.add_column("step / plain (quartiles)", justify="right")
    table.add_column("compiling / plain", justify="right")
    table.add_column("state leaves", justify="right")
    for name, row in result["candidates"].items():
        cells = [_interleaved.text(r) for r in (row["step"], row["compile"])]
        table.add_row(name, *cells, str(row["state_leaves"]))
    Console().print(table)
    rows = result["candidates"]
    _interleaved.page(
        f"Optax, {title}",
        {
            heading: {name: row[key] for name, row in rows.items()}
            for heading, key in (("step", "step"), ("compiling", "compile"))
        },
    )


def main() -> None:
    """Measure the optimizer's step alone and a whole training step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=20, help="steps in a slice")
    parser.add_argument("--compiles", type=int, default=3)
    parser.add_argument("--partition-up-to", type=int, default=max(COUNTS), metavar="LABELS")
    parser.add_argument(
        "--trainings", type=int, default=1, help="0: the optimizer's step alone, no training step"
    )
    parser.add_argument("--no-write", action="store_true", help="only show the tables")
    arguments = _interleaved.parsed(
        parser, rounds=8, steps=10, compiles=1, partition_up_to=24, trainings=0
    )
    sizes = (arguments.rounds, arguments.steps, arguments.compiles, arguments.partition_up_to)
    results = {"optimizer step": measure(False, *sizes)}
    if arguments.trainings:
        results["training step"] = measure(True, *sizes)
    for title, result in results.items():
        show(title, result)
    if arguments.no_write:
        return
    RESULTS.mkdir(exist_ok=True)
    shape = {"layers": LAYERS, "width": WIDTH, "batch": BATCH, "rounds": arguments.rounds}
    path = RESULTS / "optax-overhead.json"
    path.write_text(json.dumps(shape | {"steps": arguments.steps} | results, indent=1))


if __name__ == "__main__":
    main()
