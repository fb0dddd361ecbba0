"""The order of a model's layers, as far as its parameter tree shows it.

JAX sorts the keys of dictionaries, so the order of the leaves says nothing about depth: ``body``,
``head``, ``stem``. Four things do: the places in a list or tuple, the fields of a module class, the
numbers at the end of names, and the few names that stand for one end of a model. Where these are
not enough, Layerwise says so and never guesses.
"""

import re
from collections.abc import Iterator, Sequence

import optax
from jax.tree_util import DictKey, GetAttrKey, SequenceKey, keystr

from layerwise.errors import MultiplierError
from layerwise.multipliers import (
    Stacked,
    check_stacked,
    common_start,
    is_embedding,
    is_head,
    levels_from_names,
    numbered,
)
from layerwise.optax._parameters import (
    ROOT,
    Key,
    Leaf,
    Leaves,
    Path,
    has_variables,
    leaves_of,
    name_of,
)
from layerwise.optax._stacks import stacked as with_stacks

_EARLY = re.compile(r"^(stem|patch|input|in|conv_?(in|init|1|0)|encoder|backbone|pos)(_|$)", re.I)
_LATE = re.compile(r"(^|_)(final|last|out|output|decoder|neck|pool\w*|norm(_f)?|ln_f|fc)$", re.I)

_PARTS = {"kernel", "bias", "scale", "weight", "w", "b", "embedding", "gamma", "beta"}
"""What is a part of a layer also where there is only one, at the top."""

_ITSELF = GetAttrKey("itself")


def layers_of(
    params: optax.Params, *, stacked: Stacked | None = None
) -> tuple[tuple[str, ...], ...]:
    """The layers of a model, from input to head, as strategies need them.

    Lists, tuples and module classes have an order. Dictionaries have none in JAX, which sorts
    their keys; there the numbers that names end in count (``Dense_2`` before ``Dense_10``), names
    of embeddings are at the input, and names such as ``head`` or ``classifier`` at the output.

    Args:
        params: A tree of parameters.
        stacked: Where layers are stacked in one leaf: a name, or the start of names, and the axis:
            ``{"layers": 0}``. Flax' metadata are read as well.

    Returns:
        A level each: the names of its leaves. Stacked layers have the names that they would have
        in a list: ``layers/0/kernel``.

    Raises:
        MultiplierError: The order isn't clear; the message says of which layers, and proposes
            all levels.

    Examples:
        >>> import jax.numpy as jnp
        >>> from layerwise.optax import layers_of
        >>> layer = {"kernel": jnp.ones((2, 2))}
        >>> layers_of({"Dense_10": layer, "Dense_9": layer, "head": layer})
        (('Dense_9/kernel',), ('Dense_10/kernel',), ('head/kernel',))

    Source: the depth of a layer as in ULMFiT's discriminative fine-tuning (Howard and Ruder,
    2018).
    """
    known = leaves_of(params)
    leaves, _ = with_stacks(known.leaves, check_stacked(stacked) or {})
    return levels_in_order(Leaves(leaves, known.absent), has_variables(params))


def levels_in_order(known: Leaves, attributes_sorted: bool = False) -> tuple[tuple[str, ...], ...]:
    """The levels of leaves, from input to head.

    Args:
        known: The leaves.
        attributes_sorted: Whether attributes come sorted by name, as in Flax' nnx, and not in the
            order of a class.

    Raises:
        MultiplierError: The order isn't clear.
    """
    scalars = [leaf.name for leaf in known.leaves if _is_global(leaf)]
    rest = [leaf for leaf in known.leaves if leaf.name not in scalars]
    if not rest:
        return (tuple(scalars),)
    tree = _Tree([p for leaf in rest for p in map(_as_layer, leaf.paths)], attributes_sorted)
    named = {name_of(path): _name(path) for path in tree.in_order()}
    found = [[named[n] for n in level] for level in levels_from_names(list(named))]
    levels = (*map(tuple, found[:-1]), (*found[-1], *scalars))
    level_of = {name: number for number, level in enumerate(levels) for name in level}
    for siblings in tree.unknown:
        members = [{level_of[_name(p)] for p in tree.leaves(s)} for s in siblings]
        if len(set[int]().union(*members)) > 1:
            raise _unknown(siblings, levels)
    return tuple(part for level in levels for part in _by_layer(level, known))


def _is_global(leaf: Leaf) -> bool:
    """Whether a leaf is a number of the whole model, such as a temperature: it is the head's."""
    return leaf.shape == () and not leaf.hidden and len(leaf.path) - _front(leaf.path) == 1


def _as_layer(path: Path) -> Path:
    """The path of a leaf; one that is a layer by itself, outside of all others, lies in it."""
    alone = len(path) - _front(path) == 1 and isinstance(path[-1], DictKey)
    return (*path, _ITSELF) if alone and name_of(path[-1:]) not in _PARTS else path


def _name(path: Path) -> str:
    return name_of(path[:-1] if path[-1:] == (_ITSELF,) else path)


def _front(path: Path) -> int:
    """How many keys stand in front of all names: Flax' ``params``, or none."""
    return int(name_of(path[:1]) == ROOT and len(path) > 1)


class _Tree:
    """Which name lies in which, and in which order, as far as it is known."""

    def __init__(self, paths: Sequence[Path], attributes_sorted: bool) -> None:
        self.children: dict[Path, dict[Key, None]] = {}
        for path in paths:
            for end in range(len(path)):
                self.children.setdefault(path[:end], {})[path[end]] = None
        self.attributes_sorted = attributes_sorted
        self.unknown: list[list[Path]] = []

    def leaves(self, path: Path) -> Iterator[Path]:
        """The paths of the leaves below one."""
        if path not in self.children:
            yield path
        for key in self.children.get(path, ()):
            yield from self.leaves((*path, key))

    def in_order(self, path: Path = ()) -> Iterator[Path]:
        """The paths of the leaves below one; children of unknown order go to ``unknown``."""
        if path not in self.children:
            yield path
            return
        for key in self._sorted(path):
            yield from self.in_order((*path, key))

    def _sorted(self, path: Path) -> list[Key]:
        keys = list(self.children[path])
        if all(isinstance(key, SequenceKey) for key in keys):
            return keys
        if all(isinstance(key, GetAttrKey) for key in keys) and not self.attributes_sorted:
            return keys
        names = {key: keystr((key,), simple=True) for key in keys}
        ends: dict[Key, int] = {key: _end(name) for key, name in names.items()}
        for end in (-1, 0, 1):
            same = [key for key in keys if ends[key] == end]
            count_up = all(numbered(names[key]) for key in same)
            stems = {_natural(names[key])[0] for key in same}
            if len(same) > 1 and not (count_up and len(stems) == 1):
                self.unknown.append([(*path, key) for key in same])
        # Where the order is unknown this one is only proposed.
        return sorted(keys, key=lambda key: (ends[key], _likely(names[key]), _natural(names[key])))


def _by_layer(level: Sequence[str], known: Leaves) -> list[tuple[str, ...]]:
    """A level, or one for each of the layers if they are stacked in arrays that are leaves."""
    number_of = {
        name_of(path): number
        for leaf in known.leaves
        if leaf.stack is not None
        for number, path in enumerate(leaf.paths)
    }
    layers: dict[int, list[str]] = {}
    for name in level:
        layers.setdefault(number_of.get(name, -1), []).append(name)
    return [tuple(names) for _, names in sorted(layers.items())]


def _end(name: str) -> int:
    """-1 for a name that stands for the input, 1 for one of the output, 0 for all others."""
    return -1 if is_embedding(name) else int(is_head(name))


def _natural(name: str) -> tuple[str, int]:
    return numbered(name) or (name, -1)


def _likely(name: str) -> int:
    """-1 for a name that is usual near the input, 1 for one near the output, 0 for all others."""
    return -1 if _EARLY.search(name) else int(bool(_LATE.search(name)))


def _unknown(siblings: Sequence[Path], levels: Sequence[Sequence[str]]) -> MultiplierError:
    names = [name_of(path) for path in siblings]
    shown = ", ".join(map(repr, names[:6])) + (", ..." if len(names) > 6 else "")
    return MultiplierError(
        f"The parameters don't tell which of [{shown}] is nearest to the input: JAX sorts the keys "
        "of a dictionary. Say it with layers=, as an argument or in the strategy: all levels from "
        "input to head, each a name or a list of names. These are all of them, in an order that is "
        "only guessed from their names; put them into the order of your model, for a wrong one "
        f"gives wrong rates without a word: layers={_proposal(levels)!r}"
    )


def _proposal(levels: Sequence[Sequence[str]]) -> list[str | list[str]]:
    """Levels as short as a caller would write them, such that each name is in its own level."""
    proposal: list[str | list[str]] = []
    for level in levels:
        others = [name for other in levels if other is not level for name in other]
        starts = _starts(level, others)
        proposal.append(starts[0] if len(starts) == 1 else starts)
    return proposal


def _starts(level: Sequence[str], others: Sequence[str]) -> list[str]:
    """What the names of a level begin with, and no others do; the names if there is nothing."""
    paths = [tuple(name.split("/")) for name in level]
    layers = list(dict.fromkeys(path[:-1] or path for path in paths))
    for starts in (["/".join(common_start(layers))], ["/".join(layer) for layer in layers]):
        inside = tuple(f"{start}/" for start in starts)
        if all(starts) and not any(name.startswith(inside) or name in starts for name in others):
            return starts
    return list(level)
