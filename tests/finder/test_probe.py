"""The probes' suggestion: right on bowls whose best rate is known, and honest about no gain."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.finder import QuadraticTrainer, SearchOptions, SweepPoints, search
from layerwise.finder._batches import Batches
from layerwise.finder._probes.line_search import STEP, censored, lowest_offset, next_offset
from layerwise.finder._probes.probe import probe
from layerwise.finder._sweep import run_sweep


class Recorded:
    """A trainer, and every update that it was asked for since the last restore."""

    def __init__(self, trainer):
        self.inner = trainer
        self.runs = []
        self.seen = 0

    def snapshot(self):
        return self.inner.snapshot()

    def restore(self, state):
        self.inner.restore(state)
        self.runs.append([])

    def train(self, batch, rate):
        self.runs[-1].append((batch, rate))
        return self.inner.train(batch, rate)

    def count(self):
        self.seen += 1


def swept(rates, losses):
    points = SweepPoints("never")
    for rate, loss in zip(rates.tolist(), losses.tolist(), strict=True):
        points.add(rate, loss)
    return points


def find(trainer, *, steps=100, horizon=None, source=None, high=10.0):
    source = range(1000) if source is None else source
    batches, recorded, points = Batches(source), Recorded(trainer), SweepPoints()
    start = trainer.snapshot()
    recorded.restore(start)
    rates = SearchOptions(high=high, steps=steps).rates
    stopped = run_sweep(rates, points, lambda n, rate: recorded.train(batches[n], rate))
    recorded.runs.clear()
    answer = probe(
        recorded,
        start,
        batches,
        points,
        budget=2 * steps,
        horizon=horizon,
        advance=recorded.count,
    )
    return answer, recorded, points.finding(stopped)


def probe_after_a_steady_fall(trainer, high, budget):
    """Probes after a sweep that saw the loss fall up to its last rate."""
    sweep = swept(np.geomspace(1e-7, high, 100), np.linspace(10, 1, 100))
    return probe(trainer, trainer.snapshot(), Batches(range(99)), sweep, budget=budget)


class Function(QuadraticTrainer):
    """A loss that is a function of the update's number and rate: no network at all."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def train(self, batch, rate):
        self.updates += 1
        return self.loss(batch, rate)


def trained(make, rate, steps):
    trainer = make()
    for step in range(steps):
        trainer.train(5_000 + step, rate * (1 + math.cos(math.pi * step / steps)) / 2)
    return float(np.mean([trainer.train(9_000 + k, 0.0) for k in range(100)]))


@pytest.mark.parametrize(
    ("curvatures", "noise"),
    [
        ((1.0, 0.1, 0.01), 0.1),
        ((100.0, 30.0, 10.0, 1.0), 0.1),
        ((0.03, 0.01, 0.003), 0.05),
        ((1.0, 0.3, 0.1), 1.0),
    ],
)
def test_the_suggestion_trains_about_as_well_as_the_best_of_a_grid(curvatures, noise):
    def make():
        return QuadraticTrainer(curvatures, noise)

    answer, _, _ = find(make(), horizon=400, high=1000.0)
    grid = [trained(make, rate, 400) for rate in np.geomspace(1e-4, 1e3, 57)]
    best, initial = np.nanmin(grid), trained(make, 0.0, 1)
    assert (trained(make, answer.rate, 400) - best) / (initial - best) < 0.02


@pytest.mark.parametrize("steps", [21, 40, 100, 250])
def test_it_keeps_to_its_budget_and_tells_each_update(steps):
    answer, recorded, _ = find(QuadraticTrainer(), steps=steps)
    assert answer.updates == sum(map(len, recorded.runs)) == recorded.seen <= 2 * steps
    assert len(answer.probes) >= 3


def test_all_probes_start_anew_on_the_same_batches_hold_their_rate_and_end_in_a_line():
    answer, recorded, _ = find(QuadraticTrainer())
    untrained, *probes = recorded.runs
    assert all(rate == 0.0 for _, rate in untrained)
    whole = [run for run in probes if len(run) == len(probes[0])]
    assert len(whole) >= 3
    for run in whole:
        assert [batch for batch, _ in run] == list(range(len(run)))
        assert [batch for batch, _ in run[-len(untrained) :]] == [batch for batch, _ in untrained]
        held = round(0.75 * len(run))
        line = [1 - n / (len(run) - held) for n in range(len(run) - held)]
        rates = np.array([rate for _, rate in run]) / run[0][1]
        assert rates == pytest.approx([1.0] * held + line)
    assert [run[0][1] for run in probes] == pytest.approx([p.rate for p in answer.probes])


def test_a_probe_that_breaks_ends_early_and_counts_as_worthless():
    answer = probe_after_a_steady_fall(QuadraticTrainer(), high=1e6, budget=400)
    broken = [done for done in answer.probes if math.isinf(done.score)]
    assert broken
    assert all(done.updates < 20 for done in broken)


def test_a_network_that_is_trained_already_gets_no_suggestion():
    answer, _, _ = find(QuadraticTrainer(noise=1.0, start=0.0))
    assert answer.rate is None
    assert "Nothing to gain" in answer.reason
    assert answer.probes


@pytest.mark.parametrize("value", [1.0, 0.0, -3.0])
def test_a_flat_loss_gets_no_suggestion(value):
    answer, _, _ = find(Function(lambda batch, rate: value))
    assert answer.rate is None
    assert "Nothing to gain" in answer.reason


def test_one_rate_that_clearly_learns_is_enough():
    # At 0.1 every batch falls by 1; at the lowest, 0.03, one of the last seven falls by 9.
    def loss(batch, rate):
        if rate == 0:
            return 10.0
        falls = {0: 1.0, 1: 9.0 * (batch % 6 == 0)}
        return 10.0 - falls[int(trainer.first < 0.05)] - 0.01 * trainer.updates

    class Uneven(Function):
        def train(self, batch, rate):
            self.first = rate if self.updates == 0 else self.first
            return super().train(batch, rate)

    trainer = Uneven(loss)
    answer = probe_after_a_steady_fall(trainer, high=0.1, budget=200)
    lowest_of_all = min(answer.probes, key=lambda done: done.score)
    assert lowest_of_all.rate < 0.05
    assert answer.rate is not None


def test_noise_alone_gets_no_suggestion():
    noise = np.random.default_rng(3).normal(2.0, 0.3, 10_000)
    draws = iter(noise.tolist())
    answer, _, _ = find(Function(lambda batch, rate: next(draws)))
    assert answer.rate is None


class Raised(QuadraticTrainer):
    """A bowl whose loss has a large constant in it."""

    def train(self, batch, rate):
        return 1e6 + super().train(batch, rate)


def test_a_gain_that_is_small_beside_the_loss_is_told_as_that():
    found = search(Raised(), range(500), progress=False)
    assert found.suggestion is None
    least = min(probe.score for probe in found.probes)
    said = re.search(
        r"^Hardly anything to gain: .* lowered the loss by (\S+) at most, from 1e\+06 .* constants",
        found.reason,
    )
    assert 0 < float(said[1]) <= 1.1 * (1e6 + Raised().weights @ Raised().weights - least)


class Uneven(QuadraticTrainer):
    """A bowl whose loss is higher by much on each other batch."""

    def train(self, batch, rate):
        return 1e6 * (batch % 2) + super().train(batch, rate)


def test_batches_that_differ_too_much_are_told():
    found = search(Uneven(), range(500), progress=False)
    assert found.suggestion is None
    assert "batches that are more alike" in found.reason


def test_only_nan_gets_no_suggestion_and_costs_nothing():
    answer, recorded, _ = find(Function(lambda batch, rate: math.nan))
    assert (answer.rate, answer.updates, recorded.runs) == (None, 0, [])
    assert "NaN" in answer.reason


def test_nan_in_the_data_gets_no_suggestion():
    answer, _, _ = find(Function(lambda batch, rate: math.nan if batch % 2 else 1.0))
    assert answer.rate is None
    assert "before any training" in answer.reason


def test_where_the_sweep_shows_nothing_probes_may_still_find_it():
    sweep = swept(np.geomspace(1e-7, 10, 100), np.ones(100))
    assert sweep.finding("reached the upper rate").suggestion is None
    trainer = QuadraticTrainer()
    answer = probe(trainer, trainer.snapshot(), Batches(range(99)), sweep, budget=200)
    assert 0.1 < answer.rate < 2


def test_too_small_a_budget_leaves_the_curve_and_says_so():
    answer, recorded, sweep = find(QuadraticTrainer(), steps=15)
    assert answer.rate == sweep.suggestion
    assert "sweep more steps" in answer.reason
    assert recorded.runs == []


def test_data_that_ends_makes_probes_shorter():
    answer, recorded, sweep = find(QuadraticTrainer(), source=iter(range(30)), high=1e-2)
    assert sweep.stopped == "data ended"
    assert max(map(len, recorded.runs)) == 30
    assert answer.probes


def test_probes_are_no_longer_than_the_training():
    answer, recorded, _ = find(QuadraticTrainer(), horizon=12)
    assert max(map(len, recorded.runs)) == 12
    assert answer.rate is not None


def test_no_answer_is_above_the_sweep_and_no_probe_far_above():
    answer, _, sweep = find(QuadraticTrainer((0.3, 0.1)), high=1.0)
    assert 1.0 < max(done.rate for done in answer.probes) <= 10**0.5 + 1e-9
    assert answer.rate <= 1.0
    assert sweep.stopped == "reached the upper rate"


@pytest.mark.parametrize("horizon", [100, 1000, 10_000, None])
def test_a_longer_training_gets_the_same_answer(horizon):
    make = lambda: QuadraticTrainer((1.0,) * 5 + (1e-4,) * 50)  # noqa: E731
    assert find(make(), horizon=horizon)[0] == find(make(), horizon=400)[0]


def test_losses_below_zero_are_as_good_as_any():
    class Shifted(QuadraticTrainer):
        def train(self, batch, rate):
            return super().train(batch, rate) - 1000.0

    plain, shifted = (find(make())[0] for make in (QuadraticTrainer, Shifted))
    # A loss without a known bottom: only the correction for the length differs.
    assert [p.rate for p in shifted.probes][:3] == [p.rate for p in plain.probes][:3]
    assert plain.rate / 4 < shifted.rate < plain.rate * 4


scores = st.dictionaries(
    st.integers(-12, 12).map(lambda k: k / 4),
    st.one_of(st.floats(-5, 5), st.just(math.inf)),
    min_size=1,
    max_size=7,
)


@given(scores, st.floats(0, 4))
def test_the_next_place_is_new_and_not_above_the_ceiling(tried, ceiling):
    ceiling = max(ceiling, *tried)
    place = next_offset(tried, worst=6.0, ceiling=ceiling)
    assert place not in tried
    assert place <= ceiling


@given(st.floats(-2, 2), st.floats(0.1, 10), st.floats(-5, 5))
def test_the_walk_ends_around_the_bottom_of_a_bowl(bottom, bend, height):
    tried = {}
    place = 0.0
    for _ in range(9):
        tried[place] = height + bend * (place - bottom) ** 2
        place = next_offset(tried, worst=math.inf, ceiling=9.0)
    assert min(abs(at - bottom) for at in tried) <= STEP / 2
    assert lowest_offset(tried, worst=math.inf) == pytest.approx(bottom, abs=1e-6)


@given(scores)
def test_what_holds_above_a_break_counts_as_broken(tried):
    broken = [place for place in tried if math.isinf(tried[place])]
    first = min(broken, default=math.inf)
    kept = censored(tried)
    assert {p: s for p, s in kept.items() if p < first} == {
        p: s for p, s in tried.items() if p < first
    }
    assert all(math.isinf(kept[place]) for place in tried if place >= first)


def test_no_answer_is_above_a_rate_that_broke():
    # Probes at a tenth of the rate that the sweep leads to break, and at that rate hold by luck.
    class Lucky(QuadraticTrainer):
        def train(self, batch, rate):
            self.first = rate if self.updates == 0 else self.first
            loss = super().train(batch, min(rate, 0.3))
            return math.nan if 0.05 < self.first < 0.5 else loss

    answer = probe_after_a_steady_fall(Lucky(), high=10, budget=400)
    assert any(math.isfinite(done.score) and done.rate > 0.5 for done in answer.probes)
    assert any(math.isinf(done.score) for done in answer.probes)
    assert answer.rate < 0.5


@given(scores, st.floats(5, 50))
def test_the_lowest_place_is_between_the_best_ones_neighbours(tried, worst):
    found = lowest_offset(tried, worst)
    tried = censored(tried)
    places = sorted(tried)
    number = places.index(min(places, key=tried.__getitem__))
    below, above = places[max(number - 1, 0)], places[min(number + 1, len(places) - 1)]
    assert below <= found <= above
