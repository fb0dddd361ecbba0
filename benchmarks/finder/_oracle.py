"""The oracle: full trainings at a fine grid of rates, kept on disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from . import _optimizers
from ._training import bench, course

RESULTS = Path(__file__).parent.parent / "results" / "finder"
PER_DECADE = 8
STEPS = 400
ORDERS = 4  # of the batches: a rate's loss is the mean of so many trainings
_ENDS = (-6.0, 2.0)  # log10; beyond them no rate is tried
_AT_ONCE = 12

# Seeds of the batches' orders: a finder never sees one that is trained with.
_TRAINING, _NEXT, _FINDING = 1_000, 10_000, 2_000


@dataclass(frozen=True)
class Case:
    """A task with an optimizer and a seed, and the training that rates are judged by."""

    task: str
    optimizer: str
    seed: int
    course: str = "cosine"
    steps: int = STEPS

    def __str__(self) -> str:
        return f"{self.task} {self.optimizer} {self.seed}"


@dataclass(frozen=True)
class Oracle:
    """What training gives at each rate of the grid.

    Attributes:
        rates: The grid, rising.
        losses: The trained networks' losses on the sample.
        initial: The loss on the sample before training.
    """

    rates: np.ndarray[Any, Any]
    losses: np.ndarray[Any, Any]
    initial: float

    @property
    def best(self) -> float:
        """The rate of the grid's lowest loss."""
        return float(self.rates[self.losses.argmin()])

    def regret(self, loss: float) -> float:
        """(loss - best) / (initial - best); 1 is as good as no training."""
        best = self.losses.min()
        return float((loss - best) / (self.initial - best))


def finder_order(case: Case, steps: int) -> np.ndarray[Any, Any]:
    """The batches that a finder is given."""
    return bench(case.task).order(_FINDING + case.seed, steps)


def trained(case: Case, rates: Any, orders: int = ORDERS) -> Any:
    """The losses after trainings of the case's course and length with these rates, (rates,).

    A training that ends above where it began, or in NaN, counts as none; the mean is over so many
    orders of the batches, as one training of a deep network says little about a rate.
    """
    at = bench(case.task)
    start, initial = at.start(case.seed), _initial(case)
    ends = [
        at.train(
            case.optimizer,
            start,
            at.order(_TRAINING + case.seed + _NEXT * number, case.steps),
            course(case.course, rates, case.steps),
        )[1]
        for number in range(orders)
    ]
    return np.mean([np.minimum(np.nan_to_num(end, nan=np.inf), initial) for end in ends], 0)


def oracle(case: Case, orders: int = ORDERS) -> Oracle:
    """The grid's trainings, from disk where they have been made before."""
    kind = "" if case.course == "cosine" else f"-{case.course}"
    name = f"{case.task}-{case.optimizer}-{case.seed}-{case.steps}x{orders}{kind}.npz"
    place = RESULTS / "oracle" / name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        found = _search(case, orders)
        np.savez(place, rates=found.rates, losses=found.losses, initial=found.initial)
    kept = np.load(place)
    return Oracle(kept["rates"], kept["losses"], float(kept["initial"]))


def _search(case: Case, orders: int) -> Oracle:
    """One training at two rates a decade over the whole range; then the fine grid around its best.

    The fine grid is as wide as it must be for its best to lie well inside.
    """
    low, high = (round(end * PER_DECADE) for end in _optimizers.GRIDS[case.optimizer])
    half = PER_DECADE // 2
    coarse = _Grid(case, 1)
    best = coarse.best(range(low, high + 1, half))
    while best >= max(coarse.losses) - half and max(coarse.losses) < _ENDS[1] * PER_DECADE:
        best = coarse.best([max(coarse.losses) + half])
    while best <= min(coarse.losses) + half and min(coarse.losses) > _ENDS[0] * PER_DECADE:
        best = coarse.best([min(coarse.losses) - half])
    fine = _Grid(case, orders)
    center, best = best, fine.best(range(best - _AT_ONCE // 2, best + _AT_ONCE // 2))
    while abs(best - center) >= _AT_ONCE // 2 - 2:
        center, best = best, fine.best(range(best - _AT_ONCE // 2, best + _AT_ONCE // 2))
    points = sorted(fine.losses)
    losses = np.array([fine.losses[point] for point in points])
    return Oracle(10 ** (np.array(points) / PER_DECADE), losses, _initial(case))


class _Grid:
    """The losses at points of the grid, in eighths of a decade, as they are asked for."""

    def __init__(self, case: Case, orders: int) -> None:
        self.losses: dict[int, float] = {}
        self._trained = partial(trained, case, orders=orders)

    def best(self, points: Iterable[int]) -> int:
        """The best of all points so far and these."""
        new = [point for point in points if point not in self.losses]
        for first in range(0, len(new), _AT_ONCE):
            some = new[first : first + _AT_ONCE]
            # Always as many at once: another number would be compiled anew.
            rates = 10 ** (np.resize(some, _AT_ONCE) / PER_DECADE)
            self.losses.update(zip(some, self._trained(rates).tolist(), strict=False))
        return min(self.losses, key=self.losses.__getitem__)


@cache
def _initial(case: Case) -> float:
    """The loss on the sample before training."""
    at = bench(case.task)
    return float(at.loss(at.start(case.seed), *at.sample))
