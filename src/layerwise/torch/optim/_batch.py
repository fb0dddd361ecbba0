"""The tensors of several groups in one list, with the rate and the weight decay of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._internals import Lists

Row = TypeVar("Row")


@dataclass(frozen=True)
class Run:
    """What a group says of its tensors, which stand side by side.

    Attributes:
        rate: Their learning rate. Where a step stays on the device it may be a tensor of one
            element instead, which PyTorch's functions take in a number's place.
        weight_decay: Their weight decay.
        start: Where the first of them stands.
        end: Where the next group's begin.
    """

    rate: float
    weight_decay: float
    start: int
    end: int

    def of(self, rows: list[Row]) -> list[Row]:
        """The group's part of a list; of an empty list nothing."""
        return rows[self.start : self.end]


@dataclass
class Batch:
    """Tensors on one device and of one dtype.

    Attributes:
        lists: Parameters, gradients and optimizer states, aligned; a state that isn't used is an
            empty list.
        runs: The groups, in the order of their tensors.
        copied: The groups whose gradients are copies by now, which may be overwritten.
    """

    lists: Lists
    runs: Sequence[Run]
    copied: Sequence[Run] = ()

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters."""
        return self.lists[0]

    @property
    def gradients(self) -> list[Tensor]:
        """The gradients, or what became of them in this step."""
        return self.lists[1]

    @property
    def rates(self) -> list[float]:
        """The rate of each parameter."""
        return [run.rate for run in self.runs for _ in range(run.start, run.end)]

    def by_group(self) -> Iterator[tuple[Run, Lists]]:
        """Each group, and its part of the lists."""
        for run in self.runs:
            yield run, [run.of(tensors) for tensors in self.lists]

    def view_complex_as_real(self) -> None:
        """See complex tensors as real ones with one more dimension."""
        if any(tensor.is_complex() for tensor in self.parameters):
            self.lists = [
                [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
                for tensors in self.lists
            ]

    def negate_gradients(self) -> None:
        """Turn the gradients' signs, to maximize."""
        self.lists[1], self.copied = list(internals.negated(self.gradients)), self.runs

    def decay_weights(self, *, decoupled: bool) -> None:
        """Apply weight decay: to the parameters, or else to the gradients."""
        decayed = [run for run in self.runs if run.weight_decay]
        if not decayed:
            return
        if decoupled:
            self._decay_parameters(decayed)
            return
        copied, self.lists[1] = bool(self.copied), list(self.gradients)
        for decay, runs in by_value([(run.weight_decay, run) for run in decayed]):
            gradients, parameters = rows_of(runs, self.gradients), rows_of(runs, self.parameters)
            if copied:
                internals.add_(gradients, parameters, alpha=decay)
            else:
                put(runs, self.gradients, internals.added(gradients, parameters, alpha=decay))
        self.copied = self.copied or decayed

    def _decay_parameters(self, decayed: Sequence[Run]) -> None:
        """Multiply each parameter by 1 - rate * weight decay."""
        if any(isinstance(run.rate, Tensor) for run in decayed):
            # A list of factors on the device would be one call for each tensor.
            for run in decayed:
                internals.multiply_(run.of(self.parameters), 1 - run.rate * run.weight_decay)
            return
        factors = [
            factor
            for run in decayed
            for factor in [1 - run.rate * run.weight_decay] * (run.end - run.start)
        ]
        internals.multiply_(rows_of(decayed, self.parameters), factors)

    def divide_by_rates(self, tensors: list[Tensor]) -> None:
        """Divide one tensor for each parameter by its rate."""
        if any(isinstance(run.rate, Tensor) for run in self.runs):
            internals.divide_(tensors, self.rates)
            return
        # On a GPU a list of numbers is divided by in another way than one number.
        for rate, runs in by_value([(run.rate, run) for run in self.runs]):
            internals.divide_(rows_of(runs, tensors), rate)


def by_value(pairs: Sequence[tuple[float, Run]]) -> list[tuple[float, list[Run]]]:
    """Each different value, and the groups that have it; two tensors are different values."""
    found: dict[float, list[Run]] = {}
    for value, run in pairs:
        found.setdefault(value, []).append(run)
    return list(found.items())


def rows_of(runs: Sequence[Run], rows: list[Row]) -> list[Row]:
    """What belongs to some groups in a list."""
    return [row for run in runs for row in run.of(rows)]


def put(runs: Sequence[Run], rows: list[Row], new: Sequence[Row]) -> None:
    """Put rows in the places of some groups' ones."""
    start = 0
    for run in runs:
        end = start + run.end - run.start
        rows[run.start : run.end] = new[start:end]
        start = end


def advance(steps: list[Tensor]) -> None:
    """Count one step more."""
    if steps[0].is_cpu:
        # As a tensor, since PyTorch would make one of the number for each step.
        internals.add_(steps, torch.tensor(1.0, device="cpu"), alpha=1.0)
    else:
        internals.add_(steps, 1)
