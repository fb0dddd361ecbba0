"""What names tell, and what groups are called."""

import pytest

from layerwise import layer_decay
from layerwise.multipliers import (
    Parameter,
    Plan,
    common_start,
    distinct,
    group_labels,
    is_embedding,
    is_head,
    numbered,
    resolve,
)

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


@pytest.mark.parametrize(
    ("part", "embedding", "head"),
    [
        ("embeddings", True, False),
        ("token_embedding_1", True, False),
        ("embed_tokens", True, False),
        ("wpe", True, False),
        ("lm_head", False, True),
        ("heads", False, True),
        ("logits", False, True),
        ("multi_head", False, False),
        ("multihead", False, False),
        ("header", False, False),
        ("dense", False, False),
    ],
)
def test_what_stands_at_an_end_of_a_model(part, embedding, head):
    assert (is_embedding(part), is_head(part)) == (embedding, head)


def test_the_common_start_is_of_whole_parts():
    assert common_start([("a", "bc"), ("a", "bd")]) == ("a",)
    assert common_start([("a", "b")]) == ("a", "b")
    assert common_start([]) == ()


def test_a_number_at_the_end():
    assert numbered("block_12") == ("block", 12)
    assert numbered("12") == ("", 12)
    assert numbered("v2_x") is None
