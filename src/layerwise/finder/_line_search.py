"""Where to try next, and where the answer lies, given what the tried places scored.

Places are decades, so that equal distances are equal factors of the rate; a lower score is better,
and an infinite one says that training broke. What holds above a place that broke is luck: such
places count as broken too.
"""

import math
from collections.abc import Mapping

STEP = 0.5


def next_place(scores: Mapping[float, float], worst: float, ceiling: float) -> float:
    """The place that says most about where the lowest score is.

    First up, then on in the direction that falls, and by twice as much down from where nothing is
    learnt; once the best has worse places on both sides, into the wider gap beside it. Of two equal
    ones into the upper: towards high rates the score rises late and all at once, so that there the
    places known so far say less; and what breaks there breaks early, and costs little.

    Args:
        scores: The score of each place that was tried, at least one.
        worst: The score of a place where nothing is learnt.
        ceiling: The highest place allowed.

    Returns:
        A place that was not tried yet.

    Examples:
        >>> next_place({0.0: 1.0}, worst=9, ceiling=9)
        0.5
        >>> next_place({0.0: 1.0, 0.5: 2.0}, worst=9, ceiling=9)
        -0.5
        >>> next_place({-0.5: 1.5, 0.0: 1.0, 0.5: 2.0}, worst=9, ceiling=9)
        0.25
    """
    scores = censored(scores)
    places = sorted(scores)
    best = min(places, key=scores.__getitem__)
    number = places.index(best)
    if scores[best] >= worst:
        return places[0] - 2 * STEP
    if number == len(places) - 1:
        above = min(best + STEP, ceiling)
        if above - best >= STEP / 2:
            return above
    if number == 0:
        return best - STEP
    if number == len(places) - 1:
        return best - (best - places[number - 1]) / 2
    below, above = places[number - 1], places[number + 1]
    if best - below > above - best + STEP / 4:
        return (best + below) / 2
    return (best + above) / 2


def lowest(scores: Mapping[float, float], worst: float) -> float:
    """Where the parabola through the best place and its neighbours is lowest.

    Args:
        scores: The score of each place that was tried, at least one.
        worst: What counts as the score of a place that scored still higher: so the distance to a
            place where training breaks matters, and not how badly it breaks.

    Returns:
        A place between the best's neighbours; the best itself where it has only one.

    Examples:
        >>> lowest({-1.0: 3.0, 0.0: 1.0, 1.0: 3.0}, worst=9)
        0.0
        >>> lowest({-1.0: 2.0, 0.0: 1.0, 1.0: float("inf")}, worst=3)
        -0.16666666666666666
    """
    scores = censored(scores)
    places = sorted(scores)
    best = min(places, key=scores.__getitem__)
    number = places.index(best)
    if number in (0, len(places) - 1):
        return best
    near = places[number - 1 : number + 2]
    before, here, after = (min(scores[place], worst) for place in near)
    left, right = near[0] - best, near[2] - best
    bend = left * (after - here) - right * (before - here)
    if bend == 0:
        return best
    return best + (left**2 * (after - here) - right**2 * (before - here)) / (2 * bend)


def censored(scores: Mapping[float, float]) -> dict[float, float]:
    """The scores, infinite above the lowest place that broke.

    Examples:
        >>> censored({0.0: 1.0, 0.5: math.inf, 1.0: 0.9})
        {0.0: 1.0, 0.5: inf, 1.0: inf}
    """
    first = min((place for place in scores if not math.isfinite(scores[place])), default=math.inf)
    return {place: score if place < first else math.inf for place, score in scores.items()}
