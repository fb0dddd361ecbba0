"""PlateauDecisions: how far each plateau has come, and the schedules that it moves."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any, SupportsFloat, TypeVar, cast

from layerwise._checks import as_number, whole
from layerwise._text import first_few, shown
from layerwise.errors import ConfigError, ScheduleError
from layerwise.schedules._by_metric.on_plateau import (
    ByMetric,
    plateaus_in,
    replace_by_metric,
)
from layerwise.schedules._by_metric.plateau import PlateauState, plateau

T = TypeVar("T")


@dataclass(frozen=True)
class PlateauEvent:
    """What happened to a plateau at a report.

    Attributes:
        when: The plateau.
        value: The metric that was reported.
        before: The plateau's state before the report.
        after: Its state after it.

    Examples:
        >>> from layerwise.schedules import PlateauDecisions, plateau
        >>> decisions = PlateauDecisions([plateau("loss", patience=1)])
        >>> [event.fired for loss in (1.0, 2.0) for event in decisions.report({"loss": loss})]
        [False, True]
    """

    when: plateau
    value: float
    before: PlateauState
    after: PlateauState

    @property
    def fired(self) -> bool:
        """Whether it fired."""
        return self.after.fired > self.before.fired

    @property
    def is_best(self) -> bool:
        """Whether the value is the best so far."""
        return self.after.best != self.before.best

    def __str__(self) -> str:
        return _text(self.when, self.after)


class PlateauDecisions:
    """The states of some plateaus, moved on by reports of their metrics.

    Equal plateaus are one: rules that name the same decision change together.

    Args:
        plateaus: The plateaus.

    Attributes:
        states: The state of each plateau.

    Examples:
        >>> from layerwise.schedules import PlateauDecisions, plateaus_in, reduce_on_plateau
        >>> falling = reduce_on_plateau("val_loss", factor=0.5, patience=2)
        >>> decisions = PlateauDecisions(plateaus_in([falling]))
        >>> for loss in [1.0, 1.0, 1.0]:
        ...     _ = decisions.report({"val_loss": loss})
        >>> decisions.applied_to(falling)(0)
        0.5
    """

    def __init__(self, plateaus: Iterable[plateau] = ()) -> None:
        self.states = {each: each.start() for each in plateaus}

    def __bool__(self) -> bool:
        """Whether there is anything to decide."""
        return bool(self.states)

    @property
    def metrics(self) -> list[str]:
        """The metrics that are watched."""
        return list(dict.fromkeys(each.metric for each in self.states))

    def follow(self, values: Iterable[object]) -> None:
        """Take in the plateaus of these schedules too; those known keep their states."""
        for each in plateaus_in(list(values)):
            self.states.setdefault(each, each.start())

    def foreseen(self, metrics: object) -> list[PlateauEvent]:
        """What a report will do; nothing is changed.

        Args:
            metrics: The metrics by name, or a number if only one is watched. Others are ignored.

        Raises:
            ScheduleError: None of the metrics that are watched is there, or one is no number.
        """
        names = self.metrics
        if not names:
            raise ScheduleError(
                "Nothing here is decided by a metric: no rule or schedule has "
                "reduce_on_plateau(...), nor gradual_unfreezing(when=plateau(...))."
            )
        if not isinstance(metrics, Mapping):
            if len(names) > 1:
                raise ScheduleError(
                    f"A report must be a mapping of names to values, such as "
                    f"{{{names[0]!r}: 0.5}}, got {shown(metrics)}: {first_few(names)} are watched."
                )
            metrics = {names[0]: metrics}
        found = []
        for when, before in self.states.items():
            if when.metric in metrics:
                value = _number(metrics[when.metric], when.metric)
                found.append(PlateauEvent(when, value, before, when.after(before, value)))
        if not found:
            raise ScheduleError(
                f"A report must have {first_few(names)}, which is watched, got "
                f"{first_few(list(metrics)) or 'nothing'}."
            )
        return found

    def report(self, metrics: Mapping[str, SupportsFloat] | SupportsFloat) -> list[PlateauEvent]:
        """Take in a report; see ``foreseen``.

        Returns:
            What happened, for each plateau whose metric was reported.
        """
        events = self.foreseen(metrics)
        self.states |= {event.when: event.after for event in events}
        return events

    def counts(self) -> dict[plateau, int]:
        """How often each plateau has fired."""
        return {when: state.fired for when, state in self.states.items()}

    def fired_since(self, counts: Mapping[plateau, int]) -> list[str]:
        """What has fired since ``counts()`` gave these, in words, for a record."""
        return [
            _text(when, state)
            for when, state in self.states.items()
            if state.fired > counts.get(when, 0)
        ]

    def applied_to(self, value: T) -> T:
        """A value as it is now: each schedule in it that a metric moves knows its firings."""
        if not self.states:
            return value

        def now(each: ByMetric) -> ByMetric:
            state = self.states.get(each.decision)
            if state is None:
                return each
            return cast(ByMetric, replace(cast(Any, each), fired=each.fired + state.fired))

        return replace_by_metric(value, now)

    def to_config(self) -> list[dict[str, Any]]:
        """The states as plain data.

        Examples:
            >>> from layerwise.schedules import PlateauDecisions, plateau
            >>> known = PlateauDecisions([plateau("loss")])
            >>> again = PlateauDecisions([plateau("loss")])
            >>> _ = known.report(0.5)
            >>> again.load(known.to_config())
            >>> again.states == known.states
            True
        """
        return [
            {"when": when.to_config(), "state": list(astuple(state))}
            for when, state in self.states.items()
        ]

    def load(self, config: object) -> None:
        """Take over the states that ``to_config`` gave, of plateaus that are here.

        Raises:
            ConfigError: It is no such config.
        """
        if not isinstance(config, list):
            raise ConfigError(f"{shown(config)} is no config of decisions.")
        found = {}
        for each in config:
            match each:
                case {"when": dict(when), "state": [best, waited, resting, fired]}:
                    counts = (whole(n, "A count", ConfigError) for n in (waited, resting, fired))
                    known = None if best is None else _number(best, "best", ConfigError)
                    found[plateau.from_config(when)] = PlateauState(known, *counts)
                case _:
                    raise ConfigError(f"{shown(each)} is no config of a decision.")
        self.states |= {when: state for when, state in found.items() if when in self.states}


def _text(when: plateau, state: PlateauState) -> str:
    best = "is no number" if state.best is None else f"is no better than {state.best:g}"
    return f"{when!r} fired: {when.metric} {best}"


def _number(
    value: object, what: str, error: type[ConfigError | ScheduleError] = ScheduleError
) -> float:
    found = as_number(value)
    if found is None:
        try:
            return float(value)  # type: ignore[arg-type]  # a tensor on a device, say
        except (TypeError, ValueError, RuntimeError):
            raise error(f"The metric {what!r} must be a number, got {shown(value)}.") from None
    return float(found)
