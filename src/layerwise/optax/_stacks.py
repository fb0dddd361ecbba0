"""Layers that are stacked in one leaf, as a scan over layers needs them.

Where they are is said by the caller (``stacked={"layers": 0}``), or by the metadata that Flax keeps
when ``nn.scan`` or ``nnx.vmap`` are told a name for the new axis. Nothing else decides: a leaf that
only looks like a stack gets a note in the plan.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from layerwise.errors import MultiplierError, UnmatchedRuleError
from layerwise.multipliers import Strategy, numbered
from layerwise.optax._parameters import ROOT, Leaf, Path, Stack, name_of

_AXIS = re.compile(r"(n_|num_|scan_)?(layers?|blocks?|stack(ed)?|stages?|repeats?|scan)")
"""What people call the axis that a scan over layers adds."""

_STACK = re.compile(r"(.*_)?(layers?|blocks?|stack|stages?|repeats?|h|scan\w*)|Scan\w*", re.I)
"""What people call a layer that holds a stack of layers."""

_VECTORS = {"bias", "scale", "b", "beta", "gamma"}
"""Leaves that have one axis, unless layers are stacked in them."""


def stacked(
    leaves: Sequence[Leaf], wanted: Mapping[str, int], strict: bool = True
) -> tuple[tuple[Leaf, ...], tuple[str, ...]]:
    """The leaves with the stacks in them, and notes on those that only look like stacks.

    Args:
        leaves: All leaves of a tree.
        wanted: The axes by name, as in ``stacked=``.
        strict: Whether a name that matches no leaf is an error.

    Raises:
        MultiplierError: A leaf doesn't have such an axis, or another number of layers.
        UnmatchedRuleError: A name in ``wanted`` matches no leaf.
    """
    known = _by_metadata(leaves)
    hits = set()
    for place, leaf in enumerate(leaves):
        found = [(depth, key) for key in wanted if (depth := _depth(leaf, key))]
        hits |= {key for _, key in found}
        if found and not leaf.hidden:
            depth, key = max(found)
            known[place] = _stack(leaf, key, wanted[key], depth)
    hidden = tuple(f"{leaf.name}/" for leaf in leaves if leaf.hidden)
    lost = {k: axis for k, axis in wanted.items() if k not in hits}
    lost = {k: axis for k, axis in lost.items() if not k.startswith(hidden)}
    if strict and lost:
        names = dict.fromkeys(name_of(leaf.path[:1]) for leaf in leaves)
        raise UnmatchedRuleError(
            f"stacked={lost!r} matches no parameter: it must be a whole name, or the start of "
            f"names up to a '/'. The names begin with {', '.join(map(repr, names))}."
        )
    done = tuple(replace(leaf, stack=known.get(i)) for i, leaf in enumerate(leaves))
    _check_sizes(done)
    return done, _notes(done)


def wanted_stacks(strategies: Sequence[Strategy]) -> dict[str, int]:
    """The axes by name that strategies were given as ``stacked=``.

    Raises:
        MultiplierError: Two of them contradict each other.
    """
    wanted: dict[str, int] = {}
    for strategy in strategies:
        for key, axis in dict(strategy.stacked or {}).items():
            if wanted.setdefault(key, axis) != axis:
                raise MultiplierError(
                    f"Two strategies say of {key!r} that its layers are stacked along the axes "
                    f"{wanted[key]} and {axis}; it must be one."
                )
    return wanted


def _depth(leaf: Leaf, key: str) -> int:
    """How many keys of a leaf's path a name covers; 0 if it is not the start of its name."""
    for depth in range(1, len(leaf.path) + 1):
        start = name_of(leaf.path[:depth])
        if key.rstrip("/") in (start, start.removeprefix(f"{ROOT}/")):
            return depth
    return 0


def _stack(leaf: Leaf, key: str, axis: int, depth: int) -> Stack:
    if not -len(leaf.shape) <= axis < len(leaf.shape):
        raise MultiplierError(
            f"stacked={ {key: axis} }: {leaf.name!r} has the shape {leaf.shape}, and so no axis "
            f"{axis}. Name the layers more closely: {leaf.name!r} may not be one of them."
        )
    axis %= len(leaf.shape)
    return Stack(axis, depth, leaf.shape[axis])


def _check_sizes(leaves: Sequence[Leaf]) -> None:
    first: dict[Path, Leaf] = {}
    for leaf in leaves:
        if leaf.stack is None:
            continue
        other = first.setdefault(leaf.path[: leaf.stack.depth], leaf)
        if other.stack is not None and other.stack.size != leaf.stack.size:
            raise MultiplierError(
                f"{other.name!r} has {other.stack.size} layers stacked along its axis "
                f"{other.stack.axis}, and {leaf.name!r} has {leaf.stack.size} along its axis "
                f"{leaf.stack.axis}; under one name they must have as many. Say it for each: "
                f"stacked={{{other.name!r}: ..., {leaf.name!r}: ...}}."
            )


def _by_metadata(leaves: Sequence[Leaf]) -> dict[int, Stack]:
    """The stacks that Flax' metadata show, by the place of the leaf.

    Not every leaf of a scanned layer has metadata. So the stack is the outermost layer around a
    leaf that has some, of which all leaves are as long along that axis.
    """
    known: dict[int, Stack] = {}
    for leaf in leaves:
        axis = next((i for i, n in enumerate(leaf.axes) if _names_a_stack(n)), None)
        if axis is None or axis >= len(leaf.shape):
            continue
        size = leaf.shape[axis]
        for depth in range(1, len(leaf.path) + 1):
            around = leaf.path[:depth]
            if name_of(around) == ROOT:
                continue
            inside = {i: one for i, one in enumerate(leaves) if one.path[:depth] == around}
            if all(one.shape[axis : axis + 1] == (size,) for one in inside.values()):
                for place in inside:
                    known.setdefault(place, Stack(axis, depth, size))
                break
    return known


def _names_a_stack(name: object) -> bool:
    return isinstance(name, str) and bool(_AXIS.fullmatch(name))


def _notes(leaves: Sequence[Leaf]) -> tuple[str, ...]:
    """A sentence for each layer that looks as if layers were stacked in its leaves."""
    inside: dict[Path, list[Leaf]] = {}
    for leaf in leaves:
        if not leaf.hidden:
            for depth in range(1, len(leaf.path) + 1):
                inside.setdefault(leaf.path[:depth], []).append(leaf)
    notes: list[str] = []
    noted: list[Path] = []
    for path, members in sorted(inside.items(), key=lambda item: len(item[0])):
        if any(path[: len(other)] == other for other in noted):
            continue
        if any(leaf.stack is not None for leaf in members) or not _looks_stacked(path, members):
            continue
        noted.append(path)
        name = name_of(path)
        notes.append(
            f"{name} looks like {members[0].shape[0]} layers in one array, and counts as it "
            f"stands. If it is a stack: stacked={ {name.removeprefix(f'{ROOT}/'): 0} }"
        )
    return tuple(notes)


def _looks_stacked(path: Path, members: Sequence[Leaf]) -> bool:
    sizes = {leaf.shape[:1] for leaf in members}
    if len(sizes) != 1 or not min(sizes) or min(sizes)[0] < 2 or name_of(path) == ROOT:
        return False
    last = name_of(path[-1:])
    one_of_several = numbered(last) is not None and not last.startswith("Scan")
    named = bool(_STACK.fullmatch(last)) and not one_of_several
    ranks = [len(leaf.shape) for leaf in members]
    vectors = [leaf for leaf in members if name_of(leaf.path[-1:]) in _VECTORS]
    matrices = any(rank > 2 for rank in ranks)
    if vectors:
        return all(len(leaf.shape) > 1 for leaf in vectors) and (named or matrices)
    below = {name_of(leaf.path[len(path) :][:1]) for leaf in members if leaf.path != path}
    one_by_one = any(numbered(part) for part in below)
    return named and min(ranks) > 1 and matrices and not one_by_one
