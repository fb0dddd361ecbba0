"""The rate of each group at one step: base rate, schedule, and the group's multiplier."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
from layerwise.torch._scheduler.group_schedules import GroupSchedules, values_at


class GroupSchedule(NamedTuple):
    """What a group follows: its schedule and its multipliers that move, or None for each."""

    name: str
    schedule: Value | None
    multiplier: Value | None
    decay: Value | None

    def decided(self, decisions: PlateauDecisions) -> "GroupSchedule":
        """The same as metrics have decided by now."""
        values = map(decisions.applied_to, (self.schedule, self.multiplier, self.decay))
        return GroupSchedule(self.name, *values)

    def keep_in(self, group: dict[str, Any]) -> None:
        """Write the multipliers into the group, if they are not there."""
        if self.multiplier is not None:
            write_multiplier(self.multiplier, group, watch_copy)
        if self.decay is not None:
            write_multiplier(self.decay, group, watch_copy, DECAY_KEY)


class GroupRate(NamedTuple):
    """A group at one step: base rate, rate, and whether its multiplier freezes it."""

    base: float
    rate: float
    frozen: bool


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


def rates_at(
    step: float,
    groups: Sequence[Mapping[str, Any]],
    schedules: Sequence[GroupSchedule],
    counts: Mapping[str, float] | None = None,
) -> list[GroupRate]:
    """Each group at a step, and at what has been counted beside updates.

    Raises:
        ScheduleError: A callable returned no finite number of at least 0.
    """
    names, followed, moving, _ = zip(*schedules, strict=True)
    factors = values_at(followed, step, names, "schedule", counts)
    multipliers = values_at(moving, step, names, "multiplier", counts)
    found = []
    for group, factor, multiplier in zip(groups, factors, multipliers, strict=True):
        base = rate = base_of(group)
        if factor is not None:
            rate *= factor
        if multiplier is not None:
            rate *= multiplier
        found.append(GroupRate(base, rate, multiplier == 0))
    return found


def write_rate(now: GroupRate, schedule: GroupSchedule, group: dict[str, Any]) -> None:
    """Write a group's rate, and what an optimizer has to save beside it."""
    group["initial_lr"] = now.base
    schedule.keep_in(group)
    write(group, "lr", now.rate)
