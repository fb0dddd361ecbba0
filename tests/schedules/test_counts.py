"""Schedules that count something else than updates: ``schedule.by("tokens")``.

The oracle is the same schedule, called with the count in the place of the step.
"""

import dataclasses
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

from layerwise import plots
from layerwise.errors import LayerwiseError, ScheduleError
from layerwise.multipliers import Parameter, RuleSpec, first_value, value_at
from layerwise.schedules import (
    Schedule,
    constant,
    cosine,
    counters_of,
    counts_of_start,
    counts_updates,
    cyclic,
    from_function,
    linear,
    values_over,
    warmup,
)
from tests._support.schedules import SCHEDULES

LAWFUL = {text: schedule for text, schedule in SCHEDULES.items() if schedule.length != 0}
COUNTS = np.cumsum([0, 32, 32, 7, 64, 1, 128, 0, 3])
STEPS = np.arange(len(COUNTS))

every = pytest.mark.parametrize("schedule", LAWFUL.values(), ids=list(LAWFUL))


@every
def test_it_is_the_schedule_of_the_count(schedule):
    counted = schedule.by("samples")
    assert counted.counters == {"samples"}
    assert counted.length == schedule.length
    for step, count in zip(STEPS.tolist(), COUNTS.tolist(), strict=True):
        assert counted(step, samples=count) == schedule(count)
        assert counted(samples=count) == schedule(count)
    np.testing.assert_array_equal(counted(STEPS, samples=COUNTS), schedule(COUNTS))
    np.testing.assert_array_equal(counted(samples=COUNTS), schedule(COUNTS))


@pytest.mark.parametrize(
    "call",
    [
        lambda schedule, steps, counts: jax.jit(lambda s, n: schedule(s, tokens=n))(
            jnp.asarray(steps), jnp.asarray(counts)
        ),
        lambda schedule, steps, counts: tf.function(lambda s, n: schedule(s, tokens=n))(
            tf.constant(steps), tf.constant(counts)
        ).numpy(),
        lambda schedule, steps, counts: schedule(
            torch.tensor(steps), tokens=torch.tensor(counts)
        ).numpy(),
    ],
    ids=["jax", "tensorflow", "torch"],
)
def test_in_every_library_and_beside_what_counts_updates(call):
    schedule = warmup(4) * (warmup(40) >> cosine(200)).by("tokens") * 0.5
    expected = warmup(4)(STEPS) * (warmup(40) >> cosine(200))(COUNTS) * 0.5
    np.testing.assert_allclose(call(schedule, STEPS, COUNTS), expected, rtol=1e-6, atol=1e-7)


def test_numbers_may_stand_beside_arrays():
    schedule = linear(10) * linear(100).by("tokens")
    expected = linear(10)(STEPS) * 0.75
    np.testing.assert_array_equal(schedule(STEPS, tokens=25), expected)
    np.testing.assert_array_equal(schedule(STEPS, tokens=np.int64(25)), expected)
    np.testing.assert_array_equal(schedule(STEPS, tokens=25.0), expected)
    np.testing.assert_allclose(schedule(jnp.asarray(STEPS), tokens=25), expected, rtol=1e-6)
    assert schedule(5, tokens=np.float64(25)) == 0.375
    assert float(schedule(5, tokens=jnp.int32(25))) == 0.375
    assert float(schedule(tf.constant(5), tokens=25)) == 0.375
    assert float(schedule(torch.tensor(5), tokens=25.0)) == 0.375
    # A count beyond JAX's 32 bits is still a count.
    assert float((linear(10) * linear(10**11).by("tokens"))(jnp.int32(5), tokens=10**10)) == (
        pytest.approx(0.45)
    )


def test_several_counters():
    schedule = linear(4).by("epochs") * linear(100).by("tokens")
    assert schedule.counters == {"epochs", "tokens"}
    assert schedule.length is None
    assert schedule(epochs=1, tokens=50) == 0.375
    assert schedule(7, epochs=1.5, tokens=50, other=3) == 0.3125
    with pytest.raises(ScheduleError, match="counts epochs, and updates can't stand for that"):
        schedule(7, tokens=50)


def test_lengths_of_products():
    assert (linear(4).by("epochs") * cosine(9).by("epochs")).length == 9
    assert (linear(4) * cosine(9).by("epochs")).length is None
    assert linear(4).by("epochs").clamp(low=0.5).length == 4
    assert linear(4).by("epochs").clamp(low=0.5)(epochs=3) == 0.5


@pytest.mark.parametrize(
    "schedule",
    [linear(9).by("tokens"), linear(9).by("tokens").clamp(high=0.5) * warmup(3)],
    ids=repr,
)
def test_without_its_count_it_is_an_error_and_never_the_updates(schedule):
    for call in (
        lambda: schedule(5),
        lambda: schedule(np.arange(5)),
        lambda: schedule(jnp.arange(5)),
        lambda: jax.jit(schedule)(5),
        lambda: schedule(5, samples=3),
        lambda: values_over(schedule, np.arange(5)),
        lambda: value_at(schedule, 5, "It"),
        lambda: value_at(schedule, 5, "It", counts={"samples": 5}),
    ):
        with pytest.raises(ScheduleError, match=r"tokens.*schedule\(step, tokens=n\)"):
            call()


def test_without_a_step_what_counts_updates_is_an_error():
    with pytest.raises(ScheduleError, match="needs a step"):
        (linear(3) * linear(9).by("tokens"))(tokens=3)
    with pytest.raises(ScheduleError, match="needs a step"):
        linear(3)(tokens=3)


@pytest.mark.parametrize(
    "make",
    [
        lambda counted: counted >> constant(),
        lambda counted: warmup(3) >> counted,
        lambda counted: (counted * 2.0) >> constant(),
        lambda counted: counted.delay(3),
        lambda counted: counted.skip(3),
        lambda counted: counted.cut(3),
        lambda counted: counted.repeat(),
        lambda counted: (counted * warmup(2)).clamp(low=0.1).scale_steps(2),
        lambda counted: counted.by("samples"),
        lambda counted: counted.by("tokens"),
    ],
)
def test_a_moved_clock_has_no_counts(make):
    with pytest.raises(
        ScheduleError, match=r"must count updates alone.*\(a >> b\)\.by\('tokens'\)"
    ):
        make(linear(9).by("tokens"))


@pytest.mark.parametrize("name", ["", "a b", "step", "epoch", "self", "1st", None, 3, b"tokens"])
def test_a_counter_has_a_name(name):
    with pytest.raises(ScheduleError, match="by: counter must be"):
        linear(9).by(name)


@pytest.mark.parametrize("count", ["3", None, float("nan"), 1j, [3]])
def test_what_is_no_count(count):
    with pytest.raises(ScheduleError, match="number of updates applied so far"):
        linear(9).by("tokens")(tokens=count)


def test_arrays_that_do_not_go_together():
    schedule = linear(9) * linear(9).by("tokens")
    for step, count in (
        (np.arange(3), np.arange(4)),
        (jnp.arange(3), torch.arange(3)),
        (torch.tensor(3), np.arange(3)),
    ):
        with pytest.raises(ScheduleError, match="of one library and of one shape"):
            schedule(step, tokens=count)


def test_it_is_a_value():
    schedule = (warmup(10) >> cyclic(5, low=0.1)).by("samples") * warmup(3) * 0.5
    assert repr(schedule) == ("(warmup(10) >> cyclic(5, low=0.1)).by('samples') * warmup(3) * 0.5")
    again = Schedule.from_config(json.loads(json.dumps(schedule.to_config())))
    assert again == schedule == pickle.loads(pickle.dumps(schedule))
    assert hash(again) == hash(schedule)
    assert again.counters == {"samples"}
    assert linear(9).by("samples") != linear(9).by("tokens")


def test_a_function_of_ones_own_by_tokens():
    schedule = from_function(lambda tokens: 1 / (1 + tokens / 10)).by("tokens")
    assert schedule(3, tokens=10) == 0.5


def test_what_values_count():
    values = [0.5, None, abs, linear(9).by("tokens"), linear(9).by("epochs") * warmup(3)]
    assert counters_of(values) == ("epochs", "tokens")
    assert counts_of_start(values) == {"epochs": 0, "tokens": 0}
    assert counters_of([0.5, linear(9)]) == ()
    assert list(map(counts_updates, values[3:])) == [False, True]


def test_values_and_multipliers_at_counts():
    counted = linear(100).by("tokens")
    assert value_at(counted, 3, "It", counts={"tokens": 25, "samples": 1}) == 0.75
    assert value_at(lambda step: step * 2.0, 3, "It", counts={"tokens": 25}) == 6.0
    assert first_value(counted, "It") == 1.0


def test_a_plan_knows_the_start_and_the_counts_that_it_is_given():
    spec = RuleSpec({"head": linear(100).by("tokens")}, schedule=linear(10).by("epochs"))
    names = [Parameter("body/kernel"), Parameter("head/kernel")]
    plan = spec.resolve(names, learning_rate=1.0)
    assert plan.rates(0).tolist() == [1.0, 1.0]
    assert "(10).by('epochs')" in repr(plan.schedule)
    with pytest.raises(ScheduleError, match=r"The schedule counts epochs, .* at step 5"):
        plan.rates(5)
    now = dataclasses.replace(plan, step=5, counts={"tokens": 50, "epochs": 1})
    assert now.rates(5).tolist() == [0.9, 0.45]
    assert now.to_dict()["rate @ 5"] == [0.9, 0.45]
    with pytest.raises(ScheduleError, match=r"'head' counts tokens, .* at step 6"):
        now.multipliers(6)
    assert now.multipliers(6, unknown=2.0).tolist() == [1.0, 2.0]
    assert now.rates(0).tolist() == [1.0, 1.0]


def test_what_a_plan_does_not_know_is_left_out():
    spec = RuleSpec(
        {"a": 0, "b": linear(100).by("tokens"), "c": linear(10)},
        decay_rules={"c": linear(100).by("tokens")},
    )
    names = [Parameter(f"{each}/kernel", weight_decay=0.5) for each in "abcd"]
    plan = spec.resolve(names, learning_rate=0.5, steps=(5,))
    now = dataclasses.replace(plan, step=4, counts={"tokens": 50}, steps=(0, 5))
    columns = now.to_dict()
    assert columns["rate @ 4"] == [0.0, 0.25, 0.3, 0.5]
    assert columns["rate @ 0"] == [0.0, 0.5, 0.5, 0.5]
    assert columns["rate @ 5"] == [0.0, None, 0.25, 0.5]
    assert json.dumps(columns, allow_nan=False)
    assert columns["weight decay"] == [0.5, 0.5, 0.25, 0.5]
    assert dataclasses.replace(now, counts={}).weight_decays(4) == [0.5, 0.5, None, 0.5]
    cells = [line.split() for line in str(now).splitlines() if "kernel" in line]
    assert ["?" in line for line in cells] == [False, True, False, False]
    common = dataclasses.replace(plan, schedule=linear(100).by("tokens"))
    assert common.to_dict()["rate @ 5"] == [0.0, None, None, None]
    many = [Parameter(f"{each}/{place}/kernel") for each in "ab" for place in range(50)]
    rules = {"a": 0.5, "b": linear(100).by("tokens")}
    folded = str(RuleSpec(rules).resolve(many, learning_rate=1.0, steps=(5,)))
    assert len([line for line in folded.splitlines() if "?" in line]) == 1


def test_a_plan_by_tokens_is_not_drawn_over_updates():
    plan = RuleSpec({"a": linear(100).by("tokens")}).resolve([Parameter("a/b")], learning_rate=1.0)
    for draw in (plan.plot, plan.heat_map):
        with pytest.raises(LayerwiseError, match=r"linear\(100\).*counts tokens.*plots.schedule"):
            draw(steps=10)


def test_a_picture_is_over_its_counter():
    axes = plots.schedule(linear(100).by("tokens"))
    assert axes.get_xlabel() == "tokens"
    assert axes.lines[0].get_ydata()[-1] == 0.0
    axes = plots.schedule(linear(64).by("samples") * 0.1 * linear(32).by("samples"))
    assert axes.get_xlabel() == "samples"
    np.testing.assert_allclose(
        np.interp([0, 16, 64], *axes.lines[0].get_data()), [0.1, 0.75 * 0.5 * 0.1, 0.0]
    )
    own = from_function(lambda tokens: 1 / (1 + tokens)).by("tokens")
    assert plots.schedule(own, steps=3).lines[0].get_ydata().tolist() == [1, 1 / 2, 1 / 3, 1 / 4]
    for two, named in (
        (linear(100).by("tokens") * warmup(3), "tokens and updates"),
        (linear(100).by("tokens") * linear(3).by("epochs"), "epochs and tokens"),
    ):
        with pytest.raises(ScheduleError, match=f"counts {named}, .*one by one"):
            plots.schedule(two, steps=5)


@pytest.mark.parametrize(
    "steps",
    [np.array([1.0, np.inf]), jnp.array([1.0, jnp.inf]), torch.tensor([1.0, torch.inf])],
    ids=["numpy", "jax", "torch"],
)
def test_what_is_counted_counts_at_infinite_steps_too(steps):
    assert np.asarray(linear(10).by("tokens")(steps, tokens=5)).tolist() == [0.5, 0.5]
