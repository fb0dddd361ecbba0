"""The shapes that go from one value to another in a number of steps, and stay there.

Each mixes its values with weights that are exactly 0 and 1 at the ends, so that those are exact.
"""

# A schedule is used like a function and prints as the call that makes it, hence the lower case.
# ruff: noqa: N801

from dataclasses import dataclass, field
from math import pi
from typing import Any

from layerwise.schedules._checks import check_choice, check_number, check_whole
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule

__all__ = ["cosine", "cosine_weight", "linear", "polynomial", "warmup"]


def cosine_weight(clock: Clock, left: Any) -> Any:
    """Give half a cosine wave, 1 at ``left`` = 1 and 0 at ``left`` = 0.

    It is (1 + cos(pi (1 - left))) / 2, written as a squared sine: near 0 nothing cancels, so that
    float32 keeps all its digits.
    """
    sine = clock.xp.sin(left * (pi / 2))
    return sine * sine


@dataclass(frozen=True, repr=False)
class _Ramp(Schedule):
    """What all shapes with an end share: a number of steps, which is their length."""

    steps: int

    def __post_init__(self) -> None:
        self._set(steps=check_whole(type(self).__name__, "steps", self.steps))

    @property
    def length(self) -> int | None:
        """The number of steps to the end value."""
        return self.steps


@dataclass(frozen=True, repr=False)
class linear(_Ramp):
    r"""A straight line from ``start`` to ``end``, which then stays.

    $$f(s) = \text{start} + (\text{end} - \text{start}) \min(s / \text{steps}, 1)$$

    Args:
        steps: the number of steps to ``end``, at least 1.
        start: the value at step 0, at least 0.
        end: the value from step ``steps`` on, at least 0.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> linear(10, start=1.0, end=0.5)(5)
        0.75

    Source: PyTorch's ``LinearLR``, Optax' ``linear_schedule``.
    """

    start: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            start=check_number("linear", "start", self.start),
            end=check_number("linear", "end", self.end),
        )

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        return self.start * clock.left(self.steps) + self.end * clock.done(self.steps)


@dataclass(frozen=True, repr=False)
class warmup(_Ramp):
    r"""A straight line from ``start`` up to 1, to begin with: ``warmup(500) >> cosine(9_500)``.

    $$f(s) = \text{start} + (1 - \text{start}) \min(s / \text{steps}, 1)$$

    Args:
        steps: the number of steps to 1, at least 1.
        start: the value at step 0, at least 0. At 0, the first update moves nothing; give
            ``1 / steps`` where that matters.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> warmup(10)(5)
        0.5

    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2.
    """

    start: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(start=check_number("warmup", "start", self.start))

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        return self.start * clock.left(self.steps) + clock.done(self.steps)


@dataclass(frozen=True, repr=False)
class cosine(_Ramp):
    r"""Half a cosine wave from ``start`` to ``end``, which then stays.

    $$f(s) = \text{end} + (\text{start} - \text{end})
    \tfrac{1 + \cos(\pi \min(s / \text{steps}, 1))}{2}$$

    Args:
        steps: the number of steps to ``end``, at least 1.
        start: the value at step 0, at least 0.
        end: the value from step ``steps`` on, at least 0.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> cosine(100)(0), cosine(100)(100), round(cosine(100, end=0.1)(50), 12)
        (1.0, 0.0, 0.55)

    Source: Loshchilov and Hutter 2017, "SGDR", https://arxiv.org/abs/1608.03983; PyTorch's
    ``CosineAnnealingLR``, which rises again after its end.
    """

    start: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            start=check_number("cosine", "start", self.start),
            end=check_number("cosine", "end", self.end),
        )

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        falling = cosine_weight(clock, clock.left(self.steps))
        rising = cosine_weight(clock, clock.done(self.steps))
        return self.start * falling + self.end * rising


@dataclass(frozen=True, repr=False)
class polynomial(_Ramp):
    r"""A power of the time left, from ``start`` to ``end``.

    $$f(s) = \text{end} + (\text{start} - \text{end})
    (1 - \min(s / \text{steps}, 1))^{\text{power}}$$

    Args:
        steps: the number of steps to ``end``, at least 1.
        power: the exponent, above 0; 1 is a straight line.
        start: the value at step 0, at least 0.
        end: the value from step ``steps`` on, at least 0.
        cycle: rise again at the end rather than stay: where the step has passed ``steps``, the
            smallest multiple of ``steps`` not below the step takes its place. Endless.

    Raises:
        ScheduleError: if an argument is not as said above.

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
        self._set(
            power=check_number("polynomial", "power", self.power, above=0.0),
            start=check_number("polynomial", "start", self.start),
            end=check_number("polynomial", "end", self.end),
        )
        check_choice("polynomial", "cycle", self.cycle, (False, True))

    @property
    def length(self) -> int | None:
        """The number of steps to the end value, None if it is a cycle."""
        return None if self.cycle else self.steps

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        weight = self._left(clock) ** self.power
        return self.start * weight + self.end * (1.0 - weight)

    def _left(self, clock: Clock) -> Any:
        if not self.cycle:
            return clock.left(self.steps)
        # A multiple of `steps` counts as the end of its cycle: 0 is left there, not everything.
        index, phase = clock.cycle(self.steps)
        at_join = (phase.real() <= 0.0) & (index > 0)
        left = clock.xp.where(at_join, clock.constant(0.0), phase.left(self.steps))
        return left / (clock.xp.real(index) + 1.0)
