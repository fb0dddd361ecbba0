"""A key that ends in a number and takes longer ones says so once, with the way out."""

import warnings

import pytest

from layerwise.multipliers import Parameter, RuleSpec, layer_decay, multiply_plans, resolve

DOTS = [Parameter(f"blocks.{i}.weight") for i in range(12)] + [Parameter("head.weight")]
SLASHES = [Parameter(f"model/block_{i}/kernel", short=f"block_{i}/kernel") for i in range(12)]


def warned(*arguments, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plan = resolve(*arguments, **options)
    texts = [str(warning.message) for warning in caught]
    assert texts == (["\n".join(plan.notes)] if plan.notes else [])
    return plan


@pytest.mark.parametrize(
    ("parameters", "key", "mode", "separator", "others"),
    [
        (DOTS, "blocks.1", "prefix", ".", "'blocks.10', 'blocks.11'"),
        (SLASHES, "block_1", "prefix", "/", "'block_10', 'block_11'"),
        (
            SLASHES,
            "model/block_1",
            "prefix",
            "/",
            "'model/block_10', 'model/block_11'",
        ),
        (DOTS, "blocks.1", "substring", ".", "'blocks.10', 'blocks.11'"),
    ],
)
def test_it_is_said_once(parameters, key, mode, separator, others):
    plan = warned(parameters, {key: 0.5}, match=mode, separator=separator)
    assert plan.notes == (
        f"The rule '{key}' also takes {others}, because a key is plain text. "
        f"To mean '{key}' alone, write '{key}{separator}'.",
    )
    assert " ".join(str(plan).split()).count(plan.notes[0]) == 1
    alone = warned(parameters, {key + separator: 0.5}, match=mode, separator=separator)
    assert alone.notes == ()
    assert alone.multipliers(0).tolist().count(0.5) == 1


def test_many_are_counted():
    net = [Parameter(f"h.{i}.w") for i in range(20)]
    plan = warned(net, {"h.1": 0.0}, separator=".")
    assert "also takes 'h.10', 'h.11', 'h.12', … (10 in all), because" in plan.notes[0]


def test_several_keys_are_one_warning():
    net = [Parameter(f"{stack}.{i}.w") for stack in "ab" for i in range(12)]
    assert len(warned(net, {"a.1": 0.5, "b.1": 0.5}, separator=".").notes) == 2


def test_a_flood_of_keys_is_counted():
    net = [Parameter(f"h.{i}.w") for i in range(100)]
    notes = warned(net, {f"h.{i}": 0.5 for i in range(1, 8)}, separator=".").notes
    assert len(notes) == 4
    assert notes[-1] == "So do 4 more keys that end in a number."


def test_nothing_is_said_where_nothing_is_taken():
    assert warned(DOTS, {"blocks.2": 0.5}, separator=".").notes == ()
    apart = {f"blocks.{i}": 0.5 for i in (1, 10, 11)}
    assert warned(DOTS, apart, separator=".").notes == ()
    for pattern, mode in (("blocks.1*", "glob"), ("blocks.1", "regex")):
        assert warned(DOTS, {pattern: 0.5}, match=mode, separator=".").notes == ()
    beginnings = [Parameter("dense_10/k"), Parameter("dense_11/k"), Parameter("head/k")]
    assert warned(beginnings, {"dense_1": 0.5}).notes == ()  # there is no layer dense_1


def test_a_parameter_that_ends_in_a_number():
    net = [Parameter(f"lstm.weight_l{i}") for i in range(11)]
    (note,) = warned(net, {"lstm.weight_l1": 0.5}, separator=".").notes
    assert note.endswith("To give 'lstm.weight_l10' another value, name it as well.")


def test_levels_are_read_the_same_way():
    levels = ["blocks.0", "blocks.1", *(f"blocks.{i}" for i in range(2, 10)), "head"]
    (note,) = warned(DOTS, layer_decay(0.5), layers=levels, separator=".").notes
    assert note.startswith("In layers=, the name 'blocks.1' also takes 'blocks.10', 'blocks.11',")
    (same,) = warned(DOTS, layer_decay(0.5, layers=levels), separator=".").notes
    assert same == note
    every = [f"blocks.{i}" for i in range(12)] + ["head"]
    assert warned(DOTS, layer_decay(0.5), layers=every, separator=".").notes == ()


def test_a_spec_says_it_once_and_plans_keep_it():
    spec = RuleSpec({"blocks.1": 0.5})
    absent = [Parameter("blocks.12.weight")]
    with pytest.warns(UserWarning, match=r"'blocks\.1' also takes") as caught:
        plan = spec.resolve(DOTS, separator=".", absent=absent)
    assert len(caught) == 1
    assert len(multiply_plans(plan, plan).notes) == 1
