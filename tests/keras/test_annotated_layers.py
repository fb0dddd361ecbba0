"""Annotated layers stay what they were to Keras: quantized, wrapped, copied, trained by LoRA."""

import copy
import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.layers import Bidirectional, Dense, EinsumDense, Embedding, TimeDistributed

from layerwise import linear
from layerwise.keras import LRMultiplier, annotate, explain, layers
from tests._support.keras.variables import arrays, bits
from tests._support.keras.versions import since

# Keras says it of each layer in a model that has none.
QUIETLY = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")


@keras.saving.register_keras_serializable(package="tests")
class MyDense(keras.layers.Dense):
    """A subclass, which Keras does not quantize."""


@keras.saving.register_keras_serializable(package="tests")
class MyRecurrent(keras.layers.GRU):
    """A recurrent layer of the user's."""


@keras.saving.register_keras_serializable(package="tests")
class Scale(keras.layers.Layer):
    """A layer whose config Keras writes itself, from the arguments."""

    def __init__(self, start: float = 1.0, power: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start, self.power = start, power

    def build(self, shape: Any) -> None:
        """One scale for each feature."""
        self.scale = self.add_weight(
            shape=(shape[-1],), initializer=keras.initializers.Constant(self.start), name="scale"
        )

    def call(self, x: Any) -> Any:
        """Scaled features."""
        return x * self.scale**self.power

    def compute_output_shape(self, shape: Any) -> Any:
        """The shape of the features."""
        return shape


def by_annotate(layer: Any) -> Any:
    return annotate(layer, 0.25)


def by_class(layer: Any) -> Any:
    kind = getattr(layers, type(layer).__name__)
    return kind.from_config(layer.get_config() | {"lr_multiplier": None})


def quantizable() -> dict[str, Any]:
    return {
        "dense": (Dense(8, name="it"), (6,)),
        "einsum": (EinsumDense("ab,bc->ac", output_shape=8, name="it"), (6,)),
        "embedding": (Embedding(7, 8, name="it"), (6,)),
    }


@QUIETLY
@pytest.mark.parametrize("annotated", [by_annotate, by_class])
@pytest.mark.parametrize("mode", ["int8", pytest.param("int4", marks=since(3, 12)), "float8"])
@pytest.mark.parametrize("kind", quantizable())
def test_quantization_reaches_it(kind: str, mode: str, annotated: Any, tmp_path: Path) -> None:
    outputs = []
    if (kind, mode) == ("embedding", "float8"):  # which Keras does not do either
        return
    for change in (annotated, lambda layer: layer):
        layer, shape = quantizable()[kind]
        layer = change(layer)
        model = keras.Sequential([keras.Input(shape), layer])
        rng = np.random.default_rng(3)
        model.set_weights([rng.normal(size=weight.shape) for weight in model.weights])
        model.quantize(mode)
        assert model.get_layer("it").quantization_mode == mode
        x = np.arange(12).reshape(2, 6) % 7
        outputs.append(keras.ops.convert_to_numpy(model(x.astype("float32"))).tobytes())
        if change is not annotated:
            continue
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.get_layer("it").lr_multiplier == layer.lr_multiplier
        # Under float8 Keras loads the weights in another order.
        assert sorted(bits(loaded.weights)) == sorted(bits(model.weights))
    assert outputs[0] == outputs[1]


@QUIETLY
def test_quantization_after_annotating_a_built_layer() -> None:
    inputs = keras.Input((6,))
    low, high = Dense(8, name="low"), TimeDistributed(Dense(3, name="high"))
    model = keras.Model(inputs, high(keras.layers.Reshape((2, 4))(low(inputs))))
    annotate(low, 0.1)
    annotate(high.layer, {"kernel": 0.5})
    model.quantize("int8")
    assert (low.quantization_mode, high.layer.quantization_mode) == ("int8", "int8")


def test_what_keras_does_not_quantize_stays_so() -> None:
    class Further(layers.Dense):
        """A subclass of the user's, of a class of ours."""

    for layer in (annotate(MyDense(3), 0.5), Further(3)):
        model = keras.Sequential([keras.Input((4,)), layer])
        with pytest.warns(UserWarning, match="does not have a `quantize` method"):
            model.quantize("int8")
        assert layer.quantization_mode is None


@pytest.mark.parametrize("make", [lambda: Dense(4), lambda: MyDense(4), lambda: MyRecurrent(4)])
@pytest.mark.parametrize("built", [False, True])
def test_none_gives_the_class_back(make: Any, built: bool) -> None:
    layer = make()
    plain = type(layer)
    if built:
        layer.build((None, 4, 6) if plain is MyRecurrent else (None, 6))
    assert annotate(annotate(layer, 0.5), None) is layer
    assert type(layer) is plain
    assert "lr_multiplier" not in layer.get_config()
    assert vars(layer).keys().isdisjoint(vars(annotate(make(), 0.5)).keys() - vars(make()).keys())
    if built:
        rows = LRMultiplier("sgd").plan_for(layer.trainable_weights).rows
        assert {row.value for row in rows} == {1.0}
    assert type(annotate(make(), None)) is plain
    assert type(annotate(layers.Dense(4, lr_multiplier=0.5), None)) is layers.Dense


@QUIETLY
@since(3, 12)
def test_none_for_a_model_gives_all_classes_back() -> None:
    model = keras.Sequential([keras.Input((6,)), Dense(4), MyDense(3)])
    annotate(annotate(model, 0.5), None)
    assert [type(layer) for layer in model.layers] == [Dense, MyDense]
    model.quantize("int8", filters=lambda layer: type(layer) is Dense)
    assert model.layers[0].quantization_mode == "int8"


@pytest.mark.parametrize(
    "make", [lambda: Dense(4), lambda: MyDense(4), lambda: Scale(2.0, power=2)]
)
def test_the_config_is_flat(make: Any) -> None:
    plain, layer = make(), annotate(make(), {"kernel": 0.5} if make().__class__ != Scale else 0.5)
    config = layer.get_config()
    assert set(config) == {*plain.get_config(), "lr_multiplier"}
    config["name"] = "another"
    again = type(layer).from_config(config)
    assert (again.name, again.lr_multiplier) == ("another", layer.lr_multiplier)
    assert type(again) is type(layer)
    assert {**again.get_config(), "name": layer.name} == layer.get_config()


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda: Bidirectional(annotate(MyRecurrent(4), 0.25)),
        lambda: Bidirectional(annotate(MyRecurrent(4), 0.25), backward_layer=backward()),
        lambda: TimeDistributed(annotate(Scale(2.0), 0.25)),
        lambda: keras.layers.RNN([annotate(MyCell(4), 0.25)]),
    ],
)
def test_a_custom_layer_in_a_wrapper(wrapped: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4, 6)), wrapped(), keras.layers.Flatten(), Dense(3)])
    model.compile(LRMultiplier("sgd"), loss="mse")
    model.optimizer.build(model.trainable_variables)
    values = [row.value for row in model.optimizer.plan().rows]
    assert set(values[:-2]) == {0.25}
    assert set(values[-2:]) == {1.0}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.learning_rates() == model.optimizer.learning_rates()
    assert bits(loaded.weights) == bits(model.weights)


def backward() -> Any:
    return annotate(MyRecurrent(4, go_backwards=True), 0.25)


@keras.saving.register_keras_serializable(package="tests")
class MyCell(keras.layers.SimpleRNNCell):
    """A cell of the user's."""


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
@pytest.mark.parametrize("make", [lambda: Dense(4), lambda: MyDense(4), lambda: Scale(2.0)])
def test_copies_and_pickles(make: Any, copied: Any) -> None:
    layer = annotate(make(), linear(10))
    layer.build((None, 6))
    again = copied(layer)
    assert again.lr_multiplier == linear(10)
    assert bits(again.weights) == bits(layer.weights)
    rows = LRMultiplier("sgd").plan_for(again.trainable_weights).rows
    assert {row.value for row in rows} == {linear(10)}


LORA: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "dense": (lambda: Dense(4), (6,), "kernel"),
    "einsum": (lambda: EinsumDense("ab,bc->ac", output_shape=4), (6,), "kernel"),
    "convolution": (lambda: keras.layers.Conv1D(4, 2), (5, 6), "kernel"),
    "embedding": (lambda: Embedding(7, 4), (6,), "embeddings"),
}


@pytest.mark.parametrize("kind", LORA)
def test_lora_trains_at_the_rate_of_what_it_replaces(kind: str, tmp_path: Path) -> None:
    make, shape, name = LORA[kind]
    for annotation, a, b in (
        ({name: 0.25}, 0.25, 0.25),
        (0.25, 0.25, 0.25),
        ({name: 0.25, f"lora_{name}_b": 4.0}, 0.25, 4.0),
    ):
        layer = make()
        model = keras.Sequential([keras.Input(shape), layer, keras.layers.Flatten(), Dense(3)])
        layer.enable_lora(2)
        annotate(layer, annotation)
        values = {row.parameter.name: row.value for row in explain(model, optimizer="sgd").rows}
        found = [v for path, v in values.items() if "lora_" in path]
        assert found == [a, b]
        model.compile(LRMultiplier("sgd"), loss="mse")
        model.optimizer.build(model.trainable_variables)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.optimizer.learning_rates() == model.optimizer.learning_rates()


@QUIETLY
def test_lora_on_an_annotated_and_quantized_layer() -> None:
    layer = layers.Dense(4, lr_multiplier={"kernel": 0.0, "bias": 0.5})
    model = keras.Sequential([keras.Input((6,)), layer])
    model.quantize("int8")
    layer.enable_lora(2)
    optimizer = LRMultiplier("sgd")
    optimizer.build(model.trainable_variables)
    before = arrays(model.trainable_variables)
    ones = [keras.ops.ones(v.shape) for v in model.trainable_variables]
    optimizer.apply(ones, model.trainable_variables)
    moved = {
        v.name: bool((new != old).any())
        for v, old, new in zip(
            model.trainable_variables, before, arrays(model.trainable_variables), strict=True
        )
    }
    assert moved == {"bias": True, "lora_kernel_a": False, "lora_kernel_b": False}
