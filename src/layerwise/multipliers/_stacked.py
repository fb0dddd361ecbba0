"""Layers that are stacked in one array, as large JAX models are written: a level each."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from layerwise._checks import whole
from layerwise.errors import MultiplierError
from layerwise.multipliers._names import is_norm
from layerwise.multipliers._plan import Parameter

Stacked: TypeAlias = Mapping[str, int]
"""Where layers are stacked: a name, or the start of names up to a separator, and the axis.

Examples:
    >>> from layerwise.multipliers import Stacked, layer_decay
    >>> stacked: Stacked = {"layers": 0}
    >>> layer_decay(0.5, stacked=stacked)
    layer_decay(0.5, stacked={'layers': 0})
"""

_MOST_AXES = 64


def check_stacked(stacked: object) -> dict[str, int] | None:
    """The names and axes of stacked layers as a caller wrote them, checked; None for None.

    Args:
        stacked: What a caller gave.

    Raises:
        MultiplierError: This is no mapping from names to axes.

    Examples:
        >>> from layerwise.multipliers import check_stacked
        >>> check_stacked({"layers": 0})
        {'layers': 0}
    """
    if stacked is None:
        return None
    if not isinstance(stacked, Mapping) or not stacked:
        raise MultiplierError(
            f"stacked={stacked!r} must be a mapping from names to the axis along which their "
            "layers are stacked: stacked={'layers': 0}."
        )
    for name in stacked:
        if not isinstance(name, str) or not name:
            raise MultiplierError(f"stacked= must hold names of layers, got {name!r}.")
    return {
        name: whole(
            axis,
            f"stacked: the axis of {name!r}",
            MultiplierError,
            at_least=-_MOST_AXES,
            at_most=_MOST_AXES,
        )
        for name, axis in stacked.items()
    }


def check_known(stacked: object, parameters: Sequence[Parameter]) -> None:
    """Raise if layers should be stacked, and none of these parameters is one of a stack.

    Raises:
        MultiplierError: It is so.
    """
    if check_stacked(stacked) and all(parameter.layer is None for parameter in parameters):
        raise MultiplierError(
            f"stacked={stacked!r}: none of these parameters has layers stacked in it. Optax alone "
            "knows such parameters; leave stacked= out here."
        )


def split_levels(
    levels: Sequence[int | None], parameters: Sequence[Parameter]
) -> tuple[int | None, ...]:
    """The levels, with one for each layer where a level holds stacked layers.

    A norm after the stack is in its level, and goes with the last layer.

    Raises:
        MultiplierError: A level holds stacked layers and others.
    """
    last: dict[int, int] = {}
    for level, parameter in zip(levels, parameters, strict=True):
        if level is not None and parameter.layer is not None:
            last[level] = max(parameter.layer, last.get(level, 0))
    if not last:
        return tuple(levels)
    places: list[tuple[int, int] | None] = []
    for level, parameter in zip(levels, parameters, strict=True):
        if level is None:
            places.append(None)
            continue
        if parameter.layer is None and level in last and not is_norm(_path(parameter)):
            raise MultiplierError(
                f"{parameter.name!r} is in one level with layers that are stacked in one array. "
                "Give it a level of its own in layers=."
            )
        layer = last.get(level, 0) if parameter.layer is None else parameter.layer
        places.append((level, layer))
    order = {place: i for i, place in enumerate(sorted({p for p in places if p is not None}))}
    return tuple(None if place is None else order[place] for place in places)


def _path(parameter: Parameter) -> tuple[str, ...]:
    """A name as a path; Optax alone has stacks, and has slashes in its names."""
    return tuple(parameter.name.split("/"))
