"""Multipliers on layers that other layers make in ``__init__``: kept with the model's plan."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from layerwise import linear
from layerwise.keras import LRMultiplier, annotate, explain, layers
from tests._support.keras.inner_layers import make_inner, update
from tests._support.keras.variables import bits


def of_block(model: Any) -> Any:
    """A layer that a layer of the user's makes."""
    return model.layers[0].inner


def of_subclassed(model: Any) -> Any:
    """A layer that a layer of a subclassed model makes."""
    return model.block.other


def query(model: Any) -> Any:
    """A layer that attention makes when it is built."""
    return model.get_layer("attention").query_dense


def cell(model: Any) -> Any:
    """The cell that a recurrent layer makes, inside the wrapper's copy of that layer."""
    return model.get_layer("encoder").forward_layer.cell


INNER: dict[str, Callable[[Any], Any]] = {
    "block": of_block,
    "subclassed": of_subclassed,
    "attention": query,
    "bidirectional": cell,
}


def compiled(name: str, annotation: Any, optimizer: Any = "adam") -> Any:
    model = make_inner(name)
    annotate(INNER[name](model), annotation)
    model.compile(LRMultiplier(optimizer), loss="mse")
    model.optimizer.build(model.trainable_variables)
    update(model)
    return model


def loaded(model: Any, folder: Path) -> Any:
    model.save(folder / "model.keras")
    keras.utils.clear_session()
    return keras.saving.load_model(folder / "model.keras")


@pytest.mark.parametrize("annotation", [0.25, {"kernel": 0.25, "bias": linear(20, end=0.5)}])
@pytest.mark.parametrize("name", INNER)
def test_comes_back_and_stays(name: str, annotation: Any, tmp_path: Path) -> None:
    model = compiled(name, annotation)
    rates = model.optimizer.learning_rates()
    assert len(set(rates.values())) == (3 if isinstance(annotation, dict) else 2)
    back = loaded(model, tmp_path)
    again = loaded(back, tmp_path)
    for each in (back, again):
        assert each.optimizer.learning_rates() == rates
    for each in (model, back, again):
        update(each)
        assert bits(each.optimizer.variables) == bits(model.optimizer.variables)
    new = LRMultiplier("adam")
    again.compile(new, loss="mse")
    new.build(again.trainable_variables)
    values = [row.value for row in model.optimizer.plan().rows]
    assert [row.value for row in new.plan().rows] == values
    if name != "subclassed":  # which Keras clones without compiling
        clone = keras.models.clone_model(back)
        assert [row.value for row in clone.optimizer.plan().rows] == values


def test_what_the_init_gives_is_not_what_was_saved(tmp_path: Path) -> None:
    """The layer's __init__ says one thing, and the model was trained with another."""

    @keras.saving.register_keras_serializable(package="tests")
    class Given(keras.layers.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.low = layers.Dense(4, lr_multiplier=0.5)
            self.high = layers.Dense(4, lr_multiplier=0.5)

        def build(self, shape: Any) -> None:
            self.low.build(shape)
            self.high.build((None, 4))

        def call(self, x: Any) -> Any:
            return self.high(self.low(x))

    model = keras.Sequential([keras.Input((4,)), Given()])
    annotate(model.layers[0].low, 0.25)
    annotate(model.layers[0].high, None)
    model.compile(LRMultiplier("sgd"), loss="mse")
    model.optimizer.build(model.trainable_variables)
    values = [row.value for row in model.optimizer.plan().rows]
    assert values == [0.25, 0.25, 1.0, 1.0]
    back = loaded(model, tmp_path)
    assert [row.value for row in back.optimizer.plan().rows] == values
    assert [row.value for row in explain(back, optimizer="sgd").rows] == values
    annotate(back.layers[0].high, 0.125)
    back.layers[0].low.lr_multiplier = 0.75
    values = [0.75, 0.75, 0.125, 0.125]
    assert [row.value for row in explain(back, optimizer="sgd").rows] == values


def test_removed_from_a_loaded_model(tmp_path: Path) -> None:
    back = loaded(compiled("block", 0.25), tmp_path)
    annotate(of_block(back), None)
    assert {row.value for row in explain(back, optimizer="sgd").rows} == {1.0}


@pytest.mark.parametrize("optimizer", [None, "adam"])
def test_without_a_plan_saving_says_what_is_lost(optimizer: Any, tmp_path: Path) -> None:
    model = make_inner("block")
    annotate(of_block(model), 0.25)
    if optimizer is not None:
        model.compile(optimizer, loss="mse")
    with pytest.warns(UserWarning, match=r"does not hold the lr_multiplier of 'inner'"):
        model.save(tmp_path / "model.keras")
    annotate(of_block(model), None)
    annotate(model.get_layer("second"), {"inner": 0.25})
    model.save(tmp_path / "model.keras")  # where a warning would be an error
    model.save_weights(tmp_path / "model.weights.h5")
    back = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert [row.value for row in explain(back, optimizer="sgd").rows][4:6] == [0.25, 0.25]


@pytest.mark.parametrize("name", ["dense", "td"])
def test_a_name_with_a_layer_that_the_loader_leaves_out(name: str, tmp_path: Path) -> None:
    """An annotation by path, whose first part the loaded weight no longer has."""
    each = keras.layers.TimeDistributed(keras.layers.Dense(3, name="dense"), name="td")
    model = keras.Sequential([keras.Input((4, 6)), each])
    annotate(each, {f"{name}/kernel" if name == "dense" else "td/dense": 0.25})
    model.compile(LRMultiplier("sgd"), loss="mse")
    model.optimizer.build(model.trainable_variables)
    back = loaded(model, tmp_path)
    assert back.optimizer.learning_rates() == model.optimizer.learning_rates()
    assert 0.25 in [row.value for row in back.optimizer.plan().rows]
