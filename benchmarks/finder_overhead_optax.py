"""What find_lr costs in Optax: a sweep of N updates, as a ratio to N plain training steps.

Both train the same parameters on the same batches, and each compiles its step once in every
round, as a program that starts does; the plain loop reads each loss, as one that logs does. They
take turns, in an order that changes every round, and the ratio is taken within each round. Run it
on an idle machine:

    python benchmarks/finder_overhead_optax.py
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import _interleaved
import jax
import jax.numpy as jnp
import numpy as np
import optax

from layerwise.optax import find_lr

BATCH = 64
OPTIONS = {"method": "sweep", "stop": "never", "high": 1e-2, "progress": False}


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


def ways(width: int, depth: int, steps: int) -> dict[str, Callable[[], Any]]:
    params, batches = make(width, depth)
    return {
        "ours": partial(find_lr, loss_fn, params, batches, optax.adamw, steps=steps, **OPTIONS),
        "plain": partial(plain, params, batches, steps),
    }


if __name__ == "__main__":
    _interleaved.sweeps(ways, __doc__)
