"""What an LRMultiplier is given, checked, and as the plain data that Keras saves."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from layerwise.errors import MultiplierError, ScheduleError, UnmatchedRuleError
from layerwise.keras._optimizer.factors import StepFunction, evaluate_on_host
from layerwise.keras._registered_functions import RegisteredFunctions, function_name
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

    rules: Rules | None
    schedule: Schedule | Callable[[Any], Any] | None
    match: str
    strict: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", _own(self.rules))
        resolve((), self.rules, match=self.match, strict=False)
        if self.schedule is not None and not callable(self.schedule):
            raise ScheduleError(
                f"schedule={self.schedule!r} is neither a schedule nor a callable of the step; a "
                "constant factor is layerwise.constant(...)."
            )

    def resolve(self, parameters: list[Parameter]) -> Plan:
        """The plan of these parameters, with every callable tried once."""
        try:
            plan = resolve(
                parameters,
                self.rules,
                match=self.match,
                strict=self.strict and bool(parameters),  # Keras may build on nothing, to load
                schedule=self.schedule,
            )
        except UnmatchedRuleError as error:
            raise UnmatchedRuleError(f"{error}\n{_NOT_AMONG_THEM}") from None
        tried: dict[int, Any] = {}

        def usable(value: Any, place: str) -> Any:
            if id(value) not in tried:
                tried[id(value)] = value if isinstance(value, float) else _tried(value, place)
            return tried[id(value)]

        rows = [
            replace(row, value=usable(row.value, row.rule or row.parameter.name))
            for row in plan.rows
        ]
        schedule = None if plan.schedule is None else usable(plan.schedule, "schedule=")
        return replace(plan, rows=tuple(rows), schedule=schedule)

    def to_config(self, optimizer: Any) -> dict[str, Any]:
        """Plain data for it around a serialized optimizer."""
        rules, schedule = self.rules, self.schedule
        return {
            "optimizer": optimizer,
            "rules": None if rules is None else rules_to_config(rules, function_name),
            "schedule": None if schedule is None else value_to_config(schedule, function_name),
            "match": self.match,
            "strict": self.strict,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """What ``to_config`` described."""
        functions = RegisteredFunctions()
        rules, schedule = config["rules"], config["schedule"]
        value: Any = None if schedule is None else value_from_config(schedule, functions)
        return cls(
            None if rules is None else rules_from_config(rules, functions),
            value,
            config["match"],
            config["strict"],
        )


_NOT_AMONG_THEM = (
    "The names are those of the weights that train: a layer with trainable=False is not among "
    "them, and Keras leaves the name of a nested functional model out of its layers' names "
    "(layerwise.keras.annotate(nested, multiplier) reaches them all)."
)


def _own(rules: Any) -> Any:
    """The rules in containers of our own: what the caller changes later changes nothing here."""
    if isinstance(rules, Mapping):
        return dict(rules)
    return tuple(map(_own, rules)) if isinstance(rules, list | tuple) else rules


def _tried(value: Any, place: str) -> Schedule | StepFunction:
    """What moves, evaluated once before training, where an error can still be read."""
    usable: Schedule | StepFunction
    if isinstance(value, Schedule):
        usable, first = value, evaluate_on_host(value, 0)
    else:
        usable = StepFunction(value, place)
        first = evaluate_on_host(usable.unbounded, 0)
    if not (math.isfinite(first) and first >= 0):
        raise MultiplierError(
            f"The multiplier of {place!r} is {first} at step 0; a multiplier is finite and >= 0."
        )
    return usable
