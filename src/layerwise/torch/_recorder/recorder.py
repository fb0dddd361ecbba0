"""Recorder: the rows of a plain training loop, with the rates that each update used."""

import math
import time as clock
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from layerwise import recorder
from layerwise._checks import whole
from layerwise.errors import RecorderError
from layerwise.recorder import BatchRow, PendingRows, check_ratios, check_wait
from layerwise.torch._optimizer.attached_schedulers import steps_of_an_update, without_wrapper
from layerwise.torch._optimizer.inner_optimizer import hookable
from layerwise.torch._optimizer.optimizer_set import Optimizers, OptimizerSet
from layerwise.torch._parameters import Named, named_tensors
from layerwise.torch._recorder.device_rows import detached, fetched, is_on_device
from layerwise.torch._recorder.step_watch import StepWatcher, known_rates
from layerwise.torch._recorder.update_ratios import UpdateRatios
from layerwise.torch._scheduler.plan import plan_of_groups
from layerwise.torch._scheduler.schedule_lr import ScheduleLR

_OTHER = ("lr", "eps", "decoupled_weight_decay")
"""Settings that say little: rates are recorded anyway, and the last belongs to the class."""


class Recorder(recorder.Recorder):
    r"""Writes ``<run>/record.jsonl`` for a plain loop: call ``log`` after each batch.

    A row has the batch's loss and metrics, and the rate of each parameter group by its name, as
    the update used it. Hooks on ``optimizer.step()`` read the rates, so a scheduler may step
    before or after ``log``. Values that are still being computed on a device wait there for
    up to 64 batches or ``wait`` seconds and are fetched together, so that no batch waits for
    them. What is on the CPU is written at once. The rest is as in ``layerwise.recorder.Recorder``.

    Args:
        run: The run's folder, made if need be.
        optimizer: The optimizer, or a scheduler on it, which may be wrapped by Accelerate. A
            ``ScheduleLR`` knows the step as well, even in training that is resumed. An optimizer
            that makes its own rate (``lr=None``) is recorded without it. Several optimizers that
            update together, as a list, a mapping by names or a ``ScheduleLR`` on them, are recorded
            as one: all rates are in a row, and step and base rate are those of the first.
        model: With it, the plan of its groups is saved as ``plan.json``. Needed for ``ratios``.
        every: Keep the batches whose step is a multiple of this.
        ratios: Every so many steps, if the batch is kept, record how far the update moved each
            layer, $\lVert W_{t+1} - W_t \rVert / \lVert W_t \rVert$, computed on the device. Such
            a step holds a second copy of the weights. None: never.
        start: Updates applied before, if no ``ScheduleLR`` knows them.
        sinks: What else gets the rows, such as ``layerwise.recorder.TensorBoard(...)``.
        wait: Seconds that a row may wait on the device, at least 0.

    Raises:
        RecorderError: An argument is not usable, or the folder can't be written to.

    Examples:
        >>> import tempfile, torch
        >>> from layerwise import cosine
        >>> from layerwise.recorder import History
        >>> from layerwise.torch import Recorder, ScheduleLR, param_groups
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        >>> optimizer = torch.optim.SGD(param_groups(model, {"0": 0.5}, lr=0.1))
        >>> scheduler = ScheduleLR(optimizer, cosine(4))
        >>> run = tempfile.mkdtemp()
        >>> with Recorder(run, scheduler) as recorder:
        ...     for _ in range(3):
        ...         optimizer.zero_grad()
        ...         loss = model(torch.ones(8, 4)).square().mean()
        ...         loss.backward()
        ...         optimizer.step()
        ...         scheduler.step()
        ...         recorder.log(loss=loss)
        >>> history = History.load(run)
        >>> history.batch["step"].tolist(), history.batch["rates/0"].round(4).tolist()
        ([0, 1, 2], [0.05, 0.0427, 0.025])
    """

    def __init__(
        self,
        run: str | Path,
        optimizer: Optimizers | LRScheduler,
        *,
        model: Named | None = None,
        every: SupportsIndex = 1,
        ratios: int | None = None,
        start: int = 0,
        sinks: Iterable[recorder.Sink] = (),
        wait: float = 0.5,
    ) -> None:
        source = without_wrapper(optimizer)
        schedule = source if isinstance(source, ScheduleLR) else None
        optimizers = _optimizers_of(source)
        every_ratio, self._wait = check_ratios(ratios), check_wait(wait)
        if every_ratio is not None and model is None:
            raise RecorderError("ratios= needs the layers' names. Give model= as well.")
        plan = None if model is None else plan_of_groups(named_tensors(model), optimizers, schedule)
        super().__init__(run, every=every, sinks=sinks)
        self._decisions = None if schedule is None else schedule.decisions
        self._fired = {} if schedule is None else schedule.decisions.counts()
        self._pending: PendingRows[BatchRow] = PendingRows(fetched, super().log_many)
        measure = None
        if every_ratio is not None and model is not None:
            measure = UpdateRatios(model, math.lcm(every_ratio, self.every))
        self._watcher = StepWatcher(
            optimizers, schedule, start, measure, steps_of_an_update(optimizer)
        )
        if plan is not None:
            self.save_plan(plan)
        settings = {
            name: value for name, value in optimizers.first.defaults.items() if name not in _OTHER
        }
        classes = dict.fromkeys(type(hookable(one)).__name__ for one in optimizers.optimizers)
        self.save_setup(" and ".join(classes), settings if len(optimizers) == 1 else {})

    def log(
        self,
        *,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
        loss: SupportsFloat | None = None,
        metrics: Mapping[str, SupportsFloat] | None = None,
        rate: SupportsFloat | None = None,
        rates: Mapping[str, SupportsFloat] | None = None,
        ratios: Mapping[str, SupportsFloat] | None = None,
        time: float | None = None,
    ) -> None:
        """Record one batch, after its ``optimizer.step()``.

        Args:
            step: Optimizer updates applied before this batch, if not as counted here.
            epoch: The epoch, from 0.
            loss: The batch's loss, a tensor on any device or a number.
            metrics: Its metrics by name, likewise.
            rate: The base rate, if not that of the groups.
            rates: The groups' rates, if not those that the optimizer used.
            ratios: Update-to-weight ratios, if not those measured here.
            time: When, in Unix seconds; now if not given.

        Raises:
            RecorderError: A value is not one real number, the recorder is closed, or the optimizer
                made its update where no hook can see it.
        """
        used = self._watcher.take()
        at = used.step if step is None else whole(step, "step", RecorderError)
        self._note_decisions(at)
        if not self.wants(at):
            return
        if rates is None:
            rates = known_rates(used.rates)
            if rate is None:
                rate = self._watcher.base_rate(used.of_first)
        row = detached(
            BatchRow(
                step=at,
                epoch=None if epoch is None else whole(epoch, "epoch", RecorderError),
                loss=loss,
                metrics=metrics,
                rate=rate,
                rates=rates,
                ratios=used.ratios if ratios is None else ratios,
                time=clock.time() if time is None else time,
            )
        )
        self._pending.add(row)
        self._pending.flush(self._wait if is_on_device(row) else 0.0)

    def _note_decisions(self, step: int) -> None:
        """Record what reports to the ``ScheduleLR`` have decided since the last time."""
        if self._decisions:
            for text in self._decisions.fired_since(self._fired):
                self.log_event(text, step=step)
            self._fired = self._decisions.counts()

    def resume(self, step: SupportsIndex) -> None:
        """See ``layerwise.recorder.Recorder.resume``; what was decided by then is in the record."""
        super().resume(step)
        if self._decisions:
            self._fired = self._decisions.counts()

    @property
    def updates(self) -> int:
        """The updates that the optimizer has applied: ``start``, and those since then."""
        return self._watcher.count

    def count_from(self, updates: int) -> None:
        """Count the updates here, and not by a ``ScheduleLR``, which may step once an epoch.

        Args:
            updates: Those applied before.
        """
        self._watcher.count, self._watcher.scheduler = updates, None

    def flush(self) -> None:
        """Fetch what waits on the device, and write it."""
        self._pending.flush()

    def log_many(self, rows: Iterable[Mapping[str, Any]], *, span: int = 1) -> None:
        """See ``layerwise.recorder.Recorder.log_many``."""
        self.flush()
        super().log_many(rows, span=span)

    def log_epoch(self, epoch: SupportsIndex, **values: Any) -> None:
        """See ``layerwise.recorder.Recorder.log_epoch``; without ``rates``, the present ones."""
        self.flush()
        self._note_decisions(self._watcher.present_step())
        if "rates" not in values:
            values["rates"] = known_rates(self._watcher.present_rates())
        super().log_epoch(epoch, **values)

    def close(self) -> None:
        """Write what is waiting, close the record, and remove the hooks from the optimizer."""
        if not self._closed:
            self.flush()
            self._note_decisions(self._watcher.present_step())
            self._watcher.detach()
        super().close()


def _optimizers_of(source: object) -> OptimizerSet:
    """The optimizers that were given, or those of the scheduler that was."""
    if isinstance(source, ScheduleLR):
        return source.optimizer_set
    if isinstance(source, Sequence | Mapping) and not isinstance(source, str):
        return OptimizerSet.of(source, RecorderError)
    inner = source if isinstance(source, Optimizer) else getattr(source, "optimizer", None)
    if not isinstance(inner, Optimizer):
        raise RecorderError(
            f"{type(source).__name__} is neither an optimizer nor a scheduler of PyTorch."
        )
    return OptimizerSet.of(inner)
