"""The plan: which multiplier each parameter gets and why, as a table that can be read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from layerwise import _show
from layerwise.errors import MultiplierError
from layerwise.multipliers._parameter import Parameter
from layerwise.multipliers._values import StepValue, Value, moves, value_at, value_key
from layerwise.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console, ConsoleOptions
    from rich.table import Table

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PlanRow:
    """One parameter of a plan.

    Attributes:
        parameter: The parameter.
        rule: What decided: the key of a rule, strategies as ``layer_decay(0.75)``,
            ``"annotation"``, or None where nothing did and the multiplier is 1.
        value: The multiplier: a ``float``, a schedule, or a callable.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> row = resolve([Parameter("head/kernel")], {"head": 0}).rows[0]
        >>> row.rule, row.value, row.frozen
        ('head', 0.0, True)
    """

    parameter: Parameter
    rule: str | None
    value: Value

    @property
    def frozen(self) -> bool:
        """Whether the parameter never changes: not trainable, or multiplied by the number 0."""
        return not self.parameter.trainable or self.value == 0.0


@dataclass(frozen=True)
class Plan:
    """What rules mean for a model's parameters, before any training.

    Printed, it is a table; parameters with the same settings are folded together, as far as is
    needed for the table to fit a screen.

    Attributes:
        rows: One row a parameter, in the order of the parameters.
        learning_rate: The base learning rate, or None if it is not known.
        schedule: A factor on the base learning rate, for all parameters, or None.
        steps: Steps to show rates at, beside ``step``.
        step: The step that is now: optimizer updates already applied.
        separator: What stands between the parts of a name.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> names = [Parameter("body/kernel", (8, 4)), Parameter("head/kernel", (4, 2))]
        >>> plan = resolve(names, {"body": 0.1}, learning_rate=1e-3)
        >>> print(plan)
        parameter    shape  rule  multiplier  rate @ 0
        ───────────────────────────────────────────────
        body/kernel  8x4    body         0.1      1e-4
        head/kernel  4x2                   1      1e-3
        2 parameters, 2 different multipliers, none
        frozen, base rate 1e-3
        >>> plan.to_dict()["rate @ 0"]
        [0.0001, 0.001]
    """

    rows: tuple[PlanRow, ...]
    learning_rate: float | None = None
    schedule: Value | None = None
    steps: tuple[int, ...] = ()
    step: int = 0
    separator: str = "/"

    @cached_property
    def groups(self) -> tuple[tuple[Value, tuple[int, ...]], ...]:
        """The distinct multipliers, each with the places of its rows, by first appearance."""
        places: dict[object, list[int]] = {}
        for place, row in enumerate(self.rows):
            places.setdefault(value_key(row.value), []).append(place)
        return tuple((self.rows[own[0]].value, tuple(own)) for own in places.values())

    def map_values(self, change: Callable[[StepValue, str], Value]) -> Self:
        """The plan with other values in place of those that move.

        Args:
            change: Called once with each different schedule or callable and what it is
                (``"The multiplier of 'head'"``, ``"The schedule"``); returns the new value.

        Returns:
            The plan with the new values; numbers stay as they are.

        Examples:
            >>> from layerwise import constant
            >>> from layerwise.multipliers import Parameter, resolve
            >>> plan = resolve([Parameter("head/kernel")], {"head": constant(0.5)})
            >>> plan.map_values(lambda value, what: value(0)).rows[0].value
            0.5
        """
        changed: dict[object, Value] = {}

        def new(value: Value, what: str) -> Value:
            if not moves(value):
                return value
            key = value_key(value)
            if key not in changed:
                changed[key] = change(value, what)
            return changed[key]

        rows = tuple(replace(row, value=new(row.value, _what(row))) for row in self.rows)
        schedule = None if self.schedule is None else new(self.schedule, "The schedule")
        return replace(self, rows=rows, schedule=schedule)

    def multipliers(self, step: int) -> Floats:
        """The multiplier of each row at a step, shape ``(rows,)``.

        Raises:
            MultiplierError: A callable returned something that is no multiplier.
        """
        result = np.empty(len(self.rows))
        for value, places in self.groups:
            result[list(places)] = value_at(value, step, _what(self.rows[places[0]]))
        return result

    def rates(self, step: int) -> Floats:
        """The learning rate of each row at a step, shape ``(rows,)``.

        It is ``learning_rate * schedule(step) * multiplier(step)``, and 0 for a parameter that is
        not trainable.

        Raises:
            MultiplierError: The plan was made without a learning rate, or a callable returned
                something that is no multiplier.
        """
        if self.learning_rate is None:
            raise MultiplierError("this plan has no learning rate: make it with learning_rate=.")
        base = self.learning_rate
        if self.schedule is not None:
            base *= value_at(self.schedule, step, "The schedule")
        trainable = np.array([row.parameter.trainable for row in self.rows], dtype=bool)
        return np.where(trainable, base * self.multipliers(step), 0.0)

    def to_dict(self) -> dict[str, list[Any]]:
        """The table as plain columns of equal length: JSON data, or a data frame's argument.

        The columns are ``parameter``, ``shape``, ``rule``, ``multiplier`` (a number, or the text
        of what changes with the step), ``rate @ N`` for each step N that is shown (without a
        learning rate ``multiplier @ N``), ``weight decay`` and ``frozen``.
        """
        return {
            "parameter": [row.parameter.name for row in self.rows],
            "shape": [list(row.parameter.shape) for row in self.rows],
            "rule": [row.rule for row in self.rows],
            "multiplier": [value_text(row.value) for row in self.rows],
            **{title: column.tolist() for title, column in self.columns_at_steps().items()},
            "weight decay": [row.parameter.weight_decay for row in self.rows],
            "frozen": [row.frozen for row in self.rows],
        }

    def columns_at_steps(self) -> dict[str, Floats]:
        """The numbers at the steps that are shown, by the title of their column."""
        if self.learning_rate is not None:
            return {f"rate @ {step}": self.rates(step) for step in (self.step, *self.steps)}
        steps = (self.step, *self.steps) if self.steps else ()
        return {f"multiplier @ {step}": self.multipliers(step) for step in steps}

    def plot(self, steps: int | Sequence[int], ax: "Axes | None" = None) -> "Axes":
        """Draw the rate of each group over the steps, with Matplotlib.

        Args:
            steps: How many steps from 0 on, or the steps themselves, rising.
            ax: Axes to draw on; by default a new figure's.

        Returns:
            The axes. Without a learning rate they show the multipliers.

        Raises:
            LayerwiseError: ``steps`` are no steps.
        """
        return _show.plan_curves(self, steps, ax)

    def heat_map(self, steps: int | Sequence[int], ax: "Axes | None" = None) -> "Axes":
        """Draw the rate of each layer at each step as a colour, with Matplotlib.

        Args:
            steps: How many steps from 0 on, or the steps themselves, rising.
            ax: Axes to draw on; by default a new figure's.

        Returns:
            The axes; frozen layers are hatched in them.

        Raises:
            LayerwiseError: ``steps`` are no steps, or the plan is empty.
        """
        return _show.plan_heat_map(self, steps, ax)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Table]":
        yield _show.plan_table(self, options.max_width)

    def __str__(self) -> str:
        return _show.plan_text(self)

    def __repr__(self) -> str:
        frozen = sum(row.frozen for row in self.rows)
        rate = "" if self.learning_rate is None else f", learning_rate={self.learning_rate:g}"
        return (
            f"<Plan: {_count(len(self.rows), 'parameter')}, "
            f"{_count(len(self.groups), 'multiplier')}, {frozen} frozen{rate}>"
        )


def _what(row: PlanRow) -> str:
    return f"The multiplier of {row.rule or row.parameter.name!r}"


def value_text(value: Value) -> float | str:
    """A multiplier for people to read: a number, a schedule's expression, or a function's name.

    Examples:
        >>> from layerwise import cosine
        >>> from layerwise.multipliers import value_text
        >>> value_text(0.5), value_text(cosine(100)), value_text(max)
        (0.5, 'cosine(100)', 'max')
    """
    if isinstance(value, float | int):
        return float(value)
    if isinstance(value, Schedule):
        return repr(value)
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else type(value).__name__


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
