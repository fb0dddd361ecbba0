"""Schedules made of several: one after another, and the product.

Each part reads a separate clock, moved in integers (see ``_clock.py``), so that combining costs
no accuracy at large steps.
"""

from dataclasses import dataclass
from typing import ClassVar

from layerwise._checks import sequence
from layerwise._text import shown
from layerwise.errors import ScheduleError
from layerwise.schedules._backends.namespace import A
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import (
    ARROW,
    CALL,
    TIMES,
    Schedule,
    check_count,
    check_joined_length,
    check_schedule,
)


@dataclass(frozen=True, repr=False)
class then(Schedule):
    r"""One schedule after another, each with a clock of its own: ``a >> b``, or ``a.then(b)``.

    $$f(s) = a(s) \text{ for } s < \text{len}(a), \quad b(s - \text{len}(a)) \text{ from there}$$

    A part of 0 steps counts for nothing, wherever it stands: ``warmup(0) >> cosine(90)`` has the
    values of ``cosine(90)``, and ``warmup(10) >> linear(0)`` those of ``warmup(10)``.

    Args:
        parts: The schedules in order, at least two. All but the last need an end.

    Raises:
        ScheduleError: If a part is no schedule, or one before the last is endless.

    Examples:
        >>> from layerwise.schedules import cosine, warmup
        >>> schedule = warmup(10) >> cosine(90)
        >>> schedule(5), schedule(10), schedule.length
        (0.5, 1.0, 100)

    Source: PyTorch's ``SequentialLR``, Optax' ``join_schedules``.
    """

    parts: tuple[Schedule, ...]

    _binds: ClassVar[int] = ARROW
    _length: ClassVar[int | None]
    _turns: ClassVar[tuple[tuple[int, int], ...]]

    def __post_init__(self) -> None:
        flat: list[Schedule] = []
        for given in sequence(self.parts, "then: parts", ScheduleError):
            part = check_schedule("then: each part", given, among_others=True)
            # (a >> b) >> c and a >> (b >> c) are the same value.
            flat.extend(part.parts if isinstance(part, then) else (part,))
            check_count("then", len(flat))
        if len(flat) < 2:
            raise ScheduleError(f"then: parts must be at least two schedules, got {len(flat)}.")
        lengths = [part.length for part in flat]
        turns, begin = [], 0
        for place, length in enumerate(lengths):
            if length is None and place < len(flat) - 1:
                raise ScheduleError(
                    f"then: {shown(flat[place])} is endless, so nothing can follow it. End it with "
                    f"`.cut(steps)`, or give `constant` its `steps`."
                )
            if length != 0:
                turns.append((begin, place))
            begin += length or 0
        whole = check_joined_length("then", None if lengths[-1] is None else begin)
        self._set(parts=tuple(flat), _length=whole, _turns=tuple(turns), _without_steps=not turns)
        super().__post_init__()

    @property
    def length(self) -> int | None:
        """The sum of the lengths; None if the last part is endless."""
        return self._length

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        parts, turns, where = self.parts, self._turns, clock.xp.where
        value = parts[turns[0][1]].evaluate(clock)
        for begin, place in turns[1:]:
            here = parts[place].evaluate(clock.since(begin))
            value = where(clock.reached(begin), here, value)
        return value

    def __repr__(self) -> str:
        return " >> ".join(part._inside(TIMES) for part in self.parts)


@dataclass(frozen=True, repr=False)
class product(Schedule):
    r"""The product of schedules and a number: ``a * b``, ``0.5 * a``, ``a * 3e-4``.

    $$f(s) = \text{factor} \prod_i a_i(s)$$

    It is as long as the longest of its schedules. It is endless if one of them is, or if they
    count different things.

    Args:
        schedules: At least one schedule.
        factor: A number of at least 0.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> from layerwise.schedules import cosine, cyclic
        >>> schedule = cyclic(10, low=0.5) * cosine(100) * 3e-4
        >>> schedule(0), schedule.length
        (0.00015, None)
        >>> schedule
        cyclic(10, low=0.5) * cosine(100) * 0.0003
    """

    schedules: tuple[Schedule, ...]
    factor: float = 1.0

    _binds: ClassVar[int] = TIMES
    _length: ClassVar[int | None]

    def __post_init__(self) -> None:
        self._check_number("factor")
        factor = self.factor
        flat: list[Schedule] = []
        for given in sequence(self.schedules, "product: schedules", ScheduleError):
            schedule = check_schedule("product: each of its schedules", given, moved=False)
            if isinstance(schedule, product):
                flat.extend(schedule.schedules)
                factor *= schedule.factor
            else:
                flat.append(schedule)
            check_count("product", len(flat))
        if not flat:
            raise ScheduleError("product: schedules must be at least one schedule, got none.")
        lengths = [schedule.length for schedule in flat]
        counted = {(schedule._counters, schedule._reads_step) for schedule in flat}
        known = None not in lengths and len(counted) == 1
        longest = max(length or 0 for length in lengths) if known else None
        reads_step = any(schedule._reads_step for schedule in flat)
        self._set(schedules=tuple(flat), factor=factor, _length=longest, _reads_step=reads_step)
        self._check_number("factor")  # the product of two numbers may be too large for a float
        super().__post_init__()

    @property
    def length(self) -> int | None:
        """The longest of the schedules' lengths; None if there is none."""
        return self._length

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        value = self.schedules[0].evaluate(clock)
        for schedule in self.schedules[1:]:
            value = value * schedule.evaluate(clock)
        return value * self.factor

    def __repr__(self) -> str:
        # Only `>>` needs brackets: a product in this one has been merged into it.
        texts = [schedule._inside(CALL) for schedule in self.schedules]
        if len(texts) == 1 or self.factor != 1.0:
            texts.append(repr(self.factor))
        return " * ".join(texts)
