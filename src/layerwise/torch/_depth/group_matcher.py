"""Models that say themselves how deep each parameter lies, as those of timm do.

Such a model has a method ``group_matcher(coarse=False)``. It gives either a function of a
parameter's name, or a mapping of groups from input to head. A group has a regular expression for
the beginning of names, or several; within the group the numbers in the names count.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from layerwise.torch._parameters import WRAPPERS

# What timm writes after the numbers of a layer that belongs to the layer before it.
_WITH_THE_ONE_BEFORE = 99999

_Place = tuple[float, ...]


def stated_levels(model: nn.Module, names: Sequence[str]) -> list[list[str]]:
    """The levels that a model states; none if it states none.

    Args:
        model: The model, wrapped or not.
        names: The names of its parameters, without what wrappers put into them.
    """
    matcher = _matcher(model)
    if matcher is None:
        return []
    place_of = matcher if callable(matcher) else _by_patterns(matcher)
    places: dict[_Place, list[str]] = {}
    for name in names:
        found: Any = place_of(name)
        if found is not None:
            place = tuple(found) if isinstance(found, Iterable) else (found,)
            places.setdefault(place, []).append(name)
    levels: list[list[str]] = []
    for place in sorted(places):
        if levels and place[-1] == _WITH_THE_ONE_BEFORE:
            levels[-1] += places[place]
        else:
            levels.append(places[place])
    return levels


def _matcher(model: nn.Module) -> Mapping[str, Any] | Callable[[str], object] | None:
    method = getattr(_unwrapped(model), "group_matcher", None)
    if not callable(method) or "coarse" not in inspect.signature(method).parameters:
        return None
    matcher: object = method(coarse=False)
    return matcher if isinstance(matcher, Mapping) or callable(matcher) else None


def _unwrapped(model: nn.Module) -> nn.Module:
    while True:
        inside = next((m for n, m in model.named_children() if n in WRAPPERS), None)
        if inside is None or hasattr(type(model), "group_matcher"):
            return model
        model = inside


def _by_patterns(groups: Mapping[str, Any]) -> Callable[[str], _Place]:
    patterns: list[tuple[re.Pattern[str], int, tuple[int, ...]]] = []
    for number, found in enumerate(groups.values()):
        several = [(found, None)] if isinstance(found, str) else found or ()
        patterns += [(re.compile(text), number, tuple(end or ())) for text, end in several]

    def place_of(name: str) -> _Place:
        for pattern, number, end in patterns:
            if match := pattern.match(name):
                numbers = [float(text) for text in match.groups() if text is not None]
                return (float(number), *numbers, *map(float, end))
        return (float("inf"),)  # what no group has is the head's

    return place_of
