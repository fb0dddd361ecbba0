"""The public names: exported on purpose, all of them, and each explained by an example."""

import doctest
import importlib
import importlib.metadata
import inspect
import types

import pytest

import layerwise
from tests._support.rooms import ADAPTERS, FACES, NOUNS

MODULES = [
    "layerwise",
    "layerwise.errors",
    "layerwise.finder",
    "layerwise.multipliers",
    "layerwise.recorder",
    "layerwise.schedules",
]
HANDED_ON = MODULES[1:]
ADAPTED = ["layerwise.keras", "layerwise.optax", "layerwise.torch"]


def public_names(module: types.ModuleType) -> list[str]:
    """What a module offers: every name without an underscore that is not a module."""
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    )


@pytest.mark.parametrize("name", MODULES + ADAPTED)
def test_all_names_are_sorted_and_there(name):
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(set(module.__all__))
    listed = {n for n in module.__all__ if isinstance(getattr(module, n), types.ModuleType)}
    assert sorted(set(module.__all__) - listed - {"__version__"}) == public_names(module)


# What code about rules, schedules, plans and searches is written with, rather than these.
NOT_ON_THE_FACADE = {
    "AnyStrategy",
    "Band",
    "Bands",
    "BatchRow",
    "ByMetric",
    "Clock",
    "Container",
    "Course",
    "Decided",
    "Decision",
    "Ended",
    "ExactKey",
    "HostGenerator",
    "KeyOf",
    "Layers",
    "MLflow",
    "ModelFacts",
    "ModelLayers",
    "Override",
    "Parameter",
    "ParameterStrategy",
    "PendingRows",
    "PlanRow",
    "PlateauDecisions",
    "PlateauEvent",
    "PlateauState",
    "Probe",
    "ProgressLines",
    "QuadraticBands",
    "QuadraticTrainer",
    "RatesKeywords",
    "RatesOptions",
    "RatesProbe",
    "RatesTrainer",
    "RecorderWarning",
    "RuleSpec",
    "Rules",
    "SearchKeywords",
    "SearchOptions",
    "Sink",
    "Sizes",
    "Stacked",
    "StepValue",
    "StopRule",
    "Stopped",
    "SweepPoints",
    "TensorBoard",
    "Trainer",
    "Value",
    "WeightsAndBiases",
    "WidthCheck",
    "WidthTrial",
    "accumulated",
    "arrays_in",
    "blocks_joined",
    "by",
    "candidates",
    "check_one_rate",
    "check_ratios",
    "check_stacked",
    "check_value",
    "check_wait",
    "metric_columns",
    "check_widths",
    "clamp",
    "common_start",
    "container_state",
    "counters_of",
    "counts_of_start",
    "counts_updates",
    "cut",
    "delay",
    "distinct",
    "first_value",
    "generator_state",
    "global_states",
    "group_labels",
    "has_objects",
    "is_closed_form",
    "is_embedding",
    "is_head",
    "is_norm",
    "levels_from_names",
    "lower_bound",
    "map_arrays",
    "may_be_0",
    "measure_widths",
    "minimum_over_10",
    "moves",
    "multiply_plans",
    "named_layers",
    "named_rules",
    "numbered",
    "place_of",
    "plateaus_in",
    "product",
    "relative",
    "relative_course",
    "repeat",
    "options_from",
    "replace_by_metric",
    "resolve",
    "rules_from_config",
    "rules_to_config",
    "rules_to_search",
    "scale_steps",
    "search",
    "search_rates",
    "skip",
    "slide",
    "smooth",
    "steepest",
    "then",
    "tracked",
    "valley",
    "value_at",
    "value_from_config",
    "value_text",
    "value_to_config",
    "values_in_advance",
    "values_over",
    "values_together",
}


def test_the_facade_hands_on_what_one_writes_with():
    offered = {
        name: getattr(module, name)
        for module in map(importlib.import_module, HANDED_ON)
        for name in module.__all__
    }
    handed_on = {name: getattr(layerwise, name) for name in layerwise.__all__}
    assert handed_on.pop("__version__") == layerwise.__version__
    assert set(offered) - set(handed_on) == NOT_ON_THE_FACADE
    assert handed_on == {name: offered[name] for name in handed_on}


def test_no_two_nouns_offer_one_name():
    names = [name for module in HANDED_ON for name in importlib.import_module(module).__all__]
    assert len(names) == len(set(names))


def test_no_name_hides_a_room():
    assert set(layerwise.__all__) & (NOUNS | set(ADAPTERS) | FACES) == set()


def test_the_facade_knows_its_version():
    assert layerwise.__version__ == importlib.metadata.version("layerwise")


# A type alias carries no docstring of its own, and an error is raised rather than called.
EXPLAINED = [
    pytest.param(value, id=f"{module.__name__}.{name}")
    for module in map(importlib.import_module, MODULES[2:])
    for name in module.__all__
    if inspect.isclass(value := getattr(module, name)) or inspect.isroutine(value)
]


@pytest.mark.parametrize("value", EXPLAINED)
def test_every_public_name_has_an_example(value):
    assert doctest.DocTestParser().get_examples(inspect.getdoc(value) or "") != []


@pytest.mark.parametrize("name", layerwise.errors.__all__)
def test_every_error_says_when_it_is_raised(name):
    assert vars(getattr(layerwise.errors, name)).get("__doc__")
