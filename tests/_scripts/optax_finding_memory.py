"""Trains parameters with Optax, searches with them, and reports the memory of both.

python -m tests._scripts.optax_finding_memory WAY: "loss", or "update" for a step of the caller
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from layerwise.finder import LRFinding
from layerwise.optax import find_lr
from tests._support.memory import LAYERS, WIDTH, compare, jax_arrays


def loss_fn(params: Any, batch: Any) -> Any:
    outputs = batch
    for kernel in params:
        outputs = outputs @ kernel
    return jnp.mean((outputs - batch) ** 2)


def update(params: Any, state: Any, batch: Any, rate: Any) -> Any:
    optimizer = optax.adam(rate)
    loss, gradients = jax.value_and_grad(loss_fn)(params, batch)
    updates, state = optimizer.update(gradients, state, params)
    return optax.apply_updates(params, updates), state, loss


def main(way: str) -> None:
    rng = np.random.default_rng(0)
    batches = list(rng.normal(size=(4, 4, WIDTH)).astype("float32"))
    shape = (LAYERS, WIDTH, WIDTH)
    params = [jnp.asarray(kernel / 32, "float32") for kernel in rng.normal(size=shape)]
    state = optax.adam(1.0).init(params)
    # Training gives its arrays away, if the search is to do so as well.
    step = partial(jax.jit, donate_argnums=(0, 1) if way == "loss" else ())(update)

    def train(seen: Callable[[], None]) -> None:
        nonlocal params, state
        for batch in batches:
            params, state, loss = step(params, state, batch, 1e-3)
            loss.block_until_ready()
            seen()

    def search(stop: Any) -> LRFinding:
        options: dict[str, Any] = {"steps": 21, "high": 1e-3, "stop": stop, "progress": False}
        if way == "loss":
            return find_lr(loss_fn, params, batches, optax.adam, state=state, **options)
        return find_lr(None, params, batches, update=update, state=state, **options)

    compare(train, search, jax_arrays)


if __name__ == "__main__":
    main(sys.argv[1])
