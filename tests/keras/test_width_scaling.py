"""width_scaling and lora_plus in Keras, against one optimizer for each rate."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from layerwise import MultiplierError, UnmatchedRuleError, lora_plus, width_scaling
from layerwise.keras import LRMultiplier, check_width_scaling, explain
from layerwise.keras._optimizer.model_facts import family_of


def network(width, head="zeros"):
    """Layers of many kinds, with the names that Keras gives them."""
    inputs = keras.Input((12,))
    x = layers.Embedding(20, width)(inputs)
    x = x + layers.MultiHeadAttention(width // 8, 8)(x, x)
    x = layers.SeparableConv1D(width, 3)(x)
    x = layers.DepthwiseConv1D(3)(x)
    x = layers.Conv1DTranspose(2 * width, 3)(x)
    x = layers.LayerNormalization()(layers.LSTM(width)(x))
    return keras.Model(inputs, layers.Dense(5, kernel_initializer=head)(x))


def kinds(plan):
    return [row.rule.partition(": ")[2].partition(",")[0] for row in plan.rows]


EXPECTED = [
    *("input", *["hidden", "vector"] * 4),  # an embedding, and attention
    *("input", "hidden", "vector"),  # a separable convolution
    *("input", "vector"),  # a depthwise one
    *("hidden", "vector", "hidden", "hidden", "vector", "vector", "vector"),
    *("output", "fixed"),
]


def test_the_layers_of_keras_are_known_by_their_names():
    plan = explain(network(64), width_scaling(network(16)), optimizer="sgd")
    assert kinds(plan) == EXPECTED
    for row, kind in zip(plan.rows, kinds(plan), strict=True):
        assert row.value == {"hidden": 1, "output": 0.25, "fixed": 1}.get(kind, 4)
    plan = explain(network(64), width_scaling(network(16)), optimizer="adamw")
    for row, kind in zip(plan.rows, kinds(plan), strict=True):
        assert row.value == (0.25 if kind in ("hidden", "output") else 1)


@pytest.mark.parametrize(
    ("identifier", "family"),
    [
        *((name, "adam") for name in ("Adam", "AdamW", "Nadam", "Adamax", "RMSprop", "Lion")),
        *((name, "adam") for name in ("Adagrad", "Adadelta", "Ftrl")),
        ("SGD", "sgd"),
        *((name, None) for name in ("Adafactor", "Lamb", "Muon")),
    ],
)
def test_the_family_is_read_from_the_optimizer(identifier, family):
    optimizer = getattr(keras.optimizers, identifier)()
    assert family_of(optimizer) == family
    assert family_of(keras.optimizers.LossScaleOptimizer(optimizer)) == family
    if family is not None:
        assert family_of(LRMultiplier(optimizer)) == family


def test_a_subclass_is_of_its_family_and_an_unknown_optimizer_is_an_error():
    class Mine(keras.optimizers.Adam):
        pass

    assert family_of(Mine()) == "adam"
    with pytest.raises(MultiplierError, match=r'optimizer="adam"'):
        explain(network(64), width_scaling(network(16)), optimizer=keras.optimizers.Muon())
    plan = explain(
        network(64), width_scaling(network(16), optimizer="adam"), optimizer=keras.optimizers.Muon()
    )
    assert plan.rows[-2].value == 0.25


@pytest.mark.parametrize(
    ("optimizer", "rates"),
    [
        (keras.optimizers.Adam(1e-2), [1, 1, 1 / 8, 1, 1 / 8, 1]),
        (keras.optimizers.SGD(1e-2, momentum=0.9), [8, 8, 1, 8, 1 / 8, 1]),
    ],
)
def test_training_equals_one_optimizer_for_each_rate(optimizer, rates):
    def make(width):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(width, "relu")])
        model.add(layers.Dense(width, "relu"))
        model.add(layers.Dense(2, kernel_initializer="zeros"))
        return model

    ours, theirs = make(64), make(64)
    theirs.set_weights(ours.get_weights())
    multiplied = LRMultiplier(optimizer, width_scaling(make(8)))
    ours.compile(multiplied, "mse")
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    config = optimizer.get_config()
    several = [
        type(optimizer).from_config(config | {"learning_rate": 1e-2 * rate}) for rate in rates
    ]
    for one, variable in zip(several, theirs.trainable_variables, strict=True):
        one.build([variable])
    for _ in range(3):
        before = [np.array(w) for w in theirs.get_weights()]
        gradients = gradients_of(theirs, x, x[:, :2])
        theirs.set_weights(before)
        for one, gradient, variable in zip(
            several, gradients, theirs.trainable_variables, strict=True
        ):
            one.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        ours.train_on_batch(x, x[:, :2])
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def gradients_of(model, x, y):
    """The gradients on any backend: what plain SGD at a rate of 1 takes away."""
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.train_on_batch(x, y)
    return [old - new for old, new in zip(before, model.get_weights(), strict=True)]


def test_a_config_keeps_the_shapes():
    optimizer = LRMultiplier("adam", width_scaling(network(16)))
    config = json.loads(json.dumps(optimizer.get_config(), sort_keys=True))
    again = LRMultiplier.from_config(config)
    model = network(64)
    again.build(model.trainable_variables)
    plan = explain(model, width_scaling(network(16), optimizer="adam"))
    assert [row.value for row in again.plan().rows] == [row.value for row in plan.rows]


def test_an_output_that_starts_as_usual_is_told_with_a_line_that_mends_it():
    def make(width):
        return keras.Sequential([keras.Input((4,)), layers.Dense(width), layers.Dense(4)])

    keras.utils.set_random_seed(0)
    rules, model = width_scaling(make(64)), make(1024)
    with pytest.warns(UserWarning, match="Before training, once: ") as warned:
        explain(model, rules, optimizer="adam")
    before = np.array(model.layers[-1].kernel)
    (said,) = [str(w.message) for w in warned if "Before training, once: " in str(w.message)]
    exec(said.partition("Before training, once: ")[2], {"model": model})
    mended = keras.ops.convert_to_numpy(model.layers[-1].kernel)
    assert 0.2 < np.linalg.norm(mended) / np.linalg.norm(before) < 0.3
    assert explain(model, rules, optimizer="adam").notes == ()


def test_the_coordinate_check_passes_with_it_and_not_without():
    def make(width):
        # Keras' own start, Glorot's, makes input weights smaller as the network widens.
        start = "lecun_normal"
        return keras.Sequential(
            [
                keras.Input((8,)),
                layers.Dense(width, "relu", kernel_initializer=start, name="a"),
                layers.Dense(width, "relu", kernel_initializer=start, name="b"),
                layers.Dense(1, kernel_initializer="zeros", name="head"),
            ]
        )

    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    arguments = (make, [64, 512], x, x[:, :1], "mse")
    options = {"optimizer": keras.optimizers.Adam(3e-3), "steps": 3, "repeats": 4}
    check = check_width_scaling(*arguments, **options)
    assert check.layers == ("a", "b", "head")
    assert check.passes, check.verdict
    assert not check_width_scaling(*arguments, **options, rules={}).passes


def test_the_coordinate_check_needs_a_model_that_shows_its_layers():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    x = np.zeros((2, 3), "float32")
    with pytest.raises(MultiplierError, match="subclassed model doesn't show"):
        check_width_scaling(lambda width: Subclassed(), [8, 16], x, x, "mse", rules={})
    with pytest.raises(MultiplierError, match="make_model must return a model"):
        check_width_scaling(lambda width: width, [8, 16], x, x, "mse")


def test_lora_plus_knows_the_factors_of_enable_lora():
    inputs = keras.Input((12,))
    x = layers.Embedding(20, 8)(inputs)
    x = layers.Conv1D(8, 3)(layers.EinsumDense("abc,cd->abd", (12, 8))(x))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    with pytest.raises(UnmatchedRuleError, match=r"enable_lora\(rank\)"):
        explain(model, lora_plus(), optimizer="adam")
    for layer in model.layers:
        if layer.weights:
            layer.enable_lora(2)
    rows = explain(model, lora_plus(4), optimizer="adam", learning_rate=0.1).rows
    factors = {r.parameter.name: r.value for r in rows if "lora" in r.parameter.name}
    assert len(factors) == 8
    assert all(value == (4 if name.endswith("_b") else 1) for name, value in factors.items())
    assert all(row.value == 1 for row in rows if "lora" not in row.parameter.name)
    optimizer = LRMultiplier("adam", lora_plus(4))
    optimizer.learning_rate = 0.01
    codes = np.arange(24).reshape(2, 12) % 20
    model.compile(optimizer, "mse")
    model.train_on_batch(codes, np.zeros((2, 3)))
    assert set(np.round(list(optimizer.learning_rates().values()), 6)) == {0.01, 0.04}
