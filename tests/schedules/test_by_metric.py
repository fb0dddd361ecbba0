"""Plateaus: a pure function of a metric's history, and the schedules that they move."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise import cosine, gradual_unfreezing, on_plateau, plateau, reduce_on_plateau
from layerwise.errors import ConfigError, MultiplierError, ScheduleError
from layerwise.multipliers import rules_from_config, rules_to_config
from layerwise.schedules import PlateauDecisions, Schedule, constant, plateaus_in, replace_by_metric

values = st.one_of(st.floats(-4, 4).map(lambda x: round(x, 1)), st.just(math.nan))


def by_hand(history, patience, min_delta, cooldown, sign):
    """Where it fires, written out as a loop."""
    best, waited, resting, found = math.inf, 0, 0, []
    for place, value in enumerate(history):
        if sign * value < best - min_delta:
            best, waited = sign * value, 0
        else:
            waited += 1
        if resting:
            resting, waited = resting - 1, 0
        if waited >= patience:
            found.append(place)
            waited, resting = 0, cooldown
    return found


@given(
    st.lists(values, max_size=40),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.25]),
    st.integers(0, 3),
    st.sampled_from(["min", "max"]),
)
def test_it_fires_where_a_loop_does(history, patience, min_delta, cooldown, mode):
    when = plateau("m", patience, mode, min_delta, cooldown=cooldown)
    sign = 1 if mode == "min" else -1
    assert when.firings(history) == by_hand(history, patience, min_delta, cooldown, sign)


@given(st.lists(values, max_size=30), st.integers(0, 30))
def test_decisions_go_on_from_their_config(history, cut):
    falling = reduce_on_plateau("m", 0.5, 2)
    whole, first = PlateauDecisions([falling.decision]), PlateauDecisions([falling.decision])
    for value in history:
        whole.report(value)
    for value in history[:cut]:
        first.report({"m": value, "other": 3.0})
    second = PlateauDecisions([falling.decision])
    second.load(json.loads(json.dumps(first.to_config())))
    for value in history[cut:]:
        second.report(value)
    assert second.states == whole.states
    assert second.applied_to(falling)(7) == 0.5 ** whole.states[falling.decision].fired


def test_a_metric_moves_what_is_inside_other_schedules_too():
    falling = cosine(10) * reduce_on_plateau("m", 0.5, 1)
    decisions = PlateauDecisions(plateaus_in([falling, 0.5, max]))
    for value in (1.0, 1.0, 1.0):
        decisions.report(value)
    now = decisions.applied_to(falling)
    np.testing.assert_array_equal(now(np.arange(12)), cosine(10)(np.arange(12)) * 0.25)
    assert falling(0) == 1.0
    assert replace_by_metric(cosine(3), lambda each: constant(9.0)) == cosine(3)


def test_they_have_a_config():
    for schedule in (
        reduce_on_plateau("loss", 0.3, 4, minimum=0.1, restore_best=True, fired=2) * cosine(3),
        on_plateau(plateau("accuracy", mode="max"), [0.0, 0.5, 1.0]),
    ):
        config = json.loads(json.dumps(schedule.to_config()))
        assert Schedule.from_config(config) == schedule
    rules = gradual_unfreezing(when=plateau("loss", 3), groups=2)
    assert rules_from_config(json.loads(json.dumps(rules_to_config(rules)))) == rules
    assert rules_from_config(rules_to_config(gradual_unfreezing(5))) == gradual_unfreezing(5)


def test_levels_thaw_one_after_the_other():
    stem, body, head = gradual_unfreezing(when=plateau("loss")).multipliers(3)
    assert [(stem.after(k), body.after(k)) for k in range(3)] == [(0, 0), (0, 1), (1, 1)]
    assert head == 1.0
    assert reduce_on_plateau("loss", 0.5, minimum=0.2).table() == [1.0, 0.5, 0.25, 0.2]


@pytest.mark.parametrize("arguments", [{}, {"every": 3, "when": plateau("loss")}])
def test_unfreezing_needs_steps_or_a_plateau(arguments):
    with pytest.raises(MultiplierError, match="either every="):
        gradual_unfreezing(**arguments)


@pytest.mark.parametrize("metric", ["val_accuracy", "acc", "val/auc", "f1_score"])
def test_what_is_better_has_to_be_said(metric):
    with pytest.raises(ScheduleError, match="mode must be given"):
        plateau(metric)
    assert plateau(metric, mode="max", patience=1).firings([0.5, 0.6, 0.5]) == [2]


def test_bad_reports_change_nothing():
    decisions = PlateauDecisions([plateau("a", 1), plateau("b", 1)])
    for report, message in (
        (0.5, "must be a mapping"),
        ({"c": 1.0}, "must have 'a', 'b'"),
        ({"a": "low"}, "must be a number"),
    ):
        with pytest.raises(ScheduleError, match=message):
            decisions.report(report)
    assert all(state == when.start() for when, state in decisions.states.items())
    with pytest.raises(ScheduleError, match="Nothing here"):
        PlateauDecisions().report(1.0)
    with pytest.raises(ConfigError):
        decisions.load([{"when": 3}])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_relative_difference_is_a_share_of_the_best_value_s_size(mode):
    sign = 1 if mode == "min" else -1
    when = plateau("m", 1, mode, 0.1, relative=True)
    for best in (-10.0, 10.0):
        start = when.after(when.start(), best)
        assert not when.is_better(best - sign * 0.9, start.best)
        assert when.is_better(best - sign * 1.1, start.best)
        assert not when.is_better(best + sign * 0.5, start.best)
    worse = [sign * value for value in (-10, -9.5, -9.2, -8.9)]
    assert when.firings(worse) == [1, 2, 3]
