"""The moments of Adam and its kin: moving averages, and what makes them unbiased."""

from collections.abc import Sequence

from torch import Tensor

from layerwise.torch.optim import _internals as internals


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


def correction(steps: Sequence[Tensor], beta: float) -> list[float]:
    r"""For each parameter $1 - \beta^t$; every different step is computed once."""
    counts = [step.item() for step in steps]
    corrections = {count: 1 - beta**count for count in set(counts)}
    return [corrections[count] for count in counts]


def correction_on_device(steps: list[Tensor], beta: float) -> list[Tensor]:
    """The same as tensors, without waiting for the device."""
    corrections = list(internals.power(beta, steps))
    internals.subtract_(corrections, 1)
    internals.negate_(corrections)
    return corrections
