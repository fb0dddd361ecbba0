"""What metrics have decided, in variables of the optimizer, so that no step is compiled again."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
from keras import Variable, ops

from layerwise.keras._internals.optimizer import OptimizerHooks
from layerwise.keras._internals.values import number_in, value_of
from layerwise.multipliers import Plan
from layerwise.schedules import (
    Clock,
    Decisions,
    PlateauEvent,
    PlateauState,
    Schedule,
    plateau,
    plateaus_in,
    replace_by_metric,
)

_SIZE = 6  # fired, waited, resting, whether there is a best, and the best in two halves


class PlateauVariables:
    """The state of each plateau in a variable, with a copy on the host.

    Args:
        optimizer: The optimizer, just built, which gets the variables.
        plan: Its plan.

    Attributes:
        decisions: The copy on the host.
        variables: The variable of each plateau.
    """

    def __init__(self, optimizer: OptimizerHooks | None = None, plan: Plan | None = None) -> None:
        values = [] if plan is None else [*(row.value for row in plan.rows), plan.schedule]
        self.decisions = Decisions(plateaus_in(values))
        self.variables: dict[plateau, Variable] = {}
        self._live: dict[Schedule, _Live] = {}
        for place, when in enumerate(self.decisions.states):
            assert optimizer is not None
            self.variables[when] = optimizer.add_counts(_SIZE, f"plateau_{place}")

    def live(self, plan: Plan) -> Plan:
        """The plan with schedules that read these variables, where a metric moves them."""
        if not self.variables:
            return plan
        return plan.map_values(lambda value, _: replace_by_metric(value, self._one))

    def _one(self, schedule: Schedule) -> "_Live":
        return self._live.setdefault(schedule, _Live(schedule, self))

    def report(self, metrics: Mapping[str, SupportsFloat] | SupportsFloat) -> list[PlateauEvent]:
        """Take in a report, and write the variables."""
        self.read()
        events = self.decisions.report(metrics)
        for event in events:
            self.variables[event.when].assign(_written(event.after))
        return events

    def read(self) -> None:
        """Bring the copy on the host up to date."""
        for when, variable in self.variables.items():
            self.decisions.states[when] = _read(number_in(variable))

    def take_over(self, other: "PlateauVariables") -> None:
        """Go on from the states of plateaus that another optimizer has too."""
        other.read()
        for when in self.variables.keys() & other.variables.keys():
            self.variables[when].assign(_written(other.decisions.states[when]))
        self.read()


@dataclass(frozen=True, repr=False, eq=False)
class _Live(Schedule):
    """A schedule that a metric moves, at the firings that the optimizer's variable has.

    Attributes:
        schedule: The schedule.
        states: The variables.
    """

    schedule: Schedule
    states: PlateauVariables

    def evaluate(self, clock: Clock) -> object:  # type: ignore[override, type-arg]
        when, table = self.schedule.decision, self.schedule.table()
        before = self.schedule.fired
        if isinstance(clock.whole, int | float | np.ndarray | np.generic):
            fired = before + self.states.decisions.states[when].fired
            return clock.constant(table[min(fired, len(table) - 1)])
        count = value_of(self.states.variables[when])[0] + before
        return clock.xp.take(table, ops.minimum(count, len(table) - 1))

    def __repr__(self) -> str:
        return repr(self.states.decisions.applied_to(self.schedule))


def _written(state: PlateauState) -> np.ndarray:
    halves = struct.unpack("<2i", struct.pack("<d", state.best or 0.0))
    known = int(state.best is not None)
    return np.array([state.fired, state.waited, state.resting, known, *halves], "int32")


def _read(values: np.ndarray) -> PlateauState:
    fired, waited, resting, known, *halves = map(int, values)
    best = struct.unpack("<d", struct.pack("<2i", *halves))[0]
    return PlateauState(best if known else None, waited, resting, fired)
