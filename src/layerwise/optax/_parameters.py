"""The leaves of a parameter tree, under the names that rules are matched against."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
import optax
from jax.tree_util import keystr, tree_flatten_with_path

from layerwise.multipliers import Parameter

Path: TypeAlias = tuple[Any, ...]
"""Where something is in a tree: JAX' own keys, from the outside."""

ROOT = "params"
"""What a tree that is one bare array is called, and what Flax puts in front of all names."""


@dataclass(frozen=True)
class Leaf:
    """One leaf: where it is, and whether an outer ``optax.masked`` hides it from us."""

    path: Path
    shape: tuple[int, ...]
    hidden: bool = False

    @property
    def name(self) -> str:
        """The key path, joined by ``/``."""
        return keystr(self.path, simple=True, separator="/") or ROOT

    def parameter(self) -> Parameter:
        """What rules need to know of it."""
        name = self.name
        short = name.removeprefix(f"{ROOT}/")
        return Parameter(
            name, self.shape, short=None if short == name else short, trainable=not self.hidden
        )


class Leaves(NamedTuple):
    """The leaves in JAX's own order, and the names of what is None in the tree."""

    leaves: tuple[Leaf, ...]
    absent: tuple[str, ...]


def leaves_of(tree: Any) -> Leaves:
    """The leaves of a tree; None is no leaf, what ``optax.masked`` hides is a hidden one.

    An ``nnx.Variable`` is one leaf, so that a name is the same where Flax hands the model in and
    where it hands in its bare arrays.
    """
    leaves, absent = [], []
    for path, value in tree_flatten_with_path(tree, is_leaf=_is_end)[0]:
        if value is None:
            absent.append(keystr(path, simple=True, separator="/"))
        elif is_hidden(value):
            leaves.append(Leaf(path, (), hidden=True))
        else:
            inside = jax.tree.leaves(value)
            leaves += [Leaf(path, tuple(np.shape(array))) for array in inside]
    return Leaves(tuple(leaves), tuple(absent))


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The values of the leaves, in the order of ``leaves_of``, and how to put them back."""
    values, structure = jax.tree.flatten(tree, is_leaf=is_hidden)
    return values, structure


def is_hidden(value: Any) -> bool:
    """Whether ``optax.masked`` has put it in the place of a leaf."""
    return isinstance(value, optax.MaskedNode)


def is_variable(value: Any) -> bool:
    """Whether it is a variable of Flax' nnx; Flax is only asked if somebody has loaded it."""
    variable = getattr(sys.modules.get("flax.nnx"), "Variable", None)
    return variable is not None and isinstance(value, variable)


def has_variables(tree: Any) -> bool:
    """Whether a tree is made of Flax' variables, as nnx modules are."""
    return any(map(is_variable, jax.tree.leaves(tree, is_leaf=is_variable)))


def is_placeholder(tree: Any) -> bool:
    """Whether it is what ``optax.tree_utils.tree_map_params`` calls ``init`` with."""
    return isinstance(tree, _PLACEHOLDER)


def _is_end(value: Any) -> bool:
    return value is None or is_hidden(value) or is_variable(value)


def _placeholder() -> type:
    """Its class is private to Optax, and any ``init`` gets to see one."""
    seen: list[Any] = []

    def init(params: Any) -> Sequence[Any]:
        seen.append(params)
        return ()

    optax.tree_utils.tree_map_params(init, lambda value: value, ())
    return type(seen[0])


_PLACEHOLDER = _placeholder()
