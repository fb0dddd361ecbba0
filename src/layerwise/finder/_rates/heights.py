"""The heights of probes on the surface: how a score becomes a height, and where it stands."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from layerwise.finder._curve import Floats
from layerwise.finder._rates import tilts
from layerwise.finder._rates.finding import RatesProbe
from layerwise.finder._rates.surface import Surface, surface

FLOOR = 0.005  # of the score without training
HIGHEST = 1.0  # how far above the lowest score, as a logarithm, a failed probe is put at least
MEMORIZES = 0.4  # a probe memorizes if its training loss is at most this share of its score
BEYOND = 0.3  # decades from the rate at which probes begin to memorize to the usual best


class Place(NamedTuple):
    """Where a probe is: its base rate and its tilt."""

    rate: float
    tilt: float


def grid(rate: float, bands: int, decades: float, step: float) -> list[Place]:
    """The places around a rate for all bands: equal reaches for each tilt.

    Args:
        rate: The rate in the middle.
        bands: How many bands there are.
        decades: How far to go to each side.
        step: The decades from one reach to the next.
    """
    count = round(decades / step)
    compared = tilts.TILTS if bands > 1 else (1.0,)
    reaches = [rate * bands * 10 ** (step * n) for n in range(-count, count + 1)]
    return [
        Place(rounded(reach / tilts.spread(tilt, bands)), tilt)
        for tilt in compared
        for reach in reaches
    ]


def rounded(rate: float) -> float:
    """A rate to six digits, so that two ways to one place give one number."""
    return float(f"{rate:.6g}")


def fit(
    probes: Sequence[RatesProbe],
    untrained: Sequence[float],
    asked: Sequence[Place],
    middle: float,
) -> Surface:
    """The surface through probes, at some places around the rate that is usually best.

    Its height is the logarithm of the score, where all scores are above 0; else the score as a
    share of the largest gain. ``FLOOR`` is added to scores before the logarithm, so that near 0 a
    few held-out examples don't decide. A probe that ends no better than without training counts as
    one that broke, since how bad it is says nothing more. The height of both is that without
    training, or ``HIGHEST`` above the lowest if that is more, and nothing is higher.

    Args:
        probes: At least one.
        untrained: The score of each division without training; see ``Probes.settle``.
        asked: The places to give the height at.
        middle: The rate that is usually best, if training losses don't show it.
    """
    bands = len(probes[0].multipliers)
    scores = np.array([probe.score for probe in probes])
    start = float(np.mean(untrained))
    lowest = _lowest(probes, start)
    failed = scores >= np.array([untrained[probe.division] for probe in probes])
    if in_logarithms(probes, untrained):
        middle = usual_rate(probes) or middle
        floor = FLOOR * start
        heights, lowest = np.log(scores + floor), math.log(lowest + floor)
        start = math.log(start + floor)
    else:
        scale = _scale(probes, untrained)
        heights, start, lowest = scores / scale, start / scale, lowest / scale
    highest = max(start, lowest + HIGHEST)
    heights = np.where(failed, highest, np.minimum(heights, highest))
    at = _places([Place(probe.rate, probe.tilt) for probe in probes], bands, middle)
    divisions = [probe.division for probe in probes]
    return surface(at, heights.tolist(), divisions, _places(asked, bands, middle))


def usual_rate(probes: Sequence[RatesProbe]) -> float | None:
    """The rate for all bands that is usually best, as training losses show it.

    It is a little above the one at which probes begin to memorize their data: beyond that, a higher
    rate only makes wrong answers more confident. Scores alone depend more on a few held-out
    examples. None if no probe memorizes, as with much data, or each one does.

    Args:
        probes: Their scores are above 0.
    """
    losses = []
    for probe in probes:
        if math.isfinite(probe.score):
            share = max(probe.train_loss / probe.score, 0.1 * MEMORIZES)  # 0 has no logarithm
            above = math.log(share / MEMORIZES)
            rate = _even(probe.rate, probe.tilt, len(probe.multipliers))
            losses.append((math.log10(rate), above))
    for (low, above), (high, below) in pairwise(sorted(losses)):
        if below <= 0 < above:
            return float(10 ** (low + (high - low) * above / (above - below) + BEYOND))
    return None


def in_logarithms(probes: Sequence[RatesProbe], untrained: Sequence[float]) -> bool:
    """Whether the surface is that of logarithms, so that a difference is a share of the score."""
    return min(_lowest(probes, untrained[0]), *untrained) > 0


def _scale(probes: Sequence[RatesProbe], untrained: Sequence[float]) -> float:
    """The largest gain, of which scores are shares."""
    start = float(np.mean(untrained))
    return abs(start - _lowest(probes, start)) or 1.0


def _lowest(probes: Sequence[RatesProbe], otherwise: float) -> float:
    """The lowest score, or another number if every training broke."""
    scores = (probe.score for probe in probes if math.isfinite(probe.score))
    return min(scores, default=otherwise)


def _places(asked: Sequence[Place], bands: int, middle: float) -> Floats:
    """Where places are on the surface, shape ``(n, 2)``; see ``surface``."""
    return np.array(
        [(math.log10(_even(rate, tilt, bands) / middle), tilts.place(tilt)) for rate, tilt in asked]
    )


def _even(rate: float, tilt: float, bands: int) -> float:
    """The rate for all bands whose reach is the same."""
    return rate * tilts.spread(tilt, bands) / bands
