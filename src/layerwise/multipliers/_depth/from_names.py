"""The levels of a model, read from its parameters' names.

By default a level is a layer that has weights, in the order in which the model names them. The
names also show the structures that most networks have: numbered blocks, attention, embeddings at
the input, normalization after a layer, and heads side by side at the output.
"""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import dropwhile, groupby, takewhile
from typing import TypeAlias

from layerwise.multipliers._levels import Levels
from layerwise.multipliers._names import (
    common_start,
    is_embedding,
    is_head,
    is_norm,
    is_scalar,
    numbered,
)

Path: TypeAlias = tuple[str, ...]

# Keras numbers containers in the order in which they were made, which says nothing about depth.
_CONTAINERS = {"functional", "model", "sequential"}
_STACKS = {"blocks", "layers"}
_DOWNSAMPLING = re.compile(r"downsampl\w*$|transition\d*$")
# Parameters of a container itself, which are named before its layers and used after them.
_OUTPUT = re.compile(r"^bias$|(^|_)(proj|projection|head)$")
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
    - a number, bias or projection beside layers, such as a model's ``logit_scale``, is the last
      one's.

    Args:
        names: The parameters' names, in the model's order.
        separator: What stands between the parts of a name: ``/`` in Keras, ``.`` in PyTorch.
        norms: The layers that are normalizations. By default the names show them.
        parallel: The containers whose members lie side by side. By default the names show them.
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
        above = name in scalars or is_scalar(path[-1]) or bool(_OUTPUT.search(path[-1]))
        if above and level == path[:-1] and level in tree.compound:
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
    """Whether a parameter is a normalization's, or scales outputs or losses."""
    path = paths[name]
    if is_scalar(path[-1]):
        return True
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
