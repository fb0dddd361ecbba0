"""Rules for weight decay: resolved beside those for rates, shown in the plan, and saved."""

import json
from dataclasses import replace

import pytest

from layerwise import cosine, layer_decay, linear
from layerwise.errors import MultiplierError, UnmatchedRuleError
from layerwise.multipliers import (
    Parameter,
    Plan,
    Rules,
    RuleSpec,
    multiply_plans,
    override,
)

NAMES = ["body/kernel", "body/bias", "head/kernel", "head/bias"]


def plan(decay_rules: Rules | None, rules: Rules | None = None, decay: float | None = 0.5) -> Plan:
    parameters = [Parameter(name, (2, 2), weight_decay=decay) for name in NAMES]
    return RuleSpec(rules, decay_rules=decay_rules).resolve(parameters, learning_rate=1e-3)


def test_decay_and_rate_have_rules_of_their_own() -> None:
    found = plan({"body": 0.5, "head/bias": 0}, {"head": 2})
    assert found.weight_decays(0) == [0.25, 0.25, 0.5, 0.0]
    assert found.multipliers(0).tolist() == [1.0, 1.0, 2.0, 2.0]
    assert [row.decay_rule for row in found.rows] == ["body", "body", None, "head/bias"]


def test_a_decay_may_move_and_come_from_a_strategy() -> None:
    assert plan({"body": linear(100)}).weight_decays(50) == [0.25, 0.25, 0.5, 0.5]
    assert plan({"body": lambda step: step / 4}).weight_decays(2)[0] == 0.25
    assert plan(layer_decay(0.5)).weight_decays(0) == [0.25, 0.25, 0.5, 0.5]


def test_the_same_match_strict_and_layers() -> None:
    parameters = [Parameter(name, weight_decay=1.0) for name in NAMES]
    spec = RuleSpec(match="glob", decay_rules={"*/bias": 0})
    assert spec.resolve(parameters).weight_decays(0) == [1, 0, 1, 0]
    loose = RuleSpec(strict=False, decay_rules={"stem": 0})
    assert loose.resolve(parameters).weight_decays(0) == [1, 1, 1, 1]
    levels = RuleSpec(layers=["head", "body"], decay_rules=layer_decay(0.5))
    assert levels.resolve(parameters).weight_decays(0) == [1, 1, 0.5, 0.5]


def test_a_decay_rule_says_nothing_of_annotations() -> None:
    annotated = [Parameter("body/kernel", annotation=0.1, weight_decay=1.0)]
    row = RuleSpec(decay_rules={"body": 0.5}).resolve(annotated).rows[0]
    assert (row.value, row.decay) == (0.1, 0.5)


def test_unknown_decay_is_unknown() -> None:
    assert plan({"body": 0.5}, decay=None).weight_decays(0) == [None] * 4


def test_the_table_and_the_columns_show_it() -> None:
    found = plan({"body": cosine(10), "head/bias": 0})
    columns = found.to_dict()
    assert columns["decay rule"] == ["body", "body", None, "head/bias"]
    assert columns["decay multiplier"] == ["cosine(10)", "cosine(10)", 1.0, 0.0]
    assert columns["weight decay"] == [0.5, 0.5, 0.5, 0.0]
    assert "cosine(10)" in str(found)
    assert "multiplier" in str(found).splitlines()[1]
    without = plan(None)
    assert "decay rule" not in without.to_dict()
    assert without.to_dict()["weight decay"] == [0.5] * 4


def test_folded_lines_keep_decay_rules_apart() -> None:
    names = [f"block/{part}/{i}" for i in range(60) for part in ("kernel", "bias")]
    spec = RuleSpec(match="substring", decay_rules={"bias": 0})
    text = str(spec.resolve([Parameter(name, weight_decay=0.1) for name in names]))
    assert "block/kernel" in text
    assert "block/bias" in text


def test_plans_of_nested_rules_multiply() -> None:
    both = multiply_plans(plan({"body": 0.5}), plan({"body/bias": 0.5}))
    assert both.weight_decays(0) == [0.25, 0.125, 0.5, 0.5]
    assert both.rows[1].decay_rule == "body * body/bias"


def test_config() -> None:
    spec = RuleSpec({"body": 2}, decay_rules=[layer_decay(0.5), {"head": cosine(10)}])
    data = json.loads(json.dumps(spec.to_config()))
    back = RuleSpec.from_config(data)
    assert back.to_config() == spec.to_config()
    assert str(back.decay_rules) == "(layer_decay(0.5), {'head': cosine(10)})"
    assert "decay_rules" not in RuleSpec({"body": 2}).to_config()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "0.1", None, True])
def test_a_bad_value_is_named(value: object) -> None:
    with pytest.raises(MultiplierError, match="The decay rule 'body' has the multiplier"):
        RuleSpec(decay_rules={"body": value})  # type: ignore[dict-item]


def test_override_has_nothing_to_win_over() -> None:
    with pytest.raises(MultiplierError, match=r"The decay rule 'body' is override\(0.1\)"):
        RuleSpec(decay_rules={"body": override(0.1)})


def test_a_rule_that_matches_nothing_says_which_rules_it_is_of() -> None:
    with pytest.raises(UnmatchedRuleError, match=r"A rule of decay_rules= matches no parameter"):
        plan({"haed": 0.1})
    with pytest.raises(UnmatchedRuleError, match="2 rules of decay_rules= match no parameter"):
        plan({"haed": 0.1, "bdoy": 1})


def test_a_callable_that_gives_no_decay_is_named() -> None:
    with pytest.raises(MultiplierError, match="The decay multiplier of 'body' is -1"):
        plan({"body": lambda step: -1.0})


def test_rules_that_count_tokens_are_shown_at_the_start_and_now() -> None:
    found = plan({"head": linear(1_000).by("tokens")})
    assert found.weight_decays(0) == [0.5, 0.5, 0.5, 0.5]
    assert "decay" in str(found)
    now = replace(found, step=5, counts={"tokens": 500})
    assert now.weight_decays(5) == [0.5, 0.5, 0.25, 0.25]
