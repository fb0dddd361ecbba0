"""Where probes are on the surface: what training losses say of the rate that is usually best."""

import math
from typing import Any

import numpy as np
import pytest

from layerwise.finder import Bands, QuadraticBands, RatesProbe, search_rates
from layerwise.finder._rates import tilts
from layerwise.finder._rates.heights import BEYOND, MEMORIZES, Place, fit, grid, usual_rate

PLACES = (-1.0, -0.5, 0.0, 0.5, 1.0)
SCORE = 0.5


def probe(place: float, train_loss: float, tilt: float = 1.0, score: float = SCORE) -> RatesProbe:
    """A probe whose reach is that of the rate ``10**place`` for each of two bands."""
    return RatesProbe(
        rate=10**place * 2 / tilts.spread(tilt, 2),
        tilt=tilt,
        multipliers=tilts.multipliers(tilt, 2),
        division=0,
        score=score,
        train_loss=train_loss,
        slopes=(),
        updates=96,
    )


def learning(knee: float) -> list[RatesProbe]:
    """Probes that begin to memorize at a rate of ``10**knee``; their scores are all alike."""
    return [probe(place, SCORE * MEMORIZES * 10 ** (0.5 * (knee - place))) for place in PLACES]


@pytest.mark.parametrize("knee", [-0.7, -0.1, 0.0, 0.8])
def test_the_usual_rate_is_a_little_above_where_probes_begin_to_memorize(knee: float) -> None:
    found = usual_rate(learning(knee))
    assert found is not None
    assert math.log10(found) == pytest.approx(knee + BEYOND)


def test_it_is_the_share_of_the_score_that_counts() -> None:
    probes = [probe(-0.5, 2 * MEMORIZES * 2, score=2.0), probe(0.5, 0.1 * MEMORIZES / 2, score=0.1)]
    assert usual_rate(probes) == pytest.approx(10**BEYOND)


def test_it_counts_the_reach_of_tilts() -> None:
    loss = SCORE * MEMORIZES
    for tilt in (0.0, 0.3, 3.0):
        found = usual_rate([probe(-0.5, loss * 2), probe(0.5, loss / 2, tilt=tilt)])
        assert found == pytest.approx(10**BEYOND)


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param([2.0, 1.0, 0.5, 0.4, 0.3], id="none overfits"),
        pytest.param([0.19, 0.1, 0.01, 0.0, 0.0], id="all overfit"),
    ],
)
def test_training_losses_may_say_nothing(losses: list[float]) -> None:
    probes = [probe(place, loss) for place, loss in zip(PLACES, losses, strict=True)]
    assert usual_rate(probes) is None


def test_trainings_that_broke_say_nothing() -> None:
    broken = [probe(place, math.inf, score=math.inf) for place in PLACES]
    assert usual_rate(broken) is None
    assert usual_rate(learning(0.2) + broken) == pytest.approx(10 ** (0.2 + BEYOND))


def test_a_loss_of_0_counts_as_a_tenth_of_what_memorizes() -> None:
    found = usual_rate([probe(-0.5, SCORE * MEMORIZES * 5), probe(0.0, 0.0)])
    assert found is not None
    # From five times as much at -0.5 to a tenth at 0, in logarithms.
    assert math.log10(found) == pytest.approx(-0.5 * math.log(10) / math.log(50) + BEYOND)


@pytest.mark.parametrize("knee", [-0.75, 0.25])
def test_the_surface_is_lowest_there_where_scores_are_all_alike(knee: float) -> None:
    places: list[Place] = [place for place in grid(1.0, 2, 1.5, 0.05) if place[1] == 1.0]
    found = fit(learning(knee), [2.0], places, middle=1.0)
    lowest = math.log10(places[int(found.mean.argmin())][0])
    assert lowest == pytest.approx(knee + BEYOND, abs=0.3)  # scores of all places count, too


class Recorded(QuadraticBands):
    """Keeps the losses of each training."""

    def __init__(self) -> None:
        super().__init__((1.0, 1.0))
        self.losses: list[list[float]] = []

    def restore(self, state: Any) -> None:
        super().restore(state)
        self.losses.append([])

    def train(self, batch: Any, rates: Any) -> float:
        loss = super().train(batch, rates)
        self.losses[-1].append(loss)
        return loss


def test_a_probe_tells_the_end_of_its_training() -> None:
    trainer = Recorded()
    bands = Bands((("body",), ("head",)))
    found = search_rates(trainer, range(200), bands, budget=400, progress=False)
    trainings = [losses for losses in trainer.losses if losses][-len(found.probes) :]
    for made, losses in zip(found.probes, trainings, strict=True):
        if math.isfinite(made.score):
            assert made.train_loss == pytest.approx(np.mean(losses[-(len(losses) // 10) :]))
        else:
            assert made.train_loss == math.inf
    assert any(math.isfinite(made.score) for made in found.probes)
