"""A suggestion from the curve of a sweep alone, without training any more."""

import numpy as np

from layerwise.finder._suggestion import Suggestion
from layerwise.finder._sweep.smoothing import smooth
from layerwise.finder._sweep.sweep import Sweep

_SHARE = 0.9


def from_curve(sweep: Sweep, smoothing: float = 2.0) -> Suggestion:
    """The rate by which the smoothed loss has done nine tenths of its fall.

    The rate of the lowest loss itself says less: behind the fall the curve is flat or noisy, and
    how long it stays so depends on the optimizer.

    Args:
        sweep: What the sweep saw.
        smoothing: The width of the smoothing in points.

    Returns:
        The suggestion; without a rate if the curve never falls.
    """
    smoothed = smooth(sweep.losses, smoothing)
    known = np.flatnonzero(np.isfinite(smoothed))
    if not len(known):
        return Suggestion(None, "The loss was NaN or infinite from the first batch.")
    curve = smoothed[known]
    bottom = int(curve.argmin())
    # The first tenth of the rates is as good as no training.
    start = float(curve[: max(len(sweep.losses) // 10, 1)].mean())
    fall = start - float(curve[bottom])
    if bottom == 0 or fall <= _noise(sweep.losses):
        return Suggestion(None, "The loss falls at no rate of the sweep by more than its noise.")
    above = np.flatnonzero(curve[: bottom + 1] > start - _SHARE * fall)
    place = known[above[-1] if len(above) else 0]
    return Suggestion(
        float(sweep.rates[place]),
        "At this rate the sweep's smoothed loss has done nine tenths of its fall.",
    )


def _noise(losses: tuple[float, ...]) -> float:
    """How far a smoothed curve may fall by chance, from how neighbours differ."""
    values = np.array(losses)
    steps = np.abs(np.diff(values[np.isfinite(values)]))
    return 1.5 * float(np.median(steps)) if len(steps) else 0.0
