"""The panel's optimizers, from Optax, in the form update = -rate x direction."""

from typing import Any

import jax
import optax

# Where the best rate is looked for, log10; the oracle goes on where it lies at an end.
GRIDS = {
    "sgd": (-3.0, 1.5),
    "momentum": (-4.0, 0.5),
    "adam": (-4.5, 0.0),
    "adamw": (-4.5, 0.0),
}

_DIRECTIONS = {
    "sgd": optax.identity(),
    "momentum": optax.trace(0.9),
    "adam": optax.scale_by_adam(),
    "adamw": optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(0.01)),
}
OPTIMIZERS = tuple(_DIRECTIONS)


def init(params: Any) -> Any:
    """The states of all optimizers: which one is used is an argument, and compiles nothing new."""
    return tuple(direction.init(params) for direction in _DIRECTIONS.values())


def update(which: Any, params: Any, state: Any, grads: Any, rate: Any) -> tuple[Any, Any]:
    """Parameters and state after one update with optimizer number ``which``."""

    def branch(number: int, direction: Any) -> Any:
        def run(state: Any) -> Any:
            step, new = direction.update(grads, state[number], params)
            return step, (*state[:number], new, *state[number + 1 :])

        return run

    branches = [branch(*item) for item in enumerate(_DIRECTIONS.values())]
    step, state = jax.lax.switch(which, branches, state)
    return jax.tree.map(lambda value, change: value - rate * change, params, step), state
