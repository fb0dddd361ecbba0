"""The leaves of a parameter tree, under the names that rules are matched against."""

import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeAlias

import jax
import jax.tree_util as jtu
import numpy as np
import optax

from layerwise.errors import OptimizerError
from layerwise.multipliers import Parameter

Key: TypeAlias = jtu.DictKey | jtu.FlattenedIndexKey | jtu.GetAttrKey | jtu.SequenceKey
Path: TypeAlias = tuple[Key, ...]
"""Where something is in a tree: JAX' keys, from the outside."""

ROOT = "params"
"""The name of a tree that is one bare array, and what Flax puts in front of all names."""


def name_of(path: Path) -> str:
    """The name of what is at a path: its keys, joined by ``/``."""
    return jtu.keystr(path, simple=True, separator="/") or ROOT


@dataclass(frozen=True)
class Stack:
    """Several layers in one leaf.

    Attributes:
        axis: The axis along which they are stacked, counted from the front.
        depth: How many keys of the path stand before a layer's number.
        size: How many layers there are.
    """

    axis: int
    depth: int
    size: int


@dataclass(frozen=True)
class Leaf:
    """One leaf.

    Attributes:
        path: Where it is.
        shape: Its shape.
        hidden: Whether ``optax.masked`` hides it from us, it or a subtree that is at its place.
        axes: The names that Flax' metadata give its axes; empty without any.
        stack: The layers that are stacked in it, or None.
    """

    path: Path
    shape: tuple[int, ...]
    hidden: bool = False
    axes: tuple[object, ...] = ()
    stack: Stack | None = None

    @property
    def name(self) -> str:
        """The key path, joined by ``/``."""
        return name_of(self.path)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its path; of stacked layers the path that each would have in a list of layers."""
        if self.stack is None:
            return (self.path,)
        front, back = self.path[: self.stack.depth], self.path[self.stack.depth :]
        return tuple((*front, jtu.SequenceKey(i), *back) for i in range(self.stack.size))

    def parameters(self) -> tuple[Parameter, ...]:
        """The leaf as rules know it; stacked layers are a parameter each."""
        shape, stack = self.shape, self.stack
        if stack is not None:
            shape = (*shape[: stack.axis], *shape[stack.axis + 1 :])
        return tuple(
            Parameter(
                name,
                shape,
                short=name.removeprefix(f"{ROOT}/"),
                aliases=() if stack is None else (self.name,),
                trainable=not self.hidden,
                layer=None if stack is None else number,
            )
            for number, name in enumerate(map(name_of, self.paths))
        )


class Leaves(NamedTuple):
    """The leaves in JAX's own order, and the names of what is None in the tree."""

    leaves: tuple[Leaf, ...]
    absent: tuple[str, ...]


def leaves_of(tree: optax.Params) -> Leaves:
    """The leaves of a tree; None is no leaf, and a leaf that ``optax.masked`` hides is hidden.

    An ``nnx.Variable`` is one leaf, and so is a box that Flax puts around an array with the names
    of its axes, so that a name is the same whether Flax hands in those or bare arrays.

    Raises:
        OptimizerError: A leaf is no array, or a sparse one.
    """
    leaves, absent = [], []
    for path, value in jtu.tree_flatten_with_path(tree, is_leaf=_is_end)[0]:
        if value is None:
            absent.append(name_of(path))
        elif is_hidden(value):
            leaves.append(Leaf(path, (), hidden=True))
        else:
            if _is_sparse(value):
                raise OptimizerError(
                    f"{name_of(path)!r} is a sparse array ({type(value).__name__}), which no Optax "
                    "optimizer can apply: it would scale the indices, too. Make it dense: "
                    ".todense()."
                )
            for array in jax.tree.leaves(value):
                _check_array(path, array)
                leaves.append(Leaf(path, tuple(np.shape(array)), axes=_axes(value)))
    return Leaves(tuple(leaves), tuple(absent))


def flatten(tree: optax.Updates) -> tuple[list[jax.Array | optax.MaskedNode], jtu.PyTreeDef]:
    """The values of the leaves, in the order of ``leaves_of``, and the structure around them."""
    return jax.tree.flatten(tree, is_leaf=is_hidden)


def structure_of(tree: optax.Params) -> Hashable:
    """The structure of a tree, to be compared; not every structure has a hash."""
    return jax.tree.structure(tree)


def is_hidden(value: object) -> bool:
    """Whether ``optax.masked`` has put the value in place of a leaf."""
    return isinstance(value, optax.MaskedNode)


def is_variable(value: object) -> bool:
    """Whether the value is a variable of Flax' nnx. Flax is asked only if it is loaded already."""
    return _is_loaded(value, "flax.nnx", "Variable")


def is_network_state(value: object) -> bool:
    """Whether the value is a variable of nnx that a network changes by itself, no optimizer."""
    kinds = ("BatchStat", "RngState", "Cache", "Intermediate")
    return any(_is_loaded(value, "flax.nnx", kind) for kind in kinds)


def has_variables(tree: optax.Params) -> bool:
    """Whether a tree is made of Flax' variables, as nnx modules are."""
    return any(map(is_variable, jax.tree.leaves(tree, is_leaf=is_variable)))


def is_deleted(value: object) -> bool:
    """Whether the value is an array whose memory a compiled function has taken."""
    if not isinstance(value, jax.Array) or isinstance(value, jax.core.Tracer):
        return False
    return value.is_deleted()


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
    whole = is_hidden(value) or is_variable(value) or _is_box(value) or _is_sparse(value)
    return value is None or whole


def _is_box(value: object) -> bool:
    """Whether the value is an array in a box with metadata, as ``nn.with_partitioning`` makes."""
    return _is_loaded(value, "flax.core.meta", "AxisMetadata")


def _is_sparse(value: object) -> bool:
    return _is_loaded(value, "jax.experimental.sparse", "JAXSparse")


def _is_loaded(value: object, module: str, name: str) -> bool:
    """Whether a value is of a class of a module that may not be loaded, or not even be there."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def _axes(value: object) -> tuple[object, ...]:
    """The names of an array's axes in Flax' metadata; a box has them, or a variable."""
    names: object = getattr(value, "names", None) if _is_box(value) else None
    if is_variable(value):
        known: dict[str, object] = getattr(value, "get_metadata", dict)()
        spellings = ("out_sharding", "sharding_names", "sharding")
        names = next((known[each] for each in spellings if known.get(each)), None)
    return tuple(names) if isinstance(names, Sequence) and not isinstance(names, str) else ()


def _check_array(path: Path, value: object) -> None:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return
    if not isinstance(value, int | float | complex | np.generic):
        name = getattr(value, "__name__", type(value).__name__)
        raise OptimizerError(
            f"{name_of(path)!r} is {name}, which is no array and can't be trained. Give the arrays "
            "alone: eqx.filter(model, eqx.is_inexact_array), nnx.state(model, nnx.Param), or "
            "variables['params']."
        )
