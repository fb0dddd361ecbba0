"""What a transfer is, and a draw of the few labels that it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from layerwise.torch import layers_of

Kind = Literal["new head", "new classes", "input shift", "label shift", "from scratch"]
Half = Literal["tuned", "reported", "fresh"]
Levels = tuple[tuple[str, ...], ...]

# The oracle's: 0 is the head alone, 1 one rate for all, above 1 early layers are faster.
TILTS = (0.0, 0.3, 0.6, 1.0, 1.7, 3.0)

# Seeds of a draw's parts, so far apart that no two parts share one.
_MODEL, _BATCHES = 1_000_000, 2_000_000


class Examples(NamedTuple):
    """Inputs and labels; the first axis counts the examples."""

    x: Tensor
    y: Tensor

    def at(self, places: object) -> "Examples":
        """Those at these places."""
        chosen = torch.as_tensor(places)
        return Examples(self.x[chosen], self.y[chosen])


class Data(NamedTuple):
    """What labels are drawn from, and what is tested on."""

    pool: Examples
    test: Examples


@dataclass(frozen=True)
class Task:
    """A network that has learnt something, and something else for it to learn.

    Attributes:
        name: What it is called in tables.
        kind: What differs between the old task and the new one.
        half: Whether choices may be made on it.
        data: Gives the pool of examples and the test set.
        network: Gives the network before the training; what is new in it, such as a head, is
            drawn from PyTorch's random state.
        count: How many examples of each class a draw has; None draws as many again as the pool
            has, which is much data. For texts, whose labels are characters, how many in all.
        batch_size: Examples of an update.
        updates: Updates of a training.
        rates: The ends of the oracle's base rates, log10.
        rate_count: How many base rates the oracle has.
        tilts: The oracle's tilts.
        together: Whether trainings can be done at once: the network is small and has no buffers.
        bands: The most levels that rates are given to; deeper networks' are pooled.
    """

    name: str
    kind: Kind
    half: Half
    data: Callable[[], Data]
    network: Callable[[], nn.Module]
    count: int | None = 10
    batch_size: int = 20
    updates: int = 250
    rates: tuple[float, float] = (-4.0, -1.0)
    rate_count: int = 12
    tilts: tuple[float, ...] = TILTS
    together: bool = True
    bands: int = 6

    def draw(self, seed: int) -> "Draw":
        """The few labelled examples, and the head, that this seed gives."""
        return _draw(self, seed)


@dataclass(frozen=True, eq=False)
class Draw:
    """One user's lot: a task, few labels, and a new network.

    Attributes:
        task: What it is drawn from.
        seed: What it was drawn with.
        train: The examples to learn from.
        test: The examples that no method but an oracle may see.
    """

    task: Task
    seed: int
    train: Examples
    test: Examples

    def model(self) -> nn.Module:
        """The network as it is before the training; a new one, always with the same weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_MODEL + self.seed)
            return self.task.network()

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean cross-entropy; classes are the last axis."""
        return functional.cross_entropy(outputs.flatten(0, -2), labels.flatten())

    def batches(
        self, seed: int, updates: int | None = None, batch_size: int | None = None
    ) -> list[Examples]:
        """Batches, epoch after epoch, each shuffled; the same for the same seed.

        Args:
            seed: Of the order. 0 is the one that trainings have.
            updates: How many batches; by default a training's.
            batch_size: Their size; by default the task's.
        """
        return batches_of(
            self.train,
            _BATCHES + 1_000 * self.seed + seed,
            updates or self.task.updates,
            batch_size or self.task.batch_size,
        )

    @property
    def levels(self) -> Levels:
        """The names of the parameters by level, from input to head, at most ``task.bands``."""
        return levels_of(self.model(), self.task.bands)


def batches_of(examples: Examples, seed: int, updates: int, batch_size: int) -> list[Examples]:
    """Batches of some examples, epoch after epoch, each shuffled."""
    rng = np.random.default_rng(seed)
    total = len(examples.y)
    size = min(batch_size, total)
    per_epoch = total // size
    orders = [
        rng.permutation(total)[: per_epoch * size].reshape(per_epoch, size)
        for _ in range(-(-updates // per_epoch))
    ]
    return [examples.at(places) for places in np.concatenate(orders)[:updates]]


def levels_of(model: nn.Module, bands: int) -> Levels:
    """The model's levels; neighbours are joined where there are more than so many.

    The head stays alone, as it does for a user.
    """
    *body, head = layers_of(model)
    groups = min(bands - 1, len(body))
    joined: list[tuple[str, ...]] = [()] * groups
    for place, level in enumerate(body):
        joined[place * groups // len(body)] += tuple(level)
    return (*joined, tuple(head))


@cache
def _draw(task: Task, seed: int) -> Draw:
    data = task.data()
    rng = np.random.default_rng(seed)
    labels = data.pool.y
    if task.count is None:
        return Draw(task, seed, data.pool, data.test)
    if labels.ndim > 1:
        places = rng.permutation(len(labels))[: task.count]
    else:
        places = np.concatenate(
            [
                rng.permutation(np.flatnonzero(labels.numpy() == label))[: task.count]
                for label in labels.unique().tolist()
            ]
        )
    return Draw(task, seed, data.pool.at(places), data.test)
