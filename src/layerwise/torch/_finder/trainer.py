"""The finder's protocol on PyTorch: snapshot, restore, and one update at a rate."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from layerwise.torch._finder.processes import Processes
from layerwise.torch._finder.random_states import random_states
from layerwise.torch._finder.snapshot import Snapshot, Stateful
from layerwise.torch._finder.update import Update, parameters_of, scalar
from layerwise.torch._groups.base_rate import write
from layerwise.torch._optimizer.inner_optimizer import hookable
from layerwise.torch._optimizer.optimizer_set import Optimizers, OptimizerSet

_TRIES = 24  # enough for the usual first scale of 2**16 to go below 2**-7


def trainer_of(
    update: Update,
    step: Callable[[Any], object] | None,
    *,
    factors: Sequence[float | None],
    also: Iterable[object],
    stateful: Sequence[Stateful],
    loaders: Sequence[object],
    ranks: Processes,
    memory: str,
) -> "TorchTrainer":
    """What trains by an update, or by a training step of the user's in its place.

    Args:
        update: The update.
        step: The training step, or None.
        factors: See ``TorchTrainer``.
        also: What else training may change; its modules are restored with the model and the loss.
        stateful: See ``TorchTrainer``.
        loaders: See ``TorchTrainer``.
        ranks: See ``TorchTrainer``.
        memory: Where the snapshot is kept: ``"host"``, or where the model is.
    """
    things = (update.model, update.loss, *also)
    return TorchTrainer(
        update.model,
        update.optimizers,
        step or update,
        factors=factors,
        modules=[thing for thing in things if isinstance(thing, nn.Module)],
        stateful=stateful,
        loaders=loaders,
        scaler=update.scaler,
        ranks=ranks,
        on_host=memory == "host",
    )


class TorchTrainer:
    """Trains a model's batches at given rates, and puts everything back.

    Args:
        model: The model.
        optimizer: Its optimizer, or several.
        update: Applies one update on a batch and gives the loss from before it.
        factors: The factor of each group's rate on the base rate; None for a rate that is held.
        modules: All modules that training may change, the model among them.
        stateful: What else training changes, and has a ``state_dict``.
        loaders: Where batches come from, for their random generators.
        scaler: What may skip updates, or None.
        ranks: The processes that train together.
        on_host: Whether the snapshot is kept in the host's memory.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers | OptimizerSet,
        update: Callable[[Any], object],
        *,
        factors: Sequence[float | None],
        modules: Sequence[nn.Module],
        stateful: Sequence[Stateful],
        loaders: Sequence[object],
        scaler: GradScaler | None,
        ranks: Processes,
        on_host: bool,
    ) -> None:
        self._model, self._update = model, update
        self._optimizers = OptimizerSet.of(optimizer)
        self._factors, self._modules, self._stateful = factors, modules, stateful
        self._loaders, self._scaler, self._ranks, self._on_host = loaders, scaler, ranks, on_host
        self._begun = False

    def snapshot(self) -> Callable[[], None]:
        """See ``layerwise.finder.Trainer``."""
        # A training step of the user's may write into any gradient; ours replaces them.
        ours = isinstance(self._update, Update)
        replaced = parameters_of(self._model, self._optimizers) if ours else ()
        snapshot = Snapshot(self._on_host, replaced)
        for thing in self._stateful:
            snapshot.stateful(thing)
        for module in self._modules:
            snapshot.module(module)
        for optimizer in self._optimizers.optimizers:
            snapshot.optimizer(optimizer)
        if self._scaler is not None:
            snapshot.contents(self._scaler)
        devices = {tensor.device for each in self._modules for tensor in each.parameters()}
        restore_random = random_states(devices, self._loaders)

        def restore() -> None:
            snapshot.restore()
            restore_random()

        return restore

    def restore(self, state: Callable[[], None]) -> None:
        """See ``layerwise.finder.Trainer``."""
        state()
        self._begun = False

    def train(self, batch: object, rate: float) -> float:
        """See ``layerwise.finder.Trainer``."""
        return self.update(batch, [None if f is None else rate * f for f in self._factors])

    def update(self, batch: object, rates: Sequence[float | None]) -> float:
        """Apply one update at a rate for each group, and return the loss from before it.

        A group whose rate is None keeps the one that it has. If the scaler leaves out every
        optimizer, the update is tried again; those that it leaves out beside others miss it, as
        in any training.
        """
        if not self._begun:
            self._begin()
        for _ in range(_TRIES):
            for group, each in zip(self._optimizers.groups(), rates, strict=True):
                if each is not None:
                    write(group, "lr", each)
            scale = self._scale()
            with torch.enable_grad(), self._stepping() as stepped:
                loss = self._ranks.mean(scalar(self._update(batch)))
            if stepped or not self._scale() < scale:
                return loss
            if not math.isfinite(loss):
                break
        return math.nan

    def _begin(self) -> None:
        """Start as a training loop does: in training mode and without gradients."""
        self._begun = True
        if not self._model.training:
            self._model.train()
        for tensor in parameters_of(self._model, self._optimizers):
            tensor.grad = None

    @contextmanager
    def _stepping(self) -> Iterator[list[Optimizer]]:
        """Yields the optimizers that have stepped, where a scaler may leave some of them out."""
        stepped: list[Optimizer] = []

        def after(optimizer: Optimizer, *_: object) -> None:
            # A fused optimizer leaves an update out by itself if the scaler tells it to.
            if not float(getattr(optimizer, "found_inf", 0.0)):
                stepped.append(optimizer)

        several = self._optimizers.optimizers if self._scaler is not None else ()
        handles = [hookable(each).register_step_post_hook(after) for each in several]
        try:
            yield stepped
        finally:
            for handle in handles:
                handle.remove()

    def _scale(self) -> float:
        return 0.0 if self._scaler is None else float(self._scaler.get_scale())
