"""What makes a moving average that starts at 0 unbiased, on the host and on the device."""

from collections.abc import Sequence

from torch import Tensor

from layerwise.torch.optim import _internals as internals


def correction(steps: Sequence[Tensor], beta: float) -> list[float]:
    r"""For each parameter $1 - \beta^t$; every different step is computed once."""
    counts = [step.item() for step in steps]
    known = {count: 1 - beta**count for count in set(counts)}
    return [known[count] for count in counts]


def correction_on_device(steps: list[Tensor], beta: float) -> list[Tensor]:
    """The same as tensors, without waiting for the device."""
    corrections = list(internals.power(beta, steps))
    internals.subtract_(corrections, 1)
    internals.negate_(corrections)
    return corrections
