"""Recorder and ReportMetrics for Lightning: callbacks. Importing this imports ``lightning``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeGuard

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from layerwise._checks import choice
from layerwise.errors import ScheduleError
from layerwise.recorder import metric_columns
from layerwise.torch._optimizer.optimizer_set import OptimizerSet
from layerwise.torch._recorder.trainer_recorder import TrainerRecorder
from layerwise.torch._scheduler.schedule_lr import ScheduleLR

__all__ = ["Recorder", "ReportMetrics"]


class Recorder(TrainerRecorder, Callback):
    """Writes ``<run>/record.jsonl`` while Lightning's ``Trainer`` fits a module.

    A batch's row has the batch's loss, the numbers that ``training_step`` returns beside it, and
    each parameter group's rate as the update used it. An epoch's row has ``callback_metrics``. Of
    several optimizers all rates are recorded, and a row's step counts the updates of the first,
    which Lightning's ``global_step`` does not; of several processes the first one writes. Under
    gradient accumulation the batches of one update have the same step, and so have the batches
    whose update mixed precision left out. Another ``fit`` of the same run appends, and steps that a
    resumed one repeats replace those recorded before.

    Args:
        run: The run's folder, made if need be.
        every: Keep the batches whose step is a multiple of this.
        ratios: Every so many steps, record how far the update moved each layer; None: never.
        sinks: What else gets the rows, such as ``layerwise.recorder.TensorBoard(...)``.
        wait: Seconds that a row may wait on the device.

    Raises:
        RecorderError: When ``fit`` begins: an argument is not usable, or the folder can't be
            written to.

    Examples:
        >>> import tempfile
        >>> from lightning.pytorch import Trainer
        >>> from layerwise.torch.lightning import Recorder
        >>> run = tempfile.mkdtemp()
        >>> Recorder(run, ratios=100).state_dict()
        {'global_step': 0, 'updates': 0}
    """

    _step = 0
    _reached: Mapping[str, int] = MappingProxyType({"global_step": 0, "updates": 0})

    @property
    def state_key(self) -> str:
        """What the callback's state is called in a checkpoint; each run has its own."""
        return self._generate_state_key(run=str(self.run))

    def state_dict(self) -> dict[str, int]:
        """How many updates the recorded optimizer has made, at which step of Lightning's."""
        return dict(self._reached)

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on counting from a checkpoint."""
        self._reached = dict(state_dict)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the record."""
        if not trainer.is_global_zero or not trainer.optimizers:
            return
        several = OptimizerSet.of(trainer.optimizers)
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        ours = [each for each in schedulers if isinstance(each, ScheduleLR)]
        drives = (each for each in ours if each.optimizer_set.is_same(several))
        source = next(drives, trainer.optimizers)
        # Lightning's step counts the updates of all optimizers together.
        updates = trainer.global_step // len(trainer.optimizers)
        if self._reached["global_step"] == trainer.global_step:
            updates = self._reached["updates"]
        self._open(source, pl_module, updates)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Remember how many updates there were before."""
        if self._record is not None:
            self._step = self._record.updates

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Record the batch."""
        if self._record is None:
            return
        given = outputs if isinstance(outputs, Mapping) else {"loss": outputs}
        values = {name: value for name, value in given.items() if _is_number(value)}
        loss = values.pop("loss", None)
        if loss is not None and pl_module.automatic_optimization:
            loss = loss * trainer.accumulate_grad_batches  # Lightning has divided it by that
        epoch = trainer.current_epoch
        self._record.log(step=self._step, epoch=epoch, loss=loss, metrics=metric_columns(values))
        self._reached = {"global_step": trainer.global_step, "updates": self._record.updates}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch."""
        if self._record is not None:
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            loss = metrics.pop("loss", None)
            self._record.log_epoch(
                trainer.current_epoch,
                step=self._record.updates,
                loss=loss,
                metrics=metric_columns(metrics),
            )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the record."""
        self.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close the record, with all that happened before."""
        self.close()


class ReportMetrics(Callback):
    """Reports Lightning's metrics to the ``ScheduleLR`` whose rates they decide.

    At the end of each epoch, or of each validation, ``callback_metrics`` go to ``report`` of each
    ``ScheduleLR`` among the trainer's schedulers that a metric moves. Its state is in Lightning's
    checkpoints. Of several processes the metrics of the first one decide for all, so that all keep
    the same rates; log with ``sync_dist=True`` to have the mean decide.

    Args:
        at: ``"epoch"``, or ``"validation"`` where an epoch has several.

    Raises:
        ScheduleError: When ``fit`` begins: no scheduler is moved by a metric. When it reports: the
            metric is not among those that were logged.

    Examples:
        >>> from lightning.pytorch import Trainer
        >>> from layerwise.torch.lightning import ReportMetrics
        >>> trainer = Trainer(callbacks=[ReportMetrics()], logger=False, accelerator="cpu")

    Source: the metrics are those that Lightning's ``EarlyStopping`` watches.
    """

    def __init__(self, at: str = "epoch") -> None:
        self._at = choice(at, "at", ScheduleError, ("epoch", "validation"))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look for the schedulers."""
        if not _moved_by_metrics(trainer):
            raise ScheduleError(
                "ReportMetrics has nothing to do: configure_optimizers() returns no ScheduleLR "
                "with gradual_unfreezing(when=plateau(...)) or reduce_on_plateau(...)."
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, if that is wanted."""
        if self._at == "validation" and not trainer.sanity_checking:
            self._report(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, if that is wanted."""
        if self._at == "epoch":
            self._report(trainer, pl_module)

    @staticmethod
    def _report(trainer: Trainer, pl_module: LightningModule) -> None:
        mine = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metrics = trainer.strategy.broadcast(mine)
        for scheduler in _moved_by_metrics(trainer):
            scheduler.report(metrics, model=pl_module)


def _moved_by_metrics(trainer: Trainer) -> list[ScheduleLR]:
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
    return [each for each in schedulers if isinstance(each, ScheduleLR) and each.decisions]


def _is_number(value: object) -> TypeGuard[float | Tensor]:
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, float | int)
