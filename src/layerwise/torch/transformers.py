"""Recorder for Transformers: a callback. Importing this module imports ``transformers``."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from numbers import Real
from pathlib import Path
from typing import Any, SupportsIndex

from torch import Tensor
from transformers import TrainerCallback

from layerwise import recorder
from layerwise.recorder import RecorderWarning
from layerwise.torch._recorder.recorder import Recorder as PlainRecorder
from layerwise.torch._scheduler.schedule_lr import ScheduleLR

__all__ = ["Recorder"]

_NO_LOSS = (
    "The model's outputs have no loss while it trains, so that no loss is recorded. Of a loss "
    "function of your own: Trainer(..., compute_loss_func=recorder.of(function))."
)


class Recorder(TrainerCallback):
    """Writes ``<run>/record.jsonl`` while the Transformers ``Trainer`` trains a model.

    Each row is one update: its own loss, and each parameter group's rate as the update used it.
    The ``Trainer``'s logs have a mean since they were last written, and its callbacks are given
    no loss; so it is taken from the model's outputs as they are made (a forward hook, removed at
    the end of training), over all batches of the update under gradient accumulation. A loss that
    is not made by the model (``compute_loss_func``) goes through ``of``. An epoch's row has
    what an evaluation at its end measured. Only the first of several processes writes, and the
    loss is that of its own batches.

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

    def __init__(
        self,
        run: str | Path,
        *,
        every: SupportsIndex = 1,
        ratios: int | None = None,
        sinks: Iterable[recorder.Sink] = (),
        wait: float = 0.5,
    ) -> None:
        self.run = Path(run)
        self._options: dict[str, Any] = {
            "every": every,
            "ratios": ratios,
            "sinks": tuple(sinks),
            "wait": wait,
        }
        self._record: PlainRecorder | None = None
        self._hook: Any = None
        self._losses: list[Tensor] = []
        self._shares = False
        self._epoch: dict[str, Any] | None = None
        self._at = 0
        self._warned = False

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A ``compute_loss_func`` whose losses are recorded.

        Args:
            function: ``(outputs, labels, num_items_in_batch=None) -> loss``.
        """

        @wraps(function)
        def heard(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
            loss = function(outputs, labels, num_items_in_batch=num_items_in_batch)
            self._hear(loss, num_items_in_batch is not None)
            return loss

        return heard

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the record, at the step at which training begins or goes on."""
        if not state.is_world_process_zero:
            return
        model, optimizer = kwargs["model"], kwargs["optimizer"]
        scheduler = kwargs.get("lr_scheduler")
        scheduler = getattr(scheduler, "scheduler", scheduler)  # out of Accelerate's
        source = scheduler if isinstance(scheduler, ScheduleLR) else optimizer
        self._record = PlainRecorder(self.run, source, model=model, **self._options)
        self._losses, self._epoch = [], None
        if state.global_step:
            self._record.resume(state.global_step)
        self._hook = model.register_forward_hook(self._forward, with_kwargs=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin an update with no loss yet."""
        self._write_epoch()
        self._losses = []
        self._at = int((state.epoch or 0) + 1e-6)  # it counts in parts of epochs

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the update; the step is counted already."""
        if self._record is None:
            return
        if not self._losses and not self._warned:
            self._warned = True
            warnings.warn(_NO_LOSS, RecorderWarning, stacklevel=2)
        number = 1 if self._shares else len(self._losses)
        loss = sum(self._losses) / number if self._losses else None
        self._record.log(step=state.global_step - 1, epoch=self._at, loss=loss)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait for an evaluation to come; it comes after this."""
        self._epoch = {"epoch": self._at, "step": state.global_step}

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record what was measured, with the epoch that it ends or within one."""
        if self._record is None:
            return
        found = {k: float(v) for k, v in (kwargs.get("metrics") or {}).items() if _is_number(v)}
        found.pop("epoch", None)
        row = self._epoch or {"epoch": self._at, "step": state.global_step}
        self._epoch = row | {"metrics": found}
        self._write_epoch()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the record, and leave the model."""
        self._write_epoch()
        self.close()

    def close(self) -> None:
        """Close the record and leave the model, also after training that was broken off."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        if self._record is not None:
            self._record.close()
            self._record = None

    def _write_epoch(self) -> None:
        row, self._epoch = self._epoch, None
        if row is not None and self._record is not None:
            self._record.log_epoch(row.pop("epoch"), **row)

    def _forward(self, model: Any, args: Any, kwargs: Any, outputs: Any) -> None:
        own = outputs.get("loss") if isinstance(outputs, Mapping) else None
        if own is not None and model.training:
            self._hear(own, kwargs.get("num_items_in_batch") is not None)

    def _hear(self, loss: Tensor, shares: bool) -> None:
        """A batch's loss; if the update's items are known, it is its share of the update's."""
        self._losses.append(loss.detach().clone())
        self._shares = shares


def _is_number(value: Any) -> bool:
    return isinstance(value, Real)
