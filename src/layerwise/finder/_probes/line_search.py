"""Where to probe next, and where the best rate lies, given the scores so far.

An *offset* is the distance of a rate from the first probe's rate in decades, so that equal
distances are equal factors of the rate. A lower score is better; an infinite one means that
training broke. If training broke at a rate but not at a higher one, the higher one was luck, and
counts as broken too.
"""

import math
from collections.abc import Mapping

STEP = 0.5


def next_offset(scores: Mapping[float, float], worst: float, ceiling: float) -> float:
    """The offset to try next, to close in on the lowest score.

    The search begins upwards, and goes on in the direction in which the score falls. If nothing is
    learned at any offset, it goes down by twice the step. Once the best offset has a worse one on
    both sides, it halves the wider of the two gaps. If they are equal, it halves the upper one:
    towards high rates the score rises late and steeply, so the scores there say less about what
    lies between them, and a probe that breaks ends early and costs little.

    Args:
        scores: The score at each offset that was tried, at least one.
        worst: The score where nothing is learned.
        ceiling: The highest offset allowed.

    Returns:
        An offset that was not tried yet.

    Examples:
        >>> next_offset({0.0: 1.0}, worst=9, ceiling=9)
        0.5
        >>> next_offset({0.0: 1.0, 0.5: 2.0}, worst=9, ceiling=9)
        -0.5
        >>> next_offset({-0.5: 1.5, 0.0: 1.0, 0.5: 2.0}, worst=9, ceiling=9)
        0.25
    """
    scores = censored(scores)
    offsets = sorted(scores)
    best = min(offsets, key=scores.__getitem__)
    number = offsets.index(best)
    if scores[best] >= worst:
        return offsets[0] - 2 * STEP
    if number == len(offsets) - 1:
        above = min(best + STEP, ceiling)
        if above - best >= STEP / 2:
            return above
    if number == 0:
        return best - STEP
    if number == len(offsets) - 1:
        return best - (best - offsets[number - 1]) / 2
    below, above = offsets[number - 1], offsets[number + 1]
    if best - below > above - best + STEP / 4:
        return (best + below) / 2
    return (best + above) / 2


def lowest_offset(scores: Mapping[float, float], worst: float) -> float:
    """The lowest point of the parabola through the best offset and its neighbours.

    Args:
        scores: The score at each offset that was tried, at least one.
        worst: The score that higher ones are cut to. How badly training breaks at an offset then
            does not matter, only how near that offset is.

    Returns:
        An offset between the neighbours of the best; the best itself if it has only one.

    Examples:
        >>> lowest_offset({-1.0: 3.0, 0.0: 1.0, 1.0: 3.0}, worst=9)
        0.0
        >>> lowest_offset({-1.0: 2.0, 0.0: 1.0, 1.0: float("inf")}, worst=4)
        -0.25
    """
    scores = censored(scores)
    offsets = sorted(scores)
    best = min(offsets, key=scores.__getitem__)
    number = offsets.index(best)
    if number in (0, len(offsets) - 1):
        return best
    near = offsets[number - 1 : number + 2]
    before, here, after = (min(scores[offset], worst) for offset in near)
    left, right = near[0] - best, near[2] - best
    bend = left * (after - here) - right * (before - here)
    if bend == 0:
        return best
    return best + (left**2 * (after - here) - right**2 * (before - here)) / (2 * bend)


def censored(scores: Mapping[float, float]) -> dict[float, float]:
    """The scores, made infinite above the lowest offset that broke.

    Examples:
        >>> censored({0.0: 1.0, 0.5: math.inf, 1.0: 0.9})
        {0.0: 1.0, 0.5: inf, 1.0: inf}
    """
    broken = (offset for offset, score in scores.items() if not math.isfinite(score))
    first = min(broken, default=math.inf)
    return {offset: score if offset < first else math.inf for offset, score in scores.items()}
