"""Schedules whose value changes when a plateau fires, and not with the step."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

from layerwise._checks import number, sequence
from layerwise._text import shown
from layerwise.errors import ScheduleError
from layerwise.schedules._backends.namespace import A
from layerwise.schedules._by_metric.plateau import checked_fields, plateau
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule, schedules_in

T = TypeVar("T")

_NEARLY_0, _MOST_STAGES = 1e-40, 10_000


class ByMetric(Schedule):
    """A schedule that a metric moves: a plateau, and how often it has fired.

    Attributes:
        fired: How often it has fired already.

    Examples:
        >>> from layerwise.schedules import ByMetric, reduce_on_plateau
        >>> isinstance(reduce_on_plateau("val_loss"), ByMetric)
        True
    """

    fired: int

    @property
    @abstractmethod
    def decision(self) -> plateau:
        """When the value changes."""

    @abstractmethod
    def after(self, fired: int) -> float:
        """The value once the plateau has fired so often."""

    def table(self) -> list[float]:
        """The values after 0, 1, 2, … firings, up to the one that stays, or that is nearly 0."""
        values = [self.after(0)]
        while len(values) < _MOST_STAGES and values[-1] > _NEARLY_0:
            value = self.after(len(values))
            if value == values[-1]:
                break
            values.append(value)
        return values

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        return clock.constant(self.after(self.fired))


@dataclass(frozen=True, repr=False)
class reduce_on_plateau(ByMetric):
    r"""A factor that falls whenever a metric has stopped getting better.

    $$f = \max(\text{factor}^k, \text{minimum})$$

    where $k$ is how often ``plateau`` has fired. It can be a rule's value, for chosen layers only,
    or the schedule of all; or a factor in one: ``cosine(1000) * reduce_on_plateau("val_loss")``.

    It does not move with the step, but with the metric that is reported: by the callback
    ``ReportMetrics`` in Keras and Lightning, and by ``ScheduleLR.report`` in PyTorch.

    Args:
        metric: The metric's name, as it is reported: ``"val_loss"``.
        factor: What the value is multiplied by, above 0 and below 1.
        patience: Reports in a row that are no better; see ``plateau``.
        minimum: The value does not fall below this.
        mode: ``"min"`` or ``"max"``; see ``plateau``.
        min_delta: What counts as no better.
        relative: Whether ``min_delta`` is a share of the best value.
        cooldown: Reports after a firing that don't count.
        restore_best: Whether the weights of the best report are restored when it falls.
        fired: How often it has fired already.

    Raises:
        ScheduleError: An argument is out of its range.

    Examples:
        >>> from layerwise.schedules import reduce_on_plateau
        >>> falling = reduce_on_plateau("val_loss", factor=0.5, patience=3)
        >>> [falling.after(fired) for fired in range(4)]
        [1.0, 0.5, 0.25, 0.125]

    Source: ``ReduceLROnPlateau`` of PyTorch and Keras.
    """

    metric: str
    factor: float = 0.1
    patience: int = 10
    minimum: float = 0.0
    mode: str | None = None
    min_delta: float = 0.0
    relative: bool = False
    cooldown: int = 0
    restore_best: bool = False
    fired: int = 0

    def __post_init__(self) -> None:
        self._check_number("factor", above=0.0, below=1.0)
        self._check_number("minimum")
        if self.minimum > 1:
            raise ScheduleError(
                f"reduce_on_plateau: minimum must be at most 1, got {self.minimum!r}."
            )
        self._check_whole("fired", at_least=0)
        self._set(**checked_fields(self, "reduce_on_plateau"))

    @property
    def decision(self) -> plateau:
        """When the value falls."""
        return plateau(**{each.name: getattr(self, each.name) for each in fields(plateau)})

    def after(self, fired: int) -> float:
        """The value once the plateau has fired so often."""
        return max(self.factor**fired, self.minimum)


@dataclass(frozen=True, repr=False, init=False)
class on_plateau(ByMetric):
    r"""The next of some values whenever a metric has stopped getting better; the last one stays.

    $$f = \text{values}_{\min(k, n - 1)}$$

    where $k$ is how often the plateau has fired, and $n$ how many values there are.

    Args:
        when: The plateau.
        values: The factors, each at least 0: the first, and the next after each firing.
        fired: How often it has fired already.

    Raises:
        ScheduleError: An argument is out of its range.

    Examples:
        >>> from layerwise.schedules import on_plateau, plateau
        >>> thawing = on_plateau(plateau("val_loss", patience=3), [0.0, 1.0])
        >>> thawing.after(0), thawing.after(1), thawing.after(7)
        (0.0, 1.0, 1.0)

    Source: what ``gradual_unfreezing(when=...)`` is made of.
    """

    when: plateau
    values: tuple[float, ...]
    fired: int = 0

    def __init__(self, when: plateau, values: Sequence[float], fired: int = 0) -> None:
        name = "on_plateau"
        if not isinstance(when, plateau):
            raise ScheduleError(
                f"{name}: when must be a plateau, such as plateau('val_loss', patience=3), got "
                f"{shown(when)}."
            )
        factors = sequence(values, f"{name}: values", ScheduleError)
        if not factors:
            raise ScheduleError(f"{name}: values must have at least one value, got none.")
        checked = tuple(number(each, f"{name}: each value", ScheduleError) for each in factors)
        self._set(when=when, values=checked, fired=fired)
        self._check_whole("fired", at_least=0)

    @property
    def decision(self) -> plateau:
        """When the value changes."""
        return self.when

    def table(self) -> list[float]:
        """The values."""
        return list(self.values)

    def after(self, fired: int) -> float:
        """The value once the plateau has fired so often."""
        return self.values[min(fired, len(self.values) - 1)]


def by_metric_in(value: object) -> list[ByMetric]:
    """The schedules in a value that a metric moves."""
    if isinstance(value, ByMetric):
        return [value]
    if not isinstance(value, Schedule):
        return []
    inside = schedules_in(tuple(vars(value).values()))
    return [found for each in inside for found in by_metric_in(each)]


def plateaus_in(values: Sequence[object]) -> list[plateau]:
    """The different plateaus that move some values, in the order in which they appear.

    Examples:
        >>> from layerwise.schedules import constant, plateaus_in, reduce_on_plateau
        >>> plateaus_in([constant(), constant(0.5) * reduce_on_plateau("loss", patience=2)])
        [plateau('loss', patience=2)]
    """
    found = [each.decision for value in values for each in by_metric_in(value)]
    return list(dict.fromkeys(found))


def replace_by_metric(value: T, change: Callable[[ByMetric], Schedule]) -> T:
    """A value with another schedule in place of each that a metric moves, anywhere inside.

    Args:
        value: A schedule, or anything else, which is returned as it is.
        change: Gets each of them.

    Examples:
        >>> from layerwise.schedules import constant, reduce_on_plateau, replace_by_metric
        >>> falling = constant(0.5) * reduce_on_plateau("loss", factor=0.5)
        >>> replace_by_metric(falling, lambda each: constant(each.after(2)))(0)
        0.125
    """
    return cast(T, _replaced(value, change))


def _replaced(value: Any, change: Callable[[ByMetric], Schedule]) -> object:
    if isinstance(value, ByMetric):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_replaced(each, change) for each in value)
    if not by_metric_in(value):
        return value
    arguments = {each.name: _replaced(getattr(value, each.name), change) for each in fields(value)}
    return replace(value, **arguments)
