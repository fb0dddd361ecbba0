"""The finder's protocol for bands on PyTorch: a rate for each band, and the loss held out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from layerwise.torch._finder.snapshot import copied
from layerwise.torch._finder.trainer import TorchTrainer

Loss = Callable[[Any], float]


@dataclass(frozen=True)
class BandOf:
    """Where a group of an optimizer gets its rate from.

    Attributes:
        band: The number of its band, or None for a fixed multiplier.
        multiplier: The multiplier on the rate of the band, or on the base rate.
    """

    band: int | None
    multiplier: float = 1.0


@contextmanager
def groups_by_band(optimizer: Optimizer, band_of: Mapping[int, BandOf]) -> Iterator[list[BandOf]]:
    """While the block runs, no group of an optimizer has parameters of two bands.

    Args:
        optimizer: The optimizer.
        band_of: The band of each parameter, by ``id``; others train at the base rate.

    Yields:
        The band of each group.
    """
    before, bands, groups = list(optimizer.param_groups), list[BandOf](), []
    for group in before:
        members: dict[BandOf, list[Tensor]] = {}
        for tensor in group["params"]:
            members.setdefault(band_of.get(id(tensor), BandOf(None)), []).append(tensor)
        for band, tensors in members.items():
            rate = group["lr"]
            own = rate.clone() if isinstance(rate, Tensor) else rate
            groups.append({**group, "params": tensors, "lr": own})
            bands.append(band)
    optimizer.param_groups[:] = groups
    try:
        yield bands
    finally:
        optimizer.param_groups[:] = before


class BandsTrainer:
    """Trains at a rate for each band; see ``layerwise.finder.RatesTrainer``.

    Args:
        trainer: What trains, and puts everything back.
        bands: The band of each group.
        members: The parameters of each band.
        model: The model.
        loss: The loss of a batch, without an update; None to train at the rate 0 instead.
        gathers: Whether an update takes the tuple of its batches; else it takes the only one.
        mean: Makes a loss the mean over all processes.
        on_host: Whether the weights that bands begin at are kept in the host's memory.
    """

    def __init__(
        self,
        trainer: TorchTrainer,
        bands: Sequence[BandOf],
        *,
        members: Sequence[Sequence[Tensor]],
        model: nn.Module,
        loss: Loss | None,
        gathers: bool,
        mean: Callable[[float], float],
        on_host: bool = False,
    ) -> None:
        self._trainer, self._bands = trainer, bands
        self._members, self._model, self._loss, self._mean = members, model, loss, mean
        self._gathers, self._on_host = gathers, on_host
        self._start: list[list[Tensor]] | None = None

    def snapshot(self) -> Callable[[], None]:
        """See ``layerwise.finder.RatesTrainer``."""
        self._start = [[copied(tensor, self._on_host) for tensor in band] for band in self._members]
        return self._trainer.snapshot()

    def restore(self, state: Callable[[], None]) -> None:
        """See ``layerwise.finder.RatesTrainer``."""
        self._trainer.restore(state)

    def train(self, batch: Sequence[object], rates: Sequence[float]) -> float:
        """See ``layerwise.finder.RatesTrainer``."""
        base = max(rates)
        return self._update(
            batch, [(base if b.band is None else rates[b.band]) * b.multiplier for b in self._bands]
        )

    def score(
        self, batches: Sequence[Sequence[object]], stretch: Sequence[float] | None = None
    ) -> float:
        """See ``layerwise.finder.RatesTrainer``."""
        with self._moved(stretch):
            if self._loss is None:
                zeros = [0.0] * len(self._bands)
                return sum(self._update(batch, zeros) for batch in batches) / len(batches)
            with _evaluating(self._model):
                losses = [self._loss(one) for batch in batches for one in batch]
        return self._mean(sum(losses) / len(losses))

    def _update(self, batch: Sequence[object], rates: Sequence[float]) -> float:
        return self._trainer.update(batch if self._gathers else batch[0], rates)

    @contextmanager
    def _moved(self, stretch: Sequence[float] | None) -> Iterator[None]:
        """While the block runs, bands are further along their way."""
        if stretch is None or self._start is None:
            yield
            return
        moved = [
            (tensor, copied(tensor, on_host=False), begin, far)
            for band, start, far in zip(self._members, self._start, stretch, strict=True)
            for tensor, begin in zip(band, start, strict=True)
            if far != 1.0
        ]
        try:
            with torch.no_grad():
                for tensor, here, begin, far in moved:
                    begun = begin.to(tensor.device)
                    tensor.copy_(begun + far * (here - begun))
            yield
        finally:
            with torch.no_grad():
                for tensor, here, _, _ in moved:
                    tensor.copy_(here)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """While the block runs, a model is in evaluation mode; then each module is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
