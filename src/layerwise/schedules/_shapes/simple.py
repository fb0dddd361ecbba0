"""The simple shapes without an end: constant, exponential, inverse square root, pieces."""

# A schedule is used like a function and prints as the call that makes it, hence the lower case.
# ruff: noqa: N801

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from layerwise.errors import ScheduleError
from layerwise.schedules._checks import check_choice, check_list, check_number, check_whole
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule

__all__ = ["constant", "exponential", "inverse_sqrt", "piecewise_constant"]


@dataclass(frozen=True, repr=False)
class constant(Schedule):
    r"""One value at every step.

    $$f(s) = \text{value}$$

    Args:
        value: the factor, at least 0.
        steps: the length in steps, at least 1, for something to follow with ``>>``; None: endless.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> from layerwise.schedules import cosine
        >>> constant(0.1)(123)
        0.1
        >>> (constant(steps=100) >> cosine(900)).length
        1000
    """

    value: float = 1.0
    steps: int | None = None

    def __post_init__(self) -> None:
        self._set(value=check_number("constant", "value", self.value))
        if self.steps is not None:
            self._set(steps=check_whole("constant", "steps", self.steps))

    @property
    def length(self) -> int | None:
        """The steps given, None if there are none."""
        return self.steps

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        return clock.constant(self.value)


@dataclass(frozen=True, repr=False)
class exponential(Schedule):
    r"""A constant rate of growth or decay, smooth or in stairs; endless.

    $$f(s) = \text{rate}^{s / \text{every}}, \quad\text{or}\quad
    \text{rate}^{\lfloor s / \text{every} \rfloor} \text{ in stairs}$$

    Args:
        rate: the factor that ``every`` steps bring, above 0; below 1 it decays.
        every: the number of steps that one factor takes, at least 1.
        staircase: change only every ``every`` steps, by the whole factor.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> exponential(0.5, every=10)(20)
        0.25
        >>> exponential(0.5, every=10, staircase=True)(19)
        0.5

    Source: PyTorch's ``ExponentialLR`` and ``StepLR``, Keras' ``ExponentialDecay``.
    """

    rate: float
    every: int = 1
    staircase: bool = False

    def __post_init__(self) -> None:
        self._set(
            rate=check_number("exponential", "rate", self.rate, above=0.0),
            every=check_whole("exponential", "every", self.every),
        )
        check_choice("exponential", "staircase", self.staircase, (False, True))

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        stair, phase = clock.cycle(self.every)
        exponent = clock.xp.real(stair)
        if not self.staircase:
            exponent = exponent + phase.real() / float(self.every)
        return clock.xp.power(self.rate, exponent)


@dataclass(frozen=True, repr=False, init=False)
class piecewise_constant(Schedule):
    r"""One value until the first boundary, the next from there, and so on; the last one stays.

    $$f(s) = \text{values}_k, \quad k = |\{b \in \text{boundaries} : b \le s\}|$$

    The step that equals a boundary has the *next* value already, as in PyTorch and Optax. Keras'
    ``PiecewiseConstantDecay`` changes one step later: there, write boundaries that are 1 smaller.

    Args:
        boundaries: ascending steps, each at least 1.
        values: the factors, at least 0, one more than there are boundaries.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> pieces = piecewise_constant([10, 20], [1.0, 0.1, 0.01])
        >>> pieces(9), pieces(10), pieces(20)
        (1.0, 0.1, 0.01)

    Source: PyTorch's ``MultiStepLR``, Optax' ``piecewise_constant_schedule``.
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        name = "piecewise_constant"
        self._set(
            boundaries=tuple(
                check_whole(name, "each boundary", b)
                for b in check_list(name, "boundaries", boundaries)
            ),
            values=tuple(
                check_number(name, "each value", v) for v in check_list(name, "values", values)
            ),
        )
        if any(b <= a for a, b in pairwise(self.boundaries)):
            raise ScheduleError(
                f"{name}: boundaries must be ascending, each above the one before, "
                f"got {boundaries!r}."
            )
        if len(self.values) != len(self.boundaries) + 1:
            raise ScheduleError(
                f"{name}: values must be one more than boundaries, got {len(self.values)} values "
                f"for {len(self.boundaries)} boundaries."
            )

    @property
    def length(self) -> int | None:
        """The last boundary; None if there is none."""
        return self.boundaries[-1] if self.boundaries else None

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        return clock.xp.take(self.values, clock.xp.count(self.boundaries, clock.whole))


@dataclass(frozen=True, repr=False)
class inverse_sqrt(Schedule):
    r"""The inverse square root of the step, 1 until it begins to fall; endless.

    $$f(s) = \sqrt{\frac{\text{timescale}}{\text{timescale} + \max(s - \text{hold}, 0)}}$$

    With the default ``hold = timescale`` this is 1 up to ``timescale`` and then
    $\sqrt{\text{timescale} / s}$, so that ``warmup(n) * inverse_sqrt(n)`` is the schedule of the
    first Transformer. With ``hold=0`` it falls at once, to follow something:
    ``warmup(n) >> inverse_sqrt(timescale, hold=0)``.

    Args:
        timescale: the number of steps over which it falls, at least 1.
        hold: the number of steps at 1 before it falls, at least 0; None: ``timescale``.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> inverse_sqrt(100)(50), inverse_sqrt(100)(400)
        (1.0, 0.5)

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 5.3; Hugging Face's
    ``get_inverse_sqrt_schedule``.
    """

    timescale: int
    hold: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._set(timescale=check_whole("inverse_sqrt", "timescale", self.timescale))
        if self.hold is not None:
            self._set(hold=check_whole("inverse_sqrt", "hold", self.hold, at_least=0))

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        falling = clock.since(self.timescale if self.hold is None else self.hold)
        return clock.xp.sqrt(float(self.timescale) / (falling.real() + float(self.timescale)))
