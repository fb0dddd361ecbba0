"""The trapezoid: up, a long plateau, down."""

# A schedule is used like a function and prints as the call that makes it, hence the lower case.
# ruff: noqa: N801

from dataclasses import dataclass, field
from typing import Any

from layerwise.errors import ScheduleError
from layerwise.schedules._checks import check_choice, check_number, check_whole
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule
from layerwise.schedules._shapes.ramps import cosine_weight

__all__ = ["warmup_stable_decay"]


@dataclass(frozen=True, repr=False)
class warmup_stable_decay(Schedule):
    r"""A straight warm-up to 1, a plateau at 1, and a decay to ``end`` in the last steps.

    $$f(s) = \text{end} + (1 - \text{end}) \, g(x), \quad
    x = \tfrac{s - (\text{steps} - \text{decay})}{\text{decay}}$$

    in the decay, with $g(x) = 1 - x$ (``linear``), $(1 + \cos(\pi x)) / 2$ (``cosine``) or
    $1 - \sqrt{x}$ (``sqrt``).

    Args:
        steps: the number of steps to ``end``, at least 1; the value then stays.
        warmup: the steps of the warm-up, at least 0.
        decay: the steps of the decay, at least 1; with ``warmup`` at most ``steps``.
        shape: ``"linear"``, ``"cosine"`` or ``"sqrt"``.
        end: the value from step ``steps`` on, at least 0.
        start: the value at step 0 if there is a warm-up, at least 0.

    Raises:
        ScheduleError: if an argument is not as said above.

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
        name = "warmup_stable_decay"
        self._set(
            steps=check_whole(name, "steps", self.steps),
            warmup=check_whole(name, "warmup", self.warmup, at_least=0),
            decay=check_whole(name, "decay", self.decay),
            end=check_number(name, "end", self.end),
            start=check_number(name, "start", self.start),
        )
        check_choice(name, "shape", self.shape, ("linear", "cosine", "sqrt"))
        if self.warmup + self.decay > self.steps:
            raise ScheduleError(
                f"{name}: warmup + decay must be at most steps, got {self.warmup} + {self.decay} "
                f"and steps={self.steps}."
            )

    @property
    def length(self) -> int | None:
        """The number of steps to the end value."""
        return self.steps

    def evaluate(self, clock: Clock) -> Any:
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
            # The two never overlap: where one is under way, the other is 1.
            value = value * (self.start * clock.left(self.warmup) + clock.done(self.warmup))
        return value
