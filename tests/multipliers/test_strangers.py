"""Rules, configs of rules, patterns and names from strangers: an answer or an error of ours."""

import warnings
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerwise.errors import ConfigError, LayerwiseError, MultiplierError
from layerwise.multipliers import (
    Parameter,
    resolve,
    rules_from_config,
    rules_to_config,
    value_from_config,
)
from layerwise.multipliers._matching.match import MODES
from tests._support.bounds import in_bounds
from tests._support.strategies import any_data, any_scalar, any_schedule_data, any_text

LONGEST = timedelta(minutes=1)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

values = st.one_of(
    any_scalar,
    any_schedule_data().map(lambda data: {"schedule": {"version": 1, "schedule": data}}),
    any_scalar.map(lambda value: {"override": value}),
)
data = st.recursive(
    st.one_of(
        st.lists(st.tuples(any_text, values).map(list), max_size=4).map(lambda p: {"mapping": p}),
        any_data(any_scalar),
    ),
    lambda part: st.lists(part, max_size=3).map(lambda parts: {"list": parts}),
    max_leaves=5,
)


@settings(max_examples=300, deadline=LONGEST, suppress_health_check=SLOW)
@given(data, st.lists(any_text, max_size=6), st.sampled_from(MODES), st.booleans())
def test_a_config_of_rules_and_names_of_a_stranger(data, names, mode, strict):
    rules = in_bounds(lambda: rules_from_config({"version": 1, "rules": data}))
    config = in_bounds(lambda: rules_to_config(rules))
    if config is not None:
        assert rules_from_config(config) == rules
    parameters = [Parameter(name) for name in dict.fromkeys(names) if name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of `re`, about sets in sets
        plan = in_bounds(lambda: resolve(parameters, rules, match=mode, strict=strict))
    if plan is not None:
        str(plan).encode()
        assert str(plan).replace("\n", " ").isprintable()


@settings(max_examples=300, deadline=LONGEST, suppress_health_check=SLOW)
@given(st.dictionaries(any_text, any_scalar, max_size=5), st.lists(any_text, max_size=6),
       st.sampled_from(MODES))  # fmt: skip
def test_rules_and_names_of_a_stranger(rules, names, mode):
    parameters = [Parameter(name) for name in dict.fromkeys(names) if name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        in_bounds(lambda: resolve(parameters, rules, match=mode, strict=False))


def nested(levels, key):
    inner = {"mapping": [["a", 0.5]]}
    for _ in range(levels):
        inner = {key: [inner]} if key == "list" else {key: inner}
    return inner


@pytest.mark.parametrize("levels", [400, 3_000, 100_000])
@pytest.mark.parametrize("key", ["list", "override", "schedule", "mapping", "strategy"])
def test_a_config_of_rules_without_a_bottom(levels, key):
    with pytest.raises(ConfigError, match="levels deep") as caught:
        rules_from_config({"version": 1, "rules": nested(levels, key)})
    assert len(str(caught.value)) < 2_000
    with pytest.raises(ConfigError, match="levels deep"):
        value_from_config({"version": 1, "value": nested(levels, key)})


def test_rules_that_hold_themselves():
    rules = []
    rules.append(rules)
    with pytest.raises(MultiplierError, match="at most 330 levels deep"):
        resolve([Parameter("a")], rules)


@pytest.mark.parametrize(
    "huge", ["x" * 10**6, ["x"] * 10**6, 10**5000, {"x" * 10**6: 1}], ids=range(4)
)
def test_a_message_repeats_no_megabyte(huge):
    for attempt in (
        lambda: resolve([Parameter("a")], {"a": huge}),
        lambda: resolve([Parameter("a")], huge),
        lambda: resolve([Parameter("a")], {"a": 1}, schedule=huge),
        lambda: resolve([Parameter("a")], {"a": 1}, learning_rate=huge),
        lambda: rules_from_config(huge),
        lambda: rules_from_config({"version": 1, "rules": huge}),
        lambda: rules_from_config({"version": 1, "rules": {"mapping": [huge]}}),
        lambda: rules_from_config({"version": 1, "rules": {"mapping": [["a", huge]]}}),
        lambda: rules_from_config({"version": huge, "rules": {}}),
    ):
        with pytest.raises(LayerwiseError) as caught:
            attempt()
        assert len(str(caught.value)) < 3_000


def test_a_key_or_name_of_a_megabyte_is_cut_in_the_message():
    long = "x" * 10**6
    for mode in MODES:
        for key, name in (("y" * 10**6, long), ("y", long), (long, "y")):
            with pytest.raises(MultiplierError) as caught:
                resolve([Parameter(name)], {key: 1}, match=mode)
            assert len(str(caught.value)) < 3_000
