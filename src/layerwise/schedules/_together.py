"""The values of many schedules at one step, those of one kind computed together."""

from collections.abc import Mapping, Sequence
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
from layerwise.schedules._schedule import Schedule, check_schedule, is_built_in


def values_together(schedules: Sequence[Schedule], step: Any, **counts: Any) -> list[Any]:
    """Evaluate many schedules at one step.

    Schedules that differ in numbers alone are computed in one go, so that a compiler sees the
    operations of one schedule, not of hundreds. That needs steps that are integers without axes, of
    JAX, TensorFlow, or PyTorch where it compiles nothing; elsewhere each schedule is called. The
    values are those of the calls, up to the last bit of a sine or a power, which a library may
    compute otherwise for several at once.

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
    recordings = [_recorded(each, step) for each in schedules]
    groups: dict[object, list[int]] = {}
    for place, recording in enumerate(recordings):
        groups.setdefault(place if recording is None else recording.key, []).append(place)
    found: list[Any] = [None] * len(schedules)
    for places in groups.values():
        same = [schedules[place] for place in places]
        values = None
        if len(places) > 1:
            values = _computed(same, [recordings[place] for place in places], step, counts)
        if values is None:
            values = [schedule(step, **counts) for schedule in same]
        for place, value in zip(places, values, strict=True):
            found[place] = value
    return found


def _recorded(schedule: Schedule, step: object) -> Recording | None:
    """The operations of a schedule; None if it must be called."""
    check_schedule("values_together: each schedule", schedule, among_others=True, moved=False)
    xp = namespace_of(step)
    if not (isinstance(xp, ArrayNamespace) and xp.takes_many and xp.largest is not None):
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


def _computed(
    schedules: Sequence[Schedule],
    recordings: Sequence[Recording | None],
    step: object,
    counts: Mapping[str, object],
) -> Sequence[Any] | None:
    """The values of schedules with one key; None if they must be called."""
    names = schedules[0].counters
    if not names <= counts.keys():
        return None  # the call says which is missing
    given = {"step": step, **{name: counts[name] for name in sorted(names)}}
    spaces: dict[str, ArrayNamespace[Any]] = namespaces_of(given)  # type: ignore[assignment]
    if not all(xp.takes_many for xp in spaces.values()):
        return None
    try:
        return computed(recordings, spaces)  # type: ignore[arg-type]  # one key: none is None
    except OverflowError:
        return None  # the call says which number is too large for the library's integers
