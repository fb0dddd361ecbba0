"""The course of a training: what a probe of that shape does, and for which training it stands."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise import (
    constant,
    cosine,
    cyclic,
    exponential,
    from_function,
    inverse_sqrt,
    linear,
    one_cycle,
    piecewise_constant,
    reduce_on_plateau,
    warmup,
    warmup_stable_decay,
)
from layerwise.errors import ConfigError, FinderError
from layerwise.finder import LRFinding, QuadraticTrainer, relative_course, search
from layerwise.finder._course import (
    check_course,
    end_of,
    known_course,
    longer_factor,
    probe_factors,
    training_length,
)

SHAPES = [
    cosine(400),
    linear(400, end=0.2),
    warmup(40) >> cosine(360),
    one_cycle(400),
    warmup_stable_decay(400, warmup=40, decay=80),
    piecewise_constant([200, 300], [1.0, 0.1, 0.01]),
    cyclic(50, low=0.1).cut(400),
    0.3 * cosine(400),
    from_function(lambda step: max(1 - step / 400, 0.0)),
]


def found(*, trainer=None, **options):
    return search(trainer or QuadraticTrainer(), range(2000), progress=False, **options)


@pytest.mark.parametrize("length", [1, 10, 48, 97])
def test_a_constant_rate_is_held_to_the_end(length):
    assert probe_factors("constant", length).tolist() == [1.0] * length
    assert probe_factors(constant(0.5), length).tolist() == [0.5] * length


def test_a_falling_rate_is_held_for_three_quarters_and_then_goes_to_0_in_a_line():
    for horizon in (None, 20, 1000):
        factors = probe_factors("falling", 48, horizon)
        assert factors == pytest.approx([1.0] * 36 + [1 - n / 12 for n in range(12)])


@pytest.mark.parametrize("schedule", SHAPES, ids=repr)
@pytest.mark.parametrize("length", [7, 60, 400])
def test_a_probe_as_long_as_the_training_is_the_training(schedule, length):
    factors = probe_factors(schedule, length, horizon=length)
    assert factors.tolist() == [schedule(step) for step in range(length)]


@pytest.mark.parametrize("schedule", SHAPES, ids=repr)
def test_a_probe_has_the_schedules_own_values_up_to_its_peak_and_its_end(schedule):
    factors = probe_factors(schedule, 48)
    values = np.array([schedule(step) for step in range(533)])
    assert set(factors.tolist()) <= set(values.tolist())
    assert factors.max() == pytest.approx(values.max(), rel=0.011)
    assert factors[-1] <= values[340:].max()


def test_a_warm_up_takes_the_same_share_of_the_probe():
    factors = probe_factors(warmup(100) >> cosine(300), 40)
    rising = np.diff(factors) > 0
    assert 8 <= rising.sum() <= 11
    assert rising[:8].all()
    assert factors[:8] == pytest.approx([0.045 + 0.1 * n for n in range(8)], abs=0.011)


def test_what_follows_the_peak_is_held_for_longer():
    squeezed = cosine(400)((np.arange(48) + 0.5) / 48 * 400)
    factors = probe_factors(cosine(400), 48)
    assert (factors >= squeezed - 1e-3).all()
    assert factors.mean() > squeezed.mean() + 0.2
    assert factors[-1] < 0.1
    assert (np.diff(factors) <= 0).all()


@given(st.integers(1, 300), st.integers(2, 5000))
def test_factors_never_leave_the_schedules_range(length, horizon):
    schedule = warmup(50) * inverse_sqrt(50)
    factors = probe_factors(schedule, min(length, horizon), horizon)
    assert len(factors) == min(length, horizon)
    assert 0 <= factors.min() <= factors.max() <= 1


@pytest.mark.parametrize(
    ("schedule", "total"),
    [
        (cosine(400), 400),
        (warmup(40) >> cosine(360), 400),
        (warmup(40), 400),  # nobody trains through a warm-up alone
        (warmup(40) >> constant(), 400),
        (linear(50, start=0.1, end=1.0), 500),
        (piecewise_constant([150, 300], [1.0, 0.1, 0.01]), 400),  # it goes on after its last step
        (cosine(4), 4),
        (from_function(lambda step: max(1 - step / 400, 0.0)), 400),
        (from_function(lambda step: min(step / 40, 1.0)), 400),
        (from_function(lambda step: 1.0), None),
        (constant(), None),
        ("constant", None),
    ],
    ids=repr,
)
def test_the_length_of_a_training_is_read_from_its_schedule(schedule, total):
    assert training_length(schedule) == total
    assert training_length(schedule, 123) == 123


@pytest.mark.parametrize(
    ("factor", "end"),
    [
        (lambda step: 0.1 if 1100 <= step < 1200 else 1.0, 1200),
        (lambda step: 0.0 if step < 600 else max(0.0, 1 - (step - 600) / 400), 1000),
        (lambda step: 1.0 if step < 100 or 700 <= step < 800 else 0.1, 800),
        (lambda step: float(9000 <= step < 10_000), 10_000),
    ],
    ids=["a dip", "0, and then a line", "twice the same", "a pulse"],
)
def test_a_function_may_stand_at_its_last_value_before_its_end(factor, end):
    assert end_of(from_function(factor)) == end


def test_an_error_calls_a_function_by_its_name():
    with pytest.raises(FinderError, match=r"^schedule=the optimizer's decay must be above 0"):
        check_course(from_function(lambda step: 0.0, name="the optimizer's decay"))


@pytest.mark.parametrize(
    "schedule",
    [
        exponential(0.9),
        inverse_sqrt(100),
        cyclic(50, low=0.1),
        from_function(lambda step: 0.99**step),
        from_function(lambda step: [1.0, 0.5][step]),
    ],
    ids=repr,
)
def test_what_never_arrives_needs_a_horizon(schedule):
    assert end_of(schedule) is None
    with pytest.raises(FinderError, match=r"^schedule=.* has no end, .*: pass horizon=, "):
        found(schedule=schedule)
    course, note = known_course(schedule)
    assert course is None
    assert "pass horizon=" in note
    assert check_course(schedule, horizon=2) is schedule


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("rising", r"^schedule must be one of 'falling', 'constant', or a schedule .* 'rising'\.$"),
        (0.1, r"^schedule must be one of .*, got 0\.1\.$"),
        (lambda step: 1.0, r"^schedule must be one of .* Wrap a function: `from_function\("),
        (constant(0.0), r"^schedule=constant\(0\.0\) must be above 0 somewhere: "),
        (0.0 * cosine(90), r"must be above 0 somewhere"),
        (
            from_function(lambda step: 1 - step / 50, length=90),
            r"must be finite and at least 0, got -",
        ),
        (
            from_function(lambda step: math.nan, length=9),
            r"must be finite .*, got nan at step 0\.$",
        ),
    ],
)
def test_shapes_that_make_no_sense(wrong, message):
    trainer = QuadraticTrainer()
    with pytest.raises(FinderError, match=message):
        found(trainer=trainer, schedule=wrong)
    assert trainer.updates == 0


def test_the_curve_alone_knows_no_shape():
    with pytest.raises(FinderError, match="'constant' must be left out with method='sweep'"):
        found(method="sweep", schedule="constant")
    assert found(method="sweep").schedule == "falling"


def test_a_rate_that_is_held_is_lower_the_longer_it_is_held():
    assert longer_factor("falling", 50, 5000) == 1.0
    assert longer_factor("constant", 50, 800) == pytest.approx(0.5)
    assert longer_factor("constant", 50) == pytest.approx((1 / 8) ** 0.25)
    assert longer_factor("constant", 50, 30) == 1.0
    assert longer_factor(constant(0.3), 50, 800) == pytest.approx(0.5)
    assert longer_factor(cosine(800), 50) == longer_factor(one_cycle(800), 50) == 1.0
    assert longer_factor(linear(800, end=0.5), 50) == pytest.approx(0.5**0.5, rel=0.02)


def test_data_that_comes_again_asks_for_lower_rates_in_longer_trainings() -> None:
    assert longer_factor("falling", 50, 800, repeats=0.5) == pytest.approx((1 / 16) ** 0.0125)
    assert longer_factor("falling", 50, 800, repeats=20) == pytest.approx((1 / 16) ** 0.5)
    assert longer_factor("constant", 50, 800, repeats=5) == pytest.approx(0.5)
    assert longer_factor("constant", 50, 800, repeats=50) == pytest.approx((1 / 16) ** 0.5)
    assert longer_factor(cosine(800), 50, repeats=40) == pytest.approx((1 / 16) ** 0.5)
    assert longer_factor("falling", 50, repeats=40) == 1.0  # how long it will be isn't known
    assert longer_factor("falling", 50, 30, repeats=40) == 1.0


def held(rate, factors, seeds):
    """What a bowl's loss is after such a training, over some orders of the batches."""
    losses = []
    for seed in range(seeds):
        trainer = QuadraticTrainer((1.0, 0.3, 0.1, 0.03), noise=0.5)
        for step, factor in enumerate(factors.tolist()):
            trainer.train(10_000 * (seed + 1) + step, rate * factor)
        losses.append(float(np.sum(trainer.curvatures * trainer.weights**2) / 2))
    return float(np.mean(losses))


@pytest.mark.parametrize("horizon", [400, 1600])
def test_a_constant_training_ends_lower_at_the_rate_that_is_for_it(horizon):
    trainer = QuadraticTrainer((1.0, 0.3, 0.1, 0.03), noise=0.5)
    falling = found(trainer=trainer).suggestion
    steady = found(trainer=trainer, schedule="constant", horizon=horizon).suggestion
    assert steady < falling
    factors = np.ones(horizon)
    assert held(steady, factors, 8) < 0.8 * held(falling, factors, 8)


def test_the_answer_is_the_rate_that_the_schedule_is_a_factor_on():
    whole, half = (found(schedule=schedule) for schedule in (cosine(400), 0.5 * cosine(400)))
    assert half.suggestion == pytest.approx(2 * whole.suggestion, rel=1e-6)
    assert [p.rate for p in half.probes] == pytest.approx([2 * p.rate for p in whole.probes])
    assert [p.score for p in half.probes] == pytest.approx([p.score for p in whole.probes])


def test_longer_probes_before_a_long_training():
    assert found(horizon=800).updates <= 300 < found(horizon=1600).updates <= 500
    assert found(horizon=10**6).updates <= 500
    assert found(schedule=cosine(1600)).updates > 300
    assert max(probe.updates for probe in found(horizon=1600).probes) == 96


def test_a_finding_says_for_which_training_it_is():
    ways = {
        "falling": {},
        "constant": {"schedule": "constant"},
        "cosine(400)": {"schedule": cosine(400)},
    }
    for text, options in ways.items():
        finding = found(**options)
        assert finding.schedule == text
        config = json.loads(json.dumps(finding.to_config(), allow_nan=False))
        assert config["schedule"] == text
        assert LRFinding.from_config(config) == finding
    assert "a training whose rate goes to 0." in found().reason
    assert (
        "its rate stays as it is for 900 updates" in found(schedule="constant", horizon=900).reason
    )
    assert "whose rate follows cosine(400)." in found(schedule=cosine(400)).reason


def test_a_finding_of_another_version_is_refused():
    with pytest.raises(ConfigError, match="version 1, but this Layerwise reads version 2"):
        LRFinding.from_config(found().to_config() | {"version": 1})


def test_what_the_optimizer_says_counts_where_no_schedule_is_given():
    same = found(schedule=cosine(400))
    assert found(course=cosine(400)) == same
    assert found(course=constant(), schedule=cosine(400)) == same
    assert found(course=constant(), method="sweep") == found(method="sweep")


@pytest.mark.parametrize("course", [exponential(0.9), 0.0 * cosine(9), from_function(lambda s: -1)])
def test_what_can_not_be_searched_for_is_said(course):
    plain, other = found(), found(course=course)
    assert other.suggestion == plain.suggestion
    assert other.reason.startswith(plain.reason)
    assert len(other.reason) > len(plain.reason)
    assert other.schedule == "falling"


def test_rates_become_factors_on_their_highest():
    relative = relative_course((warmup(10) >> cosine(90)) * 3e-4)
    assert [relative(step) for step in (0, 5, 10, 55, 100)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert relative_course(exponential(0.5)) == exponential(0.5)
    assert relative_course(exponential(0.5) * 8, horizon=4)(1) == 0.5


@pytest.mark.parametrize(
    ("course", "by"),
    [
        (linear(100).by("tokens"), "tokens"),
        (cosine(10**6).by("samples") * 0.5, "samples"),
        (reduce_on_plateau("loss"), "a metric"),
    ],
)
def test_what_is_no_function_of_the_update_is_no_course(course, by):
    for horizon in (None, 400):
        with pytest.raises(FinderError, match=rf"is moved by {by}, and a probe has only updates"):
            check_course(course, horizon)
        found, note = known_course(course, horizon)
        assert found is None
        assert f"counts {by}" in note or f"is moved by {by}" in note
    assert relative_course(linear(100).by("tokens"), 400) == linear(100).by("tokens")
