"""explain, layers_of and the names of variables in every kind of model."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from layerwise import cosine, discriminative, gradual_unfreezing, layer_decay, warmup
from layerwise.errors import MultiplierError
from layerwise.keras import LearningRateSchedule, LRMultiplier, annotate, explain, layers_of
from tests._support.keras.networks import fit, make_network
from tests._support.keras.variables import bits


def functional(name: str = "inner") -> Any:
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="a")(inputs)
    return keras.Model(inputs, layers.Dense(4, name="b")(x), name=name)


class Subclassed(keras.Model):
    """A model with a weight of its own, a layer built of others, and a nested model."""

    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.token = self.add_weight(shape=(4,), name="token")
        self.attention = layers.MultiHeadAttention(2, 2, name="attention")
        self.nested = functional()
        self.head = layers.Dense(2, name="head")

    def call(self, x: Any) -> Any:
        x = x + self.token
        return self.head(self.nested(keras.ops.mean(self.attention(x, x), axis=1)))


def subclassed() -> Any:
    model = Subclassed()
    model(np.zeros((1, 3, 4), "float32"))
    return model


def owners(levels: tuple[tuple[str, ...], ...]) -> list[str]:
    return [" ".join(dict.fromkeys(path.rsplit("/", 1)[0] for path in level)) for level in levels]


def test_layers_of_a_sequential_model() -> None:
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="a"), layers.ReLU(), layers.Dense(2, name="b")],
        name="s",
    )
    assert owners(layers_of(model)) == ["s/a", "s/b"]


def test_layers_of_a_functional_graph_with_branches() -> None:
    inputs = keras.Input((4,))
    stem = layers.Dense(4, name="stem")(inputs)
    long = layers.Dense(4, name="long2")(layers.Dense(4, name="long1")(stem))
    short = layers.Dense(4, name="short")(stem)
    model = keras.Model(inputs, layers.Dense(2, name="head")(long + short))
    levels = owners(layers_of(model))
    assert levels[0] == "stem"
    assert levels[-1] == "head"
    assert sorted(" ".join(levels[1:-1]).split()) == ["long1", "long2", "short"]
    assert len(levels) == 4  # short stands beside one of the long ones


def test_layers_of_nested_and_subclassed_models() -> None:
    assert owners(layers_of(subclassed())) == [
        "subclassed",
        "subclassed/attention/query subclassed/attention/key subclassed/attention/value "
        "subclassed/attention/attention_output",
        "a",
        "b",
        "subclassed/head",
    ]


def test_a_layer_used_twice_is_one_level() -> None:
    inputs = keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    model = keras.Model(inputs, layers.Dense(2, name="head")(shared(shared(inputs))))
    assert owners(layers_of(model)) == ["shared", "head"]


def test_branches_of_nested_models_end_together() -> None:
    left = functional("left")
    one, two = keras.Input((4,)), keras.Input((4,))
    right = layers.Dense(4, name="right")
    model = keras.Model([one, two], layers.Dense(2, name="head")(left(one) + right(two)))
    assert owners(layers_of(model)) == ["a", "b right", "head"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (layer_decay(0.5), [0.25, 0.5, 1.0]),
        (discriminative(0.01), [0.01, 0.1, 1.0]),
        (gradual_unfreezing(every=10), [0.0, 0.0, 1.0]),
    ],
)
def test_strategies_without_and_with_levels_agree_on_a_plain_model(
    strategy: Any, expected: list[float]
) -> None:
    model = make_network()
    plan = explain(model, strategy)
    np.testing.assert_allclose(plan.multipliers(0), np.repeat(expected, 2))
    written = layer_decay(0.5, layers=layers_of(model))
    np.testing.assert_allclose(
        explain(model, written).multipliers(0), np.repeat([0.25, 0.5, 1.0], 2)
    )


def test_layer_decay_with_levels_in_training() -> None:
    model = subclassed()
    optimizer = LRMultiplier("sgd", layer_decay(0.5, layers=layers_of(model)))
    optimizer.build(model.trainable_variables)
    rates = optimizer.learning_rates()
    assert rates["subclassed/token"] == pytest.approx(0.01 / 16)
    assert rates["subclassed/attention/key/bias"] == pytest.approx(0.01 / 8)
    assert rates["a/kernel"] == pytest.approx(0.01 / 4)
    assert rates["subclassed/head/kernel"] == pytest.approx(0.01)


@pytest.mark.parametrize("key", ["attention", "subclassed/attention", "subclassed/attention/"])
def test_the_models_own_name_may_be_left_out(key: str) -> None:
    rows = explain(subclassed(), {key: 0.5}).rows
    assert sum(row.value == 0.5 for row in rows) == 8


@pytest.mark.parametrize("key", ["token", "subclassed/token"])
def test_also_of_a_weight_of_the_model_itself(key: str) -> None:
    rows = explain(subclassed(), {key: 0.5}).rows
    assert [row.parameter.name for row in rows if row.value == 0.5] == ["subclassed/token"]
    levels = [[key], ["attention"], ["a", "b"], ["head"]]
    found = explain(subclassed(), layer_decay(0.5), layers=levels).rows
    assert [row.value for row in found if row.parameter.name == "subclassed/token"] == [0.125]


def test_it_shows_what_training_does_and_changes_nothing() -> None:
    model = make_network()
    before = bits(model.weights)
    rules, schedule = {"low": 0.1, "high": warmup(4)}, cosine(20)
    plan = explain(model, rules, schedule=schedule, optimizer="sgd", steps=(4, 20))
    assert bits(model.weights) == before
    assert getattr(model, "optimizer", None) is None
    for epochs in (0, 1):
        fit(model, LRMultiplier("sgd", rules, schedule=schedule), epochs=epochs)
        model.optimizer.build(model.trainable_variables)
        now = 8 * epochs
        assert list(model.optimizer.learning_rates().values()) == pytest.approx(plan.rates(now))
    assert plan.to_dict()["rate @ 4"] == pytest.approx(
        [0.01 * schedule(4) * m for m in (0.1, 0.1, 1, 1, 1, 1)]
    )


@pytest.mark.parametrize("kind", ["ours", "Keras' own"])
def test_a_base_rate_that_is_a_schedule_moves_in_the_plan(kind: str) -> None:
    rate: Any = LearningRateSchedule(cosine(100) * 0.1)
    if kind == "Keras' own":
        rate = keras.optimizers.schedules.CosineDecay(0.1, 100)
    optimizer = LRMultiplier(keras.optimizers.SGD(rate), {"low": 0.5})
    plan = optimizer.plan_for(make_network().trainable_variables, steps=(50, 100))
    rates = [plan.rates(step)[0] for step in (0, 50, 100)]
    # Keras' schedule is computed in float32.
    np.testing.assert_allclose(rates, [0.05, 0.025, 0.0], rtol=1e-6, atol=1e-9)


def test_the_present_step_is_the_models() -> None:
    model = make_network()
    fit(model, LRMultiplier("sgd", {"low": 0.5}))
    assert explain(model, {"high": 0.5}, schedule=cosine(10)).step == 8


def test_names_that_come_twice_are_all_there() -> None:
    optimizer = LRMultiplier("sgd", {"a": 0.5})
    optimizer.build([*functional().trainable_variables, *functional().trainable_variables])
    rates = optimizer.learning_rates()
    assert len(rates) == 8
    assert rates["a/kernel (2)"] == rates["a/kernel"] == pytest.approx(0.005)


def test_it_prints_a_table() -> None:
    model = make_network()
    fit(model, LRMultiplier(keras.optimizers.AdamW(0.01), {"low": 0, "high/kernel": 0.5}))
    text = str(explain(model))
    for part in ("low", "high/kernel", "0.5", "5e-3", "4e-3", "frozen"):
        assert part in text


def test_rules_are_explained_alone_on_a_model_that_has_others() -> None:
    model = make_network()
    fit(model, LRMultiplier("sgd", {"low": 0.5}))
    assert [row.value for row in explain(model, {"low": 0.1}).rows][:2] == [0.1, 0.1]
    assert [row.value for row in explain(model).rows][:2] == [0.5, 0.5]


def test_without_rules_it_lists_the_weights() -> None:
    model = make_network()
    plan = explain(model)
    assert [row.parameter.name for row in plan.rows] == [v.path for v in model.trainable_variables]
    assert {(row.rule, row.value) for row in plan.rows} == {(None, 1.0)}
    fit(model, keras.optimizers.SGD(0.25))
    plan = explain(model)
    assert (plan.learning_rate, plan.step) == (0.25, 8)


def test_a_model_that_is_only_annotated() -> None:
    model = make_network()
    annotate(model.get_layer("high"), {"kernel": 0.5})
    assert [row.value for row in explain(model).rows] == [1.0] * 4 + [0.5, 1.0]


def test_the_base_rate_and_the_step_may_be_given() -> None:
    model = make_network()
    fit(model, LRMultiplier(keras.optimizers.SGD(LearningRateSchedule(cosine(40))), {"low": 0.5}))
    plan = explain(model, learning_rate=0.5, step=3)
    assert (plan.learning_rate, plan.step, plan.schedule) == (0.5, 3, None)
    np.testing.assert_allclose(plan.rates(3), [0.25] * 2 + [0.5] * 4)
    plan = explain(model, {"high": 0.5}, learning_rate=0.5, step=3)
    np.testing.assert_allclose(plan.rates(3), [0.5] * 4 + [0.25] * 2)


def test_levels_of_the_models_graph() -> None:
    model = make_network()
    levels = [("high",), ("middle", "low")]
    plan = explain(model, layer_decay(0.5), layers=levels)
    np.testing.assert_allclose(plan.multipliers(0), [1.0] * 4 + [0.5] * 2)
    model = subclassed()
    given = explain(model, layer_decay(0.5), layers=layers_of(model))
    written = explain(model, layer_decay(0.5, layers=layers_of(model)))
    np.testing.assert_array_equal(given.multipliers(0), written.multipliers(0))


def test_levels_are_the_optimizers_and_saved_with_it() -> None:
    model = make_network()
    levels = [("high",), ("middle", "low")]
    optimizer = LRMultiplier("sgd", layer_decay(0.5), layers=levels)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    later = LRMultiplier("sgd").with_rules(layer_decay(0.5), layers=levels)
    for each in (optimizer, again, later):
        values = [row.value for row in each.plan_for(model.trainable_variables).rows]
        assert values == [1.0] * 4 + [0.5] * 2


def test_a_normalization_belongs_to_the_layer_that_it_follows() -> None:
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="a")(layers.LayerNormalization(name="first")(inputs))
    x = layers.GroupNormalization(2, name="group")(layers.BatchNormalization(name="batch")(x))
    x = layers.RMSNormalization(name="rms")(layers.Dense(4, name="b")(x))
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    assert owners(layers_of(model)) == ["first a batch group", "b rms", "head"]
    assert owners(layers_of(keras.Sequential(model.layers))) == owners(layers_of(model))


def blocks() -> Any:
    """As in ``keras.applications``: no containers, and the blocks in the names."""
    inputs = x = keras.Input((4,))
    for name in ("conv_1", "block_expand", "block_project", "block_1_expand", "block_1_project"):
        x = layers.BatchNormalization(name=f"{name}_bn")(layers.Dense(4, name=name)(x))
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def test_layers_by_block() -> None:
    model = blocks()
    assert len(layers_of(model)) == 6
    levels = layers_of(model, by="block")
    assert [level[0].split("/")[0] for level in levels] == [
        "conv_1",
        "block_expand",
        "block_1_expand",
        "head",
    ]
    plan = explain(model, gradual_unfreezing(10), layers=levels)
    assert [sum(plan.multipliers(step) == 1) for step in (0, 10, 20, 30)] == [2, 10, 18, 22]
    with pytest.raises(MultiplierError, match="by must be one of 'layer', 'block'"):
        layers_of(model, by="stage")


def test_levels_of_the_whole_hold_for_what_trains_of_it() -> None:
    model = make_network()
    levels = layers_of(model)
    model.get_layer("low").trainable = False
    model.get_layer("high").trainable = False
    assert explain(model, layer_decay(0.5), layers=levels).multipliers(0).tolist() == [0.5, 0.5]
    assert explain(model, discriminative(0.25), layers=levels).multipliers(0)[0] == 0.5


def test_a_prefix_that_takes_longer_numbers_is_said() -> None:
    inputs = x = keras.Input((4,))
    for number in range(12):
        x = layers.Dense(4, name=f"block_{number}")(x)
    model = keras.Model(inputs, x)
    with pytest.warns(
        UserWarning, match=r"'block_1' also takes 'block_10', 'block_11'.*'block_1/'"
    ):
        plan = explain(model, {"block_1": 0.0})
    assert "also takes 'block_10'" in str(plan)
    assert [row.frozen for row in explain(model, {"block_1/": 0.0}).rows].count(True) == 2


def test_levels_of_the_whole_are_saved_as_such() -> None:
    model = make_network()
    optimizer = LRMultiplier("sgd", layer_decay(0.5), layers=layers_of(model))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    model.get_layer("high").trainable = False
    again.build(model.trainable_variables)
    assert sorted(set(again.learning_rates().values())) == pytest.approx([0.0025, 0.005])


def test_a_number_of_the_model_itself_is_the_heads() -> None:
    class Scaled(Subclassed):
        def __init__(self) -> None:
            super().__init__()
            self.temperature = self.add_weight(shape=(), name="temperature")

    model = Scaled()
    model(np.zeros((1, 3, 4), "float32"))
    levels = layers_of(model)
    assert levels[0] == ("subclassed/token",)
    assert "subclassed/temperature" in levels[-1]


def test_a_schedule_of_keras_is_called_by_its_name():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    decay = keras.optimizers.schedules.CosineDecay(0.01, 10)
    text = str(explain(model, {}, optimizer=keras.optimizers.SGD(decay)))
    assert "CosineDecay" in text
    assert "lambda" not in text
