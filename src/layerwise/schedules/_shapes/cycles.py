"""The shapes that come back, cycle after cycle: triangles, and cosines with warm restarts."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from math import inf, log
from typing import ClassVar, NamedTuple

from layerwise._checks import MOST_STEPS
from layerwise.errors import ScheduleError
from layerwise.schedules._backends.namespace import A
from layerwise.schedules._clock import Clock, exact_ratio
from layerwise.schedules._schedule import Schedule, check_joined_length
from layerwise.schedules._shapes.ramps import cosine_weight, k_decayed

# Slower growth would make a long table of cycles for hardly any growth.
SLOWEST_GROWTH = 1.001


class _Cycles(NamedTuple):
    """Where growing cycles begin, for every cycle up to ``MOST_STEPS``.

    A logarithm would give the index of a cycle, but rounds to the wrong side right at the restarts.
    A look-up among whole numbers doesn't. Growing cycles are few: 52 if they double.
    """

    starts: tuple[int, ...]
    """The first whole step of each cycle, ascending."""
    ahead: tuple[float, ...]
    """How far that step is into its cycle, in [0, 1): above 0 where cycles end between steps."""
    falls: tuple[float, ...]
    """The length of each cycle in steps, without its warm-up."""


@lru_cache(maxsize=64)
def _cycles(warmup: int, fall: int, growth: float) -> _Cycles:
    # Counted in units of 2**-64 of a step, so that whole ends stay whole and sums don't drift.
    unit = 2**64
    ratio = Fraction(exact_ratio(growth))
    begin, length = 0, fall * unit
    starts, ahead, falls = [], [], []
    while begin < MOST_STEPS * unit:
        first = -(-begin // unit)
        starts.append(first)
        ahead.append((first * unit - begin) / unit)
        falls.append(length / unit)
        begin += warmup * unit + length
        length = length * ratio.numerator // ratio.denominator
    return _Cycles(tuple(starts), tuple(ahead), tuple(falls))


@dataclass(frozen=True, repr=False)
class cyclic(Schedule):
    r"""Up from ``low`` to a peak and back down in straight lines, cycle after cycle. Endless.

    With step size $u$ up and $d$ down, cycle $k = \lfloor s / (u + d) \rfloor$ has the peak

    $$p_k = \max(\text{high} \cdot \text{decay}^{\lfloor k / \text{decay_freq} \rfloor},
    \text{low})$$

    and $f(s) = \text{low} + (p_k - \text{low}) \, x(s) \, m(s)$, where $x$ rises from 0 to 1
    in $u$ steps and falls back in $d$; $m$ is 1 (``triangular``), $2^{-k}$ (``triangular2``) or
    $\text{gamma}^s$ (``exp_range``).

    Args:
        step_size: The number of steps from ``low`` to the peak, half a cycle, at least 1.
        low: The lower bound, at least 0.
        high: The peak of the first cycle, at least ``low``.
        mode: ``"triangular"``, ``"triangular2"`` or ``"exp_range"``.
        gamma: The factor for each step in mode ``exp_range``, above 0. 1 in the other modes.
        decay: The factor on the peak every ``decay_freq`` cycles, above 0. None: no decay.
        decay_freq: The number of cycles between two decays, at least 1.
        step_size_down: The number of steps back down, at least 1. None: ``step_size``.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> schedule = cyclic(10, low=0.5, decay=0.6)
        >>> schedule(0), schedule(5), schedule(10), schedule(20), schedule(30)
        (0.5, 0.75, 1.0, 0.5, 0.6)

    Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks",
    https://arxiv.org/abs/1506.01186; PyTorch's ``CyclicLR``.
    """

    step_size: int
    low: float
    high: float = 1.0
    mode: str = "triangular"
    gamma: float = 1.0
    decay: float | None = None
    decay_freq: int = 1
    step_size_down: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check_whole("step_size", "decay_freq", "step_size_down")
        self._check_number("low", "high")
        self._check_number("gamma", "decay", above=0.0)
        self._check_choice("mode", "triangular", "triangular2", "exp_range")
        if self.low > self.high:
            raise ScheduleError(
                f"cyclic: low must be at most high, got low={self.low!r} and high={self.high!r}."
            )
        if self.gamma != 1.0 and self.mode != "exp_range":
            raise ScheduleError(
                f"cyclic: gamma must be 1 in mode {self.mode!r}, since it is for mode "
                f"'exp_range', got {self.gamma!r}."
            )

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        xp = clock.xp
        up, down = self.step_size, self.step_size_down or self.step_size
        cycle, phase = clock.cycle(up + down)
        falling = phase.since(up).left(down)
        share = xp.where(phase.reached(up), falling, phase.done(up))
        if self.mode == "triangular2":
            share = share * xp.power(0.5, xp.real(cycle))
        elif self.mode == "exp_range":
            share = share * xp.power(self.gamma, clock.real())
        peak = clock.constant(self.high)
        if self.decay is not None:
            decays = xp.real(cycle // self.decay_freq)
            peak = xp.maximum(self.high * xp.power(self.decay, decays), self.low)
        return self.low * (1.0 - share) + peak * share


@dataclass(frozen=True, repr=False)
class cosine_restarts(Schedule):
    r"""Half cosine waves from a peak down to ``end``, one after another (SGDR).

    Cycle $i$ has $w$ steps of warm-up and $T_i = (\text{period} - w) \cdot
    \text{period_growth}^i$ steps after it. The value $t$ steps after the warm-up is

    $$f = \text{end} + (p_i - \text{end}) \tfrac{1 + \cos(\pi (t / T_i)^k)}{2}, \quad
    p_i = \text{end} + (1 - \text{end}) \, \text{peak_decay}^i$$

    with ``decay_of="height"``, and $p_i = \max(\text{peak_decay}^i, \text{end})$ with
    ``decay_of="peak"``. Either way every cycle falls to the same floor, ``end``.

    Args:
        period: The number of steps of the first cycle, its warm-up included, at least 1.
        period_growth: How many times as long each cycle is, without its warm-up, as the one
            before: 1, or at least 1.001. Cycles may end between two steps.
        peak_decay: The factor from each cycle's peak to the next, above 0. With a height below
            ``end``, where ``end`` is above 1, at most so large that no peak is below 0.
        end: The value that each cycle falls to, at least 0. The step on which a cycle would reach
            it is the first step of the next cycle.
        warmup: The number of steps in which each cycle first rises to its peak in a straight line,
            below ``period``.
        start: The value that the warm-ups begin at, at least 0. None: ``end``.
        decay_of: What ``peak_decay`` is applied to: ``"height"``, the height above ``end``, or
            ``"peak"``, the peak itself, which then is ``end`` at least.
        cycles: The number of cycles, after which the value stays at ``end``. None: endless.
        k: The exponent of the time that is over (k-decay), above 0; see ``cosine``.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> schedule = cosine_restarts(10, period_growth=2, peak_decay=0.5)
        >>> schedule(0), round(schedule(5), 12), schedule(10), schedule(30)
        (1.0, 0.5, 0.5, 0.25)
        >>> schedule = cosine_restarts(12, 2, 0.5, end=0.1, warmup=2, decay_of="peak", cycles=2)
        >>> schedule(0), schedule(2), schedule(12), schedule(14), schedule(34), schedule.length
        (0.1, 1.0, 0.1, 0.5, 0.1, 34)

    Source: Loshchilov and Hutter 2017, "SGDR", https://arxiv.org/abs/1608.03983; PyTorch's
    ``CosineAnnealingWarmRestarts``, Keras' ``CosineDecayRestarts``. With ``decay_of="peak"``,
    ``cycles`` and ``k``, timm's ``CosineLRScheduler``.
    """

    period: int
    period_growth: float = 1
    peak_decay: float = 1.0
    end: float = 0.0
    warmup: int = field(default=0, kw_only=True)
    start: float | None = field(default=None, kw_only=True)
    decay_of: str = field(default="height", kw_only=True)
    cycles: int | None = field(default=None, kw_only=True)
    k: float = field(default=1.0, kw_only=True)

    # No fields, since they follow from the fields.
    _table: ClassVar[_Cycles]
    _length: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        self._check_whole("period", "cycles")
        self._check_whole("warmup", at_least=0)
        self._check_number("period_growth", at_least=1.0)
        self._check_number("peak_decay", "k", above=0.0)
        self._check_number("end", "start")
        self._check_choice("decay_of", "height", "peak")
        if 1.0 < self.period_growth < SLOWEST_GROWTH:
            raise ScheduleError(
                f"cosine_restarts: period_growth must be 1 or at least {SLOWEST_GROWTH}, "
                f"got {self.period_growth!r}."
            )
        if self.warmup >= self.period:
            raise ScheduleError(
                f"cosine_restarts: warmup must be below period={self.period}, since it is a part "
                f"of it, got {self.warmup}."
            )
        if self.start is not None and not self.warmup:
            raise ScheduleError(
                f"cosine_restarts: start must be None without a warmup, got {self.start!r}."
            )
        if self.decay_of == "height" and self.peak_decay > 1.0 and self.end > 1.0:
            decays = inf if self.cycles is None else self.cycles - 1
            if decays * log(self.peak_decay) > log(self.end / (self.end - 1.0)):
                raise ScheduleError(
                    f"cosine_restarts: peak_decay must be at most 1 with end={self.end!r}, or the "
                    f"peaks, which are below it, fall below 0; got {self.peak_decay!r}."
                )
        if self.period_growth > 1.0:
            self._set(_table=_cycles(self.warmup, self._fall, self.period_growth))
        if self.cycles is not None:
            self._set(_length=check_joined_length("cosine_restarts", self._end_of(self.cycles)))

    @property
    def length(self) -> int | None:
        """The number of steps of all cycles; None if they are endless."""
        return self._length

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        xp = clock.xp
        index, steps, done, left = self._within(clock)
        done, left = k_decayed(clock, done, left, self.k)
        height = xp.power(self.peak_decay, xp.real(index))
        if self.decay_of == "height":
            peak = self.end * (1.0 - height) + height
        else:
            peak = xp.maximum(height, self.end)
        value = peak * cosine_weight(clock, left) + self.end * cosine_weight(clock, done)
        if self.warmup:
            start = self.end if self.start is None else self.start
            below, above = self.warmup - steps, clock.share(steps, self.warmup)
            rising = start * clock.share(below, self.warmup) + peak * above
            value = xp.where(below > 0.0, rising, value)
        if self.length is not None:
            value = xp.where(clock.reached(self.length), clock.constant(self.end), value)
        return value

    def _within(self, clock: Clock[A]) -> tuple[A, A, A, A]:
        """Return where a clock is.

        Returns:
            The number of the cycle, the steps in it, and the shares of its fall that are done and
            left.
        """
        if self.period_growth == 1.0:
            index, phase = clock.cycle(self.period)
            fall = phase.since(self.warmup)
            return index, phase.real(), fall.done(self._fall), fall.left(self._fall)
        xp = clock.xp
        starts, ahead, falls = self._table
        index = xp.count(starts, clock.whole) - 1
        phase = replace(clock, whole=clock.whole - xp.take_integer(starts, index))
        steps, length = phase.real() + xp.take(ahead, index), xp.take(falls, index)
        fallen = xp.maximum(steps - float(self.warmup), 0.0) if self.warmup else steps
        done, left = fallen / length, (length - fallen) / length
        return index, steps, xp.minimum(done, 1.0), xp.maximum(left, 0.0)

    @property
    def _fall(self) -> int:
        return self.period - self.warmup

    def _end_of(self, cycles: int) -> int:
        if self.period_growth == 1.0:
            return cycles * self.period
        starts = self._table.starts
        return starts[cycles] if cycles < len(starts) else MOST_STEPS + 1
