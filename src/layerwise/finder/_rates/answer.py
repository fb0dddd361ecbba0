"""The answer: the simplest rates that are as good as the best, and why, in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerwise._numbers import counted
from layerwise.finder._curve import Floats
from layerwise.finder._rates import tilts
from layerwise.finder._rates.bands import Bands
from layerwise.finder._rates.finding import Band, Ended, RatesFinding, RatesProbe
from layerwise.finder._rates.heights import Place, fit, grid, in_logarithms

SURE = 1.0  # by how many standard errors a tilt must be better than one rate
SURE_MUCH_DATA = 2.0  # the same with much data, where one rate is rarely far from the best
MUCH_DATA = 2.0  # there is much data if a probe goes through it less often than this
WORTH = 0.06  # by which share of the score, or of the largest gain, a tilt must be better
TRACE = 1e-3  # by which share of the loss without training a probe must be below that loss
_SEEN = 1e-6  # the smallest share of that loss that float32 shows
_FINE = 0.05  # decades from one base rate that may be the answer to the next


@dataclass(frozen=True)
class Searched:
    """What a search has done.

    Attributes:
        bands: The bands of the model.
        probes: The probes, at least one.
        untrained: The score of each division without training; see ``Probes.settle``.
        middle: The rate for all bands that the places of the probes lie around.
        decades: How far they reach to each side of it.
        length: The updates of a probe.
        training: Which training the rates are for.
        note: A sentence about a schedule of the optimizer that was left out; else empty.
        longer: The factor from the best rate of a probe to that of the training, at most 1.
        repeats: How often a probe goes through its data.
        updates: How many updates it all took.
        ended: Why it ended.
    """

    bands: Bands
    probes: Sequence[RatesProbe]
    untrained: Sequence[float]
    middle: float
    decades: float
    length: int
    training: str
    note: str
    longer: float
    repeats: float
    updates: int
    ended: Ended


@dataclass(frozen=True)
class _Decision:
    """What was decided.

    Attributes:
        rate: The base rate of the probes to take, or None if there is no answer.
        tilt: The tilt to train with.
        as_good: The tilts that are as good within their error.
        single: The best rate for all bands, or None.
        gain: The share by which the best tilt is better than one rate.
        gain_error: Its standard error.
    """

    rate: float | None
    tilt: float
    as_good: Sequence[float]
    single: float | None = None
    gain: float = 0.0
    gain_error: float = 0.0


def answer(searched: Searched) -> RatesFinding:
    """Decide what the probes of a search say."""
    why_not = _why_no_answer(searched)
    if why_not is not None:
        return _finding(searched, _Decision(None, 1.0, (1.0,)), why_not)
    count = len(searched.bands.parameters)
    tilts_tried = {probe.tilt for probe in searched.probes} | {1.0}
    fine = grid(searched.middle, count, searched.decades, _FINE)
    places = [place for place in fine if place.tilt in tilts_tried]
    surface = fit(searched.probes, searched.untrained, places, searched.middle)
    lowest = {tilt: _lowest(places, surface.mean, tilt) for tilt in tilts_tried}
    single, best = lowest[1.0], int(surface.mean.argmin())
    gain, error = surface.difference(single, best)
    errors = SURE_MUCH_DATA if searched.repeats < MUCH_DATA else SURE
    chosen = best if gain > max(errors * error, WORTH) else single
    rate, tilt = places[chosen]
    as_good = []
    for other, place in lowest.items():
        difference, uncertainty = surface.difference(place, chosen)
        if difference <= uncertainty:
            as_good.append(other)
    of_what = " of the largest gain"
    if in_logarithms(searched.probes, searched.untrained):  # whose difference is a share
        gain, error, of_what = -math.expm1(-gain), math.exp(-gain) * error, ""
    reason = _reason(searched, places[best].tilt, tilt, f"{gain:.1%}{of_what}", f"{error:.1%}")
    decision = _Decision(rate, tilt, [tilt, *as_good], places[single].rate, gain, error)
    return _finding(searched, decision, reason)


def _lowest(places: Sequence[Place], mean: Floats, tilt: float) -> int:
    """The number of the place at a tilt where the surface is lowest."""
    return min((n for n, (_, t) in enumerate(places) if t == tilt), key=mean.__getitem__)


def _finding(searched: Searched, decided: _Decision, reason: str) -> RatesFinding:
    """What was decided, as the result of the search."""
    longer, bands, tilt = searched.longer, searched.bands, decided.tilt
    count = len(bands.parameters)
    multipliers = tilts.multipliers(tilt, count)
    ranges = np.array([tilts.multipliers(t, count) for t in decided.as_good])
    return RatesFinding(
        learning_rate=None if decided.rate is None else decided.rate * longer,
        rules=bands.rules(multipliers),
        reason=reason + (_lowered(longer) if decided.rate else "") + searched.note,
        bands=tuple(
            Band(name, names, multiplier, float(low), float(high), *slope)
            for name, names, multiplier, low, high, slope in zip(
                bands.names,
                bands.parameters,
                multipliers,
                ranges.min(axis=0),
                ranges.max(axis=0),
                _slopes_of_bands(searched.probes, tilt, count),
                strict=True,
            )
        ),
        tilt=tilt,
        single_rate=None if decided.single is None else decided.single * longer,
        gain=decided.gain,
        gain_error=decided.gain_error,
        probes=tuple(searched.probes),
        untrained=tuple(searched.untrained),
        training=searched.training,
        updates=searched.updates,
        ended=searched.ended,
    )


def _lowered(longer: float) -> str:
    """A sentence that the rates are lower than those of the probes; empty if they aren't."""
    share = f"{longer:.2g}"
    if share == "1":
        return ""
    return (
        f" The rates are {share} times those of the probes, since the training is longer than a "
        "probe."
    )


def _slopes_of_bands(
    probes: Sequence[RatesProbe], tilt: float, bands: int
) -> list[tuple[float | None, float | None]]:
    """The mean slope of each band and its standard error, where they were measured at this tilt."""
    used = [probe for probe in probes if probe.slopes and probe.tilt == tilt]
    found: list[tuple[float | None, float | None]] = []
    for band in range(bands):
        slopes = [slope for probe in used if (slope := probe.slopes[band]) is not None]
        mean = float(np.mean(slopes)) if slopes else None
        several = len(slopes) > 1
        error = float(np.std(slopes, ddof=1)) / math.sqrt(len(slopes)) if several else None
        found.append((mean, error))
    return found


def _reason(searched: Searched, best: float, tilt: float, share: str, error: str) -> str:
    """Why the answer is this tilt, in words.

    Args:
        searched: What the search has done.
        best: The tilt where the surface is lowest.
        tilt: The tilt of the answer.
        share: By how much the best tilt is better than one rate.
        error: The standard error of that.
    """
    probes = f"{counted(len(searched.probes), 'probe')} of {searched.length} updates"
    several = len(searched.bands.parameters) > 1
    if several and all(probe.tilt == 1.0 for probe in searched.probes):
        more = "A larger budget" if searched.ended == "finished" else "A whole search"
        return f"One rate: in {probes}, nothing else was tried. {more} tries tilts, too."
    if not several:
        return f"There is one band, so one rate: of {probes}, the lowest held-out loss."
    if tilt == 1.0:
        if best == 1.0:
            return f"One rate is as good: in {probes}, no other tilt was better."
        return (
            f"One rate is as good: in {probes}, the best other way ({_in_words(best)}) had a "
            f"held-out loss lower by {share}, with a standard error of {error}."
        )
    return (
        f"{_in_words(tilt).capitalize()}: in {probes}, the held-out loss was {share} lower than "
        f"at the best single rate, with a standard error of {error}."
    )


def _in_words(tilt: float) -> str:
    """What a tilt says of the layers."""
    if tilt == 0:
        return "only the head should learn"
    if tilt < 1:
        return f"each band should learn {tilt:g} times as fast as the next one"
    return f"the early layers should learn faster, each band {tilt:g} times as fast as the next one"


def _why_no_answer(searched: Searched) -> str | None:
    """Why there is no answer, or None if there is one."""
    if not np.isfinite(searched.untrained).all():
        return "Held-out losses are NaN or infinite before any training."
    gains = [searched.untrained[p.division] - p.score for p in searched.probes]
    most, start = max(gains), max(map(abs, searched.untrained))
    if most > TRACE * start:
        return None
    rates = [rate for probe in searched.probes for rate in probe.rates if rate]
    tried = (
        f"{counted(len(searched.probes), 'probe')} of {searched.length} updates, at rates from "
        f"{min(rates):.2g} to {max(rates):.2g},"
    )
    if not any(math.isfinite(probe.score) for probe in searched.probes):
        return (
            f"Training broke at every rate: in {tried} the loss rose, or was NaN or infinite. Look "
            "for what makes it so: the data, the loss, or a type such as float16."
        )
    if most > _SEEN * start:
        return (
            f"Hardly anything to gain: {tried} ended with a held-out loss that is lower by "
            f"{most:.2g} at most, of {start:.4g} without training. Give a larger budget, or leave "
            "large constants out of the loss."
        )
    return (
        f"Nothing to gain: {tried} ended with no lower held-out loss than without training. The "
        "network may be trained already, or need more updates before it learns: give a larger "
        "budget."
    )
