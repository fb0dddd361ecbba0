"""search_rates: which bands should learn how fast, and at which base rate.

**What is compared.** Probes from one start, each at a base rate and a tilt (``tilts``). Two sweeps
show where to begin. The search begins below the rates that they suggest, since scores are erratic
far above the best rate, and lower still where a probe goes through its data many times.

The first probes have one rate for all bands. One is in the middle, which moves while nothing is
gained there: up where the probe hardly changed anything, else down. Two are on its sides. Then the
middle moves up while the highest rate is the best and does not overfit; that is frequent with SGD,
whose sweeps suggest rates that are too low. A gain is measured from the score without training, or
from that of a probe at the rate 0 if such a probe moves anything, such as BatchNorm's statistics.

From then on each probe goes where the smoothed surface (``surface``), less its standard error, is
lowest. The rate at which probes begin to memorize their data also shows where the best one is
likely to be (``heights``).

The probes take turns on the divisions of the data, which hold out different examples as long as
there are any: with 30 examples, the best rate on one division is often off by a factor of three,
and on another by a different factor.

Single bands are not searched: once the best tilt is found, making the rate of one of five bands
three times as high or as low gains little (``docs/choosing.md``), less than few labels can show.

**Which answer is given.** It is the lowest place of the surface, if that is below the lowest place
for one rate by more than the standard error of the difference (twice that where a probe goes
through its data less than twice), and by enough to be worth it. Otherwise one rate is as good, and
simpler.

``benchmarks/rates`` measures how good the answers are.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Generic, TypeVar, Unpack

import numpy as np

from layerwise.errors import FinderError
from layerwise.finder._course import (
    Course,
    course_to_search,
    longer_factor,
    probe_factors,
    way_of,
)
from layerwise.finder._progress import progress_bar
from layerwise.finder._rates._divisions.divisions import Division, Join, divisions
from layerwise.finder._rates.answer import Searched, answer
from layerwise.finder._rates.bands import Bands
from layerwise.finder._rates.finding import Ended, RatesFinding, RatesProbe
from layerwise.finder._rates.heights import Place, fit, grid, rounded
from layerwise.finder._rates.options import SHORTEST, RatesKeywords, RatesOptions
from layerwise.finder._rates.probes import BudgetSpent, Probes
from layerwise.finder._rates.trainer import RatesTrainer
from layerwise.finder._sweep import SweepPoints, run_sweep
from layerwise.finder._trainer import State

Item = TypeVar("Item")

PROBES = 14  # with the default budget; their number and their length grow with its root
SWEEPS = 2  # each on another division
BEGIN = 0.5  # the search begins at this share of the lowest rate that the sweeps suggest, or,
REPEATED = 0.75  # if that is less, at r**-REPEATED of it: a probe goes r times through its data
SIDE = 0.5  # decades from the middle to the probes on its sides
GAP = 0.1  # a probe overfits if its training loss is below its score by this share of the score
IDLE = 0.01  # a probe that made the score worse by a smaller share of it has hardly moved
DECADES = 1.5  # how far the places of probes reach to each side of the middle
STEP = 0.25  # decades from one place to the next
OPTIMISM = 1.0  # standard errors by which a place may be better than its mean


def search_rates(
    trainer: RatesTrainer[State, tuple[Item, ...]],
    data: Iterable[Item],
    bands: Bands,
    options: RatesOptions | None = None,
    *,
    held_out: Iterable[Item] | None = None,
    join: Join | None = None,
    targets_at: int | None = None,
    course: Course | None = None,
    **keywords: Unpack[RatesKeywords],
) -> RatesFinding:
    """Search for the base rate and a multiplier for each band, and leave all as it was.

    Args:
        trainer: What trains, with the four methods of ``RatesTrainer``.
        data: Batches; an update gets a tuple with as many of them as ``accumulate`` says.
        bands: The bands, from input to head.
        options: How to search; by default ``RatesOptions()``.
        held_out: Batches to compare rates on; by default a part of the data in several divisions.
            Of many, as many are taken as an eighth of a probe has updates.
        join: Joins arrays of the batches along their first axis, so that single examples can be
            held out; without it whole batches are.
        targets_at: The place of the targets in a batch that is a tuple, such as -1, so that each
            class is divided alike; by default the second of a pair.
        course: What the optimizer says of how its rate will go. It counts where ``options`` have
            no ``schedule``.
        **keywords: Single options, such as ``budget=3000``; see ``RatesOptions``.

    Returns:
        The base rate, the rules, and why. Ctrl-C ends the search early; then they rest on the
        probes that are done.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first probe is done.
        FinderError: An option can't be honoured, nothing can be held out, or the budget is too
            small for one probe.

    Examples:
        >>> from layerwise.finder import Bands, QuadraticBands
        >>> bands = Bands((("body",), ("head",)))
        >>> found = search_rates(QuadraticBands((1.0, 1.0)), range(500), bands, progress=False)
        >>> 0.05 < found.learning_rate < 2
        True
    """
    options = replace(options or RatesOptions(), **keywords)
    shape, note = course_to_search(options.schedule, course, options.horizon)
    start = trainer.snapshot()
    try:
        with progress_bar(options.updates, options.progress, "Finding learning rates") as advance:
            parts = _divided(data, options, held_out, join, targets_at)
            search = _Search(
                trainer,
                start,
                parts,
                bands=bands,
                options=options,
                course=shape,
                advance=advance,
                note=note,
            )
            return search.run()
    finally:
        trainer.restore(start)


class _Search(Generic[State, Item]):
    """One search, while it goes on."""

    def __init__(
        self,
        trainer: RatesTrainer[State, tuple[Item, ...]],
        start: State,
        parts: Sequence[Division[tuple[Item, ...]]],
        *,
        bands: Bands,
        options: RatesOptions,
        course: Course,
        note: str,
        advance: Callable[[], None],
    ) -> None:
        self.options, self.bands = options, bands
        self.count, self.middle = len(bands.parameters), 1.0
        self.sweep, length = lengths(options)
        factors = probe_factors(course, length, options.horizon)
        self.peak = float(factors.max())
        accumulate = options.accumulate or 1
        self.probes = Probes(
            trainer, start, parts, self.count, factors, options.updates, advance, accumulate
        )
        self.repeats = length * accumulate / parts[0].batches
        self.longer = longer_factor(course, length, options.horizon, repeats=self.repeats)
        self.training, self.note = _training(course, options.horizon), note

    def run(self) -> RatesFinding:
        ended: Ended = "finished"
        self._check_budget()
        try:
            self.probes.score_untrained()
            if not np.isfinite(self.probes.untrained).all():
                return self._answer(ended)
            self.middle = self._guess() / self.peak * min(BEGIN, self.repeats**-REPEATED)
            self.probes.settle()
            turns = cycle(range(len(self.probes.divisions)))
            self._try_one_rate(turns)
            self._explore(grid(self.middle, self.count, DECADES, STEP), turns)
        except BudgetSpent:
            pass
        except KeyboardInterrupt:
            if not self.probes.done:
                raise
            ended = "stopped by the user"
        return self._answer(ended)

    def _check_budget(self) -> None:
        """Raise unless there can be one probe.

        Raises:
            FinderError: The budget is too small for it.
        """
        before = SWEEPS * self.sweep + self.probes.untrained_cost
        if before + self.probes.cost > self.options.updates:
            raise FinderError(
                f"A budget of {self.options.updates} updates is too small for one probe, which "
                f"takes {self.probes.cost} updates after the {before} that come first. Give a "
                "larger budget=."
            )

    def _answer(self, ended: Ended) -> RatesFinding:
        return answer(
            Searched(
                bands=self.bands,
                probes=self.probes.done,
                untrained=self.probes.untrained,
                middle=self.middle,
                decades=DECADES,
                length=len(self.probes.factors),
                training=self.training,
                note=self.note,
                longer=self.longer,
                repeats=self.repeats,
                updates=self.probes.updates,
                ended=ended,
            )
        )

    def _guess(self) -> float:
        """A first guess of the rate for all bands: the lowest that a few sweeps suggest."""
        return min(map(self._sweep, self.probes.divisions[:SWEEPS]))

    def _sweep(self, division: Division[tuple[Item, ...]]) -> float:
        """The rate that a sweep suggests on a division."""
        points = SweepPoints()
        self.probes.restart()
        rates = np.geomspace(self.options.low, self.options.high, self.sweep)
        run_sweep(
            rates, points, lambda n, rate: self.probes.update(division.item(n), [rate] * self.count)
        )
        return points.where_to_begin()

    def _try_one_rate(self, turns: Iterator[int]) -> None:
        """Train with one rate for all bands: in the middle, and on both sides of it.

        The middle moves while nothing is gained there: up where the probe hardly changed anything,
        else down. It also moves up while the highest rate is the best and does not overfit.

        Args:
            turns: The division of each next probe.
        """
        for _ in range(max(self._affordable() // 2, 1)):
            probe = self.probes.run(Place(rounded(self.middle), 1.0), next(turns))
            start = self.probes.untrained[probe.division]
            if probe.score < start:
                break
            idle = probe.score - start < IDLE * abs(start) and not _overfits(probe)
            middle = self.middle * 10 ** (SIDE if idle else -SIDE)
            if rounded(middle) in {done.rate for done in self.probes.done}:
                break
            self.middle = middle
        for side in (-SIDE, SIDE):
            place, number = Place(rounded(self.middle * 10**side), 1.0), next(turns)
            if self._untried([place], number):
                self.probes.run(place, number)
        for _ in range(self._affordable() // 2):
            if not self._may_learn_faster():
                break
            self.middle *= 10**SIDE
            self.probes.run(Place(rounded(self.middle * 10**SIDE), 1.0), next(turns))

    def _may_learn_faster(self) -> bool:
        """Whether the best probe is the one with the highest rate, and does not overfit."""
        done, gain = self.probes.done, self.probes.gain
        best = max(done, key=lambda probe: gain(probe.score, probe.division))
        highest = max(probe.rate for probe in done)
        return best.rate == highest and math.isfinite(best.score) and not _overfits(best)

    def _explore(self, places: Sequence[Place], turns: Iterator[int]) -> None:
        """Train where the surface could be lowest, on one division after the other.

        Args:
            places: Where probes may be.
            turns: The division of each next probe.
        """
        while any(self._untried(places, n) for n in range(len(self.probes.divisions))):
            number = next(turns)
            if free := self._untried(places, number):
                found = fit(self.probes.done, self.probes.untrained, places, self.middle)
                hope = found.mean - OPTIMISM * found.error
                self.probes.run(places[min(free, key=hope.__getitem__)], number)

    def _affordable(self) -> int:
        """How many more probes there can be."""
        return (self.options.updates - self.probes.updates) // self.probes.cost

    def _untried(self, places: Sequence[Place], number: int) -> list[int]:
        """The numbers of the places that have no probe on a division yet."""
        done = self.probes.done
        tried = {Place(probe.rate, probe.tilt) for probe in done if probe.division == number}
        return [n for n, place in enumerate(places) if place not in tried]


def _overfits(probe: RatesProbe) -> bool:
    """Whether the training loss of a probe is clearly below its score."""
    return probe.score - probe.train_loss >= GAP * abs(probe.score)


def _divided(
    data: Iterable[Item],
    options: RatesOptions,
    held_out: Iterable[Item] | None,
    join: Join | None,
    targets_at: int | None,
) -> list[Division[tuple[Item, ...]]]:
    """The divisions of a search, whose items are the batches that one update takes."""
    _, length = lengths(options)
    number = options.accumulate or 1
    found = divisions(
        data,
        join,
        needed=length * number,
        count=options.divisions,
        share=options.share,
        seed=options.seed,
        most=max(length // 8, 1) * number,
        held_out=held_out,
        targets_at=targets_at,
    )
    # Batches that were given are the same for all divisions, and are scored untrained once.
    same = {id(each.held_out): tuple((one,) for one in each.held_out) for each in found}
    return [
        Division(_by_updates(division, number), same[id(division.held_out)], division.batches)
        for division in found
    ]


def lengths(options: RatesOptions) -> tuple[int, int]:
    """The updates of a sweep, and those of a probe.

    Raises:
        FinderError: The budget is too small for one probe.
    """
    budget = options.updates
    sweep = min(max(budget // (15 * SWEEPS), 20), 50)
    count = max(round(PROBES * math.sqrt(budget / 1500)), 3)
    length = int(0.95 * (budget - SWEEPS * sweep) / count)
    if options.horizon is not None:
        length = min(length, options.horizon)
    if length < SHORTEST:
        raise FinderError(
            f"A budget of {budget} updates is too small for one probe: give a few hundred, or "
            "leave it out."
        )
    return sweep, length


def _by_updates(division: Division[Item], number: int) -> Callable[[int], tuple[Item, ...]]:
    """A function from the number of an update to its batches, ``number`` of the division's."""

    def item(update: int) -> tuple[Item, ...]:
        return tuple(division.item(update * number + place) for place in range(number))

    return item


def _training(course: Course, horizon: int | None) -> str:
    """Which training the rates are for."""
    updates = "" if horizon is None else f" of {horizon:,} updates"
    return f"a training{updates} whose rate {way_of(course)}"
