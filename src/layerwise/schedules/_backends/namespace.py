"""The operations that a schedule's formula is written in, whatever the array library.

Each formula in this package is written once, in terms of these operations. A framework is looked
up among the modules that are already imported: a value of its type can't exist before that.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, Self, TypeVar

INT64_MAX = 2**63 - 1
LARGEST_FLOAT = 1e30
"""Of a step that is a float, infinity included: products of it still fit into 32 bits."""


class Mask(Protocol):
    """What a comparison gives: a boolean, or an array of booleans."""

    def __and__(self, other: Self, /) -> Self: ...
    def __bool__(self) -> bool: ...


class Array(Protocol):
    """What a formula computes with: a Python number, or an array of any library, traced or not."""

    def __add__(self, other: Self | float, /) -> Self: ...
    def __radd__(self, other: float, /) -> Self: ...
    def __sub__(self, other: Self | float, /) -> Self: ...
    def __rsub__(self, other: float, /) -> Self: ...
    def __mul__(self, other: Self | float, /) -> Self: ...
    def __rmul__(self, other: float, /) -> Self: ...
    def __truediv__(self, other: Self | float, /) -> Self: ...
    def __rtruediv__(self, other: float, /) -> Self: ...
    def __floordiv__(self, other: int, /) -> Self: ...
    def __mod__(self, other: int, /) -> Self: ...
    def __pow__(self, other: float, /) -> Self: ...
    def __lt__(self, other: Self | float, /) -> Mask: ...
    def __le__(self, other: Self | float, /) -> Mask: ...
    def __gt__(self, other: Self | float, /) -> Mask: ...
    def __ge__(self, other: Self | float, /) -> Mask: ...


A = TypeVar("A", bound=Array)


class Namespace(ABC, Generic[A]):
    """The operations of one array library, for one step, whose shape, type and device it keeps."""

    step: A
    """The step to start from: integers as wide as the library has them, or floats."""
    warns: bool = False
    """Whether the library warns where a value outgrows its floats."""
    largest: int | None
    """The largest constant that fits the step's integers; None if there is no bound."""

    where: Callable[[Mask, A, A], A]
    """Chooses between two arrays of one type."""
    minimum: Callable[[A, float], A]
    """The smaller of an array and a number."""
    maximum: Callable[[A, float], A]
    """The larger of an array and a number."""
    sin: Callable[[A], A]
    """The sine of floats."""
    sqrt: Callable[[A], A]
    """The square root of floats."""
    expm1: Callable[[A], A]
    """``exp(x) - 1`` of floats, with all digits near 0."""
    log1p: Callable[[A], A]
    """``log(1 + x)`` of floats, with all digits near 0."""

    @abstractmethod
    def __init__(self, step: A) -> None:
        """Make the operations for a step."""

    def at(self, step: A) -> Self:
        """Return the operations for another step of the same library."""
        return type(self)(step)

    def for_user(self, step: A) -> A:
        """Return the step as a user's function can compute with it."""
        return step

    @abstractmethod
    def real(self, x: A) -> A:
        """Return integers, or floats, as floats of the working precision."""

    @abstractmethod
    def integer(self, x: A) -> A:
        """Round floats down to the step's integers."""

    @abstractmethod
    def number(self, x: A | float) -> A:
        """Return a plain number, or another array, as floats of this library."""

    @abstractmethod
    def power(self, base: float, exponent: A) -> A:
        """Raise a plain number above 0 to an array of exponents."""

    @abstractmethod
    def count(self, boundaries: Sequence[int], x: A) -> A:
        """Count the ascending ``boundaries`` that are at most ``x``."""

    @abstractmethod
    def take(self, values: Sequence[float], index: A) -> A:
        """Look up floats by index."""

    @abstractmethod
    def take_integer(self, values: Sequence[int], index: A) -> A:
        """Look up integers by index."""

    @abstractmethod
    def leave(self, value: A) -> A:
        """Bring a result to the shape and the type that the caller expects."""


class ArrayNamespace(Namespace[A]):
    """What the libraries with arrays share: tables, and powers by ``exp``."""

    integers: object
    """The type of the step: integers, or floats if the caller's steps are floats."""
    working: object
    """The float type to compute in."""
    result: object
    """The float type to return."""

    exp: Callable[[A], A]
    floor: Callable[[A], A]

    @property
    def takes_many(self) -> bool:
        """Whether several schedules may be computed at once: at one step, and that an integer.

        A step that is a float keeps its own type, which an array of constants would widen.
        """
        return False

    @abstractmethod
    def table(self, values: Sequence[float], dtype: object) -> A:
        """Make an array of one dimension."""

    @abstractmethod
    def pick(self, table: A, index: A) -> A:
        """Look up the items of a table."""

    @abstractmethod
    def unstacked(self, value: A, size: int) -> Sequence[A]:
        """Take ``size`` results of an array of one dimension, or of as many that are all equal."""

    def power(self, base: float, exponent: A) -> A:
        """See ``Namespace.power``."""
        return self.exp(exponent * math.log(base))

    def take(self, values: Sequence[float], index: A) -> A:
        """See ``Namespace.take``."""
        return self.pick(self.table(values, self.working), index)

    def take_integer(self, values: Sequence[int], index: A) -> A:
        """See ``Namespace.take_integer``."""
        return self.pick(self.steps_table(values), index)

    def steps_table(self, steps: Sequence[int]) -> A:
        """Make a table of ascending steps, without those that are too large ever to be reached."""
        fitting = [step for step in steps if self.largest is None or step <= self.largest]
        return self.table(fitting, self.integers)
