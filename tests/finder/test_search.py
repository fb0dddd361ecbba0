"""The search on trainers without a framework: what it sees, what it leaves, what it refuses."""

import math

import numpy as np
import pytest

from layerwise.errors import FinderError
from layerwise.finder import QuadraticTrainer, search


class Watched(QuadraticTrainer):
    """Notes what it is asked, and can break."""

    def __init__(self, loss=None, breaks_at=None, error=RuntimeError, **arguments):
        super().__init__(**arguments)
        self.asked = []
        self.restored = 0
        self.loss = loss
        self.breaks_at = breaks_at
        self.error = error

    def restore(self, state):
        super().restore(state)
        self.restored += 1

    def train(self, batch, rate):
        if self.breaks_at == len(self.asked):
            raise self.error("broken on purpose")
        self.asked.append((batch, rate))
        loss = super().train(batch, rate)
        return loss if self.loss is None else self.loss(batch, rate)


def quietly(trainer, batches=range(1000), **arguments):
    return search(trainer, batches, progress=False, **arguments)


def test_the_curve_is_that_of_a_loop_by_hand():
    found = quietly(QuadraticTrainer(), low=1e-3, high=1.0, steps=20, method="sweep")
    by_hand = QuadraticTrainer()
    rates = np.geomspace(1e-3, 1.0, 20)
    assert found.rates == tuple(rates)
    assert found.losses == tuple(by_hand.train(n, rate) for n, rate in enumerate(rates))
    assert found.stopped == "reached the upper rate"
    assert found.updates == 20


def test_a_linear_sweep():
    found = quietly(QuadraticTrainer(), low=0.1, high=1.0, steps=10, spacing="linear")
    assert found.rates == pytest.approx([0.1 * n for n in range(1, 11)], rel=1e-12)


@pytest.mark.parametrize("method", ["probe", "sweep"])
def test_nothing_is_left_changed(method):
    trainer = QuadraticTrainer()
    before = trainer.weights.copy()
    quietly(trainer, method=method)
    assert trainer.updates == 0
    assert trainer.weights.tolist() == before.tolist()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [0, 5, 120])
def test_nothing_is_left_changed_when_training_breaks(error, at):
    trainer = Watched(breaks_at=at, error=error)
    before = trainer.weights.copy()
    with pytest.raises(error, match="on purpose"):
        quietly(trainer)
    assert len(trainer.asked) == at
    assert trainer.weights.tolist() == before.tolist()
    assert trainer.updates == 0


def test_twice_gives_the_same():
    trainer = QuadraticTrainer()
    assert quietly(trainer) == quietly(trainer)


def test_the_suggestion_trains_to_nearly_the_best_of_a_grid():
    def trained(rate, steps=400):
        trainer = QuadraticTrainer()
        losses = [
            trainer.train(n, rate * (1 + math.cos(math.pi * n / steps)) / 2) for n in range(steps)
        ]
        assert trainer.updates == steps
        return losses[0], float(trainer.curvatures @ trainer.weights**2 / 2)

    grid = [trained(rate) for rate in np.geomspace(1e-3, 1.9, 60)]
    initial, best = grid[0][0], min(end for _, end in grid)
    found = quietly(QuadraticTrainer())
    assert (trained(found.suggestion)[1] - best) / (initial - best) <= 0.01


def test_the_probes_cost_at_most_two_sweeps():
    trainer = Watched()
    found = quietly(trainer, steps=50)
    assert found.updates == len(trainer.asked) <= 150
    assert sum(p.updates for p in found.probes) + len(found.rates) <= found.updates


def test_probes_see_the_batches_of_the_sweep():
    trainer = Watched()
    found = quietly(trainer, iter(range(1000)))
    sweep = [batch for batch, _ in trainer.asked[: len(found.rates)]]
    assert sweep == list(range(len(sweep)))
    probed = {batch for batch, _ in trainer.asked[len(found.rates) :]}
    assert probed <= set(range(200))
    assert min(probed) == 0


def test_data_that_can_be_gone_through_again_is():
    trainer = Watched()
    found = quietly(trainer, [1, 2, 3], high=0.1, method="sweep", steps=10)
    assert [batch for batch, _ in trainer.asked] == [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]
    assert found.stopped == "reached the upper rate"


def test_an_iterator_that_ends():
    found = quietly(QuadraticTrainer(), iter(range(12)), method="sweep", steps=20, high=0.1)
    assert found.stopped == "data ended"
    assert len(found.losses) == 12


def test_an_iterator_that_ends_while_probing():
    trainer = QuadraticTrainer()
    found = quietly(trainer, iter(range(60)), low=1e-3, high=1.0)
    assert found.stopped == "data ended"
    assert trainer.updates == 0


@pytest.mark.parametrize(
    ("loss", "word"),
    [
        pytest.param(lambda batch, rate: math.nan, "finite", id="nan"),
        pytest.param(lambda batch, rate: 1.0, "", id="flat"),
        pytest.param(lambda batch, rate: math.inf, "finite", id="inf"),
    ],
)
def test_a_curve_without_an_honest_answer(loss, word):
    trainer = Watched(loss=loss)
    found = quietly(trainer)
    assert found.suggestion is None
    assert word in found.reason
    assert found.group_rates == {}
    assert trainer.updates == 0


def test_one_bad_batch_does_not_end_the_sweep():
    trainer = Watched(loss=lambda batch, rate: math.nan if batch == 4 else 3.0 - batch / 10)
    found = quietly(trainer, steps=20, method="sweep")
    assert len(found.losses) == 20
    assert math.isnan(found.losses[4])
    assert all(map(math.isfinite, found.smoothed))


def test_broken_losses_end_it():
    trainer = Watched(loss=lambda batch, rate: math.nan if batch > 14 else 3.0 - batch / 10)
    found = quietly(trainer, steps=50, method="sweep")
    assert found.stopped == "diverged"
    assert len(found.losses) == 18


def test_groups_have_their_share_of_the_suggestion():
    found = quietly(QuadraticTrainer(), group_factors={"backbone": 0.1, "head": 1.0})
    assert found.group_rates == {"backbone": found.suggestion * 0.1, "head": found.suggestion}


@pytest.mark.parametrize("batches", [[], iter([])], ids=["list", "iterator"])
def test_no_batch(batches):
    trainer = Watched()
    with pytest.raises(FinderError, match="no batch"):
        quietly(trainer, batches)
    assert trainer.asked == []


def test_the_bar_is_on_standard_error_and_can_be_off(capfd, monkeypatch):
    search(QuadraticTrainer(), range(1000), steps=10)
    assert capfd.readouterr() == ("", "")  # no terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    search(QuadraticTrainer(), range(1000), steps=10, progress=False)
    assert capfd.readouterr() == ("", "")
    search(QuadraticTrainer(), range(1000), steps=10)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "Finding a learning rate" in shown.err


def test_probes_are_scored_on_what_is_held_out():
    trainer = Watched()
    found = quietly(trainer, range(1000), held_out=iter([5001, 5002, 5003]), steps=50)
    scored = [(batch, rate) for batch, rate in trainer.asked if batch > 5000]
    assert {batch for batch, _ in scored} == {5001, 5002, 5003}
    assert {rate for _, rate in scored} == {0.0}
    whole = [probe for probe in found.probes if math.isfinite(probe.score)]
    assert len(scored) == 3 * (1 + len(whole))
    assert found.updates == len(trainer.asked) <= 150


def test_a_score_is_the_loss_on_what_is_held_out():
    found = quietly(QuadraticTrainer(), range(1000), held_out=[5001, 5002])
    best = min(found.probes, key=lambda probe: probe.score)
    again = QuadraticTrainer()
    length = best.updates - 2
    for number in range(length):
        falling = length - round(0.75 * length)
        again.train(number, best.rate * min(1, (length - number) / falling))
    assert best.score == pytest.approx(np.mean([again.train(b, 0.0) for b in (5001, 5002)]))


def test_of_much_that_is_held_out_only_some_is_used():
    found = quietly(QuadraticTrainer(), range(1000), held_out=range(5000, 9000))
    assert found.updates <= 300


def test_nothing_held_out_is_an_error():
    with pytest.raises(FinderError, match="held_out has no batch"):
        quietly(QuadraticTrainer(), held_out=[])
