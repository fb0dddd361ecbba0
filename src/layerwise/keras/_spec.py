"""What an LRMultiplier is given, checked, and as the plain data that Keras saves."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from layerwise.errors import MultiplierError, ScheduleError
from layerwise.keras._factors import evaluate_on_host
from layerwise.keras._functions import RegisteredFunctions, function_name
from layerwise.multipliers import (
    Parameter,
    Plan,
    Rules,
    resolve,
    rules_from_config,
    rules_to_config,
    value_from_config,
    value_to_config,
)
from layerwise.schedules import Schedule


@dataclass(frozen=True)
class Spec:
    """Rules, a schedule and how the rules match; checked when made.

    Raises:
        MultiplierError: A value, rule or match mode that can't be honoured.
        ScheduleError: ``schedule`` is neither a schedule nor a callable.
    """

    multipliers: Rules | None
    schedule: Schedule | Callable[[Any], Any] | None
    match: str
    strict: bool

    def __post_init__(self) -> None:
        resolve((), self.multipliers, match=self.match, strict=False)
        if self.schedule is not None and not callable(self.schedule):
            raise ScheduleError(
                f"schedule={self.schedule!r} is neither a schedule nor a callable of the step; a "
                "constant factor is layerwise.constant(...)."
            )

    def resolve(self, parameters: list[Parameter]) -> Plan:
        """The plan of these parameters, with every callable tried once."""
        plan = resolve(
            parameters,
            self.multipliers,
            match=self.match,
            strict=self.strict,
            schedule=self.schedule,
        )
        for row in plan.rows:
            _check_first(row.value, row.rule or row.parameter.name)
        if plan.schedule is not None:
            _check_first(plan.schedule, "schedule")
        return plan

    def to_config(self, optimizer: Any) -> dict[str, Any]:
        """Plain data for it around a serialized optimizer."""
        rules, schedule = self.multipliers, self.schedule
        return {
            "optimizer": optimizer,
            "multipliers": None if rules is None else rules_to_config(rules, function_name),
            "schedule": None if schedule is None else value_to_config(schedule, function_name),
            "match": self.match,
            "strict": self.strict,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """What ``to_config`` described."""
        functions = RegisteredFunctions()
        rules, schedule = config["multipliers"], config["schedule"]
        value: Any = None if schedule is None else value_from_config(schedule, functions)
        return cls(
            None if rules is None else rules_from_config(rules, functions),
            value,
            config["match"],
            config["strict"],
        )


def _check_first(value: Any, place: str) -> None:
    """Evaluate what moves once, before training, where an error can still be read."""
    if isinstance(value, float):
        return
    try:
        first = evaluate_on_host(value, 0)
    except Exception as error:
        raise MultiplierError(
            f"The multiplier of {place!r} failed at step 0: {error}. It is called with the step "
            "as a float32 tensor and returns a number or scalar tensor."
        ) from error
    if not (math.isfinite(first) and first >= 0):
        raise MultiplierError(
            f"The multiplier of {place!r} is {first} at step 0; a multiplier is finite and >= 0."
        )
