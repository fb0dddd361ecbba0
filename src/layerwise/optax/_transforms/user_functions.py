"""What an optimizer is handed beside gradients, without the leaves that are frozen for good.

Line searches, Sophia and SAM call functions of the user's, which know the whole parameters. They
get them whole: what is frozen is put back before the call, and taken out of trees that come back.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import numpy as np
import optax

from layerwise.optax._parameters import flatten, is_hidden, structure_of
from layerwise.optax._transforms.frozen_state import hide

_GRADIENT = "grad"
"""The extra argument in which Optax' line searches expect the gradient once more."""

ExtraArgs = Mapping[str, object]


def without_frozen(
    extra_args: ExtraArgs,
    updates: optax.Updates,
    params: optax.Params | None,
    shown: optax.Params,
    *,
    all_trees: bool = False,
) -> dict[str, object]:
    """The extra arguments of an update, as an optimizer needs them that sees no frozen leaves.

    Trees among them are the user's, and stay as they are, as in ``optax.masked``.

    Args:
        extra_args: The arguments.
        updates: The whole updates.
        params: The whole parameters, or None.
        shown: Booleans in the places of the leaves: which ones the optimizer sees.
        all_trees: Whether every tree that is built like the updates is to be without them.
    """
    whole = structure_of(updates)

    def one(name: str, value: object) -> object:
        if callable(value) and params is not None:
            return _on_whole_trees(value, params, shown)
        is_tree = name == _GRADIENT or all_trees
        return hide(value, shown) if is_tree and structure_of(value) == whole else value

    return {name: one(name, value) for name, value in extra_args.items()}


def _on_whole_trees(
    function: Callable[..., object], params: optax.Params, shown: optax.Params
) -> Callable[..., object]:
    """A function of parameters that may be called without the frozen ones."""
    part = structure_of(hide(params, shown))
    values, structure = flatten(params)
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(params)]

    def whole(argument: object) -> object:
        if structure_of(argument) != part:
            return argument
        given = flatten(argument)[0]
        pairs = zip(given, values, strict=True)
        return jax.tree.unflatten(structure, [old if is_hidden(new) else new for new, old in pairs])

    def is_like_params(tree: object) -> bool:
        same = structure_of(tree) == structure_of(params)
        return same and [np.shape(leaf) for leaf in jax.tree.leaves(tree)] == shapes

    def partial(tree: object) -> object:
        return hide(tree, shown) if is_like_params(tree) else tree

    @functools.wraps(function)
    def call(*arguments: object, **named: object) -> object:
        found = function(*map(whole, arguments), **{k: whole(v) for k, v in named.items()})
        return jax.tree.map(partial, found, is_leaf=is_like_params)

    return call
