"""RuleSpec: what every adapter is given is checked, copied, resolved and saved alike."""

import json
from typing import Any

import pytest

from layerwise.errors import (
    ConfigError,
    LayerwiseError,
    MultiplierError,
    ScheduleError,
    UnmatchedRuleError,
)
from layerwise.multipliers import (
    Layers,
    Parameter,
    RuleSpec,
    discriminative,
    first_value,
    layer_decay,
    value_at,
)
from layerwise.schedules import cosine

NAMES = [Parameter("a/kernel"), Parameter("b/kernel")]


def multipliers(spec: RuleSpec, **arguments: Any) -> list[float]:
    return spec.resolve(NAMES, **arguments).multipliers(0).tolist()


def test_rules_are_copied() -> None:
    rules = {"a": 0.5}
    several = [rules, layer_decay(0.5)]
    specs = [RuleSpec(rules), RuleSpec(several)]
    before = [multipliers(spec) for spec in specs]
    rules["a"] = 0.25
    several.clear()
    assert [multipliers(spec) for spec in specs] == before == [[0.5, 1.0], [0.5, 1.0]]


@pytest.mark.parametrize("schedule", [0.5, "cosine", float])
def test_a_schedule_moves(schedule: Any) -> None:
    with pytest.raises(ScheduleError, match=r"schedule=.*must be.*layerwise\.constant"):
        RuleSpec(schedule=schedule)


@pytest.mark.parametrize(
    ("rules", "layers", "needs"),
    [
        (None, None, False),
        ({"a": 1}, None, False),
        (layer_decay(0.5), None, True),
        (layer_decay(0.5), ["a", "b"], False),
        (layer_decay(0.5, layers=["a", "b"]), None, False),
        ([{"a": 1}, [discriminative(0.1)]], None, True),
    ],
)
def test_the_order_is_asked_for_where_a_strategy_needs_it(
    rules: Any, layers: Layers | None, needs: bool
) -> None:
    asked = []

    def order() -> Layers:
        asked.append(True)
        return ["b", "a"]

    spec = RuleSpec(rules, layers=layers)
    spec.resolve(NAMES, order=order)
    assert spec.needs_order is needs
    assert asked == [True] * needs


def test_the_order_given_counts() -> None:
    assert multipliers(RuleSpec(layer_decay(0.5)), order=lambda: ["b", "a"]) == [1.0, 0.5]
    assert multipliers(RuleSpec(layer_decay(0.5), layers=["b", "a"])) == [1.0, 0.5]
    assert multipliers(RuleSpec(layer_decay(0.5))) == [0.5, 1.0]


def test_a_rule_for_what_is_absent_is_not_dead() -> None:
    spec = RuleSpec({"c": 0.5})
    with pytest.raises(UnmatchedRuleError, match="'c'"):
        spec.resolve(NAMES)
    assert multipliers(spec, absent=[Parameter("c/kernel")]) == [1.0, 1.0]
    with pytest.raises(UnmatchedRuleError, match="'c'"):
        spec.resolve(NAMES, absent=[Parameter("d/kernel")])
    assert multipliers(RuleSpec({"c": 0.5}, strict=False)) == [1.0, 1.0]


def test_without_parameters_no_rule_is_dead_and_no_order_asked_for() -> None:
    plan = RuleSpec([{"c": 0.5}, layer_decay(0.5)], cosine(4)).resolve((), order=lambda: 1 / 0)
    assert plan.rows == ()
    assert plan.schedule == cosine(4)


def test_rates_and_steps_are_the_plans() -> None:
    spec = RuleSpec({"a": 0.5}, cosine(10))
    plan = spec.resolve(NAMES, learning_rate=0.1, steps=[10], step=5, separator=".")
    assert plan.columns_at_steps().keys() == {"rate @ 5", "rate @ 10"}
    assert plan.rates(0).tolist() == [0.05, 0.1]
    assert plan.separator == "."


def test_each_moving_value_is_tried_once() -> None:
    calls = []

    def function(step: int) -> float:
        calls.append(step)
        return 0.5

    RuleSpec({"a": function, "b": function}, function).resolve(NAMES)
    assert calls == [0]


def test_prepared_values_are_in_the_plan() -> None:
    seen = []

    def prepare(value: Any, what: str) -> Any:
        seen.append(what)
        return lambda step: value(step) / 2

    spec = RuleSpec({"a": cosine(10), "b": 0.5}, lambda step: 1.0)
    plan = spec.resolve(NAMES, learning_rate=1.0, prepare=prepare)
    assert seen == ["The multiplier of 'a'", "The schedule"]
    assert plan.rates(0).tolist() == [0.25, 0.25]


def test_a_value_that_can_not_be_computed_is_named() -> None:
    with pytest.raises(MultiplierError, match=r"The multiplier of 'a' failed at step 0: .*zero"):
        RuleSpec({"a": lambda step: 1 / step}).resolve(NAMES)
    with pytest.raises(MultiplierError, match=r"The schedule is nan at step 0"):
        RuleSpec(None, lambda step: float("nan")).resolve(NAMES)
    with pytest.raises(MultiplierError, match=r"failed at step 0: .*\. Called with text\.$"):
        first_value(lambda step: step + 1, "This", lambda value, _: value("0"), "Called with text.")


def test_an_error_of_ours_is_not_wrapped() -> None:
    def refuse(value: Any, step: int) -> float:
        raise ScheduleError("As it is.")

    with pytest.raises(ScheduleError, match=r"^As it is\.$"):
        first_value(cosine(5), "This", refuse)


@pytest.mark.parametrize("error", [MultiplierError, ScheduleError])
def test_the_caller_says_which_error(error: type[LayerwiseError]) -> None:
    with pytest.raises(error, match=r"^Here is -1\.0 at step 3; it must be"):
        value_at(lambda step: -1.0, 3, "Here", error)


def halving(step: int) -> float:
    return 0.5**step


@pytest.mark.parametrize(
    "spec",
    [
        RuleSpec(),
        RuleSpec({"a": 0.5}, cosine(10), "glob", False),
        RuleSpec([layer_decay(0.5), {"a": halving}], halving, layers=["a", ["b", "c"]]),
    ],
    ids=repr,
)
def test_a_spec_round_trips_through_json(spec: RuleSpec) -> None:
    config = json.loads(json.dumps(spec.to_config({halving: "h"}.get), sort_keys=True))
    found = RuleSpec.from_config(config, {"h": halving})
    assert found == spec


def test_a_broken_config_is_named() -> None:
    config = RuleSpec(schedule=cosine(4)).to_config()
    with pytest.raises(ConfigError, match="lacks match, rules"):
        RuleSpec.from_config({"schedule": None, "strict": True})
    with pytest.raises(ConfigError, match=r"0\.5 for a schedule"):
        RuleSpec.from_config(config | {"schedule": {"version": 1, "value": 0.5}})
    with pytest.raises(ConfigError, match="version 7"):
        RuleSpec.from_config(config | {"rules": {"version": 7, "rules": None}})
