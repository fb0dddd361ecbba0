"""What the optimizer's next step uses, seen at the moment at which it steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from layerwise.torch._groups.base_rate import unique_names
from layerwise.torch._recorder.update_ratios import UpdateRatios
from layerwise.torch._scheduler.schedule_lr import ScheduleLR
from layerwise.torch._scheduler.step_hooks import hookable


class StepRates(NamedTuple):
    """Of one update: updates before it, each group's rate, and how far it moved each layer."""

    step: int
    rates: list[Any]
    ratios: dict[str, Tensor] | None = None


class StepWatcher:
    """Sees each step of an optimizer, by PyTorch's own hooks.

    Args:
        optimizer: The optimizer.
        scheduler: The ``ScheduleLR`` that counts its updates, or None to count them here.
        start: Updates applied before.
        ratios: What computes the update-to-weight ratios.
        wants: Whether the ratios of a step are wanted.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scheduler: ScheduleLR | None,
        start: int,
        ratios: UpdateRatios | None,
        wants: Callable[[int], bool],
    ) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        self.count = start
        self._ratios, self._wants = ratios, wants
        self._last: StepRates | None = None
        self._names: tuple[str, ...] = ()
        inner = hookable(optimizer)

        # A compiled step must not trace these.
        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def before(*_: Any) -> None:
            self._before()

        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def after(*_: Any) -> None:
            self._after()

        self._handles = (
            inner.register_step_pre_hook(before),
            inner.register_step_post_hook(after),
        )

    def take(self) -> StepRates:
        """What the last update used, once; without one since, what the next is going to."""
        used, self._last = self._last, None
        return self._now() if used is None else used

    def names(self) -> tuple[str, ...]:
        """The names of the groups, each once."""
        if len(self._names) != len(self.optimizer.param_groups):
            self._names = unique_names(self.optimizer)
        return self._names

    def leave(self) -> None:
        """Look no more."""
        for handle in self._handles:
            handle.remove()

    def _now(self) -> StepRates:
        step = self.count if self.scheduler is None else self.scheduler.last_epoch
        rates = [group["lr"] for group in self.optimizer.param_groups]
        # A rate that is a tensor is filled in place later.
        return StepRates(step, [r.clone() if isinstance(r, Tensor) else r for r in rates])

    def _before(self) -> None:
        self._last = self._now()
        if self._ratios is not None and self._wants(self._last.step):
            self._ratios.before()

    def _after(self) -> None:
        self.count += 1
        if self._last is not None and self._ratios is not None and self._wants(self._last.step):
            self._last = self._last._replace(ratios=self._ratios.after())
