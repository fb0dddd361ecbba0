import json
import re
from functools import partial
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.errors import ConfigError, MultiplierError
from layerwise.multipliers import (
    discriminative,
    gradual_unfreezing,
    layer_decay,
    override,
    rules_from_config,
    rules_to_config,
    value_from_config,
    value_to_config,
)
from layerwise.schedules import constant, cosine, from_function, warmup
from tests._support import rules as own


def halving(step):
    return 0.5**step


FUNCTIONS = {"my_package>halving": halving}


def name_of(function):
    return next((name for name, known in FUNCTIONS.items() if known is function), None)


def through_json(config):
    # Sorted, as Keras does when it saves: the order of rules must not hang on it.
    return json.loads(json.dumps(config, sort_keys=True, allow_nan=False))


RULES = [
    None,
    {},
    [],
    {"a": 0.5},
    {"z": 0.5, "a": 1, "m": 0},
    {"a": warmup(5) >> cosine(10)},
    {"a": override(0.5), "b": override(cosine(5))},
    {"a": halving, "b": override(halving)},
    {"a": 0.5 * constant(2.0)},
    layer_decay(0.75),
    layer_decay(0.75, layers=["a", ["b", "c"]]),
    discriminative(0.1, 2, groups=3),
    gradual_unfreezing(10, groups=2, start=5),
    [layer_decay(0.5), {"head": 2}],
    [[{"a": 1}], gradual_unfreezing(5), {"b": 2}],
]


@pytest.mark.parametrize("rules", RULES, ids=repr)
def test_rules_round_trip_through_json(rules):
    config = rules_to_config(rules, name_of)
    found = rules_from_config(through_json(config), FUNCTIONS)
    assert found == rules
    assert rules_to_config(found, name_of) == config


@given(rules=st.dictionaries(own.keys, st.one_of(own.numbers, own.numbers.map(override))))
def test_numbers_and_the_order_written_round_trip_exactly(rules):
    found = rules_from_config(through_json(rules_to_config(rules)))
    assert list(found.items()) == list(rules.items())


@pytest.mark.parametrize("value", [0.1, 0.0, cosine(5), halving, override(0.5), override(halving)])
def test_one_value_round_trips(value):
    assert value_from_config(through_json(value_to_config(value, name_of)), FUNCTIONS) == value


def test_a_schedule_with_a_named_function_round_trips():
    schedule = from_function(halving, name="halving") * cosine(5)
    config = through_json(rules_to_config({"a": schedule}))
    assert rules_from_config(config, {"halving": halving}) == {"a": schedule}


@pytest.mark.parametrize("rule", [lambda step: 1.0, override(lambda step: 1.0)])
@pytest.mark.parametrize("names", [None, name_of])
def test_an_unregistered_function_is_an_error_that_names_the_key_and_the_ways_out(rule, names):
    with pytest.raises(ConfigError) as caught:
        rules_to_config({"a": 1, "head": rule}, names)
    for part in (
        "The rule 'head'",
        "<lambda>",
        "@keras.saving.register_keras_serializable",
        "a Layerwise schedule",
    ):
        assert part in str(caught.value)


class Halving:
    def __call__(self, step):
        return 0.5**step


@pytest.mark.parametrize("value", [partial(halving), Halving(), lambda step: 0.5], ids=str)
@pytest.mark.parametrize("names", [None, attrgetter("__name__")])
def test_a_callable_without_a_name_is_the_error_that_a_function_is(value, names):
    """Whoever looks up names may expect functions, and a partial has none."""
    if names is not None and hasattr(value, "__name__"):
        assert value_to_config(value, names)["value"] == {"function": "<lambda>"}
        return
    with pytest.raises(ConfigError, match=r"The rule 'a' has the multiplier .* a function that"):
        rules_to_config({"a": value}, names)


def test_the_place_of_one_value_is_named():
    with pytest.raises(ConfigError, match="The annotation of 'a/kernel' has the multiplier"):
        value_to_config(lambda step: 1.0, where="The annotation of 'a/kernel'")


def test_a_function_that_is_not_known_when_reading_is_named():
    config = rules_to_config({"a": halving}, name_of)
    with pytest.raises(ConfigError) as caught:
        rules_from_config(config)
    for part in ("The rule 'a'", "'my_package>halving'", "functions={'my_package>halving': ...}"):
        assert part in str(caught.value)


def test_what_a_framework_writes_for_a_function_stands_in_the_config():
    class Objects(dict):
        def __getitem__(self, name):
            return halving if name["class_name"] == "Halving" else super().__getitem__("no")

    data = {"class_name": "Halving", "config": {"every": 1}}
    config = json.loads(json.dumps(rules_to_config({"a": halving}, lambda function: data)))
    assert config["rules"] == {"mapping": [["a", {"function": data}]]}
    assert rules_from_config(config, Objects(halving=halving)) == {"a": halving}
    with pytest.raises(ConfigError, match="The rule 'a' needs the function 'Halving'"):
        rules_from_config(config, {"halving": halving})


def test_bad_rules_are_not_written():
    with pytest.raises(MultiplierError, match="The rule 'a' has the multiplier -1"):
        rules_to_config({"a": -1})
    with pytest.raises(MultiplierError, match="a mapping of names to multipliers"):
        rules_to_config(0.5)
    with pytest.raises(MultiplierError, match="has the multiplier nan"):
        value_to_config(float("nan"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "None is no config of Layerwise"),
        ({}, "{} is no config of Layerwise"),
        ({"rules": None}, "it needs 'version' and 'rules'"),
        ({"version": 1}, "it needs 'version' and 'rules'"),
        (
            {"version": 2, "rules": None},
            "The config of the rules has version 2, but this Layerwise rea",
        ),
        ({"version": True, "rules": None}, "The config of the rules has version True"),
        ({"version": 1, "rules": 5}, "5 is no config of rules"),
        ({"version": 1, "rules": {"mapping": {"a": 1}}}, "is no config of rules"),
        ({"version": 1, "rules": {"mapping": [], "more": 1}}, "is no config of rules"),
        ({"version": 1, "rules": {"mapping": [["a"]]}}, "['a'] is no config of a rule"),
        ({"version": 1, "rules": {"mapping": [[3, 1.0]]}}, "[3, 1.0] is no config of a rule"),
        ({"version": 1, "rules": {"mapping": [["a", "0.5"]]}}, "The rule 'a' has the config '0.5'"),
        ({"version": 1, "rules": {"mapping": [["a", {"new": 1}]]}}, "has the config {'new': 1}"),
        ({"version": 1, "rules": {"mapping": [["a", -1.0]]}}, "has the multiplier -1.0"),
        ({"version": 1, "rules": {"mapping": [["a", True]]}}, "has the multiplier True"),
        (
            {"version": 1, "rules": {"mapping": [["a", {"override": {"override": 1.0}}]]}},
            "The rule 'a' has the config",
        ),
        ({"version": 1, "rules": {"strategy": 3}}, "3 is no config of a strategy"),
        (
            {"version": 1, "rules": {"strategy": {"name": "mine"}}},
            "layer_decay, discriminative, gradual_unfreezing",
        ),
        ({"version": 1, "rules": {"strategy": {"name": "layer_decay"}}}, "doesn't fit"),
        (
            {"version": 1, "rules": {"strategy": {"name": "layer_decay", "rate": 1, "new": 2}}},
            "doesn't fit",
        ),
        (
            {"version": 1, "rules": {"strategy": {"name": "layer_decay", "rate": 7}}},
            "layer_decay: rate must be at most 1, got 7, which would train the input",
        ),
        ({"version": 1, "rules": {"mapping": [["a", {"schedule": {"version": 9}}]]}}, "schedule"),
    ],
)
def test_unknown_configs_are_config_errors_that_say_what(config, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        rules_from_config(config)


def test_a_value_of_another_version_is_an_error():
    with pytest.raises(ConfigError, match="The config of the value has version 0"):
        value_from_config({"version": 0, "value": 1.0})
    with pytest.raises(ConfigError, match="it needs 'version' and 'value'"):
        value_from_config(rules_to_config({"a": 1}))
