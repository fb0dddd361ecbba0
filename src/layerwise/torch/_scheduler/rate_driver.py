"""Writes the rates of a ``ScheduleLR`` into its optimizer's groups, and notices who else does."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from layerwise.multipliers import Value
from layerwise.schedules import PlateauDecisions
from layerwise.torch._groups.base_rate import Setting, write
from layerwise.torch._groups.shared_tensors import separate_tensors
from layerwise.torch._optimizer.attached_schedulers import Progress
from layerwise.torch._optimizer.optimizer_hooks import OptimizerHooks, hooks_of
from layerwise.torch._optimizer.optimizer_set import OptimizerPart
from layerwise.torch._optimizer.other_schedulers import (
    OtherSchedulers,
    all_multiply,
    named,
    set_to_zero,
    setting,
)
from layerwise.torch._optimizer.rate_changes import (
    are_set,
    assumed_bases,
    bring_bases,
    factors_between,
    factors_on_bases,
    is_thawed,
    mark,
    raise_bases,
    scale_bases,
    stored,
)
from layerwise.torch._scheduler.counts import Counts
from layerwise.torch._scheduler.frozen_gradients import FrozenGradients
from layerwise.torch._scheduler.group_rates import (
    Followed,
    GroupRates,
    GroupSchedule,
    schedules_of,
    write_rates,
)
from layerwise.torch._scheduler.group_schedules import GroupSchedules
from layerwise.torch._scheduler.hyperparameters import Hyperparameters


class RateDriver:
    """Drives the rates of one optimizer.

    Args:
        part: The optimizer, which may be one of several.
        schedules: Which schedule each group follows.
        hyperparameters: What is scheduled beside the rates.
        counts: What has been counted beside updates.
        decisions: What metrics have decided so far.

    Attributes:
        last_epoch: The step that the scheduler is at. PyTorch's ``SequentialLR`` changes it to put
            a scheduler aside.
        progress: What the optimizer still knows of the step when the scheduler is gone.
    """

    def __init__(
        self,
        part: OptimizerPart,
        schedules: GroupSchedules,
        hyperparameters: Hyperparameters,
        counts: Counts,
        decisions: PlateauDecisions,
    ) -> None:
        self._part, self.optimizer = part, part.optimizer
        self.counts, self._decisions = counts, decisions
        self.schedules, self.hyperparameters = schedules, hyperparameters
        self.last_epoch: float = -1
        self._assumed: list[set[str]] = []
        self._at: float = -1
        self._followed: list[GroupSchedule] = []
        self._shared = Followed.of([], decisions)
        self._rates = GroupRates([], [], [])
        self._marks: list[object] = []
        self._tensors = self._are_set = False
        self.progress = Progress()
        self._gradients = FrozenGradients()
        self._others = OtherSchedulers()
        self._hooks: OptimizerHooks | None = None

    def __repr__(self) -> str:
        each = [value for value in self.schedules.values.values() if value is not None]
        return f"ScheduleLR({', '.join(dict.fromkeys(map(repr, each)))})"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_hooks": None}  # PyTorch doesn't copy an optimizer's hooks with it

    def attach(self) -> None:
        """Hook into the optimizer, and bring it the functions that a pickled one has lost."""
        for group, followed in zip(self.optimizer.param_groups, self._followed, strict=False):
            followed.keep_in(group)
        self._hooks = hooks_of(self.optimizer)
        self._hooks.attach(self)
        self._hold_gradients()

    # -- writing ------------------------------------------------------------------------------

    def rates_at(self, step: float) -> GroupRates:
        """Each group's rate at a step, computed before anything is written."""
        if self._is_divided:
            return self._rates
        self.refresh()
        return self._shared.rates_at(step, self.optimizer.param_groups, self.counts.at(step))

    def refresh(self) -> None:
        """Find what the groups follow, if there are others than before."""
        if not self._is_divided and len(self._followed) != len(self.optimizer.param_groups):
            self._followed = schedules_of(self._part, self.schedules)
            self.counts.need(self._part.name, self.given())
            self._decisions.follow(self.given())
            self.decide()

    def decide(self) -> None:
        """Take in what metrics have decided, from the next rates on."""
        self._shared = Followed.of(self._followed, self._decisions)

    def check(self, step: float) -> None:
        """Raise what ``move_to`` would, and write nothing."""
        self.rates_at(step)
        if not self._is_divided:
            self._settings_at(step)

    def _settings_at(self, step: float) -> list[dict[str, Setting]]:
        """What else is to be written into each group at a step; empty if nothing is."""
        if not self.hyperparameters.schedules and not self._shared.decays:
            return []
        counts, apply = self.counts.at(step), self._decisions.applied_to
        return self.hyperparameters.at(step, self._part, self._shared.decays, counts, apply)

    def move_to(self, step: float, stepped: bool = False) -> None:
        """Write every group's rate and hyperparameters of a step; nothing if that fails.

        Args:
            step: The step.
            stepped: Whether an update has been applied since the last time.
        """
        if self._is_divided:
            self.last_epoch = self._at = step
            return
        if self.is_aside:
            self._others.forget_cuts()
        self.refresh()
        groups = self.optimizer.param_groups
        rates = self._shared.rates_at(step, groups, self.counts.at(step))
        settings = self._settings_at(step)
        if len(self._marks) != len(groups):
            if step == 0 and self._at < 0:
                self._others.note_cuts(self.optimizer)
            separate_tensors(self.optimizer)
            self._assumed = assumed_bases(groups, self._assumed)
        for place in self._shared.kept:
            self._followed[place].keep_in(groups[place])
        self._tensors = write_rates(rates, groups)
        for group, new in zip(groups, settings, strict=True) if settings else ():
            for key, value in new.items():
                write(group, key, value)
        self._rates = rates
        self._marks = self._marks_of(groups) if self._tensors else [*rates.rates]
        self.last_epoch = self._at = step
        self.progress.step = math.floor(step)
        if self._hooks is not None:
            other = self._hooks.wrote(self, stepped)
            self._hold_gradients()
            if other is not None:
                self._warn(f"{other!r}", "one ScheduleLR")

    def go_on_to(self, step: float) -> None:
        """``move_to``, after an update."""
        if self._hooks is not None:
            self._hooks.settle()
        self.move_to(step, stepped=True)

    def frozen_now(self) -> list[dict[str, Any]]:
        """The groups whose multiplier is 0 now."""
        return [self.optimizer.param_groups[place] for place in self._rates.frozen]

    def given(self) -> list[Value | None]:
        """All schedules and multipliers, as they were given."""
        specs = (self.schedules, *self.hyperparameters.schedules.values())
        values = [value for spec in specs for value in spec.values.values()]
        moving = [v for each in self._followed for v in (each.multiplier, each.decay)]
        return [*values, *moving]

    @contextmanager
    def unchanged_on_error(self) -> Iterator[None]:
        """If the block raises, this driver and its groups are as they were before it."""
        kept = dict(vars(self))
        groups = self.optimizer.param_groups
        before = [dict(group) for group in groups]
        try:
            yield
        except Exception:
            vars(self).update(kept)
            for group, old in zip(groups, before, strict=True):
                group.update(old)
            raise

    def follow(
        self,
        counts: Counts,
        schedules: GroupSchedules,
        hyperparameters: Hyperparameters,
        bases: Sequence[Mapping[str, Sequence[float]]],
    ) -> None:
        """Take the schedules of a saved state, before going to its step.

        Args:
            counts: What had been counted beside updates.
            schedules: The schedules.
            hyperparameters: The schedules of hyperparameters.
            bases: What ``bases_of`` gave when the state was saved.
        """
        self.counts = counts
        self.schedules, self.hyperparameters, self._followed = schedules, hyperparameters, []
        groups = self.optimizer.param_groups
        self._assumed = assumed_bases(groups, self._assumed)
        for group, assumed, saved in zip(groups, self._assumed, bases, strict=True):
            bring_bases(group, assumed, saved)

    def put_aside(self, step: float) -> None:
        """Be at a step as ``SequentialLR`` leaves a scheduler that it has put aside."""
        self.last_epoch, self._at = math.floor(step) - 1, step

    def catch_up(self) -> None:
        """Take over what others have done, and write the rates of groups that were added."""
        if self._hooks is not None and self._hooks.driver() is self:
            self._hooks.settle()
            self._join()

    def _join(self) -> None:
        if len(self._rates.rates) != len(self.optimizer.param_groups) and not self.is_aside:
            self.settle()
            self.move_to(self.last_epoch)

    @property
    def _is_divided(self) -> bool:
        """Whether a search has divided the groups for now; their rates are its own."""
        off = self._hooks is not None and self._hooks.hands_off
        return off and len(self._rates.rates) != len(self.optimizer.param_groups)

    # -- what the optimizer's hooks call ------------------------------------------------------

    @property
    def at(self) -> float:
        """The step whose rates are in the groups."""
        return self._at

    @property
    def is_aside(self) -> bool:
        """See ``Driver``."""
        return self.last_epoch != self._at

    def frozen_groups(self, check: bool) -> Sequence[dict[str, Any]]:
        """See ``Driver``."""
        if self._is_divided:
            return ()
        self._join()
        groups = self.optimizer.param_groups
        if check and any(
            mark(groups[place]["lr"]) != self._marks[place] for place in self._shared.moving
        ):
            known = groups[: len(self._marks)]
            if not self._take_over(known):
                self.move_to(self._at)
        return self.frozen_now()

    def settle(self) -> None:
        """See ``Driver``."""
        known = self.optimizer.param_groups[: len(self._marks)]
        if len(known) < len(self._marks):  # someone has taken groups away
            self.after_load(drives=True)
        elif not self.is_aside and self._marks_of(known) != self._marks:
            self._take_over(known)

    def after_load(self, drives: bool) -> None:
        """See ``Driver``."""
        self._followed, self._marks = [], []
        self._gradients.hold(self.optimizer, ())  # what is frozen may be others now
        self._assumed = [set() for _ in self.optimizer.param_groups]
        if drives and not self.is_aside:
            self.move_to(self.last_epoch)

    def let_go(self) -> None:
        """See ``Driver``."""
        self._gradients.hold(self.optimizer, ())

    # -- what others have done ----------------------------------------------------------------

    def _hold_gradients(self) -> None:
        self._gradients.hold(self.optimizer, self.frozen_now())

    def _marks_of(self, groups: Sequence[dict[str, Any]]) -> list[object]:
        rates = [group["lr"] for group in groups]
        return [mark(rate) for rate in rates] if self._tensors else rates

    def _take_over(self, groups: Sequence[dict[str, Any]]) -> bool:
        """Take factors on the rates over into the bases.

        Returns:
            Whether that is what they were. Otherwise the rates were set, and a warning says so.
        """
        written = list(map(stored, self._rates.rates, [group["lr"] for group in groups]))
        present = [float(group["lr"]) for group in groups]
        others = [] if written == present else self._others.now(self.optimizer)
        multiply = all_multiply(others)
        factors = factors_between(written, present, set_to_zero(others, len(groups)))
        if all(factor == 1 for factor in factors):
            self._marks = self._marks_of(groups)
            return True
        frozen = [place in self._rates.frozen for place in range(len(groups))]
        moving = [place in self._shared.moving for place in range(len(groups))]
        self._are_set |= not multiply and are_set(factors, frozen, moving)
        if setting(others) or is_thawed(factors, frozen) or (not multiply and self._are_set):
            for group, base in zip(groups, self._rates.bases, strict=True):
                group["initial_lr"] = base  # OneCycleLR and CyclicLR have set it, too
            self._warn(named(setting(others) or others) or "something else", "the ScheduleLR")
            return False
        scale_bases(groups, factors_on_bases(factors, written))
        if multiply:
            ones = [{"initial_lr": 1.0}] * len(groups)
            values = self._shared.rates_at(self._at, ones, self.counts.at(self._at))
            raise_bases(groups, values.rates)
        self._rates = self._rates._replace(rates=present)
        self._marks = self._marks_of(groups)
        return True

    def _warn(self, other: str, which: str) -> None:
        """Tell, once, that another scheduler and this one undo each other."""
        told = set() if self._hooks is None else self._hooks.told
        if frozenset((repr(self), other)) not in told:
            told.add(frozenset((repr(self), other)))
            warnings.warn(
                f"{self!r} and {other} set the rates of one optimizer, and each undoes the other. "
                f"Give {which} the product of both as its schedule.",
                stacklevel=5,
            )
