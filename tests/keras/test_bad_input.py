"""Bad input: one clear error of ours each, and nothing is changed by it."""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise import cosine
from layerwise.errors import (
    ConfigError,
    LayerwiseError,
    MultiplierError,
    OptimizerError,
    ScheduleError,
    UnmatchedRuleError,
)
from layerwise.keras import LearningRateSchedule, LRMultiplier, annotate, explain
from tests._support.bad_rules import at_once, levels, with_a_model
from tests._support.keras.networks import fit, make_network
from tests._support.keras.variables import bits
from tests._support.keras.versions import since

NO_OPTIMIZER: list[tuple[Any, str]] = [
    ("no-such", r"'no-such'"),
    (3, r"3"),
    (None, r"needs an optimizer"),
    (keras.optimizers.Adam, r"Adam.*make an instance"),
]


@pytest.mark.parametrize(("optimizer", "message"), NO_OPTIMIZER)
def test_no_optimizer(optimizer: Any, message: str) -> None:
    with pytest.raises(OptimizerError, match=f"(?s){message}"):
        LRMultiplier(optimizer)


@pytest.mark.parametrize(("arguments", "error", "message"), [*at_once("low"), *levels("low")])
def test_construction_refuses(
    arguments: dict[str, Any], error: type[LayerwiseError], message: str
) -> None:
    for refuse in (
        lambda: LRMultiplier("adam", **arguments),
        lambda: LRMultiplier("adam").with_rules(**arguments),
        lambda: explain(make_network(), **arguments),
    ):
        with pytest.raises(error, match=f"(?s){message}"):
            refuse()


@pytest.mark.parametrize(("arguments", "error", "message"), with_a_model("low"))
def test_building_refuses_and_changes_nothing(
    arguments: dict[str, Any], error: type[LayerwiseError], message: str
) -> None:
    model = make_network()
    optimizer = LRMultiplier("adam", **arguments)
    before = bits(model.weights), bits(optimizer.variables)
    with pytest.raises(error, match=f"(?s){message}"):
        fit(model, optimizer)
    assert (bits(model.weights), bits(optimizer.variables)) == before
    assert not optimizer.built
    with pytest.raises(error, match=f"(?s){message}"):
        explain(model, **arguments)


def test_strict_false_allows_a_dead_rule() -> None:
    model = make_network()
    fit(model, LRMultiplier("adam", {"nowhere": 0.5}, strict=False))
    assert list(model.optimizer.learning_rates().values()) == pytest.approx([0.001] * 6)


def test_an_optimizer_built_on_other_variables() -> None:
    first, second = make_network(), make_network()
    fit(first, keras.optimizers.Adam())
    before = bits(second.weights)
    with pytest.raises(OptimizerError, match=r"(?s)'adam.*6 other variables.*LRMultiplier\(Adam"):
        fit(second, LRMultiplier(first.optimizer, {"low": 0.5}))
    assert bits(second.weights) == before


def test_an_optimizer_built_on_the_same_variables_hands_its_state_on() -> None:
    model, other = make_network(), make_network()
    fit(model, keras.optimizers.Adam())
    slots = bits(model.optimizer.variables)
    source = model.optimizer
    fit(model, LRMultiplier(source, {"low": 1.0}))
    fit(other, keras.optimizers.Adam(), epochs=2)
    assert bits(model.weights) == bits(other.weights)
    assert int(model.optimizer.iterations) == 16
    assert bits(source.variables) == slots


def test_other_rules_go_on_from_the_same_state() -> None:
    model, other = make_network(), make_network()
    fit(model, LRMultiplier("adam", {"low": 0.5}))
    fit(model, model.optimizer.with_rules({"high": 0.0}))
    assert int(model.optimizer.iterations) == 16
    assert list(model.optimizer.learning_rates().values()) == pytest.approx([0.001] * 4 + [0.0] * 2)
    fit(other, LRMultiplier("adam", {"low": 0.5}))
    high = bits(other.weights)[4:]
    fit(other, LRMultiplier(other.optimizer.plain(), {"high": 0.0}))
    assert bits(model.weights)[4:] == high
    assert bits(model.weights)[:4] != bits(other.weights)[:4]  # without the state it differs


@since(3, 14)
def test_optimizers_that_hand_variables_on_are_refused_with_the_way_out() -> None:
    multi = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(keras.optimizers.Adam(), {})
    )
    with pytest.raises(OptimizerError, match=r"MultiOptimizer\(LRMultiplier\("):
        LRMultiplier(multi, {"low": 0.5})
    with pytest.raises(OptimizerError, match=r"LossScaleOptimizer\(LRMultiplier\("):
        LRMultiplier(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), {"low": 0.5})


class Forgetful(keras.optimizers.SGD):
    """An optimizer whose config loses what it was given."""

    def __init__(self, learning_rate: float = 0.1, boost: float = 1.0, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.boost = boost


class Fused(keras.optimizers.Optimizer):
    """An optimizer that goes around update_step."""

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            variable.assign_sub(learning_rate * gradient)


def test_an_optimizer_that_its_config_does_not_describe() -> None:
    with pytest.raises(OptimizerError, match=r"boost=2\.0.*get_config"):
        LRMultiplier(Forgetful(boost=2.0), {"low": 0.5})


def test_an_optimizer_that_never_asks_for_rates() -> None:
    model = make_network()
    with pytest.raises(OptimizerError, match="update_step"):
        fit(model, LRMultiplier(Fused(0.1), {"low": 0.5}), run_eagerly=BACKEND_IS_EAGER)


BACKEND_IS_EAGER = keras.backend.backend() != "jax"


def test_schedules_for_keras() -> None:
    with pytest.raises(ScheduleError, match=r"0\.1"):
        LearningRateSchedule(0.1)
    with pytest.raises(ScheduleError, match=r"layerwise\.keras\.LearningRateSchedule"):
        cosine(10)()
    rate = LearningRateSchedule(cosine(10) * 0.1)
    unknown = {"schedule": rate.get_config()["schedule"] | {"version": 99}}
    with pytest.raises(ConfigError, match="99"):
        LearningRateSchedule.from_config(unknown)


def test_explain_needs_weights_and_whole_steps() -> None:
    with pytest.raises(OptimizerError, match=r"'empty' has no trainable weights"):
        explain(keras.Sequential(name="empty"), {"low": 0.5})
    with pytest.raises(MultiplierError, match=r"steps must be a whole number .*-1"):
        explain(make_network(), steps=(-1,))
    with pytest.raises(MultiplierError, match=r"step must be a whole number .*0\.5"):
        explain(make_network(), step=0.5)
    with pytest.raises(MultiplierError, match=r"learning_rate must be a finite number .*-1"):
        explain(make_network(), learning_rate=-1)


def test_rates_before_the_variables_are_known() -> None:
    with pytest.raises(OptimizerError, match=r"has not seen its variables"):
        LRMultiplier("adam", {"low": 0.5}).learning_rates()


def test_a_layer_that_does_not_train_is_not_there_to_be_matched() -> None:
    model = make_network()
    model.get_layer("low").trainable = False
    with pytest.raises(UnmatchedRuleError, match=r"(?s)'low'.*trainable=False.*annotate"):
        explain(model, {"low": 0.5})


def test_an_if_in_a_multiplier_says_what_to_write() -> None:
    optimizer = LRMultiplier("sgd", {"low": lambda step: 0.5 if step < 3 else 1.0})
    if keras.backend.backend() == "torch":
        fit(make_network(), optimizer)  # runs line by line: nothing is wrong with it there
        assert int(optimizer.iterations) == 8
    elif keras.backend.backend() == "jax":
        with pytest.raises(MultiplierError, match=r"(?s)'low'.*keras\.ops\.where"):
            fit(make_network(), optimizer)
    else:  # TensorFlow's AutoGraph rewrites the `if` where it can, and says so where it can't
        with pytest.raises(MultiplierError, match=r"(?s)'low'.*keras\.ops\.where"):
            fit(make_network(), optimizer)


def test_a_multiplier_below_0_freezes_instead_of_climbing() -> None:
    model = make_network()
    optimizer = LRMultiplier("sgd", {"low": lambda step: 2.0 - step})
    fit(model, optimizer)
    low = bits(model.weights)[:2]
    assert next(iter(optimizer.learning_rates().values())) == 0.0
    x = np.ones((8, 6), "float32")
    model.fit(x, np.ones(8), batch_size=8, verbose=0)
    assert bits(model.weights)[:2] == low


def test_rules_are_the_optimizers_own() -> None:
    rules = {"low": 0.5}
    optimizer = LRMultiplier("sgd", rules)
    rules["low"] = 0.25
    assert optimizer.plan_for(make_network().trainable_variables).rows[0].value == 0.5


def test_annotating_takes_all_or_nothing() -> None:
    layer = keras.layers.Dense(2, name="here")
    layer.build((None, 3))
    with pytest.raises(UnmatchedRuleError, match=r"here.*'biass'.*'kernel', 'bias'"):
        annotate(layer, {"kernel": 0.0, "biass": 1.0})
    assert type(layer) is keras.layers.Dense
    annotate(layer, 0.5)
    with pytest.raises(UnmatchedRuleError, match="biass"):
        layer.lr_multiplier = {"biass": 1.0}
    assert layer.lr_multiplier == 0.5
    rows = LRMultiplier("sgd").plan_for(layer.trainable_variables).rows
    assert [row.value for row in rows] == [0.5, 0.5]


def test_annotating_a_model_needs_its_layers_and_one_value() -> None:
    unbuilt = keras.Sequential([keras.layers.Dense(2)], name="unbuilt")
    with pytest.raises(MultiplierError, match=r"'unbuilt' has no weights yet"):
        annotate(unbuilt, 0.5)
    with pytest.raises(MultiplierError, match=r"'network' is a model"):
        annotate(make_network(), {"kernel": 0.5})


def test_annotate_takes_layers() -> None:
    with pytest.raises(MultiplierError, match="'dense'"):
        annotate("dense", 0.5)
    layer = keras.layers.Dense(3, name="here")
    with pytest.raises(MultiplierError, match=r"here.*-1"):
        annotate(layer, -1)
    assert type(layer) is keras.layers.Dense
