"""Probes: when they are given up, when slopes are measured, and what they are compared with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from layerwise.finder import QuadraticBands
from layerwise.finder._rates._divisions.divisions import Division
from layerwise.finder._rates.heights import Place
from layerwise.finder._rates.probes import Probes
from tests._support.bowls import Counting

LENGTH = 100


def probes_of(trainer: Any, bands: int = 2, budget: int = 1000, length: int = LENGTH) -> Any:
    """Probes on two divisions, that hold out three batches each; six updates are taken."""
    parts = [
        Division(lambda n, k=k: (n, k), tuple((9000 + n, k) for n in range(3)), 50.0)
        for k in range(2)
    ]
    made = Probes(trainer, trainer.snapshot(), parts, bands, np.ones(length), budget, lambda: None)
    made.score_untrained()
    return made


class Rising(QuadraticBands):
    """Its training loss rises a little with each update, by far too little to have diverged."""

    def train(self, batch: Any, rates: Sequence[float]) -> float:
        return 10.0 + 0.01 * self.updates + 0 * super().train(batch, rates)


def test_a_probe_above_its_first_losses_is_given_up_halfway() -> None:
    probes = probes_of(Rising([1.0, 1.0]))
    probe = probes.run(Place(0.1, 1.0), 0)
    assert probe.score == np.inf
    assert probe.updates == probes.updates - 6 == LENGTH // 2 + 1


def test_slopes_are_measured_for_the_best_probe_so_far() -> None:
    probes = probes_of(Counting([1.0, 1.0], noise=0.0))
    low, high, lower = (probes.run(Place(rate, 1.0), 0) for rate in (0.01, 0.02, 0.005))
    assert low.slopes
    assert high.slopes
    assert not lower.slopes
    assert probes.updates == probes.trainer.taken


# A probe takes 100 updates and 3 for its score; slopes take at most 3 times 8.
@pytest.mark.parametrize(("budget", "measured"), [(109, False), (132, False), (133, True)])
def test_slopes_keep_the_budget(budget: int, measured: bool) -> None:
    probes = probes_of(QuadraticBands([1.0, 1.0]), budget=budget)
    probe = probes.run(Place(0.01, 1.0), 0)
    assert bool(probe.slopes) == measured
    assert probes.updates <= budget


@pytest.mark.parametrize("length", [11, 12, 40])
def test_slopes_take_at_most_a_fourth_of_a_probe(length: int) -> None:
    probes = probes_of(QuadraticBands([1.0, 1.0]), length=length)
    probe = probes.run(Place(0.01, 1.0), 0)
    assert bool(probe.slopes) == (length >= 12)
    assert probe.updates <= length * 1.25 + 3


class Harder(QuadraticBands):
    """The second division is twice as hard, and each update makes any loss a little lower."""

    def score(self, batches: Any, stretch: Any = None) -> float:
        hard = 2.0 if batches[0][1] else 1.0
        return hard * (super().score(batches, stretch) + 5.0) * 0.99**self.updates


def test_what_a_rate_of_0_changes_counts_in_proportion() -> None:
    probes = probes_of(Harder([1.0, 1.0], noise=0.0))
    easy, hard = probes.untrained
    assert hard == 2 * easy
    probes.settle()
    assert probes.untrained == pytest.approx([easy * 0.99**LENGTH, hard * 0.99**LENGTH])


def test_what_divisions_share_is_scored_once() -> None:
    trainer = Counting([1.0, 1.0])
    shared = ((1,), (2,))
    parts = [Division(lambda n: (n,), shared, 50.0) for _ in range(3)]
    probes = Probes(trainer, trainer.snapshot(), parts, 2, np.ones(20), 100, lambda: None)
    probes.score_untrained()
    assert trainer.taken == probes.updates == probes.untrained_cost == 2
    assert len(set(probes.untrained)) == 1
    assert len(probes.untrained) == 3
