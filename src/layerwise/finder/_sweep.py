"""The sweep: one update at each of many rising rates, until training diverges."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from layerwise.errors import FinderError
from layerwise.finder._batches import DataEnded
from layerwise.finder._classical_rules import candidates
from layerwise.finder._curve import Floats, RunningAverage, from_curve, smooth
from layerwise.finder._finding import LRFinding, Method, Stopped, Suggestion

StopName = Literal["diverged", "doubled", "never"]
StopRule = Callable[[Floats], bool]
"""Whether to stop, given the smoothed losses so far; the last of them is the newest.

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

_PATIENCE = 3
_FIRST = 10


def diverged(smoothed: Floats) -> bool:
    """Whether the loss has climbed too far above its best, for losses of any sign and size.

    That is by more than each of these: the size of the first loss, twice the fall from the first to
    the best, and five times the range of the first ten losses, whose rates do nothing yet.
    """
    if len(smoothed) <= _FIRST:
        return False
    first, best, now = smoothed[0], smoothed.min(), smoothed[-1]
    noise = 5.0 * float(np.ptp(smoothed[:_FIRST]))
    return bool(now - best > max(abs(first), 2.0 * (first - best), noise))


def doubled(smoothed: Floats) -> bool:
    """Whether the loss is more than twice the first one; older finders stop by this rule.

    Source: L. N. Smith's range test, as in fast.ai's first finders and their ports to Keras.
    """
    return bool(smoothed[-1] > 2.0 * smoothed[0])


def never(_: Floats) -> bool:
    """Never: only losses that are NaN or infinite end the sweep."""
    return False


_RULES: dict[str, StopRule] = {"diverged": diverged, "doubled": doubled, "never": never}


def stop_rule(stop: StopName | StopRule) -> StopRule:
    """The rule of this name, or the function itself.

    Raises:
        FinderError: It is neither the name of a rule nor a function.
    """
    if isinstance(stop, str) and stop in _RULES:
        return _RULES[stop]
    if callable(stop):
        return stop
    raise FinderError(
        f"stop must be one of {', '.join(map(repr, _RULES))}, or a function that gets the "
        f"smoothed losses so far and says whether to stop, got {stop!r}."
    )


def broken(losses: Sequence[float]) -> bool:
    """Whether the last three losses are NaN or infinite: training may survive fewer."""
    return len(losses) >= _PATIENCE and not any(map(math.isfinite, losses[-_PATIENCE:]))


class SweepPoints:
    """The points of a sweep while it goes on, and what was found at its end.

    ``search`` fills it; a callback that gets its losses from somewhere else can fill one too.

    Args:
        stop: See ``SearchOptions``.
        smoothing: See ``SearchOptions``.

    Attributes:
        rates: The rates so far.
        losses: The loss of each batch so far, from before the update at its rate.

    Raises:
        FinderError: ``stop`` is no stop rule.

    Examples:
        >>> points = SweepPoints("doubled")
        >>> points.add(0.1, loss=1.0), points.add(1.0, loss=9.0)
        (False, True)
        >>> points.finding("diverged").rates
        (0.1, 1.0)
    """

    def __init__(self, stop: StopName | StopRule = "diverged", smoothing: float = 2.0) -> None:
        self._stop = stop_rule(stop)
        self._smoothing = smoothing
        self._average = RunningAverage()
        self.rates: list[float] = []
        self.losses: list[float] = []

    def add(self, rate: float, loss: float) -> bool:
        """Take one more point, and return whether training has diverged."""
        self.rates.append(rate)
        self.losses.append(loss)
        smoothed = self._average.add(loss)
        return broken(self.losses) or (math.isfinite(loss) and self._stop(smoothed))

    def suggested(self) -> Suggestion:
        """What the curve says so far."""
        return from_curve(self.rates, self.losses, self._smoothing)

    def where_to_begin(self) -> float:
        """The rate for a search to begin at: the suggested one, or well below the end without one.

        Examples:
            >>> points = SweepPoints()
            >>> points.add(0.1, loss=1.0), points.add(1.0, loss=1.0), points.where_to_begin()
            (False, False, 0.01)
        """
        suggested = self.suggested().rate
        return self.rates[-1] / 100 if suggested is None else suggested

    def finding(
        self,
        stopped: Stopped,
        suggestion: Suggestion | None = None,
        *,
        method: Method = "sweep",
        group_factors: Mapping[str, float] | None = None,
        schedule: str = "falling",
    ) -> LRFinding:
        """The result of the sweep.

        Args:
            stopped: Why the sweep ended.
            suggestion: The answer; by default what the curve says.
            method: How the answer was found.
            group_factors: The factor of each group's rate on the base rate, by name.
            schedule: How the rate of the training goes that the answer is for.
        """
        suggestion = suggestion or self.suggested()
        smoothed = smooth(self.losses, self._smoothing)
        return LRFinding(
            rates=tuple(self.rates),
            losses=tuple(self.losses),
            smoothed=tuple(smoothed.tolist()),
            stopped=stopped,
            suggestion=suggestion.rate,
            method=method,
            reason=suggestion.reason,
            candidates=candidates(self.rates, smoothed),
            probes=suggestion.probes,
            updates=len(self.rates) + suggestion.updates,
            group_factors=group_factors or {},
            schedule=schedule,
        )


def run_sweep(rates: Floats, points: SweepPoints, train: Callable[[int, float], float]) -> Stopped:
    """Train one update at each rate until training diverges.

    Args:
        rates: The rates, rising.
        points: Takes the points, up to and with the one that ends the sweep.
        train: Applies the update of a number at a rate, and returns its loss. ``DataEnded`` ends
            the sweep.

    Returns:
        Why the sweep ended.
    """
    for number, rate in enumerate(rates.tolist()):
        try:
            loss = train(number, rate)
        except DataEnded:
            return "data ended"
        if points.add(rate, loss):
            return "diverged"
    return "reached the upper rate"
