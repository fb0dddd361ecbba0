"""The cosine with warm restarts, and where its cycles begin."""

# A schedule is used like a function and prints as the call that makes it, hence the lower case.
# ruff: noqa: N801

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from layerwise.errors import ScheduleError
from layerwise.schedules._checks import MOST_STEPS, check_number, check_whole
from layerwise.schedules._clock import Clock, exact_ratio
from layerwise.schedules._schedule import Schedule
from layerwise.schedules._shapes.ramps import cosine_weight

__all__ = ["cosine_restarts"]

# With slower growth, the table of cycles below would be long for no good: that is no growth.
SLOWEST_GROWTH = 1.001


class _Cycles(NamedTuple):
    """Where growing cycles begin, for every cycle up to ``MOST_STEPS``.

    The index of a cycle is a logarithm, which rounds to the wrong side just at the restarts. A
    look-up among whole numbers can't. Growing cycles are few: 52 if they double.
    """

    starts: tuple[int, ...]
    """The first whole step of each cycle, ascending."""
    ahead: tuple[float, ...]
    """How far that step is into its cycle, in [0, 1): not 0 where cycles end between steps."""
    periods: tuple[float, ...]
    """The length of each cycle in steps."""


@lru_cache(maxsize=64)
def _cycles(period: int, growth: float) -> _Cycles:
    # In units of 2**-64 of a step, so that whole ends stay whole and sums don't drift.
    unit = 2**64
    ratio = Fraction(exact_ratio(growth))
    begin, length = 0, period * unit
    starts, ahead, periods = [], [], []
    while begin < MOST_STEPS * unit:
        first = -(-begin // unit)
        starts.append(first)
        ahead.append((first * unit - begin) / unit)
        periods.append(length / unit)
        begin += length
        length = length * ratio.numerator // ratio.denominator
    return _Cycles(tuple(starts), tuple(ahead), tuple(periods))


@dataclass(frozen=True, repr=False)
class cosine_restarts(Schedule):
    r"""Half cosine waves from a peak down to ``end``, one after another (SGDR); endless.

    Cycle $i$ has $T_i = \text{period} \cdot \text{period_growth}^i$ steps and, $t$ steps after
    its restart, the value

    $$f = \text{end} + (1 - \text{end}) \, \text{peak_decay}^i \, \tfrac{1 + \cos(\pi t / T_i)}{2}$$

    Args:
        period: the steps of the first cycle, at least 1.
        period_growth: how many times as long each cycle is as the one before: 1, or at least
            1.001. Cycles may end between two steps.
        peak_decay: the factor on the height above ``end`` from cycle to cycle, above 0.
        end: the value that each cycle falls to, at least 0. The step on which a cycle would reach
            it is the first of the next one.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> schedule = cosine_restarts(10, period_growth=2, peak_decay=0.5)
        >>> schedule(0), round(schedule(5), 12), schedule(10), schedule(30)
        (1.0, 0.5, 0.5, 0.25)

    Source: Loshchilov and Hutter 2017, "SGDR", https://arxiv.org/abs/1608.03983; PyTorch's
    ``CosineAnnealingWarmRestarts``, Keras' ``CosineDecayRestarts``.
    """

    period: int
    period_growth: float = 1
    peak_decay: float = 1.0
    end: float = 0.0

    _table: ClassVar[_Cycles]

    def __post_init__(self) -> None:
        name = "cosine_restarts"
        growth = check_number(name, "period_growth", self.period_growth, at_least=1.0)
        if 1.0 < growth < SLOWEST_GROWTH:
            raise ScheduleError(
                f"{name}: period_growth must be 1 or at least {SLOWEST_GROWTH}, got {growth!r}."
            )
        self._set(
            period=check_whole(name, "period", self.period),
            period_growth=growth,
            peak_decay=check_number(name, "peak_decay", self.peak_decay, above=0.0),
            end=check_number(name, "end", self.end),
        )
        if self.period_growth > 1.0:  # no field, since it follows from the fields
            self._set(_table=_cycles(self.period, self.period_growth))

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        xp = clock.xp
        if self.period_growth == 1.0:
            index, phase = clock.cycle(self.period)
            done, left = phase.done(self.period), phase.left(self.period)
        else:
            index, done, left = self._growing(clock)
        height = xp.power(self.peak_decay, xp.real(index))
        peak = self.end * (1.0 - height) + height
        return peak * cosine_weight(clock, left) + self.end * cosine_weight(clock, done)

    def _growing(self, clock: Clock) -> tuple[Any, Any, Any]:
        """Find the cycle, and the shares of it that are done and left."""
        xp = clock.xp
        starts, ahead, periods = self._table
        index = xp.count(starts, clock.whole) - 1
        phase = replace(clock, whole=clock.whole - xp.take_integer(starts, index))
        steps, period = phase.real() + xp.take(ahead, index), xp.take(periods, index)
        done, left = steps / period, (period - steps) / period
        return index, xp.minimum(done, 1.0), xp.maximum(left, 0.0)
