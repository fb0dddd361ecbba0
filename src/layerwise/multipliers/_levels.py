"""Levels: the layers of a model from its input to its head, read from the parameters' names.

A level is what a strategy counts as one step of depth. By default it is a layer that has weights,
in the order in which the model names them. The names also show three structures that most networks
have: numbered blocks, attention, and embeddings at the input.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import dropwhile, takewhile
from typing import TypeAlias

from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.multipliers._matching.winners import find_winners
from layerwise.multipliers._names import common_start, is_embedding, numbered
from layerwise.multipliers._plan import Parameter

Layers: TypeAlias = Sequence[str | Sequence[str]]
"""Levels from input to head: each a name, the start of names, or a list of these.

Examples:
    >>> from layerwise.multipliers import Layers, Parameter, layer_decay, resolve
    >>> levels: Layers = ["stem", ["left", "right"], "head"]
    >>> names = ["left/kernel", "right/kernel", "stem/kernel", "head/kernel"]
    >>> resolve(map(Parameter, names), layer_decay(0.5, layers=levels)).multipliers(0).tolist()
    [0.5, 0.5, 0.25, 1.0]
"""

Levels: TypeAlias = tuple[tuple[str, ...], ...]
Path: TypeAlias = tuple[str, ...]

# Keras numbers containers in the order in which they were made, which says nothing about depth.
_CONTAINERS = {"functional", "model", "sequential"}
_STACKS = {"blocks", "layers"}
_QUERY_KEY_VALUE = (
    {"query", "key", "value"},
    {"q", "k", "v"},
    {"wq", "wk", "wv"},
    {"to_q", "to_k", "to_v"},
)
_FUSED = {"c_attn", "in_proj_weight", "qkv", "query_key_value", "to_qkv"}
_OUTPUTS = {"attention_output", "c_proj", "o", "out", "output_dense", "proj", "to_out", "wo"}


def levels_from_names(names: Iterable[str], separator: str = "/") -> Levels:
    """The levels of a model from its input to its head, read from its parameters' names.

    A level is a layer that has weights (a name without its last part), in order of appearance, with
    three exceptions:

    - each numbered block is one level: ``encoder.layer.3.…``, ``block_0/…``; if stages consist of
      numbered blocks, each block is one: ``layer1.0.…``, ``stages.1.blocks.0.…``;
    - the parts of an attention layer (query, key, value, output) are one level;
    - the embeddings at the start of a model are one level, the farthest from the head.

    Args:
        names: The parameters' names, in the model's order.
        separator: What stands between the parts of a name: ``/`` in Keras, ``.`` in PyTorch.

    Returns:
        The levels, each with the names of its parameters.

    Examples:
        >>> from layerwise.multipliers import levels_from_names
        >>> levels_from_names(["conv/kernel", "conv/bias", "head/kernel"])
        (('conv/kernel', 'conv/bias'), ('head/kernel',))
    """
    paths = {name: tuple(name.split(separator)) for name in names}
    tree = _Tree(paths.values())
    levels: dict[Path, list[str]] = {}
    for name, path in paths.items():
        levels.setdefault(tree.level_of(path), []).append(name)
    return _embeddings_joined(list(levels.values()), paths)


def check_layers(layers: object) -> Levels | None:
    """Levels as a caller wrote them, checked, as tuples of names or starts of names; None for None.

    Raises:
        MultiplierError: This is no sequence of names, or one name is in two levels.
    """
    if layers is None:
        return None
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise MultiplierError(
            f"layers={shown(layers)} must be a list of levels, from input to head, each a name or "
            "a list of names."
        )
    levels = tuple(
        tuple(level) if isinstance(level, Iterable) and not isinstance(level, str) else (level,)
        for level in layers
    )
    seen: set[str] = set()
    for level in levels:
        for name in level:
            if not isinstance(name, str) or not name:
                raise MultiplierError(f"layers= must hold names of layers, got {shown(name)}.")
            if name in seen:
                raise MultiplierError(
                    f"layers= must not hold {name!r} in two levels. If two layers have that name, "
                    "rename one of them."
                )
        seen.update(level)
    return levels


def find_levels(
    layers: Sequence[Sequence[str]], parameters: Sequence[Parameter], separator: str
) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
    """The level of each parameter, and the names in ``layers`` that match no parameter.

    Names match as rules do by prefix. A shared parameter is in the level of its first name.
    """
    level_of_key = {name: i for i, level in enumerate(layers) for name in level}
    flat = [Parameter(name, short=short) for p in parameters for name, short in p.paths()]
    winners = find_winners(dict.fromkeys(level_of_key, 1.0), flat, "prefix", separator)
    keys = iter(winners.keys)
    levels = []
    for parameter in parameters:
        found = [level_of_key[key] for _ in parameter.paths() if (key := next(keys)) is not None]
        levels.append(found[0] if found else None)
    return tuple(levels), winners.unmatched


class _Tree:
    """The tree of layers that the names imply, with its numbered blocks and attention layers."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.children: dict[Path, dict[str, None]] = {}
        for path in paths:
            for end in range(len(path)):
                self.children.setdefault(path[:end], {})[path[end]] = None
        # Layers that contain layers: at least one child has children.
        compound = {path[:-1] for path in self.children if len(path) > 1}
        self.families: dict[tuple[Path, str], list[Path]] = {}
        for path in compound:
            if found := numbered(path[-1]):
                self.families.setdefault((path[:-1], found[0]), []).append(path)
        for path in compound:  # Keras gives the first no number: block, block_1, block_2
            if (path[:-1], path[-1]) in self.families:
                self.families[path[:-1], path[-1]].append(path)
        self.blocks = {
            path
            for (_, stem), family in self.families.items()
            if len(family) > 1 and stem not in _CONTAINERS
            for path in family
        }
        self.attention = {path: parts for path in self.children if (parts := self._parts(path))}

    def level_of(self, path: Path) -> Path:
        """The layer that is the level of a parameter."""
        for end in range(1, len(path)):
            if path[:end] in self.blocks:
                return path[: self._innermost_block(path, end)]
        for end in range(len(path) - 1):
            if path[end] in self.attention.get(path[:end], ()):
                return path[:end]
        return path[:-1]

    def _innermost_block(self, path: Path, end: int) -> int:
        """The end of the innermost block in ``path``: ``path[:end]``, or a block of that stage."""
        while True:
            in_stack = path[end : end + 1] and path[end] in _STACKS
            inner = path[: end + 2] if in_stack else path[: end + 1]
            if inner not in self.blocks or not inner[-1].isdecimal() or not self._alike(inner):
                return end
            end = len(inner)

    def _alike(self, path: Path) -> bool:
        """Whether a numbered layer and all its numbered siblings have a child in common."""
        family = self.families[path[:-1], ""]
        return bool(set.intersection(*(set(self.children[member]) for member in family)))

    def _parts(self, path: Path) -> set[str]:
        """The children of a layer that are the parts of one attention layer."""
        children = list(self.children[path])
        bare = {child: re.sub(r"_(proj|dense|lin|linear|layer)$", "", child) for child in children}
        known = set(bare.values()) | set(children)
        inputs: set[str] = set().union(*(qkv for qkv in _QUERY_KEY_VALUE if qkv <= known))
        inputs |= _FUSED & known
        if not inputs:
            return set()
        parts = inputs | _OUTPUTS
        return {child for child in children if child in parts or bare[child] in parts}


def _embeddings_joined(levels: list[list[str]], paths: dict[str, Path]) -> Levels:
    shared = len(common_start(paths.values()))  # the model's name is no layer's name

    def is_input(level: list[str]) -> bool:
        return all(any(map(is_embedding, paths[name][shared:])) for name in level)

    first = tuple(name for level in takewhile(is_input, levels) for name in level)
    rest = tuple(map(tuple, dropwhile(is_input, levels)))
    return (first, *rest) if first else rest
