"""layerwise.keras.layers and annotate: multipliers that live on the layer."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from layerwise import linear, override
from layerwise.errors import AmbiguousRuleError, UnmatchedRuleError
from layerwise.keras import LRMultiplier, annotate, explain, layers
from tests._scripts.keras_layer_stubs import STUB, stub
from tests._support.keras.networks import fit, make_network
from tests._support.keras.optimizers import make
from tests._support.keras.variables import arrays, bits
from tests._support.keras.versions import since

BACKEND = keras.backend.backend()

# What a layer needs beside lr_multiplier, and the shape of one input.
EXAMPLES: dict[str, tuple[dict[str, Any], Any]] = {
    "AdditiveAttention": ({}, [(4, 3), (4, 3)]),
    "Attention": ({"use_scale": True}, [(4, 3), (4, 3)]),
    "BatchNormalization": ({}, (3,)),
    "Bidirectional": ({"layer": keras.layers.LSTM(2)}, (4, 3)),
    "Conv1D": ({"filters": 2, "kernel_size": 2}, (5, 3)),
    "Conv1DTranspose": ({"filters": 2, "kernel_size": 2}, (5, 3)),
    "Conv2D": ({"filters": 2, "kernel_size": 2}, (5, 5, 3)),
    "Conv2DTranspose": ({"filters": 2, "kernel_size": 2}, (5, 5, 3)),
    "Conv3D": ({"filters": 2, "kernel_size": 2}, (4, 4, 4, 3)),
    "Conv3DTranspose": ({"filters": 2, "kernel_size": 2}, (4, 4, 4, 3)),
    "ConvLSTM1D": ({"filters": 2, "kernel_size": 2}, (3, 5, 2)),
    "ConvLSTM2D": ({"filters": 2, "kernel_size": 2}, (3, 5, 5, 2)),
    "ConvLSTM3D": ({"filters": 1, "kernel_size": 2}, (2, 3, 3, 3, 1)),
    "Dense": ({"units": 2}, (3,)),
    "DepthwiseConv1D": ({"kernel_size": 2}, (5, 3)),
    "DepthwiseConv2D": ({"kernel_size": 2}, (5, 5, 3)),
    "EinsumDense": ({"equation": "ab,bc->ac", "output_shape": 2}, (3,)),
    "Embedding": ({"input_dim": 7, "output_dim": 2}, (3,)),
    "GRU": ({"units": 2}, (4, 3)),
    "GRUCell": ({"units": 2}, None),
    "GroupNormalization": ({"groups": 1}, (4, 3)),
    "GroupQueryAttention": (
        {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1},
        [(4, 3), (4, 3)],
    ),
    "LSTM": ({"units": 2}, (4, 3)),
    "LSTMCell": ({"units": 2}, None),
    "LayerNormalization": ({}, (3,)),
    "MultiHeadAttention": ({"num_heads": 2, "key_dim": 2}, [(4, 3), (4, 3)]),
    "PReLU": ({}, (3,)),
    "RMSNormalization": ({}, (3,)),
    "RNN": ({"cell": keras.layers.GRUCell(2)}, (4, 3)),
    "ReversibleEmbedding": ({"input_dim": 7, "output_dim": 2}, (3,)),
    "STFTSpectrogram": (
        {"frame_length": 4, "frame_step": 2, "fft_length": 4, "trainable": True},
        (16, 1),
    ),
    "SeparableConv1D": ({"filters": 2, "kernel_size": 2}, (5, 3)),
    "SeparableConv2D": ({"filters": 2, "kernel_size": 2}, (5, 5, 3)),
    "SimpleRNN": ({"units": 2}, (4, 3)),
    "SimpleRNNCell": ({"units": 2}, None),
    "SpectralNormalization": ({"layer": keras.layers.Dense(2)}, (3,)),
    "StackedRNNCells": ({"cells": [keras.layers.GRUCell(2)]}, None),
    "TimeDistributed": ({"layer": keras.layers.Dense(2)}, (4, 3)),
}

# These wrap a module of the framework itself; their weights are its own.
OF_ONE_BACKEND = {"FlaxLayer", "JaxLayer", "TorchModuleWrapper"}


def built(layer: Any, shape: Any) -> Any:
    if shape is None:
        layer.build((None, 3))
    else:
        inputs = [keras.Input(s) for s in shape] if isinstance(shape, list) else keras.Input(shape)
        takes_apart = type(layer).__name__ in ("MultiHeadAttention", "GroupQueryAttention")
        layer(*inputs) if takes_apart else layer(inputs)
    return layer


@pytest.mark.parametrize("name", [name for name in EXAMPLES if hasattr(layers, name)])
def test_every_layer_with_weights_takes_and_saves_a_multiplier(name: str) -> None:
    options, shape = EXAMPLES[name]
    layer_class = getattr(layers, name)
    layer = layer_class(**options, lr_multiplier=0.25, name="annotated")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is layer_class
    assert isinstance(again, getattr(keras.layers, name))
    assert again.lr_multiplier == 0.25
    weights = built(again, shape).trainable_variables
    assert weights
    rows = LRMultiplier("sgd").plan_for(weights).rows
    assert {(row.rule, row.value) for row in rows} == {("annotation", 0.25)}


@since(3, 14)
def test_the_list_is_complete() -> None:
    """Every class in keras.layers is either here or owns no trainable weight."""
    assert set(EXAMPLES) | OF_ONE_BACKEND == set(layers.__all__)
    plain = {getattr(keras.layers, name) for name in layers.__all__}
    abstract = {keras.layers.Layer, keras.layers.Wrapper, keras.layers.Lambda}
    others = {
        value
        for value in vars(keras.layers).values()
        if isinstance(value, type) and issubclass(value, keras.layers.Layer)
    } - (plain | abstract)
    own_weights = {
        other.__name__ for other in others if "add_weight" in other.build.__code__.co_names
    }
    # Normalization keeps the statistics of its data, which no optimizer trains.
    assert own_weights - {"Normalization"} == set()


def test_the_stub_has_these_layers_and_the_signatures_of_keras() -> None:
    """Editors complete from it; ``make stubs`` writes it."""
    text = STUB.read_text(encoding="utf-8")
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert tuple(node.name for node in classes) == layers.NAMES
    if text.startswith(f"# Keras {keras.__version__};"):
        assert text == stub()
    for node in classes:
        made = node.body[0]
        assert isinstance(made, ast.FunctionDef)
        assert [argument.arg for argument in made.args.kwonlyargs] == ["lr_multiplier"]


def test_kernel_and_bias_apart() -> None:
    mine = make_network(layers=layers, lr_multiplier={"kernel": 0.5, "bias": 2.0})
    theirs = make_network()
    fit(mine, LRMultiplier(make("adam")))
    fit(theirs, LRMultiplier(make("adam"), {"high/kernel": 0.5, "high/bias": 2.0}))
    assert bits(mine.weights) == bits(theirs.weights)


def test_annotate_before_and_after_building() -> None:
    early, late = keras.layers.Dense(2), keras.layers.Dense(2)
    annotate(early, 0.5)
    for layer in (early, late):
        layer.build((None, 3))
    assert annotate(late, 0.5) is late
    for layer in (early, late):
        assert type(layer) is layers.Dense
        rows = LRMultiplier("sgd").plan_for(layer.trainable_variables).rows
        assert [row.value for row in rows] == [0.5, 0.5]
    annotate(late, None)
    rows = LRMultiplier("sgd").plan_for(late.trainable_variables).rows
    assert [row.value for row in rows] == [1.0, 1.0]


@keras.saving.register_keras_serializable(package="tests")
class Block(keras.layers.Layer):
    """A layer of one's own, built of others."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.one = keras.layers.Dense(units, name="one")
        self.two = keras.layers.Dense(units, name="two")

    def build(self, input_shape: Any) -> None:
        self.one.build(input_shape)
        self.two.build((*input_shape[:-1], self.units))

    def call(self, x: Any) -> Any:
        return self.two(self.one(x))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"units": self.units}


def test_annotate_a_layer_of_ones_own_and_save_it(tmp_path: Path) -> None:
    inputs = keras.Input((6,))
    block = annotate(Block(4, name="block"), {"one/kernel": 0.0, "two": linear(10)})
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(block(inputs)))
    fit(model, LRMultiplier("adam"))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("block"), Block)
    values = [row.value for row in loaded.optimizer.plan().rows]
    assert values == [0.0, 1.0, linear(10), linear(10), 1.0, 1.0]
    np.testing.assert_array_equal(arrays(loaded.weights)[0], arrays(model.weights)[0])


def test_annotate_a_model_layer_by_layer_also_where_it_is_nested() -> None:
    inner = make_network()
    outer = keras.Sequential([keras.Input((6,)), inner, keras.layers.Dense(2, name="head")])
    annotate(outer, 0.5)
    assert [row.value for row in explain(outer, {}).rows] == [0.5] * 8
    annotate(inner, 0.25)
    assert [row.value for row in explain(outer, {}).rows] == [0.25] * 6 + [0.5] * 2


def test_an_annotation_counts_once_in_nested_multipliers() -> None:
    model = make_network(layers=layers, lr_multiplier=0.5)
    optimizer = LRMultiplier(LRMultiplier("sgd", {"low": 0.5}), {"low": 0.5})
    values = [row.value for row in optimizer.plan_for(model.trainable_variables).rows]
    assert values == [0.25, 0.25, 1.0, 1.0, 0.5, 0.5]


def test_marked_as_soon_as_built() -> None:
    """A loop of one's own may never ask a layer for its weights."""
    layer = layers.Dense(2, lr_multiplier=0.0)
    layer.build((None, 3))
    assert [r.value for r in LRMultiplier("sgd").plan_for([layer.kernel, layer.bias]).rows] == [
        0,
        0,
    ]


def test_explain_shows_what_the_optimizer_was_built_with() -> None:
    model = make_network(layers=layers, lr_multiplier=0.5)
    fit(model, LRMultiplier("sgd"))
    model.get_layer("high").lr_multiplier = 0.0
    assert [row.value for row in explain(model).rows][4:] == [0.5, 0.5]
    assert list(model.optimizer.learning_rates().values())[4:] == pytest.approx([0.005, 0.005])


IN_ANOTHER_PROCESS = """
import sys
import keras
import layerwise.keras
from tests.keras.test_layers import Block

model = keras.saving.load_model(sys.argv[1])
assert isinstance(model.get_layer("block"), Block)
print([row.value for row in model.optimizer.plan().rows])
"""


def test_a_saved_annotation_loads_in_another_process(tmp_path: Path) -> None:
    inputs = keras.Input((6,))
    block = annotate(Block(4, name="block"), 0.5)
    model = keras.Model(inputs, layers.Dense(3, lr_multiplier=2.0)(block(inputs)))
    fit(model, LRMultiplier("adam"))
    model.save(tmp_path / "model.keras")
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path / "model.keras")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == str([0.5] * 4 + [2.0] * 2)


def _module_of_the_backend() -> tuple[str, Any]:
    """The layer that wraps a module of the backend's own framework, and that module."""
    if BACKEND == "torch":
        import torch

        return "TorchModuleWrapper", torch.nn.Linear(3, 2)
    return "JaxLayer", lambda params, inputs: inputs @ params


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow has none; the other legs do")
def test_a_wrapped_module_takes_one_multiplier() -> None:
    name, module = _module_of_the_backend()
    options = {"params": np.ones((3, 2), "float32")} if name == "JaxLayer" else {}
    layer = getattr(layers, name)(module, **options, lr_multiplier=0.25)
    layer(np.ones((1, 3), "float32"))
    rows = LRMultiplier("sgd").plan_for(layer.trainable_variables).rows
    assert rows
    assert {row.value for row in rows} == {0.25}


def test_a_rule_for_an_annotated_weight_needs_override() -> None:
    model = make_network(layers=layers, lr_multiplier=0.5)
    with pytest.raises(AmbiguousRuleError, match=r"high/kernel.*override"):
        explain(model, {"high": 0.1})
    rows = explain(model, {"high": override(0.1)}).rows
    assert [row.value for row in rows][4:] == [0.1, 0.1]


def test_two_multipliers_for_one_weight_are_an_error() -> None:
    inner = annotate(keras.layers.Dense(2, name="inner"), 0.5)
    outer = annotate(keras.layers.TimeDistributed(inner, name="outer"), 0.25)
    model = keras.Sequential([keras.Input((4, 3)), outer])
    with pytest.raises(AmbiguousRuleError, match=r"inner.*outer|outer.*inner"):
        explain(model, {})


def test_a_name_that_the_layer_has_not() -> None:
    layer = layers.Dense(2, lr_multiplier={"kernl": 0.5}, name="here")
    model = keras.Sequential([keras.Input((3,)), layer])
    with pytest.raises(UnmatchedRuleError, match=r"(?s)here.*kernl.*kernel"):
        explain(model, {})


def test_a_layer_without_weights_is_not_here() -> None:
    with pytest.raises(AttributeError, match="Dropout"):
        layers.Dropout  # noqa: B018
