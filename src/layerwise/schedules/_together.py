"""The values of many schedules at one step, those of one kind computed together."""

from collections.abc import Sequence
from typing import Any

from layerwise.schedules._backends.lookup import namespace_of, namespaces_of
from layerwise.schedules._backends.namespace import ArrayNamespace
from layerwise.schedules._backends.recording import (
    CannotRecordError,
    Recording,
    RecordingNamespace,
    computed,
)
from layerwise.schedules._clock import Clock
from layerwise.schedules._curve import is_closed_form
from layerwise.schedules._schedule import Schedule, is_built_in


def values_together(schedules: Sequence[Schedule], step: Any, **counts: Any) -> list[Any]:
    """Evaluate many schedules at one step.

    Schedules that differ in numbers alone are computed in one go, so that a compiler sees the
    operations of one schedule, not of hundreds. That needs a step without axes of an array library,
    and integers; elsewhere each schedule is called. The values are those of the calls, up to the
    last bit of a sine or a power, which a library may compute otherwise for several at once.

    Args:
        schedules: The schedules.
        step: The number of updates applied so far, as ``schedule(step)`` takes it.
        counts: What else has been counted so far, by name.

    Returns:
        The value of each.

    Raises:
        ScheduleError: As from a call.

    Examples:
        >>> import jax.numpy as jnp
        >>> from layerwise.schedules import linear, values_together
        >>> values = values_together([linear(4), linear(8), linear(2, end=0.5)], jnp.asarray(1))
        >>> [float(value) for value in values]
        [0.75, 0.875, 0.75]
    """
    groups: dict[object, list[int]] = {}
    recordings: list[Recording | None] = [_recorded(each, step) for each in schedules]
    for place, recording in enumerate(recordings):
        groups.setdefault(place if recording is None else recording.key, []).append(place)
    found: list[Any] = [None] * len(schedules)
    for places in groups.values():
        if len(places) == 1:
            found[places[0]] = schedules[places[0]](step, **counts)
            continue
        names = schedules[places[0]].counters
        given = {"step": step, **{name: counts[name] for name in sorted(names) if name in counts}}
        spaces: dict[str, ArrayNamespace[Any]] = namespaces_of(given)  # type: ignore[assignment]
        if len(given) <= len(names):  # one is missing: its own error says so
            schedules[places[0]](step, **counts)
        same = [recordings[place] for place in places]
        for place, value in zip(places, computed(same, spaces), strict=True):  # type: ignore[arg-type]
            found[place] = value
    return found


def _recorded(schedule: Schedule, step: object) -> Recording | None:
    """The operations of a schedule; None if it must be called."""
    xp = namespace_of(step)
    scalar = tuple(getattr(step, "shape", (0,))) == ()
    if not (scalar and isinstance(xp, ArrayNamespace) and xp.largest is not None):
        return None
    if not (is_closed_form(schedule) and is_built_in(schedule)) or schedule._without_steps:
        return None
    recording = Recording(xp.largest)
    clocks = {
        name: Clock.start(RecordingNamespace(recording, name)) for name in sorted(schedule.counters)
    }
    try:
        schedule.evaluate(Clock.start(RecordingNamespace(recording, "step"), clocks or None))
    except CannotRecordError:
        return None
    return recording
