r"""Tilts: the few directions in which the rates of bands are compared.

With a *tilt* $t$, a band that lies $d$ bands below the head has the multiplier $t^d$, divided by
the largest of them. At 1 all bands learn alike; below 1 later bands are faster; above 1 earlier
ones; at 0 the head trains alone.

The best base rate depends on the tilt: where few bands learn at the full rate, it is higher. The
best sum of all rates, called *reach* here, depends on the tilt much less, so the surface is drawn
over the reach.
"""

import math

TILTS = (0.0, 0.3, 0.6, 1.0, 1.7, 3.0)
HEAD_ALONE = -2.2  # its place on the surface, a little further out than the tilt 0.3


def multipliers(tilt: float, bands: int) -> tuple[float, ...]:
    """The multiplier of each band, from the input to the head, to three digits.

    Examples:
        >>> multipliers(0.5, 3), multipliers(3, 3), multipliers(0, 3)
        ((0.25, 0.5, 1.0), (1.0, 0.333, 0.111), (0.0, 0.0, 1.0))
    """
    fastest = bands - 1 if tilt > 1 else 0  # counted from the head
    powers = [tilt ** (depth - fastest) for depth in range(bands - 1, -1, -1)]
    return tuple(float(f"{power:.3g}") for power in powers)


def place(tilt: float) -> float:
    """Where a tilt is on the surface: its logarithm, and an end for the head alone."""
    return math.log(tilt) if tilt else HEAD_ALONE


def spread(tilt: float, bands: int) -> float:
    """The sum of the multipliers: reach divided by base rate."""
    return sum(multipliers(tilt, bands))
