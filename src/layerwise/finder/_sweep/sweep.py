"""The sweep: one update at each of many rising rates, until training breaks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from layerwise.errors import FinderError
from layerwise.finder._batches import Batches, DataEnded
from layerwise.finder._sweep.stop import RunningAverage, StopRule, broken

Spacing = Literal["geometric", "linear"]
Stopped = Literal["diverged", "reached the upper rate", "data ended", "stopped by the user"]

FEWEST = 10


@dataclass(frozen=True)
class SweepRange:
    """The rates of a sweep.

        geometric: rate(i) = low * (high / low) ** (i / (steps - 1))
        linear:    rate(i) = low + (high - low) * i / (steps - 1)

    Attributes:
        low: The first rate, above 0.
        high: The last rate, above ``low``.
        steps: How many rates, at least 10.
        spacing: ``"geometric"`` or ``"linear"``.

    Raises:
        FinderError: An argument that is not so.

    Examples:
        >>> SweepRange(1e-4, 1.0, steps=13).rates[::3].round(4)
        array([1.e-04, 1.e-03, 1.e-02, 1.e-01, 1.e+00])
    """

    low: float = 1e-7
    high: float = 10.0
    steps: int = 100
    spacing: Spacing = "geometric"

    def __post_init__(self) -> None:
        for name, value in (("low", self.low), ("high", self.high)):
            if not _is_number(value) or not 0 < value < math.inf:
                raise FinderError(f"{name}={value!r}: a rate has to be a finite number above 0.")
        if not self.low < self.high:
            raise FinderError(
                f"low={self.low!r} is not below high={self.high!r}: a sweep goes from a rate "
                "that is too low to one that is too high."
            )
        if not is_whole(self.steps) or self.steps < FEWEST:
            raise FinderError(
                f"steps={self.steps!r}: a sweep takes a whole number of at least {FEWEST} "
                "updates; 100 are usual."
            )
        if self.spacing not in ("geometric", "linear"):
            raise FinderError(f"spacing={self.spacing!r}: choose 'geometric' or 'linear'.")

    @property
    def rates(self) -> npt.NDArray[np.float64]:
        """The rates, rising, shape ``(steps,)``."""
        make = np.geomspace if self.spacing == "geometric" else np.linspace
        return np.asarray(make(self.low, self.high, self.steps), np.float64)


def is_whole(value: object) -> bool:
    """Whether it is a whole number, and not a truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Sweep:
    """What a sweep saw.

    Attributes:
        rates: The rates that were trained at, rising.
        losses: The loss of each batch, from before the update at its rate.
        stopped: Why it ended.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    stopped: Stopped


class Points:
    """The points of a sweep while it goes on.

    Args:
        stop: Whether to stop after these losses.
    """

    def __init__(self, stop: StopRule) -> None:
        self._stop = stop
        self._average = RunningAverage()
        self._rates: list[float] = []
        self._losses: list[float] = []

    def add(self, rate: float, loss: float) -> bool:
        """Take one more point; whether training diverged."""
        self._rates.append(rate)
        self._losses.append(loss)
        smoothed = self._average.add(loss)
        return broken(self._losses) or (math.isfinite(loss) and self._stop(smoothed))

    def sweep(self, stopped: Stopped) -> Sweep:
        """What was seen, and why it ended."""
        return Sweep(tuple(self._rates), tuple(self._losses), stopped)


def run_sweep(
    train: Callable[[Any, float], float],
    batches: Batches,
    rates: npt.NDArray[np.float64],
    stop: StopRule,
    seen: Callable[[], None] = lambda: None,
) -> Sweep:
    """Train one update at each rate until the rule says that training diverged.

    Args:
        train: Trains one batch at a rate and gives its loss.
        batches: What to train on.
        rates: The rates, rising.
        stop: Whether to stop after these losses.
        seen: Called after each update.

    Returns:
        The points up to the one that stopped it, this included.
    """
    points = Points(stop)
    for number, rate in enumerate(rates.tolist()):
        try:
            batch = batches[number]
        except DataEnded:
            return points.sweep("data ended")
        diverged = points.add(rate, float(train(batch, rate)))
        seen()
        if diverged:
            return points.sweep("diverged")
    return points.sweep("reached the upper rate")
