"""The options of a search: documented and checked here, once, for ``search`` and every ``find_lr``.

A ``find_lr`` takes them as keywords, ``**options: Unpack[SearchKeywords]``, and begins with
``SearchOptions(**options)``: a value that can't be honoured raises ``FinderError`` before anything
is touched, an unknown keyword Python's own ``TypeError``. It hands the object on,
``search(trainer, batches, options, ...)``. Whoever calls ``search`` with a trainer of their own
writes keywords there too; they take the place of the object's values.
"""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt

from layerwise.errors import FinderError
from layerwise.finder._sweep.smoothing import smooth
from layerwise.finder._sweep.stop import StopName, StopRule, stop_rule

Spacing = Literal["geometric", "linear"]
Method = Literal["probe", "sweep"]
Memory = Literal["device", "host"]

FEWEST = 10


class SearchKeywords(TypedDict, total=False):
    """The options as keyword arguments; ``SearchOptions`` says what each of them means.

    Examples:
        >>> from typing import Unpack
        >>> def find_lr(model: object, **options: Unpack[SearchKeywords]) -> SearchOptions:
        ...     return SearchOptions(**options)
        >>> find_lr("a model", steps=50).rates.shape
        (50,)
    """

    low: float
    high: float
    steps: int
    spacing: Spacing
    method: Method
    horizon: int | None
    stop: StopName | StopRule
    smoothing: float
    memory: Memory
    accumulate: int | None
    progress: bool


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    r"""How to search for a learning rate. The values are checked when it is made.

    The sweep trains one update at each of these rates, for i from 0 to steps - 1:

    $$\text{geometric: } low \cdot (high / low)^{i / (steps - 1)}$$

    $$\text{linear: } low + (high - low) \cdot i / (steps - 1)$$

    Attributes:
        low: The sweep's first rate, above 0.
        high: The sweep's last rate, above ``low``.
        steps: The number of updates of the sweep, at least 10. Probes take at most twice as many.
        spacing: ``"geometric"`` or ``"linear"``.
        method: ``"probe"`` to try a few rates in short trainings after the sweep, or ``"sweep"``
            to read the rate off the sweep's curve alone.
        horizon: The number of updates of the training to come, at least 1, if it is known. Probes
            are never longer than that.
        stop: When the sweep ends early: ``"diverged"``, ``"doubled"`` (above twice the first
            loss), ``"never"``, or a function that gets the smoothed losses so far.
        smoothing: The width of the curve's smoothing in points, at least 0.
        memory: Where ``find_lr`` keeps the copy of model and optimizer: ``"device"``, beside the
            original, or ``"host"``.
        accumulate: How many batches ``find_lr`` puts into one update, and so into one point of
            the curve, at least 1; by default as many as the optimizer is known to take, else 1.
        progress: Whether to draw a progress bar on standard error.

    Raises:
        FinderError: A value is out of its range.

    Examples:
        >>> SearchOptions(low=1e-4, high=1.0, steps=13).rates[::3].round(4)
        array([1.e-04, 1.e-03, 1.e-02, 1.e-01, 1.e+00])
    """

    low: float = 1e-7
    high: float = 10.0
    steps: int = 100
    spacing: Spacing = "geometric"
    method: Method = "probe"
    horizon: int | None = None
    stop: StopName | StopRule = "diverged"
    smoothing: float = 2.0
    memory: Memory = "device"
    accumulate: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name, value in (("low", self.low), ("high", self.high)):
            if not _is_number(value) or not 0 < value < math.inf:
                raise FinderError(f"{name}={value!r}: a rate must be a finite number above 0.")
        if not self.low < self.high:
            raise FinderError(
                f"low={self.low!r} is not below high={self.high!r}: a sweep goes from a rate "
                "that is too low to one that is too high."
            )
        if not _is_whole(self.steps) or self.steps < FEWEST:
            raise FinderError(
                f"steps={self.steps!r}: a sweep takes a whole number of at least {FEWEST} "
                "updates; 100 are usual."
            )
        _check_choice("spacing", self.spacing, ("geometric", "linear"))
        _check_choice("method", self.method, ("probe", "sweep"))
        _check_choice("memory", self.memory, ("device", "host"))
        for name, number in (("horizon", self.horizon), ("accumulate", self.accumulate)):
            if number is not None and (not _is_whole(number) or number < 1):
                raise FinderError(
                    f"{name}={number!r} must be a whole number of at least 1, or None."
                )
        stop_rule(self.stop)
        smooth([], self.smoothing)

    @property
    def rates(self) -> npt.NDArray[np.float64]:
        """The rates of the sweep, rising, shape ``(steps,)``."""
        make = np.geomspace if self.spacing == "geometric" else np.linspace
        return np.asarray(make(self.low, self.high, self.steps), np.float64)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise FinderError(f"{name}={value!r}: choose {' or '.join(map(repr, allowed))}.")
