"""The surface of scores over reach and tilt: smoothed, and with the error of each difference.

Single probes are noisy, above all where few labels are held out, so the lowest of them is often
luck. Gaussian process regression draws a smooth surface through all of them. It takes the logarithm
of a score as the sum of

- a bowl over the reach, of the usual shape (``BOWL``) except for its place, its lean and its width,
- a smooth function of where the probe was, with the length scales below,
- a line over the reach for the division that the probe was trained on, since some held-out data is
  harder, or wants higher rates,
- noise, which grows towards high rates, where trainings are erratic.

How much the smooth function and the noise vary is not known. A few values of each are tried, and
the surfaces averaged, each weighted by how likely it makes the measured scores. The constants were
chosen to make the scores of the tuned half of the panel likely (``benchmarks/rates``).

Source: C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for Machine Learning" (2006),
chapters 2 and 5.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from layerwise.finder._curve import Floats

# All but BOWL and SMOOTH are standard deviations of the logarithm of a score.
BOWL = 0.55  # how far that logarithm usually rises for a decade of reach away from the best
LEANS = (0.3, 0.2, 0.4, 0.1, 0.1)  # how far reach, its square, tilt, its square, both change it
SMOOTH = (0.4, 1.5)  # length scales of the smooth function: decades of reach, a tilt's place
VARIES = (0.05, 0.1, 0.3)  # of the smooth function
NOISE = (0.03, 0.1, 0.2)  # of a single probe
WILD = 0.2  # of more noise, for each decade of reach above the middle
DIVISION = (0.3, 0.4)  # of a division: its level, and its change with a decade of reach
_ANY = 10.0  # of the level of all: so wide that any level is as likely


@dataclass(frozen=True)
class Surface:
    """Scores as they are expected at some places, relative to each other.

    Attributes:
        mean: The logarithm of the score at each place, shape ``(n,)``.
        covariance: Of the errors of these, shape ``(n, n)``.
    """

    mean: Floats
    covariance: Floats

    @property
    def error(self) -> Floats:
        """The standard error at each place, shape ``(n,)``."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def difference(self, one: int, other: int) -> tuple[float, float]:
        """By how much ``one`` is above ``other``, and the standard error of that."""
        variance = self.covariance[one, one] + self.covariance[other, other]
        variance -= 2 * self.covariance[one, other]
        error = math.sqrt(max(float(variance), 0.0))
        return float(self.mean[one] - self.mean[other]), error


def surface(
    places: npt.ArrayLike, scores: Sequence[float], divisions: Sequence[int], asked: npt.ArrayLike
) -> Surface:
    """Fit the surface to probes.

    Args:
        places: Where the probes were, shape ``(probes, 2)``: the logarithm of the reach to base
            10, counted from where it is usually best, and the place of the tilt.
        scores: The natural logarithm of the score of each.
        divisions: The division that each was trained on.
        asked: The places to give the score at, shape ``(n, 2)``.

    Returns:
        The surface at these places.

    Examples:
        >>> found = surface([[0, 0], [1, 0]], [1.0, 0.0], [0, 0], [[0, 0], [0.5, 0], [1, 0]])
        >>> bool(found.mean[0] > found.mean[1:].max())
        True
    """
    at, wanted = np.asarray(places, np.float64), np.asarray(asked, np.float64)
    values, groups = np.asarray(scores, np.float64), np.asarray(divisions)
    near, alike = _kernel(at, at), groups[:, None] == groups[None, :]
    own = np.column_stack([np.ones(len(at)), at[:, 0]]) * np.array(DIVISION)
    leans, leans_wanted = _leans(at), _leans(wanted)
    bowl = _ANY**2 + leans @ leans.T
    above = values - BOWL * at[:, 0] ** 2
    bowl_across, near_across = _ANY**2 + leans_wanted @ leans.T, _kernel(wanted, at)
    bowl_wanted, near_wanted = _ANY**2 + leans_wanted @ leans_wanted.T, _kernel(wanted, wanted)
    wild = np.diag((WILD * np.maximum(at[:, 0], 0.0)) ** 2)
    likelihoods, means, covariances = [], [], []
    for varies, noise in product(VARIES, NOISE):
        matrix = bowl + varies**2 * near + alike * (own @ own.T) + wild
        matrix += noise**2 * np.eye(len(at))
        across = bowl_across + varies**2 * near_across
        weights = np.linalg.solve(matrix, across.T)
        likelihoods.append(_likelihood(matrix, above))
        means.append(BOWL * wanted[:, 0] ** 2 + weights.T @ above)
        covariances.append(bowl_wanted + varies**2 * near_wanted - across @ weights)
    shares = np.exp(np.array(likelihoods) - max(likelihoods))
    shares /= shares.sum()
    mean = shares @ np.array(means)
    apart = np.array(means) - mean
    within = np.tensordot(shares, np.array(covariances), axes=1)
    return Surface(mean, within + (apart.T * shares) @ apart)


def _leans(places: Floats) -> Floats:
    """The ways in which the bowl may differ from the usual one, shape ``(n, 5)``."""
    reach, tilt = places[:, 0], places[:, 1]
    ways: Floats = np.array([reach, reach**2, tilt, tilt**2, reach * tilt])
    scaled: Floats = ways.T * np.array(LEANS)
    return scaled


def _kernel(one: Floats, other: Floats) -> Floats:
    """How much the surface at two places has in common, from 0 to 1."""
    apart = (one[:, None, :] - other[None, :, :]) / np.array(SMOOTH)
    common: Floats = np.exp(-0.5 * np.sum(apart**2, axis=-1))
    return common


def _likelihood(matrix: Floats, values: Floats) -> float:
    """The logarithm of the likelihood of values under a covariance, without its constant."""
    root = np.linalg.cholesky(matrix)
    white = np.linalg.solve(root, values)
    return float(-0.5 * white @ white - np.sum(np.log(np.diag(root))))
