import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.errors import ConfigError, MultiplierError
from layerwise.multipliers import (
    Parameter,
    Strategy,
    discriminative,
    gradual_unfreezing,
    layer_decay,
    lora_plus,
    resolve,
)
from layerwise.multipliers._strategies.strategy import STRATEGIES
from layerwise.schedules import Schedule, constant, piecewise_constant

NET = [Parameter(f"{layer}/{weight}") for layer in "abcd" for weight in ("kernel", "bias")]


def by_layer(rules, step=0, parameters=NET, **options):
    plan = resolve(parameters, rules, **options)
    return dict(
        zip((row.parameter.name for row in plan.rows), plan.multipliers(step).tolist(), strict=True)
    )


@given(rate=st.floats(0.01, 1), count=st.integers(1, 40))
def test_layer_decay_is_the_rate_to_the_power_of_the_depth(rate, count):
    depth = np.arange(count)[::-1]
    # Powers by the C library and by NumPy may differ in the last bit.
    np.testing.assert_allclose(layer_decay(rate).multipliers(count), rate**depth, rtol=1e-14)
    assert layer_decay(rate).multipliers(count)[-1] == 1.0


@given(low=st.floats(1e-4, 1), ratio=st.floats(1, 100), count=st.integers(2, 40))
def test_discriminative_is_geometric_and_exact_at_both_ends(low, ratio, count):
    high = low * ratio
    found = discriminative(low, high).multipliers(count)
    np.testing.assert_allclose(found, np.geomspace(low, high, count), rtol=1e-12)
    assert (found[0], found[-1]) == (low, high)


@given(every=st.integers(1, 50), start=st.integers(0, 50), count=st.integers(1, 8))
def test_gradual_unfreezing_opens_one_level_after_the_other(every, start, count):
    values = gradual_unfreezing(every, start=start).multipliers(count)
    assert values[-1] == 1.0
    for k, value in enumerate(values[-2::-1], start=1):
        assert isinstance(value, Schedule)
        opens = start + k * every
        steps = np.arange(opens + 3)
        np.testing.assert_array_equal(value(steps), np.where(steps < opens, 0.0, 1.0))


@given(count=st.integers(1, 30), data=st.data())
def test_groups_are_contiguous_and_differ_by_at_most_one_level(count, data):
    groups = data.draw(st.integers(1, count))
    values = discriminative(0.5, 8, groups=groups).multipliers(count)
    sizes = [values.count(value) for value in dict.fromkeys(values)]
    assert values == sorted(values)
    assert len(sizes) == groups
    assert max(sizes) - min(sizes) <= 1
    assert values[-1] == 8


def test_groups_of_gradual_unfreezing_open_together():
    values = gradual_unfreezing(10, groups=2).multipliers(4)
    late = piecewise_constant([10], [0.0, 1.0])
    assert values == [late, late, 1.0, 1.0]


def test_one_level_is_the_head():
    assert layer_decay(0.5).multipliers(1) == [1.0]
    assert discriminative(0.5, 2).multipliers(1) == [2.0]
    assert gradual_unfreezing(5).multipliers(1) == [1.0]


def test_on_a_model_the_head_has_1_and_the_input_least():
    found = by_layer(layer_decay(0.5))
    assert found == {
        f"{layer}/{weight}": 0.5**depth
        for depth, layer in enumerate("dcba")
        for weight in ("kernel", "bias")
    }


def test_rules_win_over_strategies_and_say_so():
    plan = resolve(NET, [layer_decay(0.5), {"b/bias": 3, "d": 0}])
    assert [row.value for row in plan.rows] == [0.125, 0.125, 0.25, 3.0, 0.5, 0.5, 0.0, 0.0]
    assert [row.rule for row in plan.rows] == [
        *["layer_decay(0.5)"] * 3,
        "b/bias",
        *["layer_decay(0.5)"] * 2,
        *["d"] * 2,
    ]


def test_strategies_multiply_and_say_so():
    rules = [layer_decay(0.5), gradual_unfreezing(100)]
    plan = resolve(NET, rules)
    assert plan.rows[0].rule == "layer_decay(0.5) * gradual_unfreezing(100)"
    decay = np.repeat(0.5 ** np.arange(4)[::-1], 2)
    opens = np.repeat([300, 200, 100, 0], 2)
    for step in (0, 99, 100, 250, 300):
        np.testing.assert_array_equal(plan.multipliers(step), decay * (step >= opens))


def test_frozen_by_one_strategy_is_the_number_0_whatever_the_other_says():
    class FreezeInput(Strategy):
        def multipliers(self, count):
            return [0.0] + [1.0] * (count - 1)

    plan = resolve(NET, [FreezeInput(), gradual_unfreezing(5)])
    assert plan.rows[0].value == 0.0
    assert plan.rows[0].frozen
    assert plan.rows[2].value == piecewise_constant([10], [0.0, 1.0])


def test_a_strategy_may_give_callables_and_they_multiply_with_schedules():
    class Slower(Strategy):
        def multipliers(self, count):
            return [lambda step: 1 / (1 + step)] * count

    plan = resolve(NET, [Slower(), gradual_unfreezing(2)])
    assert plan.multipliers(4).tolist() == [0.0] * 2 + [0.2] * 6


def test_layers_may_be_given_to_resolve_or_to_the_strategy_which_wins():
    levels = [["a", "b"], "c", ["d"]]
    expected = {"a": 0.25, "b": 0.25, "c": 0.5, "d": 1.0}
    for found in (
        by_layer(layer_decay(0.5), layers=levels),
        by_layer(layer_decay(0.5, layers=levels)),
        by_layer(layer_decay(0.5, levels), layers=["d", "c", "b", "a"]),
    ):
        assert {name[0]: value for name, value in found.items()} == expected


def test_what_is_in_no_level_has_1_and_no_rule():
    plan = resolve(NET, layer_decay(0.5, layers=["a", "b"]), strict=False)
    assert [row.value for row in plan.rows] == [0.5, 0.5, 1, 1, 1, 1, 1, 1]
    assert [row.rule for row in plan.rows[3:5]] == [repr(layer_decay(0.5, ["a", "b"])), None]


def test_a_level_without_parameters_takes_no_depth():
    levels = ["a", "dropout", "b", [], "c", "d"]
    found = by_layer(layer_decay(0.5), layers=levels, strict=False)
    assert found["a/kernel"] == 0.125


def test_two_layers_of_one_name_side_by_side_are_in_one_level():
    twice = [Parameter("conv/kernel"), Parameter("conv/kernel"), Parameter("head/kernel")]
    layers = [["conv/kernel", "conv/kernel"], ["head/kernel"]]
    plan = resolve(twice, layer_decay(0.5), layers=layers)
    assert plan.multipliers(0).tolist() == [0.5, 0.5, 1.0]


def test_levels_match_full_names_short_names_and_the_longest():
    names = [
        Parameter("model/dense/kernel", short="dense/kernel"),
        Parameter("model/dense_1/kernel", short="dense_1/kernel"),
    ]
    for layers in (["dense", "dense_1"], ["model/dense", "model/dense_1/kernel"]):
        found = by_layer(layer_decay(0.5, layers=layers), parameters=names)
        assert list(found.values()) == [0.5, 1.0]


def test_a_shared_parameter_is_where_its_first_name_is():
    tied = [Parameter("embed/table", aliases=("head/kernel",)), Parameter("a/k"), Parameter("b/k")]
    assert list(by_layer(layer_decay(0.5), parameters=tied).values()) == [0.25, 0.5, 1.0]
    layers = ["head", "a", "b"]
    found = by_layer(layer_decay(0.5), parameters=tied, layers=layers)
    assert list(found.values()) == [0.25, 0.5, 1.0]


def test_the_separator_is_that_of_the_names():
    names = [Parameter(f"h.{i}.{part}.weight") for i in range(3) for part in ("attn", "mlp")]
    found = by_layer(layer_decay(0.5), parameters=names, separator=".")
    assert list(found.values()) == [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layer_decay(0), "layer_decay: rate must be a finite number above 0, got 0"),
        (lambda: layer_decay(-0.5), "layer_decay: rate must be a finite number above 0, got -0.5"),
        (lambda: layer_decay(1.5), "layer_decay: rate must be at most 1, got 1.5"),
        (
            lambda: layer_decay(float("nan")),
            "layer_decay: rate must be a finite number above 0, got nan",
        ),
        (
            lambda: layer_decay("0.5"),
            "layer_decay: rate must be a finite number above 0, got '0.5'",
        ),
        (lambda: layer_decay(0.5, layers="a"), "layers='a' must be a list of levels"),
        (lambda: layer_decay(0.5, layers=["a", ["a"]]), "layers= must not hold 'a' in two levels"),
        (lambda: discriminative(0), "discriminative: low must be a finite number above 0, got 0"),
        (
            lambda: discriminative(0.1, float("inf")),
            "discriminative: high must be a finite number above 0, got inf",
        ),
        (lambda: discriminative(2), "must be at most high=1.0, the head's, got 2"),
        (
            lambda: discriminative(0.1, groups=0),
            "discriminative: groups must be a whole number of at least 1, got 0",
        ),
        (
            lambda: discriminative(0.1, groups=1.5),
            "discriminative: groups must be a whole number of at least 1, got 1.5",
        ),
        (
            lambda: gradual_unfreezing(0),
            "gradual_unfreezing: every must be a whole number of at least 1, got 0",
        ),
        (
            lambda: gradual_unfreezing(2.5),
            "gradual_unfreezing: every must be a whole number of at least 1, got 2.5",
        ),
        (
            lambda: gradual_unfreezing(float("nan")),
            "gradual_unfreezing: every must be a whole number of at least 1, got nan",
        ),
        (
            lambda: gradual_unfreezing(5, start=-1),
            "gradual_unfreezing: start must be a whole number of at least 0, got -1",
        ),
        (
            lambda: gradual_unfreezing(5, groups=True),
            "gradual_unfreezing: groups must be a whole number of at least 1, got True",
        ),
    ],
)
def test_bad_arguments_are_named_at_once(make, message):
    with pytest.raises(MultiplierError, match=re.escape(message)):
        make()


def test_more_groups_than_levels_is_an_error_that_says_how_many_there_are():
    with pytest.raises(
        MultiplierError, match="groups=5 must be at most the number of levels, which is 4"
    ):
        resolve(NET, gradual_unfreezing(5, groups=5))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "gives 1 multipliers for 4 levels"),
        ([1.0, 1.0, 1.0, -1.0], "has the multiplier -1.0"),
        (1.0, "must be a sequence, got 1.0"),
        (None, "must be a sequence, got None"),
    ],
)
def test_a_strategy_of_ones_own_is_checked(values, message):
    class Own(Strategy):
        def multipliers(self, count):
            return values

        def __repr__(self):
            return "Own()"

    with pytest.raises(MultiplierError, match=re.escape("Own()")) as caught:
        resolve(NET, Own())
    assert message in str(caught.value)


def test_a_strategy_of_ones_own_has_no_config_and_says_so():
    class Own(Strategy):
        def multipliers(self, count):
            return [1.0] * count

    with pytest.raises(ConfigError, match="has no config"):
        Own().to_config()


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        (layer_decay(0.75), "layer_decay(0.75)"),
        (layer_decay(0.75, ["a", ["b", "c"]]), "layer_decay(0.75, layers=[['a'], ['b', 'c']])"),
        (discriminative(0.01), "discriminative(0.01, 1)"),
        (discriminative(0.01, 2, groups=3), "discriminative(0.01, 2, groups=3)"),
        (gradual_unfreezing(100), "gradual_unfreezing(100)"),
        (gradual_unfreezing(9, 3, start=5), "gradual_unfreezing(9, groups=3, start=5)"),
    ],
)
def test_they_print_as_what_makes_them_and_round_trip(strategy, text):
    assert repr(strategy) == text
    made_again = eval(text, dict(STRATEGIES))
    assert made_again == strategy
    assert hash(made_again) == hash(strategy)
    config = json.loads(json.dumps(strategy.to_config()))
    assert STRATEGIES[config.pop("name")](**config) == strategy


def test_they_are_frozen_and_differ_by_value():
    assert layer_decay(0.5) != layer_decay(0.25)
    assert gradual_unfreezing(5) != gradual_unfreezing(5, start=1)
    with pytest.raises(AttributeError):
        layer_decay(0.5).rate = 1.0
    assert constant(1.0) != layer_decay(1)


@pytest.mark.parametrize(
    "strategy",
    [
        layer_decay(0.123456789),
        layer_decay(1 / 3, ["a", "b"]),
        discriminative(1e-7 / 3, 1_234_567.0, groups=3),
        lora_plus(16.000001),
    ],
)
def test_the_text_of_a_strategy_makes_it_again(strategy):
    made = [layer_decay, discriminative, lora_plus]
    assert eval(repr(strategy), {kind.__name__: kind for kind in made}) == strategy
