"""Paths and parts of a tree as keys of rules, and what they are called."""

from typing import TypeAlias

import jax
import jax.tree_util as jtu
import optax

from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.multipliers import ExactKey
from layerwise.optax._parameters import ROOT, is_variable, name_of

PathKey: TypeAlias = tuple[str | int, ...]
"""Where something is in a tree: ``("encoder", 0, "kernel")``."""

_KEYS = (jtu.DictKey, jtu.FlattenedIndexKey, jtu.GetAttrKey, jtu.SequenceKey)
_NO_PARTS = (str, bytes, int, float, complex)


def key_of(tree: optax.Params, part: object) -> ExactKey:
    """The key of a part of a model or tree, by identity, for rules and levels.

    A rule with this key matches the part and what lies in it, in every match mode. Optax hands an
    optimizer arrays without the model that they are from, so the key is made beforehand.

    Args:
        tree: A tree of parameters, or a model that is one (Equinox, Flax' nnx).
        part: An array, variable, module or subtree that is in it.

    Returns:
        A key: the name of the part.

    Raises:
        MultiplierError: It is not in the tree.

    Examples:
        >>> import jax.numpy as jnp
        >>> from layerwise.optax import explain, key_of
        >>> params = {"block_1": {"kernel": jnp.ones(2)}, "block_10": {"kernel": jnp.ones(2)}}
        >>> plan = explain(params, {key_of(params, params["block_1"]): 0.1})
        >>> plan.multipliers(0).tolist()
        [0.1, 1.0]
    """
    plain = part is None or isinstance(part, _NO_PARTS)
    if part is tree and not plain:
        ends = jtu.tree_flatten_with_path(tree, is_leaf=is_variable)[0]
        names = [name_of(path) for path, _ in ends]
        return ExactKey(type(tree).__name__, names, nameless=True)

    def is_end(value: object) -> bool:
        return value is part or is_variable(value)

    ends = [] if plain else jtu.tree_flatten_with_path(tree, is_leaf=is_end)[0]
    found = [name_of(path) for path, value in ends if value is part or _holds(value, part)]
    if not found:
        raise MultiplierError(
            f"{shown(part)} is no part of this {type(tree).__name__}. The part must be the very "
            "object that is in it: a copy, or what a function of JAX returned, is another."
        )
    return ExactKey(found[0], found)


def path_key(path: object) -> ExactKey:
    """The key of a path.

    Raises:
        MultiplierError: It is no path.
    """
    parts = path if isinstance(path, tuple) else ()
    if not parts or not all(isinstance(p, (str, int, *_KEYS)) and p != "" for p in parts):
        raise MultiplierError(
            f"The key {shown(path)} of a rule must be a string, part of a name, or a path such as "
            "('encoder', 0, 'kernel'). Of an array or module of a model it is "
            "layerwise.optax.key_of(model, part)."
        )
    name = "/".join(
        jtu.keystr((part,), simple=True) if isinstance(part, _KEYS) else str(part) for part in parts
    )
    return ExactKey(name, [name, f"{ROOT}/{name}"])


def _holds(variable: object, part: object) -> bool:
    """Whether a variable of Flax' holds the array."""
    return is_variable(variable) and any(leaf is part for leaf in jax.tree.leaves(variable))
