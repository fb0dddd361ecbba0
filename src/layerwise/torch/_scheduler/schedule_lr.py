"""ScheduleLR: every rate of an optimizer, computed from the step alone."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from layerwise._checks import step_number, whole
from layerwise.errors import ConfigError, ScheduleError
from layerwise.multipliers import Value
from layerwise.schedules import PlateauDecisions, PlateauEvent
from layerwise.torch._groups.base_rate import base_of
from layerwise.torch._optimizer.attached_schedulers import announce
from layerwise.torch._optimizer.loaded_state import check_same_groups
from layerwise.torch._optimizer.optimizer_set import Optimizers, OptimizerSet
from layerwise.torch._scheduler.best_weights import BestWeights
from layerwise.torch._scheduler.counts import Counts
from layerwise.torch._scheduler.frozen_gradients import drop
from layerwise.torch._scheduler.group_schedules import GroupSchedules, ScheduleSpec
from layerwise.torch._scheduler.hyperparameters import BetasSpec, Hyperparameters
from layerwise.torch._scheduler.pickling import check_picklable
from layerwise.torch._scheduler.rate_drivers import RateDrivers

VERSION = 1
_STATE = {
    "version",
    "last_epoch",
    "aside",
    "groups",
    "bases",
    "schedule",
    "hyperparameters",
}


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
    a tensor is filled in place, and each group has one of its own. ``optimizer.step`` is not
    patched: call ``scheduler.step()`` after each update that was applied.

    A scheduler of PyTorch's that multiplies the rates that it finds, such as ``ReduceLROnPlateau``,
    may work on the same optimizer: its factors go into the base rates. One that sets them, such as
    ``LambdaLR``, or another ``ScheduleLR``, would undo this one, and a warning says so once.

    A schedule may count something other than updates: ``schedule.by("tokens")``. Then say with each
    step what was in the update, ``scheduler.step(tokens=4096)``, or call ``scheduler.count`` where
    a trainer calls ``step``. The counts are part of the state.

    Args:
        optimizer: Any ``torch.optim.Optimizer``. Or several that update together, as a list, or a
            mapping by names of your own: then groups are called ``AdamW/default``, and a schedule
            by name may be for all groups of an optimizer: ``{"AdamW": cosine(100)}``.
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
        counts: What has been counted before the step to start at, ``{"tokens": 1_000_000}``; by
            default nothing.

    Attributes:
        optimizer: The optimizer; of several, the first.
        optimizer_set: All of them, with the names of their groups.

    Raises:
        OptimizerError: Not an optimizer, or one without the hyperparameter that is scheduled.
        ScheduleError: Not schedules, not as many as groups, or for a group that is not there; or
            a callable returns no finite number of at least 0. Or a count that nothing counts.

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

    _knows_multipliers = True

    def __init__(
        self,
        optimizer: Optimizers,
        schedule: ScheduleSpec | None = None,
        last_epoch: int = -1,
        *,
        momentum: ScheduleSpec | None = None,
        betas: BetasSpec | None = None,
        weight_decay_factor: ScheduleSpec | None = None,
        lr_lambda: ScheduleSpec | None = None,
        counts: Mapping[str, float] | None = None,
    ) -> None:
        # The __init__ of the base class isn't called. It patches optimizer.step for the sake of a
        # warning, and refuses groups without initial_lr when it doesn't start at step 0.
        self.optimizer_set = OptimizerSet.of(optimizer)
        if schedule is not None and lr_lambda is not None:
            raise ScheduleError("schedule= and lr_lambda= are the same argument. Give one of them.")
        self.optimizer = self.optimizer_set.first
        schedules = GroupSchedules.of(lr_lambda if schedule is None else schedule)
        hyperparameters = Hyperparameters.of(
            self.optimizer_set, momentum, betas, weight_decay_factor
        )
        first = whole(last_epoch, "last_epoch", ScheduleError, at_least=-1) + 1
        self._step_count = 1
        self._driver = RateDrivers(self.optimizer_set, schedules, hyperparameters, Counts())
        self._driver.set_counts(counts or {})
        self._best = BestWeights()
        self._driver.move_to(first)
        self._attach()

    @property
    def decisions(self) -> PlateauDecisions:
        """What reports of metrics have decided so far; see ``report``."""
        return self._driver.decisions

    @property
    def optimizers(self) -> list[Optimizer]:
        """All optimizers, in order; ``optimizer`` is the first of them."""
        return self.optimizer_set.optimizers

    @property
    def group_names(self) -> list[str]:
        """The name of each group, in the order of ``get_last_lr()``."""
        return self.optimizer_set.names()

    @property
    def last_epoch(self) -> int:
        """The step that the scheduler is at: updates applied so far."""
        return self._driver.last_epoch  # type: ignore[return-value]  # a fraction if step() got one

    @last_epoch.setter
    def last_epoch(self, step: int) -> None:
        self._driver.last_epoch = step

    # -- what PyTorch's schedulers do ---------------------------------------------------------

    def step(self, epoch: float | None = None, **amounts: float) -> None:
        """Go on to the next step; call it after each update that the optimizer has applied.

        Args:
            epoch: Go to this step instead. It may lie between two, as in
                ``scheduler.step(epoch + batch / batches)``, where the schedule allows it.
            amounts: What was in the update, by the name that a schedule counts it by:
                ``scheduler.step(tokens=4096)``.

        Raises:
            ScheduleError: It is no number of at least 0, or the schedule takes whole ones only; or
                an amount is none, or missing. Nothing has changed then.

        Examples:
            >>> import torch
            >>> from layerwise import linear
            >>> from layerwise.torch import ScheduleLR
            >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            >>> scheduler = ScheduleLR(optimizer, linear(1_000).by("tokens"))
            >>> optimizer.step()
            >>> scheduler.step(tokens=100)
            >>> optimizer.step()
            >>> scheduler.step(tokens=400)
            >>> scheduler.get_last_lr(), scheduler.counts
            ([0.5], {'tokens': 500})
        """
        if epoch is None:
            step = self._driver.last_epoch + 1
        else:
            step = step_number(epoch, "epoch", ScheduleError)
        self._driver.go_on_to(step, amounts)
        self._step_count += 1

    def count(self, **amounts: float) -> None:
        """Count what was in an update, or a part of it, where something else calls ``step()``.

        The rates move with the next ``step()``: ``scheduler.count(tokens=batch.numel())`` for each
        batch of an update, under accumulation or in a trainer.

        Args:
            amounts: What to add to the counts, by name.

        Raises:
            ScheduleError: An amount is no number of at least 0, or no schedule counts it.
        """
        self._driver.count(amounts)

    @property
    def counts(self) -> dict[str, float]:
        """What has been counted beside updates, by name: ``{"tokens": 4096}``.

        It can be set, and counts from the next step on.
        """
        return dict(self._driver.counts.so_far)

    @counts.setter
    def counts(self, counts: Mapping[str, float]) -> None:
        self._driver.set_counts(counts)

    def get_last_lr(self) -> list[float | Tensor]:
        """The rate that each group has now; copies, where rates are tensors."""
        self._driver.catch_up()
        rates = [group["lr"] for group in self.optimizer_set.groups()]
        return [rate.clone() if isinstance(rate, Tensor) else rate for rate in rates]

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each group at the present step, computed again."""
        self._driver.catch_up()
        return [*self._driver.rates_at(self.last_epoch)]

    @property
    def base_lrs(self) -> list[float | Tensor]:
        """The base rate of each group: its ``initial_lr``, which is part of the optimizer's state.

        It can be set, and counts from the next step on.
        """
        self._driver.catch_up()
        return [base_of(group) for group in self.optimizer_set.groups()]

    @base_lrs.setter
    def base_lrs(self, rates: Sequence[float | Tensor]) -> None:
        self._driver.catch_up()
        for group, rate in zip(self.optimizer_set.groups(), rates, strict=True):
            group["initial_lr"] = float(rate)

    def state_dict(self) -> dict[str, Any]:
        """The step and the configs of the schedules, as plain data; a function only by name."""
        self._driver.catch_up()
        state: dict[str, Any] = {
            "version": VERSION,
            "last_epoch": self._driver.at,
            "aside": self._driver.is_aside,
            "groups": self.group_names,
            "bases": self._driver.bases(),
            "schedule": self._driver.schedules.to_config(),
            "hyperparameters": self._driver.hyperparameters.to_config(),
        }
        if self.counts:
            state["counts"] = self.counts
        if self.decisions:
            state["decisions"] = self.decisions.to_config()
            state["best_weights"] = self._best.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the step of a state, under its schedules.

        The optimizer's state may be loaded before or after. The base rates belong to it.

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
        check_same_groups(state_dict["groups"], self.group_names)
        before = self._driver.schedules
        schedules = before.restored(state_dict["schedule"])
        hyperparameters = self._driver.hyperparameters.restored(state_dict["hyperparameters"])
        hyperparameters.check(self.optimizer_set)
        decisions = PlateauDecisions(self.decisions.states)
        decisions.follow(
            value
            for each in (schedules, *hyperparameters.schedules.values())
            for value in each.values.values()
        )
        decisions.load(state_dict.get("decisions", []))
        best = BestWeights.restored(state_dict.get("best_weights", []), decisions.states)
        changed = bool(before) and schedules.to_config() != before.to_config()
        step = step_number(state_dict["last_epoch"], "last_epoch", ScheduleError)
        self._driver.restore(
            (step, Counts.restored(state_dict.get("counts", {}))),
            schedules,
            hyperparameters,
            states=decisions.states,
            bases=state_dict["bases"],
            aside=bool(state_dict["aside"]),
        )
        self._best = best
        if changed:
            warnings.warn(
                "The loaded state has other schedules than this ScheduleLR was made with, and they "
                "count from now on. To keep the new ones, don't load the state, but make "
                f"ScheduleLR(..., last_epoch={self.last_epoch - 1}).",
                stacklevel=2,
            )

    def report(
        self, metrics: Mapping[str, SupportsFloat] | SupportsFloat, model: nn.Module | None = None
    ) -> list[PlateauEvent]:
        """Report metrics to the rules and schedules that they decide; call it after a validation.

        A rate that a plateau changes counts from the next update on, and a level that it unfreezes
        trains from then on. Where a plateau has ``restore_best``, the model's weights and buffers
        of its best report are kept, and restored when it fires. The state has all of this.

        Args:
            metrics: The metrics by name, or a number if only one is watched. Others are ignored.
            model: The model, for ``restore_best``.

        Returns:
            What happened, for each plateau whose metric was reported; ``event.fired`` says whether
            it changed something.

        Raises:
            ScheduleError: No metric decides anything here, none that is watched was reported, one
                is no number, or ``restore_best`` needs the model.

        Examples:
            >>> import torch
            >>> from layerwise import gradual_unfreezing, plateau
            >>> from layerwise.torch import ScheduleLR, param_groups
            >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
            >>> rules = gradual_unfreezing(when=plateau("val_loss", patience=2))
            >>> optimizer = torch.optim.SGD(param_groups(model, rules, lr=0.1))
            >>> scheduler = ScheduleLR(optimizer)
            >>> for loss in (1.0, 0.9, 0.9, 0.9):
            ...     _ = scheduler.report({"val_loss": loss})
            ...     print(scheduler.get_last_lr())
            [0.0, 0.1]
            [0.0, 0.1]
            [0.0, 0.1]
            [0.1, 0.1]
        """
        self._driver.catch_up()
        events = self.decisions.foreseen(metrics)
        self._best.check(events, model)
        self._driver.decide({event.when: event.after for event in events})
        self._best.follow(events, model)
        return events

    def group_schedules(self) -> list[Value | None]:
        """The schedule that each group follows, None for one that keeps its rate."""
        names, owners = self.optimizer_set.names(), self.optimizer_set.owners()
        followed = self._driver.schedules.for_groups(names, owners)
        return [self.decisions.applied_to(value) for value in followed]

    def drop_frozen_gradients(self) -> None:
        """Drop the gradients that frozen groups have now, wherever they come from.

        Those that ``backward()`` computes are dropped at once, so that they steer neither
        ``clip_grad_norm_`` nor ``GradScaler``. Call this before either if gradients are written
        in another way: by hand, or by the older ``FullyShardedDataParallel``.
        """
        self._driver.catch_up()
        for groups in self._driver.frozen_now():
            drop(groups)

    # -- what PyTorch's SequentialLR and pickle call ------------------------------------------

    def _initial_step(self) -> None:
        self._driver.move_to(self._next(), stepped=True)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._driver.move_to(
            self._next() if epoch is None else step_number(epoch, "epoch", ScheduleError)
        )

    def _next(self) -> int:
        return self.last_epoch + 1

    def _attach(self) -> None:
        self._driver.attach()
        for driver in self._driver.each:
            announce(self, driver.optimizer, driver.progress)

    def __getstate__(self) -> dict[str, Any]:
        check_picklable(self._driver.given())
        return self.__dict__

    def __deepcopy__(self, memo: dict[int, Any]) -> "ScheduleLR":
        # Functions need not be picklable for this: a copy has the same ones.
        made = memo[id(self)] = type(self).__new__(type(self))
        made.__setstate__(copy.deepcopy(self.__dict__, memo))
        return made

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._attach()
