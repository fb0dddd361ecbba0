"""Stop rules: when a sweep has seen enough of a network that diverges."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from layerwise.errors import FinderError

Floats = npt.NDArray[np.float64]
StopRule = Callable[[Floats], bool]
"""Whether to stop, given the losses smoothed up to now; the last of them is the newest.

Examples:
    >>> from layerwise.finder import QuadraticTrainer, search
    >>> found = search(
    ...     QuadraticTrainer(),
    ...     range(100),
    ...     stop=lambda smoothed: smoothed[-1] < 1,
    ...     method="sweep",
    ...     progress=False,
    ... )
    >>> found.losses[-1] < 1
    True
"""

StopName = Literal["diverged", "doubled", "never"]

_MEMORY = 0.8  # of the smoothing that rules look at: it follows within about five batches
_PATIENCE = 3
_FIRST = 10


def diverged(smoothed: Floats) -> bool:
    """The loss is as far above its start as that was above the best since, or has doubled.

    The rise counts from the best; losses of either sign and any size are treated alike. The first
    ten points tell how much the loss moves by itself.
    """
    if len(smoothed) <= _FIRST:
        return False
    first, best, now = smoothed[0], smoothed.min(), smoothed[-1]
    return bool(now - best > max(abs(first), 2.0 * (first - best), _noise(smoothed)))


def doubled(smoothed: Floats) -> bool:
    """The smoothed loss is over twice the first; the rule for losses above 0 of older finders.

    Source: L. N. Smith's range test as fast.ai's first finders and their ports to Keras ran it.
    """
    return bool(smoothed[-1] > 2.0 * smoothed[0])


def never(smoothed: Floats) -> bool:
    """Only losses that are NaN or infinite end the sweep."""
    del smoothed
    return False


_RULES: dict[str, StopRule] = {"diverged": diverged, "doubled": doubled, "never": never}


def stop_rule(stop: StopName | StopRule) -> StopRule:
    """The rule of this name, or the caller's own.

    Raises:
        FinderError: There is no such rule.
    """
    if isinstance(stop, str) and stop in _RULES:
        return _RULES[stop]
    if callable(stop):
        return stop
    raise FinderError(
        f"stop={stop!r}: choose one of {', '.join(map(repr, _RULES))}, or pass a function that "
        "is given the smoothed losses so far and says whether to stop."
    )


def broken(losses: Sequence[float]) -> bool:
    """Whether the last losses are NaN or infinite: of one bad batch training may recover."""
    return len(losses) >= _PATIENCE and not any(map(math.isfinite, losses[-_PATIENCE:]))


class RunningAverage:
    """An exponential moving average that knows no future, corrected for its short start."""

    def __init__(self) -> None:
        self._average = self._weight = 0.0
        self._smoothed: list[float] = []

    def add(self, loss: float) -> Floats:
        """The averages up to this loss; without it, if it is NaN or infinite."""
        if math.isfinite(loss):
            self._average = _MEMORY * self._average + (1 - _MEMORY) * loss
            self._weight = _MEMORY * self._weight + (1 - _MEMORY)
            self._smoothed.append(self._average / self._weight)
        return np.array(self._smoothed)


def _noise(smoothed: Floats) -> float:
    """What the smoothed loss does by itself, in the first points, where rates do nothing yet."""
    return 5.0 * float(np.ptp(smoothed[:_FIRST]))
