"""Schedules as plain JSON data and back, and what a config can't hold."""

import json

import pytest

from layerwise.errors import ConfigError, ScheduleError
from layerwise.schedules import Schedule, cosine, from_function, linear, warmup
from tests._support.schedules import FUNCTIONS, SCHEDULES, Sawtooth, inverse_time


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_round_trip_through_json(schedule):
    text = json.dumps(schedule.to_config(), allow_nan=False)
    again = Schedule.from_config(json.loads(text), functions=FUNCTIONS)
    assert again == schedule
    assert repr(again) == repr(schedule)
    assert again.to_config() == schedule.to_config()


def test_a_config_in_full():
    assert (warmup(5) >> cosine(95, end=0.1).repeat(2)).to_config() == {
        "version": 1,
        "schedule": {
            "name": "then",
            "arguments": {
                "parts": [
                    {"name": "warmup", "arguments": {"steps": 5, "start": 0.0}},
                    {
                        "name": "repeat",
                        "arguments": {
                            "schedule": {
                                "name": "cosine",
                                "arguments": {"steps": 95, "start": 1.0, "end": 0.1, "k": 1.0},
                            },
                            "times": 2,
                            "decay": 1.0,
                        },
                    },
                ]
            },
        },
    }


def test_left_out_arguments_have_their_defaults():
    config = {"version": 1, "schedule": {"name": "cosine", "arguments": {"steps": 7}}}
    assert Schedule.from_config(config) == cosine(7)


def test_a_function_without_a_name_has_no_config_and_says_what_to_do():
    schedule = warmup(5) >> from_function(inverse_time)
    with pytest.raises(ConfigError) as caught:
        schedule.to_config()
    assert 'from_function(f, name="...")' in str(caught.value)
    assert 'Schedule.from_config(config, functions={"...": f})' in str(caught.value)
    assert "inverse_time" in str(caught.value)


def test_a_named_function_must_be_given():
    config = from_function(inverse_time, name="mine").to_config()
    with pytest.raises(ConfigError, match=r"functions=\{'mine': f\}"):
        Schedule.from_config(config)
    assert Schedule.from_config(config, functions={"mine": inverse_time}).function is inverse_time


def test_a_class_of_ones_own_is_given_like_a_function():
    schedule = warmup(5) >> Sawtooth(4)
    config = json.loads(json.dumps(schedule.to_config()))
    with pytest.raises(ConfigError, match=r"Unknown schedule 'Sawtooth'"):
        Schedule.from_config(config)
    assert Schedule.from_config(config, functions={"Sawtooth": Sawtooth}) == schedule


def test_a_class_of_ones_own_may_not_take_a_built_in_name():
    own = type("cosine", (Sawtooth,), {})
    with pytest.raises(ConfigError, match="rename"):
        own(4).to_config()


def test_a_class_reads_configs_of_its_own_kind_alone():
    assert cosine.from_config(cosine(7).to_config()) == cosine(7)
    with pytest.raises(ConfigError, match=r"describes linear\(10\), which is no cosine"):
        cosine.from_config(linear(10).to_config())


def test_only_plain_data_is_written():
    class Odd(Schedule):
        def evaluate(self, clock):
            return clock.real()

        def config_arguments(self):
            return {"what": object()}

    with pytest.raises(ConfigError, match="can't hold <object"):
        Odd().to_config()


GOOD = linear(10).to_config()


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ("cosine(10)", "must be a dict with 'version' and 'schedule'"),
        (None, "must be a dict with 'version' and 'schedule'"),
        ({"schedule": GOOD["schedule"]}, "must be a dict with 'version' and 'schedule'"),
        ({**GOOD, "more": 1}, "must be a dict with 'version' and 'schedule'"),
        ({**GOOD, "version": 2}, "has version 2, but this Layerwise reads version 1"),
        ({**GOOD, "version": "1"}, "has version '1', but"),
        ({**GOOD, "version": True}, "has version True, but"),
        ({**GOOD, "schedule": "linear"}, "'name' and 'arguments'"),
        ({**GOOD, "schedule": {"name": "linear"}}, "'name' and 'arguments'"),
        ({**GOOD, "schedule": {"name": 3, "arguments": {}}}, "name must be a string"),
        ({**GOOD, "schedule": {"name": "linear", "arguments": [10]}}, "arguments a dict"),
        ({**GOOD, "schedule": {"name": "lineal", "arguments": {}}}, "Unknown schedule 'lineal'"),
        ({**GOOD, "schedule": {"name": "Schedule", "arguments": {}}}, "Unknown schedule"),
        ({**GOOD, "schedule": {"name": "_Ramp", "arguments": {}}}, "Unknown schedule"),
        ({**GOOD, "schedule": {"name": "linear", "arguments": {}}}, "takes end, start, steps"),
        (
            {**GOOD, "schedule": {"name": "linear", "arguments": {"steps": 3, "stop": 1}}},
            "the config has steps, stop",
        ),
    ],
)
def test_a_config_that_is_none(config, match):
    with pytest.raises(ConfigError, match=match):
        Schedule.from_config(config)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("linear", {"steps": -1}),
        ("linear", {"steps": None}),
        ("linear", {"steps": {"name": "linear", "arguments": {"steps": 1}}}),
        ("then", {"parts": 3}),
        ("then", {"parts": [1, 2]}),
        ("then", {"parts": []}),
        ("product", {"schedules": []}),
        ("product", {"schedules": "linear"}),
        ("delay", {"schedule": 3, "steps": 4}),
        ("piecewise_constant", {"boundaries": 3, "values": [1.0]}),
    ],
)
def test_an_argument_in_a_config_is_checked_like_any_other(name, arguments):
    config = {"version": 1, "schedule": {"name": name, "arguments": arguments}}
    with pytest.raises(ScheduleError):
        Schedule.from_config(config)
