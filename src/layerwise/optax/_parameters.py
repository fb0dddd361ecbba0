"""The leaves of a parameter tree, under the names that rules are matched against."""

import sys
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeAlias

import jax
import jax.tree_util as jtu
import numpy as np
import optax

from layerwise.multipliers import Parameter

Key: TypeAlias = jtu.DictKey | jtu.FlattenedIndexKey | jtu.GetAttrKey | jtu.SequenceKey
Path: TypeAlias = tuple[Key, ...]
"""Where something is in a tree: JAX' keys, from the outside."""

ROOT = "params"
"""The name of a tree that is one bare array, and what Flax puts in front of all names."""


@dataclass(frozen=True)
class Leaf:
    """One leaf: where it is, and whether an outer ``optax.masked`` hides it from us."""

    path: Path
    shape: tuple[int, ...]
    hidden: bool = False

    @property
    def name(self) -> str:
        """The key path, joined by ``/``."""
        return jtu.keystr(self.path, simple=True, separator="/") or ROOT

    def parameter(self) -> Parameter:
        """The leaf as rules know it."""
        name = self.name
        short = name.removeprefix(f"{ROOT}/")
        return Parameter(name, self.shape, short=short, trainable=not self.hidden)


class Leaves(NamedTuple):
    """The leaves in JAX's own order, and the names of what is None in the tree."""

    leaves: tuple[Leaf, ...]
    absent: tuple[str, ...]


def leaves_of(tree: optax.Params) -> Leaves:
    """The leaves of a tree; None is no leaf, and a leaf that ``optax.masked`` hides is hidden.

    An ``nnx.Variable`` is one leaf, so that a name is the same whether Flax hands in the model or
    its bare arrays.
    """
    leaves, absent = [], []
    for path, value in jtu.tree_flatten_with_path(tree, is_leaf=_is_end)[0]:
        if value is None:
            absent.append(jtu.keystr(path, simple=True, separator="/"))
        elif is_hidden(value):
            leaves.append(Leaf(path, (), hidden=True))
        else:
            inside = jax.tree.leaves(value)
            leaves += [Leaf(path, tuple(np.shape(array))) for array in inside]
    return Leaves(tuple(leaves), tuple(absent))


def flatten(tree: optax.Updates) -> tuple[list[jax.Array | optax.MaskedNode], jtu.PyTreeDef]:
    """The values of the leaves, in the order of ``leaves_of``, and the structure around them."""
    return jax.tree.flatten(tree, is_leaf=is_hidden)


def is_hidden(value: object) -> bool:
    """Whether ``optax.masked`` has put the value in the place of a leaf."""
    return isinstance(value, optax.MaskedNode)


def is_variable(value: object) -> bool:
    """Whether the value is a variable of Flax' nnx. Flax is asked only if it is loaded already."""
    variable = getattr(sys.modules.get("flax.nnx"), "Variable", None)
    return variable is not None and isinstance(value, variable)


def has_variables(tree: optax.Params) -> bool:
    """Whether a tree is made of Flax' variables, as nnx modules are."""
    return any(map(is_variable, jax.tree.leaves(tree, is_leaf=is_variable)))


def is_placeholder(tree: optax.Params) -> bool:
    """Whether ``init`` was called by ``optax.tree_utils.tree_map_params``, with its placeholder."""
    return isinstance(tree, _placeholder_class())


@cache
def _placeholder_class() -> type:
    """The class of the placeholder, which is private to Optax, but shown to any ``init``."""
    seen: list[type] = []

    def init(params: optax.Params) -> tuple[()]:
        seen.append(type(params))
        return ()

    optax.tree_utils.tree_map_params(init, lambda value: value, ())
    return seen[0]


def _is_end(value: object) -> bool:
    return value is None or is_hidden(value) or is_variable(value)
