"""Frozen copies of what trains: a teacher, a momentum encoder, an average of the weights."""

import re
from collections.abc import Iterable, Sequence

from layerwise.torch._parameters import SEPARATOR, NamedTensor

_Path = tuple[str, ...]
_NUMBERS = re.compile(r"\d+")


def without_copies(tensors: Sequence[NamedTensor]) -> list[NamedTensor]:
    """The parameters without those of frozen copies, which add no depth to the network.

    A copy is a part of the model that does not train at all, and has the names and shapes of
    another part that does. Blocks of one stack are no copies of each other, so a frozen lower block
    adds to the depth.
    """
    paths = [tuple(named.short.split(SEPARATOR)) for named in tensors]
    frozen = {start for path in paths for start in _starts(path)}
    for named, path in zip(tensors, paths, strict=True):
        if named.trains:
            frozen.difference_update(_starts(path))
    if not frozen or () in frozen:
        return list(tensors)
    inside: dict[_Path, list[tuple[_Path, tuple[int, ...]]]] = {}
    for named, path in zip(tensors, paths, strict=True):
        for start in _starts(path):
            inside.setdefault(start, []).append((path[len(start) :], tuple(named.tensor.shape)))
    trained: dict[object, list[_Path]] = {}
    for start, members in inside.items():
        if start not in frozen:
            trained.setdefault(_signature(members), []).append(start)
    copies = [
        start
        for start in frozen
        if start[:-1] not in frozen
        and any(
            _without_numbers(start) != _without_numbers(other)
            for other in _originals(start, inside, trained)
        )
    ]
    return [
        named
        for named, path in zip(tensors, paths, strict=True)
        if not any(path[: len(start)] == start for start in copies)
    ]


def _originals(
    start: _Path,
    inside: dict[_Path, list[tuple[_Path, tuple[int, ...]]]],
    trained: dict[object, list[_Path]],
) -> Iterable[_Path]:
    """The parts that train and look like a frozen one, or like the only part inside of it."""
    members = inside[start]
    while True:
        layers = {path[:-1] for path, _ in members}
        if len(layers) < 2:  # one layer may look like any other
            return ()
        if twins := trained.get(_signature(members)):
            return twins
        first = {path[:1] for path, _ in members}
        if len(first) > 1:
            return ()
        members = [(path[1:], shape) for path, shape in members]


def _signature(members: Sequence[tuple[_Path, tuple[int, ...]]]) -> frozenset[object]:
    return frozenset(members)


def _without_numbers(path: _Path) -> _Path:
    return tuple(_NUMBERS.sub("#", part) for part in path)


def _starts(path: _Path) -> list[_Path]:
    return [path[:end] for end in range(len(path))]
