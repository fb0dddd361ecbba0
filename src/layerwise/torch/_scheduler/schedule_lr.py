"""ScheduleLR: every rate of an optimizer, computed from the step alone."""

import copy
import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from layerwise._checks import whole
from layerwise.errors import ConfigError, OptimizerError, ScheduleError
from layerwise.multipliers import Value
from layerwise.torch._groups.base_rate import base_of, names_of, write
from layerwise.torch._scheduler.attached import Progress, announce
from layerwise.torch._scheduler.frozen_gradients import FrozenGradients, drop
from layerwise.torch._scheduler.group_rates import (
    GroupRate,
    GroupSchedule,
    rates_at,
    schedules_of,
    write_rate,
)
from layerwise.torch._scheduler.group_schedules import GroupSchedules, ScheduleSpec
from layerwise.torch._scheduler.hyperparameters import BetasSpec, Hyperparameters
from layerwise.torch._scheduler.pickling import check_picklable
from layerwise.torch._scheduler.step_hooks import attach, check_same_groups

VERSION = 1
_STATE = {"version", "last_epoch", "groups", "schedule", "hyperparameters"}


class ScheduleLR(LRScheduler):
    r"""A scheduler for any PyTorch optimizer, in closed form.

    The rate of group $g$ at step $t$ (calls of ``step()`` so far) is

    $$\eta_g(t) = \text{base}_g \cdot \text{schedule}_g(t) \cdot m_g(t)$$

    where ``base`` is the group's ``initial_lr``, or its ``lr`` if it has none, and ``m`` the
    multiplier that moves, if ``param_groups`` gave it one. While ``m`` is 0, the group's weights
    and optimizer state stay as they are, bit for bit. A *schedule* of 0 is a rate of 0, as in
    PyTorch.

    Nothing is accumulated. The scheduler may be made, its state loaded and the optimizer's state
    loaded in any order, and a group that is added later has the right rate at once. A rate that is
    a tensor is filled in place. ``optimizer.step`` is not patched: call ``scheduler.step()`` after
    each update that was applied.

    Args:
        optimizer: Any ``torch.optim.Optimizer``.
        schedule: A factor on the base rate: a schedule, or any callable of the step as in
            ``LambdaLR``. Or a sequence with one for each group, in which None keeps a group's
            rate, or a mapping by group name, in which groups left out keep theirs. None if only
            multipliers move.
        last_epoch: The step before the one to start at, as in PyTorch: -1 starts at step 0,
            ``N - 1`` at step N.
        momentum: The momentum at each step; for all groups, or per group like ``schedule``.
        betas: The first beta at each step, or a pair (tuple) of which either may be None to stay;
            for all groups, or a list with one of these for each, or a mapping by group name.
        weight_decay_factor: A factor on each group's weight decay, so that 0 stays 0; for all
            groups, or per group like ``schedule``.
        lr_lambda: ``schedule``, by the name that it has in ``LambdaLR``.

    Raises:
        OptimizerError: Not an optimizer, or one without the hyperparameter that is scheduled.
        ScheduleError: Not schedules, not as many as groups, or for a group that is not there; or
            a callable returns no finite number of at least 0.

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
        momentum: ScheduleSpec | None = None,
        betas: BetasSpec | None = None,
        weight_decay_factor: ScheduleSpec | None = None,
        lr_lambda: ScheduleSpec | None = None,
    ) -> None:
        # The __init__ of the base class isn't called. It patches optimizer.step for the sake of a
        # warning, and refuses groups without initial_lr when it doesn't start at step 0.
        if not isinstance(optimizer, Optimizer):
            raise OptimizerError(f"{type(optimizer).__name__} is not a torch.optim.Optimizer.")
        if schedule is not None and lr_lambda is not None:
            raise ScheduleError("schedule= and lr_lambda= are the same argument. Give one of them.")
        self.optimizer = optimizer
        self._schedules = GroupSchedules.of(lr_lambda if schedule is None else schedule)
        self._hyperparameters = Hyperparameters.of(optimizer, momentum, betas, weight_decay_factor)
        self._step_count = 1
        self._followed: list[GroupSchedule] = []
        self._frozen: list[bool] = []
        self._gradients, self._progress = FrozenGradients(), Progress()
        self._move_to(whole(last_epoch, "last_epoch", ScheduleError, at_least=-1) + 1)
        self._attach()

    # -- what PyTorch's schedulers do ---------------------------------------------------------

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next step; call it after each update that the optimizer has applied.

        Args:
            epoch: Go to this step instead.
        """
        next_step = self.last_epoch + 1
        self._move_to(next_step if epoch is None else whole(epoch, "epoch", ScheduleError))
        self._step_count += 1

    def get_last_lr(self) -> list[float | Tensor]:
        """The rate that each group has now; copies, where rates are tensors."""
        self._join()
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return [rate.clone() if isinstance(rate, Tensor) else rate for rate in rates]

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each group at the present step, computed anew."""
        self._join()
        return [now.rate for now in self._rates_at(self.last_epoch)]

    @property
    def base_lrs(self) -> list[float | Tensor]:
        """The base rate of each group: its ``initial_lr``, which is part of the optimizer's state.

        It can be set, and counts from the next step on.
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
            "hyperparameters": self._hyperparameters.to_config(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the step of a state, under its schedules.

        The optimizer's state may be loaded before or after.

        A state can't hold a function, so the one that is here stays. To go on under other
        schedules, don't load the state, but make
        ``ScheduleLR(..., last_epoch=state["last_epoch"] - 1)``.

        Args:
            state_dict: What ``state_dict()`` gave.

        Raises:
            ConfigError: It is no such state, or has a function that is not here.
            OptimizerError: It is a state of other groups.
        """
        if state_dict.get("version") != VERSION or not state_dict.keys() >= _STATE:
            raise ConfigError(
                f"This is no state of a ScheduleLR of version {VERSION}. To go on from another "
                "scheduler at its step N, make ScheduleLR(..., last_epoch=N - 1)."
            )
        check_same_groups(state_dict["groups"], names_of(self.optimizer))
        before = self._schedules, self._hyperparameters
        schedules = before[0].restored(state_dict["schedule"])
        hyperparameters = before[1].restored(state_dict["hyperparameters"])
        hyperparameters.check(self.optimizer)
        changed = bool(before[0]) and schedules.to_config() != before[0].to_config()
        self._schedules, self._hyperparameters, self._followed = schedules, hyperparameters, []
        try:
            self._move_to(whole(state_dict["last_epoch"], "last_epoch", ScheduleError))
        except Exception:
            self._schedules, self._hyperparameters = before
            self._followed = []
            raise
        if changed:
            warnings.warn(
                "The loaded state has other schedules than this ScheduleLR was made with, and they "
                "count from now on. To keep the new ones, don't load the state, but make "
                f"ScheduleLR(..., last_epoch={self.last_epoch - 1}).",
                stacklevel=2,
            )

    # -- the rates ----------------------------------------------------------------------------

    def group_schedules(self) -> list[Value | None]:
        """The schedule that each group follows, None for one that keeps its rate."""
        return self._schedules.for_groups(names_of(self.optimizer))

    def drop_frozen_gradients(self) -> None:
        """Drop the gradients that frozen groups have now, wherever they come from.

        Those that ``backward()`` computes are dropped at once, so that they steer neither
        ``clip_grad_norm_`` nor ``GradScaler``. Call this before either if gradients are written
        in another way: by hand, or by the older ``FullyShardedDataParallel``.
        """
        drop(self._frozen_groups())

    def _rates_at(self, step: int) -> list[GroupRate]:
        """Each group's rate at a step, computed before anything is written."""
        if len(self._followed) != len(self.optimizer.param_groups):
            self._followed = schedules_of(self.optimizer, self._schedules)
        return rates_at(step, self.optimizer.param_groups, self._followed)

    def _move_to(self, step: int) -> None:
        """Write every group's rate and hyperparameters of a step; nothing if that fails."""
        groups = self.optimizer.param_groups
        rates = self._rates_at(step)
        settings = self._hyperparameters.at(step, self.optimizer)
        for group, now, followed, new in zip(groups, rates, self._followed, settings, strict=True):
            write_rate(now, followed, group)
            for key, value in new.items():
                write(group, key, value)
        self._frozen = [now.frozen for now in rates]
        self._gradients.hold(self.optimizer, self._frozen_groups())
        self.last_epoch = self._progress.step = step

    def _join(self) -> None:
        """Write the present rates of groups that were added since the last step."""
        if len(self._frozen) != len(self.optimizer.param_groups):
            self._move_to(self.last_epoch)

    # -- what the optimizer calls -------------------------------------------------------------

    def _attach(self) -> None:
        attach(self.optimizer, self, ScheduleLR._frozen_groups, ScheduleLR._after_load)
        announce(self, self._progress)
        self._gradients.hold(self.optimizer, self._frozen_groups())

    def _frozen_groups(self) -> list[dict[str, Any]]:
        self._join()
        groups = zip(self.optimizer.param_groups, self._frozen, strict=True)
        return [group for group, frozen in groups if frozen]

    def _after_load(self) -> None:
        self._followed = []
        self._move_to(self.last_epoch)

    def __getstate__(self) -> dict[str, Any]:
        others = self._hyperparameters.schedules.values()
        given = [value for each in (self._schedules, *others) for value in each.values.values()]
        check_picklable([*given, *(followed.multiplier for followed in self._followed)])
        return self.__dict__

    def __deepcopy__(self, memo: dict[int, Any]) -> "ScheduleLR":
        # Functions need not be picklable for this: a copy has the same ones.
        made = memo[id(self)] = type(self).__new__(type(self))
        made.__setstate__(copy.deepcopy(self.__dict__, memo))
        return made

    def __setstate__(self, state: dict[str, Any]) -> None:
        # PyTorch doesn't copy an optimizer's hooks with it.
        self.__dict__.update(state)
        self._attach()
