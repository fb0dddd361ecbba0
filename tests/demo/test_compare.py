"""The whole comparison, small, and that its trainings differ only in what they should."""

import json

import keras
import numpy as np
import pytest

from layerwise.demo import WAYS, Backend, Digits, Settings, compare, use_backend
from layerwise.demo._compare import _rates
from layerwise.demo._network import evaluated, in_batches, new_weights, with_backbone
from layerwise.demo._ways import LAYERWISE
from layerwise.errors import FinderError
from layerwise.finder import LRFinding, RatesFinding
from layerwise.recorder import History

SETTINGS = Settings(seeds=2, steps=12, sweep=40, pretraining=4, budget=120)
HEAD = 2  # its kernel and bias, the last two weights


# Keras on the backend of this leg, and in one of the legs what runs without Keras.
BACKENDS = [Backend(keras.backend.backend())]
if BACKENDS == [Backend.JAX]:
    BACKENDS += [Backend.TORCH_NATIVE, Backend.OPTAX]


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module", params=BACKENDS)
def framework(request):
    return use_backend(request.param)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def comparison(framework, told, runs):
    told.clear()
    folder = runs / framework.name
    return compare(
        framework, SETTINGS, lambda name, updates: told.append((name, updates)), runs=folder
    )


@pytest.fixture(scope="module")
def digits():
    random = np.random.default_rng(5)
    images = random.random((30, 16, 16, 1), dtype=np.float32)
    return Digits(images, np.arange(30) % 10)


def seen(digits, steps):
    return in_batches(digits, steps, np.random.default_rng(8))


def test_every_way_is_measured_in_every_draw(comparison):
    assert [result.way for result in comparison.results] == list(WAYS)
    for result in comparison.results:
        assert len(result.draws) == 2
        assert all(0 <= draw.accuracy <= 1 for draw in result.draws)
        assert all(0 < draw.loss < 100 for draw in result.draws)
    assert comparison.tested == 1797 - 800
    assert comparison.backend in BACKENDS


def test_each_draw_trains_at_what_was_found_in_its_labels(comparison):
    for result in comparison.results:
        findings = [draw.finding for draw in result.draws]
        assert findings[0] != findings[1]
        for draw in result.draws:
            assert draw.finding.updates <= 3 * 40
            assert len(draw.finding.probes) > 1
            if result.way.rules is None:
                assert draw.rate == draw.finding.learning_rate
                assert draw.rules == draw.finding.rules
            else:
                assert draw.rate == draw.finding.suggestion
                assert draw.rules == result.way.rules


def test_the_rates_of_all_layers_are_searched_in_one_way(comparison):
    [result] = [result for result in comparison.results if result.way.rules is None]
    assert result.way.name == "rates found"
    assert result.draws[0].finding == comparison.found
    assert len(comparison.found.bands) == 5
    assert "12 updates" in comparison.found.training
    assert max(probe.updates for probe in comparison.found.probes) < 40


def test_every_way_has_a_run(comparison, runs):
    for result in comparison.results:
        run = runs / comparison.backend / result.way.folder
        history = History.load(run)
        assert history.batch["step"].tolist() == list(range(12))
        assert np.isfinite(history.batch["loss"]).all()
        first = result.draws[0]
        if result.way.rules is None:
            assert RatesFinding.from_config(history.found_rates) == first.finding
        else:
            assert LRFinding.from_config(history.finding) == first.finding
        assert history.epoch["val_accuracy"][-1] == first.accuracy
        assert history.epoch["val_mean_accuracy"][-1] == result.accuracy
        assert history.epoch["val_mean_loss"][-1] == result.loss
        curves = list(history.rates.values()) or [history.batch["rate"]]
        cosine = (1 + np.cos(np.pi * np.arange(12) / 12)) / 2
        assert np.max(curves, axis=0) == pytest.approx(first.rate * cosine, rel=1e-5)
        assert len(history.plan["of"]) == 10


def test_progress_ends_at_the_announced_number_of_updates(comparison, told):
    assert sum(updates for _, updates in told) == SETTINGS.updates == 4 + 5 * 2 * (3 * 40 + 12)
    assert {name for name, _ in told} == {"pretraining", *(way.name for way in WAYS)}


def test_the_plan_is_the_layer_wise_one_at_the_rate_of_the_first_draw(comparison):
    layerwise = comparison.of(LAYERWISE)
    rules = dict.fromkeys(
        (row.parameter.name.replace(".", "/").split("/")[-2], row.value)
        for row in comparison.plan.rows
    )
    assert [name for name, _ in rules] == ["conv_1", "conv_2", "conv_3", "dense", "head"]
    assert [value for _, value in rules] == pytest.approx([0.3**k for k in (4, 3, 2, 1, 0)])
    assert comparison.plan.learning_rate == pytest.approx(layerwise.draws[0].rate)  # a float32


def test_it_is_plain_data(comparison):
    data = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert data["settings"]["sweep"] == 40
    for way, result in zip(data["ways"], comparison.results, strict=True):
        assert way["rates"] == [draw.rate for draw in result.draws]
        assert way["losses"] == [draw.loss for draw in result.draws]
        assert way["accuracies"] == list(result.accuracies)
        assert len(way["rules"]) == 2
    assert data["ways"][2]["rules"] == ["layer_decay(0.3)"] * 2
    assert len(data["plan"]["parameter"]) == 10


def test_a_frozen_backbone_does_not_move_and_its_head_does(framework, digits):
    [frozen] = [way for way in WAYS if way.name == "frozen backbone"]
    start = new_weights(1)
    trained = framework.trainer(frozen.rules, 5).train(start, 1e-2, seen(digits, 5))
    for before, after in zip(start[:-HEAD], trained[:-HEAD], strict=True):
        np.testing.assert_array_equal(after, before)
    assert all((a != b).any() for a, b in zip(start[-HEAD:], trained[-HEAD:], strict=True))


def test_a_trainer_starts_again_as_if_new(framework, digits):
    start = new_weights(1)
    trainer = framework.trainer({}, 5)
    first = trainer.train(start, 1e-3, seen(digits, 5))
    other = trainer.train(new_weights(2), 1e-2, seen(digits, 5))
    again = trainer.train(start, 1e-3, seen(digits, 5))
    assert (first[0] != other[0]).any()
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_search_for_rates_is_the_same_in_every_run(framework, digits):
    found = []
    for seed in (3, 4):
        keras.utils.set_random_seed(seed)  # other processes have other random numbers
        found.append(framework.find_rates(new_weights(1), digits, 12, 120))
    assert found[0].probes == found[1].probes
    assert found[0].learning_rate == found[1].learning_rate


def test_training_learns_and_the_test_shows_it(framework, digits):
    start = new_weights(1)
    trained = framework.trainer({}, 60).train(start, 3e-3, seen(digits, 60))
    before, after = (evaluated(framework, weights, digits) for weights in (start, trained))
    assert after[0] < before[0] - 0.3
    assert after[1] > before[1] + 0.3
    assert evaluated(framework, start, digits) == before


def test_the_test_loss_is_the_cross_entropy(framework, digits):
    logits = framework.scores(new_weights(1), digits.images).astype(np.float64)
    right = np.exp(logits)[np.arange(30), digits.labels] / np.exp(logits).sum(axis=1)
    loss, _ = evaluated(framework, new_weights(1), digits)
    assert loss == pytest.approx(-np.log(right).mean(), rel=1e-9)


@pytest.mark.skipif(len(BACKENDS) == 1, reason="compares frameworks; runs in the leg of JAX")
def test_all_frameworks_have_the_same_network_and_training(digits):
    """The same layout, padding, rates and order of batches."""
    [way] = [way for way in WAYS if way.name == "layer-wise rates"]
    start = new_weights(1)
    frameworks = [use_backend(backend) for backend in BACKENDS]
    first, *others = [framework.scores(start, digits.images) for framework in frameworks]
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-5)  # float32 sums in another order
    trained = [
        framework.trainer(way.rules, 12).train(start, 1e-3, seen(digits, 12))
        for framework in frameworks
    ]
    for weights, before in zip(zip(*trained, strict=True), start, strict=True):
        ours, *theirs = [(after - before).ravel() for after in weights]
        assert np.linalg.norm(ours) > 1e-4
        for moved in theirs:
            # Keras adds Adam's epsilon in another place, which small gradients feel at first:
            # up to a tenth of a step here. Where it is not felt, tests/parity has 1e-5.
            assert np.linalg.norm(moved - ours) < 0.2 * np.linalg.norm(ours)


def test_a_new_head_on_a_pretrained_backbone():
    old, new = new_weights(1), new_weights(2)
    both = with_backbone(new, old)
    origins = [old] * (len(old) - HEAD) + [new] * HEAD
    for place, (weight, origin) in enumerate(zip(both, origins, strict=True)):
        np.testing.assert_array_equal(weight, origin[place])


def test_equal_seeds_start_equally_and_others_do_not():
    first, again, other = (new_weights(seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_draw_without_an_answer_has_the_mean_of_the_others():
    way = WAYS[0]
    some = [
        LRFinding((), (), (), "diverged", rate, "probe", "Nothing.") for rate in (0.1, None, 0.4)
    ]
    assert _rates(way, some) == pytest.approx([0.1, 0.2, 0.4])
    with pytest.raises(FinderError, match=r"^No rate is found for single rate"):
        _rates(way, some[1:2])
