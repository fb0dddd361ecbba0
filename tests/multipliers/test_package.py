import subprocess
import sys
import textwrap

import pytest

import layerwise.multipliers as package

FRAMEWORKS = ("jax", "keras", "optax", "tensorflow", "torch", "rich", "matplotlib")


def test_the_exported_names_are_these():
    assert package.__all__ == sorted(package.__all__)
    assert package.__all__ == [
        "AnyStrategy",
        "Decided",
        "Decision",
        "ExactKey",
        "KeyOf",
        "Layers",
        "ModelFacts",
        "ModelLayers",
        "Override",
        "Parameter",
        "ParameterStrategy",
        "Plan",
        "PlanRow",
        "RuleSpec",
        "Rules",
        "Sizes",
        "Stacked",
        "StepValue",
        "Strategy",
        "Value",
        "WidthCheck",
        "WidthTrial",
        "blocks_joined",
        "check_stacked",
        "check_value",
        "check_widths",
        "common_start",
        "discriminative",
        "distinct",
        "first_value",
        "gradual_unfreezing",
        "group_labels",
        "has_objects",
        "is_embedding",
        "is_head",
        "is_norm",
        "layer_decay",
        "levels_from_names",
        "lora_plus",
        "may_be_0",
        "measure_widths",
        "moves",
        "multiply_plans",
        "named_layers",
        "named_rules",
        "numbered",
        "override",
        "place_of",
        "resolve",
        "rules_from_config",
        "rules_to_config",
        "side_by_side",
        "value_at",
        "value_from_config",
        "value_text",
        "value_to_config",
        "width_scaling",
    ]


@pytest.mark.parametrize("name", package.__all__)
def test_every_exported_name_is_there(name):
    assert getattr(package, name) is not None


def loaded_by(code):
    checked = textwrap.dedent(code) + f"\nprint(sorted(set({FRAMEWORKS!r}) & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", "import sys\n" + checked], capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_resolving_loads_no_framework():
    code = """
        from layerwise.multipliers import Parameter, layer_decay, resolve
        plan = resolve([Parameter("a/k"), Parameter("b/k")], [{"a": 0.5}, layer_decay(0.5)])
        assert plan.rates is not None and plan.to_dict() and repr(plan)
    """
    assert loaded_by(code) == "[]"


def test_the_check_above_can_fail():
    assert loaded_by("import layerwise.multipliers, rich") == "['rich']"
