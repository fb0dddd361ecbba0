"""search_rates: what it answers where the answer is known, and what it says."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from layerwise.finder import Bands, QuadraticBands, RatesFinding, RatesProbe, search_rates
from layerwise.finder._rates import tilts
from layerwise.finder._rates.answer import Searched, answer
from layerwise.schedules import from_function
from tests._support.bowls import FIVE, TWO, Misled, Negative

QUIET: dict[str, Any] = {"progress": False}


def test_only_the_head_where_the_body_is_misled() -> None:
    found = search_rates(Misled(5, {0, 1, 2, 3}), range(500), FIVE, **QUIET)
    assert found.tilt == 0.0
    assert dict(found.rules) == {f"layer{n}": 0.0 for n in range(4)}
    assert found.reason.startswith("Only the head should learn: ")
    assert found.gain > 2 * found.gain_error > 0


def test_early_layers_faster_where_later_ones_are_misled() -> None:
    found = search_rates(Misled(5, {2, 3, 4}), range(500), FIVE, budget=6000, **QUIET)
    assert found.tilt > 1
    multipliers = [band.multiplier for band in found.bands]
    assert multipliers == sorted(multipliers, reverse=True)
    assert "early layers" in found.reason


def test_one_rate_where_nothing_differs() -> None:
    found = search_rates(QuadraticBands([1.0] * 5), range(500), FIVE, **QUIET)
    assert found.tilt == 1.0
    assert dict(found.rules) == {}
    assert found.reason.startswith("One rate is as good: ")
    assert 0.05 < (found.learning_rate or 0) < 1.5
    assert found.single_rate == found.learning_rate


def test_one_band_has_one_rate() -> None:
    found = search_rates(QuadraticBands([1.0]), range(500), Bands((("all",),)), **QUIET)
    assert {probe.tilt for probe in found.probes} == {1.0}
    assert dict(found.rules) == {}
    assert found.reason.startswith("There is one band, so one rate")


class Broken(QuadraticBands):
    """Gives losses of one kind only."""

    def __init__(self, loss: float) -> None:
        super().__init__([1.0] * 5)
        self.loss = loss

    def train(self, batch: Any, rates: Any) -> float:
        super().train(batch, rates)
        return self.loss

    def score(self, batches: Any, stretch: Any = None) -> float:
        return self.loss


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1.0, 0.0, -3.0])
def test_without_an_answer_it_says_so(loss: float) -> None:
    found = search_rates(Broken(loss), range(100), FIVE, budget=300, **QUIET)
    assert found.learning_rate is None
    assert dict(found.rules) == {}
    assert found.rates == {}
    if math.isfinite(loss):
        assert found.reason.startswith("Nothing to gain: ")
    else:
        assert "NaN or infinite" in found.reason


def test_where_every_probe_broke_the_reason_says_so() -> None:
    class Breaking(QuadraticBands):
        def train(self, batch: Any, rates: Any) -> float:
            loss = super().train(batch, rates)
            return math.nan if self.updates > 30 else loss

    found = search_rates(Breaking([1.0] * 5), range(500), FIVE, **QUIET)
    assert found.learning_rate is None
    assert found.reason.startswith("Training broke at every rate: in ")
    first = [probe.rate for probe in found.probes[:8]]
    assert first[:6] == sorted(first[:6], reverse=True)  # down, down, and to both sides
    assert found.probes[8].tilt != 1.0  # and not up again, where all break


class Drifting(QuadraticBands):
    """Its held-out loss falls with each update whatever the rate, as BatchNorm's may."""

    def score(self, batches: Any, stretch: Any = None) -> float:
        drift = 20.0 * math.exp(-self.updates / 20)
        return super().score(batches, stretch) + drift


def test_what_a_rate_of_0_gains_too_is_no_gain() -> None:
    still = {"low": 1e-12, "high": 1e-10}
    found = search_rates(Drifting([1.0] * 5), range(500), FIVE, **still, **QUIET)
    assert found.learning_rate is None
    assert found.reason.startswith("Nothing to gain: ")
    assert all(score < 25 for score in found.untrained)  # with the drift, above 40
    found = search_rates(Drifting([1.0] * 5), range(500), FIVE, **QUIET)
    assert found.learning_rate is not None


def test_of_negative_losses_the_reason_tells_shares_of_the_gain() -> None:
    found = search_rates(Negative([1.0] * 5), range(100), FIVE, budget=600, **QUIET)
    shares = "of the largest gain" in found.reason
    assert shares != ("no other tilt" in found.reason)
    assert shares == (found.gain > 0)


def test_a_schedule_that_is_left_out_is_told() -> None:
    course = from_function(lambda step: 0.9**step, name="ExponentialLR")
    trainer = QuadraticBands([1.0] * 5)
    found = search_rates(trainer, range(100), FIVE, course=course, budget=300, **QUIET)
    note = "ExponentialLR has no end that could be read: pass horizon= to search for it."
    assert found.reason.endswith(note)
    assert found.training == "a training whose rate goes to 0"
    told = search_rates(trainer, range(100), FIVE, course=course, budget=300, horizon=50, **QUIET)
    assert "no end" not in told.reason
    assert "ExponentialLR" in told.training


def decided(
    probes: list[RatesProbe], bands: Bands, repeats: float = 10.0, longer: float = 1.0
) -> RatesFinding:
    """The answer to some probes of a search."""
    return answer(
        Searched(
            bands=bands,
            probes=probes,
            untrained=[4.0] * 4,
            middle=1.0,
            decades=1.5,
            length=100,
            training="a training",
            note="",
            longer=longer,
            repeats=repeats,
            updates=4000,
            ended="finished",
        )
    )


def two_tilts(share: float, spread: float = 0.0) -> list[RatesProbe]:
    """Probes at two tilts, of which faster early layers is better by a share, with some noise."""
    random = np.random.default_rng(0)
    return [
        RatesProbe(
            rate=10**place / tilts.spread(tilt, 2) * 2,
            tilt=tilt,
            multipliers=tilts.multipliers(tilt, 2),
            division=division,
            score=math.exp(0.55 * place**2 + spread * random.normal())
            * (1 - share if tilt == 3.0 else 1.0),
            train_loss=1.0,
            slopes=(),
            updates=100,
        )
        for division in range(4)
        for place in (-0.5, -0.25, 0.0, 0.25, 0.5)
        for tilt in (1.0, 3.0)
    ]


@pytest.mark.parametrize(("share", "believed"), [(0.04, False), (0.15, True)])
def test_a_tilt_has_to_be_worth_it(share: float, believed: bool) -> None:
    # Exact scores: even the smaller difference is many times its error.
    found = decided(two_tilts(share), TWO)
    assert found.gain == pytest.approx(share, abs=0.02)
    assert found.gain > found.gain_error
    assert found.tilt == (3.0 if believed else 1.0)
    assert found.reason.startswith("One rate is as good") != believed


@pytest.mark.parametrize(("repeats", "believed"), [(0.5, False), (1.9, False), (2.0, True)])
def test_with_much_data_a_tilt_has_to_be_better_for_sure(repeats: float, believed: bool) -> None:
    found = decided(two_tilts(0.15, spread=0.2), TWO, repeats)
    assert 1.1 < found.gain / found.gain_error < 1.9
    assert found.tilt == (3.0 if believed else 1.0)
    sure = decided(two_tilts(0.3), TWO, repeats)
    assert sure.gain > 2.1 * sure.gain_error
    assert sure.tilt == 3.0


@pytest.mark.parametrize("budget", [90, 200, 300, 1500])
def test_only_tilts_that_were_tried_are_spoken_of(budget: int) -> None:
    found = search_rates(QuadraticBands([1.0] * 5), range(500), FIVE, budget=budget, **QUIET)
    tried = {tilts.multipliers(probe.tilt, 5) for probe in found.probes}
    known = [set(of_band) for of_band in zip(*tried, strict=True)]
    for band, multipliers in zip(found.bands, known, strict=True):
        assert {band.low, band.high, band.multiplier} <= multipliers
    if budget == 90:
        assert found.reason.startswith(
            "One rate: in 2 probes of 15 updates, nothing else was tried"
        )


def test_the_answer_is_a_tilt_that_was_tried() -> None:
    probes = [
        RatesProbe(10**at, tilt, tilts.multipliers(tilt, 5), 0, score, 1.0, (), 100)
        for tilt, scores in ((1.0, (1.2, 1.0, 1.2)), (1.7, (0.7, 0.5, 0.7)))
        for at, score in zip((-0.5, 0.0, 0.5), scores, strict=True)
    ]
    assert decided(probes, FIVE).tilt == 1.7


def test_slopes_of_another_tilt_are_not_shown() -> None:
    probes = two_tilts(0.15)
    slopes = {1.0: (0.5, 0.4), 3.0: ()}
    probes = [replace(probe, slopes=slopes[probe.tilt]) for probe in probes]
    found = decided(probes, TWO)
    assert found.tilt == 3.0
    assert [band.slope for band in found.bands] == [None, None]
    even = decided([probe for probe in probes if probe.tilt == 1.0], TWO)
    assert [band.slope for band in even.bands] == pytest.approx([0.5, 0.4])


def test_that_rates_are_lower_than_those_of_the_probes_is_told() -> None:
    probes = two_tilts(0.15)
    same, lower = decided(probes, TWO), decided(probes, TWO, longer=0.25)
    assert same.learning_rate is not None
    assert lower.learning_rate == 0.25 * same.learning_rate
    assert (lower.single_rate or 0) == 0.25 * (same.single_rate or 0)
    assert "those of the probes" not in same.reason
    assert "those of the probes" not in decided(probes, TWO, longer=0.998).reason
    assert lower.reason.endswith(
        " The rates are 0.25 times those of the probes, since the training is longer than a probe."
    )


def test_a_small_gain_beside_a_large_constant_is_told() -> None:
    class Constant(QuadraticBands):
        def score(self, batches: Any, stretch: Any = None) -> float:
            return super().score(batches, stretch) + 1e6

    found = search_rates(Constant([1.0] * 5), range(500), FIVE, **QUIET)
    assert found.learning_rate is None
    assert found.reason.startswith("Hardly anything to gain: ")
    assert "lower by 23 at most, of 1e+06 without" in found.reason
    assert "leave large constants out of the loss" in found.reason
