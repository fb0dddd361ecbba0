"""The operations of a formula, recorded instead of computed, and computed later for many at once.

Schedules of one kind, ``linear(100)`` and ``linear(90, end=0.1)``, do the same operations with
other numbers. Recorded, their operations can be compared; those that are equal are computed once,
with an array in place of each number that differs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from layerwise.schedules._backends.namespace import ArrayNamespace, Namespace

Number: TypeAlias = float | int
Constant: TypeAlias = Number | tuple[Number, ...]

_FEW = 16
"""Of boundaries that differ: each is a comparison of its own."""

_INFIX = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "truediv": lambda a, b: a / b,
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "pow": lambda a, b: a**b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "and": lambda a, b: a & b,
}


class CannotRecordError(Exception):
    """The operations depend on the value, or leave the step's integers."""


class Operation(NamedTuple):
    """One operation.

    Attributes:
        name: Its name.
        like: What else must be equal for two operations to be alike.
        kinds: The types of the constants among its operands.
        places: Its operands: the number of an earlier result, or -1 - the number of a constant.
    """

    name: str
    like: object
    kinds: tuple[type, ...]
    places: tuple[int, ...]


@dataclass
class Recording:
    """What one formula does.

    Attributes:
        largest: The largest constant that fits the step's integers.
        operations: The operations, in order.
        whole: Whether each result is made of integers.
        constants: The numbers in it.
    """

    largest: int
    operations: list[Operation] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)

    def add(
        self, name: str, operands: Sequence["Recorded | Constant"], whole: bool, like: object = None
    ) -> "Recorded":
        """Record an operation; the result."""
        places = []
        for operand in operands:
            if isinstance(operand, Recorded):
                places.append(operand.place)
            else:
                self.constants.append(operand)
                places.append(-len(self.constants))
        kinds = tuple(type(o) for o in operands if not isinstance(o, Recorded))
        self.operations.append(Operation(name, like, kinds, tuple(places)))
        self.whole.append(whole)
        return Recorded(self, len(self.operations) - 1)

    @property
    def key(self) -> object:
        """Equal for recordings that differ in nothing but numbers."""
        return tuple(self.operations)


class Recorded:
    """The result of an operation that was not computed."""

    __array_ufunc__ = None

    def __init__(self, recording: Recording, place: int) -> None:
        self.recording, self.place = recording, place

    @property
    def whole(self) -> bool:
        """Whether it is made of integers."""
        return self.recording.whole[self.place]

    def _with(self, name: str, a: "Recorded | Number", b: "Recorded | Number") -> "Recorded":
        whole = all(x.whole if isinstance(x, Recorded) else isinstance(x, int) for x in (a, b))
        return self.recording.add(name, (a, b), whole and name not in ("truediv", "pow"))

    def __add__(self, other: "Recorded | float") -> "Recorded":
        return self._with("add", self, other)

    def __radd__(self, other: float) -> "Recorded":
        return self._with("add", other, self)

    def __sub__(self, other: "Recorded | float") -> "Recorded":
        return self._with("sub", self, other)

    def __rsub__(self, other: float) -> "Recorded":
        return self._with("sub", other, self)

    def __mul__(self, other: "Recorded | float") -> "Recorded":
        return self._with("mul", self, other)

    def __rmul__(self, other: float) -> "Recorded":
        return self._with("mul", other, self)

    def __truediv__(self, other: "Recorded | float") -> "Recorded":
        return self._with("truediv", self, other)

    def __rtruediv__(self, other: float) -> "Recorded":
        return self._with("truediv", other, self)

    def __floordiv__(self, other: int) -> "Recorded":
        return self._with("floordiv", self, other)

    def __mod__(self, other: int) -> "Recorded":
        return self._with("mod", self, other)

    def __pow__(self, other: float) -> "Recorded":
        return self._with("pow", self, other)

    def __lt__(self, other: "Recorded | float") -> "Recorded":
        return self._with("lt", self, other)

    def __le__(self, other: "Recorded | float") -> "Recorded":
        return self._with("le", self, other)

    def __gt__(self, other: "Recorded | float") -> "Recorded":
        return self._with("gt", self, other)

    def __ge__(self, other: "Recorded | float") -> "Recorded":
        return self._with("ge", self, other)

    def __and__(self, other: "Recorded") -> "Recorded":
        return self._with("and", self, other)

    def __bool__(self) -> bool:
        raise CannotRecordError


class RecordingNamespace(Namespace[Recorded]):
    """Operations that are recorded.

    Args:
        recording: Where.
        name: The name of what its step counts.
    """

    def __init__(self, recording: Recording, name: str) -> None:
        self.recording, self.largest = recording, recording.largest
        self.step = recording.add("step", (), whole=True, like=name)
        for function in ("sin", "sqrt", "expm1", "log1p", "exp"):
            setattr(self, function, self._function(function))

    def _function(self, name: str) -> Any:
        return lambda x: self.recording.add(name, (x,), whole=False)

    def at(self, step: Recorded) -> "RecordingNamespace":
        raise CannotRecordError

    def where(self, condition: Any, a: Recorded, b: Recorded) -> Recorded:
        return self.recording.add("where", (condition, a, b), a.whole and b.whole)

    def minimum(self, x: Recorded, bound: float) -> Recorded:
        return x._with("minimum", x, bound)

    def maximum(self, x: Recorded, bound: float) -> Recorded:
        return x._with("maximum", x, bound)

    def real(self, x: Recorded) -> Recorded:
        return self.recording.add("real", (x,), whole=False)

    def integer(self, x: Recorded) -> Recorded:
        return self.recording.add("integer", (x,), whole=True)

    def number(self, x: Recorded | float) -> Recorded:
        return self.recording.add("number", (x,), whole=False)

    def power(self, base: float, exponent: Recorded) -> Recorded:
        power: Recorded = self.exp(exponent * math.log(base))  # type: ignore[attr-defined]
        return power

    def count(self, boundaries: Sequence[int], x: Recorded) -> Recorded:
        own = tuple(boundaries)
        few = len(own) <= _FEW and all(each <= self.recording.largest for each in own)
        return self.recording.add("count", (own, x), whole=True, like=len(own) if few else own)

    def take(self, values: Sequence[float], index: Recorded) -> Recorded:
        return self.recording.add("take", (tuple(values), index), False, len(values))

    def take_integer(self, values: Sequence[int], index: Recorded) -> Recorded:
        own = tuple(values)
        fits = all(each <= self.recording.largest for each in own)
        return self.recording.add("take_integer", (own, index), True, len(own) if fits else own)

    def leave(self, value: Recorded) -> Recorded:
        return value


def computed(
    recordings: Sequence[Recording], spaces: Mapping[str, ArrayNamespace[Any]]
) -> Sequence[Any]:
    """The results of recordings with one key.

    Args:
        recordings: At least two.
        spaces: The operations for each step and count, by name.

    Returns:
        For each recording an array of the library, without axes.
    """
    xp, size = next(iter(spaces.values())), len(recordings)
    first, results = recordings[0], list[Any]()
    for (name, like, _, places), whole in zip(first.operations, first.whole, strict=True):
        if name == "step":
            results.append(spaces[str(like)].step)
        elif name in ("count", "take", "take_integer"):
            tables = [each.constants[-places[0] - 1] for each in recordings]
            results.append(_looked_up(xp, name, tables, results[places[1]]))
        else:
            integers = whole or all(first.whole[place] for place in places if place >= 0)
            operands = [
                results[place] if place >= 0 else _stacked(xp, recordings, place, integers)
                for place in places
            ]
            results.append((_INFIX.get(name) or getattr(xp, name))(*operands))
    return xp.unstacked(results[-1], size)


def _stacked(
    xp: ArrayNamespace[Any], recordings: Sequence[Recording], place: int, integers: bool
) -> Any:
    """The number at a place: itself where it is the same in all, or else an array of them."""
    values = [each.constants[-place - 1] for each in recordings]
    if len(set(values)) == 1:
        return values[0]
    integers = integers and isinstance(values[0], int)
    return xp.table(values, xp.integers if integers else xp.working)  # type: ignore[arg-type]


def _looked_up(xp: ArrayNamespace[Any], name: str, tables: Sequence[Any], x: Any) -> Any:
    """What the tables of all recordings have at their indices, or count below ``x``."""
    if len(set(tables)) == 1:
        return getattr(xp, name)(tables[0], x)
    size, length = len(tables), len(tables[0])
    if name == "count":
        one, none = (xp.table([n] * size, xp.integers) for n in (1, 0))
        columns = [xp.table(column, xp.integers) for column in zip(*tables, strict=True)]
        return sum(
            (xp.where(x >= column, one, none) for column in columns[1:]),
            xp.where(x >= columns[0], one, none),
        )
    offsets = xp.table([row * length for row in range(size)], xp.integers)
    flat = [value for table in tables for value in table]
    return xp.pick(xp.table(flat, xp.working if name == "take" else xp.integers), x + offsets)
