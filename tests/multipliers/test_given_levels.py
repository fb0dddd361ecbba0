"""Levels that a caller wrote are never silently dead or incomplete."""

import json

import pytest

from layerwise.errors import MultiplierError, UnmatchedRuleError
from layerwise.multipliers import (
    ModelLayers,
    Parameter,
    RuleSpec,
    discriminative,
    gradual_unfreezing,
    layer_decay,
    resolve,
    rules_from_config,
    rules_to_config,
    side_by_side,
)

NET = [Parameter(f"{layer}/kernel") for layer in ("stem", "body", "head")]
WHOLE = ModelLayers([("stem/kernel",), ("body/kernel",), ("head/kernel",)])


def found(rules, parameters=NET, **options):
    return resolve(parameters, rules, **options).multipliers(0).tolist()


@pytest.mark.parametrize("strategy", [layer_decay, discriminative, gradual_unfreezing])
@pytest.mark.parametrize("levels", [["stemm", "body", "head"], ["stem", ["body", "haed"], "head"]])
def test_a_name_that_matches_nothing(strategy, levels):
    with pytest.raises(UnmatchedRuleError, match=r"A name in layers= matches.*\n.*'(stemm|haed)'"):
        resolve(
            NET, strategy(0.5) if strategy is not gradual_unfreezing else strategy(5), layers=levels
        )
    with pytest.raises(UnmatchedRuleError, match=r"strict=False"):
        resolve(NET, layer_decay(0.5, layers=levels))


def test_all_names_that_match_nothing_are_told_with_the_nearest():
    with pytest.raises(UnmatchedRuleError) as caught:
        resolve(NET, layer_decay(0.5), layers=["stemm", "boby", "head"])
    assert str(caught.value) == (
        "2 names in layers= match no parameter (match='prefix'):\n"
        "  'stemm': nearest 'stem', 'stem/kernel'\n"
        "  'boby': nearest 'body'\n"
        "Correct the names, or allow names that match nothing with strict=False."
    )


def test_a_parameter_in_no_level():
    with pytest.raises(
        UnmatchedRuleError,
        match=r"^1 parameter is in no level of layers= .* full rate: 'body/kernel'\. Add it",
    ):
        resolve(NET, layer_decay(0.5), layers=["stem", "head"])
    with pytest.raises(UnmatchedRuleError, match=r"^2 parameters are in no level.* Add them"):
        resolve(NET, layer_decay(0.5), layers=["head"])
    assert found(layer_decay(0.5), layers=["stem", "head"], strict=False) == [0.5, 1.0, 1.0]


def test_what_does_not_train_or_has_a_rule_or_an_annotation_needs_no_level():
    frozen = [NET[0], Parameter("body/kernel", trainable=False), NET[2]]
    assert found(layer_decay(0.5), frozen, layers=["stem", "head"]) == [0.5, 1.0, 1.0]
    rules = [layer_decay(0.5), {"body": 0.25}]
    assert found(rules, layers=["stem", "head"]) == [0.5, 0.25, 1.0]
    annotated = [NET[0], Parameter("body/kernel", annotation=0.25), NET[2]]
    assert found(layer_decay(0.5), annotated, layers=["stem", "head"]) == [0.5, 0.25, 1.0]


def test_strategies_may_share_the_parameters_among_them():
    towers = [
        Parameter(f"{tower}/{layer}/kernel") for tower in ("image", "text") for layer in range(2)
    ]
    image = layer_decay(0.5, layers=["image/0", "image/1"])
    text = layer_decay(0.25, layers=["text/0", "text/1"])
    assert found([image, text], towers) == [0.5, 1.0, 0.25, 1.0]
    with pytest.raises(UnmatchedRuleError, match="2 parameters are in no level"):
        resolve(towers, [image])


def test_a_level_within_another():
    names = [Parameter(f"body/{i}/kernel") for i in range(3)] + [NET[2]]
    assert found(layer_decay(0.5), names, layers=["body", "body/2", "head"]) == [
        0.25,
        0.25,
        0.5,
        1.0,
    ]
    levels = ["body", *(f"body/{i}" for i in range(3)), "head"]
    with pytest.raises(UnmatchedRuleError, match=r"level \['body'\] of layers= has no parameter"):
        resolve(names, layer_decay(0.5), layers=levels)
    assert found(layer_decay(0.5), names, layers=levels, strict=False) == [0.125, 0.25, 0.5, 1.0]


def test_a_tied_head_may_be_named_though_its_weight_is_the_embeddings():
    tied = [Parameter("embed/table", aliases=("head/kernel",)), NET[1]]
    assert found(layer_decay(0.5), tied, layers=["embed", "body", "head"]) == [0.5, 1.0]


def test_the_levels_of_the_whole_give_a_part_its_depth():
    assert found(layer_decay(0.5), NET[:2], layers=WHOLE) == [0.25, 0.5]
    assert found(layer_decay(0.5, layers=WHOLE), NET[1:2]) == [0.5]
    assert found(discriminative(0.25), NET[1:2], layers=WHOLE) == [0.5]
    plan = resolve(NET[:1], gradual_unfreezing(10), layers=WHOLE)
    assert [plan.multipliers(step)[0] for step in (19, 20)] == [0.0, 1.0]
    with pytest.raises(UnmatchedRuleError, match="'other/kernel'"):
        resolve([*NET, Parameter("other/kernel")], layer_decay(0.5), layers=WHOLE)
    with pytest.raises(UnmatchedRuleError, match="'head/kernel'"):
        resolve(NET[:2], layer_decay(0.5), layers=tuple(WHOLE))


def test_the_levels_of_the_whole_are_saved_as_such():
    spec = RuleSpec(layer_decay(0.5), layers=WHOLE)
    again = RuleSpec.from_config(json.loads(json.dumps(spec.to_config())))
    assert again == spec
    assert isinstance(again.layers, ModelLayers)
    rules = rules_from_config(json.loads(json.dumps(rules_to_config(layer_decay(0.5, WHOLE)))))
    assert found(rules, NET[:2]) == [0.25, 0.5]
    plain = RuleSpec.from_config(RuleSpec(layer_decay(0.5), layers=[["stem"]]).to_config())
    assert not isinstance(plain.layers, ModelLayers)


def test_a_strategy_inside_a_mapping_says_where_it_belongs():
    with pytest.raises(MultiplierError, match=r"stands beside a mapping, not in it: \[strategy"):
        resolve(NET, {"body": layer_decay(0.5)})


# -- side by side -----------------------------------------------------------------------------

TOWERS = [
    ["shared"],
    ["image/0"],
    ["image/1"],
    ["image/2", "temperature"],
    ["text/embed", "tokens"],
    ["text/0"],
    ["logits"],
]


def test_branches_end_together_and_the_rest_keeps_its_place():
    assert side_by_side(TOWERS, "image", ["text", "tokens"]) == (
        ("shared",),
        ("image/0",),
        ("image/1", "text/embed", "tokens"),
        ("image/2", "text/0"),
        ("temperature",),
        ("logits",),
    )


def test_side_by_side_keeps_that_levels_are_of_the_whole():
    levels = ModelLayers.of([["a/0"], ["b/0"], ["head"]])
    assert isinstance(side_by_side(levels, "a", "b"), ModelLayers)
    assert found(layer_decay(0.5), [Parameter("b/0")], layers=side_by_side(levels, "a", "b")) == [
        0.5
    ]


@pytest.mark.parametrize(
    ("branches", "error", "message"),
    [
        (["image"], MultiplierError, r"two branches or more.*got \['image'\]"),
        ([], MultiplierError, "two branches or more"),
        (["image", "txet"], UnmatchedRuleError, r"A branch matches no.*\n.*'txet'"),
        (["image", ["text", "image"]], MultiplierError, "'image' in two levels"),
        (["image", 3], MultiplierError, "must hold names of layers, got 3"),
    ],
)
def test_bad_branches(branches, error, message):
    with pytest.raises(error, match=message):
        side_by_side(TOWERS, *branches)
