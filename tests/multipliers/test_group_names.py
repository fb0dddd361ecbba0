"""What groups are called."""

from layerwise import layer_decay
from layerwise.multipliers import Parameter, Plan, distinct, group_labels, resolve

NAMES = ["body/a/kernel", "body/a/bias", "body/b/kernel", "head/kernel"]


def labels(rules, names=None, **options):
    plan = resolve([Parameter(name) for name in NAMES], rules, **options)
    return group_labels(plan, [places for _, places in plan.groups], names)


def test_a_key_names_its_group():
    assert labels({"body": 0.1}) == ["body", "default"]
    assert labels({"body/a": 0.1, "head": 0.1}) == ["body/a + head", "default"]


def test_a_strategy_that_means_several_multipliers_does_not():
    assert labels(layer_decay(0.5)) == ["body/a", "body/b", "head"]


def test_not_even_where_only_one_of_them_is_left():
    plan = resolve([Parameter(name) for name in NAMES], layer_decay(0.5))
    assert group_labels(plan, [[3]]) == ["head"]


def test_layers_are_read_in_the_names_that_are_given():
    plan = resolve([Parameter(f"net/{name}") for name in NAMES], layer_decay(0.5))
    groups = [places for _, places in plan.groups]
    assert group_labels(plan, groups, NAMES) == ["body/a", "body/b", "head"]


def test_many_layers_are_counted():
    names = [f"{letter}/kernel" for letter in "abcde"]
    plan = Plan(resolve([Parameter(name) for name in names], layer_decay(0.5)).rows)
    assert group_labels(plan, [range(5)]) == ["a + b + c + 2 more"]


def test_distinct_names_stay_distinct_whatever_they_are():
    assert distinct(["a", "a", "a (2)", "a"]) == ["a", "a (2)", "a (2) (2)", "a (3)"]
