"""A suggestion from the curve of a sweep alone, without training any more."""

from layerwise.finder._candidates import minimum_over_10
from layerwise.finder._smoothing import smooth
from layerwise.finder._suggestion import Suggestion
from layerwise.finder._sweep import Sweep


def from_curve(sweep: Sweep, smoothing: float = 2.0) -> Suggestion:
    """A tenth of the rate with the lowest smoothed loss.

    Args:
        sweep: What the sweep saw.
        smoothing: The width of the smoothing in points.

    Returns:
        The suggestion; without a rate if the curve never falls.
    """
    rate = minimum_over_10(sweep.rates, smooth(sweep.losses, smoothing))
    if rate is None:
        return Suggestion(None, "The loss falls at no rate of the sweep.")
    return Suggestion(rate, "A tenth of the rate at which the sweep's loss was lowest.")
