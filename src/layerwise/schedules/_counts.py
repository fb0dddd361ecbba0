"""What schedules count beside updates: tokens, samples, epochs."""

from collections.abc import Iterable

from layerwise.schedules._schedule import Schedule


def counters_of(values: Iterable[object]) -> tuple[str, ...]:
    """The names of what values count beside updates, such as ``tokens``.

    Args:
        values: Numbers, schedules, callables of the step, or None.

    Returns:
        The names, each once, in alphabetical order.

    Examples:
        >>> from layerwise import cosine
        >>> from layerwise.schedules import counters_of
        >>> counters_of([0.5, None, cosine(10**6).by("tokens"), cosine(100)])
        ('tokens',)
    """
    found = [value.counters for value in values if isinstance(value, Schedule)]
    return tuple(sorted(frozenset().union(*found)))


def counts_of_start(values: Iterable[object]) -> dict[str, int]:
    """What values count, before any training: nothing of it.

    Args:
        values: Numbers, schedules, callables of the step, or None.

    Examples:
        >>> from layerwise import cosine
        >>> from layerwise.schedules import counts_of_start
        >>> counts_of_start([cosine(10**6).by("tokens")])
        {'tokens': 0}
    """
    return dict.fromkeys(counters_of(values), 0)


def counts_updates(schedule: Schedule) -> bool:
    """Whether a schedule counts updates, alone or beside other things.

    Examples:
        >>> from layerwise import cosine, warmup
        >>> from layerwise.schedules import counts_updates
        >>> tokens = cosine(10**6).by("tokens")
        >>> counts_updates(tokens), counts_updates(0.5 * tokens), counts_updates(warmup(9) * tokens)
        (False, False, True)
    """
    return schedule._reads_step
