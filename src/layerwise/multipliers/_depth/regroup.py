"""Levels grouped differently: the layers of a block as one level, towers side by side."""

import re
from collections.abc import Iterable, Sequence

from layerwise.errors import MultiplierError
from layerwise.multipliers._depth.from_names import lay_side_by_side
from layerwise.multipliers._levels import (
    Layers,
    Levels,
    ModelLayers,
    check_layers,
    find_levels,
)
from layerwise.multipliers._matching.unmatched import unmatched_error
from layerwise.multipliers._names import is_norm
from layerwise.multipliers._plan import Parameter

# A part of a name that has a block and a layer in it: block2b_dwconv, expanded_conv_1_project.
_NAMED_BLOCK = re.compile(r"(.*block_?\d+[a-z]?)_.+", re.IGNORECASE)
_NUMBERED_BLOCK = re.compile(r"((.+?)_?\d+[a-z]?)_(.+)")


def side_by_side(layers: Layers, *branches: str | Sequence[str]) -> Levels:
    """Levels in which some branches of the model lie side by side, as the towers of CLIP do.

    A model names its towers one after the other, so that the first would seem to lie below the
    second. Here the last levels of all branches are one level, so are those before them, and so on:
    each tower has its own depth. What stands outside the branches keeps its place.

    Args:
        layers: Levels from input to head, such as ``layers_of(model)``.
        *branches: Each branch: the beginning of its names, or several beginnings.

    Returns:
        The levels, for ``layers=``. Each has the names of all branches at that depth.

    Raises:
        MultiplierError: There are fewer than two branches, or two have the same beginning.
        UnmatchedRuleError: A beginning matches no name.

    Examples:
        >>> from layerwise.multipliers import side_by_side
        >>> levels = [["image.0"], ["image.1"], ["text.0"], ["logits"]]
        >>> side_by_side(levels, "image", "text")
        (('image.0',), ('image.1', 'text.0'), ('logits',))
    """
    levels = check_layers(layers) or ()
    starts = check_layers(branches) or ()
    if len(starts) < 2:
        raise MultiplierError(
            f"side_by_side needs two branches or more, each the beginning of its names, got "
            f"{list(branches)}."
        )
    names = [Parameter(name) for level in levels for name in level]
    found = find_levels(starts, names, ".")
    if found.unmatched:
        raise unmatched_error(found.unmatched, names, "prefix", ".", "branch")
    branch_of = {name.name: branch for name, branch in zip(names, found.of, strict=True)}
    beside = lay_side_by_side(levels, branch_of.__getitem__)
    return ModelLayers.of(beside) if isinstance(layers, ModelLayers) else tuple(map(tuple, beside))


def blocks_joined(levels: Iterable[Sequence[str]], separator: str = "/") -> Levels:
    """Levels in which the layers of one block, by their names, are one level.

    Blocks in containers are levels already. Here it is about layers without a container, whose
    names begin with their block: ``block_1_expand``, ``conv2_block1_1_conv``.

    Args:
        levels: Levels from input to head, each with the names of its parameters.
        separator: What stands between the parts of a name.

    Returns:
        The levels. A block is where its first layer was.

    Examples:
        >>> from layerwise.multipliers import blocks_joined
        >>> names = ["stem/k", "block1_expand/k", "block1_project/k", "block2_expand/k"]
        >>> blocks_joined([[name] for name in names])
        (('stem/k',), ('block1_expand/k', 'block1_project/k'), ('block2_expand/k',))
    """
    found = list(map(tuple, levels))
    paths = {name: tuple(name.split(separator)) for level in found for name in level}
    blocks = _Blocks(part for path in paths.values() for part in path[:-1])
    joined: dict[object, list[str]] = {}
    for place, level in enumerate(found):
        # A block may begin with a norm, which is in the level before it.
        deciding = [name for name in level if not is_norm(paths[name])] or level
        owners = {blocks.owner(paths[name][:-1]) for name in deciding}
        block = owners.pop() if len(owners) == 1 else None
        joined.setdefault(place if block is None else block, []).extend(level)
    return tuple(map(tuple, joined.values()))


class _Blocks:
    """The blocks that the parts of names begin with."""

    def __init__(self, parts: Iterable[str]) -> None:
        self.parts = set(parts)
        families: dict[str, dict[str, set[str]]] = {}
        for part in self.parts:
            if match := _NUMBERED_BLOCK.fullmatch(part):
                block, stem, layer = match.groups()
                families.setdefault(stem, {}).setdefault(block, set()).add(layer)
        for stem, family in families.items():  # Keras gives the first block no number
            rest = {
                part.removeprefix(f"{stem}_") for part in self.parts if part.startswith(f"{stem}_")
            }
            if first := rest & set[str]().union(*family.values()):
                family[stem] = first
        # The blocks of a family have a layer in common.
        self.layers = {
            stem: set().union(*family.values())
            for stem, family in families.items()
            if len(family) > 1 and set.intersection(*family.values())
        }

    def owner(self, path: tuple[str, ...]) -> tuple[str, ...] | None:
        """The block that a layer is in: the path to it, and its own name."""
        for end, part in enumerate(path):
            if block := self._block(part):
                return (*path[:end], block)
        return None

    def _block(self, part: str) -> str | None:
        if match := _NAMED_BLOCK.fullmatch(part):
            return match[1]
        if (match := _NUMBERED_BLOCK.fullmatch(part)) and match[2] in self.layers:
            return match[1]
        for stem, layers in self.layers.items():
            if part.startswith(f"{stem}_") and part.removeprefix(f"{stem}_") in layers:
                return stem
        # A layer called like a block: conv_1 beside conv_1_bn.
        stem = part.rstrip("0123456789").rstrip("_")
        return part if stem in self.layers and stem != part else None
