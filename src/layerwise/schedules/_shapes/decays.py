"""The shapes that fall, or grow, forever: exponential, inverse square root, power laws."""

from dataclasses import dataclass, field

from layerwise.schedules._backends.namespace import A
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule


@dataclass(frozen=True, repr=False)
class exponential(Schedule):
    r"""A constant rate of growth or decay, smooth or in stairs; endless.

    $$f(s) = \text{rate}^{s / \text{every}}, \quad\text{or}\quad
    \text{rate}^{\lfloor s / \text{every} \rfloor} \text{ in stairs}$$

    Args:
        rate: The factor for every ``every`` steps, above 0. Below 1 it decays.
        every: The number of steps for one factor, at least 1.
        staircase: Whether to change only once in ``every`` steps, by the whole factor.

    Raises:
        ScheduleError: If an argument is not as described above.

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
        self._check_number("rate", above=0.0)
        self._check_whole("every")
        self._check_choice("staircase", False, True)

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        stair, phase = clock.cycle(self.every)
        exponent = clock.xp.real(stair)
        if not self.staircase:
            exponent = exponent + phase.real() / float(self.every)
        return clock.xp.power(self.rate, exponent)


@dataclass(frozen=True, repr=False)
class inverse_sqrt(Schedule):
    r"""The inverse square root of the step: 1 at first, then falling forever.

    $$f(s) = \sqrt{\frac{\text{timescale}}{\text{timescale} + \max(s - \text{hold}, 0)}}$$

    With the default ``hold = timescale`` this is 1 up to ``timescale`` and then
    $\sqrt{\text{timescale} / s}$, so ``warmup(n) * inverse_sqrt(n)`` is the schedule of the first
    Transformer. With ``hold=0`` it falls at once, as it should after a warm-up:
    ``warmup(n) >> inverse_sqrt(timescale, hold=0)``.

    Args:
        timescale: The number of steps that sets how slowly it falls, at least 1.
        hold: The number of steps at 1 before it falls, at least 0. None: ``timescale``.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> inverse_sqrt(100)(50), inverse_sqrt(100)(400)
        (1.0, 0.5)

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 5.3; Hugging Face's
    ``get_inverse_sqrt_schedule``.
    """

    timescale: int
    hold: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check_whole("timescale")
        self._check_whole("hold", at_least=0)

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        falling = clock.since(self.timescale if self.hold is None else self.hold)
        return clock.xp.sqrt(float(self.timescale) / (falling.real() + float(self.timescale)))


@dataclass(frozen=True, repr=False)
class inverse_power(Schedule):
    r"""A power law: 1 at first, then falling forever with a power of the step.

    $$f(s) = \left(\frac{\text{timescale}}
    {\text{timescale} + \max(s - \text{hold}, 0)}\right)^{\text{power}}$$

    With the default ``hold = timescale`` this is
    $\min(1, (\text{timescale} / s)^{\text{power}})$. With ``hold=0`` it falls at once:
    ``inverse_power(40, hold=0)`` is Keras' ``InverseTimeDecay(1.0, 20, 0.5)``.

    The power scheduler is such a law between a warm-up and a decay, best counted in tokens:
    ``(warmup_stable_decay(n, w, d) * inverse_power(t, 0.51).cut(n - d)).by("tokens")``.

    Args:
        timescale: The number of steps that sets how slowly it falls, above 0.
        power: The exponent, above 0; 1 is the inverse of the time, 0.5 ``inverse_sqrt``.
        hold: The number of steps at 1 before it falls, at least 0. None: ``timescale``.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> inverse_power(100, 2.0)(50), inverse_power(100, 2.0)(200)
        (1.0, 0.25)

    Source: Shen et al. 2024, "Power Scheduler", https://arxiv.org/abs/2408.13359; Keras'
    ``InverseTimeDecay``.
    """

    timescale: float
    power: float = 1.0
    hold: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check_number("timescale", "power", above=0.0)
        self._check_whole("hold", at_least=0)

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        if self.hold is None:
            since = clock.xp.maximum(clock.real(), self.timescale)
        else:
            since = clock.since(self.hold).real() + self.timescale
        return (self.timescale / since) ** self.power
