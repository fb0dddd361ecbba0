"""The shape that rises and falls in straight lines, cycle after cycle."""

# A schedule is used like a function and prints as the call that makes it, hence the lower case.
# ruff: noqa: N801

from dataclasses import dataclass, field
from typing import Any

from layerwise.errors import ScheduleError
from layerwise.schedules._checks import check_choice, check_number, check_whole
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule

__all__ = ["cyclic"]

MODES = ("triangular", "triangular2", "exp_range")


@dataclass(frozen=True, repr=False)
class cyclic(Schedule):
    r"""Up from ``low`` to a peak and back down in straight lines, cycle after cycle; endless.

    With step size $u$ up and $d$ down, cycle $k = \lfloor s / (u + d) \rfloor$ has the peak

    $$p_k = \max(\text{high} \cdot \text{decay}^{\lfloor k / \text{decay_freq} \rfloor},
    \text{low})$$

    and $f(s) = \text{low} + (p_k - \text{low}) \, x(s) \, m(s)$, where $x$ rises from 0 to 1
    in $u$ steps and falls back in $d$; $m$ is 1 (``triangular``), $2^{-k}$ (``triangular2``) or
    $\text{gamma}^s$ (``exp_range``).

    Args:
        step_size: the steps from ``low`` to the peak, half a cycle, at least 1.
        low: the lower bound, at least 0.
        high: the peak of the first cycle, at least ``low``.
        mode: ``"triangular"``, ``"triangular2"`` or ``"exp_range"``.
        gamma: the factor a step of ``exp_range``, above 0; only with that mode.
        decay: the factor on the upper bound every ``decay_freq`` cycles, above 0; None: no decay.
        decay_freq: the cycles between two decays, at least 1.
        step_size_down: the steps back down, at least 1; None: ``step_size``.

    Raises:
        ScheduleError: if an argument is not as said above.

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
        self._set(
            step_size=check_whole("cyclic", "step_size", self.step_size),
            low=check_number("cyclic", "low", self.low),
            high=check_number("cyclic", "high", self.high),
            gamma=check_number("cyclic", "gamma", self.gamma, above=0.0),
            decay_freq=check_whole("cyclic", "decay_freq", self.decay_freq),
        )
        check_choice("cyclic", "mode", self.mode, MODES)
        if self.low > self.high:
            raise ScheduleError(
                f"cyclic: low must be at most high, got low={self.low!r} and high={self.high!r}."
            )
        if self.gamma != 1.0 and self.mode != "exp_range":
            raise ScheduleError(
                f"cyclic: gamma is for mode 'exp_range' and must be 1 in mode {self.mode!r}, "
                f"got {self.gamma!r}."
            )
        if self.decay is not None:
            self._set(decay=check_number("cyclic", "decay", self.decay, above=0.0))
        if self.step_size_down is not None:
            down = check_whole("cyclic", "step_size_down", self.step_size_down)
            self._set(step_size_down=down)

    def evaluate(self, clock: Clock) -> Any:
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
