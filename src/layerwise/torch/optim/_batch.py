"""The tensors of several groups in one list, with the rate and the weight decay of each."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._internals import Lists

Row = TypeVar("Row")


@dataclass
class Batch:
    """Tensors on one device and of one dtype, each with what its group says.

    Attributes:
        lists: Parameters, gradients and optimizer states, aligned; a state that isn't used is an
            empty list.
        rates: The learning rate of each parameter. Where a step stays on the device they may be
            tensors of one element instead, which PyTorch's functions take in a number's place.
        weight_decays: The weight decay of each parameter.
        copied: The places of gradients that are copies, which may be overwritten, in order.
    """

    lists: Lists
    rates: list[float]
    weight_decays: list[float]
    copied: Sequence[int] = ()

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters."""
        return self.lists[0]

    @property
    def gradients(self) -> list[Tensor]:
        """The gradients, or what became of them in this step."""
        return self.lists[1]

    def by_rate(self) -> Iterator[tuple[float, float, Lists]]:
        """Each pair of rate and weight decay, and the lists of the tensors that have it."""
        pairs = list(zip(self.rates, self.weight_decays, strict=True))
        for (rate, weight_decay), places in places_by_value(pairs):
            if isinstance(places, slice):
                yield rate, weight_decay, [tensors[places] for tensors in self.lists]
            else:
                yield rate, weight_decay, [rows_at(tensors, places) for tensors in self.lists]

    def view_complex_as_real(self) -> None:
        """See complex tensors as real ones with one more dimension."""
        if any(tensor.is_complex() for tensor in self.parameters):
            self.lists = [
                [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
                for tensors in self.lists
            ]

    def negate_gradients(self) -> None:
        """Turn the gradients' signs, to maximize."""
        self.lists[1] = list(internals.negated(self.gradients))
        self.copied = range(len(self.gradients))

    def decay_weights(self, *, decoupled: bool) -> None:
        """Apply weight decay: to the parameters, or else to the gradients."""
        if decoupled:
            self._decay_parameters()
        else:
            self._decay_gradients()

    def _decay_gradients(self) -> None:
        """Add weight decay times the parameter to each gradient."""
        decayed = [place for place, decay in enumerate(self.weight_decays) if decay]
        if not decayed:
            return
        decays = rows_at(self.weight_decays, decayed)
        parameters, gradients = rows_at(self.parameters, decayed), rows_at(self.gradients, decayed)
        if self.copied:
            add_scaled_(gradients, parameters, decays)
            return
        sums = list(self.gradients)
        for decay, places in places_by_value(decays):
            found = internals.added(
                rows_at(gradients, places), rows_at(parameters, places), alpha=decay
            )
            for place, gradient in zip(rows_at(decayed, places), found, strict=True):
                sums[place] = gradient
        self.lists[1], self.copied = sums, decayed

    def _decay_parameters(self) -> None:
        """Multiply each parameter by 1 - rate * weight decay."""
        decayed = [place for place, decay in enumerate(self.weight_decays) if decay]
        if not decayed:
            return
        parameters = rows_at(self.parameters, decayed)
        pairs = [(self.rates[place], self.weight_decays[place]) for place in decayed]
        if any(isinstance(rate, Tensor) for rate, _ in pairs):
            # A list of factors on the device would be one call for each tensor.
            for (rate, decay), places in places_by_value(pairs):
                internals.multiply_(rows_at(parameters, places), 1 - rate * decay)
        else:
            internals.multiply_(parameters, [1 - rate * decay for rate, decay in pairs])


def rows_at(rows: list[Row], places: Sequence[int] | slice) -> list[Row]:
    """The rows at some places; none, if there are no rows at all."""
    if isinstance(places, slice):
        return rows[places]
    return [rows[place] for place in places] if rows else []


def places_by_value(values: Sequence[Row]) -> list[tuple[Row, Sequence[int] | slice]]:
    """Each different value, and where it stands; two tensors are different values.

    Places that follow each other are a slice, which takes a list apart several times faster.
    """
    found: dict[Hashable, list[int]] = {}
    for place, value in enumerate(values):
        found.setdefault(value, []).append(place)
    return [
        (
            values[places[0]],
            slice(places[0], places[-1] + 1)
            if places[-1] - places[0] == len(places) - 1
            else places,
        )
        for places in found.values()
    ]


def add_scaled_(tensors: list[Tensor], others: list[Tensor], factors: Sequence[float]) -> None:
    """Add to each tensor a factor times another one, in place.

    PyTorch rounds once here, and has no function that does so with a list of factors: this is one
    call for each different factor.
    """
    for factor, places in places_by_value(factors):
        internals.add_(rows_at(tensors, places), rows_at(others, places), alpha=factor)


def advance(steps: list[Tensor]) -> None:
    """Count one step more."""
    if steps[0].is_cpu:
        # As a tensor, since PyTorch would make one of the number for each step.
        internals.add_(steps, torch.tensor(1.0, device="cpu"), alpha=1.0)
    else:
        internals.add_(steps, 1)


def update_moments(
    means: list[Tensor],
    squares: list[Tensor],
    gradients: list[Tensor],
    beta1: float,
    beta2: float,
) -> None:
    """Move the averages of the gradients and of their squares on."""
    internals.lerp_(means, gradients, 1 - beta1)
    internals.multiply_(squares, beta2)
    internals.addcmul_(squares, gradients, gradients, 1 - beta2)
