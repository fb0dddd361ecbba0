"""ExactKey: a key that stands for parts of a model themselves, not for a text in their names."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self


class ExactKey(str):
    """The key that a layer, module or variable becomes when its names are known.

    It matches its places and what lies in them, in every match mode. As text it is the name that a
    plan shows.

    Attributes:
        places: The names of the parts: parameters, or layers. None if it is not in the model.
        nameless: Whether it is a container whose own name is in no parameter's, so that its places
            are the parameters in it. Any key that names one of these is more exact, and so is a
            container in it.

    Examples:
        >>> from layerwise.multipliers import ExactKey, Parameter, resolve
        >>> names = ["block_1/kernel", "block_10/kernel"]
        >>> rules = {ExactKey("block_1", ["block_1"]): 0.1}
        >>> resolve(map(Parameter, names), rules).multipliers(0).tolist()
        [0.1, 1.0]
    """

    places: tuple[str, ...]
    nameless: bool

    def __new__(cls, text: str, places: Iterable[str] = (), nameless: bool = False) -> Self:
        made = super().__new__(cls, text)
        made.places, made.nameless = tuple(places), nameless
        return made

    def __getnewargs__(self) -> tuple[str, tuple[str, ...], bool]:  # type: ignore[override]
        return str(self), self.places, self.nameless

    def covers(self, place: str, name: str) -> int:
        """How many characters of a name it stands for, by one of its places."""
        if self.nameless:
            return -len(self.places)
        return len(place) + (place != name)  # a layer's name with the separator behind it

    def to_data(self) -> dict[str, object]:
        """The key as plain JSON data."""
        return {"key": str(self), "places": list(self.places), "nameless": self.nameless}

    @classmethod
    def from_data(cls, data: object) -> Self | None:
        """The key that ``to_data`` wrote; None for any other data."""
        match data:
            case {"key": str(text), "places": [*places], "nameless": bool(nameless), **rest}:
                if not rest and text and all(isinstance(place, str) for place in places):
                    return cls(text, places, nameless)
        return None


def exact_matches(
    keys: Iterable[str], names: Sequence[str], separator: str
) -> list[list[tuple[str, int]]]:
    """The exact keys that match each name, with the number of characters that they cover."""
    keys_at: dict[str, list[ExactKey]] = {}
    for key in keys:
        if isinstance(key, ExactKey):
            for place in key.places:
                keys_at.setdefault(place, []).append(key)
    if not keys_at:
        return [[] for _ in names]
    return [_matches(keys_at, name, separator) for name in names]


def _matches(
    keys_at: Mapping[str, Sequence[ExactKey]], name: str, separator: str
) -> list[tuple[str, int]]:
    found: dict[ExactKey, int] = {}
    end = len(name)
    while end > 0:
        place = name[:end]
        for key in keys_at.get(place, ()):
            found.setdefault(key, key.covers(place, name))  # the longest place comes first
        end = name.rfind(separator, 0, end)
    return list(found.items())
