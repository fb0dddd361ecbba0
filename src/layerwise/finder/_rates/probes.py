"""Probes: short trainings at a rate for each band, scored on what was held out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Generic

from layerwise.finder._curve import Floats, RunningAverage
from layerwise.finder._rates import tilts
from layerwise.finder._rates.divisions import Division
from layerwise.finder._rates.finding import RatesProbe
from layerwise.finder._rates.trainer import RatesTrainer
from layerwise.finder._sweep import diverged
from layerwise.finder._trainer import Batch, State

_SLOPES_SHARE = 4  # a probe takes at most its fourth part to measure slopes
_EARLY = 5  # updates, whose losses a probe must be below by half its length
FURTHER = 1.1  # how far a band is moved along its way, to see what that does to the loss


class BudgetSpent(Exception):  # noqa: N818  # no error: it ends a search
    """The next probe would take more updates than there are."""


@dataclass
class Probes(Generic[State, Batch]):
    """Trains probes from one start, and counts what they take.

    Attributes:
        trainer: What trains.
        start: The snapshot that every probe starts from.
        divisions: What they train on and are scored on.
        factors: The share of the rate at each update of a probe.
        budget: How many updates are left.
        seen: Called after each update and each scored batch.
        done: The probes so far.
        untrained: The score of each division without training.
    """

    trainer: RatesTrainer[State, Batch]
    start: State
    divisions: Sequence[Division[Batch]]
    factors: Floats
    budget: int
    seen: Callable[[], None]
    done: list[RatesProbe] = field(default_factory=list)
    untrained: list[float] = field(default_factory=list)
    updates: int = 0

    @property
    def cost(self) -> int:
        """The updates of one probe with its score."""
        return len(self.factors) + max(len(d.held_out) for d in self.divisions)

    def score_untrained(self) -> None:
        """Score each division without training, for what a probe is compared with."""
        self.trainer.restore(self.start)
        for division in self.divisions[len(self.untrained) :]:
            same = [d for d in self.divisions if d.held_out is division.held_out]
            place = self.divisions.index(same[0])
            if place < len(self.untrained):
                self.untrained.append(self.untrained[place])
            else:
                self.untrained.append(self._score(division.held_out))

    def run(self, tilt: float, rate: float, bands: int, number: int) -> RatesProbe:
        """Train one probe.

        Args:
            tilt: Its tilt.
            rate: The base rate.
            bands: How many bands there are.
            number: The division.

        Raises:
            BudgetSpent: It would take more updates than are left.
        """
        if self.updates + self.cost > self.budget:
            raise BudgetSpent
        multipliers = tilts.multipliers(tilt, bands)
        before = self.updates
        score, train_loss = self._train(self.divisions[number], [rate * m for m in multipliers])
        slopes: tuple[float | None, ...] = ()
        affordable = self.updates + self._slopes_cost(bands) <= self.budget
        if math.isfinite(score) and affordable and self._is_best(score, number):
            slopes = self._slopes(self.divisions[number], score, multipliers)
        used = self.updates - before
        probe = RatesProbe(rate, tilt, multipliers, number, score, train_loss, slopes, used)
        self.done.append(probe)
        return probe

    def _train(self, division: Division[Batch], rates: Sequence[float]) -> tuple[float, float]:
        """The score of one training, and the mean loss of the last tenth of its batches.

        Both are infinite if it broke, or was above its start by half.
        """
        self.trainer.restore(self.start)
        average, losses = RunningAverage(), list[float]()
        for number, factor in enumerate(self.factors.tolist()):
            loss = self.trainer.train(division.item(number), [rate * factor for rate in rates])
            self.updates += 1
            self.seen()
            losses.append(loss)
            smoothed = average.add(loss)
            if not math.isfinite(loss) or diverged(smoothed):
                return math.inf, math.inf
            if number == len(self.factors) // 2 and smoothed[-1] > fmean(losses[:_EARLY]):
                return math.inf, math.inf  # it can't win any more
        score = self._score(division.held_out)
        if not math.isfinite(score):
            return math.inf, math.inf
        return score, fmean(losses[-max(len(losses) // 10, 1) :])

    def _score(self, batches: Sequence[Batch], stretch: Sequence[float] | None = None) -> float:
        score = self.trainer.score(batches, stretch)
        self.updates += len(batches)
        for _ in batches:
            self.seen()
        return score

    def _few(self, bands: int) -> int:
        """How many held-out batches slopes are measured on."""
        return max(len(self.factors) // (_SLOPES_SHARE * (bands + 1)), 1)

    def _slopes_cost(self, bands: int) -> int:
        """The most batches that are scored to measure slopes."""
        return (bands + 1) * self._few(bands)

    def _is_best(self, score: float, division: int) -> bool:
        """Whether no other probe has gained as much."""
        gain = self.untrained[division] - score
        return all(gain > self.untrained[p.division] - p.score for p in self.done)

    def _slopes(
        self, division: Division[Batch], score: float, multipliers: Sequence[float]
    ) -> tuple[float | None, ...]:
        r"""By how much the score changes with the logarithm of each band's rate.

        A band's way is as long as its rate is high, to first order, so it is made longer:

        $$\frac{\partial L}{\partial \log \text{rate}_b} \approx
        \frac{L(w_b + (s - 1)(w_b - w_{b,0})) - L(w_b)}{\log s}$$

        A band that stayed where it was has none.
        """
        few = division.held_out[: self._few(len(multipliers))]
        here = score if len(few) == len(division.held_out) else self._score(few)
        found: list[float | None] = []
        for band, multiplier in enumerate(multipliers):
            stretch = [FURTHER if other == band else 1.0 for other in range(len(multipliers))]
            further = self._score(few, stretch) if multiplier else math.inf
            slope = (further - here) / math.log(FURTHER)
            found.append(slope if math.isfinite(slope) else None)
        return tuple(found)
