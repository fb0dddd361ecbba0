"""The shapes that go from one value to another in a number of steps, and stay there.

Each mixes its two values with weights that are exactly 0 and 1 at the ends, so the ends are exact.
"""

from dataclasses import dataclass, field, fields
from math import pi

from layerwise.schedules._backends.namespace import A
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule

_ENDS = ("start", "end")


def cosine_weight(clock: Clock[A], left: A) -> A:
    """Return half a cosine wave: 1 where ``left`` is 1, and 0 where it is 0.

    It is (1 + cos(pi (1 - left))) / 2, written as a squared sine: near 0 nothing cancels, so
    float32 keeps all its digits.
    """
    sine = clock.xp.sin(left * (pi / 2))
    return sine * sine


@dataclass(frozen=True, repr=False)
class _Ramp(Schedule):
    """What these shapes have in common: ends, and a number of steps, which is their length."""

    steps: int

    def __post_init__(self) -> None:
        self._check_length("steps")
        self._check_number(*(f.name for f in fields(self) if f.name in _ENDS))

    @property
    def length(self) -> int | None:
        """The number of steps to the end value."""
        return self.steps


@dataclass(frozen=True, repr=False)
class linear(_Ramp):
    r"""A straight line from ``start`` to ``end``, where it stays.

    $$f(s) = \text{start} + (\text{end} - \text{start}) \min(s / \text{steps}, 1)$$

    Args:
        steps: The number of steps to ``end``; 0 only as a piece of ``>>``.
        start: The value at step 0, at least 0.
        end: The value from step ``steps`` on, at least 0.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> linear(10, start=1.0, end=0.5)(5)
        0.75

    Source: PyTorch's ``LinearLR``, Optax' ``linear_schedule``.
    """

    start: float = 1.0
    end: float = 0.0

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        return self.start * clock.left(self.steps) + self.end * clock.done(self.steps)


@dataclass(frozen=True, repr=False)
class warmup(_Ramp):
    r"""A straight line from ``start`` up to 1, for the beginning: ``warmup(500) >> cosine(9_500)``.

    $$f(s) = \text{start} + (1 - \text{start}) \min(s / \text{steps}, 1)$$

    Args:
        steps: The number of steps to 1; 0 only as a piece of ``>>``.
        start: The value at step 0, at least 0. With 0, the first update changes nothing; give
            ``1 / steps`` if that matters.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> warmup(10)(5)
        0.5

    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2.
    """

    start: float = 0.0

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        return self.start * clock.left(self.steps) + clock.done(self.steps)


@dataclass(frozen=True, repr=False)
class cosine(_Ramp):
    r"""Half a cosine wave from ``start`` to ``end``, where it stays.

    $$f(s) = \text{end} + (\text{start} - \text{end})
    \tfrac{1 + \cos(\pi \min(s / \text{steps}, 1))}{2}$$

    Args:
        steps: The number of steps to ``end``; 0 only as a piece of ``>>``.
        start: The value at step 0, at least 0.
        end: The value from step ``steps`` on, at least 0.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> cosine(100)(0), cosine(100)(100), round(cosine(100, end=0.1)(50), 12)
        (1.0, 0.0, 0.55)

    Source: Loshchilov and Hutter 2017, "SGDR", https://arxiv.org/abs/1608.03983; PyTorch's
    ``CosineAnnealingLR``, which rises again after its end.
    """

    start: float = 1.0
    end: float = 0.0

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        falling = cosine_weight(clock, clock.left(self.steps))
        rising = cosine_weight(clock, clock.done(self.steps))
        return self.start * falling + self.end * rising


@dataclass(frozen=True, repr=False)
class polynomial(_Ramp):
    r"""A power of the time that is left, from ``start`` to ``end``.

    $$f(s) = \text{end} + (\text{start} - \text{end})
    (1 - \min(s / \text{steps}, 1))^{\text{power}}$$

    Args:
        steps: The number of steps to ``end``; 0 only as a piece of ``>>``.
        power: The exponent, above 0; 1 is a straight line.
        start: The value at step 0, at least 0.
        end: The value from step ``steps`` on, at least 0.
        cycle: Whether to rise again at the end instead of staying there: past ``steps``, the
            smallest multiple of ``steps`` that isn't below the step takes its place. Endless.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> polynomial(10, power=2.0)(5)
        0.25

    Source: PyTorch's ``PolynomialLR``, Keras' ``PolynomialDecay`` (with ``cycle``).
    """

    power: float = 1.0
    start: float = 1.0
    end: float = 0.0
    cycle: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_number("power", above=0.0)
        self._check_choice("cycle", False, True)
        if self.cycle:
            self._check_whole("steps")

    @property
    def length(self) -> int | None:
        """The number of steps to the end value; None with ``cycle``."""
        return None if self.cycle else self.steps

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        weight = self._left(clock) ** self.power
        return self.start * weight + self.end * (1.0 - weight)

    def _left(self, clock: Clock[A]) -> A:
        if not self.cycle:
            return clock.left(self.steps)
        # A multiple of `steps` is the end of a cycle, so nothing is left there.
        index, phase = clock.cycle(self.steps)
        at_join = (phase.real() <= 0.0) & (index > 0)
        left = clock.xp.where(at_join, clock.constant(0.0), phase.left(self.steps))
        return left / (clock.xp.real(index) + 1.0)
