"""Probes: short trainings at a rate for each band, scored on what was held out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Generic

import numpy as np

from layerwise.finder._curve import Floats
from layerwise.finder._probes.short_training import short_training
from layerwise.finder._rates import tilts
from layerwise.finder._rates._divisions.divisions import Division
from layerwise.finder._rates.finding import RatesProbe
from layerwise.finder._rates.heights import Place
from layerwise.finder._rates.trainer import RatesTrainer
from layerwise.finder._trainer import Batch, State

_SLOPES_PART = 4  # measuring slopes takes at most a probe's updates divided by this
_EARLY = 5  # a probe is given up halfway if its loss is above all of its first 5
_FEWEST_PROBES = 4  # a probe at the rate 0 is trained only if the budget is enough for these
_SAME = 1e-6  # the share by which a score may differ although nothing has moved
FURTHER = 1.1  # a slope compares the loss here with that 1.1 times as far along a band's way


class BudgetSpent(Exception):  # noqa: N818  # no error: it ends a search
    """The next probe would take more updates than there are."""


@dataclass
class Probes(Generic[State, Batch]):
    """Trains probes from one start, and counts what they take.

    Attributes:
        trainer: What trains.
        start: The snapshot that every probe starts from.
        divisions: What they train on and are scored on.
        bands: How many bands there are.
        factors: The share of the rate at each update of a probe.
        budget: How many updates there are in all.
        advance: Called once for each update that is counted; scoring as many batches as an update
            takes counts as one.
        accumulate: How many batches an update takes.
        done: The probes so far.
        untrained: The score of each division without training; see ``settle``.
        updates: How many updates were taken.
    """

    trainer: RatesTrainer[State, Batch]
    start: State
    divisions: Sequence[Division[Batch]]
    bands: int
    factors: Floats
    budget: int
    advance: Callable[[], None]
    accumulate: int = 1
    done: list[RatesProbe] = field(default_factory=list)
    untrained: list[float] = field(default_factory=list)
    updates: int = 0

    @property
    def cost(self) -> int:
        """The updates of one probe with its score."""
        return len(self.factors) + max(self._counted(d.held_out) for d in self.divisions)

    @property
    def untrained_cost(self) -> int:
        """The updates of scoring each division without training."""
        each = {id(division.held_out): division.held_out for division in self.divisions}
        return sum(map(self._counted, each.values()))

    def score_untrained(self) -> None:
        """Score each division without training, to compare probes with."""
        self.restart()
        scores = dict[int, float]()  # of each part that is held out, which divisions may share
        for division in self.divisions:
            if (part := id(division.held_out)) not in scores:
                scores[part] = self._score(division.held_out)
        self.untrained = [scores[id(division.held_out)] for division in self.divisions]

    def restart(self) -> None:
        """Go back to the start."""
        self.trainer.restore(self.start)

    def settle(self) -> None:
        """Replace the scores without training by those after a probe at the rate 0.

        Every probe moves what has no rate, such as the statistics of BatchNorm, so the scores that
        probes are compared with must have moved by that, too. The probe at 0 is trained only if one
        update at 0 changes a score that otherwise stays the same, and only on the first division;
        the scores of the others are taken to change by as much. If the budget is small, it is all
        left to the other probes.
        """
        division, at_rest = self.divisions[0], [0.0] * self.bands
        is_small = self.updates + _FEWEST_PROBES * self.cost > self.budget
        if is_small or not np.isfinite(self.untrained).all():
            return
        self.restart()
        one = division.held_out[:1]
        before, again = self._score(one), self._score(one)
        self.update(division.item(0), at_rest)
        after = self._score(one)
        noisy = abs(again - before) > _SAME * abs(before)
        if noisy or abs(after - before) <= _SAME * abs(before):
            return
        self.restart()
        for number in range(len(self.factors)):
            self.update(division.item(number), at_rest)
        settled, old = self._score(division.held_out), self.untrained[0]
        if not math.isfinite(settled):
            return
        if min(settled, *self.untrained) > 0:
            self.untrained = [score * (settled / old) for score in self.untrained]
        else:
            self.untrained = [score + (settled - old) for score in self.untrained]

    def run(self, place: Place, number: int) -> RatesProbe:
        """Train one probe.

        Args:
            place: Its base rate and tilt.
            number: The division.

        Raises:
            BudgetSpent: It would take more updates than are left.
        """
        if self.updates + self.cost > self.budget:
            raise BudgetSpent
        rate, tilt = place
        multipliers = tilts.multipliers(tilt, self.bands)
        before = self.updates
        score, train_loss = self._train(self.divisions[number], [rate * m for m in multipliers])
        slopes: tuple[float | None, ...] = ()
        cost = (self.bands + 1) * self._few_updates()  # at most
        affordable = cost <= min(self.budget - self.updates, len(self.factors) / _SLOPES_PART)
        if math.isfinite(score) and affordable and self._is_best(score, number):
            slopes = self._slopes(self.divisions[number], score, multipliers)
        used = self.updates - before
        probe = RatesProbe(rate, tilt, multipliers, number, score, train_loss, slopes, used)
        self.done.append(probe)
        return probe

    def _train(self, division: Division[Batch], rates: Sequence[float]) -> tuple[float, float]:
        """The score of one training, and the mean loss of the last tenth of its batches.

        Both are infinite if it broke, or if its losses were above all of the first ones halfway.
        """
        self.restart()

        def train(number: int, factor: float) -> float:
            return self.update(division.item(number), [rate * factor for rate in rates])

        losses = short_training(self.factors, train, self._cannot_win)
        score = math.inf if losses is None else self._score(division.held_out)
        if losses is None or not math.isfinite(score):
            return math.inf, math.inf
        return score, fmean(losses[-max(len(losses) // 10, 1) :])

    def _cannot_win(self, losses: Sequence[float], smoothed: Floats) -> bool:
        """Whether halfway the losses are above all of the first ones."""
        halfway = len(losses) == len(self.factors) // 2 + 1
        return halfway and float(smoothed[-1]) > max(losses[:_EARLY])

    def update(self, batch: Batch, rates: Sequence[float]) -> float:
        """Train on one batch at a rate for each band, and count it; returns its loss."""
        loss = self.trainer.train(batch, rates)
        self.updates += 1
        self.advance()
        return loss

    def _score(self, batches: Sequence[Batch], stretch: Sequence[float] | None = None) -> float:
        score = float(self.trainer.score(batches, stretch))
        count = self._counted(batches)
        self.updates += count
        for _ in range(count):
            self.advance()
        return score

    def _counted(self, batches: Sequence[Batch]) -> int:
        """How many updates scoring some batches counts as."""
        return math.ceil(len(batches) / self.accumulate)

    def _few_updates(self) -> int:
        """How many updates measuring one slope may take."""
        return max(len(self.factors) // (_SLOPES_PART * (self.bands + 1)), 1)

    def gain(self, score: float, division: int) -> float:
        """How far a score is below the one without training, as a share of that.

        Args:
            score: The score.
            division: The number of its division.
        """
        start = self.untrained[division]
        return (start - score) / (abs(start) or 1.0)

    def _is_best(self, score: float, division: int) -> bool:
        """Whether no other probe has gained as much."""
        gain = self.gain(score, division)
        return all(gain > self.gain(p.score, p.division) for p in self.done)

    def _slopes(
        self, division: Division[Batch], score: float, multipliers: Sequence[float]
    ) -> tuple[float | None, ...]:
        r"""By how much the score changes with the logarithm of each band's rate.

        To first order, a band's way from the start is as long as its rate is high. So the slope is
        measured by moving the band further along its way:

        $$\frac{\partial L}{\partial \log \text{rate}_b} \approx
        \frac{L(w_b + (s - 1)(w_b - w_{b,0})) - L(w_b)}{\log s}$$

        A band that did not move has none.
        """
        few = division.held_out[: self._few_updates() * self.accumulate]
        here = score if len(few) == len(division.held_out) else self._score(few)
        found: list[float | None] = []
        for band, multiplier in enumerate(multipliers):
            stretch = [FURTHER if other == band else 1.0 for other in range(len(multipliers))]
            further = self._score(few, stretch) if multiplier else math.inf
            slope = (further - here) / math.log(FURTHER)
            found.append(slope if math.isfinite(slope) else None)
        return tuple(found)
