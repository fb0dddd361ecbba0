"""The rates that each step of an optimizer uses, read at the moment at which it steps."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from layerwise.errors import RecorderError
from layerwise.multipliers import distinct
from layerwise.torch._groups.base_rate import base_rate
from layerwise.torch._optimizer.inner_optimizer import hookable
from layerwise.torch._optimizer.optimizer_set import OptimizerSet
from layerwise.torch._recorder.update_ratios import UpdateRatios
from layerwise.torch._scheduler.schedule_lr import ScheduleLR

GroupRates: TypeAlias = dict[str, float | Tensor | None]
"""Rates by the names that the groups had when they were used; None of one that keeps its own."""


class StepRates(NamedTuple):
    """One update: the updates before it, the rates, and how far it moved each layer.

    Attributes:
        step: The updates before it.
        rates: Each group's rate by name.
        of_first: Those of the first optimizer's groups, in order.
        ratios: The update-to-weight ratio of each layer, if it was measured.
    """

    step: int
    rates: GroupRates
    of_first: list[float | Tensor | None]
    ratios: dict[str, Tensor] | None = None


class StepWatcher:
    """Watches the steps of an optimizer, or of several that update together, by PyTorch's hooks.

    Args:
        optimizers: The optimizers. The steps of the first count.
        scheduler: The ``ScheduleLR`` that counts the updates, or None to count them here.
        start: Updates applied before.
        ratios: What measures the update-to-weight ratios, or None.
        per_update: How many steps the scheduler goes with each update.

    Attributes:
        count: The updates that the first optimizer has applied, ``start`` among them.
    """

    def __init__(
        self,
        optimizers: OptimizerSet,
        scheduler: ScheduleLR | None,
        start: int,
        ratios: UpdateRatios | None,
        per_update: int = 1,
    ) -> None:
        self.optimizers, self.scheduler = optimizers, scheduler
        self.count, self._ratios, self._per_update = start, ratios, per_update
        self._each = optimizers.optimizers
        self._used: dict[int, GroupRates] = {}  # by the optimizer's place
        self._step = start
        self._measured: dict[str, Tensor] | None = None
        self._names: list[str] = []
        self._refuses: list[Optimizer] = []
        self._handles: list[RemovableHandle] = []
        for place, optimizer in enumerate(self._each):
            self._watch(place, hookable(optimizer))

    def _watch(self, place: int, inner: Optimizer) -> None:
        # A compiled step must not trace these.
        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def before(*_: object) -> None:
            self._before(place)

        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def after(stepped: Optimizer, *_: object) -> None:
            self._after(place, stepped)

        if hasattr(inner, "second_step"):
            self._refuses.append(inner)
        self._handles += [
            inner.register_step_pre_hook(before),
            inner.register_step_post_hook(after),
        ]

    def take(self) -> StepRates:
        """What the last update used; if it was taken already, what the next one is going to use.

        Of several optimizers, those that have not stepped since then have their present rates.

        Raises:
            RecorderError: The optimizer updates in a method that has no hooks.
        """
        used, self._used = self._used, {}
        if not used and self._refuses:
            raise RecorderError(
                f"{type(self._refuses[0]).__name__} updates in second_step(), which has no hooks, "
                "so that its updates can't be counted. Call its step(closure), or write the record "
                "with layerwise.recorder.Recorder and give its log() the step and the rates."
            )
        step = self._step if used else self.present_step()
        each = [used.get(place) or self._rates_of(place) for place in range(len(self._each))]
        rates = {name: rate for one in each for name, rate in one.items()}
        return StepRates(step, rates, list(each[0].values()), self._measured if used else None)

    def names(self) -> list[str]:
        """The names of the groups, made different."""
        if len(self._names) != len(self.optimizers.groups()):
            self._names = distinct(self.optimizers.names())
        return self._names

    def present_rates(self) -> GroupRates:
        """The rate of each group by now."""
        places = range(len(self._each))
        return {name: rate for place in places for name, rate in self._rates_of(place).items()}

    def base_rate(self, rates: Sequence[float | Tensor | None]) -> float | Tensor | None:
        """The base rate behind the rates of the first optimizer, if they follow one together."""
        return base_rate(self._each[0], rates)

    def detach(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def present_step(self) -> int:
        """The updates applied by now."""
        if self.scheduler is None:
            return self.count
        return self.scheduler.last_epoch // self._per_update

    def _before(self, place: int) -> None:
        if not self._used or place in self._used:  # the first optimizer to make this update
            self._used, self._measured = {}, None
            self._step = self.present_step()
            if self._ratios is not None:
                self._ratios.before(self._step)
        self._used[place] = self._rates_of(place)

    def _after(self, place: int, stepped: Optimizer) -> None:
        # A fused optimizer leaves an update out by itself if GradScaler tells it to.
        if (found_inf := getattr(stepped, "found_inf", None)) is not None and float(found_inf):
            self._used.pop(place, None)
            return
        self.count += place == 0
        if self._ratios is not None:
            last = len(self._used) == len(self._each)
            self._measured = self._ratios.after(last)

    def _rates_of(self, place: int) -> GroupRates:
        """The rates of an optimizer; copies, since a tensor is filled in place later."""
        groups = self._each[place].param_groups
        begin = sum(len(each.param_groups) for each in self._each[:place])
        names = self.names()[begin : begin + len(groups)]
        rates = [group["lr"] for group in groups]
        copies = [rate.clone() if isinstance(rate, Tensor) else rate for rate in rates]
        return dict(zip(names, copies, strict=True))


def known_rates(rates: GroupRates) -> dict[str, float | Tensor]:
    """The rates without those that an optimizer keeps to itself."""
    return {name: rate for name, rate in rates.items() if rate is not None}
