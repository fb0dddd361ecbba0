"""What find_lr costs in Optax: a sweep of N updates, as a ratio to N plain training steps.

Both train the same parameters on the same batches, and each compiles its step once in every
round, as a program that starts does; the plain loop reads each loss, as one that logs does. They
take turns, in an order that changes every round, and the ratio is taken within each round. Run it
on an idle machine:

    python benchmarks/finder_overhead_optax.py
"""

import argparse
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from layerwise.optax import find_lr

BATCH = 64


def make(width: int, depth: int) -> tuple[Any, list[Any]]:
    rng = np.random.default_rng(0)
    params = {
        f"layer{i:02d}": jnp.asarray(rng.normal(size=(width, width)) / width**0.5, "float32")
        for i in range(depth)
    }
    batches = rng.normal(size=(16, BATCH, width)).astype("float32")
    return params, [(one, one[:, ::-1]) for one in batches]


def loss_fn(params: Any, batch: Any) -> Any:
    x, y = batch
    for weight in params.values():
        x = jnp.tanh(x @ weight)
    return jnp.mean((x - y) ** 2)


def plain(params: Any, batches: list[Any], steps: int) -> None:
    optimizer = optax.adamw(1e-3)

    def step(params: Any, state: Any, batch: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_fn)(params, batch)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    compiled = jax.jit(step, donate_argnums=(0, 1))
    params = jax.tree.map(jnp.copy, params)
    state = optimizer.init(params)
    for number in range(steps):
        params, state, loss = compiled(params, state, batches[number % len(batches)])
        float(loss)


def seconds(function: Any, *args: Any, **options: Any) -> float:
    start = time.perf_counter()
    function(*args, **options)
    return time.perf_counter() - start


def ratios(width: int, depth: int, rounds: int, steps: int) -> list[float]:
    params, batches = make(width, depth)
    options = {"method": "sweep", "stop": "never", "high": 1e-2, "progress": False}
    found = []
    plain(params, batches, steps)
    for number in range(rounds):
        parts = {}
        for which in ("plain", "ours") if number % 2 else ("ours", "plain"):
            if which == "plain":
                parts[which] = seconds(plain, params, batches, steps)
            else:
                parts[which] = seconds(
                    find_lr, loss_fn, params, batches, optax.adamw, steps=steps, **options
                )
        found.append(parts["ours"] / parts["plain"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    for width, depth in ((64, 4), (256, 8), (512, 16)):
        found = ratios(width, depth, arguments.rounds, arguments.steps)
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"{depth} layers of {width}: {middle:.3f} (quartiles {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
