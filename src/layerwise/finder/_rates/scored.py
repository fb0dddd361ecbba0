"""Probes on the surface: where each of them is, and what its score says."""

import math
from collections.abc import Sequence

import numpy as np

from layerwise.finder._curve import Floats
from layerwise.finder._rates import tilts
from layerwise.finder._rates.finding import RatesProbe
from layerwise.finder._rates.surface import Surface, surface

Place = tuple[float, float]
"""A base rate and a tilt."""


def grid(rate: float, bands: int, decades: float, step: float) -> list[Place]:
    """The places around a rate for all bands: equal reaches for each tilt.

    Args:
        rate: The rate in the middle.
        bands: How many bands there are.
        decades: How far to go to each side.
        step: The decades from one reach to the next.
    """
    count = round(decades / step)
    known = tilts.TILTS if bands > 1 else (1.0,)
    reaches = [rate * bands * 10 ** (step * n) for n in range(-count, count + 1)]
    return [(reach / tilts.spread(tilt, bands), tilt) for tilt in known for reach in reaches]


def fit(
    probes: Sequence[RatesProbe], untrained: Sequence[float], asked: Sequence[Place]
) -> Surface:
    """The surface through probes that have a tilt, at some places.

    Its height is the logarithm of the score, where all scores are above 0; else the score as a
    share of the most that was gained. A training that broke is as good as none.
    """
    used = [probe for probe in probes if probe.tilt is not None]
    bands = len(used[0].multipliers)
    starts = [untrained[probe.division] for probe in used]
    scores = [min(p.score, start) for p, start in zip(used, starts, strict=True)]
    if min(scores) > 0:
        heights = [math.log(score) for score in scores]
    else:
        most = max(start - score for start, score in zip(starts, scores, strict=True)) or 1.0
        heights = [(s - start) / most for s, start in zip(scores, starts, strict=True)]
    places = _places([(p.rate, p.tilt) for p in used if p.tilt is not None], bands)
    return surface(places, heights, [p.division for p in used], _places(asked, bands))


def _places(asked: Sequence[Place], bands: int) -> Floats:
    return np.array(
        [(math.log10(r * tilts.spread(tilt, bands)), tilts.place(tilt)) for r, tilt in asked]
    )
