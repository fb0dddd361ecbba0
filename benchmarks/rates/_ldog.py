"""L-DoG: rates without a rate, from how far each tensor has gone and how large its gradients were.

Source: Ivgi, Hinder and Carmon, "DoG is SGD's Best Friend" (ICML 2023).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

_EPSILON = 1e-8
_GAMMA = 8  # of the average, as the paper has it


class LDoG:
    """L-DoG over some tensors, with the average of its path.

    The rate of a tensor is the farthest that it has been from its start, over the root of the sum
    of its squared gradients. At first the farthest is ``first * (1 + norm)``.

    Args:
        parameters: The tensors.
        first: How far the first step goes; the authors say 1e-6, and 1e-4 with batch norms.
    """

    def __init__(self, parameters: Iterable[Tensor], first: float = 1e-6) -> None:
        self._parameters = list(parameters)
        self._starts = [p.detach().clone() for p in self._parameters]
        self._farthest = [first * (1 + p.detach().norm()) for p in self._parameters]
        self._squares = [torch.tensor(_EPSILON) for _ in self._parameters]
        self._averages = [p.detach().clone() for p in self._parameters]
        self._steps = 0

    def zero_grad(self) -> None:
        """Leave no gradient."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One update, after which the average goes on too."""
        self._steps += 1
        share = (1 + _GAMMA) / (self._steps + _GAMMA)
        for place, parameter in enumerate(self._parameters):
            if parameter.grad is not None:
                gone = (parameter - self._starts[place]).norm()
                self._farthest[place] = torch.maximum(self._farthest[place], gone)
                self._squares[place] = self._squares[place] + parameter.grad.square().sum()
                rate = self._farthest[place] / self._squares[place].sqrt()
                parameter.sub_(rate * parameter.grad)
            self._averages[place].lerp_(parameter, share)

    @torch.no_grad()
    def take_average(self) -> None:
        """Put the average of the path, in which later steps count more, into the tensors."""
        for parameter, average in zip(self._parameters, self._averages, strict=True):
            parameter.copy_(average)
