"""What per-leaf rates cost in Optax: step and compile time, as ratios to the plain optimizer.

All candidates update the same 200-layer network's parameters with the same gradients: the
optimizer's step alone, where a cost is easiest to see, and beside it a whole training step with
the network's forward and backward pass. They take turns, a slice of steps each, in an order that
is shuffled every round, so that a slow moment of the machine falls on all alike. The ratio is
taken within each round and its median and quartiles over the rounds are shown. Run it on an idle
machine: ``make bench``, or

    python benchmarks/optax_overhead.py
    python benchmarks/optax_overhead.py --large      # 10,000 leaves, a thousand labels
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import _interleaved
from rich.console import Console
from rich.table import Table

from layerwise.finder import tracked

BATCH = 32
COUNTS = (1, 2, 24, 50, 200)
RATE = 1e-3
RESULTS = Path(__file__).parent / "results"


class Network(NamedTuple):
    """So many layers of a kernel and a bias, one after the other."""

    layers: int
    width: int

    @property
    def names(self) -> list[str]:
        """The layers' names."""
        return [f"layer{i:04d}" for i in range(self.layers)]


NETWORK, LARGE = Network(200, 64), Network(5000, 8)


def multipliers(network: Network, count: int) -> dict[str, float]:
    """A rule for each layer, with this many different multipliers, none of them 1."""
    return {name: 0.9 - 0.5 * (i % count) / count for i, name in enumerate(network.names)}


def make_params(network: Network) -> Any:
    """Equal weights for all candidates."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)
    width = network.width
    return {
        name: {
            "kernel": jax.numpy.asarray(rng.normal(size=(width, width)) / width**0.5, "float32"),
            "bias": jax.numpy.zeros(width),
        }
        for name in network.names
    }


def candidates(network: Network, partition_up_to: int) -> dict[str, Callable[[], Any]]:
    """The optimizers to be measured, by name; the first is the plain one."""
    import optax

    from layerwise import cosine, linear, warmup
    from layerwise.optax import scale_by_multipliers, with_multipliers

    def adamw(rate: float = RATE) -> Any:
        return optax.adamw(rate)

    def partition(count: int) -> Any:
        rules = multipliers(network, count)
        labels = {name: {"kernel": m, "bias": m} for name, m in rules.items()}
        return optax.partition({m: adamw(RATE * m) for m in set(rules.values())}, labels)

    schedule = warmup(1000) >> cosine(100_000)

    def moving(count: int, end: float) -> dict[str, Any]:
        return {k: linear(10**6, start=m, end=end) for k, m in multipliers(network, count).items()}

    made: dict[str, Callable[[], Any]] = {"plain AdamW": adamw, "plain AdamW again": adamw}
    if network == LARGE:
        labels = 1000
        made[f"with_multipliers, {labels}"] = lambda: with_multipliers(
            adamw(), multipliers(network, labels)
        )
        made[f"with_multipliers, {labels} that move"] = lambda: with_multipliers(
            adamw(), moving(labels, 0.1)
        )
        return made
    for count in COUNTS:
        made[f"with_multipliers, {count}"] = lambda c=count: with_multipliers(
            adamw(), multipliers(network, c)
        )
    for count in (COUNTS[0], COUNTS[-1]):
        made[f"scale_by_multipliers, {count}"] = lambda c=count: optax.chain(
            adamw(), scale_by_multipliers(multipliers(network, c))
        )
    made["with_multipliers, 24 and schedule"] = lambda: with_multipliers(
        adamw(), multipliers(network, 24), schedule=schedule
    )
    for count in (24, network.layers):
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

    def __init__(self, make: Callable[[], Any], network: Network, training: bool) -> None:
        import jax

        self.optimizer = make()
        self.params = make_params(network)
        self.state = self.optimizer.init(self.params)
        self.leaves = len(jax.tree.leaves(self.state))
        # Not zeros: a moment that decays into denormal numbers would be measured instead.
        self.given = jax.tree.map(lambda leaf: leaf + 0.1, self.params)
        if training:
            self.given = jax.random.normal(jax.random.key(0), (BATCH, network.width))
        self.training = training
        self.compiled: Any = None

    def lowered(self) -> Any:
        """The step, traced anew, as XLA gets it."""
        import jax

        step = jax.jit(partial(self._step), donate_argnums=(0, 1))  # a new one
        return step.lower(self.params, self.state, self.given)

    def compile(self) -> float:
        """Trace and compile the step anew; the seconds that it took."""
        start = time.perf_counter()
        self.compiled = self.lowered().compile()
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
        y = y + jnp.tanh(y @ layer["kernel"] + layer["bias"]) / len(params)
    return jnp.mean((y - x) ** 2)


def measure(
    training: bool, rounds: int, steps: int, compiles: int, partition_up_to: int
) -> dict[str, Any]:
    """Every candidate's ratios to the plain optimizer, in this process."""
    order = random.Random(0)
    made = {
        name: Candidate(make, NETWORK, training)
        for name, make in candidates(NETWORK, partition_up_to).items()
    }
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


def measure_large(rounds: int) -> dict[str, Any]:
    """How long the large network's step is traced, and how many operations XLA gets.

    To compile it takes XLA minutes with the plain optimizer too.
    """
    made = {name: Candidate(make, LARGE, False) for name, make in candidates(LARGE, 0).items()}
    tracing: dict[str, list[float]] = {name: [] for name in made}
    operations = {}
    for _ in tracked(range(rounds + 1), "tracing"):
        for name, candidate in made.items():
            start = time.perf_counter()
            lowered = candidate.lowered()
            tracing[name].append(time.perf_counter() - start)
            operations[name] = lowered.as_text().count(" = ")
    plain = next(iter(made))
    ratios = {name: _interleaved.ratio(t[1:], tracing[plain][1:]) for name, t in tracing.items()}
    counted = {name: count / operations[plain] for name, count in operations.items()}
    _interleaved.page(
        f"Optax, {2 * LARGE.layers:,} leaves: {statistics.median(tracing[plain]):.1f} s of tracing,"
        f" {operations[plain]:,} operations",
        {
            "tracing": ratios,
            "operations": {
                n: dict.fromkeys(("median", "low", "high"), c) for n, c in counted.items()
            },
        },
    )
    return {"tracing": ratios, "operations": counted}


def show(title: str, result: dict[str, Any]) -> None:
    """The result as a table."""
    table = Table(
        title=f"Optax, {title}: {NETWORK.layers} layers of {NETWORK.width}, AdamW, "
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
    parser.add_argument(
        "--large", action="store_true", help="instead: 10,000 leaves with a thousand labels"
    )
    parser.add_argument("--no-write", action="store_true", help="only show the tables")
    arguments = _interleaved.parsed(
        parser, rounds=8, steps=10, compiles=1, partition_up_to=24, trainings=0
    )
    sizes = (arguments.rounds, arguments.steps, arguments.compiles, arguments.partition_up_to)
    if arguments.large:
        _save("optax-overhead-large", {**LARGE._asdict(), **measure_large(arguments.rounds)})
        return
    results = {"optimizer step": measure(False, *sizes)}
    if arguments.trainings:
        results["training step"] = measure(True, *sizes)
    for title, result in results.items():
        show(title, result)
    if not arguments.no_write:
        shape = {**NETWORK._asdict(), "batch": BATCH, "rounds": arguments.rounds}
        _save("optax-overhead", shape | {"steps": arguments.steps} | results)


def _save(name: str, results: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
