"""The rates that each step of an optimizer uses, read at the moment at which it steps."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from layerwise.errors import RecorderError
from layerwise.multipliers import distinct
from layerwise.torch._groups.base_rate import names_of
from layerwise.torch._optimizer.inner_optimizer import hookable
from layerwise.torch._recorder.update_ratios import UpdateRatios
from layerwise.torch._scheduler.schedule_lr import ScheduleLR


class StepRates(NamedTuple):
    """One update: the updates before it, each group's rate, and how far it moved each layer."""

    step: int
    rates: list[float | Tensor | None]
    ratios: dict[str, Tensor] | None = None


class StepWatcher:
    """Watches the steps of an optimizer, through PyTorch's hooks.

    Args:
        optimizer: The optimizer.
        scheduler: The ``ScheduleLR`` that counts its updates, or None to count them here.
        start: Updates applied before.
        ratios: What measures the update-to-weight ratios, or None.
        per_update: How many steps the scheduler goes with each update.

    Attributes:
        count: The updates that the optimizer has applied, ``start`` among them.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scheduler: ScheduleLR | None,
        start: int,
        ratios: UpdateRatios | None,
        per_update: int = 1,
    ) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        self.count, self._ratios, self._per_update = start, ratios, per_update
        self._last: StepRates | None = None
        self._names: list[str] = []
        inner = hookable(optimizer)

        # A compiled step must not trace these.
        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def before(*_: object) -> None:
            self._before()

        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def after(stepped: Optimizer, *_: object) -> None:
            self._after(stepped)

        self._refuses = hasattr(inner, "second_step")
        self._handles = (inner.register_step_pre_hook(before), inner.register_step_post_hook(after))

    def take(self) -> StepRates:
        """What the last update used; if it was taken already, what the next one is going to use.

        Raises:
            RecorderError: The optimizer updates in a method that has no hooks.
        """
        used, self._last = self._last, None
        if used is None and self._refuses:
            raise RecorderError(
                f"{type(self.optimizer).__name__} updates in second_step(), which has no hooks, so "
                "that its updates can't be counted. Call its step(closure), or write the record "
                "with layerwise.recorder.Recorder and give its log() the step and the rates."
            )
        return self._now() if used is None else used

    def names(self) -> list[str]:
        """The names of the groups, made different."""
        if len(self._names) != len(self.optimizer.param_groups):
            self._names = distinct(names_of(self.optimizer))
        return self._names

    def by_name(self, rates: Sequence[float | Tensor | None]) -> dict[str, float | Tensor]:
        """The groups' rates by name, without those that an optimizer keeps to itself."""
        pairs = zip(self.names(), rates, strict=True)
        return {name: rate for name, rate in pairs if rate is not None}

    def detach(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _now(self) -> StepRates:
        step = self.count
        if self.scheduler is not None:
            step = self.scheduler.last_epoch // self._per_update
        rates = [group["lr"] for group in self.optimizer.param_groups]
        # A rate that is a tensor is filled in place later.
        return StepRates(step, [r.clone() if isinstance(r, Tensor) else r for r in rates])

    def _before(self) -> None:
        self._last = self._now()
        if self._ratios is not None:
            self._ratios.before(self._last.step)

    def _after(self, stepped: Optimizer) -> None:
        # A fused optimizer leaves an update out by itself if GradScaler tells it to.
        if (found_inf := getattr(stepped, "found_inf", None)) is not None and float(found_inf):
            self._last = None
            return
        self.count += 1
        if self._last is not None and self._ratios is not None:
            self._last = self._last._replace(ratios=self._ratios.after())
