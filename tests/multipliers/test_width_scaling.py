"""width_scaling: Table 3 of Tensor Programs V, from shapes and the names of all frameworks."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from layerwise import ConfigError, MultiplierError, UnmatchedRuleError, layer_decay, width_scaling
from layerwise.multipliers import (
    ModelFacts,
    Parameter,
    RuleSpec,
    resolve,
    rules_from_config,
    rules_to_config,
)
from layerwise.multipliers._resolve import resolve_quietly

# name, shape in the small model, shape in the wide one, Adam's multiplier, SGD's, what it is
CASES = [
    ("in/kernel", (9, 64), (9, 512), 1, 8, "input"),
    ("in/bias", (64,), (512,), 1, 8, "vector"),
    ("body/kernel", (64, 64), (512, 512), 1 / 8, 1, "hidden"),
    ("body/kernel", (64, 32), (512, 64), 1 / 8, 1 / 4, "hidden"),
    ("out/kernel", (64, 3), (512, 3), 1 / 8, 1 / 8, "output"),
    ("out/bias", (3,), (3,), 1, 1, "fixed"),
    ("conv/kernel", (3, 3, 16, 32), (3, 3, 64, 128), 1 / 4, 1, "hidden"),
    ("conv/kernel", (3, 3, 3, 32), (3, 3, 3, 128), 1, 4, "input"),
    ("depthwise_conv2d/kernel", (3, 3, 16, 1), (3, 3, 64, 1), 1, 4, "input"),
    ("a/depthwise_kernel", (3, 16, 1), (3, 64, 1), 1, 4, "input"),
    ("conv2d_transpose/kernel", (3, 3, 1, 16), (3, 3, 1, 64), 1 / 4, 1 / 4, "output"),
    ("embedding/embeddings", (99, 16), (99, 64), 1, 4, "input"),
    ("tokens/embedding", (99, 16), (99, 64), 1, 4, "input"),
    ("wte/weight", (99, 16), (99, 64), 1, 4, "input"),
    ("pos_embed", (1, 7, 16), (1, 7, 64), 1, 4, "input"),
    ("cls", (1, 1, 16), (1, 1, 64), 1, 4, "vector"),
    ("mha/query/kernel", (16, 2, 8), (64, 8, 8), 1 / 4, 1, "hidden"),
    ("mha/attention_output/kernel", (2, 8, 16), (8, 8, 64), 1 / 4, 1, "hidden"),
    ("mha/out/kernel", (2, 8, 16), (2, 32, 64), 1 / 4, 1, "hidden"),
    ("mha/query/bias", (2, 8), (8, 8), 1, 4, "vector"),
    ("mix/kernel", (2, 8, 16), (4, 16, 64), 1 / 4, 1, "hidden"),
    ("mix/kernel", (16, 2, 8), (64, 4, 16), 1 / 4, 1, "hidden"),
    ("lstm_cell/recurrent_kernel", (16, 64), (64, 256), 1 / 4, 1, "hidden"),
    ("fc/weight", (3, 16), (3, 64), 1 / 4, 1 / 4, "output"),
    ("fc/weight", (16, 3), (64, 3), 1, 4, "input"),
    ("conv/weight", (16, 1, 3, 3), (64, 1, 3, 3), 1, 4, "input"),
    ("rnn/weight_hh_l0", (64, 16), (256, 64), 1 / 4, 1, "hidden"),
    ("fc/parametrizations/weight/original1", (3, 16), (3, 64), 1 / 4, 1 / 4, "output"),
    ("linear/w", (16, 3), (64, 3), 1 / 4, 1 / 4, "output"),
    ("norm/scale", (16,), (64,), 1, 4, "vector"),
    ("strange", (16, 16), (64, 64), 1 / 4, 1, "hidden"),
    ("body/kernel", (64, 64), (16, 16), 4, 1, "hidden"),  # a narrower model
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[-1]}")
def test_each_kind_of_weight_has_the_rates_of_the_table(case):
    name, base, shape, adam, sgd, role = case
    for family, expected in (("adam", adam), ("sgd", sgd)):
        plan = resolve([Parameter(name, shape)], width_scaling({name: base}, optimizer=family))
        assert plan.rows[0].value == expected
        assert plan.rows[0].rule.startswith(f"width_scaling ({family}): {role}")


def test_the_plan_shows_which_dimensions_grow():
    row = resolve(
        [Parameter("a/kernel", (512, 128))],
        width_scaling({"a/kernel": (64, 32)}, optimizer="sgd"),
    ).rows[0]
    assert row.rule == "width_scaling (sgd): hidden, in x8, out x4"


@pytest.mark.parametrize(("grows", "role"), [(True, "input"), (False, "output")])
def test_the_bias_beside_tells_what_a_strange_name_does_not(grows, role):
    base = {"a/matrix": (16, 3), "a/bias": (4,)}
    parameters = [Parameter("a/matrix", (64, 3)), Parameter("a/bias", (16 if grows else 4,))]
    rule = resolve(parameters, width_scaling(base, optimizer="adam")).rows[0].rule
    assert role in rule


def test_what_names_do_not_tell_is_an_error_with_the_line_that_helps():
    strategy = width_scaling({"proj": (16, 3)}, optimizer="adam")
    with pytest.raises(MultiplierError, match=r"axes=\{'proj': 'io'\}"):
        resolve([Parameter("proj", (64, 3))], strategy)
    said = width_scaling({"proj": (16, 3)}, optimizer="adam", axes={"proj": "io"})
    assert resolve([Parameter("proj", (64, 3))], said).rows[0].value == 0.25
    assert resolve([Parameter("proj", (64, 3))], [strategy, {"proj": 0.5}]).rows[0].value == 0.5


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"proj": "i"}, "a letter for each axis"),
        ({"proj": "-o"}, "must not grow"),
        ({"porj": "io"}, "nearest 'proj'"),
        ({"proj": "xo"}, "got 'xo'"),
        ({"": "io"}, "names of parameters"),
        ("io", "must be a mapping"),
    ],
)
def test_axes_that_can_not_be_are_refused(axes, message):
    with pytest.raises((MultiplierError, UnmatchedRuleError), match=message):
        resolve(
            [Parameter("proj", (64, 3))],
            width_scaling({"proj": (16, 3)}, optimizer="adam", axes=axes),
        )


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({}, "no parameters"),
        (None, "must be the small model"),
        ("model", "must be the small model"),
        (3, "must be the small model"),
        ({"a": (1.5, 2)}, "small model|have a shape"),
        ({"": (1, 2)}, "names of parameters"),
        ({"a": (-1, 2)}, "at least 1"),
        ([("a", 3)], "have a shape"),
    ],
)
def test_a_base_that_is_none_is_refused(base, message):
    with pytest.raises(MultiplierError, match=message):
        width_scaling(base)


def test_a_parameter_that_base_lacks_is_an_error_unless_it_has_a_rule():
    parameters = [Parameter("a/kernel", (8, 8)), Parameter("b/kernel", (8, 8))]
    strategy = width_scaling({"a/kernel": (4, 4)}, optimizer="adam")
    with pytest.raises(UnmatchedRuleError, match=r"'b/kernel'.*its names are.*'a/kernel'"):
        resolve(parameters, strategy)
    assert resolve(parameters, [strategy, {"b": 3}]).multipliers(0).tolist() == [0.5, 3.0]
    assert resolve(parameters, strategy, strict=False).multipliers(0).tolist() == [0.5, 1.0]
    frozen = [parameters[0], Parameter("b/kernel", (8, 8), trainable=False)]
    assert resolve(frozen, strategy).multipliers(0).tolist() == [0.5, 1.0]


def test_another_number_of_axes_is_an_error_with_both_shapes():
    strategy = width_scaling({"a/kernel": (4, 4, 4)}, optimizer="adam")
    with pytest.raises(MultiplierError, match=r"\(8, 8\), and \(4, 4, 4\) in base"):
        resolve([Parameter("a/kernel", (8, 8))], strategy)


def test_an_unknown_optimizer_is_an_error_with_the_argument_that_helps():
    with pytest.raises(MultiplierError, match='optimizer="adam"'):
        resolve([Parameter("a/kernel", (8, 8))], width_scaling({"a/kernel": (4, 4)}))
    with pytest.raises(MultiplierError, match="must be one of 'adam', 'sgd', got 'muon'"):
        width_scaling({"a/kernel": (4, 4)}, optimizer="muon")


def test_names_that_keras_numbered_are_matched_by_their_order():
    base = {"sequential/dense/kernel": (2, 4), "sequential/dense_1/kernel": (4, 4)}
    wide = [
        Parameter("sequential_7/dense_1/kernel", (2, 8)),
        Parameter("sequential_7/dense_2/kernel", (8, 8)),
    ]
    plan = resolve(wide, width_scaling(base, optimizer="adam"))
    assert plan.multipliers(0).tolist() == [1.0, 0.5]


def test_a_wrapper_in_front_of_names_is_left_out_on_either_side():
    base = {"small.body.weight": (4, 4)}
    for name, short in (("body.weight", None), ("module.body.weight", "body.weight")):
        plan = resolve(
            [Parameter(name, (8, 8), short=short)],
            width_scaling(base, optimizer="adam"),
            separator=".",
        )
        assert plan.multipliers(0).tolist() == [0.5]


def test_it_multiplies_with_other_strategies_and_rules_win():
    base = {"a/kernel": (4, 4), "b/kernel": (4, 4), "c/kernel": (4, 2)}
    wide = {"a/kernel": (8, 8), "b/kernel": (8, 8), "c/kernel": (8, 2)}
    parameters = [Parameter(*pair) for pair in wide.items()]
    rules = [width_scaling(base, optimizer="adam"), layer_decay(0.5), {"b": 2}]
    assert resolve(parameters, rules).multipliers(0).tolist() == [0.125, 2.0, 0.5]


def test_a_config_keeps_names_shapes_and_their_order():
    base = {"b/kernel": (4, 4), "a/kernel": (4, 2)}
    strategy = width_scaling(base, optimizer="sgd", axes={"a": "io"})
    text = json.dumps(rules_to_config(strategy), sort_keys=True)
    again = rules_from_config(json.loads(text))
    assert again == strategy
    assert list(again.base.items()) == list(base.items())
    spec = RuleSpec([strategy, {"a": 2.0}])
    assert RuleSpec.from_config(json.loads(json.dumps(spec.to_config()))) == spec
    assert hash(strategy) == hash(again)
    with pytest.raises(ConfigError, match="small model"):
        rules_from_config(
            {"version": 1, "rules": {"strategy": {"name": "width_scaling", "base": 3}}}
        )


def test_later_changes_of_the_mapping_have_no_effect():
    base = {"a/kernel": (4, 4)}
    strategy = width_scaling(base, optimizer="adam")
    base["a/kernel"] = (2, 2)
    assert resolve([Parameter("a/kernel", (8, 8))], strategy).rows[0].value == 0.5


def noted(size, base, in_base=None, mend=None):
    values = ModelFacts(
        family=lambda: "adam",
        values=lambda: {"out/kernel": np.full((64, 2), size)},
        **({} if mend is None else {"mend": mend}),
    )
    start = base if in_base is None else {"out/kernel": np.full((16, 2), in_base)}
    plan = resolve_quietly([Parameter("out/kernel", (64, 2))], width_scaling(start), model=values)
    return plan.notes


def test_an_output_that_starts_too_large_is_told_with_the_factor():
    shapes = {"out/kernel": (16, 2)}
    (note,) = noted(1 / 8, shapes)  # a variance of 1 / 64
    assert "out/kernel *= 0.5" in note
    assert noted(1 / 16, shapes) == ()  # a standard deviation that fell as 1 / 4
    assert noted(0.0, shapes) == ()
    (note,) = noted(0.1, shapes, in_base=0.2)
    assert "starts 2 times as large" in note
    assert "*= 0.5" in note
    (note,) = noted(1.0, shapes, in_base=0.2)
    assert "*= 0.05" in note
    assert noted(0.05, shapes, in_base=0.2) == ()
    (note,) = noted(1 / 8, shapes, mend=lambda name, factor: f"mend({name}, {factor})")
    assert note.endswith("mend(out/kernel, 0.5)")


def test_a_weight_that_is_input_and_output_is_told():
    tied = Parameter("wte.weight", (99, 64), aliases=("head.weight",))
    with pytest.warns(UserWarning, match=r"multiply the output of the model by 0\.25"):
        plan = resolve(
            [tied], width_scaling({"wte.weight": (99, 16)}, optimizer="adam"), separator="."
        )
    assert plan.rows[0].value == 1.0


def test_a_model_of_any_framework_is_known_by_what_it_offers():
    kernel = SimpleNamespace(path="a/kernel", shape=(4, 4))
    of_keras = SimpleNamespace(trainable_variables=[kernel])
    of_torch = SimpleNamespace(
        named_parameters=lambda remove_duplicate: iter([("a.weight", np.ones((4, 4)))])
    )
    assert width_scaling(of_keras).base == {"a/kernel": (4, 4)}
    assert width_scaling(of_torch).base == {"a.weight": (4, 4)}
    assert width_scaling([("a.weight", np.ones((4, 4)))]).base == {"a.weight": (4, 4)}
    assert width_scaling({"a": np.ones((4, 4))}).base == {"a": (4, 4)}


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(MultiplierError, match=r"a size of 'a/kernel' must be .* at least 1, got 0"):
        width_scaling({"a/kernel": (0, 3)}, optimizer="adam")
