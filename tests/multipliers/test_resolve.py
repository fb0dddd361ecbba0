import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.errors import (
    AmbiguousRuleError,
    LayerwiseError,
    MultiplierError,
    UnmatchedRuleError,
)
from layerwise.multipliers import Parameter, discriminative, layer_decay, override, resolve
from layerwise.schedules import cosine
from tests._support import rules as own


def values(names, rules, **options):
    known = [name if isinstance(name, Parameter) else Parameter(name) for name in names]
    return [row.value for row in resolve(known, rules, **options).rows]


def rules_of(names, rules, **options):
    known = [name if isinstance(name, Parameter) else Parameter(name) for name in names]
    return [row.rule for row in resolve(known, rules, **options).rows]


@pytest.mark.parametrize("parameters", [["head/kernel"], "head", [None], {"head": (2, 2)}])
def test_names_alone_are_no_parameters(parameters):
    with pytest.raises(
        MultiplierError, match=r"of the class Parameter, got .*Parameter\(\"name\"\)"
    ):
        resolve(parameters, {})


def test_seed_000():
    names = ["Dense/kernel", "Dense-1/kernel", "Dense-12/kernel", "Output/kernel"]
    with pytest.warns(UserWarning, match="'Dense-1' also takes 'Dense-12'"):
        assert values(names, {"Dense": 0.5, "Dense-1": 0.1}) == [0.5, 0.1, 0.1, 1.0]


def test_seed_003():
    names = ["model/c1/kernel", "model/c2/kernel", "model/d1/kernel", "model/d2/kernel"]
    rules = {"c1": 1, "c2": 1, "d1": 2, "d2": 2}
    assert values(names, rules, match="substring") == [1.0, 1.0, 2.0, 2.0]


def test_no_rules_and_no_parameters():
    assert values(["a", "b"], None) == [1.0, 1.0]
    assert values(["a", "b"], {}) == [1.0, 1.0]
    assert values(["a", "b"], []) == [1.0, 1.0]
    assert values([], None) == []


def test_the_rows_say_which_rule_won():
    assert rules_of(["a/k", "ab/k", "c"], {"a": 1, "ab": 2}) == ["a", "ab", None]


def test_values_are_kept_as_floats_schedules_and_callables():
    def function(step):
        return step

    found = values(["a", "b", "c"], {"a": np.float32(0.5), "b": cosine(5), "c": function})
    assert found == [0.5, cosine(5), function]
    assert type(found[0]) is float


# -- names without what a wrapper put in front ------------------------------------------------


def test_a_key_may_leave_out_the_models_name():
    names = [Parameter("sequential/a/kernel", short="a/kernel"), Parameter("sequential/b/kernel")]
    assert values(names, {"a": 0.5}) == [0.5, 1.0]
    assert values(names, {"sequential/a": 0.5}) == [0.5, 1.0]
    assert values(names, {"sequential": 0.5}) == [0.5, 0.5]


def test_a_key_that_matches_a_full_name_is_not_tried_on_short_ones():
    names = [Parameter("a/b/kernel", short="b/kernel"), Parameter("b/kernel")]
    assert values(names, {"b": 0.5}) == [1.0, 0.5]


def test_a_short_key_wins_over_a_full_key_that_reaches_less_far():
    names = [
        Parameter("sequential/a/kernel", short="a/kernel"),
        Parameter("sequential/b/kernel", short="b/kernel"),
    ]
    assert rules_of(names, {"sequential": 0.5, "a": 0.1}) == ["a", "sequential"]
    assert rules_of(names[:1], {"sequential/a/k": 0.5, "a": 0.1}) == ["sequential/a/k"]


def test_a_full_and_a_short_key_for_the_same_layer_are_ambiguous():
    names = [Parameter("sequential/a/kernel", short="a/kernel")]
    with pytest.raises(
        AmbiguousRuleError, match="'sequential/a' and 'a' match 'sequential/a/kernel' equally well"
    ):
        values(names, {"sequential/a": 0.5, "a": 0.1})


@pytest.mark.parametrize(
    ("mode", "key"), [("substring", "a.w"), ("glob", "layer.a.*"), ("regex", r"^layer\.a")]
)
def test_every_mode_may_leave_wrappers_out(mode, key):
    names = [Parameter("module.layer._orig_mod.a.weight", short="layer.a.weight")]
    assert values(names, {key: 0.5}, match=mode, separator=".") == [0.5]


def test_full_and_short_keys_keep_the_order_written_in_ordered_modes():
    names = [Parameter("m/a/kernel", short="a/kernel")]
    assert rules_of(names, {"^a/": 0.5, "^m/a": 0.1}, match="regex") == ["^a/"]
    assert rules_of(names, {"^m/a": 0.1, "^a/": 0.5}, match="regex") == ["^m/a"]


# -- ambiguity --------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [0.5, 0.25])
def test_two_substrings_of_one_length_are_an_error_that_names_both(second):
    with pytest.raises(AmbiguousRuleError) as caught:
        values(["c1/d1/kernel"], {"c1": 0.5, "d1": second}, match="substring")
    for part in ("'c1'", "'d1'", "'c1/d1/kernel'", "substring"):
        assert part in str(caught.value)


def test_a_longer_substring_settles_it():
    rules = {"c1": 0.5, "d1": 0.25, "c1/d": 0.1}
    assert values(["c1/d1/kernel"], rules, match="substring") == [0.1]


# -- annotations ------------------------------------------------------------------------------


def test_an_annotation_decides_where_no_rule_does():
    names = [Parameter("a/kernel", annotation=0.5), Parameter("b/kernel", annotation=np.float32(2))]
    plan = resolve(names)
    assert [(row.rule, row.value) for row in plan.rows] == [("annotation", 0.5), ("annotation", 2)]
    assert type(plan.rows[1].value) is float


def test_an_annotation_and_a_rule_are_an_error_that_names_both_and_the_way_out():
    names = [Parameter("a/kernel", annotation=0.5)]
    with pytest.raises(AmbiguousRuleError) as caught:
        values(names, {"a": 0.1})
    for part in ("'a/kernel'", "the annotation 0.5", "'a': 0.1", "'a': override(0.1)"):
        assert part in str(caught.value)


def test_override_lets_the_rule_win():
    names = [Parameter("a/kernel", annotation=0.5), Parameter("a/bias")]
    assert values(names, {"a": override(0.1)}) == [0.1, 0.1]
    assert rules_of(names, {"a": override(0.1)}) == ["a", "a"]


def test_an_annotation_wins_over_a_strategy_and_a_rule_wins_over_both_strategies():
    names = [Parameter("a/k", annotation=0.3), Parameter("b/k"), Parameter("c/k")]
    assert values(names, [layer_decay(0.5), {"c": 7}]) == [0.3, 0.5, 7.0]


@pytest.mark.parametrize("bad", [-1, float("nan"), "0.1", True])
def test_a_bad_annotation_is_named(bad):
    with pytest.raises(
        MultiplierError, match=f"The annotation of 'a/k' has the multiplier {bad!r}"
    ):
        values([Parameter("a/k", annotation=bad)], None)


# -- shared parameters ------------------------------------------------------------------------

TIED = Parameter("embed.weight", aliases=("head.weight",))


def test_a_shared_parameter_is_resolved_once_under_any_of_its_names():
    for key in ("embed", "head", "head.weight"):
        assert values([TIED], {key: 0.5}, separator=".") == [0.5]


@pytest.mark.parametrize("mode", ["prefix", "substring"])
@pytest.mark.parametrize("rules", [{"embed": 0.5, "head": 0.1}, {"embe": 0.5, "head": 0.1}])
def test_rules_for_two_names_of_one_parameter_are_an_error_that_names_them(mode, rules):
    with pytest.raises(AmbiguousRuleError) as caught:
        values([TIED], rules, match=mode, separator=".")
    for part in ("'embed.weight', 'head.weight'", *map(repr, rules), "different multipliers"):
        assert part in str(caught.value)


def test_rules_for_two_names_that_say_the_same_are_fine():
    assert values([TIED], {"embed": 0.5, "head": 0.5}, separator=".") == [0.5]
    assert values([TIED], {"embed": cosine(5), "head": cosine(5)}, separator=".") == [cosine(5)]


def test_a_key_that_refines_the_other_wins_over_all_names():
    tied = Parameter("stack.a.weight", aliases=("stack.b.weight",))
    assert values([tied], {"stack": 0.5, "stack.b": 0.1}, separator=".") == [0.1]


@pytest.mark.parametrize("mode", ["glob", "regex"])
def test_the_order_written_decides_over_all_names_in_ordered_modes(mode):
    assert values([TIED], {"head": 0.1, "embed": 0.5}, match=mode, separator=".") == [0.1]
    assert values([TIED], {"embed": 0.5, "head": 0.1}, match=mode, separator=".") == [0.5]


def test_the_other_names_may_leave_the_wrapper_out_too():
    tied = Parameter("module.embed.weight", "", "embed.weight", ("module.head.weight",))
    assert values([tied], {"head": 0.5}, separator=".") == [0.5]


# -- several sets of rules --------------------------------------------------------------------


def test_several_mappings_are_one():
    assert values(["a", "b"], [{"a": 0.5}, {"b": 0.1}]) == [0.5, 0.1]
    assert values(["a", "b"], [{"a": 0.5}, [{"a": 0.5}, {"b": 0.1}]]) == [0.5, 0.1]
    assert values(["ab", "a"], [{"ab": 0.1}, {"a": 0.5}]) == [0.1, 0.5]


@pytest.mark.parametrize(
    ("rules", "hint"),
    [
        (0.5, "change the learning rate itself"),
        ("layer_decay", ""),
        (lambda name: 0.5, "A function belongs to a key"),
        ([{"a": 1}, 0.5], "change the learning rate itself"),
        (layer_decay, "A function belongs to a key"),
        ({"a", "b"}, ""),
    ],
)
def test_what_is_no_rules_is_refused(rules, hint):
    with pytest.raises(MultiplierError) as caught:
        values(["a"], rules)
    assert "a mapping of names to multipliers, a strategy, or a list of these" in str(caught.value)
    assert hint in str(caught.value)


# -- all other arguments ----------------------------------------------------------------------


NO_STEP = "must be a whole number of at least 0"
NO_RATE = "learning_rate must be a finite number of at least 0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": -1}, f"{NO_RATE}, got -1"),
        ({"learning_rate": float("nan")}, f"{NO_RATE}, got nan"),
        ({"learning_rate": float("inf")}, f"{NO_RATE}, got inf"),
        ({"learning_rate": cosine(5)}, "a rate that changes with the step is a number and a sche"),
        ({"schedule": "cosine"}, "schedule='cosine' must be a schedule"),
        ({"schedule": -1}, "schedule=-1 must be a schedule"),
        ({"steps": [1, -1]}, f"steps {NO_STEP}, got -1"),
        ({"steps": [0.5]}, f"steps {NO_STEP}, got 0.5"),
        ({"steps": [float("nan")]}, f"steps {NO_STEP}, got nan"),
        ({"steps": [float("inf")]}, f"steps {NO_STEP} and at most 2**53, got inf"),
        ({"step": "now"}, f"step {NO_STEP}, got 'now'"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(MultiplierError, match=re.escape(message)):
        values(["a"], {"a": 1}, **options)


def test_every_error_is_a_layerwise_error_and_a_value_error():
    with pytest.raises(LayerwiseError) as caught:
        values(["a"], {"a": -1})
    assert isinstance(caught.value, ValueError)


def test_nothing_that_is_handed_in_is_changed():
    rules, names = {"b": 0.5, "a": 0.1}, [Parameter("a"), Parameter("b")]
    resolve(names, rules)
    assert list(rules.items()) == [("b", 0.5), ("a", 0.1)]
    assert names == [Parameter("a"), Parameter("b")]


# -- properties -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The rule")
@given(parameters=own.parameters, rules=own.rules)
def test_each_parameter_has_the_longest_rules_value(parameters, rules):
    plan = resolve(parameters, rules, strict=False)
    for parameter, row in zip(parameters, plan.rows, strict=True):
        matching = [key for key in rules if parameter.name.startswith(key)]
        key = max(matching, key=len, default=None)
        assert row.parameter is parameter
        assert row.rule == key
        assert row.value == rules.get(key, 1.0)


@pytest.mark.filterwarnings("ignore:The rule")
@pytest.mark.parametrize("mode", ["prefix", "substring"])
@given(parameters=own.parameters, rules=own.rules, seed=st.integers(0, 2**32))
def test_the_order_of_rules_and_parameters_does_not_matter(mode, parameters, rules, seed):
    def outcome(known, written):
        try:
            plan = resolve(known, written, match=mode)
        except LayerwiseError as error:
            return type(error)
        return {row.parameter.name: (row.rule, row.value) for row in plan.rows}

    shuffle = random.Random(seed)
    mixed = shuffle.sample(parameters, len(parameters))
    items = shuffle.sample(list(rules.items()), len(rules))
    assert outcome(mixed, dict(items)) == outcome(parameters, rules)


@given(parameters=own.parameters, rules=own.rules)
def test_a_models_own_name_in_front_changes_nothing(parameters, rules):
    wrapped = [Parameter("Model/" + p.name, short=p.name) for p in parameters]
    plain = resolve(parameters, rules, strict=False)
    found = resolve(wrapped, rules, strict=False)
    assert [row.value for row in found.rows] == [row.value for row in plain.rows]


@pytest.mark.parametrize(
    ("wrapper", "keys", "match", "expected"),
    [
        ("conv_net/", {"conv": 0.5}, "prefix", [0.5, 1.0]),
        ("conv_net/", {"conv_net": 0.5}, "prefix", [0.5, 0.5]),
        ("conv_net/", {"conv_net/": 0.5}, "prefix", [0.5, 0.5]),
        ("conv_net/", {"conv_net/head": 0.5}, "prefix", [1.0, 0.5]),
        ("head_model/", {"head": 0.5}, "prefix", [1.0, 0.5]),
        ("head/", {"head": 0.5}, "prefix", [1.0, 0.5]),
        ("conv_net/", {"conv": 0.5}, "substring", [0.5, 1.0]),
        ("conv_net/", {"net/head": 0.5}, "substring", [1.0, 0.5]),
    ],
)
def test_a_key_that_begins_the_models_own_name(
    wrapper: str, keys: dict[str, float], match: str, expected: list[float]
) -> None:
    parameters = [
        Parameter(wrapper + short, short=short) for short in ("conv_a/kernel", "head/kernel")
    ]
    assert resolve(parameters, keys, match=match).multipliers(0).tolist() == expected


@pytest.mark.parametrize("match", ["prefix", "substring"])
def test_a_key_that_is_only_in_the_models_own_name_matches_nothing(match: str) -> None:
    parameters = [Parameter("sequential/a/kernel", short="a/kernel")]
    with pytest.raises(UnmatchedRuleError, match="'se'"):
        resolve(parameters, {"se": 0.0}, match=match)


def test_a_prefix_of_several_blocks_names_is_no_wrapper() -> None:
    names = ["block_1/conv/kernel", "block_2/conv/kernel", "head/kernel"]
    parameters = [
        Parameter(n, short=n.split("/", 1)[1] if n.count("/") > 1 else None) for n in names
    ]
    assert resolve(parameters, {"block": 0.5}).multipliers(0).tolist() == [0.5, 0.5, 1.0]


def test_strategies_with_groups_are_checked_before_a_model_is_there() -> None:
    assert resolve((), discriminative(0.1, groups=3)).rows == ()
