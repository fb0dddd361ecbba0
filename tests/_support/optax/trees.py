"""Parameters and gradients without a model: what an optimizer sees, and nothing else."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

LAYERS = ("low", "middle", "high")
SHAPES = {"kernel": (4, 3), "bias": (3,)}


def make_params(seed: int = 0, dtype: Any = "float32") -> Any:
    """Three layers of a kernel and a bias each, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return {
        layer: {
            name: jax.numpy.asarray(rng.normal(size=shape), dtype) for name, shape in SHAPES.items()
        }
        for layer in LAYERS
    }


def make_gradients(step: int, dtype: Any = "float32") -> Any:
    """The gradients of one step."""
    return make_params(1000 + step, dtype)


def train(
    optimizer: Any,
    params: Any,
    steps: int = 4,
    gradients: Callable[[int], Any] = make_gradients,
    *,
    state: Any = None,
    start: int = 0,
) -> tuple[Any, Any]:
    """The parameters and the state after some updates, one operation at a time, no compiler."""
    state = optimizer.init(params) if state is None else state
    for step in range(start, start + steps):
        updates, state = optimizer.update(gradients(step), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def train_compiled(
    optimizer: Any,
    params: Any,
    steps: int = 4,
    gradients: Callable[[int], Any] = make_gradients,
) -> tuple[Any, Any]:
    """The parameters and the state after some updates, each one compiled step."""

    @jax.jit
    def step(params: Any, state: Any, gradient: Any) -> Any:
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for count in range(steps):
        params, state = step(params, state, gradients(count))
    return params, state


def labelled(make: Callable[[Any], Any], rates: dict[str, Any]) -> Any:
    """``optax.partition`` with one optimizer for each layer: the oracle."""
    labels = {layer: dict.fromkeys(SHAPES, layer) for layer in LAYERS}
    return optax.partition({layer: make(rate) for layer, rate in rates.items()}, labels)


def bits(tree: Any) -> list[bytes]:
    """The values, to be compared to the last bit (also of -0.0 and NaN)."""
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def state_of(state: Any, layer: str) -> Any:
    """The leaves of a state that stand under a layer's name, by path."""
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
        if jax.tree_util.DictKey(layer) in path
    }
