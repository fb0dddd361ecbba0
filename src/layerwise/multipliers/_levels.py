"""Levels: the layers of a model from its input to its head, read from the parameters' names.

A level is what a strategy counts as one step of depth. By default it is a layer that has weights,
in the order in which the model names them. The names also show the structures that most networks
have: numbered blocks, attention, embeddings at the input, normalization after a layer, and heads
side by side at the output.
"""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import dropwhile, groupby, takewhile
from typing import NamedTuple, Self, TypeAlias

from layerwise.errors import MultiplierError
from layerwise.multipliers._matching.longer_numbers import longer_numbers
from layerwise.multipliers._matching.winners import find_winners
from layerwise.multipliers._names import (
    common_start,
    is_embedding,
    is_head,
    is_norm,
    is_scalar,
    numbered,
)
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


class ModelLayers(tuple[tuple[str, ...], ...]):
    """The levels of a whole model, as each framework's ``layers_of`` finds them.

    Given as ``layers=`` for a part of the model's parameters, they keep the depth that the part has
    in the whole: all levels count, and names of other parts are no mistakes. What is made from
    them by hand, such as ``layers_of(model)[1:]``, is a plain tuple again, every name of which has
    to match.

    Examples:
        >>> from layerwise.multipliers import ModelLayers, Parameter, layer_decay, resolve
        >>> whole = ModelLayers([("stem/kernel",), ("body/kernel",), ("head/kernel",)])
        >>> part = [Parameter("body/kernel")]
        >>> resolve(part, layer_decay(0.5), layers=whole).multipliers(0).tolist()
        [0.5]
    """

    __slots__ = ()

    @classmethod
    def of(cls, levels: Iterable[Iterable[str]]) -> Self:
        """Levels as a whole model's."""
        return cls(map(tuple, levels))


# Keras numbers containers in the order in which they were made, which says nothing about depth.
_CONTAINERS = {"functional", "model", "sequential"}
_STACKS = {"blocks", "layers"}
_DOWNSAMPLING = re.compile(r"downsampl\w*$|transition\d*$")
_LISTS_OF_HEADS = re.compile(r"(^|_)(heads|classifiers)$")
# What the blocks of a stage are called before their numbers: 0, or denselayer1 in DenseNet.
_INNER_BLOCKS = {"", "denselayer"}
# Heads beside the last one. What is named as a step to a head is none.
_SIDE_HEAD = re.compile(r"^(?!pre_|post_|neck_)(heads?_.+|.+_classifier)$")
_QUERY_KEY_VALUE = (
    {"query", "key", "value"},
    {"q", "k", "v"},
    {"wq", "wk", "wv"},
    {"to_q", "to_k", "to_v"},
)
_FUSED = {"c_attn", "in_proj_weight", "qkv", "query_key_value", "to_qkv"}
# What the config of a ModelLayers is called.
_OF_MODEL = "model"
_OUTPUTS = {"attention_output", "c_proj", "o", "out", "output_dense", "proj", "to_out", "wo"}


def levels_from_names(
    names: Iterable[str],
    separator: str = "/",
    *,
    norms: Collection[str] | None = None,
    parallel: Collection[str] | None = None,
    scalars: Collection[str] = (),
    embeddings: Collection[str] = (),
) -> Levels:
    """The levels of a model from its input to its head, read from its parameters' names.

    A level is a layer that has weights (a name without its last part), in order of appearance, with
    these exceptions:

    - each numbered block is one level: ``encoder.layer.3.…``, ``block_0/…``; if stages consist of
      numbered blocks, each block is one: ``layer1.0.…``, ``stages.1.blocks.0.…``;
    - the parts of an attention layer (query, key, value, output) are one level;
    - embeddings one after the other are one level, such as those at the start of a model;
    - a normalization belongs to the layer that it follows;
    - what downsamples between stages belongs to the block that it feeds;
    - heads side by side (``heads.0``, ``heads.1``; ``head``, ``head_dist``) are one level;
    - a number or bias beside layers, such as a model's ``logit_scale``, is the last one's.

    Args:
        names: The parameters' names, in the model's order.
        separator: What stands between the parts of a name: ``/`` in Keras, ``.`` in PyTorch.
        norms: The layers that are normalizations. By default the names tell.
        parallel: The containers whose members lie side by side. By default the names tell.
        scalars: Parameters that are a single number, beside those whose names say so.
        embeddings: Layers that are embeddings, beside those whose names say so.

    Returns:
        The levels, each with the names of its parameters.

    Examples:
        >>> from layerwise.multipliers import levels_from_names
        >>> levels_from_names(["conv/kernel", "conv/bias", "head/kernel"])
        (('conv/kernel', 'conv/bias'), ('head/kernel',))
    """
    paths = {name: tuple(name.split(separator)) for name in names}
    shared = len(common_start(paths.values()))  # the model's name is no layer's name
    tree = _Tree(paths.values())
    levels: dict[Path, list[str]] = {}
    numbers: dict[str, Path] = {}
    for name, path in paths.items():
        level = tree.level_of(path)
        single = name in scalars or path[-1] == "bias" or is_scalar(path[-1])
        if single and level == path[:-1] and level in tree.compound:
            numbers[name] = level
        else:
            levels.setdefault(level, []).append(name)
    found = list(levels.values())
    beside = tree.lists_of_heads() if parallel is None else _paths(parallel, separator)
    for container in sorted(beside):
        inside = [path for path in paths.values() if path[: len(container)] == container]
        if any(len(tree.level_of(path)) <= len(container) for path in inside):
            continue  # in a block, say, it is a part of that level
        found = lay_side_by_side(found, partial(_member, paths, container))
    scales = partial(_scales, paths, None if norms is None else _paths(norms, separator))
    embeds = partial(_embeds, paths, shared, _paths(embeddings, separator), scales)
    found = _runs_joined(found, lambda level: all(map(embeds, level)))
    found = _downsampling_joined(found, paths)
    found = _norms_joined(found, paths, shared, lambda level: all(map(scales, level)))
    found = _heads_joined(found, paths, shared)
    for name, container in numbers.items():
        _last_in(container, found, paths).append(name)
    return tuple(map(tuple, found))


def lay_side_by_side(
    levels: Iterable[Sequence[str]], branch_of: Callable[[str], Hashable | None]
) -> list[list[str]]:
    """The levels with some branches beside each other; branches of unequal depth end together.

    Args:
        levels: The levels from input to head.
        branch_of: The branch of a name, or None if it is in none. What is in none keeps its place:
            below the branches if it comes before the first of them, else above.
    """
    before: list[list[str]] = []
    after: list[list[str]] = []
    branches: dict[Hashable, list[list[str]]] = {}
    for level in levels:
        parts: dict[Hashable | None, list[str]] = {}
        for name in level:
            parts.setdefault(branch_of(name), []).append(name)
        rest = parts.pop(None, None)
        if rest:
            (after if branches or parts else before).append(rest)
        for branch, part in parts.items():
            branches.setdefault(branch, []).append(part)
    height = max(map(len, branches.values()), default=0)
    beside = [
        [name for branch in branches.values() if len(branch) >= back for name in branch[-back]]
        for back in range(height, 0, -1)
    ]
    return [*before, *beside, *after]


def check_layers(layers: object) -> Levels | None:
    """Levels as a caller wrote them, checked, as tuples of names or starts of names; None for None.

    Raises:
        MultiplierError: This is no sequence of names, or one name is in two levels.
    """
    if layers is None:
        return None
    if isinstance(layers, Mapping) and set(layers) == {_OF_MODEL}:  # a config
        return ModelLayers.of(check_layers(layers[_OF_MODEL]) or ())
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise MultiplierError(
            f"layers={layers!r} must be a list of levels, from input to head, each a name or a "
            "list of names."
        )
    levels = tuple(
        tuple(level) if isinstance(level, Iterable) and not isinstance(level, str) else (level,)
        for level in layers
    )
    seen: set[str] = set()
    for level in levels:
        for name in level:
            if not isinstance(name, str) or not name:
                raise MultiplierError(f"layers= must hold names of layers, got {name!r}.")
            if name in seen:
                raise MultiplierError(
                    f"layers= must not hold {name!r} in two levels. If two layers have that name, "
                    "rename one of them."
                )
        seen.update(level)
    return ModelLayers(levels) if isinstance(layers, ModelLayers) else levels


def layers_config(layers: Levels | None) -> list[list[str]] | dict[str, list[list[str]]] | None:
    """Levels as plain JSON data, which ``check_layers`` reads."""
    if layers is None:
        return None
    levels = [list(level) for level in layers]
    return {_OF_MODEL: levels} if isinstance(layers, ModelLayers) else levels


class FoundLevels(NamedTuple):
    """Where parameters are in levels.

    Attributes:
        of: The level of each parameter, or None.
        unmatched: The names in the levels that match no parameter.
        empty: The numbers of the levels that own nothing because longer names take it all.
        notes: What is to be said about names that end in a number.
    """

    of: tuple[int | None, ...]
    unmatched: tuple[str, ...]
    empty: tuple[int, ...]
    notes: tuple[str, ...]


def find_levels(
    layers: Sequence[Sequence[str]], parameters: Sequence[Parameter], separator: str
) -> FoundLevels:
    """The level of each parameter.

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
    won, dead = set(winners.keys), set(winners.unmatched)
    empty = [
        i for i, level in enumerate(layers) if won.isdisjoint(level) and not dead.issuperset(level)
    ]
    notes = longer_numbers(winners.keys, flat, "prefix", separator, "In layers=, the name")
    return FoundLevels(tuple(levels), winners.unmatched, tuple(empty), tuple(notes))


class _Tree:
    """The tree of layers that the names imply, with its numbered blocks and attention layers."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.children: dict[Path, dict[str, None]] = {}
        for path in paths:
            for end in range(len(path)):
                self.children.setdefault(path[:end], {})[path[end]] = None
        # Layers that contain layers: at least one child has children.
        self.compound = {path[:-1] for path in self.children if path}
        compound = self.compound - {()}
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

    def lists_of_heads(self) -> list[Path]:
        """The containers whose names say that their members are heads."""
        return [
            path
            for path, children in self.children.items()
            if path and _LISTS_OF_HEADS.search(path[-1])
            if len(children) > 1 and all((*path, child) in self.children for child in children)
        ]

    def _innermost_block(self, path: Path, end: int) -> int:
        """The end of the innermost block in ``path``: ``path[:end]``, or a block of that stage."""
        while True:
            in_stack = path[end : end + 1] and path[end] in _STACKS
            inner = path[: end + 2] if in_stack else path[: end + 1]
            if inner not in self.blocks or not self._alike(inner):
                return end
            end = len(inner)

    def _alike(self, path: Path) -> bool:
        """Whether a numbered layer and all its numbered siblings have a child in common."""
        stem, _ = numbered(path[-1]) or ("no number", 0)
        if stem not in _INNER_BLOCKS:
            return False
        family = self.families[path[:-1], stem]
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


def _scales(paths: Mapping[str, Path], known: set[Path] | None, name: str) -> bool:
    """Whether a parameter is a normalization's."""
    path = paths[name]
    return is_norm(path) if known is None else path[:-1] in known


def _embeds(
    paths: Mapping[str, Path],
    shared: int,
    known: set[Path],
    scales: Callable[[str], bool],
    name: str,
) -> bool:
    """Whether a parameter is an embedding's; a norm is only by what it lies in."""
    path = paths[name]
    return path[:-1] in known or any(map(is_embedding, path[shared : -2 if scales(name) else None]))


def _runs_joined(levels: list[list[str]], alike: Callable[[list[str]], bool]) -> list[list[str]]:
    """The levels, with levels of a kind in one if they stand one after the other."""
    joined: list[list[str]] = []
    for of_the_kind, run in groupby(levels, alike):
        several = list(run)
        joined += [[name for level in several for name in level]] if of_the_kind else several
    return joined


def _downsampling_joined(levels: list[list[str]], paths: Mapping[str, Path]) -> list[list[str]]:
    """What downsamples between stages in the level of the block that it feeds."""
    joined: list[list[str]] = []
    waiting: list[str] = []
    for level in levels:
        if all(any(map(_DOWNSAMPLING.match, paths[name])) for name in level):
            waiting += level
        else:
            joined.append([*waiting, *level])
            waiting = []
    return [*joined, waiting] if waiting else joined


def _norms_joined(
    levels: list[list[str]],
    paths: Mapping[str, Path],
    shared: int,
    scales: Callable[[list[str]], bool],
) -> list[list[str]]:
    """Each normalization in the level that it follows; a first one in the level that follows it."""
    first = [name for level in takewhile(scales, levels) for name in level]
    rest = list(dropwhile(scales, levels))
    if not rest:
        return levels
    joined = [[*first, *rest[0]]]
    for place, level in enumerate(rest[1:], start=1):
        if not scales(level):
            joined.append(level)
            continue
        joined[-1] = [*joined[-1], *level]
        # A head whose output is normalized is the end of the body: a head comes after it.
        more = any(_is_output(rest[later], paths, shared) for later in range(place + 1, len(rest)))
        if len(joined) > 1 and more and _is_output(joined[-1], paths, shared):
            joined[-2:] = [[*joined[-2], *joined[-1]]]
    return joined


def _heads_joined(
    levels: list[list[str]], paths: Mapping[str, Path], shared: int
) -> list[list[str]]:
    """The levels with the heads at the end beside each other: ``head`` and ``head_dist``."""
    start = len(levels)
    while start and _is_output(levels[start - 1], paths, shared):
        start -= 1
    beside = lay_side_by_side(levels[start:], lambda name: paths[name][: shared + 1])
    return [*levels[:start], *beside]


def _is_output(level: list[str], paths: Mapping[str, Path], shared: int) -> bool:
    """Whether a level is of heads, by the first part of all names that are not norms'."""
    heads = {paths[name][shared:-1][:1] for name in level if not is_norm(paths[name])}
    return bool(heads) and all(
        path and (is_head(path[0]) or _SIDE_HEAD.match(path[0])) for path in heads
    )


def _paths(names: Iterable[str], separator: str) -> set[Path]:
    return {tuple(name.split(separator)) for name in names}


def _member(paths: Mapping[str, Path], container: Path, name: str) -> str | None:
    """The member of a container that a parameter lies in."""
    path, depth = paths[name], len(container)
    return path[depth] if path[:depth] == container and len(path) > depth else None


def _last_in(container: Path, levels: Sequence[list[str]], paths: Mapping[str, Path]) -> list[str]:
    """The last level with a parameter inside of a container."""
    return next(
        level
        for level in reversed(levels)
        if any(paths[name][: len(container)] == container for name in level)
    )
