"""The rate of the lowest loss, between the rates that were tried."""

import math
from collections.abc import Mapping


def best_power(losses: Mapping[str, float]) -> float:
    """Where a parabola through the lowest loss and its neighbours is lowest.

    Args:
        losses: Losses by powers of two, with both neighbours of the lowest.
    """
    best = min(map(int, losses), key=lambda power: losses[str(power)])
    left, middle, right = (losses[str(best + d)] for d in (-1, 0, 1))
    if not math.isfinite(right) or left + right <= 2 * middle:
        return float(best)
    return best + (left - right) / (2 * (left - 2 * middle + right))
