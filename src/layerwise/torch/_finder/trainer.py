"""The finder's protocol on PyTorch: snapshot, restore, and one update at a rate."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from layerwise.torch._finder.processes import Processes
from layerwise.torch._finder.random_states import random_states
from layerwise.torch._finder.snapshot import Snapshot
from layerwise.torch._finder.update import Update, parameters_of, scalar
from layerwise.torch._groups.base_rate import set_rates

_TRIES = 24  # a scale of 2**16 is below 2**-7 then


class TorchTrainer:
    """Trains a model's batches at given rates, and puts everything back.

    Args:
        model: The model.
        optimizer: Its optimizer.
        update: Applies one update on a batch and gives the loss from before it.
        factors: What each group's rate is of the base rate.
        modules: All modules that training may change, the model among them.
        stateful: What else training changes, and has a ``state_dict``.
        loader: Where the batches come from, for its random generators.
        scaler: What may leave updates out, or None.
        ranks: The processes that train together.
        host: Whether the snapshot is kept in the host's memory.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        update: Callable[[Any], Any],
        *,
        factors: list[float],
        modules: Sequence[nn.Module],
        stateful: Sequence[Any],
        loader: Iterable[Any],
        scaler: Any,
        ranks: Processes,
        host: bool,
    ) -> None:
        self._model, self._optimizer, self._update = model, optimizer, update
        self._factors, self._modules, self._stateful = factors, modules, stateful
        self._loader, self._scaler, self._ranks, self._host = loader, scaler, ranks, host
        self._begun = False

    def snapshot(self) -> Callable[[], None]:
        """See ``layerwise.finder.Trainer``."""
        # A step of the caller's own may write into any gradient.
        ours = isinstance(self._update, Update)
        keeper = Snapshot(self._host, parameters_of(self._model, self._optimizer) if ours else ())
        for thing in self._stateful:
            keeper.stateful(thing)
        for module in self._modules:
            keeper.module(module)
        keeper.optimizer(self._optimizer)
        if self._scaler is not None:
            keeper.inside(self._scaler)
        devices = {tensor.device for each in self._modules for tensor in each.parameters()}
        random = random_states(devices, self._loader)

        def put_back() -> None:
            keeper.put_back()
            random()

        return put_back

    def restore(self, state: Callable[[], None]) -> None:
        """See ``layerwise.finder.Trainer``."""
        state()
        self._begun = False

    def train(self, batch: Any, rate: float) -> float:
        """See ``layerwise.finder.Trainer``."""
        if not self._begun:
            self._begin()
        for _ in range(_TRIES):
            set_rates(self._optimizer, rate, self._factors)
            scale = self._scale()
            with torch.enable_grad():
                loss = self._ranks.mean(scalar(self._update(batch)))
            if not self._scale() < scale:
                return loss
            if not math.isfinite(loss):
                break
        return math.nan

    def _begin(self) -> None:
        """Start as a training loop does: in training mode and without gradients."""
        self._begun = True
        if not self._model.training:
            self._model.train()
        for tensor in parameters_of(self._model, self._optimizer):
            tensor.grad = None

    def _scale(self) -> float:
        return 0.0 if self._scaler is None else float(self._scaler.get_scale())
