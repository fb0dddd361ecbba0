"""Schedules made of one other by its methods: clamp, delay, skip, cut, repeat, scale_steps, by."""

from dataclasses import dataclass, fields
from fractions import Fraction
from math import ceil
from typing import ClassVar

from layerwise._checks import text
from layerwise._text import shown
from layerwise.errors import ScheduleError
from layerwise.schedules._backends.namespace import A
from layerwise.schedules._clock import Clock, exact_ratio
from layerwise.schedules._schedule import (
    CALL,
    Schedule,
    arguments_text,
    check_joined_length,
    check_schedule,
)


@dataclass(frozen=True, repr=False)
class _Modified(Schedule):
    """What these have in common: they print as the method call, and know their length."""

    schedule: Schedule

    _moves: ClassVar[bool] = True
    """Whether the schedule inside gets another clock."""

    # No fields, since they follow from the fields: computed once, since it may take a walk.
    _inner: ClassVar[int | None]
    _length: ClassVar[int | None]

    def __post_init__(self) -> None:
        name = type(self).__name__
        inner = check_schedule(f"{name}: schedule", self.schedule, moved=self._moves)
        self._set(_inner=inner.length, _reads_step=inner._reads_step)
        self._check_arguments()
        length = check_joined_length(name, self._length_of(self._inner))
        self._set(_length=length, _without_steps=length == 0)
        super().__post_init__()

    def _check_arguments(self) -> None:
        """Check the other arguments."""

    def _length_of(self, inner: int | None) -> int | None:
        """The length that follows from that of the schedule inside."""
        return inner

    @property
    def length(self) -> int | None:
        """The number of steps until it has arrived; None if it never does."""
        return self._length

    def __repr__(self) -> str:
        arguments = arguments_text(self, fields(self)[1:])
        return f"{self.schedule._inside(CALL)}.{type(self).__name__}({arguments})"


@dataclass(frozen=True, repr=False)
class clamp(_Modified):
    r"""A schedule kept between two bounds: ``a.clamp(low, high)``.

    $$f(s) = \min(\max(a(s), \text{low}), \text{high})$$

    Args:
        schedule: The schedule.
        low: The lower bound, at least 0. None: no lower bound.
        high: The upper bound, at least ``low``. None: no upper bound.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> from layerwise.schedules import linear
        >>> linear(10).clamp(low=0.25)(9)
        0.25
    """

    low: float | None = None
    high: float | None = None

    _moves: ClassVar[bool] = False

    def _check_arguments(self) -> None:
        self._check_number("low", "high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ScheduleError(
                f"clamp: low must be at most high, got low={self.low!r} and high={self.high!r}."
            )

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        value = self.schedule.evaluate(clock)
        if self.low is not None:
            value = clock.xp.maximum(value, self.low)
        return value if self.high is None else clock.xp.minimum(value, self.high)


@dataclass(frozen=True, repr=False)
class delay(_Modified):
    r"""A schedule that starts later: ``a.delay(steps)``. Until then it has its first value.

    $$f(s) = a(\max(s - \text{steps}, 0))$$

    Args:
        schedule: The schedule.
        steps: The number of steps to wait, at least 0.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> from layerwise.schedules import linear
        >>> schedule = linear(10).delay(100)
        >>> schedule(100), schedule(105), schedule.length
        (1.0, 0.5, 110)
    """

    steps: int

    def _check_arguments(self) -> None:
        self._check_whole("steps", at_least=0)

    def _length_of(self, inner: int | None) -> int | None:
        return None if inner is None else inner + self.steps

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        return self.schedule.evaluate(clock.since(self.steps))


@dataclass(frozen=True, repr=False)
class skip(_Modified):
    r"""A schedule that starts in the middle: ``a.skip(steps)``.

    $$f(s) = a(s + \text{steps})$$

    Args:
        schedule: The schedule.
        steps: The number of its first steps to leave out, at least 0. If that is all of them, no
            steps are left, and it may only stand among others in ``>>``.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> from layerwise.schedules import cosine, linear, warmup
        >>> schedule = linear(10).skip(4)
        >>> schedule(0), schedule(1), schedule(6), schedule.length
        (0.6, 0.5, 0.0, 6)
        >>> warmup(100).skip(80) >> cosine(900)
        warmup(100).skip(80) >> cosine(900)
    """

    steps: int

    def _check_arguments(self) -> None:
        self._check_whole("steps", at_least=0)

    def _length_of(self, inner: int | None) -> int | None:
        return None if inner is None else max(inner - self.steps, 0)

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        return self.schedule.evaluate(clock.later(self.steps))


@dataclass(frozen=True, repr=False)
class cut(_Modified):
    r"""A schedule that stops: ``a.cut(steps)`` keeps the value that it has there.

    $$f(s) = a(\min(s, \text{steps}))$$

    Args:
        schedule: The schedule.
        steps: The number of steps after which it stops; 0 only as a piece of ``>>``.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> from layerwise.schedules import constant, exponential
        >>> schedule = exponential(0.5).cut(3) >> constant(0.01)
        >>> [schedule(step) for step in range(5)]
        [1.0, 0.5, 0.25, 0.01, 0.01]
    """

    steps: int

    def _check_arguments(self) -> None:
        self._check_whole("steps", at_least=0)

    def _length_of(self, inner: int | None) -> int | None:
        return self.steps

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        return self.schedule.evaluate(clock.capped(self.steps))


@dataclass(frozen=True, repr=False)
class repeat(_Modified):
    r"""A schedule that starts again at its end: ``a.repeat(times, decay=...)``.

    With $k = \lfloor s / \text{len}(a) \rfloor$,

    $$f(s) = \text{decay}^k \, a(s - k \, \text{len}(a))$$

    After the last time it stays at its end value.

    Args:
        schedule: The schedule, which needs a length.
        times: How often it runs in all, at least 1. None: forever.
        decay: The factor from each time to the next, above 0.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> from layerwise.schedules import linear
        >>> schedule = linear(10).repeat(3, decay=0.5)
        >>> schedule(5), schedule(10), schedule(15), schedule(30), schedule.length
        (0.5, 0.5, 0.25, 0.0, 30)
    """

    times: int | None = None
    decay: float = 1.0

    def _check_arguments(self) -> None:
        if self._inner is None:
            raise ScheduleError(
                f"repeat: {shown(self.schedule)} is endless and never starts again. End it with "
                f"`.cut(steps)` first."
            )
        self._check_whole("times")
        self._check_number("decay", above=0.0)

    def _length_of(self, inner: int | None) -> int | None:
        return None if self.times is None else self.times * (inner or 0)

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        xp, once = clock.xp, self._inner or 0
        index, phase = clock.cycle(once)
        if self.times is not None:
            # The end of the last time is not the beginning of another. The clock is chosen, not
            # the value: two values of each schedule inside would double the work at every level.
            phase = phase.unless_reached(self.times * once, clock, (self.times - 1) * once)
            index = xp.minimum(index, self.times - 1)
        value = self.schedule.evaluate(phase)
        return value if self.decay == 1.0 else value * xp.power(self.decay, xp.real(index))


@dataclass(frozen=True, repr=False)
class scale_steps(_Modified):
    r"""A schedule that takes more steps, or fewer: ``a.scale_steps(2)`` takes twice as many.

    $$f(s) = a(s / \text{factor})$$

    It is exact at large steps if the factor is a fraction of small numbers, such as 10, 0.1 or
    1 / 3. The inner step stays below the largest integer of the step's library (2**31 on JAX).

    Args:
        schedule: The schedule.
        factor: How many steps one of its steps takes, at least 1e-6 and below 2**53.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> from layerwise.schedules import linear
        >>> schedule = linear(10).scale_steps(2)
        >>> schedule(10), schedule(11), schedule.length
        (0.5, 0.45, 20)
    """

    factor: float

    _speed: ClassVar[Fraction | float]

    def _check_arguments(self) -> None:
        self._check_number("factor", at_least=1e-6, below=2.0**53)
        self._set(_speed=1 / exact_ratio(self.factor))  # no field, since it follows from one

    def _length_of(self, inner: int | None) -> int | None:
        return None if inner is None else max(1, ceil(inner * exact_ratio(self.factor)))

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        return self.schedule.evaluate(clock.faster(self._speed))


_TAKEN = ("step", "epoch", "self")


@dataclass(frozen=True, repr=False)
class by(_Modified):
    r"""A schedule that counts something other than updates: ``a.by("tokens")``.

    $$f(s, n) = a(n), \quad n \text{ the count of tokens when } s \text{ updates were applied}$$

    For trainings whose updates are of different sizes, because the batch grows, or sequences have
    different lengths. It is still in closed form, of the count that it is given; a call without
    the count is an error. Its length and its arguments are in that unit.

    A product may count several things, ``warmup(500) * cosine(10**9).by("tokens")``. All other
    combinations count one: ``(warmup(10**7) >> cosine(10**9)).by("tokens")``.

    Args:
        schedule: The schedule, which itself counts nothing else.
        counter: What it counts, a name such as ``"tokens"``, ``"samples"`` or ``"epochs"``.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> from layerwise.schedules import linear
        >>> schedule = linear(1_000_000).by("tokens")
        >>> schedule(12, tokens=250_000), schedule(tokens=500_000)
        (0.75, 0.5)
        >>> schedule(12)
        Traceback (most recent call last):
        ...
        layerwise.errors.ScheduleError: linear(1000000).by('tokens') counts tokens, and updates
        can't stand for that. The count must be given with the step: schedule(step, tokens=n).
    """

    counter: str

    def _check_arguments(self) -> None:
        name = text(self.counter, "by: counter", ScheduleError)
        if not name.isidentifier() or name in _TAKEN:
            raise ScheduleError(
                "by: counter must be a name such as 'tokens', made of letters, digits and _, and "
                f"none of {', '.join(map(repr, _TAKEN))}, got {shown(name)}."
            )
        self._set(_counters=frozenset((name,)), _reads_step=False)

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        if clock.counts is None:
            raise ScheduleError(
                f"{shown(self)} must stand where no clock is moved: nobody knows how many "
                f"{self.counter} there are at another step."
            )
        return self.schedule.evaluate(clock.counts[self.counter])
