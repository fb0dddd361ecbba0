"""What metrics have decided, in variables of the optimizer, so that no step is compiled again."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np
from keras import Variable, ops

from layerwise.keras._internals.optimizer import OptimizerHooks
from layerwise.keras._internals.values import number_in, value_of
from layerwise.multipliers import Plan, StepValue
from layerwise.schedules import (
    ByMetric,
    Clock,
    PlateauDecisions,
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
        values: Its multipliers and schedules.

    Attributes:
        decisions: The copy on the host.
        variables: The variable of each plateau.
        moved: The schedules that are moved.
    """

    def __init__(
        self, optimizer: OptimizerHooks | None = None, values: Sequence[object] = ()
    ) -> None:
        self.decisions = PlateauDecisions(plateaus_in(values))
        self.variables: dict[plateau, Variable] = {}
        self.moved: list[ByMetric] = []
        self._live: dict[ByMetric, _Live] = {}
        for place, when in enumerate(self.decisions.states):
            assert optimizer is not None
            self.variables[when] = optimizer.add_counts(_SIZE, f"plateau_{place}")

    def live(self, plan: Plan) -> Plan:
        """The plan with schedules that read these variables, where a metric moves them."""
        if not self.variables:
            return plan
        return plan.map_values(lambda value, _: self.live_value(value))

    def live_value(self, value: StepValue) -> StepValue:
        """The same for one value."""
        return replace_by_metric(value, self._one)

    def _one(self, schedule: ByMetric) -> "_Live":
        if schedule not in self._live:
            self._live[schedule] = _Live(self, len(self.moved))
            self.moved.append(schedule)
        return self._live[schedule]

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
        plateaus: The variables.
        place: The place of the schedule among those that they move.
    """

    plateaus: PlateauVariables
    place: int

    def evaluate(self, clock: Clock[Any]) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        schedule = self.plateaus.moved[self.place]
        when, table = schedule.decision, schedule.table()
        if isinstance(clock.whole, int | float | np.ndarray | np.generic):
            fired = schedule.fired + self.plateaus.decisions.states[when].fired
            return clock.constant(table[min(fired, len(table) - 1)])
        state: Any = value_of(self.plateaus.variables[when])
        count = state[0] + schedule.fired
        return clock.xp.take(table, ops.minimum(count, len(table) - 1))

    def __repr__(self) -> str:
        return repr(self.plateaus.decisions.applied_to(self.plateaus.moved[self.place]))


def _written(state: PlateauState) -> np.ndarray:
    halves = struct.unpack("<2i", struct.pack("<d", state.best or 0.0))
    known = int(state.best is not None)
    return np.array([state.fired, state.waited, state.resting, known, *halves], "int32")


def _read(values: np.ndarray) -> PlateauState:
    fired, waited, resting, known, *halves = map(int, values)
    best = struct.unpack("<d", struct.pack("<2i", *halves))[0]
    return PlateauState(best if known else None, waited, resting, fired)
