"""ScheduleLR: every rate of an optimizer, computed from the step alone."""

import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from layerwise.errors import ConfigError, OptimizerError, ScheduleError
from layerwise.multipliers import Value
from layerwise.torch._scheduler.group_rates import (
    GroupRate,
    GroupSchedule,
    base_of,
    courses_of,
    groups_at,
    put,
)
from layerwise.torch._scheduler.group_schedules import (
    GroupSchedules,
    ScheduleSpec,
    StepValue,
    names_of,
)
from layerwise.torch._scheduler.hyperparameters import Hyperparameters, write
from layerwise.torch._scheduler.loading import check_same_groups
from layerwise.torch._scheduler.step_hooks import attach

VERSION = 1
_STATE = {"version", "last_epoch", "groups", "schedule", "hyperparameters"}


class ScheduleLR(LRScheduler):
    r"""A scheduler for any PyTorch optimizer, in closed form.

    The rate of group $g$ at step $t$ (calls of ``step()`` so far) is

    $$\eta_g(t) = \text{base}_g \cdot \text{schedule}_g(t) \cdot m_g(t)$$

    where ``base`` is the group's ``initial_lr``, or its ``lr`` if it has none, and ``m`` the
    multiplier that moves, if ``param_groups`` gave it one. While ``m`` is 0, the group's
    weights and optimizer state stay as they are, bit for bit; a *schedule* of 0 is a rate of 0, as
    in PyTorch.

    Nothing is accumulated: it may be made, and its state and the optimizer's loaded, in any order;
    a group that is added later has the right rate at once. A rate that is a tensor is filled in
    place. ``optimizer.step`` is not patched: call ``scheduler.step()`` after each update that was
    applied.

    Args:
        optimizer: Any ``torch.optim.Optimizer``.
        schedule: A factor on the base rate: a schedule, or any callable of the step as in
            ``LambdaLR``; or a sequence with one for each group, or a mapping by group name, in
            which groups left out keep their rate. None for multipliers that move alone.
        last_epoch: The step before the one to start at, as in PyTorch: -1 starts at step 0,
            ``N - 1`` at step N.
        momentum: The momentum itself at each step, a schedule or callable, for all groups.
        betas: Likewise the first beta, or a pair of which either may be None to stay.
        weight_decay_factor: A factor on each group's own weight decay, so that 0 stays 0.
        lr_lambda: ``schedule``, by the name that it has in ``LambdaLR``.

    Raises:
        OptimizerError: Not an optimizer, or one without the hyperparameter that is scheduled.
        ScheduleError: Not schedules, not as many as groups, or for a group that is not there; or
            a callable that returns no finite number of at least 0.

    Examples:
        >>> import torch
        >>> from layerwise import cosine, warmup
        >>> from layerwise.torch import ScheduleLR, param_groups
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        >>> optimizer = torch.optim.AdamW(param_groups(model, {"0": 0.1}, lr=1e-3))
        >>> scheduler = ScheduleLR(optimizer, warmup(2) >> cosine(10))
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_lr()
        [0.0001, 0.001]

    Source: the interface is that of ``torch.optim.lr_scheduler.LambdaLR``.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: ScheduleSpec | None = None,
        last_epoch: int = -1,
        *,
        momentum: StepValue | None = None,
        betas: StepValue | tuple[StepValue | None, StepValue | None] | None = None,
        weight_decay_factor: StepValue | None = None,
        lr_lambda: ScheduleSpec | None = None,
    ) -> None:
        # Not the base class' __init__: it patches optimizer.step, for a warning that guesses, and
        # wants groups to have an initial_lr already when it does not start at step 0.
        if not isinstance(optimizer, Optimizer):
            raise OptimizerError(f"{type(optimizer).__name__} is not a torch.optim.Optimizer.")
        if schedule is not None and lr_lambda is not None:
            raise ScheduleError("schedule= and lr_lambda= are the same argument; give one.")
        self.optimizer = optimizer
        self._schedules = GroupSchedules.of(lr_lambda if schedule is None else schedule)
        self._others = Hyperparameters.of(optimizer, momentum, betas, weight_decay_factor)
        self._step_count = 1
        self._courses: list[GroupSchedule] = []
        self._frozen: list[bool] = []
        self._move_to(_checked_step(last_epoch + 1))
        self._attach()

    # -- what PyTorch's schedulers do ---------------------------------------------------------

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next step; call it after each update that the optimizer has applied.

        Args:
            epoch: Go to this step instead.
        """
        self._move_to(self.last_epoch + 1 if epoch is None else _checked_step(epoch))
        self._step_count += 1

    def get_last_lr(self) -> list[float | Tensor]:
        """The rate that each group has now; copies, where rates are tensors."""
        self._join()
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return [rate.clone() if isinstance(rate, Tensor) else rate for rate in rates]

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each group at the present step, computed anew."""
        self._join()
        return [new.rate for new in self._now(self.last_epoch)]

    @property
    def base_lrs(self) -> list[float | Tensor]:
        """The base rate of each group: its ``initial_lr``, which is part of the optimizer's state.

        It may be set, and then counts from the next step on.
        """
        return [base_of(group) for group in self.optimizer.param_groups]

    @base_lrs.setter
    def base_lrs(self, rates: Sequence[float | Tensor]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = float(rate)

    def state_dict(self) -> dict[str, Any]:
        """The step and the configs of the schedules, as plain data; a function only by name."""
        return {
            "version": VERSION,
            "last_epoch": self.last_epoch,
            "groups": names_of(self.optimizer),
            "schedule": self._schedules.to_config(),
            "hyperparameters": self._others.to_config(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the step of a state, under its schedules, before or after the optimizer's load.

        A function is in no state and stays the one that is here. To go on under other schedules,
        do not load, but make ``ScheduleLR(..., last_epoch=state["last_epoch"] - 1)``.

        Args:
            state_dict: What ``state_dict()`` gave.

        Raises:
            ConfigError: It is no such state, or has a function that is not here.
            OptimizerError: It is a state of other groups.
        """
        if state_dict.get("version") != VERSION or not state_dict.keys() >= _STATE:
            raise ConfigError(
                f"This is no state of a ScheduleLR of version {VERSION}; to go on from another "
                "scheduler at its step N, make ScheduleLR(..., last_epoch=N - 1)."
            )
        check_same_groups(state_dict["groups"], names_of(self.optimizer))
        before = self._schedules, self._others
        schedules = before[0].restored(state_dict["schedule"])
        others = before[1].restored(state_dict["hyperparameters"])
        others.check(self.optimizer)
        changed = schedules.to_config() != before[0].to_config() and bool(before[0].values)
        self._schedules, self._others, self._courses = schedules, others, []
        try:
            self._move_to(_checked_step(state_dict["last_epoch"]))
        except Exception:
            self._schedules, self._others = before
            self._courses = []
            raise
        if changed:
            warnings.warn(
                "The loaded state has other schedules than this ScheduleLR was made with, and they "
                "count from now on. To keep the new ones, do not load the state but make "
                f"ScheduleLR(..., last_epoch={self.last_epoch - 1}).",
                stacklevel=2,
            )

    # -- the rates ----------------------------------------------------------------------------

    def group_schedules(self) -> list[Value | None]:
        """The schedule that each group follows, None for one that keeps its rate."""
        return self._schedules.for_groups(names_of(self.optimizer))

    def _now(self, step: int) -> list[GroupRate]:
        """What each group is at a step, computed before anything is written."""
        if len(self._courses) != len(self.optimizer.param_groups):
            self._courses = courses_of(self.optimizer, self._schedules)
        return groups_at(step, self.optimizer.param_groups, self._courses)

    def _move_to(self, step: int) -> None:
        """Write every group's rate and hyperparameters of a step; nothing if that fails."""
        groups = self.optimizer.param_groups
        found = self._now(step)
        others = self._others.at(step, groups)
        for group, now, course in zip(groups, found, self._courses, strict=True):
            put(now, course, group)
        for group, other in zip(groups, others, strict=True):
            for key, value in other.items():
                write(group, key, value)
        self._frozen = [now.frozen for now in found]
        self.last_epoch = step

    def _join(self) -> None:
        """Let groups that were added since follow from the present step on."""
        if len(self._frozen) != len(self.optimizer.param_groups):
            self._move_to(self.last_epoch)

    # -- what the optimizer calls -------------------------------------------------------------

    def _attach(self) -> None:
        attach(self.optimizer, self, ScheduleLR._frozen_groups, ScheduleLR._after_load)

    def _frozen_groups(self) -> list[dict[str, Any]]:
        self._join()
        groups = zip(self.optimizer.param_groups, self._frozen, strict=True)
        return [group for group, frozen in groups if frozen]

    def _after_load(self) -> None:
        self._courses = []
        self._move_to(self.last_epoch)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy of an optimizer has no hooks.
        self.__dict__.update(state)
        self._attach()


def _checked_step(step: object) -> int:
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise ScheduleError(f"step {step!r}: a step is a whole number of at least 0.")
    return step
