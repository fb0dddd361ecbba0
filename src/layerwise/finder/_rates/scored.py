"""Probes on the surface: where each of them is, and what its score says."""

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
OVERFITS = 0.4  # a probe overfits if its training loss is at most this share of its score
BEYOND = 0.3  # decades, from the rate at which probes begin to overfit to the usual best


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
    known = tilts.TILTS if bands > 1 else (1.0,)
    reaches = [rate * bands * 10 ** (step * n) for n in range(-count, count + 1)]
    return [
        Place(rounded(reach / tilts.spread(tilt, bands)), tilt)
        for tilt in known
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
    share of the most that was gained. ``FLOOR`` is added to scores before the logarithm, so that
    near 0 it is not a few held-out examples that decide. A training that ends no better than none
    counts as one that broke, since how badly it fails says no more: both are as high as no
    training, or ``HIGHEST`` above the lowest, and nothing is higher.

    Args:
        probes: At least one.
        untrained: The score of each division without training; see ``Probes.settle``.
        asked: Where to tell the height.
        middle: The rate that is usually best, if training losses don't tell it.
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
    """The rate for all bands that is usually best, as training losses tell it.

    It is a little above the one at which probes begin to overfit: higher ones only make mistakes
    surer. Scores alone hang more on a few held-out examples. None where no probe overfits, as with
    much data, or each one does.

    Args:
        probes: Their scores are above 0.
    """
    losses = []
    for probe in probes:
        if math.isfinite(probe.score):
            share = max(probe.train_loss / probe.score, 0.1 * OVERFITS)  # 0 has no logarithm
            above = math.log(share / OVERFITS)
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
    """The most that was gained, where scores are shares of it."""
    start = float(np.mean(untrained))
    return abs(start - _lowest(probes, start)) or 1.0


def _lowest(probes: Sequence[RatesProbe], otherwise: float) -> float:
    scores = (probe.score for probe in probes if math.isfinite(probe.score))
    return min(scores, default=otherwise)


def _places(asked: Sequence[Place], bands: int, middle: float) -> Floats:
    return np.array(
        [(math.log10(_even(rate, tilt, bands) / middle), tilts.place(tilt)) for rate, tilt in asked]
    )


def _even(rate: float, tilt: float, bands: int) -> float:
    """The rate for all bands whose reach is the same."""
    return rate * tilts.spread(tilt, bands) / bands
