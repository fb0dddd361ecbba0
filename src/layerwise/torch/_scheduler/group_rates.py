"""The rate of each group at one step: base rate, schedule, and the group's multiplier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any, NamedTuple, Self

from torch import Tensor

from layerwise.multipliers import Value
from layerwise.schedules import PlateauDecisions
from layerwise.torch._groups.base_rate import base_of, write
from layerwise.torch._groups.stored_multiplier import (
    DECAY_KEY,
    read_multiplier,
    write_multiplier,
)
from layerwise.torch._optimizer.optimizer_hooks import watch_copy
from layerwise.torch._optimizer.optimizer_set import OptimizerPart
from layerwise.torch._scheduler.group_schedules import GroupSchedules, SharedValues


class GroupSchedule(NamedTuple):
    """What a group follows: its schedule and its multipliers that move, or None for each."""

    name: str
    schedule: Value | None
    multiplier: Value | None
    decay: Value | None

    def keep_in(self, group: dict[str, Any]) -> None:
        """Write the multipliers into the group, if they are not there."""
        if self.multiplier is not None:
            write_multiplier(self.multiplier, group, watch_copy)
        if self.decay is not None:
            write_multiplier(self.decay, group, watch_copy, DECAY_KEY)


class GroupRates(NamedTuple):
    """All groups at one step.

    Attributes:
        bases: The base rate of each.
        rates: The rate of each.
        frozen: The places of those that their multipliers freeze.
    """

    bases: list[float]
    rates: list[float]
    frozen: list[int]


@dataclass(frozen=True)
class Followed:
    """The part of what all groups follow that can't change between two steps.

    Attributes:
        schedules: The schedule of each.
        multipliers: The multiplier of each that moves.
        moving: The places of the groups that have one.
        decays: The multiplier of each group's weight decay that moves; empty if no group has one.
        kept: The places of the groups that keep any of these.
    """

    schedules: SharedValues
    multipliers: SharedValues
    moving: tuple[int, ...]
    decays: tuple[Value | None, ...]
    kept: tuple[int, ...]

    @classmethod
    def of(cls, groups: Sequence[GroupSchedule], decisions: PlateauDecisions) -> Self:
        """Find which groups share what they follow, as metrics have decided by now."""
        now = {id(value): decisions.applied_to(value) for each in groups for value in each[1:]}
        names, *columns = zip(*groups, strict=True) if groups else [()] * 4
        schedules, multipliers, decays = (
            [now[id(value)] for value in values] for values in columns
        )
        moving = tuple(i for i, value in enumerate(multipliers) if value is not None)
        decaying = tuple(i for i, value in enumerate(decays) if value is not None)
        return cls(
            SharedValues.of(schedules, names, "schedule"),
            SharedValues.of(multipliers, names, "multiplier"),
            moving,
            tuple(decays) if decaying else (),
            tuple(sorted({*moving, *decaying})),
        )

    def rates_at(
        self,
        step: float,
        groups: Sequence[Mapping[str, Any]],
        counts: Mapping[str, float] | None = None,
    ) -> GroupRates:
        """The groups at a step, and at what has been counted beside updates.

        Raises:
            ScheduleError: A callable returned no finite number of at least 0.
        """
        bases: list[Any] = [group.get("initial_lr") for group in groups]
        if {*map(type, bases)} != {float}:  # at the first step, or where someone has set one
            bases = list(map(base_of, groups))
        rates: list[float] = bases
        frozen: list[int] = []
        if self.schedules.different:
            rates = list(map(mul, rates, self.schedules.at(step, counts)))
        if self.moving:
            multipliers = self.multipliers.at(step, counts)
            rates = list(map(mul, rates, multipliers))
            frozen = [place for place in self.moving if multipliers[place] == 0]
        return GroupRates(bases, rates, frozen)


def schedules_of(part: OptimizerPart, schedules: GroupSchedules) -> list[GroupSchedule]:
    """What each group of an optimizer follows, which may be one of several.

    Raises:
        MultiplierError: A group made by hand has something that is no multiplier.
        OptimizerError: A group's multiplier is a function that is not here.
        ScheduleError: The schedules are not for these groups.
    """
    names, of_all = part.names(), schedules.for_groups(part.whole.names(), part.whole.owners())
    groups = zip(part.optimizer.param_groups, names, part.cut(of_all), strict=True)
    return [
        GroupSchedule(
            name,
            schedule,
            read_multiplier(group, name),
            read_multiplier(group, name, DECAY_KEY),
        )
        for group, name, schedule in groups
    ]


def write_rates(now: GroupRates, groups: Sequence[dict[str, Any]]) -> bool:
    """Write the rate of each group, and the base rate, which an optimizer has to save beside it.

    Returns:
        Whether any rate is a tensor, which is filled in place.
    """
    tensors = False
    for group, base, rate in zip(groups, now.bases, now.rates, strict=True):
        group["initial_lr"] = base
        if type(group.get("lr")) is float:  # the usual case, checked first for speed
            group["lr"] = rate
        else:
            write(group, "lr", rate)
            tensors |= isinstance(group["lr"], Tensor)
    return tensors
