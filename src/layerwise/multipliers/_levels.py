"""Levels: the layers of a model from its input to its head, as a caller or a model gives them.

A level is what a strategy counts as one step of depth.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self, TypeAlias

from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.multipliers._matching.exact_key import ExactKey
from layerwise.multipliers._matching.longer_numbers import longer_numbers
from layerwise.multipliers._matching.winners import find_winners
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


# What the config of a ModelLayers is called.
_OF_MODEL = "model"


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
            f"layers={shown(layers)} must be a list of levels, from input to head, each a name or "
            "a list of names."
        )
    levels = tuple(
        tuple(ExactKey.from_data(name) or name for name in level)
        if isinstance(level, Iterable) and not isinstance(level, str)
        else (level,)
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
    return ModelLayers(levels) if isinstance(layers, ModelLayers) else levels


def layers_config(layers: Levels | None) -> object:
    """Levels as plain JSON data, which ``check_layers`` reads."""
    if layers is None:
        return None
    levels = [
        [name.to_data() if isinstance(name, ExactKey) else name for name in level]
        for level in layers
    ]
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
