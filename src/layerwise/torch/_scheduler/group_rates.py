"""The rate of each group at one step: base, schedule and the group's own multiplier."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from layerwise.multipliers import Value
from layerwise.torch._groups import stored_multiplier
from layerwise.torch._scheduler.group_schedules import GroupSchedules, names_of
from layerwise.torch._scheduler.hyperparameters import value_at, write


class GroupSchedule(NamedTuple):
    """What a group follows: its schedule and its own multiplier, each None if it has none."""

    name: str
    schedule: Value | None
    own: Value | None


class GroupRate(NamedTuple):
    """A group at one step: base rate, rate, and whether its own multiplier leaves it out."""

    base: float
    rate: float
    frozen: bool


def courses_of(optimizer: Any, schedules: GroupSchedules) -> list[GroupSchedule]:
    """What each group of an optimizer follows.

    Raises:
        MultiplierError: A group made by hand has something that is no multiplier.
        OptimizerError: A group's multiplier is a function that is not here.
        ScheduleError: The schedules are not for these groups.
    """
    names = names_of(optimizer)
    groups = zip(optimizer.param_groups, names, schedules.for_groups(names), strict=True)
    return [
        GroupSchedule(name, schedule, stored_multiplier.get(group, name))
        for group, name, schedule in groups
    ]


def base_of(group: Mapping[str, Any]) -> float:
    """A group's base rate: its ``initial_lr`` once it has been scheduled, its ``lr`` before."""
    return float(group["initial_lr"] if "initial_lr" in group else group["lr"])


def groups_at(
    step: int, groups: Sequence[Mapping[str, Any]], courses: Sequence[GroupSchedule]
) -> list[GroupRate]:
    """Each group at a step; a schedule that several share is evaluated once.

    Raises:
        ScheduleError: A callable returned no finite number of at least 0.
    """
    known: dict[int, float] = {}

    def at(value: Value, what: str, name: str) -> float:
        if id(value) not in known:
            known[id(value)] = value_at(value, step, f"the {what} of {name!r}")
        return known[id(value)]

    found = []
    for group, (name, schedule, own) in zip(groups, courses, strict=True):
        base = rate = base_of(group)
        factor = 1.0
        if schedule is not None:
            rate *= at(schedule, "schedule", name)
        if own is not None:
            factor = at(own, "multiplier", name)
        found.append(GroupRate(base, rate * factor, factor == 0))
    return found


def put(now: GroupRate, course: GroupSchedule, group: dict[str, Any]) -> None:
    """Write a group's rate, and beside it as plain data what an optimizer has to save."""
    group["initial_lr"] = now.base
    if course.own is not None and not isinstance(group[stored_multiplier.KEY], Mapping):
        stored_multiplier.put(course.own, group)
    write(group, "lr", now.rate)
