"""The one-cycle policy: one rise, one fall, and a tail far below where it began."""

# A schedule is used like a function and prints as the call that makes it, hence the lower case.
# ruff: noqa: N801

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from layerwise.errors import ScheduleError
from layerwise.schedules._checks import check_choice, check_number, check_whole
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule
from layerwise.schedules._shapes.ramps import cosine_weight

__all__ = ["one_cycle"]


@dataclass(frozen=True, repr=False)
class one_cycle(Schedule):
    r"""From ``start`` to ``peak`` and down to ``end``, in two phases or three; then it stays.

    With two phases, $f$ goes from ``start`` to ``peak`` at step $\text{peak_at} \cdot \text{steps}$
    and from there to ``end`` at ``steps``. With three it goes back to ``start`` first, by
    $\text{return_at} \cdot \text{steps}$. Each phase from $a$ to $b$ is
    $b + (a - b) \tfrac{1 + \cos(\pi x)}{2}$ (``cosine``) or $a + (b - a) x$ (``linear``), where $x$
    is the share of the phase that is done.

    Momentum takes the inverse cycle, with the same call: `one_cycle(n, start=0.95, peak=0.85,
    end=0.95)` is a schedule in absolute units.

    PyTorch's ``OneCycleLR(optimizer, max_lr, total_steps)`` arrives one step earlier, after
    ``total_steps - 1`` updates, and counts its peak from there: it is
    ``one_cycle(total_steps - 1, peak_at=(pct_start * total_steps - 1) / (total_steps - 1))``
    times ``max_lr``, with ``start=1 / div_factor`` and ``end=start / final_div_factor``.

    Args:
        steps: the number of steps to ``end``, at least 1.
        peak_at: where the peak is, as a share of ``steps``, above 0 and below 1.
        start: the value at step 0, at least 0.
        end: the value from step ``steps`` on, at least 0.
        anneal: ``"cosine"`` or ``"linear"``.
        phases: 2 or 3.
        peak: the value at the peak, at least 0.
        return_at: with three phases, where the value is ``start`` again, as a share of ``steps``,
            above ``peak_at`` and below 1; None: at twice ``peak_at``.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> schedule = one_cycle(100, peak_at=0.25, start=0.5, end=0.0)
        >>> schedule(0), schedule(25), schedule(100)
        (0.5, 1.0, 0.0)

    Source: Smith and Topin 2018, "Super-Convergence", https://arxiv.org/abs/1708.07120;
    PyTorch's ``OneCycleLR``, Optax' ``cosine_onecycle_schedule`` and ``linear_onecycle_schedule``.
    """

    steps: int
    peak_at: float = 0.3
    start: float = 1 / 25
    end: float = 1e-4 / 25
    anneal: str = "cosine"
    phases: int = 2
    peak: float = field(default=1.0, kw_only=True)
    return_at: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        name = "one_cycle"
        self._set(
            steps=check_whole(name, "steps", self.steps),
            peak_at=check_number(name, "peak_at", self.peak_at, above=0.0, below=1.0),
            start=check_number(name, "start", self.start),
            end=check_number(name, "end", self.end),
            peak=check_number(name, "peak", self.peak),
        )
        check_choice(name, "anneal", self.anneal, ("cosine", "linear"))
        check_choice(name, "phases", self.phases, (2, 3))
        if self.return_at is not None:
            self._check_return(self.return_at)
        elif self.phases == 3 and self.peak_at >= 0.5:
            raise ScheduleError(
                f"{name}: peak_at must be below 0.5 with three phases, so that twice it is before "
                f"the end, got {self.peak_at!r}; or give return_at."
            )

    def _check_return(self, given: float) -> None:
        name = "one_cycle"
        return_at = check_number(name, "return_at", given, above=0.0, below=1.0)
        if self.phases != 3:
            raise ScheduleError(
                f"{name}: return_at is for phases=3 and must be None with two, got {given!r}."
            )
        if return_at <= self.peak_at:
            raise ScheduleError(
                f"{name}: return_at must be above peak_at={self.peak_at!r}, got {given!r}."
            )
        self._set(return_at=return_at)

    @property
    def length(self) -> int | None:
        """The number of steps to the end value."""
        return self.steps

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        top, last = self._step_at(self.peak_at), float(self.steps)
        turns = [(0.0, self.start), (top, self.peak), (last, self.end)]
        if self.phases == 3:
            back = self._step_at(2 * self.peak_at if self.return_at is None else self.return_at)
            turns.insert(2, (back, self.start))
        return self._through(clock, turns)

    def _step_at(self, share: float) -> float:
        # 0.29 * 100 is 28.999999999999996, where 29 was meant.
        step = share * self.steps
        return float(round(step)) if abs(step - round(step)) <= 1e-9 * self.steps else step

    def _through(self, clock: Clock, turns: list[tuple[float, float]]) -> Any:
        """Go through (step, value) pairs, the last one of which is the end."""
        xp = clock.xp
        step = clock.capped(self.steps).real()
        value = clock.constant(self.start)
        for (begin, a), (finish, b) in pairwise(turns):
            span = finish - begin
            done = clock.share(step - begin, span)
            # The last values may be very small, and count what is left in integers.
            left = clock.remaining(self.steps) if finish == self.steps else finish - step
            left = clock.share(left, span)
            if self.anneal == "cosine":
                done, left = cosine_weight(clock, done), cosine_weight(clock, left)
            value = xp.where(step >= begin, a * left + b * done, value)
        return value
