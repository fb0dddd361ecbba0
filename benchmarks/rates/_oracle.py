"""The oracle: trainings on a grid of base rate and tilt, of which the test set chooses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._kept import Kept
from ._task import TILTS, Draw, Levels, Task
from ._together import train_together
from ._training import Trained, scores, train

_AT_ONCE = 36
_MOST_BEYOND = 6  # rates of a tilt


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


def rate_at(task: Task, place: int) -> float:
    """A base rate of the grid, which goes on evenly beyond its ends."""
    low, high = task.rates
    return float(10 ** (low + place * (high - low) / (task.rate_count - 1)))


def oracle(draw: Draw, kept: Kept) -> Oracle:
    """The trainings of the grid; those that are kept are not done again.

    Where a tilt's best rate lies at an end of the grid, it goes on there.
    """
    task = draw.task
    found: dict[tuple[float, int], Trained] = {}
    wanted = [(tilt, place) for tilt in task.tilts for place in range(task.rate_count)]
    while wanted:
        found |= _trained(draw, kept, wanted)
        wanted = [cell for tilt in task.tilts for cell in _beyond(found, tilt, task.rate_count)]
    cells = {(tilt, rate_at(task, place)): ended for (tilt, place), ended in found.items()}
    return Oracle(cells, Trained(**kept.get("untrained", lambda: untrained(draw))))


def _beyond(
    found: Mapping[tuple[float, int], Trained], tilt: float, count: int
) -> list[tuple[float, int]]:
    """The cells to go on with for a tilt: two beyond the end that its best lies at."""
    losses = {place: ended.test_loss for (of, place), ended in found.items() if of == tilt}
    first, last = min(losses), max(losses)
    best = min(losses, key=losses.__getitem__)
    if len(losses) >= count + _MOST_BEYOND or first < best < last:
        return []
    return [(tilt, best + step) for step in ((-2, -1) if best == first else (1, 2))]


def _trained(
    draw: Draw, kept: Kept, cells: Sequence[tuple[float, int]]
) -> dict[tuple[float, int], Trained]:
    levels, task = draw.levels, draw.task
    names = {
        (tilt, place): f"tilt {tilt:g} rate {rate_at(task, place):.4g}" for tilt, place in cells
    }
    missing = [cell for cell in cells if not kept.has(names[cell])]
    for first in range(0, len(missing), _AT_ONCE if task.together else 1):
        some = missing[first : first + (_AT_ONCE if task.together else 1)]
        settings = [(tilted(levels, tilt), rate_at(task, place)) for tilt, place in some]
        if task.together:
            rows = [{name: rate * m for name, m in rules.items()} for rules, rate in settings]
            ended = train_together(draw, rows)
        else:
            ended = [train(draw, rules, rate) for rules, rate in settings]
        for cell, trained in zip(some, ended, strict=True):
            kept.put(names[cell], trained)
    return {cell: Trained(**kept.read(names[cell])) for cell in cells}


def untrained(draw: Draw) -> Trained:
    """What the network is worth before the training."""
    model = draw.model()
    loss, accuracy = scores(draw, model, draw.test)
    return Trained(loss, accuracy, scores(draw, model, draw.train)[0])
