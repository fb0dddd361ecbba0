"""The sweep: one update at each of many rising rates, until training breaks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from layerwise.finder._batches import Batches, DataEnded
from layerwise.finder._sweep.stop import RunningAverage, StopRule, broken

Stopped = Literal["diverged", "reached the upper rate", "data ended", "stopped by the user"]


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
