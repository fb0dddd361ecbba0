"""The smoothed surface: what a joint normal distribution says, by another way."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from layerwise.finder._rates import surface as module
from layerwise.finder._rates.surface import surface


def by_precision(
    places: np.ndarray, values: np.ndarray, divisions: np.ndarray, asked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance given the values, from the inverse of the covariance of everything."""
    (varies,), (noise,) = module.VARIES, module.NOISE
    everywhere = np.concatenate([places, asked])
    apart = (everywhere[:, None] - everywhere[None]) / np.array(module.SMOOTH)
    joint = 100.0 + varies**2 * np.exp(-np.square(apart).sum(-1) / 2)
    reach, tilt = everywhere.T
    for lean, term in zip(
        module.LEANS, (reach, reach**2, tilt, tilt**2, reach * tilt), strict=True
    ):
        joint += np.outer(lean * term, lean * term)
    number = len(places)
    wild = module.WILD * np.maximum(reach[:number], 0)
    joint[:number, :number] += np.diag(noise**2 + wild**2)
    alike = divisions[:, None] == divisions[None]
    level, slope = module.DIVISION
    along = slope * places[:, 0]
    joint[:number, :number] += alike * (level**2 + np.outer(along, along))
    joint += 1e-9 * np.eye(len(joint))
    precision = np.linalg.inv(joint)
    covariance = np.linalg.inv(precision[number:, number:])
    usual = module.BOWL * reach**2
    mean = -covariance @ precision[number:, :number] @ (values - usual[:number])
    return usual[number:] + mean, covariance


def test_it_is_the_conditional_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VARIES", (0.4,))
    monkeypatch.setattr(module, "NOISE", (0.1,))
    random = np.random.default_rng(0)
    places, asked = random.uniform(-1, 1, (8, 2)), random.uniform(-1, 1, (5, 2))
    values, divisions = random.normal(0, 0.4, 8), np.arange(8) % 3
    found = surface(places, values.tolist(), divisions.tolist(), asked)
    mean, covariance = by_precision(places, values, divisions, asked)
    # The joint matrix is badly conditioned: its constant is 10,000 times its noise.
    np.testing.assert_allclose(found.mean, mean, atol=1e-4)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-4)


def test_what_is_not_known_counts_by_its_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    places, asked = np.array([[-0.6, 0.0], [0.1, 0.2], [0.5, -0.3]]), np.array([[0.2, 0.1]])
    values = np.array([0.3, -0.2, 0.4])
    averaged = surface(places, values.tolist(), [0, 0, 0], asked)
    alone, weights = [], []
    for varies, noise in product(module.VARIES, module.NOISE):
        with monkeypatch.context() as patch:
            patch.setattr(module, "VARIES", (varies,))
            patch.setattr(module, "NOISE", (noise,))
            alone.append(surface(places, values.tolist(), [0, 0, 0], asked))
            weights.append(density(places, values, varies, noise))
    shares = np.array(weights) / sum(weights)
    means = np.array([found.mean[0] for found in alone])
    variances = np.array([found.covariance[0, 0] for found in alone])
    mean = shares @ means
    assert averaged.mean[0] == pytest.approx(mean, abs=1e-6)
    variance = shares @ (variances + means**2) - mean**2  # of a mixture
    assert averaged.covariance[0, 0] == pytest.approx(variance, abs=1e-4)


def density(places: np.ndarray, values: np.ndarray, varies: float, noise: float) -> float:
    """The probability density of values of one division, as SciPy has it."""
    reach, tilt = places.T
    apart = (places[:, None] - places[None]) / np.array(module.SMOOTH)
    covariance = 100.0 + varies**2 * np.exp(-np.square(apart).sum(-1) / 2)
    terms = (reach, reach**2, tilt, tilt**2, reach * tilt, np.ones_like(reach), reach)
    for lean, term in zip((*module.LEANS, *module.DIVISION), terms, strict=True):
        covariance += np.outer(lean * term, lean * term)
    covariance += np.diag(noise**2 + (module.WILD * np.maximum(reach, 0)) ** 2)
    return float(multivariate_normal(module.BOWL * reach**2, covariance).pdf(values))


def test_differences_are_surer_than_levels() -> None:
    found = surface([[0, 0], [0.1, 0]], [1.0, 0.5], [0, 0], [[0, 0], [0.1, 0]])
    difference, error = found.difference(0, 1)
    assert error < found.error.min()
    assert 0 < difference < 0.5  # smoothed


def test_a_division_that_is_hard_is_no_bad_place() -> None:
    # The same three places in two divisions, one of which is harder by 0.4.
    places = [[-0.5, 0], [0, 0], [0.5, 0]] * 2
    values = [0.2, 0.0, 0.2, 0.6, 0.4, 0.6]
    found = surface(places, values, [0, 0, 0, 1, 1, 1], places[:3])
    assert found.mean.argmin() == 1
    once = surface([*places[:3], [0, 0]], [0.2, 0.0, 0.2, 0.4], [0, 0, 0, 1], places[:3])
    assert once.mean.argmin() == 1


def test_what_one_division_wants_is_not_what_all_want() -> None:
    # One division falls towards high rates, and three others towards low ones.
    places = [[-0.5, 0], [0, 0], [0.5, 0]] * 4
    falls, rises = [0.3, 0.0, -0.3], [-0.3, 0.0, 0.3]
    divisions = [number for number in range(4) for _ in range(3)]
    found = surface(places, falls + 3 * rises, divisions, places[:3])
    assert found.mean.argmin() == 0
    alone = surface(places[:3], falls, [0, 0, 0], places[:3])
    same = surface(places, 4 * falls, divisions, places[:3])
    assert same.mean.argmin() == alone.mean.argmin() == 2
    # What four divisions say is believed, and what one says is not.
    difference, error = same.difference(0, 2)
    assert difference > 2 * error
    difference, error = alone.difference(0, 2)
    assert difference < error


def test_noise_is_seen() -> None:
    random = np.random.default_rng(1)
    places = [[0.0, 0.0]] * 12
    errors = [
        surface(places, random.normal(0, noise, 12).tolist(), [0] * 12, places[:1]).error[0]
        for noise in (0.01, 0.3)
    ]
    assert errors[0] < errors[1]
