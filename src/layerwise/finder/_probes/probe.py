"""The suggestion: short trainings from the same start, compared on the same batches.

A sweep trains one update at each rate, on weights that all earlier rates have moved. It shows where
training breaks, but says little about what a rate is worth. So *probes* train for a short while at
a few rates, all from the same start and on the same batches. A probe is scored by its last losses:
each is taken before the update on its batch, and little is learned that late, so they are as good
as held-out losses and cost nothing. If there are held-out batches, those give the score.

**How a probe trains.** In the shape of the training to come (``_course``). That may be a hundred
times as long as a probe. High rates fail slowly: the longer they are held, the more trainings
break. So for a rate that falls to 0 a probe holds its rate for three quarters of its length. It
then lowers it to 0 in a straight line, which removes the noise that the rate has left behind, as
the end of a real training does. A cosine over the whole probe would hold the rate for less, and
favour rates that longer trainings don't survive.

**Which rates are tried.** The first is where the sweep has done nine tenths of its fall. From there
the search goes half a decade at a time in the direction that gets better, until the best rate has
a worse one on both sides; then it tries between them. No rate above one that broke is trusted
(``line_search``). The suggestion is the lowest point of a parabola through the best probe and its
neighbours, over the logarithm of the rate.

``benchmarks/finder`` measures how good the suggestion is.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic

import numpy as np

from layerwise.finder._batches import Batches, DataEnded
from layerwise.finder._course import Course, longer_factor, probe_factors, way_of
from layerwise.finder._curve import Floats
from layerwise.finder._finding import Probe, Suggestion
from layerwise.finder._probes.line_search import STEP, censored, lowest_offset, next_offset
from layerwise.finder._probes.short_training import short_training
from layerwise.finder._sweep import SweepPoints
from layerwise.finder._trainer import Batch, State, Trainer

PROBES = 4  # how many probes the budget is enough for
MOST = 8  # how many there are at most, if some end early
TAIL = 0.15  # of a probe: the share at its end whose losses are its score
SHORTEST = 10  # updates of a probe
CHANCE = 2.5  # by how many standard errors the losses must fall, so that it isn't chance
TRACE = 0.1  # by which share of their spread over batches they must fall, to be worth a training


def probe(
    trainer: Trainer[State, Batch],
    start: State,
    batches: Batches[Batch],
    sweep: SweepPoints,
    *,
    budget: int,
    horizon: int | None = None,
    course: Course = "falling",
    held_out: Sequence[Batch] = (),
    advance: Callable[[], None] = lambda: None,
) -> Suggestion:
    """Probe from the rate that the sweep's curve suggests to the best rate.

    Args:
        trainer: What trains.
        start: The snapshot that every probe starts from.
        batches: What to train on.
        sweep: The points of the sweep.
        budget: How many updates all probes together may take.
        horizon: The number of updates of the training to come, if it is known.
        course: How the rate of the training to come goes.
        held_out: Batches to score on, no more than ``most_held_out`` says.
        advance: Called after each update.

    Returns:
        The suggestion; without a rate, and with the reason, if no probe learns anything.
    """
    if not any(map(math.isfinite, sweep.losses)):
        return Suggestion(None, "Every loss of the sweep was NaN or infinite.")
    length = _length(batches, budget, horizon, len(held_out))
    if length < SHORTEST:
        guess = sweep.suggested()
        return Suggestion(
            guess.rate,
            f"{guess.reason} Probes of only {length} updates would show noise, so there were "
            "none: sweep more steps, or pass more batches.",
        )
    factors = probe_factors(course, length, horizon)
    runs = _Runs(trainer, start, batches, held_out, factors, advance)
    untrained = runs.untrained()
    if not np.isfinite(untrained).all():
        reason = "Losses are NaN or infinite before any training."
        return Suggestion(None, reason, updates=runs.updates)

    peak = float(factors.max())
    highest = sweep.rates[-1] / peak
    tried = _explore(runs, untrained, sweep.where_to_begin() / peak, highest, budget)
    gain, probes = tried.gain(), tuple(tried.probes)
    spread, constant = float(untrained.std()), abs(tried.worst) / 1000
    if gain <= TRACE * max(spread, constant):
        reason = _why_no_answer(probes, length, gain, tried.worst, uneven=spread > constant)
        return Suggestion(None, reason, probes, runs.updates)
    rate, reason = _answer(tried, length, highest)
    longer = longer_factor(course, length, horizon)
    reason += _for_training(course, horizon, longer)
    return Suggestion(rate * longer, reason, probes, runs.updates)


def most_held_out(budget: int) -> int:
    """How many held-out batches to score on, so that this takes at most a quarter of the budget."""
    return budget // (4 * (PROBES + 1))


def _length(batches: Batches[Batch], budget: int, horizon: int | None, held_out: int) -> int:
    """The length of a probe that lets all of them, and scoring without training, fit the budget."""
    length = int(budget / (PROBES + TAIL))
    if held_out:
        length = (budget - (PROBES + 1) * held_out) // PROBES
    if horizon is not None:
        length = min(length, horizon)
    try:
        batches[max(length - 1, 0)]
    except DataEnded:
        length = min(length, len(batches))
    return length


@dataclass
class _Runs(Generic[State, Batch]):
    """Trains probes, and counts the updates."""

    trainer: Trainer[State, Batch]
    start: State
    batches: Batches[Batch]
    held_out: Sequence[Batch]
    factors: Floats
    advance: Callable[[], None]
    updates: int = 0

    @property
    def length(self) -> int:
        """The number of updates of a probe."""
        return len(self.factors)

    @property
    def tail(self) -> int:
        """The first of the updates whose losses are the score."""
        return self.length - max(round(TAIL * self.length), 2)

    def untrained(self) -> Floats:
        """The losses that probes are compared with: those of the start."""
        self.trainer.restore(self.start)
        tail = range(self.tail, self.length)
        return self._at_rest(self.held_out or [self.batches[number] for number in tail])

    def run(self, rate: float) -> Floats | None:
        """The losses at the end of a probe. None if training broke; it then ended early."""
        self.trainer.restore(self.start)
        losses = short_training(
            self.factors, lambda number, factor: self._train(self.batches[number], rate * factor)
        )
        if losses is None:
            return None
        ended = self._at_rest(self.held_out) if self.held_out else np.array(losses[self.tail :])
        return ended if np.isfinite(ended).all() else None

    def _at_rest(self, batches: Sequence[Batch]) -> Floats:
        return np.array([self._train(batch, 0.0) for batch in batches])

    def _train(self, batch: Batch, rate: float) -> float:
        self.updates += 1
        loss = float(self.trainer.train(batch, rate))
        self.advance()
        return loss


@dataclass
class _Tried:
    """The probes so far, by the offset of their rate; ``line_search`` says what that is.

    Attributes:
        first: The rate of the first probe.
        untrained: The losses without training.
        scores: The score at each offset.
        ends: The losses at the end of each probe that didn't break.
        probes: The probes.
    """

    first: float
    untrained: Floats
    scores: dict[float, float] = field(default_factory=dict)
    ends: dict[float, Floats] = field(default_factory=dict)
    probes: list[Probe] = field(default_factory=list)

    @property
    def worst(self) -> float:
        """The score without training."""
        return float(self.untrained.mean())

    def gain(self) -> float:
        """By how much a stable probe lowered the losses at most; 0 if that may be chance.

        One lucky batch can give the lowest mean: any stable probe that fell consistently will do.
        """
        stable = censored(self.scores)
        ends = (self.ends[offset] for offset, score in stable.items() if math.isfinite(score))
        return max((_sure_gain(self.untrained, each) for each in ends), default=0.0)


def _explore(
    runs: _Runs[State, Batch], untrained: Floats, first: float, highest: float, budget: int
) -> _Tried:
    """Probe from the first rate in the direction that gets better, as far as the budget goes.

    Args:
        runs: What trains the probes.
        untrained: The losses without training.
        first: The rate of the first probe.
        highest: The rate at which the sweep ended. Probes go one step above it, which shows how
            near to the end the best rate is.
        budget: How many updates all probes together may take.
    """
    tried, log10_offset = _Tried(first, untrained), 0.0
    ceiling = math.log10(highest / first) + STEP
    cost = runs.length + len(runs.held_out)
    while budget - runs.updates >= cost and len(tried.probes) < MOST:
        rate, before = first * 10**log10_offset, runs.updates
        ended = runs.run(rate)
        if ended is not None:
            tried.ends[log10_offset] = ended
        score = math.inf if ended is None else float(ended.mean())
        tried.scores[log10_offset] = score
        tried.probes.append(Probe(rate, score, runs.updates - before))
        log10_offset = next_offset(tried.scores, tried.worst, ceiling)
    return tried


def _answer(tried: _Tried, length: int, highest: float) -> tuple[float, str]:
    """The best rate for a training as long as a probe, and why."""
    stable = censored(tried.scores)
    best = min(stable, key=stable.__getitem__)
    lowest = lowest_offset(tried.scores, tried.worst)
    wanted = tried.first * 10**lowest
    rate = min(wanted, highest)
    reason = (
        f"Of {len(tried.probes)} probes of {length} updates, the one at "
        f"{tried.first * 10**best:.3g} ended with the lowest loss, {stable[best]:.4g} (untrained: "
        f"{tried.worst:.4g}). "
    )
    if wanted > highest:
        reason += f"The best may be above the highest rate of the sweep, {rate:.3g}, so it is that."
    elif lowest in (min(stable), max(stable)):
        reason += "There was no probe on its other side."
    else:
        reason += f"A parabola through it and its neighbours is lowest at {rate:.3g}."
    return rate, reason


def _sure_gain(untrained: Floats, trained: Floats) -> float:
    """By how much the losses fell, batch for batch; 0 if that may be chance."""
    gains = untrained - trained
    spread = float(gains.std(ddof=1)) if len(gains) > 1 else 0.0
    gain = float(gains.mean())
    return gain if gain > CHANCE * spread / math.sqrt(len(gains)) else 0.0


def _for_training(course: Course, horizon: int | None, longer: float) -> str:
    """Which training a rate is for, as a sentence."""
    has_length = not isinstance(course, str) and course.length is not None
    plain = horizon is None or has_length or course == "falling"
    updates = "" if plain else f" for {horizon} updates"
    way = way_of(course)
    if longer == 1:
        return f" This is for a training whose rate {way}{updates}."
    return (
        f" The suggestion is {longer:.3g} of that, since the training is longer than a probe, and "
        f"its rate {way}{updates}."
    )


def _why_no_answer(
    probes: Sequence[Probe], length: int, gain: float, worst: float, *, uneven: bool
) -> str:
    """The reason of a suggestion without a rate."""
    rates = [done.rate for done in probes]
    tried = f"{len(probes)} probes of {length} updates, from {min(rates):.2g} to {max(rates):.2g},"
    if gain > 0:
        way = "Pass batches that are more alike" if uneven else "Leave constants out of the loss"
        return (
            f"Hardly anything to gain: {tried} lowered the loss by {gain:.2g} at most, from "
            f"{worst:.4g} without training. {way}, or sweep more steps."
        )
    return (
        f"Nothing to gain: {tried} ended with no clearly lower loss than without training. The "
        "network may be trained already, or may need more updates before it learns: sweep more "
        "steps."
    )
