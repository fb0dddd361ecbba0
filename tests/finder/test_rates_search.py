"""search_rates: where it looks, its options, and how it ends."""

import json
import math
from typing import Any

import numpy as np
import pytest

from layerwise.errors import FinderError
from layerwise.finder import QuadraticBands, RatesFinding, search_rates
from layerwise.schedules import cosine
from tests._support.bowls import FIVE, TWO, Counting, Misled, Negative

QUIET: dict[str, Any] = {"progress": False}


@pytest.mark.parametrize("curvature", [0.01, 1.0, 30.0])
def test_the_first_probes_look_to_both_sides_of_the_middle(curvature: float) -> None:
    found = search_rates(QuadraticBands([curvature] * 5), range(500), FIVE, **QUIET)
    looks, others = found.probes[:3], found.probes[3:]
    middle = looks[0].rate
    assert {probe.tilt for probe in looks} == {1.0}
    assert [probe.rate for probe in looks] == pytest.approx(
        [middle, middle / 10**0.5, middle * 10**0.5], rel=1e-5
    )
    reaches = np.log10([probe.rate * sum(probe.multipliers) / 5 / middle for probe in others])
    assert np.allclose(4 * reaches, np.round(4 * reaches), atol=1e-4)  # known places
    assert np.abs(reaches).max() < 1.51


def test_the_middle_moves_down_while_nothing_is_gained() -> None:
    # Whatever moves the upper bands loses, so one rate for all never gains.
    found = search_rates(Misled(5, {2, 3, 4}), range(500), FIVE, **QUIET)
    rates = [probe.rate for probe in found.probes[:3]]
    assert rates == pytest.approx([rates[0], rates[0] / 10**0.5, rates[0] / 10], rel=1e-5)
    assert all(p.score > found.untrained[p.division] for p in found.probes[:3])


def test_probes_take_turns_on_the_divisions() -> None:
    found = search_rates(QuadraticBands([1.0] * 5), range(500), FIVE, divisions=3, **QUIET)
    count = len(found.probes)
    assert [probe.division for probe in found.probes] == [n % 3 for n in range(count)]


def test_everything_is_as_it_was() -> None:
    trainer = QuadraticBands([1.0] * 5)
    trainer.train((0,), [0.1] * 5)
    weights, updates = trainer.snapshot()
    search_rates(trainer, range(100), FIVE, budget=300, **QUIET)
    assert trainer.weights.tolist() == weights.tolist()
    assert trainer.updates == updates


def test_the_same_again() -> None:
    first, again = (
        search_rates(QuadraticBands([1.0] * 5), range(100), FIVE, budget=400, **QUIET)
        for _ in range(2)
    )
    assert first == again
    other = search_rates(QuadraticBands([1.0] * 5), range(100), FIVE, budget=400, seed=1, **QUIET)
    assert other.probes != first.probes


class Ending(QuadraticBands):
    """Raises after some updates."""

    def __init__(self, error: type[BaseException], after: int) -> None:
        super().__init__([1.0] * 5)
        self.error, self.left = error, after

    def train(self, batch: Any, rates: Any) -> float:
        self.left -= 1
        if not self.left:
            raise self.error
        return super().train(batch, rates)


def test_interrupted_it_answers_with_what_it_has() -> None:
    trainer = Ending(KeyboardInterrupt, 600)
    found = search_rates(trainer, range(100), FIVE, **QUIET)
    assert found.ended == "stopped by the user"
    assert found.learning_rate is not None
    assert 2 < len(found.probes) < 10
    assert trainer.weights.tolist() == [3.0] * 5


@pytest.mark.parametrize(
    ("error", "after"), [(KeyboardInterrupt, 50), (ZeroDivisionError, 50), (ZeroDivisionError, 600)]
)
def test_what_ends_it_leaves_everything_as_it_was(error: type[BaseException], after: int) -> None:
    trainer = Ending(error, after)
    with pytest.raises(error):
        search_rates(trainer, range(100), FIVE, **QUIET)
    assert trainer.weights.tolist() == [3.0] * 5


def test_losses_may_be_negative() -> None:
    found = search_rates(Negative([1.0] * 5), range(100), FIVE, **QUIET)
    assert 0.02 < (found.learning_rate or 0) < 1.5
    assert min(probe.score for probe in found.probes) < -45


def test_slopes_say_which_band_wants_to_go_further() -> None:
    # At one rate for all, the first band, which is flat, is far from its goal.
    trainer = QuadraticBands([0.02, 1.0], noise=0.0)
    found = search_rates(trainer, range(100), TWO, budget=1500, **QUIET)
    measured = [probe for probe in found.probes if probe.slopes and probe.tilt == 1.0]
    probe = measured[-1]  # the best of them
    flat, steep = probe.slopes
    assert flat is not None
    assert steep is not None
    assert flat < -0.001 < steep + 0.001
    assert found.bands[0].slope is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, r"^budget must be a whole number of at least 1, got 0\.$"),
        ({"budget": 20}, r"^A budget of 20 updates is too small for one probe"),
        ({"horizon": 5}, r"^horizon must be at least 10 .* got 5"),
        ({"share": 1.0}, r"^share must be below 1, got 1\.0"),
        ({"share": 0.0}, r"^share must be a finite number above 0, got 0\.0\.$"),
        ({"low": 2.0, "high": 1.0}, r"^low=2\.0 must be below high=1\.0: "),
        ({"most_bands": 0}, r"^most_bands must be a whole number of at least 1, got 0\.$"),
        ({"divisions": 0}, r"^divisions must be a whole number of at least 1, got 0\.$"),
        ({"seed": -1}, r"^seed must be a whole number of at least 0, got -1\.$"),
        ({"memory": "disk"}, r"^memory must be one of 'device', 'host', got 'disk'\.$"),
        ({"accumulate": 0}, r"^accumulate must be a whole number of at least 1, got 0\.$"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    trainer = QuadraticBands([1.0] * 5)
    with pytest.raises(FinderError, match=message):
        search_rates(trainer, range(100), FIVE, **QUIET | options)
    assert trainer.updates == 0


class BrokenAtTheEnd(QuadraticBands):
    """Has held-out losses that are no numbers after high rates."""

    def score(self, batches: Any, stretch: Any = None) -> float:
        found = super().score(batches, stretch)
        return math.nan if found > 30 else -math.inf if found < -1 else found


def test_a_held_out_loss_that_is_no_number_counts_as_broken() -> None:
    found = search_rates(BrokenAtTheEnd([1.0] * 5), range(500), FIVE, low=0.5, high=1.99, **QUIET)
    assert found.learning_rate is not None

    class Always(QuadraticBands):
        def score(self, batches: Any, stretch: Any = None) -> float:
            return super().score(batches) if not self.updates else math.nan

    none = search_rates(Always([1.0] * 5), range(100), FIVE, budget=300, **QUIET)
    assert none.learning_rate is None
    assert {probe.score for probe in none.probes} == {math.inf}


def test_where_data_comes_again_often_the_search_begins_lower() -> None:
    few, much = (
        search_rates(QuadraticBands([1.0] * 5), range(count), FIVE, **QUIET).probes[0].rate
        for count in (10, 500)
    )
    assert few < 0.6 * much


def test_of_the_sweeps_the_lower_suggestion_counts() -> None:
    class Steeper(QuadraticBands):
        """Steep, and so best at a lower rate, in all but the first sweep."""

        restored = 0

        def restore(self, state: Any) -> None:
            super().restore(state)
            self.restored += 1  # the first time for the scores without training
            self.curvatures = np.full(5, 1.0 if self.restored == 2 else 100.0)

    mild = search_rates(QuadraticBands([1.0] * 5), range(500), FIVE, **QUIET).probes[0].rate
    steep = search_rates(QuadraticBands([100.0] * 5), range(500), FIVE, **QUIET).probes[0].rate
    mixed = search_rates(Steeper([1.0] * 5), range(500), FIVE, **QUIET).probes[0].rate
    assert steep < 0.2 * mild
    assert mixed < 0.2 * mild


class Overfitting(QuadraticBands):
    """A bowl whose held-out loss stays well above the training loss."""

    def score(self, batches: Any, stretch: Any = None) -> float:
        return super().score(batches, stretch) + 5.0


@pytest.mark.parametrize(("kind", "higher"), [(QuadraticBands, True), (Overfitting, False)])
def test_where_the_sweep_ends_too_low_the_search_goes_up(kind: Any, higher: bool) -> None:
    found = search_rates(kind([1.0] * 5), range(500), FIVE, low=1e-5, high=1e-2, **QUIET)
    middle = found.probes[0].rate
    above = [probe.rate for probe in found.probes[2:6] if probe.tilt == 1.0]
    wanted = [middle * 10 ** (0.5 * steps) for steps in (1, 2, 3, 4)]
    assert (above == pytest.approx(wanted, rel=1e-5)) == higher
    if higher:
        assert min(probe.score for probe in found.probes) < 0.1  # without it, above 0.6


class Below(QuadraticBands):
    """A bowl whose losses are all below 0."""

    def train(self, batch: Any, rates: Any) -> float:
        return super().train(batch, rates) - 1000.0

    def score(self, batches: Any, stretch: Any = None) -> float:
        return super().score(batches, stretch) - 1000.0


def test_the_search_goes_up_also_where_losses_are_below_0() -> None:
    found = search_rates(Below([1.0] * 5), range(500), FIVE, low=1e-5, high=1e-2, **QUIET)
    middle = found.probes[0].rate
    above = [probe.rate / middle for probe in found.probes[2:5]]
    assert above == pytest.approx([10**0.5, 10, 10**1.5], rel=1e-5)


def test_where_hardly_anything_happens_the_middle_moves_up() -> None:
    class Idle(QuadraticBands):
        """Gains nothing below a rate of 1e-3, and hardly loses."""

        def score(self, batches: Any, stretch: Any = None) -> float:
            found = super().score(batches, stretch)
            return max(found, 22.5) + 0.001 * self.updates / 100 if found > 20 else found

    found = search_rates(Idle([1.0] * 5), range(500), FIVE, low=1e-7, high=1e-4, **QUIET)
    rates = [probe.rate for probe in found.probes[:2]]
    assert rates[1] == pytest.approx(rates[0] * 10**0.5, rel=1e-5)


def test_noise_in_the_held_out_loss_is_no_drift() -> None:
    class Noisy(Counting):
        """Scores with noise, as dropout makes it."""

        still = 0
        random = np.random.default_rng(0)

        def train(self, batch: Any, rates: Any) -> float:
            self.still += not any(rates)
            return super().train(batch, rates)

        def score(self, batches: Any, stretch: Any = None) -> float:
            return super().score(batches, stretch) * (1 + 0.01 * self.random.normal())

    noisy = Noisy([1.0] * 5)
    search_rates(noisy, range(500), FIVE, **QUIET)
    assert noisy.still == 1


@pytest.mark.parametrize("peak", [1e-5, 1e-2, 30.0])
def test_a_schedule_may_be_the_rates_themselves(peak: float) -> None:
    one, other = (
        search_rates(
            QuadraticBands([1.0] * 5), range(500), FIVE, schedule=cosine(400) * highest, **QUIET
        )
        for highest in (1.0, peak)
    )
    assert (one.learning_rate or 0) == pytest.approx((other.learning_rate or 0) * peak, rel=1e-4)
    assert min(p.score for p in other.probes) < 0.1


@pytest.mark.parametrize("curvature", np.geomspace(0.01, 30, 12).tolist())
def test_one_place_is_one_place(curvature: float) -> None:
    options: dict[str, Any] = {"low": 1e-5, "high": 1e-2} if curvature > 1 else {}
    found = search_rates(QuadraticBands([curvature] * 5), range(500), FIVE, **options, **QUIET)
    places = {(probe.rate, probe.tilt) for probe in found.probes}
    assert len(places) == len({(round(np.log10(rate), 3), tilt) for rate, tilt in places})


def test_a_trainer_may_have_losses_of_other_types() -> None:
    class Small(QuadraticBands):
        def train(self, batch: Any, rates: Any) -> Any:
            return np.float32(super().train(batch, rates))

        def score(self, batches: Any, stretch: Any = None) -> Any:
            return np.float32(super().score(batches, stretch))

    found = search_rates(Small([1.0, 1.0]), range(100), TWO, **QUIET)
    assert RatesFinding.from_config(json.loads(json.dumps(found.to_config()))) == found
