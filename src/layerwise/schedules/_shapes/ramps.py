"""The shapes that go from one value to another in a number of steps, and stay there.

Each mixes its two values with weights that are exactly 0 and 1 at the ends, so the ends are exact.
"""

from dataclasses import dataclass, field, fields
from math import e, pi

from layerwise.errors import ScheduleError
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


def k_decayed(clock: Clock[A], done: A, left: A, k: float) -> tuple[A, A]:
    """Return ``done ** k`` and ``1 - done ** k``, for the shares of a time that are done and left.

    Near the end ``1 - done ** k`` would lose its digits; it is computed from what is left there.
    """
    if k == 1.0:
        return done, left
    xp, over = clock.xp, done**k
    near = -1.0 * xp.expm1(k * xp.log1p(-1.0 * xp.minimum(left, 0.5)))
    return over, xp.where(left < 0.5, near, 1.0 - over)


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
    \tfrac{1 + \cos(\pi \min(s / \text{steps}, 1)^k)}{2}$$

    Args:
        steps: The number of steps to ``end``; 0 only as a piece of ``>>``.
        start: The value at step 0, at least 0.
        end: The value from step ``steps`` on, at least 0.
        k: The exponent of the time that is over (k-decay), above 0. Above 1 the value leaves
            ``start`` later, and falls faster at the end.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> cosine(100)(0), cosine(100)(100), round(cosine(100, end=0.1)(50), 12)
        (1.0, 0.0, 0.55)

    Source: Loshchilov and Hutter 2017, "SGDR", https://arxiv.org/abs/1608.03983; PyTorch's
    ``CosineAnnealingLR``, which rises again after its end. With ``k``, Zhang and Li 2020,
    "k-decay", https://arxiv.org/abs/2004.05909; timm's ``CosineLRScheduler``.
    """

    start: float = 1.0
    end: float = 0.0
    k: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_number("k", above=0.0)

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        done, left = k_decayed(clock, clock.done(self.steps), clock.left(self.steps), self.k)
        return self.start * cosine_weight(clock, left) + self.end * cosine_weight(clock, done)


@dataclass(frozen=True, repr=False)
class quarter_cosine(_Ramp):
    r"""A quarter of a cosine wave from ``start`` to ``end``: slow at first, then faster and faster.

    $$f(s) = \text{end} + (\text{start} - \text{end})
    \cos(\tfrac{\pi}{2} \min(s / \text{steps}, 1))$$

    Args:
        steps: The number of steps to ``end``; 0 only as a piece of ``>>``.
        start: The value at step 0, at least 0.
        end: The value from step ``steps`` on, at least 0.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> quarter_cosine(90)(0), round(quarter_cosine(90)(60), 12), quarter_cosine(90)(90)
        (1.0, 0.5, 0.0)

    Source: the first quarter of the wave of ``cosine``, without its slow end; as the end of a
    plateau, ``constant(steps=800) >> quarter_cosine(200)``.
    """

    start: float = 1.0
    end: float = 0.0

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        falling = clock.xp.sin(clock.left(self.steps) * (pi / 2))
        return self.start * falling + self.end * (1.0 - falling)


@dataclass(frozen=True, repr=False)
class rex(_Ramp):
    r"""REX, reflected exponential: nearly a line at first, and steeper and steeper to ``end``.

    With the share $z = \min(s / \text{steps}, 1)$ of the steps that is over,

    $$f(s) = \text{end} + (\text{start} - \text{end})
    \frac{1 - z}{(1 - \text{beta}) + \text{beta} \, (1 - z)}$$

    Args:
        steps: The number of steps to ``end``; 0 only as a piece of ``>>``.
        start: The value at step 0, at least 0.
        end: The value from step ``steps`` on, at least 0.
        beta: How far it stays above a straight line, from 0 (the line itself) to below 1.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> rex(100)(0), round(rex(100)(50), 12), rex(100)(100)
        (1.0, 0.666666666667, 0.0)

    Source: Chen et al. 2021, "REX: Revisiting Budgeted Training with an Improved Schedule",
    https://arxiv.org/abs/2107.04197, in which ``beta`` is 1/2.
    """

    start: float = 1.0
    end: float = 0.0
    beta: float = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_number("beta", below=1.0)

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        left, bent = clock.left(self.steps), (1.0 - self.beta) * clock.done(self.steps)
        whole = left + bent
        return self.start * (left / whole) + self.end * (bent / whole)


@dataclass(frozen=True, repr=False)
class hyperbolic_tangent(_Ramp):
    r"""A step that is smoothed by a hyperbolic tangent: a plateau, a fall, and a slow end.

    For $s < \text{steps}$, with $z = s / \text{steps}$,

    $$f(s) = \text{end} + (\text{start} - \text{end})
    \tfrac{1 - \tanh(\text{low} \, (1 - z) + \text{high} \, z)}{2}$$

    The part of the curve between ``low`` and ``high`` begins a little below ``start`` and arrives
    a little above ``end``: at 99.9994 % and 0.25 % of the way with the defaults. From ``steps`` on
    the value is ``end`` itself.

    Args:
        steps: The number of steps to ``end``; 0 only as a piece of ``>>``.
        start: The value that it comes from, at least 0.
        end: The value from step ``steps`` on, at least 0.
        low: Where on the hyperbolic tangent it begins. The lower, the longer the plateau.
        high: Where it ends, above ``low``. The higher, the longer the slow end.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> schedule = hyperbolic_tangent(90)
        >>> round(schedule(0), 6), schedule(60), round(schedule(89), 6), schedule(90)
        (0.999994, 0.5, 0.003018, 0.0)

    Source: Hsueh et al. 2019, "Stochastic Gradient Descent with Hyperbolic-Tangent Decay on
    Classification", https://arxiv.org/abs/1806.01593; timm's ``TanhLRScheduler`` (its defaults
    are ``low=-7``, ``high=3``).
    """

    start: float = 1.0
    end: float = 0.0
    low: float = field(default=-6.0, kw_only=True)
    high: float = field(default=3.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_number("low", "high", at_least=None)
        if self.low >= self.high:
            raise ScheduleError(
                "hyperbolic_tangent: low must be below high, "
                f"got low={self.low!r} and high={self.high!r}."
            )

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        xp = clock.xp
        x = 2.0 * self.low * clock.left(self.steps) + 2.0 * self.high * clock.done(self.steps)
        # (1 - tanh(x / 2)) / 2 is 1 / (1 + exp(x)), in which nothing cancels.
        falling, rising = 1.0 / (1.0 + xp.power(e, x)), 1.0 / (1.0 + xp.power(e, -1.0 * x))
        value = self.start * falling + self.end * rising
        return xp.where(clock.reached(self.steps), clock.constant(self.end), value)


@dataclass(frozen=True, repr=False)
class polynomial(_Ramp):
    r"""A power of the time that is left, from ``start`` to ``end``.

    $$f(s) = \text{end} + (\text{start} - \text{end})
    (1 - \min(s / \text{steps}, 1)^k)^{\text{power}}$$

    Args:
        steps: The number of steps to ``end``; 0 only as a piece of ``>>``.
        power: The exponent, above 0; 1 is a straight line.
        start: The value at step 0, at least 0.
        end: The value from step ``steps`` on, at least 0.
        cycle: Whether to rise again at the end instead of staying there: past ``steps``, the
            smallest multiple of ``steps`` that isn't below the step takes its place. Endless.
        k: The exponent of the time that is over (k-decay), above 0. Above 1 the value leaves
            ``start`` later, and falls faster at the end.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> polynomial(10, power=2.0)(5)
        0.25

    Source: PyTorch's ``PolynomialLR``, Keras' ``PolynomialDecay`` (with ``cycle``). With ``k``,
    Zhang and Li 2020, "k-decay", https://arxiv.org/abs/2004.05909; timm's ``PolyLRScheduler``.
    """

    power: float = 1.0
    start: float = 1.0
    end: float = 0.0
    cycle: bool = field(default=False, kw_only=True)
    k: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_number("power", "k", above=0.0)
        self._check_choice("cycle", False, True)
        if self.cycle:
            self._check_whole("steps")

    @property
    def length(self) -> int | None:
        """The number of steps to the end value; None with ``cycle``."""
        return None if self.cycle else self.steps

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        left = self._left(clock)
        weight = k_decayed(clock, 1.0 - left, left, self.k)[1] ** self.power
        return self.start * weight + self.end * (1.0 - weight)

    def _left(self, clock: Clock[A]) -> A:
        if not self.cycle:
            return clock.left(self.steps)
        # A multiple of `steps` is the end of a cycle, so nothing is left there.
        index, phase = clock.cycle(self.steps)
        at_join = (phase.real() <= 0.0) & (index > 0)
        left = clock.xp.where(at_join, clock.constant(0.0), phase.left(self.steps))
        return left / (clock.xp.real(index) + 1.0)
