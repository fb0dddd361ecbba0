"""Gradients that are taken from frozen parameters while the optimizer steps.

Every PyTorch optimizer skips a parameter that has no gradient. So a frozen group is left out of a
step, with its weight decay and state, by withholding its gradients: they are taken from the
parameters before ``optimizer.step()``, NaN or not, and put back after it.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor


class WithheldGradients:
    """The gradients of frozen parameters, where the optimizer can't see them."""

    def __init__(self) -> None:
        self._kept: list[tuple[Tensor, Tensor]] = []

    def take(self, groups: Sequence[dict[str, Any]]) -> None:
        """Take the gradients of these groups from their parameters."""
        for group in groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    self._kept.append((tensor, tensor.grad))
                    tensor.grad = None

    def give_back(self) -> None:
        """Put them back in their places."""
        for tensor, gradient in self._kept:
            tensor.grad = gradient
        self.forget()

    def forget(self) -> None:
        """Drop them: they are from a step that has failed."""
        self._kept.clear()
