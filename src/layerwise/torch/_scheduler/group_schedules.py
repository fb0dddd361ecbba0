"""Which schedule a group follows: one for all, one for each in order, or by the group's name."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from torch.optim import Optimizer

from layerwise.errors import ConfigError, ScheduleError
from layerwise.multipliers import Value
from layerwise.schedules import Schedule
from layerwise.torch._groups import stored_multiplier

StepValue: TypeAlias = Schedule | Callable[[int], Any]
"""A schedule, or any callable of the step, as PyTorch's ``LambdaLR`` takes it."""

ScheduleSpec: TypeAlias = StepValue | Sequence[StepValue] | Mapping[str, StepValue]
"""One schedule for all groups, one for each in order, or those of some groups by name."""


@dataclass(frozen=True)
class GroupSchedules:
    """The schedules that a caller gave for the groups of an optimizer.

    Attributes:
        kind: ``"all"``, ``"each"`` or ``"by_name"``.
        values: The schedules: of all by ``"all"``, of each by its place, or by name; none at all
            if nothing was given.
    """

    kind: str
    values: Mapping[str, Value]

    @classmethod
    def of(cls, given: ScheduleSpec | None) -> Self:
        """Check and sort out what a caller gave.

        Raises:
            ScheduleError: Something in it is neither a schedule nor a callable.
        """
        if isinstance(given, Mapping):
            made = cls("by_name", dict(given))
        elif isinstance(given, Sequence) and not isinstance(given, str | Schedule):
            made = cls("each", {str(place): value for place, value in enumerate(given)})
        else:
            made = cls("all", {} if given is None else {"all": given})
        for key, value in made.values.items():
            if not callable(value) or isinstance(value, type):
                where = "schedule" if key == "all" else f"the schedule {key!r}"
                raise ScheduleError(
                    f"{where}={value!r} is neither a schedule nor a callable of the step; a "
                    "constant factor is layerwise.constant(...)."
                )
        return made

    def for_groups(self, names: Sequence[str]) -> list[Value | None]:
        """The schedule of each group, None for one that has none.

        Raises:
            ScheduleError: They are not one for each of these groups, or name none of them.
        """
        if self.kind == "all":
            return [self.values.get("all")] * len(names)
        if self.kind == "each":
            if len(self.values) != len(names):
                raise ScheduleError(
                    f"there are {len(self.values)} schedules for {len(names)} groups "
                    f"({listed(names)}); give one for each in that order, one for all, or a "
                    "mapping by name."
                )
            return list(self.values.values())
        counts = Counter(names)
        for name in self.values:
            if counts[name] != 1:
                what = "several groups are" if counts[name] else "no group is"
                raise ScheduleError(f"{what} called {name!r}; the groups are {listed(names)}.")
        return [self.values.get(name) for name in names]

    def to_config(self) -> dict[str, Any]:
        """The schedules as plain data; of a function only its name."""
        values = {key: stored_multiplier.described(value) for key, value in self.values.items()}
        return {"kind": self.kind, "values": values}

    def restored(self, config: Any) -> Self:
        """The choice that a config describes, with this one's functions in their places.

        Raises:
            ConfigError: The config can't be read, or has a function that this one has not.
        """
        match config:
            case {"kind": "all" | "each" | "by_name" as kind, "values": dict(values)}:
                known = self.values if kind == self.kind else {}
                return type(self)(
                    kind,
                    {
                        key: stored_multiplier.revived(one, known.get(key))
                        for key, one in values.items()
                    },
                )
        raise ConfigError(f"{config!r} is no config of schedules.")


def names_of(optimizer: Optimizer) -> list[str]:
    """The names of an optimizer's groups; one without a name is called by its place."""
    groups = optimizer.param_groups
    return [str(group.get("name", f"group {place}")) for place, group in enumerate(groups)]


def listed(names: Sequence[Any]) -> str:
    """Names for a message, of many the first."""
    shown = ", ".join(map(repr, names[:8]))
    return shown + (f", … ({len(names)} in all)" if len(names) > 8 else "")
