"""The oracle: full trainings at a fine grid of rates, kept on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import _optimizers
from ._training import bench, cosine

RESULTS = Path(__file__).parent.parent / "results" / "finder"
PER_DECADE = 8
STEPS = 400
_ENDS = (-6.0, 2.0)  # log10; beyond them no rate is tried
_AT_ONCE = 12

# Seeds of the batches' order: a finder never sees the order that is trained with.
_TRAINING, _FINDING = 1_000, 2_000


@dataclass(frozen=True)
class Case:
    """A task with an optimizer and a seed."""

    task: str
    optimizer: str
    seed: int

    def __str__(self) -> str:
        return f"{self.task} {self.optimizer} {self.seed}"


@dataclass(frozen=True)
class Oracle:
    """What training gives at each rate of the grid.

    Attributes:
        rates: The grid, rising.
        losses: The trained networks' losses on the sample; infinite where training broke.
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
        """(loss - best) / (initial - best), at most 1: as good as no training."""
        best = self.losses.min()
        part = (loss - best) / (self.initial - best)
        return float(min(part, 1.0)) if np.isfinite(part) else 1.0


def finder_order(case: Case, steps: int) -> np.ndarray[Any, Any]:
    """The batches that a finder is given."""
    return bench(case.task).order(_FINDING + case.seed, steps)


def trained(case: Case, rates: Any, steps: int = STEPS) -> np.ndarray[Any, Any]:
    """The losses after trainings with a cosine from these rates to 0."""
    at = bench(case.task)
    order = at.order(_TRAINING + case.seed, steps)
    _, losses = at.train(case.optimizer, at.start(case.seed), order, cosine(rates, steps))
    return np.where(np.isfinite(losses), losses, np.inf)


def oracle(case: Case, steps: int = STEPS) -> Oracle:
    """The grid's trainings, from disk where they have been made before."""
    place = RESULTS / "oracle" / f"{case.task}-{case.optimizer}-{case.seed}-{steps}.npz"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        found = _search(case, steps)
        np.savez(place, rates=found.rates, losses=found.losses, initial=found.initial)
    kept = np.load(place)
    return Oracle(kept["rates"], kept["losses"], float(kept["initial"]))


def _search(case: Case, steps: int) -> Oracle:
    """Two rates a decade over the whole range, then eight around the best of these."""
    low, high = (round(end * PER_DECADE) for end in _optimizers.GRIDS[case.optimizer])
    losses: dict[int, float] = {}

    def measure(points: list[int]) -> int:
        new = [point for point in points if point not in losses]
        for first in range(0, len(new), _AT_ONCE):
            some = new[first : first + _AT_ONCE]
            # Always as many at once: another number would be compiled anew.
            rates = 10 ** (np.resize(some, _AT_ONCE) / PER_DECADE)
            losses.update(zip(some, trained(case, rates, steps).tolist(), strict=False))
        return min(losses, key=losses.__getitem__)

    best = measure(list(range(low, high + 1, PER_DECADE // 2)))
    while best >= max(losses) - PER_DECADE // 2 and max(losses) < _ENDS[1] * PER_DECADE:
        best = measure([max(losses) + PER_DECADE // 2])
    while best <= min(losses) + PER_DECADE // 2 and min(losses) > _ENDS[0] * PER_DECADE:
        best = measure([min(losses) - PER_DECADE // 2])
    measure(list(range(best - 6, best + 7)))
    at = bench(case.task)
    initial = float(at.loss(at.start(case.seed), *at.sample))
    points = sorted(losses)
    found = np.array([losses[point] for point in points])
    return Oracle(10 ** (np.array(points) / PER_DECADE), found, initial)
