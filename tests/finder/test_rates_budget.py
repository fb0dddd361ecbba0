"""search_rates: its budget is told, kept and spent."""

from typing import Any

import pytest

from layerwise.errors import FinderError
from layerwise.finder import Bands, QuadraticBands, RatesOptions, search_rates
from layerwise.finder._rates.search import lengths
from tests._support.bowls import FIVE, TWO, Counting

QUIET: dict[str, Any] = {"progress": False}


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


@pytest.mark.parametrize("budget", [300, 1000, 1500, 3000, 10_000])
def test_more_budget_is_more_and_longer_probes(budget: int) -> None:
    sweep, length = lengths(RatesOptions(budget=budget))
    less, shorter = lengths(RatesOptions(budget=budget // 2))
    assert sweep >= less
    assert length > shorter
    assert budget // length > (budget // 2) // shorter or budget < 1000


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


@pytest.mark.parametrize("options", [{"divisions": 200}, {"divisions": 40, "budget": 120}])
def test_a_budget_that_is_too_small_is_refused_before_any_training(options: Any) -> None:
    trainer = Counting([1.0] * 5)
    with pytest.raises(FinderError, match=r"^A budget of .* takes \d+ updates after the \d+ that"):
        search_rates(trainer, range(2000), FIVE, **options, **QUIET)
    assert trainer.taken == 0


def test_to_score_as_many_batches_as_an_update_takes_counts_as_one() -> None:
    one = search_rates(QuadraticBands([1.0] * 5), range(2000), FIVE, **QUIET)
    several = search_rates(QuadraticBands([1.0] * 5), range(2000), FIVE, accumulate=8, **QUIET)
    assert abs(len(several.probes) - len(one.probes)) <= 1
    assert several.updates <= 1500
