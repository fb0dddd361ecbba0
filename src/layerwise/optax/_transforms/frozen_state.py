"""Keeps the optimizer state of a leaf as it is while the leaf is frozen.

An Optax state holds trees that are built like the parameters (moments, traces) beside what all
leaves share (a count). ``optax.tree_utils.tree_map_params`` finds these trees in any state. Within
them a leaf is found by its path, because a tree may hold several arrays for one parameter, and
``optax.masked`` leaves some out.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import tree_flatten_with_path, tree_map_with_path

from layerwise.errors import OptimizerError
from layerwise.optax._parameters import Path, name_of
from layerwise.optax._transforms.factors import Active


def check_holdable(
    optimizer: optax.GradientTransformation, state: optax.OptState, active: optax.Params
) -> None:
    """Raise unless the parts of a state that belong to leaves can be found and kept.

    Args:
        optimizer: The optimizer that made the state.
        state: Its state.
        active: A tree like the parameters: whether each leaf trains, see ``factors.Active``.

    Raises:
        OptimizerError: Optax can't find them, or a part of a leaf has no part in the state.
    """
    try:
        trees = _trees(optimizer, state)
    except Exception as error:  # Optax raises what it meets
        raise OptimizerError(
            "A multiplier that moves may be 0 at a step, and then a leaf's optimizer state must "
            f"stay as it is; but it can't be told which part of this state is whose ({error}). "
            "Use numbers as multipliers here, or scale_by_multipliers, which keeps no state still."
        ) from error
    switches: dict[Path, Active] = dict(tree_flatten_with_path(active)[0])
    for tree in trees:
        for path, value in tree_flatten_with_path(tree)[0]:
            shape, own = np.shape(value), np.shape(_switch(switches, path))
            if own and (len(own) != len(shape) or np.broadcast_shapes(own, shape) != shape):
                raise OptimizerError(
                    f"A part of {name_of(path)!r} is frozen, or may become so, and this optimizer "
                    f"keeps something of the shape {shape} for it, of which no part can be kept "
                    "still. Use multipliers above 0 here, or an optimizer whose moments have the "
                    "shape of the parameters, such as optax.adamw."
                )


def with_frozen(
    optimizer: optax.GradientTransformation,
    active: optax.Params,
    before: optax.OptState,
    after: optax.OptState,
) -> optax.OptState:
    """The state after a step, with the parts of inactive leaves as they were before it.

    Args:
        optimizer: The optimizer that made the state.
        active: A tree like the parameters: True, or booleans that say whether to move.
        before: The state before the step.
        after: The state after it.
    """
    switches: dict[Path, Active] = dict(tree_flatten_with_path(active)[0])
    old_trees = iter(_trees(optimizer, before))

    def choose(tree: optax.Params) -> optax.Params:
        def of_leaf(path: Path, new: jax.Array, old: jax.Array) -> jax.Array:
            switch = _switch(switches, path)
            if isinstance(switch, bool):
                return new
            return jnp.where(switch, new, old).astype(jnp.asarray(new).dtype)

        return tree_map_with_path(of_leaf, tree, next(old_trees))

    return optax.tree_utils.tree_map_params(optimizer, choose, after, is_leaf=lambda _: True)


def hide(tree: optax.Params, shown: optax.Params) -> optax.Params:
    """A tree without the leaves that are not shown, hidden as ``optax.masked`` hides them.

    Args:
        tree: A tree like ``shown``; where ``shown`` has None it may have anything.
        shown: Booleans in the places of the leaves.
    """

    def one(show: bool | None, value: optax.Params) -> optax.Params:
        if show is None:
            return None
        return value if show else optax.MaskedNode()

    return jax.tree.map(one, shown, tree, is_leaf=lambda value: value is None)


def _trees(optimizer: optax.GradientTransformation, state: optax.OptState) -> list[optax.Params]:
    """The trees in a state that are built like the parameters, in order."""
    found: list[optax.Params] = []
    optax.tree_utils.tree_map_params(optimizer, found.append, state, is_leaf=lambda _: True)
    return found


def _switch(switches: dict[Path, Active], path: Path) -> Active:
    """The switch of the parameter that a path in the state lies in; True for no parameter."""
    for end in range(len(path), -1, -1):
        if path[:end] in switches:
            return switches[path[:end]]
    return True
