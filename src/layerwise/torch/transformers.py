"""Recorder for Transformers: a callback. Importing this module imports ``transformers``."""

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import TrainerCallback, TrainerState, TrainingArguments

from layerwise.recorder import RecorderWarning, metric_columns
from layerwise.torch._recorder.trainer_recorder import TrainerRecorder
from layerwise.torch._scheduler.schedule_lr import ScheduleLR

__all__ = ["Recorder"]

_NO_LOSS = (
    "The model's outputs have no loss while it trains, so no loss is recorded. If you have a loss "
    "function, wrap it: Trainer(..., compute_loss_func=recorder.of(function))."
)
_SMOOTHED = (
    "The Trainer computes the loss itself where it smooths labels (label_smoothing_factor={}), so "
    "no loss is recorded. Before training, set "
    "trainer.label_smoother = recorder.of(trainer.label_smoother)."
)


class Recorder(TrainerRecorder, TrainerCallback):
    """Writes ``<run>/record.jsonl`` while the Transformers ``Trainer`` trains a model.

    Each row is one update: its loss, and each parameter group's rate as the update used it.
    The ``Trainer`` logs a mean of several updates and gives its callbacks no loss, so the loss is
    taken from the model's outputs, by a forward hook that is removed at the end of training;
    under gradient accumulation, from all batches of the update. A loss that the model doesn't
    compute (``compute_loss_func``, smoothed labels) must go through ``of``. An epoch's row has the
    metrics of the evaluation at its end. Of several processes the first one writes, with the loss
    of its batches.

    Args:
        run: The run's folder, made if need be.
        every: Keep the updates whose step is a multiple of this.
        ratios: Every so many steps, record how far the update moved each layer; None: never.
        sinks: What else gets the rows, such as ``layerwise.recorder.TensorBoard(...)``.
        wait: Seconds that a row may wait on the device.

    Raises:
        RecorderError: When training begins: an argument is not usable, or the folder can't be
            written to.

    Examples:
        >>> import tempfile
        >>> from layerwise.torch.transformers import Recorder
        >>> recorder = Recorder(tempfile.mkdtemp(), ratios=100)
        >>> # Trainer(model, args, callbacks=[recorder], ...).train()
        >>> recorder.run.is_dir()
        True
    """

    _hook: RemovableHandle | None = None
    _losses: list[Tensor] | None = None
    _shares = False
    _factor = 1.0
    _epoch: dict[str, Any] | None = None
    _at = 0
    _warned = False

    def of(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Wrap a ``compute_loss_func``, so that its losses are recorded.

        Where the ``Trainer`` smooths labels it has such a function, too:
        ``trainer.label_smoother = recorder.of(trainer.label_smoother)``.

        Args:
            function: ``(outputs, labels, num_items_in_batch=None) -> loss``.

        Returns:
            A function that takes and returns the same.
        """

        @wraps(function)
        def recorded(
            outputs: object,
            labels: object,
            num_items_in_batch: int | Tensor | None = None,
            **options: Any,
        ) -> Tensor:
            loss = function(outputs, labels, num_items_in_batch=num_items_in_batch, **options)
            self._take(loss, num_items_in_batch is not None)
            return loss

        return recorded

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: object, **kwargs: Any
    ) -> None:
        """Open the record."""
        if not state.is_world_process_zero:
            return
        model, optimizer = kwargs["model"], kwargs["optimizer"]
        self._factor = _factor_on_shares(args, model)
        scheduler = kwargs.get("lr_scheduler")
        scheduler = getattr(scheduler, "scheduler", scheduler)  # Accelerate wraps it
        self._open(
            scheduler if isinstance(scheduler, ScheduleLR) else optimizer, model, state.global_step
        )
        self._losses, self._epoch = None, None
        self._hook = model.register_forward_hook(self._forward, with_kwargs=True)

    def on_step_begin(
        self, args: object, state: TrainerState, control: object, **_: object
    ) -> None:
        """Begin an update, with no loss yet."""
        self._write_epoch()
        self._losses = None if self._record is None else []
        self._at = int((state.epoch or 0) + 1e-6)  # a fraction of epochs; 1e-6 for rounding

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: object, **_: object
    ) -> None:
        """Record the update. The Trainer has counted its step already."""
        if self._record is None:
            return
        if not self._losses and not self._warned:
            self._warned = True
            smoothing = getattr(args, "label_smoothing_factor", 0)
            text = _SMOOTHED.format(smoothing) if smoothing else _NO_LOSS
            warnings.warn(text, RecorderWarning, stacklevel=2)
        self._record.log(step=state.global_step - 1, epoch=self._at, loss=self._loss())

    def on_epoch_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        """Remember the epoch: its evaluation comes after this."""
        self._epoch = {"epoch": self._at, "step": state.global_step}

    def on_evaluate(
        self, args: object, state: TrainerState, control: object, **kwargs: Any
    ) -> None:
        """Record the metrics, with the epoch that has just ended or the one that goes on."""
        if self._record is None:
            return
        metrics = kwargs.get("metrics") or {}
        found = {k: float(v) for k, v in metrics.items() if isinstance(v, Real)}
        found.pop("epoch", None)
        row = self._epoch or {"epoch": self._at, "step": state.global_step}
        self._epoch = row | {"metrics": metric_columns(found)}
        self._write_epoch()

    def on_train_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        """Close the record, and remove the hook from the model."""
        self._write_epoch()
        self.close()

    def close(self) -> None:
        """Close the record and remove the hook, even after training that was broken off."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        self._losses = None
        super().close()

    def _write_epoch(self) -> None:
        row, self._epoch = self._epoch, None
        if row is not None and self._record is not None:
            self._record.log_epoch(row.pop("epoch"), **row)

    def _forward(
        self, model: nn.Module, args: object, kwargs: Mapping[str, object], outputs: object
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
        if loss is not None and model.training:
            self._take(loss, kwargs.get("num_items_in_batch") is not None)

    def _loss(self) -> Tensor | None:
        """The loss of the update's batches together."""
        if not self._losses:
            return None
        device = self._losses[0].device  # DataParallel has one on each
        total = torch.stack([loss.to(device) for loss in self._losses]).sum()
        return total * (self._factor if self._shares else 1 / len(self._losses))

    def _take(self, loss: Tensor, shares: bool) -> None:
        """Keep a batch's loss; if the update's items are known, it is a share of the update's."""
        if self._losses is not None:
            self._losses.append(loss.detach().mean())  # DataParallel has many threads
            self._shares = shares


def _factor_on_shares(args: TrainingArguments, model: nn.Module) -> float:
    """The factor on the sum of losses that are divided by the items of a whole update.

    The ``Trainer`` divides by the items of all processes. If it does not count those of others, it
    divides by a device's share of its own, and takes the mean over the devices.
    """
    if not args.average_tokens_across_devices:
        return 1 / max(getattr(args, "n_gpu", 1), 1)
    return float(args.world_size // (getattr(model, "_tp_size", None) or 1))
