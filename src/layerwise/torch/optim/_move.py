"""Parameters moved along a direction, each by its own rate, rounded once as PyTorch rounds."""

from torch import Tensor

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._batch import Batch, by_value, rows_of


class Ones:
    """Tensors of ones on one device and of one dtype, which share the memory of the largest."""

    def __init__(self) -> None:
        self._flat: Tensor | None = None
        self._views: dict[tuple[int, ...], Tensor] = {}

    def like(self, tensors: list[Tensor]) -> list[Tensor]:
        """Ones of these shapes; each shape is made once."""
        missing = [tensor for tensor in tensors if tensor.shape not in self._views]
        if missing:
            most = max(tensor.numel() for tensor in missing)
            if self._flat is None or self._flat.numel() < most:
                self._flat = missing[0].new_ones(most)
            for tensor in missing:
                self._views[tensor.shape] = self._flat[: tensor.numel()].view(tensor.shape)
        return [self._views[tensor.shape] for tensor in tensors]


def move(batch: Batch, directions: list[Tensor], ones: Ones) -> None:
    """Take from each parameter its rate times a direction.

    PyTorch multiplies and adds with a single rounding here, but has no function that does so with a
    list of rates. On a GPU its function for parameter + rate * direction * other rounds alike, and
    takes a list: the other tensor is all ones. Elsewhere this is a call for each different rate.
    """
    parameters = batch.parameters
    by_rate = by_value([(-run.rate, run) for run in batch.runs])
    listed = len(by_rate) > 1 and parameters[0].is_cuda and not isinstance(by_rate[0][0], Tensor)
    if listed and all(t.is_contiguous() for tensors in (parameters, directions) for t in tensors):
        factors = [-rate for rate in batch.rates]
        internals.addcmul_(parameters, directions, ones.like(parameters), factors)
        return
    for factor, runs in by_rate:
        internals.add_(rows_of(runs, parameters), rows_of(runs, directions), alpha=factor)
