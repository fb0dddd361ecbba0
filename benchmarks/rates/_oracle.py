"""The oracle: trainings on a grid of base rate and tilt, of which the test set chooses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ._kept import Kept
from ._task import TILTS, Draw, Levels, Task
from ._together import train_together
from ._training import Trained, scores, train

_AT_ONCE = 36


@dataclass(frozen=True)
class Oracle:
    """What each cell of the grid ends with.

    Attributes:
        cells: The trainings by tilt and rate.
        untrained: Test loss and accuracy of the network as it is before the training.
    """

    cells: Mapping[tuple[float, float], Trained]
    untrained: Trained

    def best(self, tilts: tuple[float, ...] = TILTS) -> tuple[float, float]:
        """Tilt and rate with the lowest test loss, among some tilts."""
        return min(
            (cell for cell in self.cells if cell[0] in tilts),
            key=lambda cell: self.cells[cell].test_loss,
        )

    @property
    def single(self) -> Trained:
        """The best training with one rate for all layers, chosen on the test set."""
        return self.cells[self.best((1.0,))]

    @property
    def lowest(self) -> Trained:
        """The best training of all, chosen on the test set."""
        return self.cells[self.best()]


def tilted(levels: Levels, tilt: float) -> dict[str, float]:
    """The multiplier of each parameter: tilt ** (levels below the head), the largest being 1.

    A tilt of 0 is the head alone, of 1 one rate for all, above 1 early layers are faster.
    """
    factors = [tilt**depth for depth in range(len(levels))][::-1]
    top = max(factors)
    return {
        name: factor / top for factor, level in zip(factors, levels, strict=True) for name in level
    }


def rates_of(task: Task) -> list[float]:
    """The base rates of the grid."""
    rates: list[float] = np.logspace(*task.rates, task.rate_count).tolist()
    return rates


def grid(task: Task) -> Iterator[tuple[float, float]]:
    """The cells: tilt and rate."""
    return ((tilt, rate) for tilt in task.tilts for rate in rates_of(task))


def oracle(draw: Draw, kept: Kept) -> Oracle:
    """The trainings of the grid; those that are kept are not done again."""
    levels = draw.levels
    names = {cell: f"tilt {cell[0]:g} rate {cell[1]:.4g}" for cell in grid(draw.task)}
    missing = [cell for cell, name in names.items() if not kept.has(name)]
    at_once = _AT_ONCE if draw.task.together else 1
    for first in range(0, len(missing), at_once):
        some = missing[first : first + at_once]
        factors = [(tilted(levels, tilt), rate) for tilt, rate in some]
        if draw.task.together:
            found = train_together(
                draw,
                [{name: rate * f for name, f in rules.items()} for rules, rate in factors],
            )
        else:
            found = [train(draw, rules, rate) for rules, rate in factors]
        for cell, trained in zip(some, found, strict=True):
            kept.put(names[cell], trained)
    cells = {cell: Trained(**kept.read(name)) for cell, name in names.items()}
    return Oracle(cells, Trained(**kept.get("untrained", lambda: untrained(draw))))


def untrained(draw: Draw) -> Trained:
    """What the network is worth before the training."""
    model = draw.model()
    loss, accuracy = scores(draw, model, draw.test)
    return Trained(loss, accuracy, scores(draw, model, draw.train)[0])
