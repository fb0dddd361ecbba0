"""Small trees whose labels, masks and stacks the tests of Optax share."""

from typing import Any

import jax.numpy as jnp

LAYERS = 6


def transformer(width: int = 2) -> Any:
    """An embedding, six blocks in a dictionary, and a head; a kernel and a bias each."""
    layer = {"kernel": jnp.ones((width, width)), "bias": jnp.ones(width)}
    return {"embed": layer, "blocks": {f"block_{i}": layer for i in range(LAYERS)}, "head": layer}


def scanned(layers: int = LAYERS, axis: int = 0) -> Any:
    """The same with the blocks in one array each, along an axis."""
    block = {"kernel": jnp.ones((4, 4)), "bias": jnp.ones((4,))}
    return {
        "embed": {"kernel": jnp.ones((5, 4))},
        "layers": {
            name: jnp.stack([leaf] * layers, axis=min(axis, leaf.ndim))
            for name, leaf in block.items()
        },
        "head": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones((2,))},
    }


def by_hand(layers: int = LAYERS) -> Any:
    """What ``scanned`` is, with a dictionary for each block."""
    block = {"kernel": jnp.ones((4, 4)), "bias": jnp.ones((4,))}
    return scanned() | {"layers": {str(i): block for i in range(layers)}}
