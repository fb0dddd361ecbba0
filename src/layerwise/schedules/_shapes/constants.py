"""The shapes of constant values: one for all steps, or one for each piece."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from layerwise._checks import number, sequence, whole
from layerwise._text import shown
from layerwise.errors import ScheduleError
from layerwise.schedules._backends.namespace import A
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule


@dataclass(frozen=True, repr=False)
class constant(Schedule):
    r"""One value at every step.

    $$f(s) = \text{value}$$

    Args:
        value: The factor, at least 0.
        steps: The length, so that something can follow with ``>>``; 0 only as a piece of it.
            None: endless.

    Raises:
        ScheduleError: If an argument is not as described above.

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
        self._check_number("value")
        self._check_length("steps")

    @property
    def length(self) -> int | None:
        """The steps given; None if there are none."""
        return self.steps

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        return clock.constant(self.value)


@dataclass(frozen=True, repr=False, init=False)
class piecewise_constant(Schedule):
    r"""One value until the first boundary, the next from there, and so on. The last one stays.

    $$f(s) = \text{values}_k, \quad k = |\{b \in \text{boundaries} : b \le s\}|$$

    The step that equals a boundary already has the *next* value, as in PyTorch and Optax. Keras'
    ``PiecewiseConstantDecay`` changes one step later, so its boundaries are smaller by 1.

    Args:
        boundaries: Ascending steps, each at least 1.
        values: The factors, each at least 0, one more than there are boundaries.

    Raises:
        ScheduleError: If an argument is not as described above.

    Examples:
        >>> pieces = piecewise_constant([10, 20], [1.0, 0.1, 0.01])
        >>> pieces(9), pieces(10), pieces(20)
        (1.0, 0.1, 0.01)

    Source: PyTorch's ``MultiStepLR``, Optax' ``piecewise_constant_schedule``.
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        name, error = "piecewise_constant", ScheduleError
        steps = sequence(boundaries, f"{name}: boundaries", error)
        factors = sequence(values, f"{name}: values", error)
        self._set(
            boundaries=tuple(whole(s, f"{name}: each boundary", error, at_least=1) for s in steps),
            values=tuple(number(factor, f"{name}: each value", error) for factor in factors),
        )
        if any(b <= a for a, b in pairwise(self.boundaries)):
            raise ScheduleError(
                f"{name}: boundaries must be ascending steps, got {shown(boundaries)}."
            )
        if len(factors) != len(steps) + 1:
            raise ScheduleError(
                f"{name}: values must be one more than boundaries, got {len(factors)} values for "
                f"{len(steps)} boundaries."
            )

    @property
    def length(self) -> int | None:
        """The last boundary; None if there are no boundaries."""
        return self.boundaries[-1] if self.boundaries else None

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        return clock.xp.take(self.values, clock.xp.count(self.boundaries, clock.whole))
