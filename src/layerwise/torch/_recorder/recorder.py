"""Recorder: the rows of a plain training loop, with the rates that each update used."""

import time as clock
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from layerwise import recorder
from layerwise.errors import RecorderError
from layerwise.recorder._row import Numbers
from layerwise.torch._groups.base_rate import base_rate
from layerwise.torch._parameters import Named, named_tensors
from layerwise.torch._recorder.device_rows import Row, numbers, on_device
from layerwise.torch._recorder.step_watch import StepWatcher
from layerwise.torch._recorder.update_ratios import UpdateRatios
from layerwise.torch._scheduler.plan import plan_of_groups
from layerwise.torch._scheduler.schedule_lr import ScheduleLR

_MOST = 64


class Recorder(recorder.Recorder):
    r"""Writes ``<run>/record.jsonl`` for a plain loop: call ``log`` after each batch.

    A row has the batch's loss and metrics, and the rate of each parameter group by its name, as
    the update used it, seen by PyTorch's own hooks on ``optimizer.step()``; a scheduler may step
    before or after ``log``. Values that are still being computed on a device wait there for
    up to 64 batches or ``wait`` seconds and are fetched together, so that no batch waits for
    them; what is on the CPU is written at once. The rest is ``layerwise.recorder.Recorder``.

    Args:
        run: The run's folder, made if need be.
        optimizer: The optimizer, or a scheduler on it. A ``ScheduleLR`` tells the step as
            well, also of training that is resumed.
        model: With it, the plan of its groups is kept in ``plan.json``; needed for ``ratios``.
        every: Keep the batches whose step is a multiple of this.
        ratios: Every so many steps, record how far the update moved each layer,
            $\lVert W_{t+1} - W_t \rVert / \lVert W_t \rVert$, computed on the device; such
            a step holds a second copy of the weights. None: never.
        start: Updates applied before, where no ``ScheduleLR`` knows them.
        sinks: What else gets the rows, such as ``layerwise.recorder.TensorBoard(...)``.
        wait: Seconds that a row may wait on the device.

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
        optimizer: Optimizer | LRScheduler,
        *,
        model: Named | None = None,
        every: SupportsIndex = 1,
        ratios: int | None = None,
        start: int = 0,
        sinks: Iterable[recorder.Sink] = (),
        wait: float = 0.5,
    ) -> None:
        schedule = optimizer if isinstance(optimizer, ScheduleLR) else None
        inner = optimizer if isinstance(optimizer, Optimizer) else _optimizer_of(optimizer)
        self._every_ratio = _checked_ratios(ratios, model)
        if not wait >= 0:
            raise RecorderError(f"wait is a number of seconds, at least 0, not {wait!r}.")
        plan = None
        if model is not None:
            plan = plan_of_groups(named_tensors(model), inner, schedule, ())
        super().__init__(run, every=every, sinks=sinks)
        self._wait, self._waiting = wait, list[Row]()
        self._since = clock.monotonic()
        measure = None if ratios is None or model is None else UpdateRatios(model)
        self._watch = StepWatcher(inner, schedule, start, measure, self._measures)
        if plan is not None:
            self.save_plan(plan)

    def log(
        self,
        *,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
        loss: SupportsFloat | None = None,
        metrics: Numbers | None = None,
        rate: SupportsFloat | None = None,
        rates: Numbers | None = None,
        ratios: Numbers | None = None,
        time: float | None = None,
    ) -> None:
        """Record one batch, after its update; or before, with the rates that it is going to have.

        Args:
            step: Optimizer updates applied before this batch, if not as counted here.
            epoch: The epoch, from 0.
            loss: The batch's own loss, a tensor on any device or a number.
            metrics: Its metrics by name, likewise.
            rate: The base rate, if not that of the groups.
            rates: The groups' rates, if not those that the optimizer used.
            ratios: Update-to-weight ratios, if not those measured here.
            time: When, in Unix seconds; now if not given.

        Raises:
            RecorderError: A value is not one number, or the recorder is closed.
        """
        used = self._watch.take()
        at = used.step if step is None else step
        row: Row = {
            "step": at,
            "epoch": epoch,
            "loss": loss,
            "metrics": metrics,
            "rate": rate,
            "rates": rates,
            "ratios": used.ratios if ratios is None else ratios,
            "time": clock.time() if time is None else time,
        }
        if not self.wants(int(at)):
            return
        if rates is None:
            row["rates"] = dict(zip(self._watch.names(), used.rates, strict=True))
            if rate is None:
                row["rate"] = base_rate(self._watch.optimizer, used.rates)
        self._waiting.append(_kept(row))
        late = clock.monotonic() - self._since >= self._wait
        if late or len(self._waiting) >= _MOST or not on_device(self._waiting[-1]):
            self.flush()

    def flush(self) -> None:
        """Fetch what waits on the device, and write it."""
        rows, self._waiting = self._waiting, []
        self._since = clock.monotonic()
        if rows:
            super().log_many(numbers(rows))

    def log_many(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """See ``layerwise.recorder.Recorder.log_many``."""
        self.flush()
        super().log_many(rows)

    def log_epoch(self, epoch: SupportsIndex, **values: Any) -> None:
        """See ``layerwise.recorder.Recorder.log_epoch``; with the rates of the groups now."""
        self.flush()
        if "rates" not in values:
            groups = self._watch.optimizer.param_groups
            now = [float(group["lr"]) for group in groups]
            values["rates"] = dict(zip(self._watch.names(), now, strict=True))
        super().log_epoch(epoch, **values)

    def close(self) -> None:
        """Write what is waiting, close the record, and leave the optimizer."""
        if not self._closed:
            self.flush()
            self._watch.leave()
        super().close()

    def _measures(self, step: int) -> bool:
        return self._every_ratio is not None and step % self._every_ratio == 0


def _kept(row: Row) -> Row:
    """A row whose tensors nothing changes any more, and that keeps no graph alive."""

    def one(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.numel() != 1:
            raise RecorderError(
                f"A record holds numbers, and this value has the shape {tuple(value.shape)}: "
                "take its mean."
            )
        return value.detach().clone()

    return {
        key: {name: one(item) for name, item in value.items()}
        if isinstance(value, Mapping)
        else one(value)
        for key, value in row.items()
    }


def _optimizer_of(scheduler: Any) -> Optimizer:
    inner = getattr(scheduler, "optimizer", None)
    if not isinstance(inner, Optimizer):
        raise RecorderError(
            f"{type(scheduler).__name__} is neither an optimizer nor a scheduler of PyTorch."
        )
    return inner


def _checked_ratios(ratios: Any, model: Any) -> int | None:
    if ratios is None:
        return None
    if isinstance(ratios, bool) or not isinstance(ratios, int) or ratios < 1:
        raise RecorderError(f"ratios={ratios!r}: a number of steps, at least 1, or None.")
    if model is None:
        raise RecorderError("ratios= needs the layers' names: give model= as well.")
    return ratios
