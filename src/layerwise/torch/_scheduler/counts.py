"""What a scheduler has counted beside updates: the tokens, samples or epochs that were trained."""

from collections.abc import Iterable, Mapping
from typing import Self

from layerwise._checks import number
from layerwise._text import shown
from layerwise.errors import ConfigError, ScheduleError
from layerwise.multipliers import Value
from layerwise.schedules import counters_of


class Counts:
    """The counts of a scheduler.

    Args:
        counted: What has been counted already.

    Attributes:
        so_far: The counts by name.
    """

    def __init__(self, counted: Mapping[str, float] | None = None) -> None:
        self.so_far: dict[str, float] = {}
        self._needs: dict[str, tuple[str, ...]] = {}
        self._needed: list[str] = []
        self.set(counted or {})

    def need(self, owner: str, values: Iterable[Value | None]) -> None:
        """Note what these values of an optimizer, which may be one of several, count."""
        self._needs[owner] = counters_of(values)
        each = self._needs.values()
        self._needed = list(dict.fromkeys(name for names in each for name in names))

    def set(self, counts: Mapping[str, object]) -> None:
        """Set counts to what they are; nothing changes if one can't be set.

        Raises:
            ScheduleError: One is no finite number of at least 0.
        """
        self.so_far = self.so_far | {name: _amount(count, name) for name, count in counts.items()}

    def check(self, counts: Iterable[object]) -> None:
        """Raise unless something that is needed counts each of these.

        Raises:
            ScheduleError: Nothing counts one of them.
        """
        for name in counts:
            if name not in self._needed:
                known = ", ".join(self._needed) or "updates alone"
                raise ScheduleError(
                    f"No schedule here counts {shown(name)}: they count {known}. A schedule of "
                    f"{name} must be made with .by({name!r})."
                )

    def plus(self, amounts: Mapping[str, object]) -> dict[str, float]:
        """The counts with these amounts added.

        Raises:
            ScheduleError: An amount is no finite number of at least 0, or nothing counts it.
        """
        self.check(amounts)
        added = {n: self.so_far.get(n, 0) + _amount(a, n) for n, a in amounts.items()}
        return {**self.so_far, **added}

    def at(self, step: float) -> Mapping[str, float]:
        """The counts at a step, 0 at the first one.

        Raises:
            ScheduleError: Something that is needed has never been counted.
        """
        missing = [name for name in self._needed if name not in self.so_far]
        if not missing:
            return self.so_far
        if step > 0:
            names = " and ".join(missing)
            given = ", ".join(f"{name}=n" for name in missing)
            zeros = ", ".join(f"{name!r}: 0" for name in missing)
            raise ScheduleError(
                f"The schedules count {names}, and nobody has counted them. Updates can't stand "
                f"for that: call scheduler.step({given}) after each update with the {names} that "
                f"were in it, or scheduler.count({given}) before scheduler.step(). If the count "
                f"begins later, make ScheduleLR(..., counts={{{zeros}}})."
            )
        return {**self.so_far, **dict.fromkeys(missing, 0)}

    @classmethod
    def restored(cls, state: object) -> Self:
        """The counts of a saved state.

        Raises:
            ConfigError: They aren't counts.
        """
        if not isinstance(state, Mapping):
            raise ConfigError(f"The counts of a ScheduleLR must be a dict, got {shown(state)}.")
        try:
            return cls(state)
        except ScheduleError as error:
            raise ConfigError(str(error)) from None


def _amount(value: object, name: object) -> float:
    amount = number(value, f"The count of {name}", ScheduleError)
    return int(amount) if amount == int(amount) else amount
