"""A short training at a rate that follows a course, given up as soon as it breaks."""

import math
from collections.abc import Callable, Sequence

from layerwise.finder._curve import Floats, RunningAverage
from layerwise.finder._sweep import diverged


def short_training(
    factors: Floats,
    train: Callable[[int, float], float],
    gives_up: Callable[[Sequence[float], Floats], bool] = lambda losses, smoothed: False,
) -> list[float] | None:
    """The losses of a training that is as long as ``factors``; None if it broke or was given up.

    Args:
        factors: The factor on the rate at each update.
        train: Applies the update of a number at a factor, and returns its loss.
        gives_up: Whether to end early, given the losses so far and their running average.
    """
    average, losses = RunningAverage(), list[float]()
    for number, factor in enumerate(factors.tolist()):
        losses.append(train(number, factor))
        smoothed = average.add(losses[-1])
        if not math.isfinite(losses[-1]) or diverged(smoothed) or gives_up(losses, smoothed):
            return None
    return losses
