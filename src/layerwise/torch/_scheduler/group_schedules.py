"""Which schedule each group follows: one for all, one for each in order, or by the group's name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Self, TypeAlias

from layerwise._text import first_few
from layerwise.errors import ConfigError, ScheduleError
from layerwise.multipliers import StepValue, Value, value_at
from layerwise.schedules import Schedule, constant
from layerwise.torch._groups.stored_multiplier import from_data, to_data

ScheduleSpec: TypeAlias = StepValue | Sequence[StepValue | None] | Mapping[str, StepValue]
"""One schedule for all groups, one for each in order, or those of some groups by name.

A schedule is one of Layerwise, or any callable of the step, as ``LambdaLR`` takes it.
"""


@dataclass(frozen=True)
class GroupSchedules:
    """The schedules of one quantity, such as the learning rate, for an optimizer's groups.

    Attributes:
        kind: ``"all"``, ``"each"`` or ``"by_name"``.
        values: The schedules by the name of the group, or by its place, or under ``"all"``. A
            group without one keeps what it has.
    """

    kind: str
    values: Mapping[str, Value | None]

    @classmethod
    def of(cls, given: ScheduleSpec | None, what: str = "schedule") -> Self:
        """Check and sort out what a caller gave.

        Args:
            given: One schedule, a sequence or a mapping; None for none at all.
            what: The argument's name, for the message.

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
            if value is None and made.kind == "each":
                continue  # this group keeps what it has
            if not callable(value) or isinstance(value, type):
                where = what if made.kind == "all" else f"{what}[{key!r}]"
                raise ScheduleError(
                    f"{where}={value!r} must be a schedule or a callable of the step. A constant "
                    "factor is layerwise.constant(...)."
                )
        return made

    def __bool__(self) -> bool:
        """Whether any group follows a schedule."""
        return any(value is not None for value in self.values.values())

    def for_groups(self, names: Sequence[str], owners: Sequence[str] = ()) -> list[Value | None]:
        """The schedule of each group, None for one that has none.

        Args:
            names: The groups' names.
            owners: The names of their optimizers, if there are several. A key that is one of these
                is for all groups of that optimizer.

        Raises:
            ScheduleError: They are not one for each of these groups, or name none of them.
        """
        if self.kind == "all":
            return [self.values.get("all")] * len(names)
        if self.kind == "each":
            if len(self.values) != len(names):
                raise ScheduleError(
                    f"There are {len(self.values)} schedules for {len(names)} groups "
                    f"({first_few(names)}). Give one for each in that order, one for all, or a "
                    "mapping by name."
                )
            return list(self.values.values())
        counts = Counter(names)
        several = {name for name in owners if name and not counts[name]}
        for name in self.values:
            if counts[name] != 1 and name not in several:
                what = "Several groups are" if counts[name] else "No group is"
                raise ScheduleError(f"{what} called {name!r}. The groups are {first_few(names)}.")
        keys = [
            owner if owner in several and name not in self.values else name
            for name, owner in zip(names, owners or names, strict=True)
        ]
        return [self.values.get(key) for key in keys]

    def to_config(self) -> dict[str, object]:
        """The schedules as plain data; of a function only its name."""
        values = {k: None if value is None else to_data(value) for k, value in self.values.items()}
        return {"kind": self.kind, "values": values}

    def restored(self, config: object) -> Self:
        """The schedules that a config describes, with this object's functions in their places.

        Raises:
            ConfigError: The config can't be read, or has a function that is not here.
        """
        match config:
            case {"kind": "all" | "each" | "by_name" as kind, "values": dict(values)}:
                known = self.values if kind == self.kind else {}
                return type(self)(
                    kind,
                    {
                        key: None if data is None else from_data(data, known.get(key))
                        for key, data in values.items()
                    },
                )
        raise ConfigError(f"{config!r} is no config of schedules.")


@dataclass(frozen=True)
class SharedValues:
    """What each of some groups follows, with each different schedule once.

    Attributes:
        different: The different schedules.
        called: What each of them is called in a message.
        places: Which of them each group follows; the last place is that of 1, for none. None if
            each group follows one of its own, in order.
    """

    different: tuple[StepValue, ...]
    called: tuple[str, ...]
    places: tuple[int, ...] | None

    @classmethod
    def of(cls, values: Sequence[Value | None], names: Sequence[str], what: str) -> Self:
        """Find which groups share a schedule.

        Args:
            values: The groups' schedules.
            names: The groups' names, for the message.
            what: What the values are, likewise: ``"schedule"``.
        """
        different: list[StepValue] = []
        called: list[str] = []
        known: dict[int, int] = {}
        for value, name in zip(values, names, strict=True):
            if value is not None and id(value) not in known:
                known[id(value)] = len(different)
                different.append(value if callable(value) else constant(value))
                called.append(f"The {what} of {name!r}")
        if len(different) == len(values):
            return cls(tuple(different), tuple(called), None)
        known[id(None)] = len(different)
        places = tuple(known[id(value)] for value in values)
        return cls(tuple(different), tuple(called), places)

    def at(self, step: float, counts: Mapping[str, float] | None = None) -> list[float]:
        """The value of each group at a step, and 1 for a group that follows none.

        Args:
            step: The step.
            counts: What has been counted beside updates.

        Raises:
            ScheduleError: A callable returned no finite number of at least 0.
        """
        if counts:
            pairs = zip(self.different, self.called, strict=True)
            found = [value_at(value, step, what, ScheduleError, counts) for value, what in pairs]
        else:
            found = self._checked([value(step) for value in self.different], step)
        if self.places is None:
            return found
        found = [*found, 1.0]
        return [found[place] for place in self.places]

    def _checked(self, results: list[Any], step: float) -> list[float]:
        """Results as numbers.

        Raises:
            ScheduleError: One is no finite number of at least 0.
        """
        plain = {*map(type, results)} == {float}
        if plain and isfinite(sum(results)) and min(results) >= 0:  # nearly always
            return results
        return [
            value_at(lambda _, result=result: result, step, what, ScheduleError)
            for result, what in zip(results, self.called, strict=True)
        ]
