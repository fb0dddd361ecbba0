"""search_rates: what it answers where the answer is known, its budget, and how it ends."""

import math
from typing import Any

import numpy as np
import pytest

from layerwise.errors import FinderError
from layerwise.finder import Bands, QuadraticBands, RatesOptions, RatesProbe, search_rates
from layerwise.finder._rates import tilts
from layerwise.finder._rates.answer import Searched, answer
from layerwise.finder._rates.search import lengths
from layerwise.schedules import from_function

TWO = Bands((("body",), ("head",)))
FIVE = Bands(tuple((f"layer{n}",) for n in range(5)))
QUIET: dict[str, Any] = {"progress": False}


class Misled(QuadraticBands):
    """A bowl whose bands are drawn to other goals by what is trained on than by what is held out.

    The bands in ``misled`` lose by every step that they take.
    """

    def __init__(self, bands: int, misled: set[int]) -> None:
        super().__init__([1.0] * bands, start=1.0, noise=0.05)
        self.misled = [n in misled for n in range(bands)]

    def train(self, batch: Any, rates: Any) -> float:
        goals, self.goals = self.goals, np.where(self.misled, 4.0, 0.0)
        try:
            return super().train(batch, rates)
        finally:
            self.goals = goals

    def score(self, batches: Any, stretch: Any = None) -> float:
        goals, self.goals = self.goals, np.where(self.misled, 1.0, 0.0)
        try:
            return super().score(batches, stretch) + 0.01
        finally:
            self.goals = goals


def test_only_the_head_where_the_body_is_misled() -> None:
    found = search_rates(Misled(5, {0, 1, 2, 3}), range(500), FIVE, **QUIET)
    assert found.tilt == 0.0
    assert dict(found.rules) == {f"layer{n}": 0.0 for n in range(4)}
    assert found.reason.startswith("Only the head, nothing below gains: ")
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


def test_one_band_has_one_rate() -> None:
    found = search_rates(QuadraticBands([1.0]), range(500), Bands((("all",),)), **QUIET)
    assert {probe.tilt for probe in found.probes} == {1.0}
    assert dict(found.rules) == {}
    assert found.reason.startswith("There is one band, so one rate")


class Counting(QuadraticBands):
    """Counts updates and scored batches over the whole search."""

    taken = 0

    def train(self, batch: Any, rates: Any) -> float:
        self.taken += 1
        return super().train(batch, rates)

    def score(self, batches: Any, stretch: Any = None) -> float:
        self.taken += len(batches)
        return super().score(batches, stretch)


@pytest.mark.parametrize("budget", [100, 300, 1000, 3000])
def test_the_budget_is_kept_and_told(budget: int) -> None:
    trainer = Counting([1.0] * 5)
    found = search_rates(trainer, range(100), FIVE, budget=budget, **QUIET)
    assert trainer.taken == found.updates <= budget
    assert found.updates > 0.6 * budget
    assert sum(probe.updates for probe in found.probes) < found.updates


def test_probes_are_no_longer_than_the_training() -> None:
    found = search_rates(QuadraticBands([1.0] * 5), range(100), FIVE, horizon=40, **QUIET)
    assert max(probe.updates for probe in found.probes) < 40 + 30
    assert len(found.probes) > 15
    assert "40 updates" in found.training
    assert RatesOptions(horizon=9000).updates == 3000


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


class Negative(QuadraticBands):
    """Has losses below 0, as log-likelihoods have."""

    def train(self, batch: Any, rates: Any) -> float:
        return super().train(batch, rates) - 50

    def score(self, batches: Any, stretch: Any = None) -> float:
        return super().score(batches, stretch) - 50


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


@pytest.mark.parametrize("budget", [300, 1000, 1500, 3000, 10_000])
def test_more_budget_is_more_and_longer_probes(budget: int) -> None:
    sweep, length = lengths(RatesOptions(budget=budget))
    less, shorter = lengths(RatesOptions(budget=budget // 2))
    assert sweep >= less
    assert length > shorter
    assert budget // length > (budget // 2) // shorter or budget < 1000


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


@pytest.mark.parametrize(
    ("bands", "options"),
    [
        (Bands((("all",),)), {"divisions": 2, "budget": 4800}),
        (Bands((("all",),)), {"budget": 6000}),
        (TWO, {"horizon": 20, "budget": 6000}),
        (TWO, {"horizon": 12, "budget": 6000, "divisions": 1}),
    ],
    ids=["one band, two divisions", "one band", "short trainings", "one division"],
)
def test_when_every_place_has_been_seen_it_ends(bands: Bands, options: dict[str, Any]) -> None:
    trainer = QuadraticBands([1.0] * len(bands.parameters))
    found = search_rates(trainer, range(100), bands, **options, **QUIET)
    divisions = options.get("divisions", 4)
    assert {probe.division for probe in found.probes} == set(range(divisions))
    tried = [(probe.rate, probe.tilt, probe.division) for probe in found.probes]
    assert len(set(tried)) == len(tried)


def test_the_budget_is_spent_on_other_divisions_when_the_first_is_done() -> None:
    trainer = QuadraticBands([1.0, 1.0])
    found = search_rates(trainer, range(100), TWO, horizon=20, budget=6000, **QUIET)
    assert found.updates > 5000


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


def test_given_batches_are_scored_untrained_once() -> None:
    trainer = Counting([1.0] * 5)
    scored: list[int] = []
    score = trainer.score

    def counted(batches: Any, stretch: Any = None) -> float:
        if not trainer.updates:
            scored.append(len(batches))
        return score(batches, stretch)

    trainer.score = counted  # type: ignore[method-assign]
    search_rates(trainer, range(100), FIVE, held_out=range(200, 205), budget=300, **QUIET)
    assert scored == [5, 1, 1]  # the others to see whether a rate of 0 moves anything


def test_of_negative_losses_the_reason_tells_shares_of_the_gain() -> None:
    found = search_rates(Negative([1.0] * 5), range(100), FIVE, budget=600, **QUIET)
    assert "of what was gained at most" in found.reason or "no other tilt" in found.reason


@pytest.mark.parametrize(("share", "believed"), [(0.04, False), (0.15, True)])
def test_a_division_has_to_be_worth_it(share: float, believed: bool) -> None:
    # Exact scores: even the smaller difference is many times its error.
    probes = [
        RatesProbe(
            rate=10**place / tilts.spread(tilt, 2) * 2,
            tilt=tilt,
            multipliers=tilts.multipliers(tilt, 2),
            division=division,
            score=math.exp(0.55 * place**2) * (1 - share if tilt == 3.0 else 1.0),
            train_loss=1.0,
            slopes=(),
            updates=100,
        )
        for division in range(4)
        for place in (-0.5, -0.25, 0.0, 0.25, 0.5)
        for tilt in (1.0, 3.0)
    ]
    found = answer(
        Searched(
            bands=TWO,
            probes=probes,
            untrained=[4.0] * 4,
            middle=1.0,
            decades=1.5,
            length=100,
            training="a training",
            note="",
            longer=1.0,
            updates=4000,
            ended="finished",
        )
    )
    assert found.gain == pytest.approx(share, abs=0.02)
    assert found.gain > found.gain_error
    assert found.tilt == (3.0 if believed else 1.0)
    assert found.reason.startswith("One rate is as good") != believed


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


@pytest.mark.parametrize("options", [{"divisions": 200}, {"divisions": 40, "budget": 120}])
def test_a_budget_that_is_too_small_is_refused_before_any_training(options: Any) -> None:
    trainer = Counting([1.0] * 5)
    with pytest.raises(FinderError, match=r"^A budget of .* takes \d+ after the \d+ before it"):
        search_rates(trainer, range(2000), FIVE, **options, **QUIET)
    assert trainer.taken == 0


def test_to_score_as_many_batches_as_an_update_takes_counts_as_one() -> None:
    one = search_rates(QuadraticBands([1.0] * 5), range(2000), FIVE, **QUIET)
    several = search_rates(QuadraticBands([1.0] * 5), range(2000), FIVE, accumulate=8, **QUIET)
    assert abs(len(several.probes) - len(one.probes)) <= 1
    assert several.updates <= 1500


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


@pytest.mark.parametrize("budget", [100, 200, 300, 1500])
def test_only_tilts_that_were_tried_are_spoken_of(budget: int) -> None:
    found = search_rates(QuadraticBands([1.0] * 5), range(500), FIVE, budget=budget, **QUIET)
    tried = {tilts.multipliers(probe.tilt, 5) for probe in found.probes}
    known = [set(of_band) for of_band in zip(*tried, strict=True)]
    for band, multipliers in zip(found.bands, known, strict=True):
        assert {band.low, band.high, band.multiplier} <= multipliers
    if budget == 100:
        assert found.reason.startswith(
            "One rate: in 3 probes of 14 updates, nothing else was tried"
        )


def test_a_better_tilt_that_was_not_tried_is_not_the_answer() -> None:
    probes = [
        RatesProbe(0.1 * 10**at, tilt, tilts.multipliers(tilt, 5), 0, score, 1.0, (), 100)
        for tilt, scores in ((1.0, (1.2, 1.0, 1.2)), (1.7, (0.7, 0.5, 0.7)))
        for at, score in zip((-0.5, 0.0, 0.5), scores, strict=True)
    ]
    searched = Searched(
        *(FIVE, probes, [4.0] * 4, 0.1, 1.5, 100, "a training", "", 1.0, 600, "finished")
    )
    assert answer(searched).tilt in (1.0, 1.7)
