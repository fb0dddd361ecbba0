"""The shapes of a whole training in phases: one cycle, and warm-up, plateau and decay."""

from dataclasses import dataclass, field
from itertools import pairwise

from layerwise.errors import ScheduleError
from layerwise.schedules._backends.namespace import A
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule
from layerwise.schedules._shapes.ramps import cosine_weight


@dataclass(frozen=True, repr=False)
class one_cycle(Schedule):
    r"""From ``start`` up to ``peak`` and down to ``end``, in two phases or three. Then it stays.

    With two phases, $f$ goes from ``start`` to ``peak`` at step $\text{peak_at} \cdot \text{steps}$
    and from there to ``end`` at ``steps``. With three it first goes back to ``start``, where it is
    at step $\text{return_at} \cdot \text{steps}$. Each phase from $a$ to $b$ is
    $b + (a - b) \tfrac{1 + \cos(\pi x)}{2}$ (``cosine``) or $a + (b - a) x$ (``linear``), where $x$
    is the share of the phase that is done.

    The same call makes the inverse cycle that momentum takes:
    ``one_cycle(n, start=0.95, peak=0.85, end=0.95)``, a schedule in absolute values.

    PyTorch's ``OneCycleLR(optimizer, max_lr, total_steps)`` arrives one step earlier, after
    ``total_steps - 1`` updates. It equals
    ``one_cycle(total_steps - 1, peak_at=(pct_start * total_steps - 1) / (total_steps - 1))``
    times ``max_lr``, with ``start=1 / div_factor`` and ``end=start / final_div_factor``.

    Args:
        steps: The number of steps to ``end``; 0 only as a piece of ``>>``.
        peak_at: Where the peak is, as a share of ``steps`` above 0 and below 1.
        start: The value at step 0, at least 0.
        end: The value from step ``steps`` on, at least 0.
        anneal: ``"cosine"`` or ``"linear"``.
        phases: 2 or 3.
        peak: The value at the peak, at least 0.
        return_at: Only with three phases: where the value is ``start`` again, as a share of
            ``steps`` above ``peak_at`` and below 1. None: at twice ``peak_at``.

    Raises:
        ScheduleError: If an argument is not as described above.

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
        self._check_length("steps")
        self._check_number("start", "end", "peak")
        self._check_number("peak_at", "return_at", above=0.0, below=1.0)
        self._check_choice("anneal", "cosine", "linear")
        self._check_choice("phases", 2, 3)
        if self.return_at is None:
            if self.phases == 3 and self.peak_at >= 0.5:
                raise ScheduleError(
                    "one_cycle: peak_at must be below 0.5 with three phases, so that twice as far "
                    f"is before the end, got {self.peak_at!r}. Or give return_at."
                )
        elif self.phases != 3:
            raise ScheduleError(
                f"one_cycle: return_at must be None with two phases, got {self.return_at!r}."
            )
        elif self.return_at <= self.peak_at:
            raise ScheduleError(
                f"one_cycle: return_at must be above peak_at={self.peak_at!r}, "
                f"got {self.return_at!r}."
            )

    @property
    def length(self) -> int | None:
        """The number of steps to the end value."""
        return self.steps

    def evaluate(self, clock: Clock[A]) -> A:
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

    def _through(self, clock: Clock[A], turns: list[tuple[float, float]]) -> A:
        """Return the value on the way through (step, value) pairs, of which the last is the end."""
        xp = clock.xp
        step = clock.capped(self.steps).real()
        value = clock.constant(self.start)
        for (begin, a), (finish, b) in pairwise(turns):
            span = finish - begin
            done = clock.share(step - begin, span)
            # The last values may be very small, so the steps left are counted in integers.
            left = clock.remaining(self.steps) if finish == self.steps else finish - step
            left = clock.share(left, span)
            if self.anneal == "cosine":
                done, left = cosine_weight(clock, done), cosine_weight(clock, left)
            value = xp.where(step >= begin, a * left + b * done, value)
        return value


@dataclass(frozen=True, repr=False)
class warmup_stable_decay(Schedule):
    r"""A straight warm-up to 1, a plateau at 1, and a decay to ``end`` in the last steps.

    In the decay

    $$f(s) = \text{end} + (1 - \text{end}) \, g(x), \quad
    x = \tfrac{s - (\text{steps} - \text{decay})}{\text{decay}}$$

    with $g(x) = 1 - x$ (``linear``), $(1 + \cos(\pi x)) / 2$ (``cosine``) or $1 - \sqrt{x}$
    (``sqrt``).

    Args:
        steps: The number of steps to ``end``, where the value stays; 0 only as a piece of ``>>``.
        warmup: The number of steps of the warm-up, at least 0.
        decay: The number of steps of the decay, at least 1 if there are ``steps``. Together with
            ``warmup``, at most ``steps``.
        shape: ``"linear"``, ``"cosine"`` or ``"sqrt"``.
        end: The value from step ``steps`` on, at least 0.
        start: The value at step 0 if there is a warm-up, at least 0.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> schedule = warmup_stable_decay(100, warmup=10, decay=20)
        >>> schedule(5), schedule(50), schedule(90), schedule(100)
        (0.5, 1.0, 0.5, 0.0)

    Source: Hu et al. 2024, "MiniCPM", https://arxiv.org/abs/2404.06395; the shape ``sqrt`` is
    Hägele et al. 2024, https://arxiv.org/abs/2405.18392; Hugging Face's ``get_wsd_schedule``.
    """

    steps: int
    warmup: int
    decay: int
    shape: str = "linear"
    end: float = 0.0
    start: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        self._check_length("steps")
        self._check_whole("decay", at_least=min(self.steps, 1))
        self._check_whole("warmup", at_least=0)
        self._check_number("start", "end")
        self._check_choice("shape", "linear", "cosine", "sqrt")
        if self.warmup + self.decay > self.steps:
            raise ScheduleError(
                "warmup_stable_decay: warmup + decay must be at most steps, "
                f"got {self.warmup} + {self.decay} and steps={self.steps}."
            )

    @property
    def length(self) -> int | None:
        """The number of steps to the end value."""
        return self.steps

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        last = clock.since(self.steps - self.decay)
        done, left = last.done(self.decay), last.left(self.decay)
        if self.shape == "cosine":
            done, left = cosine_weight(clock, done), cosine_weight(clock, left)
        elif self.shape == "sqrt":
            root = clock.xp.sqrt(done)
            done, left = root, left / (1.0 + root)  # 1 - sqrt(x), without the cancellation
        value = left + self.end * done
        if self.warmup:
            # Warm-up and decay never overlap: where one is below 1, the other is 1.
            value = value * (self.start * clock.left(self.warmup) + clock.done(self.warmup))
        return value
