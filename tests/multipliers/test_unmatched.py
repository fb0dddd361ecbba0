import re

import pytest

from layerwise.errors import MultiplierError, UnmatchedRuleError
from layerwise.multipliers import Parameter, discriminative, layer_decay, resolve

NAMES = ["backbone/conv/kernel", "backbone/conv/bias", "Head/kernel"]


def message(rules, names=NAMES, **options):
    with pytest.raises(UnmatchedRuleError) as caught:
        resolve([n if isinstance(n, Parameter) else Parameter(n) for n in names], rules, **options)
    return str(caught.value)


def test_it_names_the_key_the_nearest_names_and_the_way_out():
    text = message({"bakbone": 0.1})
    for part in ("'bakbone'", "nearest 'backbone'", "strict=False", "A rule matches no parameter"):
        assert part in text


def test_case_is_no_hindrance_to_finding_what_is_near():
    assert "'HeaD': nearest 'HEAD', 'HEAD/kernel'" in message({"HeaD": 0.1}, ["HEAD/kernel"])


def test_all_keys_are_in_one_error():
    text = message({"hed": 0.1, "backbone": 1.0, "spine": 0.1})
    assert "2 rules match no parameter" in text
    assert "'hed'" in text
    assert "'spine'" in text
    assert "'backbone':" not in text


def test_a_great_many_keys_are_counted():
    text = message({f"hed{i}": 0.1 for i in range(25)})
    assert "25 rules match no parameter" in text
    assert "and 15 more" in text
    assert len(text.splitlines()) == 13


@pytest.mark.parametrize(
    ("rules", "options", "hint"),
    [
        ({"conv": 1}, {}, "'backbone/conv' contains it (match='substring')"),
        ({"back*/conv": 1}, {}, "it looks like a pattern (match='glob' or match='regex')"),
        ({"zzzzzz": 1}, {}, "the names begin with 'backbone', 'backbone/conv', "),
        ({"zzzzzz": 1}, {"match": "regex"}, "(match='regex')"),
        ({"conv_1*": 1}, {"match": "glob"}, "(match='glob')"),
    ],
)
def test_hints(rules, options, hint):
    assert hint in message(rules, **options)


def test_without_parameters_it_says_so():
    assert "there are no parameters" in message({"a": 1}, names=[])


def test_names_are_offered_with_and_without_the_wrapper():
    names = [Parameter("sequential/dense/kernel", short="dense/kernel")]
    assert "nearest 'dense'" in message({"dence": 1}, names=names)
    assert "nearest 'sequential'" in message({"sequental": 1}, names=names)


def test_strict_false_allows_it():
    plan = resolve(map(Parameter, NAMES), {"bakbone": 0.1, "Head": 2}, strict=False)
    assert [row.value for row in plan.rows] == [1.0, 1.0, 2.0]


def test_a_key_that_never_wins_but_matches_is_no_error():
    plan = resolve(map(Parameter, NAMES), {"backbone": 1, "backbone/conv": 2, "Head": 3})
    assert [row.rule for row in plan.rows] == ["backbone/conv", "backbone/conv", "Head"]


def test_a_key_that_matches_only_frozen_parameters_is_no_error():
    names = [Parameter("norm/moving_mean", trainable=False), Parameter("head/kernel")]
    plan = resolve(names, {"norm": 0.5})
    assert [(row.rule, row.frozen) for row in plan.rows] == [("norm", True), (None, False)]


def test_a_key_for_one_of_the_other_names_is_no_error():
    plan = resolve([Parameter("a/kernel", aliases=("b/kernel",))], {"b": 0.5})
    assert plan.rows[0].rule == "b"


@pytest.mark.parametrize(
    "make", [lambda ls: layer_decay(0.5, ls), lambda ls: discriminative(0.5, layers=ls)]
)
def test_layers_of_a_strategy_that_match_nothing_are_an_error_too(make):
    text = message(make(["bakbone", "Head"]))
    assert "'bakbone': nearest 'backbone'" in text
    assert resolve(map(Parameter, NAMES), make(["bakbone", "Head"]), strict=False)


def test_it_is_a_multiplier_error():
    with pytest.raises(MultiplierError, match=re.escape("'bakbone'")):
        resolve(map(Parameter, NAMES), {"bakbone": 0.1})
